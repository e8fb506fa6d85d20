/* SPDX-License-Identifier: Apache-2.0
 * The replay in memory (replay.h), and an index that shows it. Owner: the caller's thread.
 *
 * The items stand in the order of their hashes, as recovery visits them: a scan merges them with
 * the scan of the index below.
 */
#include "bb/replay.h"

#include "bb/bits.h"
#include "bb/err.h"

#include <errno.h>

BB_STATIC_ASSERT(sizeof(struct bb_delta_item) + 2 * sizeof(uint32_t) <= BB_REPLAY_ITEM_COST);

static int take(void *context, const struct bb_recovered *recovered, const struct bb_change *change)
{
    struct bb_replay *replay = context;
    struct bb_item item = {
        .op = BB_ITEM_DELETE, .size = change->size, .unit = change->unit, .hash = change->hash};
    if (change->present)
        item.op = change->corrupt ? BB_ITEM_MARK : BB_ITEM_PUT;
    replay->wanted++;
    if (bb_delta_count(&replay->delta) < replay->delta.capacity)
        (void)bb_delta_append(&replay->delta, recovered->last.sequence, &item);
    return 0;
}

int bb_replay_run(const struct bb_recover_config *config, struct bb_arena *arena, size_t memory,
                  struct bb_replay *ret_replay, struct bb_recovered *ret_recovered,
                  struct bb_explain *ret_explain)
{
    struct bb_replay replay = {.under = *config->index};
    struct bb_recovered recovered;
    uint64_t capacity = bb_min_u64(memory / BB_REPLAY_ITEM_COST, UINT32_MAX / 2);
    int error = bb_delta_init(&replay.delta, arena, (uint32_t)bb_max_u64(capacity, 1));
    if (error == 0)
        error = bb_recover_replay(config, take, &replay, &recovered, ret_explain);
    if (error != 0)
        return error;
    replay.anchor = recovered.super.anchor;
    *ret_replay = replay;
    if (replay.wanted > bb_delta_count(&replay.delta))
        return BB_ERR_MEMORY;
    *ret_recovered = recovered;
    return 0;
}

/* ---- the index ---- */

static struct bb_index_entry entry_of(const struct bb_delta_item *item)
{
    return (struct bb_index_entry){.unit = item->unit,
                                   .size = item->size,
                                   .flags = item->op == BB_ITEM_MARK ? BB_INDEX_CORRUPT : 0};
}

static int op_state(void *index, struct bb_index_state *ret_state)
{
    const struct bb_replay *replay = index;
    struct bb_index_state state;
    int error = replay->under.ops->state(replay->under.context, &state);
    if (error != 0)
        return error;
    state.anchor = replay->anchor;
    state.set = replay->anchor.set;
    *ret_state = state;
    return 0;
}

static int op_lookup(void *index, const struct bb_hash *hash, struct bb_index_entry *ret_entry)
{
    const struct bb_replay *replay = index;
    const struct bb_delta_item *item = bb_delta_find(&replay->delta, hash, UINT64_MAX);
    if (item == NULL)
        return replay->under.ops->lookup(replay->under.context, hash, ret_entry);
    if (item->op == BB_ITEM_DELETE)
        return -ENOENT;
    *ret_entry = entry_of(item);
    return 0;
}

static int op_fold(void *index, const struct bb_index_fold *fold, struct bb_set *ret_set,
                   uint64_t *ret_room)
{
    (void)index, (void)fold, (void)ret_set, (void)ret_room;
    return -EROFS;
}

struct merging {
    const struct bb_delta *delta;
    uint64_t next; /* position of the first item that was not shown */
    const struct bb_hash *below;
    bb_index_visit_fn *visit;
    void *context;
};

/* Shows the items below `hash` (NULL: all that are left). */
static int show_below(struct merging *merging, const struct bb_hash *hash)
{
    for (; merging->next < merging->delta->end; merging->next++) {
        const struct bb_delta_item *item = bb_delta_at(merging->delta, merging->next);
        if ((hash != NULL && bb_hash_compare(&item->hash, hash) >= 0) ||
            (merging->below != NULL && bb_hash_compare(&item->hash, merging->below) >= 0))
            return 0;
        struct bb_index_entry entry = entry_of(item);
        int result =
            item->op == BB_ITEM_DELETE ? 0 : merging->visit(merging->context, &item->hash, &entry);
        if (result != 0)
            return result;
    }
    return 0;
}

static int merge(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct merging *merging = context;
    int result = show_below(merging, hash);
    if (result != 0)
        return result;
    if (merging->next < merging->delta->end &&
        bb_hash_equal(&bb_delta_at(merging->delta, merging->next)->hash, hash))
        return 0; /* the item decides: it is shown in front of the next hash */
    return merging->visit(merging->context, hash, entry);
}

static uint64_t first_after(const struct bb_delta *delta, const struct bb_hash *after)
{
    uint64_t low = delta->first, high = delta->end;
    while (after != NULL && low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (bb_hash_compare(&bb_delta_at(delta, middle)->hash, after) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int op_scan(void *index, const struct bb_hash *after, const struct bb_hash *below,
                   bb_index_visit_fn *visit, void *context)
{
    const struct bb_replay *replay = index;
    struct merging merging = {.delta = &replay->delta,
                              .next = first_after(&replay->delta, after),
                              .below = below,
                              .visit = visit,
                              .context = context};
    int result = replay->under.ops->scan(replay->under.context, after, below, merge, &merging);
    return result != 0 ? result : show_below(&merging, NULL);
}

static void op_refresh(void *index)
{
    (void)index;
}

static uint64_t op_room(void *index)
{
    (void)index;
    return 0;
}

void bb_replay_index(struct bb_replay *replay, struct bb_index *ret_index)
{
    static const struct bb_index_ops ops = {
        .state = op_state,
        .lookup = op_lookup,
        .fold = op_fold,
        .scan = op_scan,
        .refresh = op_refresh,
        .room = op_room,
    };
    *ret_index =
        (struct bb_index){.ops = &ops, .context = replay, .slice_max = replay->under.slice_max};
}
