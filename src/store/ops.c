/* SPDX-License-Identifier: Apache-2.0
 * One operation on one hash. Owner: the controller.
 *
 * Reads answer from the state at D. A PUT, DELETE or MARK on a hash with an item above D waits, so
 * that per hash there is never more than one operation that a crash could undo. An op is stepped
 * again from the start whenever what it waited for may have happened; it keeps no state but a
 * looked up entry, which counts only while store->generation is what it was.
 */
#include "engine.h"

static void entry_of_item(const struct bb_delta_item *item, struct bb_index_entry *ret_entry)
{
    *ret_entry = (struct bb_index_entry){
        .unit = item->unit,
        .size = item->size,
        .flags = item->op == BB_ITEM_MARK ? BB_INDEX_CORRUPT : 0,
    };
}

int op_find(struct bb_store *store, struct bb_op *op, uint64_t up_to,
            struct bb_index_entry *ret_entry)
{
    const struct bb_delta_item *item = bb_delta_find(&store->delta, &op->hash, up_to);
    if (item != NULL) {
        if (item->op == BB_ITEM_DELETE) {
            return -ENOENT;
        }
        entry_of_item(item, ret_entry);
        return 0;
    }
    if (op->generation == store->generation) {
        *ret_entry = op->entry;
        return op->entry_result;
    }
    return store->config.index.lookup(store->config.index.context, &op->hash, ret_entry);
}

static void lookup_step(struct bb_store *store, struct bb_op *op)
{
    struct bb_index_entry entry;
    uint64_t up_to = bb_planted(READ_AT_WRITE) ? UINT64_MAX : store->journal.durable.at.sequence;
    int result = op_find(store, op, up_to, &entry);
    if (result == BB_ERR_WOULD_FAULT) {
        op_push(&store->faulting, op);
        return;
    }
    if (result == 0) {
        op->unit = entry.unit;
        op->size = entry.size;
        if ((entry.flags & BB_INDEX_CORRUPT) != 0) {
            result = BB_ERR_CORRUPT;
        } else if ((op->flags & BB_OP_PIN) != 0) {
            bb_pins_add(&store->pins, entry.unit);
        }
    }
    store_reply(store, op, result);
}

/* The op's item has been appended: it is answered when the record of the window is <= D. */
static void join_window(struct bb_store *store, struct bb_op *op)
{
    op->sequence = journal_window_sequence(store);
    op_push(&store->journal.window_ops, op);
    BB_KILL_POINT(ITEM_APPENDED);
}

static void give_extent_back(struct bb_store *store, const struct bb_op *op)
{
    BB_ASSERT(store->reserve.credits > 0);
    store->reserve.credits--;
    store_free(store, op->unit, (uint64_t)1 << op->order);
}

/* The hash is bound to nothing (found is -ENOENT) or to an extent whose bytes are wrong. */
static void put_commit(struct bb_store *store, struct bb_op *op, int found,
                       const struct bb_index_entry *old)
{
    uint32_t units = bb_units_of(op->size);
    uint32_t reserved = (uint32_t)1 << op->order;
    BB_ASSERT(units <= reserved);
    BB_ASSERT(store->reserve.credits > 0);
    if (found == 0) { /* heal: the only DELETE and PUT of one hash in one record */
        struct bb_item remove = {
            .op = BB_ITEM_DELETE, .size = old->size, .unit = old->unit, .hash = op->hash};
        journal_append(store, &remove);
        store->counters.heals++;
        if (bb_planted(HEAL_IN_TWO_RECORDS)) {
            op_push(&store->waiting, op);
            return;
        }
    }
    struct bb_item put = {.op = BB_ITEM_PUT, .size = op->size, .unit = op->unit, .hash = op->hash};
    journal_append(store, &put);
    store->reserve.credits--;
    if (units < reserved) { /* exact fit: the tail was never written */
        store_free(store, op->unit + units, reserved - units);
    }
    store->counters.puts++;
    join_window(store, op);
}

static void put_step(struct bb_store *store, struct bb_op *op, int found,
                     const struct bb_index_entry *entry)
{
    if (found == 0 && (entry->flags & BB_INDEX_CORRUPT) == 0) {
        store->counters.duplicates++;
        give_extent_back(store, op);
        store_reply(store, op, (op->flags & BB_OP_NO_REPLACE) != 0 ? BB_ERR_EXISTS : 1);
        return;
    }
    put_commit(store, op, found, entry);
}

static void delete_step(struct bb_store *store, struct bb_op *op, int found,
                        const struct bb_index_entry *entry)
{
    if (found == -ENOENT) {
        store_reply(store, op, -ENOENT);
        return;
    }
    struct bb_item item = {
        .op = BB_ITEM_DELETE, .size = entry->size, .unit = entry->unit, .hash = op->hash};
    journal_append(store, &item);
    if (bb_planted(TRIM_EARLY)) {
        trim_at_once(store, entry->unit, bb_units_of(entry->size));
    }
    if (bb_planted(REUSE_EARLY) &&
        !bb_pins_defer_free(&store->pins, entry->unit, bb_units_of(entry->size))) {
        store->used_units -= bb_units_of(entry->size);
        store->block_bytes -= entry->size;
        store_free(store, entry->unit, bb_units_of(entry->size));
    }
    store->counters.deletes++;
    join_window(store, op);
}

static void mark_step(struct bb_store *store, struct bb_op *op, int found,
                      const struct bb_index_entry *entry)
{
    if (found == -ENOENT || (entry->unit != op->unit && !bb_planted(SCRUB_MARK_BLIND))) {
        store_reply(store, op, -ENOENT); /* deleted or healed meanwhile */
        return;
    }
    if ((entry->flags & BB_INDEX_CORRUPT) != 0) {
        store_reply(store, op, 0);
        return;
    }
    struct bb_item item = {
        .op = BB_ITEM_MARK, .size = entry->size, .unit = entry->unit, .hash = op->hash};
    store->counters.marks++;
    if (store_only_reads(store)) {
        journal_remember(store, &item);
        store_reply(store, op, 0);
        return;
    }
    journal_append(store, &item);
    join_window(store, op);
}

/* PUTs reserved their item; what has no reservation leaves those alone. A full window goes out by
 * itself, a full delta wants a checkpoint. */
static bool has_item_room(struct bb_store *store, const struct bb_op *op, uint32_t extra)
{
    uint64_t used = bb_delta_count(&store->delta) + store->reserve.credits;
    uint32_t unreserved = op->kind == BB_OP_PUT ? extra - 1 : extra;
    if (used + unreserved > store->delta.capacity) {
        checkpoint_want(store);
        return false;
    }
    return journal_has_room(store, extra);
}

/* The only write of an engine that only reads: it stays in memory. */
static void remember_step(struct bb_store *store, struct bb_op *op)
{
    struct bb_index_entry entry = {0};
    int found = op_find(store, op, UINT64_MAX, &entry);
    if (found == BB_ERR_WOULD_FAULT) {
        op_push(&store->faulting, op);
    } else if (found != 0 && found != -ENOENT) {
        store_reply(store, op, found);
    } else {
        mark_step(store, op, found, &entry);
    }
}

static void write_step(struct bb_store *store, struct bb_op *op)
{
    if (store_only_reads(store) && op->kind == BB_OP_MARK) {
        remember_step(store, op);
        return;
    }
    if (store->fatal != 0 || !store->writable) {
        if (op->kind == BB_OP_PUT) {
            give_extent_back(store, op);
        }
        store_reply(store, op, store->fatal != 0 ? BB_ERR_FATAL : BB_ERR_NOT_READY);
        return;
    }
    const struct bb_delta_item *newest = bb_delta_find(&store->delta, &op->hash, UINT64_MAX);
    if (newest != NULL && newest->sequence > store->journal.durable.at.sequence &&
        !bb_planted(NO_WAIT) &&
        !(bb_planted(DUPLICATE_EARLY) && op->kind == BB_OP_PUT && newest->op == BB_ITEM_PUT)) {
        op_push(&store->waiting, op);
        return;
    }
    struct bb_index_entry entry = {0};
    int found = op_find(store, op, UINT64_MAX, &entry);
    if (found == BB_ERR_WOULD_FAULT) {
        op_push(&store->faulting, op);
        return;
    }
    if (found != 0 && found != -ENOENT) {
        if (op->kind == BB_OP_PUT) {
            give_extent_back(store, op);
        }
        store_reply(store, op, found);
        return;
    }
    if (!has_item_room(store, op, op->kind == BB_OP_PUT && found == 0 ? 2 : 1)) {
        op_push(&store->waiting, op);
        return;
    }
    if (op->kind == BB_OP_PUT) {
        put_step(store, op, found, &entry);
    } else if (op->kind == BB_OP_DELETE) {
        delete_step(store, op, found, &entry);
    } else {
        BB_ASSERT(op->kind == BB_OP_MARK);
        mark_step(store, op, found, &entry);
    }
}

void op_step(struct bb_store *store, struct bb_op *op)
{
    BB_ASSERT(op->next == NULL);
    if (op->kind == BB_OP_LOOKUP) {
        lookup_step(store, op);
    } else {
        write_step(store, op);
    }
}
