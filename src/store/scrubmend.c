/* SPDX-License-Identifier: Apache-2.0
 * A descriptor page anew from the index. Owner: the controller.
 *
 *   LIST, PLACES: the whole index is walked for what lies in the page, over checkpoints
 *   walked --still, the page not written meanwhile--> PLACES: what was found is looked up again
 *   all of it true now --> WRITE: to the bad or older slot --> FLUSH --> the page is read again
 *
 * The index knows nothing by unit, so a walk reads all of it; damage is rare. An entry that the
 * index does not know is dropped only if its units are free or another block's: where the map of
 * free space speaks for it the index may be what is wrong, and the entry stays, for bbfsck.
 */
#include "engine.h"

#define WALKS_MAX 4u
#define LOST_EPOCH_SHIFT 32 /* as pages.h: generations that no older slot has */

static void walk_begin(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    memset(scrub->places, 0, BB_PAGE_ENTRY_COUNT * sizeof(*scrub->places));
    scrub->walk_started = scrub->walk_ended = scrub->verifying = false;
    scrub->touched = false;
    scrub->walks++;
    scrub_rest(store);
}

void scrub_mend_begin(struct bb_store *store)
{
    BB_ASSERT(!store->scrub.mending);
    store->scrub.mending = true;
    store->scrub.walks = 0;
    walk_begin(store);
}

/* The page is read once more, and taken as it is: what is still wrong with it is left. */
static void mend_over(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    scrub->mending = scrub->holds_pages = false;
    scrub->mended = true;
    scrub->looks = 0;
    scrub_rest(store);
}

/* The page changed under the walk. */
static void walk_again(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    if (scrub->walks >= WALKS_MAX) {
        mend_over(store);
        return;
    }
    if (scrub->touched) { /* what the slots held is not known any more */
        scrub->mending = false;
        scrub->looks = 0;
        scrub_rest(store);
        return;
    }
    walk_begin(store);
}

static void ask_places(struct bb_store *store, uint32_t count)
{
    struct scrub *scrub = &store->scrub;
    scrub->job = (struct bb_index_job){.kind = BB_JOB_LOOKUP,
                                       .hashes = scrub->hashes,
                                       .entries = scrub->entries,
                                       .count = count,
                                       .owner = scrub};
    scrub->state = SCRUB_PLACES;
    store->config.index.submit(store->config.index.context, &scrub->job);
}

static void note_place(struct bb_store *store, const struct bb_hash *hash,
                       const struct bb_index_entry *entry)
{
    struct scrub *scrub = &store->scrub;
    const struct bb_layout *layout = &store->super.layout;
    uint32_t index;
    if (entry->unit == UINT64_MAX || entry->size > BB_BLOCK_SIZE_MAX ||
        !bb_layout_extent_ok(layout, store->super.open_zone_count, entry->unit,
                             bb_units_of(entry->size)) ||
        bb_layout_page_of(layout, entry->unit, &index) != scrub->row.page)
        return;
    scrub->places[index] = (struct scrub_place){.hash = *hash,
                                                .size = entry->size,
                                                .present = true,
                                                .corrupt = (entry->flags & BB_INDEX_CORRUPT) != 0};
}

static void verify(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    uint32_t count = 0;
    if (scrub->touched) {
        walk_again(store);
        return;
    }
    scrub->generation = store->generation;
    scrub->verifying = true;
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        if (scrub->places[i].present) {
            scrub->at[count] = (uint8_t)i;
            scrub->hashes[count++] = scrub->places[i].hash;
        }
    }
    ask_places(store, count);
}

void scrub_mend_step(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    BB_ASSERT(scrub->mending);
    if (scrub->walk_ended && !scrub_is_still(store)) {
        scrub_rest_a_while(store);
        return;
    }
    scrub_charge(store, (uint64_t)BB_SCRUB_WALK * sizeof(struct bb_disk_entry));
    if (scrub->walk_ended) {
        verify(store);
        return;
    }
    scrub->job = (struct bb_index_job){.kind = BB_JOB_LIST,
                                       .after = scrub->walk_after,
                                       .from_start = !scrub->walk_started,
                                       .listed = scrub->listed,
                                       .count = BB_SCRUB_WALK,
                                       .owner = scrub};
    scrub->state = SCRUB_LIST;
    store->config.index.submit(store->config.index.context, &scrub->job);
}

/* ---- the new page ---- */

static bool overlaps_places(const struct scrub *scrub, uint32_t index, uint32_t units, uint32_t but)
{
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        const struct scrub_place *place = &scrub->places[i];
        if (i != but && place->present && i < index + units && index < i + bb_units_of(place->size))
            return true;
    }
    return false;
}

/* What the index says of the page is possible: no two blocks share a unit, none lies in free space
 * but what was deleted since the last fold. */
static bool places_are_sound(const struct bb_store *store)
{
    const struct scrub *scrub = &store->scrub;
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        const struct scrub_place *place = &scrub->places[i];
        if (!place->present)
            continue;
        uint32_t units = bb_units_of(place->size);
        uint64_t unit = bb_layout_unit_of(&store->super.layout, scrub->row.page, i);
        if (overlaps_places(scrub, i, units, i))
            return false;
        if (!bb_buddy_is_used(store->buddy, unit, units) &&
            bb_delta_find(&store->delta, &place->hash, UINT64_MAX) == NULL)
            return false;
    }
    return true;
}

/* Nothing proves that an entry which the index does not confirm is wrong. */
static bool speaks_for_itself(const struct bb_store *store, uint32_t index,
                              const struct bb_entry *entry)
{
    const struct scrub *scrub = &store->scrub;
    const struct bb_layout *layout = &store->super.layout;
    uint64_t unit = bb_layout_unit_of(layout, scrub->row.page, index);
    uint32_t units = bb_units_of(entry->size);
    return unit != UINT64_MAX &&
           bb_layout_extent_ok(layout, store->super.open_zone_count, unit, units) &&
           !overlaps_places(scrub, index, units, BB_PAGE_ENTRY_COUNT) &&
           bb_buddy_is_used(store->buddy, unit, units);
}

/* The entry as it shall be; false: it is that already. */
static bool entry_mended(const struct bb_store *store, uint32_t index, struct bb_disk_page *page)
{
    const struct scrub_place *place = &store->scrub.places[index];
    struct bb_entry entry = {0};
    int result = bb_entry_get(page, index, &entry);
    if (!place->present) {
        if (result == 0 || (result == 1 && !bb_planted(SCRUB_DROPS_ALL) &&
                            speaks_for_itself(store, index, &entry)))
            return false;
        bb_entry_clear(page, index);
        return true;
    }
    struct bb_entry wanted = {.hash = place->hash, .size = place->size, .corrupt = place->corrupt};
    if (result == 1 && bb_hash_equal(&wanted.hash, &entry.hash) && wanted.size == entry.size &&
        wanted.corrupt == entry.corrupt)
        return false;
    bb_entry_set(page, index, &wanted);
    return true;
}

/* False: nothing would change. */
static bool make_page(struct bb_store *store, struct bb_disk_page *ret_page)
{
    struct scrub *scrub = &store->scrub;
    bool changed = scrub->bad_slots > 0;
    if (ret_page != scrub->slot[scrub->newest])
        memcpy(ret_page, scrub->slot[scrub->newest], sizeof(*ret_page));
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        scrub->repaired[i] = entry_mended(store, i, ret_page);
        changed |= scrub->repaired[i];
    }
    return changed;
}

static void report(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    for (unsigned i = 0; i < scrub->bad_slots; i++)
        scrub_found(store, BB_SCRUB_SLOT, BB_SCRUB_REPAIRED, 0, NULL);
    /* beside a bad slot the good one may be the older: its entries are no findings */
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT && scrub->bad_slots == 0; i++) {
        if (scrub->repaired[i])
            scrub_found(store, BB_SCRUB_ENTRY, BB_SCRUB_REPAIRED,
                        bb_layout_unit_of(&store->super.layout, scrub->row.page, i),
                        scrub->places[i].present ? &scrub->places[i].hash : NULL);
    }
}

static void mend_flushed(struct bb_store *store)
{
    BB_ASSERT(store->scrub.state == SCRUB_FLUSH);
    report(store);
    mend_over(store);
}

static void slot_written(struct bb_io_request *request, unsigned slot)
{
    struct bb_store *store = BB_CONTAINER(request, struct bb_store, scrub.writes[slot]);
    struct scrub *scrub = &store->scrub;
    BB_ASSERT(scrub->state == SCRUB_WRITE);
    if (request->result != 0)
        store_fail(store, request->result, "write of a descriptor page");
    if (--scrub->pending > 0 || store->fatal != 0)
        return;
    scrub->state = SCRUB_FLUSH;
    flusher_want(store, &scrub->waiter, mend_flushed);
}

static void slot_a_written(struct bb_io_request *request)
{
    slot_written(request, 0);
}

static void slot_b_written(struct bb_io_request *request)
{
    slot_written(request, 1);
}

static void slot_write(struct bb_store *store, unsigned slot, uint64_t generation)
{
    struct scrub *scrub = &store->scrub;
    uint64_t covered = store->journal.anchor.sequence;
    if (scrub->good[scrub->newest])
        covered = bb_max_u64(covered, scrub->headers[scrub->newest].covered);
    struct bb_page_header header = {
        .page = scrub->row.page, .generation = generation, .covered = covered};
    bb_page_seal(scrub->slot[slot], &store->super.store, &header);
    bb_io_prepare(&scrub->writes[slot], BB_IO_WRITE, BB_IO_DESCRIPTOR,
                  bb_layout_slot_offset(&store->super.layout, scrub->row.page, slot),
                  scrub->slot[slot], BB_UNIT_SIZE, slot == 0 ? slot_a_written : slot_b_written);
    scrub->pending++;
    bb_io_submit(store->config.io, &scrub->writes[slot]);
}

static void mend_write(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    unsigned target = bb_planted(SCRUB_MEND_IN_PLACE) ? scrub->newest : 1 - scrub->newest;
    bool lost = scrub->bad_slots == 2;
    if (!places_are_sound(store) || !make_page(store, scrub->slot[target])) {
        mend_over(store);
        return;
    }
    scrub->state = SCRUB_WRITE;
    scrub->holds_pages = true;
    scrub->pending = 0;
    uint64_t before =
        lost ? store->super.epoch << LOST_EPOCH_SHIFT : scrub->headers[scrub->newest].generation;
    if (lost)
        memcpy(scrub->slot[1 - target], scrub->slot[target], sizeof(struct bb_disk_page));
    slot_write(store, target, before + 1);
    if (lost)
        slot_write(store, 1 - target, before + 2);
}

/* ---- answers of the index ---- */

static void listed(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    uint32_t count = scrub->job.count;
    scrub->walk_started = true;
    scrub->walk_ended = count < BB_SCRUB_WALK;
    if (count == 0) {
        scrub_rest(store);
        return;
    }
    scrub->walk_after = scrub->listed[count - 1].hash;
    for (uint32_t i = 0; i < count; i++)
        scrub->hashes[i] = scrub->listed[i].hash;
    ask_places(store, count);
}

static bool places_are_true(const struct bb_store *store)
{
    const struct scrub *scrub = &store->scrub;
    for (uint32_t i = 0; i < scrub->job.count; i++) {
        const struct scrub_place *place = &scrub->places[scrub->at[i]];
        const struct bb_index_entry *entry = &scrub->entries[i];
        if (entry->unit != bb_layout_unit_of(&store->super.layout, scrub->row.page, scrub->at[i]) ||
            entry->size != place->size ||
            ((entry->flags & BB_INDEX_CORRUPT) != 0) != place->corrupt)
            return false;
    }
    return true;
}

static void verified(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    scrub->verifying = false;
    if (!scrub_is_still(store) || scrub->generation != store->generation)
        scrub_rest_a_while(store); /* and asks again */
    else if (scrub->touched || !places_are_true(store))
        walk_again(store);
    else
        mend_write(store);
}

void scrub_mend_answered(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    if (scrub->job.result != 0 || store->stopping) {
        scrub->verifying = false;
        scrub->mending = false; /* begins anew with the page */
        scrub->looks = 0;
        scrub_rest_a_while(store);
    } else if (scrub->state == SCRUB_LIST) {
        listed(store);
    } else if (scrub->verifying) {
        verified(store);
    } else {
        for (uint32_t i = 0; i < scrub->job.count; i++)
            note_place(store, &scrub->hashes[i], &scrub->entries[i]);
        scrub_rest(store);
    }
}
