/* SPDX-License-Identifier: Apache-2.0
 * Rates of the index: a checkpoint of random records into an empty one (sorted, sliced), a second
 * one among them, lookups, a scan, a bulk load.
 *
 *   index_bench DEVICE-OR-FILE [RECORDS]     overwrites it; default 1,000,000
 */
#include "bb/err.h"
#include "bb/indexcodec.h"
#include "bb/lmdbindex.h"
#include "bb/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct bb_device device;
static struct bb_lmdb *lmdb;
static struct bb_index store_index;

static void must(const char *what, int rc)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, bb_err_text(rc));
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct bb_hash)); /* the hash comes first */
}

static void make_changes(struct bb_random *random, struct bb_change *changes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        memset(&changes[i], 0, sizeof(changes[i]));
        bb_random_fill(random, &changes[i].hash, sizeof(changes[i].hash));
        changes[i].present = true;
        changes[i].unit = i;
        changes[i].size = 4096;
    }
    qsort(changes, count, sizeof(*changes), compare);
}

static void print(const char *what, uint64_t count, double took)
{
    printf("%-28s %10.0f per second (%" PRIu64 " in %.2f s)\n", what, (double)count / took, count,
           took);
}

static void print_size(void)
{
    struct bb_lmdb_stats stats;
    must("stats", bb_lmdb_get_stats(lmdb, &stats));
    printf("%-28s %10.1f bytes, room for %" PRIu64 ", %" PRIu64 " of %" PRIu64 " pages used\n",
           "index per record", (double)stats.block_pages * stats.page_size / (double)stats.records,
           store_index.ops->room(lmdb), stats.used_pages, stats.map_pages);
}

static void checkpoint(const char *what, const struct bb_change *changes, uint32_t count)
{
    double start = seconds(), longest = 0;
    for (uint32_t at = 0; at < count; at += store_index.slice_max) {
        uint32_t left = count - at;
        struct bb_index_fold fold = {.changes = changes + at,
                                     .count = left < store_index.slice_max ? left
                                                                           : store_index.slice_max};
        struct bb_set set;
        uint64_t room;
        double slice = seconds();
        must("fold", store_index.ops->fold(lmdb, &fold, &set, &room));
        store_index.ops->refresh(lmdb);
        slice = seconds() - slice;
        longest = slice > longest ? slice : longest;
    }
    print(what, count, seconds() - start);
    printf("%-28s %10.1f ms (%u keys)\n", "  longest slice", longest * 1e3, store_index.slice_max);
    print_size();
}

static void lookups(const struct bb_change *changes, uint32_t count, struct bb_random *random)
{
    struct bb_index_entry entry;
    uint32_t rounds = 1000000;
    double start = seconds();
    for (uint32_t i = 0; i < rounds; i++)
        must("lookup",
             store_index.ops->lookup(lmdb, &changes[bb_random_below(random, count)].hash, &entry));
    print("lookup, present", rounds, seconds() - start);
    start = seconds();
    for (uint32_t i = 0; i < rounds; i++) {
        struct bb_hash hash;
        bb_random_fill(random, &hash, sizeof(hash));
        (void)store_index.ops->lookup(lmdb, &hash, &entry);
    }
    print("lookup, absent", rounds, seconds() - start);
}

static int visit(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    (void)hash;
    *(uint64_t *)context += entry->unit + 1;
    return 0;
}

static void scan(uint64_t count)
{
    uint64_t sum = 0;
    double start = seconds();
    must("scan", store_index.ops->scan(lmdb, NULL, NULL, visit, &sum));
    print("scan", count, seconds() - start);
}

static void open_index(bool format)
{
    struct bb_index_state state;
    memset(&state, 0, sizeof(state));
    if (format)
        must("format", bb_lmdb_format(&device, "/tmp"));
    double start = seconds();
    must("open", bb_lmdb_open(&device, "/tmp", false, &lmdb));
    if (!format)
        printf("%-28s %10.1f ms\n", "open", (seconds() - start) * 1e3);
    if (format)
        must("row", bb_lmdb_put_state(lmdb, &state));
    bb_lmdb_index(lmdb, &store_index);
}

static void bulk_load(const struct bb_change *changes, uint32_t count)
{
    double start = seconds();
    for (uint32_t at = 0; at < count; at += store_index.slice_max) {
        uint32_t left = count - at;
        must("append", bb_lmdb_append(lmdb, changes + at,
                                      left < store_index.slice_max ? left : store_index.slice_max));
    }
    print("bulk load", count, seconds() - start);
    print_size();
}

int main(int argc, char **argv)
{
    struct bb_random random;
    if (argc < 2) {
        fprintf(stderr, "usage: index_bench DEVICE-OR-FILE [RECORDS], overwrites it\n");
        return BB_EXIT_USAGE;
    }
    uint32_t count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 1000000;
    struct bb_change *first = calloc(count, sizeof(*first));
    struct bb_change *second = calloc(count, sizeof(*second));
    if (count == 0 || first == NULL || second == NULL)
        return BB_EXIT_RESOURCE;
    bb_random_seed(&random, 1);
    make_changes(&random, first, count);
    make_changes(&random, second, count);
    must("device", bb_device_open(argv[1], BB_DEVICE_EXCLUSIVE, 0, NULL, &device));
    open_index(true);
    checkpoint("checkpoint into empty", first, count);
    checkpoint("checkpoint among as many", second, count);
    lookups(first, count, &random);
    scan(2 * (uint64_t)count);
    bb_lmdb_close(lmdb);
    open_index(false);
    bb_lmdb_close(lmdb);
    open_index(true);
    bulk_load(first, count);
    bb_lmdb_close(lmdb);
    bb_device_close(&device);
    free(first);
    free(second);
    return 0;
}
