/* SPDX-License-Identifier: Apache-2.0
 * The rebuild of an index with its devices. Owner: the calling thread.
 *
 * The rows come sorted, so they are appended: pages end up full, where folds would leave them half
 * full. A small table of functions between bb_rebuild and LMDB turns folds into appends, keeps the
 * set, and writes the state row when the anchor comes, last.
 */
#include "bb/rebuild_index.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/memlimit.h"
#include "bb/random.h"
#include "bb/recovery.h"
#include "bb/signature.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMORY_SHARE 4
#define MEMORY_MAX ((uint64_t)4 << 30)

uint64_t bb_rebuild_index_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page_size <= 0)
        return BB_PAIR_MEMORY_DEFAULT;
    uint64_t there = bb_min_u64((uint64_t)pages * (uint64_t)page_size, bb_memlimit_find(""));
    return bb_min_u64(bb_max_u64(there / MEMORY_SHARE, BB_PAIR_MEMORY_DEFAULT), MEMORY_MAX);
}

/* ---- index that only grows ---- */

struct bulk {
    struct bb_lmdb *lmdb;
    struct bb_index_state state;
};

static int bulk_state(void *index, struct bb_index_state *ret_state)
{
    *ret_state = ((struct bulk *)index)->state;
    return 0;
}

static int bulk_lookup(void *index, const struct bb_hash *hash, struct bb_index_entry *ret_entry)
{
    (void)index;
    (void)hash;
    (void)ret_entry;
    return -ENOENT;
}

static int bulk_fold(void *index, const struct bb_index_fold *fold, struct bb_set *ret_set,
                     uint64_t *ret_room)
{
    struct bulk *bulk = index;
    int error = fold->count > 0 ? bb_lmdb_append(bulk->lmdb, fold->changes, fold->count) : 0;
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < fold->count; i++)
        bb_set_add(&bulk->state.set, &fold->changes[i].hash, fold->changes[i].unit,
                   fold->changes[i].size);
    if (fold->anchor != NULL) {
        bulk->state.anchor = *fold->anchor;
        error = bb_lmdb_put_state(bulk->lmdb, &bulk->state);
    }
    *ret_set = bulk->state.set;
    *ret_room = 0;
    return error;
}

static int bulk_scan(void *index, const struct bb_hash *after, const struct bb_hash *below,
                     bb_index_visit_fn *visit, void *context)
{
    struct bb_index table;
    bb_lmdb_index(((struct bulk *)index)->lmdb, &table);
    return table.ops->scan(table.context, after, below, visit, context);
}

static void bulk_refresh(void *index)
{
    (void)index;
}

/* Appended pages are full: the device's size decides, which was compared before. */
static uint64_t bulk_room(void *index)
{
    (void)index;
    return UINT64_MAX;
}

static const struct bb_index_ops bulk_ops = {
    .state = bulk_state,
    .lookup = bulk_lookup,
    .fold = bulk_fold,
    .scan = bulk_scan,
    .refresh = bulk_refresh,
    .room = bulk_room,
};

/* ---- what stands on the index device ---- */

enum { PROBE_OURS = 0, PROBE_FOREIGN = 1 };

/* Reads the row of the index that is there. In a child: LMDB does not survive every damage, and a
 * damaged index is what a rebuild is for. The child leaves the claims alone. */
static int probe_row(struct bb_pair *pair, const struct bb_uuid *store)
{
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0) {
        struct bb_lmdb *lmdb;
        struct bb_index table;
        struct bb_index_state state;
        int answer = PROBE_OURS;
        if (bb_lmdb_open(&pair->index, pair->rundir.path, true, &lmdb) == 0) {
            bb_lmdb_index(lmdb, &table);
            if (table.ops->state(table.context, &state) == 0 &&
                memcmp(&state.store, store, sizeof(*store)) != 0)
                answer = PROBE_FOREIGN;
            bb_lmdb_close(lmdb);
        }
        _exit(answer);
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == PROBE_FOREIGN ? BB_ERR_REFUSED : 0;
}

static int check_index_device(struct bb_pair *pair, const struct bb_recovered *found,
                              struct bb_explain *explain, char *ret_what, size_t what_size)
{
    struct bb_signatures signatures;
    uint64_t blocks = found->report.blocks;
    uint64_t wanted = bb_max_u64(blocks * BB_INDEX_BYTES_PER_BLOCK, BB_LMDB_SIZE_MIN);
    if (pair->index.size < wanted)
        return bb_explain(explain, BB_ERR_INDEX_FULL,
                          "%s: too small for %llu blocks, name a device of at least %llu bytes",
                          pair->index.path, (unsigned long long)blocks, (unsigned long long)wanted);
    int error = bb_signature_find(&pair->index, &signatures);
    if (error != 0)
        return bb_explain(explain, error, "%s: reading it: %s, name another device",
                          pair->index.path, bb_err_text(error));
    for (unsigned i = 0; i < signatures.count; i++)
        if (!signatures.found[i].is_index)
            return bb_explain(explain, BB_ERR_REFUSED,
                              "%s: found %s, name another device or erase that first",
                              pair->index.path, signatures.found[i].name);
    if (signatures.count > 0) {
        error = probe_row(pair, &found->super.store);
        if (error == BB_ERR_REFUSED)
            return bb_explain(explain, error,
                              "%s: it is the index of another store, name another device",
                              pair->index.path);
        if (error != 0)
            return bb_explain(explain, error, "%s: looking at it: %s", pair->index.path,
                              bb_err_text(error));
    }
    snprintf(ret_what, what_size, "%s",
             signatures.count > 0      ? "the old index"
             : signatures.nonzero_head ? "unknown data"
                                       : "nothing known");
    return 0;
}

static bool confirmed(const struct bb_pair *pair, const struct bb_rebuild_options *options,
                      const struct bb_recovered *found, const char *what)
{
    char question[512];
    const struct bb_recover_report *report = &found->report;
    int len = snprintf(question, sizeof(question),
                       "%s (%s) is overwritten with a new index of %llu blocks.", pair->index.path,
                       what, (unsigned long long)report->blocks);
    if (report->pages_lost > 0 && len > 0 && (size_t)len < sizeof(question))
        snprintf(question + len, sizeof(question) - (size_t)len,
                 " %llu descriptor pages are lost: the names of the blocks in their %llu units are "
                 "gone, and the units stay unused.",
                 (unsigned long long)report->pages_lost, (unsigned long long)report->units_lost);
    return options->confirm == NULL || options->confirm(options->context, question);
}

struct fresh {
    struct bb_pair *pair;
    const struct bb_rebuild_options *options;
    struct bulk bulk;
    struct bb_index table;
};

static int make_index(struct fresh *fresh, struct bb_explain *explain)
{
    struct bb_pair *pair = fresh->pair;
    int error = bb_lmdb_invalidate(&pair->index);
    if (error == 0)
        error = bb_lmdb_format(&pair->index, pair->rundir.path);
    if (error != 0)
        return bb_explain(explain, error, "%s: writing an empty index: %s, name another device",
                          pair->index.path, bb_err_text(error));
    error = bb_pair_open_index(pair, false, explain);
    if (error != 0)
        return error;
    fresh->bulk.lmdb = pair->lmdb;
    fresh->table = (struct bb_index){
        .ops = &bulk_ops, .context = &fresh->bulk, .slice_max = pair->table.slice_max};
    pair->config.index = &fresh->table;
    return 0;
}

/* Everything was read and checked. */
static int prepare_index(void *context, const struct bb_recovered *found,
                         struct bb_explain *ret_explain)
{
    struct fresh *fresh = context;
    char what[32];
    int error = check_index_device(fresh->pair, found, ret_explain, what, sizeof(what));
    if (error != 0)
        return error;
    if (!confirmed(fresh->pair, fresh->options, found, what))
        return bb_explain(ret_explain, BB_ERR_CANCELLED,
                          "%s: nothing was written, say yes or --yes", fresh->pair->index.path);
    fresh->bulk.state.store = found->super.store;
    return make_index(fresh, ret_explain);
}

int bb_rebuild_index(struct bb_pair *pair, const struct bb_rebuild_options *options,
                     struct bb_recovered *ret_recovered, struct bb_explain *ret_explain)
{
    struct fresh fresh = {.pair = pair, .options = options};
    BB_ASSERT(pair->lmdb == NULL);
    pair->config.progress = options->progress;
    pair->config.context = options->context;
    bb_random_from_kernel(&fresh.bulk.state.index, sizeof(fresh.bulk.state.index));
    int error = bb_rebuild_prepared(&pair->config, &fresh.bulk.state.index, prepare_index, &fresh,
                                    ret_recovered, ret_explain);
    pair->config.index = &pair->table;
    if (pair->lmdb == NULL)
        return error;
    bb_pair_close_index(pair);
    int sync_error = bb_device_sync(&pair->index);
    if (error == 0 && sync_error != 0)
        error = bb_explain(ret_explain, sync_error, "%s: flush: %s, run it again", pair->index.path,
                           bb_err_text(sync_error));
    return error;
}
