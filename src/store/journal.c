/* SPDX-License-Identifier: Apache-2.0
 * Commit windows: items that arrive while a record is on its way form the next one. Owner: the
 * controller.
 *
 *   IDLE --items (and no more about to come), anchor or watermark due, and room--> WRITING
 *   WRITING --record complete--> FLUSHING (waits for a flush submitted from here on)
 *   FLUSHING --flush complete--> IDLE: D advances, replies go out, extents of DELETEs become free
 *
 * Ring: what lies between the oldest anchor kept (tail) and the head is never overwritten. The tail
 * moves when a record that carries a newer anchor is durable. The last 16 free units are used only
 * by a record whose anchor is newer than the tail, and such a record leaves one unit: so the record
 * that frees the ring always fits.
 */
#include "engine.h"

static uint64_t ring_units(const struct bb_store *store)
{
    return store->super.layout.journal_units;
}

/* Where a record of `units` would start if the last one ended at `head`; false: no room. */
static bool ring_place(const struct bb_store *store, uint64_t head, uint32_t units,
                       uint64_t *ret_position)
{
    uint64_t size = ring_units(store), tail = store->journal.tail_position;
    BB_ASSERT(head <= size);
    BB_ASSERT(tail < size);
    if (bb_planted(ANCHOR_OVERWRITTEN) &&
        store->journal.last.sequence != store->journal.tail_sequence) {
        tail = (tail + 1) % size;
    }
    if (head > tail) { /* kept: [tail, head) */
        if (head + units <= size) {
            *ret_position = head;
            return true;
        }
        *ret_position = 0;
        return units <= tail;
    }
    *ret_position = head; /* kept: [tail, size) and [0, head) */
    return head + units <= tail;
}

static uint64_t ring_head(const struct bb_store *store)
{
    return store->journal.last.position + store->journal.last.units;
}

static uint64_t ring_distance(const struct bb_store *store, uint64_t from)
{
    uint64_t head = ring_head(store), size = ring_units(store);
    return head > from ? head - from : head + size - from;
}

uint64_t journal_used_units(const struct bb_store *store)
{
    return ring_distance(store, store->journal.tail_position);
}

uint64_t journal_units_since_anchor(const struct bb_store *store)
{
    return store->journal.last.sequence == store->journal.anchor.sequence
               ? 0
               : ring_distance(store, store->journal.anchor.position);
}

int journal_open(struct bb_store *store)
{
    struct journal *journal = &store->journal;
    const struct bb_super *super = &store->super;
    journal->buffer =
        bb_arena_alloc(store->config.arena, BB_RECORD_UNITS_MAX * BB_UNIT_SIZE, BB_UNIT_SIZE);
    if (journal->buffer == NULL) {
        return BB_ERR_MEMORY;
    }
    BB_ASSERT(super->anchor.sequence == store->config.last.sequence);
    journal->last = store->config.last;
    journal->anchor = super->anchor;
    journal->set = super->anchor.set;
    journal->durable = (struct journal_mark){
        .at = journal->last, .set = journal->set, .delta_end = store->delta.end};
    journal->disk_watermark = journal->last.sequence;
    journal->last_item_sequence = 0;
    /* right after the epoch change only the anchor's record is protected */
    journal->tail_sequence = super->anchor.sequence;
    journal->tail_position = super->anchor.position;
    journal->window_first = store->delta.end;
    return 0;
}

uint64_t journal_window_sequence(const struct bb_store *store)
{
    return store->journal.last.sequence + 1;
}

static uint32_t window_items(const struct bb_store *store)
{
    return (uint32_t)(store->delta.end - store->journal.window_first);
}

bool journal_has_room(const struct bb_store *store, uint32_t items)
{
    return window_items(store) + items <= BB_RECORD_ITEMS_MAX &&
           bb_delta_count(&store->delta) + items <= store->delta.capacity;
}

void journal_append(struct bb_store *store, const struct bb_item *item)
{
    struct journal *journal = &store->journal;
    BB_ASSERT(journal_has_room(store, 1));
    bb_delta_append(&store->delta, journal_window_sequence(store), item);
    if (item->op == BB_ITEM_PUT) {
        bb_set_add(&journal->set, &item->hash, item->unit, item->size);
    } else if (item->op == BB_ITEM_DELETE) {
        bb_set_remove(&journal->set, &item->hash, item->unit, item->size);
    }
    journal->quiet_since_ms = store->now_ms;
}

void journal_remember(struct bb_store *store, const struct bb_item *item)
{
    struct journal *journal = &store->journal;
    BB_ASSERT(store_only_reads(store));
    if (bb_delta_count(&store->delta) == store->delta.capacity) {
        return;
    }
    bb_delta_append(&store->delta, journal->durable.at.sequence, item);
    journal->durable.delta_end = journal->window_first = store->delta.end;
}

static void free_deleted(struct bb_store *store, const struct bb_delta_item *item)
{
    uint32_t units = bb_units_of(item->size);
    BB_ASSERT(store->used_units >= units);
    store->used_units -= units;
    store->block_bytes -= item->size;
    if (bb_planted(PIN_MISSING) || !bb_pins_defer_free(&store->pins, item->unit, units)) {
        store_free(store, item->unit, units);
    } else if (bb_planted(TRIM_PINNED)) {
        trim_at_once(store, item->unit, units);
    }
}

/* Writes of blocks that are on their way, of all ports. */
static uint32_t data_coming(const struct bb_store *store)
{
    const struct bb_store_config *config = &store->config;
    return config->data_writes != NULL ? config->data_writes(config->context)
                                       : config->io->data_writes;
}

static void window_flushed(struct bb_store *store)
{
    struct journal *journal = &store->journal;
    if (bb_planted(FLUSH_BEFORE_COMPLETION) && journal->state == JOURNAL_WRITING) {
        journal->state = JOURNAL_FLUSHING; /* the other one of write and flush is still out */
        return;
    }
    BB_ASSERT(journal->state == JOURNAL_FLUSHING);
    journal->state = JOURNAL_IDLE;
    BB_KILL_POINT(RECORD_FLUSHED);
    BB_ASSERT(journal->flight.at.sequence == journal->durable.at.sequence + 1 ||
              bb_planted(IDLE_SHARES_NUMBER));
    for (uint64_t p = journal->flight_first; p < journal->flight.delta_end; p++) {
        const struct bb_delta_item *item = bb_delta_at(&store->delta, p);
        BB_ASSERT(item->sequence == journal->flight.at.sequence);
        if (item->op == BB_ITEM_DELETE && !bb_planted(REUSE_EARLY)) {
            free_deleted(store, item);
        } else if (item->op == BB_ITEM_PUT) {
            store->used_units += bb_units_of(item->size);
            store->block_bytes += item->size;
        }
    }
    journal->durable = journal->flight;
    journal->disk_watermark = journal->flight_watermark;
    if (journal->flight_anchor > journal->tail_sequence) {
        journal->tail_sequence = journal->flight_anchor;
        journal->tail_position = journal->flight_anchor_position;
        store->reserve.retry = true;
    }
    journal->answered = (uint32_t)(journal->flight.delta_end - journal->flight_first);
    struct bb_op_list ops = op_take_all(&journal->flight_ops);
    for (struct bb_op *op = op_pop(&ops); op != NULL; op = op_pop(&ops)) {
        BB_ASSERT(op->sequence == journal->durable.at.sequence);
        store_reply(store, op, 0);
    }
    BB_KILL_POINT(REPLIED);
    store->retry = true;
}

static void record_written(struct bb_io_request *request)
{
    struct bb_store *store = BB_CONTAINER(request, struct bb_store, journal.request);
    BB_ASSERT(store->journal.state == JOURNAL_WRITING || bb_planted(FLUSH_BEFORE_COMPLETION));
    if (request->result != 0 &&
        !(bb_planted(SHORT_RECORD_ACCEPTED) && request->result == BB_ERR_SHORT_IO)) {
        store_fail(store, request->result, "write of a journal record");
        return;
    }
    BB_KILL_POINT(RECORD_WRITTEN);
    if (bb_planted(FLUSH_BEFORE_COMPLETION)) {
        window_flushed(store);
        return;
    }
    while (bb_planted(ACK_BEFORE_FLUSH) && store->journal.flight_ops.head != NULL) {
        store_reply(store, op_pop(&store->journal.flight_ops), 0);
    }
    store->journal.state = JOURNAL_FLUSHING;
    flusher_want(store, &store->journal.waiter, window_flushed);
}

/* On a card whose flush takes 20 ms those who were just answered come back within one, and find
 * that the next record has left with the others: two groups take turns and each waits for two
 * flushes. So where it takes long the window is held for those just answered, a fraction of a
 * flush. */
static void window_hold(struct bb_store *store)
{
    struct journal *journal = &store->journal;
    uint64_t took_ms = store->now_ms - journal->flight_since_ms;
    bool held = took_ms >= BB_WINDOW_SLOW_MS && journal->answered >= BB_WINDOW_SIBLINGS;
    uint64_t hold_ms = bb_min_u64(took_ms / BB_WINDOW_HOLD_SHARE, BB_WINDOW_HOLD_MAX_MS);
    journal->hold_until_ms = held ? store->now_ms + hold_ms : 0;
    journal->hold_items = window_items(store) + data_coming(store) + journal->answered;
    journal->quiet_since_ms = store->now_ms; /* else a slow flush would count as idleness */
    journal->answered = 0;
}

bool journal_holds(const struct bb_store *store)
{
    uint32_t items = window_items(store);
    return items > 0 && items < store->journal.hold_items &&
           store->now_ms < store->journal.hold_until_ms;
}

/* Writes of data that are on their way when a flush ends will be done soon, often before the next
 * record could be: a window that goes out without them makes them wait for two flushes instead of
 * one. So it waits a few turns for them, as PostgreSQL does with commit_delay and commit_siblings;
 * with nothing on its way, a single writer's case, not at all. */
static bool window_waits(struct bb_store *store, uint32_t items)
{
    struct journal *journal = &store->journal;
    if (items == 0 || items == BB_RECORD_ITEMS_MAX || store->stopping) {
        return false;
    }
    if (journal_holds(store)) {
        return true;
    }
    if (journal->patience == 0 || data_coming(store) == 0) {
        return false;
    }
    journal->patience--;
    return true;
}

/* Chooses how many items go out and where. False: nothing can be written now. */
static bool record_place(struct bb_store *store, uint32_t *items, uint64_t *ret_position)
{
    struct journal *journal = &store->journal;
    bool frees = journal->anchor.sequence > journal->tail_sequence;
    uint64_t ignored;
    uint32_t units = bb_record_units(*items);
    if (ring_place(store, ring_head(store), units, ret_position) &&
        (bb_planted(NO_RESERVE) || bb_planted(RING_FREED_EARLY) ||
         ring_place(store, *ret_position + units,
                    frees || bb_planted(ANCHOR_OVERWRITTEN) ? 1 : BB_RECORD_UNITS_MAX, &ignored))) {
        return true;
    }
    if (frees && journal->anchor_due) {
        *items = 0;
        bool placed = ring_place(store, ring_head(store), 1, ret_position);
        BB_ASSERT(placed);
        return true;
    }
    return false;
}

static void record_submit(struct bb_store *store, uint32_t items, uint64_t position)
{
    struct journal *journal = &store->journal;
    struct bb_record record = {
        .store = store->super.store,
        .epoch = store->super.epoch,
        .sequence = journal->last.sequence + (bb_planted(IDLE_SHARES_NUMBER) && items == 0 ? 0 : 1),
        .position = position,
        .durable = journal->durable.at.sequence + (bb_planted(D_COUNTS_ITSELF) ? 1 : 0),
        .previous = journal->last.digest,
        .anchor = bb_planted(CARRY_AT_START) && store->checkpoint.state != CHECKPOINT_IDLE
                      ? store->checkpoint.anchor
                      : journal->anchor,
    };
    BB_ASSERT(record.durable < record.sequence || bb_planted(D_COUNTS_ITSELF) ||
              bb_planted(IDLE_SHARES_NUMBER));
    for (uint32_t i = 0; i < items; i++) {
        const struct bb_delta_item *from = bb_delta_at(&store->delta, journal->window_first + i);
        struct bb_item item = {.op = (enum bb_item_op)from->op,
                               .size = from->size,
                               .unit = from->unit,
                               .hash = from->hash};
        BB_ASSERT(from->sequence == record.sequence);
        bb_item_encode(&item, journal->buffer, i);
    }
    bb_record_encode(&record, items, journal->buffer);
    journal->last = (struct bb_ring_position){.sequence = record.sequence,
                                              .position = position,
                                              .units = record.units,
                                              .digest = record.digest};
    journal->flight_watermark = record.durable;
    journal->flight_anchor = journal->anchor.sequence;
    journal->flight_anchor_position = journal->anchor.position;
    journal->state = JOURNAL_WRITING;
    journal->flight_since_ms = store->now_ms;
    store->counters.windows++;
    store->counters.window_items += items;
    bb_io_prepare(&journal->request, BB_IO_WRITE, BB_IO_JOURNAL,
                  store->super.layout.journal_offset + position * BB_UNIT_SIZE, journal->buffer,
                  record.units * BB_UNIT_SIZE, record_written);
    bb_io_submit(store->config.io, &journal->request);
    BB_KILL_POINT(RECORD_SUBMITTED);
    if (bb_planted(FLUSH_BEFORE_COMPLETION)) {
        flusher_want(store, &journal->waiter, window_flushed);
    }
}

/* Items of the window keep its sequence: an itemless record in front of them takes that number, so
 * the window moves to the next one. */
static void window_postpone(struct bb_store *store)
{
    struct journal *journal = &store->journal;
    if (bb_planted(IDLE_SHARES_NUMBER)) {
        return;
    }
    for (uint64_t p = journal->window_first; p < store->delta.end; p++) {
        bb_delta_renumber(&store->delta, p, journal_window_sequence(store));
    }
    for (struct bb_op *op = journal->window_ops.head; op != NULL; op = op->next) {
        op->sequence = journal_window_sequence(store);
    }
}

static bool idle_record_due(const struct bb_store *store)
{
    const struct journal *journal = &store->journal;
    return !bb_planted(NO_IDLE_RECORD) && journal->last_item_sequence > journal->disk_watermark &&
           (store->stopping || store->now_ms - journal->quiet_since_ms >= BB_IDLE_RECORD_MS);
}

void journal_turn(struct bb_store *store)
{
    struct journal *journal = &store->journal;
    if (store->fatal != 0 || journal->state != JOURNAL_IDLE || store->clean_written) {
        return;
    }
    if (journal->answered > 0) {
        window_hold(store);
    }
    uint32_t items = window_items(store);
    if (items == 0 && !journal->anchor_due && !idle_record_due(store)) {
        return;
    }
    if (window_waits(store, items)) {
        return;
    }
    uint64_t position;
    uint32_t wanted = items;
    journal->stuck = !record_place(store, &items, &position);
    if (journal->stuck) {
        checkpoint_want(store);
        return;
    }
    journal->flight_first = journal->window_first;
    record_submit(store, items, position);
    journal->anchor_due = false;
    journal->flight.at = journal->last;
    if (items == wanted) {
        journal->flight.set = journal->set;
        journal->flight.delta_end = store->delta.end;
        journal->flight_ops = op_take_all(&journal->window_ops);
        if (store->config.windowed != NULL && journal->flight_ops.head != NULL)
            store->config.windowed(store->config.context, journal->flight_ops.head);
        journal->window_first = store->delta.end;
        journal->patience = BB_WINDOW_PATIENCE;
        store->retry = true; /* the new window has room */
        if (items > 0) {
            journal->last_item_sequence = journal->last.sequence;
        }
    } else {
        journal->flight.set = journal->durable.set;
        journal->flight.delta_end = journal->window_first;
        window_postpone(store);
    }
}

bool journal_is_quiet(const struct bb_store *store)
{
    return store->journal.state == JOURNAL_IDLE && window_items(store) == 0 &&
           !store->journal.anchor_due;
}

bool journal_waits(const struct bb_store *store)
{
    return store->journal.state == JOURNAL_IDLE && window_items(store) > 0 && !store->journal.stuck;
}

bool journal_idle_due(const struct bb_store *store)
{
    return store->journal.last_item_sequence > store->journal.disk_watermark;
}
