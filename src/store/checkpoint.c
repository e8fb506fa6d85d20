/* SPDX-License-Identifier: Apache-2.0
 * Folds the delta up to some T <= D into the descriptor pages and then into the index, off the
 * acknowledgement path. Owner: the controller.
 *
 *   IDLE --due--> PAGES: every page that an item mentions, to the older of its two slots
 *   PAGES --all written--> FLUSH --flush submitted after that--> FOLD: slices in hash order
 *   FOLD --last slice, with the anchor, is durable and visible--> IDLE: the delta drops the items,
 *          the next record carries the anchor
 *
 * Descriptors before the index: descriptors are never behind it, so the data device alone always
 * knows at least as much. The items of a checkpoint are immutable, only two orders of them are
 * sorted: by unit, then by hash; of several items the last one decides.
 */
#include "engine.h"

static void pages_continue(struct bb_store *store);
static void fold_submit(struct bb_store *store);
static void checkpoint_finish(struct bb_store *store);

int checkpoint_open(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    struct bb_arena *arena = store->config.arena;
    size_t order_size = (size_t)store->delta.capacity * sizeof(struct sort_entry);
    checkpoint->order = bb_arena_alloc(arena, order_size, 64);
    checkpoint->spare = bb_arena_alloc(arena, order_size, 64);
    checkpoint->changes =
        bb_arena_alloc(arena, (size_t)store->config.slice_max * sizeof(struct bb_change), 64);
    if (checkpoint->order == NULL || checkpoint->spare == NULL || checkpoint->changes == NULL) {
        return BB_ERR_MEMORY;
    }
    for (unsigned i = 0; i < BB_PAGE_JOBS; i++) {
        checkpoint->jobs[i].store = store;
        checkpoint->jobs[i].pages =
            bb_arena_alloc(arena, 2 * sizeof(struct bb_disk_page), BB_UNIT_SIZE);
        if (checkpoint->jobs[i].pages == NULL) {
            return BB_ERR_MEMORY;
        }
    }
    uint64_t units = store->super.layout.device_size / BB_UNIT_SIZE;
    while (units >> checkpoint->unit_shift > UINT32_MAX) {
        checkpoint->unit_shift++;
    }
    return 0;
}

static const struct bb_delta_item *item_at(const struct bb_store *store, uint32_t at)
{
    const struct checkpoint *checkpoint = &store->checkpoint;
    BB_ASSERT(at < checkpoint->count);
    return bb_delta_at(&store->delta, checkpoint->first + checkpoint->order[at].index);
}

/* Ascending by (unit, journal order) or (hash, journal order). Keys hold the leading 32 bits of the
 * unit or hash; the few neighbours that agree in them are put right by insertion. */
static int compare_items(const struct bb_delta_item *a, const struct bb_delta_item *b, bool by_unit)
{
    if (by_unit) {
        return a->unit < b->unit ? -1 : a->unit > b->unit;
    }
    return bb_hash_compare(&a->hash, &b->hash);
}

static uint32_t hash_key(const struct bb_hash *hash)
{
    return (uint32_t)hash->bytes[0] << 24 | (uint32_t)hash->bytes[1] << 16 |
           (uint32_t)hash->bytes[2] << 8 | hash->bytes[3];
}

static void sort_items(struct bb_store *store, bool by_unit)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint32_t count = (uint32_t)(checkpoint->end - checkpoint->first);
    for (uint32_t i = 0; i < count; i++) {
        const struct bb_delta_item *item = bb_delta_at(&store->delta, checkpoint->first + i);
        checkpoint->order[i].index = i;
        checkpoint->order[i].key =
            by_unit ? (uint32_t)(item->unit >> checkpoint->unit_shift) : hash_key(&item->hash);
    }
    checkpoint->count = count;
    checkpoint->next = 0;
    sort_entries(checkpoint->order, checkpoint->spare, count);
    for (uint32_t i = 1; i < count; i++) {
        struct sort_entry entry = checkpoint->order[i];
        uint32_t at = i;
        while (at > 0 && checkpoint->order[at - 1].key == entry.key &&
               compare_items(item_at(store, at - 1),
                             bb_delta_at(&store->delta, checkpoint->first + entry.index),
                             by_unit) > 0) {
            checkpoint->order[at] = checkpoint->order[at - 1];
            at--;
        }
        checkpoint->order[at] = entry;
    }
}

/* ---- PAGES ---- */

static void page_apply(const struct bb_store *store, const struct page_job *job,
                       struct bb_disk_page *page)
{
    for (uint32_t at = job->from; at < job->to; at++) {
        const struct bb_delta_item *item = item_at(store, at);
        uint32_t index;
        uint64_t number = bb_layout_page_of(&store->super.layout, item->unit, &index);
        BB_ASSERT(number == job->page);
        scrub_item_paged(job->store, number, item);
        if (bb_planted(PAGES_BY_HASH) &&
            bb_delta_find(&store->delta, &item->hash, store->checkpoint.anchor.sequence) != item) {
            continue;
        }
        if (item->op == BB_ITEM_DELETE) {
            bb_entry_clear(page, index);
        } else {
            struct bb_entry entry = {
                .hash = item->hash, .size = item->size, .corrupt = item->op == BB_ITEM_MARK};
            bb_entry_set(page, index, &entry);
        }
    }
}

static void page_written(struct bb_io_request *request)
{
    struct page_job *job = BB_CONTAINER(request, struct page_job, write);
    struct bb_store *store = job->store;
    BB_ASSERT(job->busy);
    job->busy = false;
    store->checkpoint.busy_jobs--;
    if (request->result != 0) {
        store_fail(store, request->result, "write of a descriptor page");
    }
    BB_KILL_POINT(PAGE_WRITTEN);
    if (store->fatal == 0) {
        pages_continue(store);
    }
}

/* Both slots have been read: the newer one, changed, goes to the place of the older one. */
static void page_update(struct page_job *job)
{
    struct bb_store *store = job->store;
    struct bb_page_header headers[2];
    bool good[2];
    for (unsigned slot = 0; slot < 2; slot++) {
        if (job->reads[slot].result != 0) {
            store_fail(store, job->reads[slot].result, "read of a descriptor page");
            return;
        }
        good[slot] =
            bb_page_check(&job->pages[slot], &store->super.store, job->page, &headers[slot]) == 0;
    }
    if (!good[0] || !good[1]) { /* the restart rewrites the page from the index */
        store_fail(store, BB_ERR_DAMAGED, "descriptor page with a damaged slot");
        return;
    }
    unsigned newer = headers[1].generation > headers[0].generation;
    page_apply(store, job, &job->pages[newer]);
    if (bb_planted(PAGES_CHANGED_ONLY) &&
        bb_page_check(&job->pages[newer], &store->super.store, job->page, &headers[newer]) == 0) {
        job->busy = false;
        store->checkpoint.busy_jobs--;
        pages_continue(store);
        return;
    }
    struct bb_page_header header = {.page = job->page,
                                    .generation = headers[newer].generation + 1,
                                    .covered = store->checkpoint.anchor.sequence};
    bb_page_seal(&job->pages[newer], &store->super.store, &header);
    bb_io_prepare(&job->write, BB_IO_WRITE, BB_IO_DESCRIPTOR,
                  bb_layout_slot_offset(&store->super.layout, job->page,
                                        bb_planted(SLOT_IN_PLACE) ? newer : 1 - newer),
                  &job->pages[newer], BB_UNIT_SIZE, page_written);
    bb_io_submit(store->config.io, &job->write);
    BB_KILL_POINT(PAGE_SUBMITTED);
}

static void slot_read(struct page_job *job)
{
    BB_ASSERT(job->pending > 0);
    if (--job->pending == 0 && job->store->fatal == 0) {
        page_update(job);
    }
}

static void slot_a_read(struct bb_io_request *request)
{
    slot_read(BB_CONTAINER(request, struct page_job, reads[0]));
}

static void slot_b_read(struct bb_io_request *request)
{
    slot_read(BB_CONTAINER(request, struct page_job, reads[1]));
}

/* Takes the next page from the unit order. */
static void page_start(struct bb_store *store, struct page_job *job)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint32_t index;
    job->from = checkpoint->next;
    job->page = bb_layout_page_of(&store->super.layout, item_at(store, job->from)->unit, &index);
    while (checkpoint->next < checkpoint->count &&
           bb_layout_page_of(&store->super.layout, item_at(store, checkpoint->next)->unit,
                             &index) == job->page) {
        checkpoint->next++;
    }
    job->to = checkpoint->next;
    job->busy = true;
    job->pending = 2;
    checkpoint->busy_jobs++;
    for (unsigned slot = 0; slot < 2; slot++) {
        bb_io_prepare(&job->reads[slot], BB_IO_READ, BB_IO_DESCRIPTOR,
                      bb_layout_slot_offset(&store->super.layout, job->page, slot),
                      &job->pages[slot], BB_UNIT_SIZE, slot == 0 ? slot_a_read : slot_b_read);
        bb_io_submit(store->config.io, &job->reads[slot]);
    }
}

static void pages_flushed(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    BB_ASSERT(checkpoint->state == CHECKPOINT_FLUSH);
    BB_KILL_POINT(PAGES_FLUSHED);
    if (bb_planted(INDEX_FIRST)) {
        checkpoint_finish(store);
        return;
    }
    checkpoint->state = CHECKPOINT_FOLD;
    sort_items(store, false);
    fold_submit(store);
}

static void pages_continue(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    BB_ASSERT(checkpoint->state == CHECKPOINT_PAGES);
    for (unsigned i = 0; i < BB_PAGE_JOBS && checkpoint->next < checkpoint->count; i++) {
        if (!checkpoint->jobs[i].busy) {
            page_start(store, &checkpoint->jobs[i]);
        }
    }
    if (checkpoint->busy_jobs == 0) {
        BB_ASSERT(checkpoint->next == checkpoint->count);
        checkpoint->state = CHECKPOINT_FLUSH;
        BB_KILL_POINT(PAGES_WRITTEN);
        if (bb_planted(NO_PAGE_FLUSH)) {
            pages_flushed(store);
            return;
        }
        flusher_want(store, &checkpoint->waiter, pages_flushed);
    }
}

/* ---- FOLD ---- */

/* One slice: per hash the last item decides. */
static uint32_t fold_slice(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint32_t changes = 0;
    while (checkpoint->next < checkpoint->count && changes < store->config.slice_max) {
        const struct bb_delta_item *item = item_at(store, checkpoint->next);
        while (checkpoint->next + 1 < checkpoint->count &&
               bb_hash_equal(&item_at(store, checkpoint->next + 1)->hash, &item->hash)) {
            item = item_at(store, ++checkpoint->next);
        }
        checkpoint->next++;
        checkpoint->changes[changes++] = (struct bb_change){.hash = item->hash,
                                                            .unit = item->unit,
                                                            .size = item->size,
                                                            .present = item->op != BB_ITEM_DELETE,
                                                            .corrupt = item->op == BB_ITEM_MARK};
    }
    return changes;
}

static void fold_submit(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint32_t changes = fold_slice(store);
    bool last = checkpoint->next == checkpoint->count;
    checkpoint->job = (struct bb_index_job){
        .kind = BB_JOB_FOLD,
        .owner = checkpoint,
        .fold = {.changes = checkpoint->changes,
                 .count = changes,
                 .anchor = last || bb_planted(ANCHOR_IN_FIRST_SLICE) ? &checkpoint->anchor : NULL,
                 .scrub = last ? scrub_row_at(store, &checkpoint->anchor.set) : NULL},
    };
    if (bb_planted(DELTA_DROPPED_EARLY) && last) {
        bb_delta_drop(&store->delta, checkpoint->end);
    }
    store->config.index.submit(store->config.index.context, &checkpoint->job);
}

static void checkpoint_finish(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    if (!bb_set_equal(&checkpoint->job.set, &checkpoint->anchor.set)) {
        store_fail(store, BB_ERR_SET_MISMATCH, "index after a checkpoint");
        return;
    }
    bb_delta_drop(&store->delta, checkpoint->end);
    store->generation++;
    store->journal.anchor = checkpoint->anchor;
    store->journal.anchor_due = true;
    if (bb_planted(RING_FREED_EARLY)) {
        store->journal.tail_sequence = checkpoint->anchor.sequence;
        store->journal.tail_position = checkpoint->anchor.position;
    }
    store->counters.checkpoints++;
    store->counters.checkpoint_items += checkpoint->end - checkpoint->first;
    store->counters.checkpoint_last_ms = store->now_ms - checkpoint->started_ms;
    checkpoint->ended_ms = store->now_ms;
    checkpoint->state = CHECKPOINT_IDLE;
    store->scrub.pages_ahead = false;
    BB_KILL_POINT(CHECKPOINT_ENDED);
    store->retry = true;
    store->reserve.retry = true;
}

/* The index has no pages left for a slice: nothing changed, the delta and the ring keep every item,
 * and the next checkpoint begins with the same ones. PUTs are refused until it ends; DELETEs of
 * what was never folded make it smaller. A stop cannot wait for that. */
static void checkpoint_put_off(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    BB_ASSERT(!checkpoint_is_put_off(store));
    store->index_room = 0;
    scrub_put_off(store);
    checkpoint->put_off_ms = store->now_ms + BB_FULL_CHECKPOINT_MS;
    checkpoint->state = CHECKPOINT_IDLE;
    store->retry = true;
    store->reserve.retry = true;
}

void checkpoint_folded(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    BB_ASSERT(checkpoint->state == CHECKPOINT_FOLD);
    if (checkpoint->job.result == BB_ERR_INDEX_FULL && store->fatal == 0 && !store->stopping) {
        checkpoint_put_off(store);
        return;
    }
    if (checkpoint->job.result != 0) {
        store_fail(store, checkpoint->job.result, "commit of the index");
    }
    if (store->fatal != 0) {
        return;
    }
    BB_KILL_POINT(SLICE_FOLDED);
    store->index_room = checkpoint->job.room;
    store->config.index.refresh(store->config.index.context);
    if (checkpoint->job.fold.anchor == NULL ||
        (bb_planted(ANCHOR_IN_FIRST_SLICE) && checkpoint->next < checkpoint->count)) {
        fold_submit(store);
    } else if (bb_planted(INDEX_FIRST)) {
        checkpoint->state = CHECKPOINT_PAGES;
        sort_items(store, true);
        pages_continue(store);
    } else {
        checkpoint_finish(store);
    }
}

/* ---- when ---- */

void checkpoint_want(struct bb_store *store)
{
    /* one that runs is looked at again when it is over */
    store->checkpoint.wanted |= store->checkpoint.state == CHECKPOINT_IDLE;
}

bool checkpoint_is_put_off(const struct bb_store *store)
{
    return store->now_ms < store->checkpoint.put_off_ms;
}

static bool checkpoint_due(const struct bb_store *store)
{
    const struct journal *journal = &store->journal;
    uint64_t foldable = journal->durable.delta_end - store->delta.first;
    if (journal->durable.at.sequence == journal->anchor.sequence || journal->anchor_due) {
        return false; /* nothing new, or the ring still waits for the last one's anchor */
    }
    if (checkpoint_is_put_off(store) && !store->stopping) {
        return false;
    }
    if (store->checkpoint.wanted) {
        return true;
    }
    if (journal_units_since_anchor(store) >= store->super.layout.journal_units / 4 ||
        bb_delta_count(&store->delta) >= store->delta.capacity / 2) {
        return true;
    }
    return foldable > 0 &&
           (store->stopping || store->now_ms - journal->quiet_since_ms >= BB_IDLE_CHECKPOINT_MS);
}

void checkpoint_turn(struct bb_store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    if (store->fatal != 0 || checkpoint->state != CHECKPOINT_IDLE || store->clean_written ||
        store->scrub.holds_pages || !checkpoint_due(store)) {
        return;
    }
    const struct journal_mark *durable = bb_planted(PAST_D) && store->journal.state != JOURNAL_IDLE
                                             ? &store->journal.flight
                                             : &store->journal.durable;
    checkpoint->wanted = false;
    BB_KILL_POINT(CHECKPOINT_BEGUN);
    checkpoint->started_ms = store->now_ms;
    checkpoint->first = store->delta.first;
    checkpoint->end = durable->delta_end;
    checkpoint->anchor = (struct bb_anchor){.sequence = durable->at.sequence,
                                            .position = durable->at.position,
                                            .digest = durable->at.digest,
                                            .set = durable->set};
    if (bb_planted(INDEX_FIRST)) {
        checkpoint->state = CHECKPOINT_FOLD;
        sort_items(store, false);
        fold_submit(store);
        return;
    }
    checkpoint->state = CHECKPOINT_PAGES;
    sort_items(store, true);
    pages_continue(store);
}
