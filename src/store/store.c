/* SPDX-License-Identifier: Apache-2.0
 * The engine's frame: opening, the turn, stopping, status. Owner: the controller. */
#include "engine.h"

#include "bb/fill.h"

#include <limits.h>

/* Bytes per delta item: itself, its buckets at worst load, two sort orders. */
static uint32_t delta_capacity(size_t memory)
{
    size_t each =
        sizeof(struct bb_delta_item) + 2 * sizeof(uint32_t) + 2 * sizeof(struct sort_entry);
    return (uint32_t)bb_min_u64(memory / each, UINT32_MAX / 2);
}

/* What an engine that only reads is made of. */
static int reading_parts_open(struct bb_store *store)
{
    store->delta = *store->config.replayed;
    int result = bb_pins_init(&store->pins, store->config.arena, store->config.op_max + 1);
    if (result == 0) {
        result = journal_open(store);
    }
    return result == 0 ? listing_open(store) : result;
}

static int parts_open(struct bb_store *store)
{
    if (store_only_reads(store)) {
        return reading_parts_open(store);
    }
    int result =
        bb_delta_init(&store->delta, store->config.arena, delta_capacity(store->config.memory));
    if (result == 0) {
        result = bb_pins_init(&store->pins, store->config.arena, store->config.op_max + 1);
    }
    if (result == 0) {
        result = journal_open(store);
    }
    if (result == 0) {
        result = checkpoint_open(store);
    }
    if (result == 0) {
        result = super_write_open(store);
    }
    if (result == 0) {
        result = zone_open(store);
    }
    if (result == 0) {
        result = trim_open(store);
    }
    if (result == 0) {
        result = scrub_open(store);
    }
    return result == 0 ? listing_open(store) : result;
}

int bb_store_open(const struct bb_store_config *config, struct bb_store **ret_store)
{
    BB_ASSERT(config->port_count > 0);
    BB_ASSERT(config->slice_max > 0);
    if (config->replayed == NULL && delta_capacity(config->memory) < 4 * BB_RECORD_ITEMS_MAX) {
        return BB_ERR_MEMORY;
    }
    struct bb_store *store = bb_arena_alloc(config->arena, sizeof(*store), 64);
    if (store == NULL) {
        return BB_ERR_MEMORY;
    }
    store->config = *config;
    store->super = config->super;
    store->generation = 1;
    store->index_room = config->index_room;
    int result = parts_open(store);
    if (result == 0) {
        *ret_store = store;
    }
    return result;
}

int bb_store_ready(struct bb_store *store, struct bb_buddy *buddy, const struct bb_filled *filled)
{
    BB_ASSERT(!store->filled);
    BB_ASSERT(bb_buddy_total_units(buddy) ==
              bb_layout_units(&store->super.layout, store->super.open_zone_count));
    if (!bb_set_equal(&filled->set, &store->super.anchor.set)) {
        return BB_ERR_SET_MISMATCH;
    }
    store->buddy = buddy;
    store->used_units = bb_buddy_total_units(buddy) - bb_buddy_free_units(buddy);
    store->block_bytes = filled->bytes;
    store->filled = true;
    store->writable = !store_only_reads(store);
    scrub_ready(store);
    if (store->writable) {
        trim_ready(store);
    }
    return 0;
}

void store_reply(struct bb_store *store, struct bb_op *op, int result)
{
    BB_ASSERT(op->next == NULL);
    op->result = result;
    if (op == &store->scrub.op) {
        scrub_answered(store, result);
        return;
    }
    store->config.reply(store->config.context, op);
}

void store_free(struct bb_store *store, uint64_t unit, uint64_t count)
{
    int result = bb_buddy_free(store->buddy, unit, count);
    BB_ASSERT(result == 0);
    if (store->trim.watching) {
        trim_freed(store, unit, count);
    }
    store->reserve.retry |= store->reserve.waiting.head != NULL;
}

static void fail_all(struct bb_store *store, struct bb_op_list *list)
{
    struct bb_op_list ops = op_take_all(list);
    for (struct bb_op *op = op_pop(&ops); op != NULL; op = op_pop(&ops)) {
        store_reply(store, op, BB_ERR_FATAL);
    }
}

void store_fail(struct bb_store *store, int error, const char *what)
{
    BB_ASSERT(error != 0);
    if (store->fatal != 0) {
        return;
    }
    store->fatal = error;
    store->writable = false;
    store->config.fatal(store->config.context, error, what);
    fail_all(store, &store->journal.flight_ops);
    fail_all(store, &store->journal.window_ops);
    fail_all(store, &store->waiting);
    fail_all(store, &store->reserve.waiting);
}

void bb_store_submit(struct bb_store *store, struct bb_op *op)
{
    op->next = NULL;
    op->generation = 0;
    op->sequence = 0;
    switch (op->kind) {
    case BB_OP_RESERVE:
        reserve_submit(store, op);
        break;
    case BB_OP_EXISTS:
    case BB_OP_LIST:
        listing_submit(store, op);
        break;
    default:
        op_step(store, op);
        break;
    }
}

void bb_store_message(struct bb_store *store, uint64_t word)
{
    uint32_t credits = word >> 4 & 1023, count = word >> 14 & 1023;
    uint64_t unit = word >> 24;
    if (bb_message_kind(word) == BB_MSG_UNPIN) {
        uint32_t units = bb_pins_remove(&store->pins, unit);
        if (units > 0) {
            store_free(store, unit, units);
        }
        return;
    }
    if (bb_message_kind(word) == BB_MSG_RECALLED) {
        reserve_recalled(store);
        return;
    }
    BB_ASSERT(bb_message_kind(word) == BB_MSG_RELEASE ||
              bb_message_kind(word) == BB_MSG_QUARANTINE);
    BB_ASSERT(store->reserve.credits >= credits);
    store->reserve.credits -= credits;
    if (bb_message_kind(word) == BB_MSG_RELEASE) {
        store_free(store, unit, count);
    } else {
        store->quarantined_units += count;
    }
    store->reserve.retry = true;
}

void bb_store_job_done(struct bb_store *store, struct bb_index_job *job)
{
    if (job == &store->checkpoint.job) {
        checkpoint_folded(store);
    } else if (job == &store->scrub.job) {
        scrub_job_done(store);
    } else if (job == &store->listing.exists_job) {
        listing_exists_done(store);
    } else if (job == &store->listing.list_job) {
        listing_list_done(store);
    } else {
        lookups_done(store, job);
    }
}

static void retry_waiting(struct bb_store *store)
{
    if (!store->retry) {
        return;
    }
    store->retry = false;
    struct bb_op_list ops = op_take_all(&store->waiting);
    for (struct bb_op *op = op_pop(&ops); op != NULL; op = op_pop(&ops)) {
        op_step(store, op);
    }
}

static void clean_done(struct bb_store *store)
{
    BB_KILL_POINT(STOP_MARKED);
    store->stopped = true;
}

/* Everything is durable, folded and carried by a record: the mark may be set. */
static void stop_turn(struct bb_store *store)
{
    if (!store->stopping || store->clean_written || store->fatal != 0) {
        return;
    }
    bool quiet = journal_is_quiet(store) && store->waiting.head == NULL &&
                 store->checkpoint.state == CHECKPOINT_IDLE && store->zone.state == ZONE_IDLE &&
                 bb_delta_count(&store->delta) == 0 && !super_write_busy(store) &&
                 !journal_idle_due(store) && !trim_holds(store) && scrub_is_quiet(store);
    if (quiet) {
        store->clean_written = true;
        store->super.clean = true;
        store->super.clean_sequence = store->journal.last.sequence;
        super_write_start(store, clean_done);
    }
}

static int next_deadline(const struct bb_store *store)
{
    const struct journal *journal = &store->journal;
    if (store->fatal != 0 || journal->state != JOURNAL_IDLE) {
        return -1;
    }
    if (journal_waits(store)) {
        return 1;
    }
    uint64_t quiet = store->now_ms - journal->quiet_since_ms, due;
    if (journal_idle_due(store)) {
        due = BB_IDLE_RECORD_MS;
    } else if (bb_delta_count(&store->delta) > 0 && store->checkpoint.state == CHECKPOINT_IDLE) {
        due = BB_IDLE_CHECKPOINT_MS;
    } else {
        return -1;
    }
    uint64_t wait = quiet >= due ? 1 : due - quiet;
    if (checkpoint_is_put_off(store))
        wait = bb_max_u64(wait, store->checkpoint.put_off_ms - store->now_ms);
    return (int)wait;
}

/* Nothing waits and nothing is due: there is only what was asked. */
static int reading_turn(struct bb_store *store)
{
    lookups_turn(store);
    listing_turn(store);
    store->stopped = store->stopping;
    return -1;
}

/* The sooner of what the engine and what the scrub waits for. */
static int sooner(const struct bb_store *store, int wait_ms)
{
    uint64_t wake_ms = store->scrub.wake_ms;
    if (wake_ms == BB_SCRUB_NEVER || store->fatal != 0)
        return wait_ms;
    uint64_t scrub_ms = wake_ms > store->now_ms ? wake_ms - store->now_ms : 0;
    return wait_ms >= 0 && (uint64_t)wait_ms <= scrub_ms ? wait_ms
                                                         : (int)bb_min_u64(scrub_ms, INT_MAX);
}

int bb_store_turn(struct bb_store *store, uint64_t now_ms)
{
    BB_ASSERT(now_ms >= store->now_ms);
    store->now_ms = now_ms;
    if (store_only_reads(store)) {
        return reading_turn(store);
    }
    if (store->checkpoint.ended_ms == 0)
        store->checkpoint.ended_ms = now_ms; /* recovery ended with one */
    zone_turn(store);
    if (now_ms >= store->scrub.wake_ms || store->stopping)
        scrub_turn(store);
    retry_waiting(store);
    reserve_turn(store);
    checkpoint_turn(store);
    journal_turn(store);
    if (store->retry) { /* the window just went out: what waited for room forms the next one */
        retry_waiting(store);
    }
    lookups_turn(store);
    listing_turn(store);
    if (store->trim.state != TRIM_OFF) {
        trim_turn(store);
    }
    stop_turn(store);
    int wait_ms = sooner(store, next_deadline(store));
    return store->trim.state != TRIM_OFF ? trim_deadline(store, wait_ms) : wait_ms;
}

void bb_store_stop(struct bb_store *store)
{
    store->stopping = true;
    store->writable = false;
    store->scrub.wake_ms = 0;
}

bool bb_store_is_stopped(const struct bb_store *store)
{
    return store->stopped;
}

void bb_store_checkpoint(struct bb_store *store)
{
    store->checkpoint.wanted = true;
}

void bb_store_get_status(const struct bb_store *store, struct bb_store_status *ret_status)
{
    struct bb_store_status status = store->counters;
    const struct bb_layout *layout = &store->super.layout;
    status.writable = store->writable;
    status.stopped = store->stopped;
    status.fatal = store->fatal;
    status.block_count = store->journal.durable.set.count;
    status.used_units = store->used_units;
    status.padding_bytes = store->used_units * BB_UNIT_SIZE - store->block_bytes;
    status.total_units = bb_layout_units(layout, layout->zone_count);
    status.quarantined_units = store->quarantined_units;
    status.free_units = status.total_units - status.used_units - status.quarantined_units;
    status.largest_order = store->filled ? bb_buddy_largest_order(store->buddy) : -1;
    if (store->super.open_zone_count < layout->zone_count) {
        status.largest_order = BB_ORDER_MAX;
    }
    status.zone_count = layout->zone_count;
    status.open_zone_count = store->super.open_zone_count;
    status.sequence = store->journal.last.sequence;
    status.window_held = journal_holds(store);
    status.durable = store->journal.durable.at.sequence;
    status.epoch = store->super.epoch;
    status.journal_units = layout->journal_units;
    status.journal_used_units = journal_used_units(store);
    status.delta_items = bb_delta_count(&store->delta);
    status.delta_max = store->delta.capacity;
    status.index_room = store->index_room;
    status.checkpoint_running = store->checkpoint.state != CHECKPOINT_IDLE;
    status.checkpoint_age_ms = store->now_ms - store->checkpoint.ended_ms;
    for (unsigned order = 0; store->filled && order < BB_ORDER_COUNT; order++)
        status.free_by_order[order] = bb_buddy_free_count(store->buddy, order);
    trim_get_status(store, &status.trim);
    bb_scrub_get_status(store, &status.scrub);
    *ret_status = status;
}

const struct bb_buddy *bb_store_buddy(const struct bb_store *store)
{
    return store->filled ? store->buddy : NULL;
}

void bb_store_verify(const struct bb_store *store)
{
    const struct journal *journal = &store->journal;
    BB_ASSERT(journal->durable.at.sequence <= journal->last.sequence);
    BB_ASSERT(journal->last.sequence <= journal->durable.at.sequence + 1);
    BB_ASSERT(journal->tail_sequence <= journal->anchor.sequence);
    BB_ASSERT(journal->anchor.sequence <= journal->durable.at.sequence);
    BB_ASSERT(store->delta.first <= journal->durable.delta_end);
    BB_ASSERT(journal->durable.delta_end <= journal->window_first);
    BB_ASSERT(journal->window_first <= store->delta.end);
    if (store->filled) {
        bb_buddy_verify(store->buddy);
        BB_ASSERT(bb_buddy_free_units(store->buddy) + store->used_units <=
                  bb_buddy_total_units(store->buddy));
    }
}
