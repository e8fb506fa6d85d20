/* SPDX-License-Identifier: Apache-2.0
 * Discarding what is free (trim.h says what, when, and why it is safe). Owner: the controller.
 *
 *   OFF --asked; idle trim: something was freed--> DUE --turn--> AGING: the look
 *   AGING --age_ms later--> FOLDING --all DELETEs of the look folded, the anchor carried--> PASSING
 *   PASSING --end of the zones--> OFF, or DUE if idle trim has more to do
 *
 * The cursor stands behind what was looked at. An extent that is being discarded is `held`: the
 * allocator has it as used. A turn takes the next one only after everybody else had a turn with
 * nothing held, so that neither a PUT nor the opening of zones waits longer than one discard.
 */
#include "engine.h"

#define CHUNK_UNITS 256u
#define CHUNKS_PER_TURN 4096u /* looked at, not discarded; some 20 us */
#define MIN_UNITS (BB_TRIM_SIZE_MIN / BB_UNIT_SIZE)
#define BUSY_SHARE 9u

uint64_t bb_trim_memory(uint64_t device_size)
{
    /* the last zone and the short ones count as full */
    uint64_t most = device_size + (1 + BB_SHORT_ZONES_MAX) * BB_ZONE_SIZE_DEFAULT;
    uint64_t chunks = most / BB_UNIT_SIZE / CHUNK_UNITS;
    return 2 * bb_align_up(chunks / 8 + 8, 64);
}

int trim_open(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    const struct bb_layout *layout = &store->super.layout;
    if (store->config.io->discard_max == 0) {
        return 0;
    }
    trim->zone_chunks = (uint32_t)(layout->zone_size / BB_UNIT_SIZE / CHUNK_UNITS);
    trim->word_count = bb_div_ceil((uint64_t)trim->zone_chunks * layout->zone_count, 64);
    size_t size = trim->word_count * sizeof(uint64_t);
    trim->young = bb_arena_alloc(store->config.arena, size, 64);
    trim->clean = bb_arena_alloc(store->config.arena, size, 64);
    trim->status.possible = true;
    trim->status.idle_ms = store->config.trim_idle_ms;
    return trim->young == NULL || trim->clean == NULL ? BB_ERR_MEMORY : 0;
}

/* ---- the lists ---- */

static void bit_set(uint64_t *words, uint64_t at)
{
    words[at / 64] |= (uint64_t)1 << at % 64;
}

static void bit_clear(uint64_t *words, uint64_t at)
{
    words[at / 64] &= ~((uint64_t)1 << at % 64);
}

static bool bit_is_set(const uint64_t *words, uint64_t at)
{
    return (words[at / 64] >> at % 64 & 1) != 0;
}

static uint64_t chunk_number(const struct trim *trim, uint32_t zone, uint64_t chunk)
{
    BB_ASSERT(chunk < trim->zone_chunks);
    return (uint64_t)zone * trim->zone_chunks + chunk;
}

void trim_freed(struct bb_store *store, uint64_t unit, uint64_t count)
{
    struct trim *trim = &store->trim;
    const struct bb_layout *layout = &store->super.layout;
    BB_ASSERT(trim->watching);
    BB_ASSERT(count > 0);
    uint32_t zone = bb_layout_zone_of(layout, unit);
    uint64_t within = unit - bb_layout_zone(layout, zone).first_unit;
    for (uint64_t c = within / CHUNK_UNITS; c <= (within + count - 1) / CHUNK_UNITS; c++) {
        uint64_t at = chunk_number(trim, zone, c);
        bit_set(trim->young, at);
        bit_clear(trim->clean, at);
    }
    trim->freed = true;
    if (trim->state == TRIM_OFF && trim->status.idle_ms > 0 && trim->status.error == 0) {
        trim->state = TRIM_DUE;
    }
}

/* ---- asking ---- */

int bb_store_trim_start(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    if (store->fatal != 0 || !store->writable) {
        return store->fatal != 0 ? BB_ERR_FATAL : BB_ERR_NOT_READY;
    }
    if (!trim->status.possible) {
        return -EOPNOTSUPP;
    }
    if (trim->status.asked) {
        return 0;
    }
    trim->status.asked = true;
    if (trim->state != TRIM_PASSING) {
        trim->state = TRIM_DUE;
    }
    return 0;
}

/* The pass is over, whatever it came to. */
static void pass_end(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    trim->status.asked = false;
    bool more = trim->freed && trim->status.idle_ms > 0 && trim->status.error == 0;
    trim->state = more && !store->stopping ? TRIM_DUE : TRIM_OFF;
}

void bb_store_trim_stop(struct bb_store *store)
{
    if (store->trim.state != TRIM_OFF) {
        pass_end(store);
    }
}

bool trim_holds(const struct bb_store *store)
{
    return store->trim.held.count > 0;
}

void trim_ready(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    BB_ASSERT(trim->state == TRIM_OFF);
    if (trim->status.possible && trim->status.idle_ms > 0) {
        trim->state = TRIM_DUE;
    }
}

/* The look: from here on it is noted where something is freed. */
static void look(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    memset(trim->young, 0, trim->word_count * sizeof(uint64_t));
    trim->watching = true;
    trim->freed = false;
    trim->looked_ms = store->now_ms;
    trim->age_ms = trim->status.asked ? store->config.trim_age_ms : trim->status.idle_ms;
    trim->looked_end = store->journal.durable.delta_end;
    trim->state = TRIM_AGING;
    trim->status.error = 0;
}

static bool is_folded(const struct bb_store *store)
{
    const struct journal *journal = &store->journal;
    return bb_planted(TRIM_UNFOLDED) || (store->delta.first >= store->trim.looked_end &&
                                         journal->tail_sequence == journal->anchor.sequence);
}

/* ---- what is next ---- */

static bool is_left_out(const struct trim *trim, uint64_t at)
{
    return (bit_is_set(trim->young, at) && !bb_planted(TRIM_YOUNG)) || bit_is_set(trim->clean, at);
}

static uint64_t units_max(const struct bb_store *store)
{
    const struct bb_io *io = store->config.io;
    uint64_t size = bb_max_u64(BB_TRIM_SIZE_MAX, 2 * (uint64_t)io->discard_granularity);
    return bb_max_u64(bb_min_u64(size, io->discard_max) / BB_UNIT_SIZE, 1);
}

/* Free units from the cursor on: the rest of its chunk and whole chunks behind it. */
static uint64_t run_length(const struct bb_store *store, uint32_t position, uint32_t count)
{
    const struct trim *trim = &store->trim;
    uint32_t chunk_count = bb_buddy_zone(store->buddy, trim->zone).chunk_count, at;
    uint64_t length = count;
    bool to_the_end = position + count == CHUNK_UNITS;
    for (uint32_t c = trim->chunk + 1; to_the_end && c < chunk_count; c++) {
        if (length >= units_max(store) || is_left_out(trim, chunk_number(trim, trim->zone, c))) {
            break;
        }
        uint32_t more = bb_buddy_free_run(store->buddy, trim->zone, c, 0, &at);
        to_the_end = at == 0 && more == CHUNK_UNITS;
        length += at == 0 ? more : 0;
    }
    return bb_min_u64(length, units_max(store));
}

/* What the device can discard of a run: nothing that begins or ends between its granules. */
static struct trim_run aligned(const struct bb_store *store, struct trim_run run)
{
    uint64_t granule = store->config.io->discard_granularity / BB_UNIT_SIZE;
    uint64_t first = bb_div_ceil(run.unit, granule) * granule;
    uint64_t end = (run.unit + run.count) / granule * granule;
    bool enough = end > first && end - first >= bb_min_u64(MIN_UNITS, units_max(store));
    return (struct trim_run){.unit = first, .count = enough ? end - first : 0};
}

/* Everything of a chunk that could be discarded has been, unless something was freed meanwhile. */
static void chunk_end(struct trim *trim)
{
    uint64_t at = chunk_number(trim, trim->zone, trim->chunk);
    if (!bit_is_set(trim->young, at)) {
        bit_set(trim->clean, at);
    }
    trim->chunk++;
    trim->position = 0;
}

static void cursor_move(struct trim *trim, uint64_t within)
{
    while (within >= (uint64_t)(trim->chunk + 1) * CHUNK_UNITS) {
        chunk_end(trim);
    }
    trim->position = (uint32_t)(within - (uint64_t)trim->chunk * CHUNK_UNITS);
}

/* From the cursor on, at most *budget chunks. count 0: the budget or the zones are at their end. */
static struct trim_run find_run(struct bb_store *store, uint32_t *budget)
{
    struct trim *trim = &store->trim;
    struct trim_run none = {0};
    for (; *budget > 0; --*budget) {
        if (trim->zone >= bb_buddy_zone_count(store->buddy)) {
            return none;
        }
        struct bb_buddy_zone zone = bb_buddy_zone(store->buddy, trim->zone);
        if (trim->chunk >= zone.chunk_count) {
            trim->status.done_units += zone.units;
            trim->zone++;
            trim->chunk = trim->position = 0;
            continue;
        }
        uint32_t count = 0, position = 0;
        if (is_left_out(trim, chunk_number(trim, trim->zone, trim->chunk))) {
            trim->chunk++;
            trim->position = 0;
            continue;
        }
        count = bb_buddy_free_run(store->buddy, trim->zone, trim->chunk, trim->position, &position);
        if (count == 0) {
            chunk_end(trim);
            continue;
        }
        uint64_t first = bb_layout_zone(&store->super.layout, trim->zone).first_unit;
        uint64_t within = (uint64_t)trim->chunk * CHUNK_UNITS + position;
        struct trim_run run = {.unit = first + within, .count = run_length(store, position, count)};
        run = aligned(store, run);
        if (run.count > 0) {
            return run;
        }
        cursor_move(trim, within + count);
    }
    return none;
}

/* ---- discarding ---- */

static void give_back(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    int result = bb_buddy_free(store->buddy, trim->held.unit, trim->held.count);
    BB_ASSERT(result == 0);
    store->reserve.retry |= store->reserve.waiting.head != NULL;
}

static void take_out(struct bb_store *store, uint64_t unit, uint64_t count)
{
    for (uint64_t part; count > 0; unit += part, count -= part) {
        part = bb_min_u64(count, CHUNK_UNITS);
        int result = bb_buddy_claim(store->buddy, unit, part);
        BB_ASSERT(result == 0);
    }
}

static void discard_done(struct bb_io_request *request)
{
    struct bb_store *store = BB_CONTAINER(request, struct bb_store, trim.request);
    struct trim *trim = &store->trim;
    BB_ASSERT(trim->held.count > 0);
    if (request->result == 0) {
        uint64_t first = bb_layout_zone(&store->super.layout, trim->zone).first_unit;
        cursor_move(trim, trim->held.unit + trim->held.count - first);
        trim->status.bytes += trim->held.count * BB_UNIT_SIZE;
        trim->status.pass_bytes += trim->held.count * BB_UNIT_SIZE;
    } else {
        trim->status.error = request->result;
        trim->status.failed++;
        if (store->config.trim_failed != NULL) {
            store->config.trim_failed(store->config.context, request->result);
        }
        if (trim->state != TRIM_OFF) {
            pass_end(store);
        }
    }
    if (request->result == 0 || request->result == -EOPNOTSUPP) {
        if (!bb_planted(TRIM_NOT_TAKEN) && !bb_planted(TRIM_BACK_EARLY)) {
            give_back(store);
        }
    } else {
        store->quarantined_units += trim->held.count;
    }
    trim->held.count = 0;
    trim->paused = false;
}

static void discard(struct bb_store *store, struct trim_run run)
{
    struct trim *trim = &store->trim;
    BB_ASSERT(trim->held.count == 0);
    if (!bb_planted(TRIM_NOT_TAKEN)) {
        take_out(store, run.unit, run.count);
    }
    trim->held = run;
    trim->started_ms = store->now_ms;
    trim->status.discards++;
    bb_io_prepare(&trim->request, BB_IO_DISCARD, BB_IO_DATA, run.unit * BB_UNIT_SIZE, NULL,
                  (uint32_t)(run.count * BB_UNIT_SIZE), discard_done);
    bb_io_submit(store->config.io, &trim->request);
    if (bb_planted(TRIM_BACK_EARLY)) {
        give_back(store);
    }
}

static void at_once_done(struct bb_io_request *request)
{
    BB_CONTAINER(request, struct bb_store, trim.request)->trim.held.count = 0;
}

void trim_at_once(struct bb_store *store, uint64_t unit, uint64_t count)
{
    struct trim *trim = &store->trim;
    if (trim->held.count > 0) {
        return;
    }
    trim->held = (struct trim_run){.unit = unit, .count = count};
    bb_io_prepare(&trim->request, BB_IO_DISCARD, BB_IO_DATA, unit * BB_UNIT_SIZE, NULL,
                  (uint32_t)(count * BB_UNIT_SIZE), at_once_done);
    bb_io_submit(store->config.io, &trim->request);
}

static void pass_begin(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    trim->state = TRIM_PASSING;
    trim->zone = trim->chunk = trim->position = 0;
    trim->resume_ms = store->now_ms;
    trim->paused = true;
    trim->status.pass_bytes = 0;
    trim->status.done_units = 0;
    trim->status.all_units = bb_buddy_total_units(store->buddy);
}

/* In the first turn behind a discard, which knows the time. */
static void pause(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    uint64_t took_ms = store->now_ms - trim->started_ms;
    uint64_t share = store->journal.quiet_since_ms >= trim->started_ms ? BUSY_SHARE : 1;
    trim->resume_ms = store->now_ms + bb_max_u64(took_ms * share, 1);
    trim->paused = true;
}

static void pass_turn(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    if (!trim->paused) {
        pause(store);
    }
    if (store->now_ms < trim->resume_ms) {
        return;
    }
    uint32_t budget = CHUNKS_PER_TURN;
    struct trim_run run = find_run(store, &budget);
    if (run.count > 0) {
        discard(store, run);
    } else if (budget > 0) {
        trim->status.passes++;
        pass_end(store);
    }
}

void trim_turn(struct bb_store *store)
{
    struct trim *trim = &store->trim;
    if (store->fatal != 0 || trim->held.count > 0) {
        return;
    }
    if (store->stopping) {
        pass_end(store);
    }
    if (trim->state == TRIM_DUE) {
        look(store);
    }
    if (trim->state == TRIM_AGING && store->now_ms - trim->looked_ms >= trim->age_ms) {
        trim->state = TRIM_FOLDING;
    }
    if (trim->state == TRIM_FOLDING && is_folded(store)) {
        pass_begin(store);
    } else if (trim->state == TRIM_FOLDING && store->delta.first < trim->looked_end) {
        checkpoint_want(store);
    }
    if (trim->state == TRIM_PASSING) {
        pass_turn(store);
    }
}

int trim_deadline(const struct bb_store *store, int wait_ms)
{
    const struct trim *trim = &store->trim;
    uint64_t due;
    if (store->fatal != 0 || trim->held.count > 0) {
        return wait_ms;
    }
    if (trim->state == TRIM_AGING) {
        due = trim->looked_ms + trim->age_ms;
    } else if (trim->state == TRIM_PASSING) {
        due = trim->resume_ms;
    } else if (trim->state == TRIM_DUE) {
        due = store->now_ms;
    } else {
        return wait_ms; /* FOLDING: its checkpoint is under way */
    }
    uint64_t wait = due > store->now_ms ? due - store->now_ms : 1;
    wait = bb_min_u64(wait, INT32_MAX);
    return wait_ms >= 0 ? (int)bb_min_u64((uint64_t)wait_ms, wait) : (int)wait;
}

void trim_get_status(const struct bb_store *store, struct bb_trim_status *ret_status)
{
    const struct trim *trim = &store->trim;
    struct bb_trim_status status = trim->status;
    status.state = trim->state == TRIM_OFF       ? BB_TRIM_OFF
                   : trim->state == TRIM_PASSING ? BB_TRIM_PASSING
                                                 : BB_TRIM_WAITING;
    if (trim->state == TRIM_PASSING) {
        status.done_units += (uint64_t)trim->chunk * CHUNK_UNITS;
    }
    *ret_status = status;
}
