/* SPDX-License-Identifier: Apache-2.0
 * Descriptor pages and journal items merged in order of units. Owner: the caller's thread.
 *
 *   range of pages whose items fit into memory -> batches of 128 pages -> per page:
 *   slots read -> entries (slot, index or none) -> items folded in -> overlaps -> visit -> write
 */
#include "bb/walk.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"

/* State of one run, beside the caller's struct bb_walk. */
struct run {
    struct bb_walk *walk;
    struct bb_recovery *recovery;
    struct bb_pages *pages;
    const struct bb_super *super;
    size_t cursor;        /* first mention not folded in yet */
    struct bb_block busy; /* the last live block, and the first unit behind it */
    uint64_t busy_end;
    bool from_index[BB_PAGES_MAX]; /* entries of that page come from the index */
    bool holes[BB_PAGES_MAX];      /* what no known block covers there may hold an unknown one */
};

static int refuse_overlap(struct bb_recovery *recovery, const struct bb_hash *first,
                          const struct bb_hash *second, uint64_t unit)
{
    return bb_explain(recovery->explain, BB_ERR_OVERLAP,
                      "data device: blocks %s and %s both claim unit %llu, nothing was changed, "
                      "copy both devices and run bbfsck",
                      bb_hash_name(first).text, bb_hash_name(second).text,
                      (unsigned long long)unit);
}

static int refuse_entry(struct bb_recovery *recovery, uint64_t page, uint64_t unit)
{
    return bb_explain(recovery->explain, BB_ERR_DAMAGED,
                      "data device: descriptor page %llu holds an impossible entry for unit %llu, "
                      "run bbfsck",
                      (unsigned long long)page, (unsigned long long)unit);
}

static uint64_t page_of(const struct run *run, uint64_t unit, uint32_t *ret_entry)
{
    return bb_layout_page_of(&run->super->layout, unit, ret_entry);
}

static bool is_mentioned(const struct run *run, uint64_t page)
{
    const struct bb_mentions *mentions = &run->recovery->mentions;
    size_t low = 0, high = mentions->count;
    uint32_t entry;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t at = page_of(run, mentions->array[middle].unit, &entry);
        if (at == page)
            return true;
        if (at < page)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* ---- where the entries of a page come from ---- */

/* First unit of a page; *ret_count entries of it have units. */
static uint64_t page_units(const struct run *run, uint64_t number, uint32_t *ret_count)
{
    const struct bb_layout *layout = &run->super->layout;
    uint64_t first = bb_layout_unit_of(layout, number, 0);
    struct bb_zone zone = bb_layout_zone(layout, bb_layout_zone_of(layout, first));
    BB_ASSERT(first >= zone.first_unit && first - zone.first_unit < zone.unit_count);
    *ret_count =
        (uint32_t)bb_min_u64(BB_PAGE_ENTRY_COUNT, zone.unit_count - (first - zone.first_unit));
    return first;
}

/* The report counts what the reading walk finds; the writing one sees the same again. */
static void report_damaged(struct run *run, const struct bb_page *page, bool mentioned)
{
    struct bb_walk *walk = run->walk;
    struct bb_recover_report *report = &run->recovery->report;
    uint64_t bad = (uint64_t)page->bad[0] + (uint64_t)page->bad[1];
    mentioned = mentioned || bb_planted(DAMAGE_EXCUSED);
    if (!mentioned || page->trust == BB_PAGE_LOST)
        walk->damaged_count++;
    if (walk->damage != NULL)
        walk->damage(walk->context, page, mentioned);
    if (walk->write)
        return;
    if (mentioned)
        report->slots_damaged += bad;
    else
        report->slots_unexcused += bad;
}

static void report_lost(struct run *run, const struct bb_page *page)
{
    struct bb_recover_report *report = &run->recovery->report;
    if (run->walk->write)
        return;
    if (report->pages_lost < BB_RECOVER_NAMED_MAX) {
        uint32_t count;
        uint64_t first = page_units(run, page->number, &count);
        report->lost_first[report->pages_lost] =
            (struct bb_unit_range){.first = first, .count = count};
    }
    report->pages_lost++;
}

/* Whether the bytes on the device are those of the entry's name; never for an empty block, whose
 * name no bytes prove. The scan's buffer is free during a walk. */
static bool bytes_prove(struct run *run, uint64_t unit, const struct bb_entry *entry)
{
    struct bb_io *io = run->recovery->config->io;
    uint8_t *buf = run->recovery->scan.buf;
    struct bb_hasher hasher;
    struct bb_hash hash;
    if (entry->size == 0 ||
        !bb_layout_extent_ok(&run->super->layout, run->super->open_zone_count, unit,
                             bb_units_of(entry->size)) ||
        bb_hasher_open(&hasher) != 0)
        return false;
    int error = 0;
    bb_hasher_begin(&hasher);
    for (uint32_t done = 0; done < entry->size && error == 0;) {
        uint32_t size = (uint32_t)bb_min_u64(entry->size - done, BB_SCAN_BUFFER_SIZE);
        error = bb_io_read(io, BB_IO_DATA, unit * BB_UNIT_SIZE + done, buf,
                           bb_units_of(size) * BB_UNIT_SIZE);
        if (error == 0)
            bb_hasher_update(&hasher, buf, size);
        done += size;
    }
    bb_hasher_end(&hasher, &hash);
    bb_hasher_close(&hasher);
    return error == 0 && bb_hash_equal(&hash, &entry->hash);
}

/* A slot that may be the older one: it names what was there once. What still has its bytes is kept.
 */
static void keep_proven(struct run *run, uint32_t at)
{
    struct bb_page *page = &run->pages->page[at];
    for (uint32_t slot = 0; slot < BB_PAGE_ENTRY_COUNT; slot++) {
        struct bb_entry entry;
        uint64_t unit = bb_layout_unit_of(&run->super->layout, page->number, slot);
        if (unit != UINT64_MAX && bb_entry_get(bb_page_entries(page), slot, &entry) == 1 &&
            bytes_prove(run, unit, &entry))
            continue;
        bb_entry_clear(bb_page_entries(page), slot);
    }
}

/* Applies the caller's rule to a page with a bad slot. */
static void settle_damaged(struct run *run, uint32_t at, bool mentioned)
{
    struct bb_walk *walk = run->walk;
    struct bb_page *page = &run->pages->page[at];
    report_damaged(run, page, mentioned);
    page->write = walk->write;
    if (walk->source == BB_WALK_INDEX) {
        run->from_index[at] = page->trust != BB_PAGE_NEWEST;
        if (run->from_index[at])
            bb_page_init(bb_page_entries(page));
        return;
    }
    bool lost = page->trust == BB_PAGE_LOST;
    bool distrusted = walk->source == BB_WALK_DISTRUST && page->trust == BB_PAGE_SINGLE;
    run->holes[at] = (lost || distrusted) && walk->source != BB_WALK_REPORT;
    if (lost || distrusted)
        report_lost(run, page);
    if (lost)
        bb_page_init(bb_page_entries(page));
    else if (distrusted)
        keep_proven(run, at);
}

/* A page whose entries a repair takes from the index although both slots may be sound. */
static void settle_distrusted(struct run *run, uint32_t at)
{
    const uint64_t *distrusted = run->recovery->config->repair.distrusted;
    struct bb_page *page = &run->pages->page[at];
    if (distrusted == NULL || run->walk->source != BB_WALK_INDEX)
        return;
    if ((distrusted[page->number / 64] >> page->number % 64 & 1) == 0)
        return;
    page->write = run->walk->write;
    run->from_index[at] = true;
    bb_page_init(bb_page_entries(page));
}

static struct bb_page *find_page(struct run *run, uint64_t number, uint32_t *ret_at)
{
    uint32_t low = 0, high = run->pages->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run->pages->page[middle].number == number) {
            *ret_at = middle;
            return &run->pages->page[middle];
        }
        if (run->pages->page[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static int fetch_one(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct run *run = context;
    uint32_t slot, at;
    if (!bb_layout_extent_ok(&run->super->layout, run->super->open_zone_count, entry->unit,
                             bb_units_of(entry->size)))
        return bb_explain(run->recovery->explain, BB_ERR_INDEX_DAMAGED,
                          "index device: block %s at unit %llu lies outside the data device, run "
                          "bbfsck --rebuild",
                          bb_hash_name(hash).text, (unsigned long long)entry->unit);
    struct bb_page *page = find_page(run, page_of(run, entry->unit, &slot), &at);
    if (page == NULL || !run->from_index[at])
        return 0;
    struct bb_entry found = {
        .hash = *hash, .size = entry->size, .corrupt = (entry->flags & BB_INDEX_CORRUPT) != 0};
    bb_entry_set(bb_page_entries(page), slot, &found);
    return 0;
}

/* The index may be ahead of the anchor by slices of a checkpoint that was cut. Every unit on which
 * that makes a difference is mentioned by an item, and those are folded in afterwards. */
static int fetch_from_index(struct run *run)
{
    bool any = false;
    for (uint32_t i = 0; i < run->pages->count; i++)
        any = any || run->from_index[i];
    if (!any)
        return 0;
    const struct bb_index *index = run->recovery->config->index;
    bb_recovery_progress(run->recovery, "reading entries of damaged pages from the index", 0, 0);
    int error = index->ops->scan(index->context, NULL, NULL, fetch_one, run);
    if (error != 0 && run->recovery->explain->text[0] == '\0') {
        const char *cure = bb_err_cure(error);
        return bb_explain(run->recovery->explain, error, "index device: reading it: %s, %s",
                          bb_err_text(error), cure != NULL ? cure : "run bbfsck --rebuild");
    }
    return error;
}

/* ---- items folded in ---- */

/* A PUT onto a unit where the page, not newer than the anchor, has a block that no item deletes. */
static int check_first_put(struct run *run, uint32_t at, uint32_t slot,
                           const struct bb_mention *first)
{
    struct bb_page *page = &run->pages->page[at];
    struct bb_entry entry;
    if (run->from_index[at] || run->holes[at] ||
        page->covered > run->recovery->found.anchor.sequence)
        return 0;
    if (bb_entry_get(bb_page_entries(page), slot, &entry) != 1)
        return 0;
    return refuse_overlap(run->recovery, &entry.hash, &first->hash, first->unit);
}

static int fold_unit(struct run *run, uint32_t at, size_t first, size_t end, bool *touched)
{
    struct bb_recovery *recovery = run->recovery;
    const struct bb_mentions *mentions = &recovery->mentions;
    struct bb_disk_page *entries = bb_page_entries(&run->pages->page[at]);
    struct bb_final final;
    struct bb_contradiction contradiction;
    uint32_t slot;
    int error = bb_mentions_fold(mentions, first, end, &final, &contradiction);
    if (error == 0)
        error = bb_verdicts_apply_to_unit(&recovery->verdicts, mentions, first, end, &final,
                                          &contradiction);
    if (error != 0)
        return bb_recovery_contradicts(recovery, error, &contradiction);
    (void)page_of(run, final.last.unit, &slot);
    if (final.first_put) {
        error = check_first_put(run, at, slot, &mentions->array[first]);
        if (error != 0)
            return error;
    }
    touched[slot] = true;
    if (bb_planted(DROP_SKIPPED) && !final.present && final.last.op == BB_ITEM_PUT)
        return 0;
    if (!final.present) {
        bb_entry_clear(entries, slot);
        return 0;
    }
    struct bb_entry entry = {
        .hash = final.last.hash, .size = final.last.size, .corrupt = final.corrupt};
    bb_entry_set(entries, slot, &entry);
    return 0;
}

/* All items about units of one page. Where records were given up the page may hold more than the
 * ones before the gap: those would undo it. */
static int fold_page(struct run *run, uint32_t at, bool *touched)
{
    const struct bb_mentions *mentions = &run->recovery->mentions;
    struct bb_page *page = &run->pages->page[at];
    bool ahead = run->recovery->config->repair.accept_loss &&
                 page->covered > run->recovery->found.last.sequence;
    uint32_t slot;
    while (run->cursor < mentions->count &&
           page_of(run, mentions->array[run->cursor].unit, &slot) == page->number) {
        size_t end = bb_mentions_run(mentions, run->cursor);
        int error = ahead ? 0 : fold_unit(run, at, run->cursor, end, touched);
        if (error != 0)
            return error;
        page->write = page->write || (run->walk->write && !ahead);
        run->cursor = end;
    }
    return 0;
}

/* ---- what is live ---- */

static int clash(struct run *run, uint64_t page, const struct bb_block *first,
                 const struct bb_block *second)
{
    struct bb_walk *walk = run->walk;
    if (walk->clash != NULL)
        return walk->clash(walk->context, first, second);
    if (second == NULL)
        return refuse_entry(run->recovery, page, first->unit);
    return refuse_overlap(run->recovery, &first->hash, &second->hash, second->unit);
}

static int take_block(struct run *run, uint64_t page, const struct bb_block *block)
{
    uint64_t units = bb_units_of(block->size);
    int error = 0;
    if (!bb_layout_extent_ok(&run->super->layout, run->super->open_zone_count, block->unit, units))
        return clash(run, page, block, NULL);
    if (block->unit < run->busy_end && !bb_planted(OVERLAP_ACCEPTED))
        error = clash(run, page, &run->busy, block);
    if (error != 0)
        return error;
    if (block->unit + units > run->busy_end) {
        run->busy = *block;
        run->busy_end = block->unit + units;
    }
    return run->walk->visit == NULL ? 0 : run->walk->visit(run->walk->context, block);
}

/* A unit of a lost page that nothing known covers. */
static void put_placeholder(struct run *run, struct bb_page *page, uint32_t slot,
                            struct bb_block *ret_block)
{
    struct bb_entry entry = {.size = BB_UNIT_SIZE, .corrupt = true};
    bb_rebuild_placeholder(&run->super->store, ret_block->unit, &entry.hash);
    bb_entry_set(bb_page_entries(page), slot, &entry);
    ret_block->hash = entry.hash;
    ret_block->size = entry.size;
    ret_block->corrupt = true;
    if (!run->walk->write)
        run->recovery->report.units_lost++;
}

static int take_page(struct run *run, uint32_t at, const bool *touched)
{
    struct bb_page *page = &run->pages->page[at];
    uint32_t count;
    uint64_t first = page_units(run, page->number, &count);
    for (uint32_t slot = 0; slot < BB_PAGE_ENTRY_COUNT; slot++) {
        struct bb_entry entry;
        struct bb_block block = {.unit = first + slot};
        int found = bb_entry_get(bb_page_entries(page), slot, &entry);
        int error = 0;
        if (found == 1 && slot < count) {
            block.hash = entry.hash;
            block.size = entry.size;
            block.corrupt = entry.corrupt;
            error = take_block(run, page->number, &block);
        } else if (found != 0) {
            error = clash(run, page->number, &block, NULL);
        } else if (run->holes[at] && slot < count && block.unit >= run->busy_end &&
                   !touched[slot]) {
            put_placeholder(run, page, slot, &block);
            error = take_block(run, page->number, &block);
        }
        if (error != 0)
            return error;
    }
    return 0;
}

/* ---- batches and ranges ---- */

static int write_batch(struct run *run)
{
    struct bb_recovery *recovery = run->recovery;
    for (uint32_t i = 0; i < run->pages->count && bb_planted(PAGES_CHANGED_ONLY); i++) {
        struct bb_page *page = &run->pages->page[i];
        struct bb_page_header header;
        if (bb_page_check(bb_page_entries(page), &run->super->store, page->number, &header) == 0)
            page->write = false;
    }
    int error = bb_pages_write(run->pages, recovery->found.last.sequence);
    if (error != 0)
        return bb_explain(recovery->explain, error,
                          "data device: writing descriptor pages: %s, start again",
                          bb_err_text(error));
    for (uint32_t i = 0; i < run->pages->count; i++)
        recovery->report.pages_written += run->pages->page[i].write ? 1 : 0;
    return 0;
}

static int run_batch(struct run *run)
{
    struct bb_recovery *recovery = run->recovery;
    struct bb_pages *pages = run->pages;
    int error = bb_pages_read(pages, recovery->found.anchor.sequence);
    if (error != 0)
        return bb_explain(recovery->explain, error,
                          "data device: reading descriptor pages: %s, try again",
                          bb_err_text(error));
    for (uint32_t i = 0; i < pages->count; i++) {
        run->from_index[i] = false;
        run->holes[i] = false;
        if (pages->page[i].bad[0] || pages->page[i].bad[1])
            settle_damaged(run, i, is_mentioned(run, pages->page[i].number));
        settle_distrusted(run, i);
    }
    error = fetch_from_index(run);
    for (uint32_t i = 0; i < pages->count && error == 0; i++) {
        bool touched[BB_PAGE_ENTRY_COUNT] = {false};
        error = fold_page(run, i, touched);
        if (error == 0)
            error = take_page(run, i, touched);
    }
    if (error == 0 && run->walk->write)
        error = write_batch(run);
    return error;
}

/* The page to look at next, at least `page`; false: none up to `high`. */
static bool next_page(const struct run *run, size_t *cursor, uint64_t high, uint64_t *page)
{
    const struct bb_mentions *mentions = &run->recovery->mentions;
    uint32_t slot;
    if (run->walk->all)
        return *page <= high;
    while (*cursor < mentions->count && page_of(run, mentions->array[*cursor].unit, &slot) < *page)
        (*cursor)++;
    if (*cursor == mentions->count)
        return false;
    *page = page_of(run, mentions->array[*cursor].unit, &slot);
    return *page <= high;
}

static int run_range(struct run *run, uint64_t low, uint64_t high)
{
    uint64_t page = low, total = bb_layout_pages(&run->super->layout, run->super->open_zone_count);
    size_t ahead = 0;
    run->cursor = 0;
    for (;;) {
        bb_pages_begin(run->pages);
        while (run->pages->count < BB_PAGES_MAX && next_page(run, &ahead, high, &page)) {
            bb_pages_add(run->pages, page);
            page++;
        }
        if (run->pages->count == 0)
            return 0;
        bb_recovery_progress(run->recovery,
                             run->walk->write ? "writing descriptor pages"
                                              : "reading descriptor pages",
                             page, total);
        int error = run_batch(run);
        if (error != 0)
            return error;
    }
}

int bb_walk_run(struct bb_walk *walk)
{
    struct bb_recovery *recovery = walk->recovery;
    struct run run = {
        .walk = walk, .recovery = recovery, .pages = recovery->pages, .super = &recovery->super};
    uint64_t pages = bb_layout_pages(&run.super->layout, run.super->open_zone_count);
    walk->damaged_count = 0;
    if (pages == 0 || (!walk->all && recovery->found.item_count == 0))
        return 0;
    uint64_t high = 0;
    for (uint64_t low = 0; low < pages; low = high + 1) {
        int error = bb_mentions_load(&recovery->mentions, &recovery->scan, &recovery->found.anchor,
                                     BB_BY_UNIT, low, pages - 1, &high);
        if (error != 0)
            return bb_explain(recovery->explain, error,
                              "data device: reading the journal again: %s, %s", bb_err_text(error),
                              error == BB_ERR_MEMORY ? "allow more memory" : "try again");
        recovery->report.passes++;
        error = run_range(&run, low, high);
        if (error != 0)
            return error;
        BB_ASSERT(run.cursor == recovery->mentions.count);
    }
    return 0;
}
