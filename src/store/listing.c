/* SPDX-License-Identifier: Apache-2.0
 * EXISTS and LIST: many hashes at once. The index part is always asked as a job, one of each kind
 * at a time, then the delta at D is laid over the answer. If the delta dropped entries meanwhile
 * the job is asked again; so EXISTS asks in batches, small enough to be answered between two
 * checkpoints. Owner: the controller.
 */
#include "engine.h"

int listing_open(struct bb_store *store)
{
    struct listing *listing = &store->listing;
    struct bb_arena *arena = store->config.arena;
    listing->entries = bb_arena_alloc(arena, BB_EXISTS_BATCH * sizeof(*listing->entries), 64);
    listing->indexed = bb_arena_alloc(arena, BB_LIST_MAX * sizeof(*listing->indexed), 64);
    listing->fresh = bb_arena_alloc(arena, BB_LIST_MAX * sizeof(*listing->fresh), 64);
    return listing->entries == NULL || listing->indexed == NULL || listing->fresh == NULL
               ? BB_ERR_MEMORY
               : 0;
}

void listing_submit(struct bb_store *store, struct bb_op *op)
{
    if (op->kind == BB_OP_EXISTS) {
        BB_ASSERT(op->exists.count <= BB_EXISTS_MAX);
        op_push(&store->listing.exists_queue, op);
    } else {
        BB_ASSERT(op->kind == BB_OP_LIST);
        BB_ASSERT(op->list.count > 0);
        BB_ASSERT(op->list.count <= BB_LIST_MAX);
        op_push(&store->listing.list_queue, op);
    }
}

static void exists_ask(struct bb_store *store)
{
    struct listing *listing = &store->listing;
    const struct bb_op *op = listing->exists_op;
    listing->exists_generation = store->generation;
    listing->exists_job = (struct bb_index_job){
        .kind = BB_JOB_LOOKUP,
        .hashes = op->exists.hashes + listing->exists_from,
        .entries = listing->entries,
        .count = (uint32_t)bb_min_u64(op->exists.count - listing->exists_from, BB_EXISTS_BATCH),
        .owner = listing};
    store->config.index.submit(store->config.index.context, &listing->exists_job);
}

static void list_ask(struct bb_store *store)
{
    struct listing *listing = &store->listing;
    listing->list_generation = store->generation;
    listing->list_job = (struct bb_index_job){.kind = BB_JOB_LIST,
                                              .after = listing->list_op->list.after,
                                              .from_start = listing->list_op->list.from_start,
                                              .listed = listing->indexed,
                                              .count = listing->list_op->list.count,
                                              .owner = listing};
    store->config.index.submit(store->config.index.context, &listing->list_job);
}

void listing_turn(struct bb_store *store)
{
    struct listing *listing = &store->listing;
    if (listing->exists_op == NULL && listing->exists_queue.head != NULL) {
        listing->exists_op = op_pop(&listing->exists_queue);
        listing->exists_from = 0;
        exists_ask(store);
    }
    if (listing->list_op == NULL && listing->list_queue.head != NULL) {
        listing->list_op = op_pop(&listing->list_queue);
        list_ask(store);
    }
}

void listing_exists_done(struct bb_store *store)
{
    struct listing *listing = &store->listing;
    struct bb_op *op = listing->exists_op;
    int result = listing->exists_job.result;
    if (result == 0 && listing->exists_generation != store->generation) {
        exists_ask(store);
        return;
    }
    for (uint32_t i = 0; result == 0 && i < listing->exists_job.count; i++) {
        uint32_t at = listing->exists_from + i;
        const struct bb_delta_item *item = bb_delta_find(&store->delta, &op->exists.hashes[at],
                                                         store->journal.durable.at.sequence);
        const struct bb_index_entry *entry = &listing->entries[i];
        op->exists.stored[at] =
            item != NULL ? item->op == BB_ITEM_PUT
                         : entry->unit != UINT64_MAX && (entry->flags & BB_INDEX_CORRUPT) == 0;
    }
    listing->exists_from += listing->exists_job.count;
    if (result == 0 && listing->exists_from < op->exists.count) {
        exists_ask(store);
        return;
    }
    listing->exists_op = NULL;
    store_reply(store, op, result);
}

/* ---- LIST: a max-heap keeps the smallest `limit` hashes that only the delta knows ---- */

static void heap_down(struct bb_listed *heap, uint32_t count, uint32_t index)
{
    for (;;) {
        uint32_t child = index * 2 + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && bb_hash_compare(&heap[child].hash, &heap[child + 1].hash) < 0) {
            child++;
        }
        if (bb_hash_compare(&heap[index].hash, &heap[child].hash) >= 0) {
            return;
        }
        struct bb_listed swap = heap[index];
        heap[index] = heap[child];
        heap[child] = swap;
        index = child;
    }
}

static void heap_up(struct bb_listed *heap, uint32_t index)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / 2;
        if (bb_hash_compare(&heap[parent].hash, &heap[index].hash) >= 0) {
            return;
        }
        struct bb_listed swap = heap[index];
        heap[index] = heap[parent];
        heap[parent] = swap;
        index = parent;
    }
}

static void heap_sort(struct bb_listed *heap, uint32_t count)
{
    for (uint32_t left = count; left > 1; left--) {
        struct bb_listed swap = heap[0];
        heap[0] = heap[left - 1];
        heap[left - 1] = swap;
        heap_down(heap, left - 1, 0);
    }
}

/* Collects into listing->fresh the live hashes of the delta within (after, below], at D; sorted. */
static uint32_t collect_fresh(struct bb_store *store, const struct bb_hash *after,
                              const struct bb_hash *last, uint32_t limit)
{
    struct bb_listed *heap = store->listing.fresh;
    uint64_t durable = store->journal.durable.at.sequence;
    uint32_t count = 0;
    for (uint64_t p = store->delta.first; p < store->journal.durable.delta_end; p++) {
        const struct bb_delta_item *item = bb_delta_at(&store->delta, p);
        if (item->op == BB_ITEM_DELETE ||
            (after != NULL && bb_hash_compare(&item->hash, after) <= 0) ||
            (last != NULL && bb_hash_compare(&item->hash, last) > 0) ||
            (count == limit && bb_hash_compare(&item->hash, &heap[0].hash) >= 0) ||
            bb_delta_find(&store->delta, &item->hash, durable) != item) {
            continue;
        }
        struct bb_listed listed = {.hash = item->hash, .size = item->size};
        if (count < limit) {
            heap[count] = listed;
            heap_up(heap, count++);
        } else {
            heap[0] = listed;
            heap_down(heap, count, 0);
        }
    }
    heap_sort(heap, count);
    return count;
}

/* Merges the index's page (without what the delta has deleted) and the fresh ones into the reply.
 */
static void list_merge(struct bb_store *store, struct bb_op *op, uint32_t indexed_count,
                       uint32_t fresh_count, bool index_has_more)
{
    struct listing *listing = &store->listing;
    uint64_t durable = store->journal.durable.at.sequence;
    uint32_t limit = op->list.count, i = 0, j = 0, out = 0;
    bool cut = false;
    while (i < indexed_count || j < fresh_count) {
        const struct bb_listed *indexed = i < indexed_count ? &listing->indexed[i] : NULL;
        const struct bb_listed *fresh = j < fresh_count ? &listing->fresh[j] : NULL;
        int order = indexed == NULL ? 1
                    : fresh == NULL ? -1
                                    : bb_hash_compare(&indexed->hash, &fresh->hash);
        const struct bb_listed *take = order <= 0 ? indexed : fresh;
        i += order <= 0;
        j += order >= 0;
        if (order < 0) {
            const struct bb_delta_item *item =
                bb_delta_find(&store->delta, &indexed->hash, durable);
            if (item != NULL && item->op == BB_ITEM_DELETE) {
                continue;
            }
        }
        if (out == limit) {
            cut = true;
            break;
        }
        op->list.entries[out++] = *take;
    }
    bool full = cut || fresh_count == limit;
    op->list.count = out;
    op->list.more = full || index_has_more;
    if (full) {
        op->list.next = op->list.entries[out - 1].hash;
    } else if (index_has_more) {
        op->list.next = listing->indexed[indexed_count - 1].hash;
    }
}

void listing_list_done(struct bb_store *store)
{
    struct listing *listing = &store->listing;
    struct bb_op *op = listing->list_op;
    int result = listing->list_job.result;
    if (result == 0 && listing->list_generation != store->generation) {
        list_ask(store);
        return;
    }
    if (result == 0) {
        uint32_t indexed = listing->list_job.count;
        bool more = indexed == op->list.count;
        const struct bb_hash *last = more ? &listing->indexed[indexed - 1].hash : NULL;
        uint32_t fresh = collect_fresh(store, op->list.from_start ? NULL : &op->list.after, last,
                                       op->list.count);
        list_merge(store, op, indexed, fresh, more);
    }
    listing->list_op = NULL;
    store_reply(store, op, result);
}
