/* SPDX-License-Identifier: Apache-2.0
 * Seconds of a recovery, step by step, of a journal full of PUTs with random names.
 *
 *   bbformat DATA INDEX && recover_bench DATA INDEX [ITEMS [MIB]]
 *
 * ITEMS (1,000,000) at most as many as the ring and the device have room for; MIB (64) is the
 * memory of the recovery. Writes records and empty zones of its own over what is there.
 */
#include "bb/err.h"
#include "bb/pair.h"
#include "bb/random.h"
#include "bb/superblock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct bb_super super;
static uint8_t *unit_buf;

static void must(const char *what, int rc)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, bb_err_text(rc));
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_step(const char *next)
{
    static const char *step;
    static double wall, cpu;
    double wall_now = seconds(CLOCK_MONOTONIC), cpu_now = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (step != NULL && next != NULL && strcmp(step, next) == 0)
        return;
    if (step != NULL)
        printf("  %-28s %7.3f s, %7.3f s of CPU\n", step, wall_now - wall, cpu_now - cpu);
    step = next;
    wall = wall_now;
    cpu = cpu_now;
}

static void progress(void *context, const char *step, uint64_t done, uint64_t total)
{
    (void)context;
    (void)done;
    (void)total;
    print_step(step);
}

/* Zones with empty pages in both slots. */
static void open_zones(struct bb_io *io, uint32_t count)
{
    struct bb_disk_page *page = (struct bb_disk_page *)(void *)unit_buf;
    uint64_t pages = bb_layout_pages(&super.layout, count);
    for (uint64_t number = 0; number < 2 * pages; number++) {
        struct bb_page_header header = {.page = number / 2, .generation = 1 + number % 2};
        bb_page_init(page);
        bb_page_seal(page, &super.store, &header);
        must("page", bb_io_write(io, BB_IO_DESCRIPTOR,
                                 bb_layout_slot_offset(&super.layout, header.page, number % 2),
                                 page, BB_UNIT_SIZE));
    }
    super.open_zone_count = count;
}

/* Units ascend as the allocator hands them out, in runs of 64 that several workers take turns with.
 */
static uint64_t unit_of(uint64_t item)
{
    struct bb_zone zone = bb_layout_zone(&super.layout, 0);
    uint64_t run = item / 64, group = run / 4, turned = group * 4 + (run + group) % 4;
    uint64_t at = turned * 64 + item % 64;
    zone = bb_layout_zone(&super.layout, (uint32_t)(at / zone.unit_count));
    return zone.first_unit + at % zone.unit_count;
}

static uint64_t write_records(struct bb_io *io, uint64_t item_count)
{
    struct bb_random random;
    struct bb_record record = {
        .store = super.store, .epoch = super.epoch, .sequence = super.anchor.sequence + 1};
    uint64_t written = 0;
    bb_random_seed(&random, 1);
    record.previous = super.anchor.digest;
    record.anchor = super.anchor;
    for (uint64_t position = super.anchor.position + 1; written < item_count;) {
        uint32_t count =
            (uint32_t)(item_count - written < BB_RECORD_ITEMS_MAX ? item_count - written
                                                                  : BB_RECORD_ITEMS_MAX);
        if (position + bb_record_units(count) > super.layout.journal_units)
            break;
        for (uint32_t i = 0; i < count; i++) {
            struct bb_item item = {.op = BB_ITEM_PUT, .size = 4096, .unit = unit_of(written + i)};
            bb_random_fill(&random, &item.hash, sizeof(item.hash));
            bb_item_encode(&item, unit_buf, i);
        }
        record.position = position;
        record.durable = record.sequence; /* nothing is to be hashed */
        bb_record_encode(&record, count, unit_buf);
        must("record",
             bb_io_write(io, BB_IO_JOURNAL, super.layout.journal_offset + position * BB_UNIT_SIZE,
                         unit_buf, record.units * BB_UNIT_SIZE));
        position += record.units;
        record.sequence++;
        record.previous = record.digest;
        written += count;
    }
    return written;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: recover_bench DATA INDEX [ITEMS [MIB]]\n");
        return 2;
    }
    uint64_t item_count = argc > 3 ? strtoull(argv[3], NULL, 0) : 1000000;
    struct bb_pair_options options = {.data_path = argv[1],
                                      .index_path = argv[2],
                                      .memory = (argc > 4 ? strtoull(argv[4], NULL, 0) : 64) << 20};
    struct bb_pair pair;
    struct bb_explain explain;
    struct bb_super_copies copies;
    struct bb_recovered recovered;
    unit_buf = aligned_alloc(BB_UNIT_SIZE, (size_t)BB_RECORD_UNITS_MAX * BB_UNIT_SIZE);
    must("memory", unit_buf == NULL ? BB_ERR_MEMORY : 0);
    must("devices", bb_pair_open(&pair, &options, &explain));
    must("superblocks", bb_super_load(&pair.sync.io, &copies));
    super = copies.super;
    uint64_t zone_units = bb_layout_zone(&super.layout, 0).unit_count;
    open_zones(&pair.sync.io, (uint32_t)((item_count + 256 + zone_units - 1) / zone_units));
    super.clean = false;
    must("superblocks", bb_super_write(&pair.sync.io, &super));
    item_count = write_records(&pair.sync.io, item_count);
    must("index", bb_pair_open_index(&pair, false, &explain));
    pair.config.progress = progress;
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    int error = bb_recover(&pair.config, &recovered, &explain);
    print_step(NULL);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (error != 0)
        fprintf(stderr, "%s\n", explain.text);
    printf("%" PRIu64 " items: %.2f s, %.2f s of CPU, %.2f us per item, %" PRIu64 " passes\n",
           item_count, wall, cpu, wall * 1e6 / (double)item_count, recovered.report.passes);
    bb_pair_close(&pair);
    return error == 0 ? 0 : 1;
}
