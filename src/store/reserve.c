/* SPDX-License-Identifier: Apache-2.0
 * Room for PUTs before their bodies are read. One credit is one extent, one unit of the ring, one
 * item of the delta and one record of the index; it is used up by the commit or comes back with the
 * extent. Owner: the controller.
 *
 * Lack of ring or delta room waits for a checkpoint. Lack of space first opens zones, then recalls
 * the pools of all workers, and only what still fails after a whole recall round is 507.
 */
#include "engine.h"

/* PUTs stop at 3/4 of the ring and of the delta. */
static uint64_t three_quarters(uint64_t all)
{
    return all / 4 * 3;
}

static uint64_t room_below(uint64_t max, uint64_t used)
{
    return used < max ? max - used : 0;
}

/* Extents that one run of a pool may have: all pools together hold at most 1/64 of what is free,
 * and at most half of the credits. Every port has two runs per order. */
static uint32_t pool_share(const struct bb_store *store, unsigned order)
{
    uint64_t runs = 2ull * store->config.port_count * BB_ORDER_COUNT;
    uint64_t credits =
        three_quarters(bb_min_u64(store->super.layout.journal_units, store->delta.capacity));
    uint64_t by_space = (bb_buddy_free_units(store->buddy) / 64 >> order) / runs;
    uint64_t by_credit = credits / 2 / runs;
    return (uint32_t)bb_min_u64(bb_max_u64(bb_min_u64(by_space, by_credit), 1), 256);
}

static uint64_t ring_room(const struct bb_store *store)
{
    return room_below(three_quarters(store->super.layout.journal_units),
                      journal_used_units(store) + store->reserve.credits);
}

static uint64_t delta_room(const struct bb_store *store)
{
    return room_below(three_quarters(store->delta.capacity),
                      bb_delta_count(&store->delta) + store->reserve.credits);
}

static uint64_t index_room(const struct bb_store *store)
{
    return room_below(store->index_room, bb_delta_count(&store->delta) + store->reserve.credits);
}

/* Whether a recall of the pools may still help; starts one if so. *round is the one whose end is
 * waited for, 0 at first. */
static bool wait_for_recall(struct bb_store *store, uint64_t *round)
{
    struct reserve *reserve = &store->reserve;
    if (*round == 0) {
        *round = reserve->recall_started + 1;
    }
    if (reserve->recall_round >= *round) {
        return false;
    }
    if (reserve->recalled_left == 0) {
        reserve->recalled_left = store->config.port_count;
        reserve->recall_started++;
        for (uint32_t port = 0; port < store->config.port_count; port++) {
            store->config.recall(store->config.context, port);
        }
    }
    return true;
}

/* Whether the index would have room if everything were folded: DELETEs give records back. */
static bool index_would_have_room(const struct bb_store *store)
{
    const struct journal *journal = &store->journal;
    uint64_t wanted = journal->set.count + store->reserve.credits, held = journal->anchor.set.count;
    return wanted <= held || store->index_room > wanted - held;
}

/* Whether a checkpoint, running or to come, may make room; wants one if need be. Folding empties
 * the delta and tells the index's true room; the record behind a checkpoint frees the ring. At rest
 * nothing but that record stands behind the anchor, and one more would free nothing. */
static bool wait_for_checkpoint(struct bb_store *store)
{
    const struct journal *journal = &store->journal;
    if (checkpoint_is_put_off(store)) {
        return false; /* full, and only DELETEs can change that */
    }
    bool short_of_items = ring_room(store) == 0 || delta_room(store) == 0;
    if (bb_delta_count(&store->delta) > 0 && (short_of_items || index_would_have_room(store) ||
                                              store->checkpoint.state != CHECKPOINT_IDLE)) {
        checkpoint_want(store);
        return true;
    }
    if (ring_room(store) > 0) {
        return false;
    }
    if (journal->anchor.sequence > journal->tail_sequence) {
        return true; /* that record is due or on its way */
    }
    if (journal->last.sequence > journal->anchor.sequence + 1) {
        checkpoint_want(store);
        return true;
    }
    return false;
}

/* No credit to give. True when the op has been answered. */
static bool no_credit(struct bb_store *store, struct bb_op *op)
{
    if (wait_for_checkpoint(store) || wait_for_recall(store, &op->sequence)) {
        return false;
    }
    store_reply(store, op, index_room(store) == 0 ? BB_ERR_INDEX_FULL : BB_ERR_BUSY);
    return true;
}

/* True when the op has been answered. */
static bool reserve_step(struct bb_store *store, struct bb_op *op)
{
    if (store->fatal != 0 || !store->writable) {
        store_reply(store, op, store->fatal != 0 ? BB_ERR_FATAL : BB_ERR_NOT_READY);
        return true;
    }
    uint64_t credits =
        bb_min_u64(bb_min_u64(ring_room(store), delta_room(store)), index_room(store));
    if (credits == 0) {
        return no_credit(store, op);
    }
    uint32_t wanted = (uint32_t)bb_min_u64(op->run_count, pool_share(store, op->order));
    wanted = (uint32_t)bb_min_u64(wanted, credits);
    unsigned count = 0;
    int result = bb_buddy_allocate_run(store->buddy, op->order, wanted, &op->unit, &count);
    if (result == 0) {
        op->run_count = count;
        store->reserve.credits += count;
        store_reply(store, op, 0);
        return true;
    }
    BB_ASSERT(result == -ENOSPC);
    if (trim_holds(store) || zone_is_opening_or_can(store) ||
        wait_for_recall(store, &op->generation)) {
        return false;
    }
    store_reply(store, op, BB_ERR_NO_SPACE);
    return true;
}

void reserve_submit(struct bb_store *store, struct bb_op *op)
{
    BB_ASSERT(op->order < BB_ORDER_COUNT);
    BB_ASSERT(op->run_count > 0);
    op->sequence = op->generation = 0; /* recall rounds: for a credit, for space */
    if (store->reserve.waiting.head != NULL || !reserve_step(store, op)) {
        op_push(&store->reserve.waiting, op);
    }
}

void reserve_recalled(struct bb_store *store)
{
    struct reserve *reserve = &store->reserve;
    BB_ASSERT(reserve->recalled_left > 0);
    if (--reserve->recalled_left == 0) {
        reserve->recall_round++;
        reserve->retry = true;
    }
}

void reserve_turn(struct bb_store *store)
{
    struct reserve *reserve = &store->reserve;
    if (!reserve->retry && store->fatal == 0 && store->writable) {
        return;
    }
    reserve->retry = false;
    struct bb_op_list ops = op_take_all(&reserve->waiting);
    for (struct bb_op *op = op_pop(&ops); op != NULL; op = op_pop(&ops)) {
        if (!reserve_step(store, op)) {
            op_push(&reserve->waiting, op);
        }
    }
}
