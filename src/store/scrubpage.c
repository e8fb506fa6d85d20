/* SPDX-License-Identifier: Apache-2.0
 * A descriptor page beside the index. Owner: the controller.
 *
 *   SLOTS: both are read --still--> INDEX: all names of the newer one are looked up
 *   --still, no fold meanwhile--> compared; any difference --> once more from SLOTS, then the mend
 *
 * The index is asked without the delta: what lies there is newer than both.
 */
#include "engine.h"

static void compare(struct bb_store *store);

/* What was read may be older than what it is compared with. */
static bool is_stale(const struct bb_store *store)
{
    return !scrub_is_still(store) ||
           (store->scrub.generation != store->generation && !bb_planted(SCRUB_NOT_STILL));
}

static void ask_index(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    const struct bb_disk_page *page = scrub->slot[scrub->newest];
    uint32_t count = 0;
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        struct bb_entry entry;
        if (bb_entry_get(page, i, &entry) != 1)
            continue;
        scrub->at[count] = (uint8_t)i;
        scrub->hashes[count++] = entry.hash;
    }
    scrub->job = (struct bb_index_job){.kind = BB_JOB_LOOKUP,
                                       .hashes = scrub->hashes,
                                       .entries = scrub->entries,
                                       .count = count,
                                       .owner = scrub};
    if (count == 0) {
        compare(store);
        return;
    }
    scrub->state = SCRUB_INDEX;
    store->config.index.submit(store->config.index.context, &scrub->job);
}

static void slots_read(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    scrub->holds_pages = false;
    if (is_stale(store) || store->stopping) {
        scrub_rest_a_while(store);
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        scrub->good[i] =
            scrub->reads[i].result == 0 && bb_page_check(scrub->slot[i], &store->super.store,
                                                         scrub->row.page, &scrub->headers[i]) == 0;
    scrub->newest = scrub->good[1] && (!scrub->good[0] ||
                                       scrub->headers[1].generation > scrub->headers[0].generation);
    if (!scrub->good[0] && !scrub->good[1])
        bb_page_init(scrub->slot[0]);
    ask_index(store);
}

static void slot_done(struct bb_io_request *request, unsigned slot)
{
    struct bb_store *store = BB_CONTAINER(request, struct bb_store, scrub.reads[slot]);
    BB_ASSERT(store->scrub.state == SCRUB_SLOTS);
    BB_ASSERT(store->scrub.pending > 0);
    if (--store->scrub.pending == 0 && store->fatal == 0)
        slots_read(store);
}

static void slot_a_done(struct bb_io_request *request)
{
    slot_done(request, 0);
}

static void slot_b_done(struct bb_io_request *request)
{
    slot_done(request, 1);
}

void scrub_page_begin(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    BB_ASSERT(scrub->state == SCRUB_REST);
    BB_ASSERT(!scrub->page_loaded);
    scrub->state = SCRUB_SLOTS;
    scrub->generation = store->generation;
    scrub->pending = 2;
    scrub->holds_pages = true;
    scrub->touched = false;
    scrub_charge(store, (uint64_t)2 * BB_UNIT_SIZE);
    for (unsigned i = 0; i < 2; i++) {
        bb_io_prepare(&scrub->reads[i], BB_IO_READ, BB_IO_DESCRIPTOR,
                      bb_layout_slot_offset(&store->super.layout, scrub->row.page, i),
                      scrub->slot[i], BB_UNIT_SIZE, i == 0 ? slot_a_done : slot_b_done);
        bb_io_submit(store->config.io, &scrub->reads[i]);
    }
}

/* Whether the index says of this entry what the page says. */
static bool entry_agrees(const struct bb_store *store, uint32_t index, const struct bb_entry *entry,
                         const struct bb_index_entry *indexed)
{
    const struct bb_layout *layout = &store->super.layout;
    uint64_t unit = bb_layout_unit_of(layout, store->scrub.row.page, index);
    return unit != UINT64_MAX && indexed->unit == unit && indexed->size == entry->size &&
           ((indexed->flags & BB_INDEX_CORRUPT) != 0) == entry->corrupt &&
           bb_layout_extent_ok(layout, store->super.open_zone_count, unit,
                               bb_units_of(entry->size));
}

static void add_to_set(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    struct bb_scrub_row *row = &scrub->row;
    if ((row->flags & BB_SCRUB_SET) == 0 || row->set_page != row->page)
        return;
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        struct bb_entry entry;
        if (bb_entry_get(scrub->slot[scrub->newest], i, &entry) == 1)
            bb_set_add(&row->set, &entry.hash,
                       bb_layout_unit_of(&store->super.layout, row->page, i), entry.size);
    }
    row->set_page++;
}

static void report_left(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    for (unsigned i = 0; i < scrub->bad_slots; i++)
        scrub_found(store, BB_SCRUB_SLOT, BB_SCRUB_LEFT, 0, NULL);
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        struct bb_entry entry;
        if (!scrub->wrong[i])
            continue;
        bool readable = bb_entry_get(scrub->slot[scrub->newest], i, &entry) == 1;
        scrub_found(store, BB_SCRUB_ENTRY, BB_SCRUB_LEFT,
                    bb_layout_unit_of(&store->super.layout, scrub->row.page, i),
                    readable ? &entry.hash : NULL);
    }
}

/* Whether units of the page are in use and belong to no entry: to a block that the page lacks, or
 * to a worker that has not stored anything there yet. */
static bool has_nameless_units(const struct bb_store *store)
{
    const struct scrub *scrub = &store->scrub;
    uint64_t named = scrub->named_until;
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        struct bb_entry entry;
        uint64_t unit = bb_layout_unit_of(&store->super.layout, scrub->row.page, i);
        if (unit == UINT64_MAX)
            break;
        if (bb_entry_get(scrub->slot[scrub->newest], i, &entry) == 1)
            named = bb_max_u64(named, unit + bb_units_of(entry.size));
        if (unit >= named && bb_buddy_is_used(store->buddy, unit, 1))
            return true;
    }
    return false;
}

static void note_named(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        struct bb_entry entry;
        if (bb_entry_get(scrub->slot[scrub->newest], i, &entry) == 1)
            scrub->named_until = bb_max_u64(
                scrub->named_until, bb_layout_unit_of(&store->super.layout, scrub->row.page, i) +
                                        bb_units_of(entry.size));
    }
}

/* The blocks of the page are to be hashed, but those whose entries nobody could confirm. */
static void page_done(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    report_left(store);
    if (scrub->bad_slots == 0 && scrub->bad_entries == 0)
        add_to_set(store);
    else
        scrub_set_lost(store);
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        struct bb_entry entry;
        scrub->due[i] = bb_entry_get(scrub->slot[scrub->newest], i, &entry) == 1 &&
                        !entry.corrupt && !scrub->wrong[i];
    }
    note_named(store);
    scrub->page_loaded = true;
    scrub->next_entry = 0;
    scrub_rest(store);
}

static void compare(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    const struct bb_disk_page *page = scrub->slot[scrub->newest];
    uint32_t asked = 0;
    scrub->bad_slots = (unsigned)!scrub->good[0] + (unsigned)!scrub->good[1];
    scrub->bad_entries = 0;
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        struct bb_entry entry;
        int result = bb_entry_get(page, i, &entry);
        scrub->wrong[i] =
            result < 0 || (result == 1 && !entry_agrees(store, i, &entry, &scrub->entries[asked]));
        asked += result == 1;
        scrub->bad_entries += scrub->wrong[i];
    }
    BB_ASSERT(asked == scrub->job.count);
    bool clean = scrub->bad_slots == 0 && scrub->bad_entries == 0;
    if (!clean && scrub->looks == 0 && !bb_planted(SCRUB_ONE_LOOK)) {
        scrub->looks = 1;
        scrub_rest(store);
        return;
    }
    scrub->looks_again += clean && scrub->looks == 1 && !scrub->mended;
    bool doubtful = (scrub->row.flags & BB_SCRUB_DOUBT) != 0 && has_nameless_units(store);
    if ((clean && !doubtful) || scrub->mended)
        page_done(store);
    else
        scrub_mend_begin(store);
}

void scrub_page_answered(struct bb_store *store)
{
    if (is_stale(store) || store->stopping || store->scrub.job.result != 0)
        scrub_rest_a_while(store);
    else
        compare(store);
}

void scrub_set_lost(struct bb_store *store)
{
    struct bb_scrub_row *row = &store->scrub.row;
    row->flags &= ~(uint64_t)BB_SCRUB_SET;
    row->set_page = 0;
}

void scrub_item_paged(struct bb_store *store, uint64_t page, const struct bb_delta_item *item)
{
    struct bb_scrub_row *row = &store->scrub.row;
    store->scrub.touched |= page == row->page;
    if (page >= row->set_page || bb_planted(SCRUB_SET_FORGETS))
        return;
    if (item->op == BB_ITEM_PUT)
        bb_set_add(&row->set, &item->hash, item->unit, item->size);
    else if (item->op == BB_ITEM_DELETE)
        bb_set_remove(&row->set, &item->hash, item->unit, item->size);
}

void scrub_put_off(struct bb_store *store)
{
    store->scrub.pages_ahead = true;
    scrub_set_lost(store);
}
