/* SPDX-License-Identifier: Apache-2.0
 * Items behind a gap, applied to descriptor pages. Owner: the caller's thread.
 *
 *   work memory: a block while it is hashed, then the pages around it, in turns
 */
#include "bb/salvage.h"

#include "bb/bits.h"
#include "bb/err.h"

/* 1: the bytes are those of the name, 0: they are not or cannot be read. */
static int bytes_match(struct bb_recovery *recovery, uint64_t unit, uint32_t size,
                       const struct bb_hash *name)
{
    struct bb_hash hash;
    BB_ASSERT(size <= BB_BLOCK_SIZE_MAX);
    int error = bb_io_read(recovery->config->io, BB_IO_DATA, unit * BB_UNIT_SIZE, recovery->work,
                           bb_units_of(size) * BB_UNIT_SIZE);
    if (error != 0)
        return bb_scan_is_medium_error(error) ? 0 : error;
    bb_hash_of(recovery->work, size, &hash);
    return bb_hash_equal(&hash, name) ? 1 : 0;
}

/* Loads the pages that can name a block on units [unit, unit + count). */
static int load_around(struct bb_recovery *recovery, uint64_t unit, uint32_t count)
{
    const struct bb_layout *layout = &recovery->super.layout;
    struct bb_pages *pages = recovery->pages;
    struct bb_zone zone = bb_layout_zone(layout, bb_layout_zone_of(layout, unit));
    uint64_t first = zone.first_unit;
    uint32_t entry;
    if (unit - first >= BB_BLOCK_UNITS_MAX)
        first = unit - BB_BLOCK_UNITS_MAX + 1;
    uint64_t page = bb_layout_page_of(layout, first, &entry);
    uint64_t last = bb_layout_page_of(layout, unit + count - 1, &entry);
    BB_ASSERT(last - page < BB_PAGES_MAX);
    bb_pages_begin(pages);
    for (; page <= last; page++)
        bb_pages_add(pages, page);
    int error = bb_pages_read(pages, recovery->found.anchor.sequence);
    for (uint32_t i = 0; error == 0 && i < pages->count; i++)
        if (pages->page[i].trust == BB_PAGE_LOST)
            bb_page_init(bb_page_entries(&pages->page[i]));
    return error;
}

static int write_changed(struct bb_recovery *recovery)
{
    int error = bb_pages_write(recovery->pages, recovery->found.last.sequence);
    return error == 0 ? bb_io_flush(recovery->config->io) : error;
}

/* Clears what overlaps the extent, but for the block itself; true when that stands there already,
 * and unmarked. */
static bool clear_overlapping(struct bb_recovery *recovery, const struct bb_item *item)
{
    const struct bb_layout *layout = &recovery->super.layout;
    struct bb_pages *pages = recovery->pages;
    uint64_t end = item->unit + bb_units_of(item->size);
    bool there = false;
    for (uint32_t i = 0; i < pages->count; i++) {
        struct bb_page *page = &pages->page[i];
        for (uint32_t slot = 0; slot < BB_PAGE_ENTRY_COUNT; slot++) {
            struct bb_entry entry;
            uint64_t unit = bb_layout_unit_of(layout, page->number, slot);
            if (unit == UINT64_MAX || bb_entry_get(bb_page_entries(page), slot, &entry) != 1)
                continue;
            if (unit >= end || unit + bb_units_of(entry.size) <= item->unit)
                continue;
            if (unit == item->unit && entry.size == item->size && !entry.corrupt &&
                bb_hash_equal(&entry.hash, &item->hash)) {
                there = true;
                continue;
            }
            bb_entry_clear(bb_page_entries(page), slot);
            page->write = true;
        }
    }
    return there;
}

/* The page of the unit among those loaded. */
static struct bb_page *page_at(struct bb_recovery *recovery, uint64_t unit, uint32_t *ret_slot)
{
    struct bb_pages *pages = recovery->pages;
    uint64_t number = bb_layout_page_of(&recovery->super.layout, unit, ret_slot);
    BB_ASSERT(number >= pages->page[0].number && number - pages->page[0].number < pages->count);
    return &pages->page[number - pages->page[0].number];
}

static int apply_put(struct bb_recovery *recovery, const struct bb_item *item)
{
    int matches = bytes_match(recovery, item->unit, item->size, &item->hash);
    if (matches < 0)
        return matches;
    if (matches == 0) {
        recovery->report.not_salvaged++;
        return 0;
    }
    recovery->report.salvaged++;
    int error = load_around(recovery, item->unit, bb_units_of(item->size));
    if (error != 0)
        return error;
    if (!clear_overlapping(recovery, item)) {
        uint32_t slot;
        struct bb_page *page = page_at(recovery, item->unit, &slot);
        struct bb_entry entry = {.hash = item->hash, .size = item->size};
        bb_entry_set(bb_page_entries(page), slot, &entry);
        page->write = true;
    }
    return write_changed(recovery);
}

/* DELETE, MARK, and a place that is dropped: only what is named there changes. */
static int apply_to_entry(struct bb_recovery *recovery, const struct bb_item *item)
{
    uint32_t slot;
    int error = load_around(recovery, item->unit, 1);
    if (error != 0)
        return error;
    struct bb_page *page = page_at(recovery, item->unit, &slot);
    struct bb_entry entry;
    if (bb_entry_get(bb_page_entries(page), slot, &entry) != 1 ||
        !bb_hash_equal(&entry.hash, &item->hash)) {
        recovery->report.not_salvaged++;
        return 0;
    }
    recovery->report.salvaged++;
    entry.corrupt = true;
    if (item->op == BB_ITEM_DELETE)
        bb_entry_clear(bb_page_entries(page), slot);
    else
        bb_entry_set(bb_page_entries(page), slot, &entry);
    page->write = true;
    return write_changed(recovery);
}

static int apply(void *context, uint64_t sequence, uint32_t index, const struct bb_item *item)
{
    struct bb_recovery *recovery = context;
    const struct bb_super *super = &recovery->super;
    (void)sequence;
    (void)index;
    if (!bb_layout_extent_ok(&super->layout, super->open_zone_count, item->unit,
                             bb_units_of(item->size))) {
        recovery->report.not_salvaged++;
        return 0;
    }
    return item->op == BB_ITEM_PUT ? apply_put(recovery, item) : apply_to_entry(recovery, item);
}

int bb_salvage(struct bb_recovery *recovery)
{
    struct bb_recover_report *report = &recovery->report;
    const struct bb_scan_result *found = &recovery->found;
    uint64_t first;
    BB_ASSERT(found->given_up);
    bb_recovery_progress(recovery, "applying journal records behind the lost one", 0, 0);
    int error = bb_scan_behind(&recovery->scan, found->last.sequence, apply, recovery, &first);
    if (error != 0)
        return bb_explain(recovery->explain, error,
                          "data device: applying what stands behind the lost record: %s, run it "
                          "again",
                          bb_err_text(error));
    report->given_up = true;
    report->gap_first = found->lost_sequence;
    report->gap_last = first > 0 ? first - 1 : bb_max_u64(found->proof_sequence, report->gap_first);
    return 0;
}

int bb_salvage_one_of(struct bb_recovery *recovery, const struct bb_mention *first,
                      const struct bb_mention *second)
{
    BB_ASSERT(bb_hash_equal(&first->hash, &second->hash));
    int matches = bytes_match(recovery, first->unit, first->size, &first->hash);
    if (matches < 0)
        return matches;
    const struct bb_mention *drop = matches == 1 ? second : first;
    struct bb_item item = {
        .op = BB_ITEM_DELETE, .size = drop->size, .unit = drop->unit, .hash = drop->hash};
    return apply_to_entry(recovery, &item);
}
