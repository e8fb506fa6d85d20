/* SPDX-License-Identifier: Apache-2.0
 * Both sides of a store, compared. Owner: the calling thread.
 *
 *   startcheck.c -> pages with items folded in: overlaps, set P -> index with items folded
 * in: set I -> P, I and anchor plus items equal? else both sides hash by hash
 *
 * Memory for mentions is halved: one half holds the items of a range, the other the blocks that the
 * pages hold in that range.
 */
#include "bb/crosscheck.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "check.h"

#include <stdarg.h>
#include <stdio.h>

static void hand_on(struct check *check, struct bb_finding *finding, const char *text,
                    va_list arguments)
{
    vsnprintf(finding->text, sizeof(finding->text), text, arguments);
    check->report.count[finding->kind]++;
    if (bb_finding_info(finding->kind)->severity == BB_ERROR)
        check->report.errors++;
    else
        check->report.notes++;
    if (check->options->found != NULL)
        check->options->found(check->config->context, finding);
}

void check_find(struct check *check, enum bb_finding_kind kind, const char *text, ...)
{
    struct bb_finding finding = {.kind = kind};
    va_list arguments;
    va_start(arguments, text);
    hand_on(check, &finding, text, arguments);
    va_end(arguments);
}

void check_find_block(struct check *check, enum bb_finding_kind kind, const struct bb_block *block,
                      uint64_t other_unit, const char *text, ...)
{
    struct bb_finding finding = {.kind = kind,
                                 .has_unit = true,
                                 .has_block = true,
                                 .unit = block->unit,
                                 .other_unit = other_unit,
                                 .hash = block->hash,
                                 .size = block->size};
    va_list arguments;
    va_start(arguments, text);
    hand_on(check, &finding, text, arguments);
    va_end(arguments);
}

static void side_add(struct check_side *side, const struct bb_block *block)
{
    bb_set_add(&side->all, &block->hash, block->unit, block->size);
    if (block->corrupt)
        bb_set_add(&side->marked, &block->hash, block->unit, block->size);
}

static bool side_equal(const struct check_side *a, const struct check_side *b)
{
    return bb_set_equal(&a->all, &b->all) && bb_set_equal(&a->marked, &b->marked);
}

/* ---- pages ---- */

static int count_page_block(void *context, const struct bb_block *block)
{
    struct check *check = context;
    side_add(&check->pages, block);
    check->report.blocks++;
    check->report.bytes += block->size;
    check->report.used_units += bb_units_of(block->size);
    check->report.marked_blocks += block->corrupt ? 1 : 0;
    return 0;
}

static void on_damage(void *context, const struct bb_page *page, bool mentioned)
{
    struct check *check = context;
    unsigned long long number = page->number;
    char slot = page->bad[0] ? 'A' : 'B';
    struct bb_block first = {.unit =
                                 bb_layout_unit_of(&check->recovery.super.layout, page->number, 0)};
    if (page->trust == BB_PAGE_LOST)
        check_find_block(check, BB_FINDING_PAGE_LOST, &first, UINT64_MAX,
                         "data device: both slots of descriptor page %llu are damaged, a store "
                         "with a good index still reads all blocks, bbfsck --repair writes them "
                         "from it",
                         number);
    else if (mentioned)
        check_find(check, BB_FINDING_SLOT_TORN,
                   "data device: slot %c of descriptor page %llu was torn, the next start writes "
                   "it again",
                   slot, number);
    else
        check_find_block(check, BB_FINDING_SLOT_DAMAGED, &first, UINT64_MAX,
                         "data device: slot %c of descriptor page %llu is damaged, run bbfsck "
                         "--repair",
                         slot, number);
}

static int on_clash(void *context, const struct bb_block *first, const struct bb_block *second)
{
    struct check *check = context;
    if (second == NULL)
        check_find_block(check, BB_FINDING_ENTRY_IMPOSSIBLE, first, UINT64_MAX,
                         "data device: the descriptor of unit %llu holds an entry that cannot be, "
                         "run bbfsck --repair",
                         (unsigned long long)first->unit);
    else
        check_find_block(check, BB_FINDING_OVERLAP, first, second->unit,
                         "data device: blocks %s (unit %llu) and %s (unit %llu) overlap, run "
                         "bbfsck --repair on a copy of both devices",
                         bb_hash_name(&first->hash).text, (unsigned long long)first->unit,
                         bb_hash_name(&second->hash).text, (unsigned long long)second->unit);
    return 0;
}

static int read_pages(struct check *check)
{
    struct bb_walk walk = {.recovery = &check->recovery,
                           .source = BB_WALK_REPORT,
                           .all = true,
                           .visit = count_page_block,
                           .damage = on_damage,
                           .clash = on_clash,
                           .context = check};
    check->recovery.mentions.loaded = false;
    return bb_walk_run(&walk);
}

/* ---- index, with the items folded in ---- */

struct merge {
    struct check *check;
    check_index_visit_fn *visit;
    size_t cursor; /* first mention whose hash was not passed yet */
    uint64_t high;
    bool first_pass; /* count the raw set */
};

/* The final state of the run at the cursor, which moves behind it. */
static int merge_final(struct merge *merge)
{
    struct bb_recovery *recovery = &merge->check->recovery;
    struct bb_mentions *mentions = &recovery->mentions;
    struct bb_contradiction contradiction;
    struct bb_final final;
    size_t end = bb_mentions_run(mentions, merge->cursor);
    int error = bb_mentions_fold(mentions, merge->cursor, end, &final, &contradiction);
    BB_ASSERT(error == 0); /* judge has folded all of them */
    merge->cursor = end;
    bb_verdicts_apply_to_hash(&recovery->verdicts, &final);
    if (!final.present)
        return 0;
    struct bb_block block = {.hash = final.last.hash,
                             .unit = final.last.unit,
                             .size = final.last.size,
                             .corrupt = final.corrupt};
    return merge->visit(merge->check, &block);
}

static int merge_entry(void *context, const struct bb_hash *hash,
                       const struct bb_index_entry *entry)
{
    struct merge *merge = context;
    struct check *check = merge->check;
    const struct bb_mentions *mentions = &check->recovery.mentions;
    int error = 0;
    if (bb_mentions_hash_key(hash) > merge->high)
        return 1;
    if (merge->first_pass)
        bb_set_add(&check->raw, hash, entry->unit, entry->size);
    while (error == 0 && merge->cursor < mentions->count &&
           bb_hash_compare(&mentions->array[merge->cursor].hash, hash) < 0)
        error = merge_final(merge);
    if (error != 0)
        return error;
    if (merge->cursor < mentions->count &&
        bb_hash_equal(&mentions->array[merge->cursor].hash, hash))
        return merge_final(merge);
    struct bb_block block = {.hash = *hash,
                             .unit = entry->unit,
                             .size = entry->size,
                             .corrupt = (entry->flags & BB_INDEX_CORRUPT) != 0};
    return merge->visit(check, &block);
}

/* The largest hash whose key is below `key` > 0. */
static struct bb_hash hash_before(uint64_t key)
{
    struct bb_hash hash;
    uint64_t prefix = __builtin_bswap64(key - 1);
    memset(&hash, 0xff, sizeof(hash));
    memcpy(hash.bytes, &prefix, sizeof(prefix));
    return hash;
}

int check_each_index_block(struct check *check, uint64_t low, uint64_t *high,
                           check_index_visit_fn *visit, bool first_pass)
{
    struct bb_recovery *recovery = &check->recovery;
    const struct bb_index *index = check->config->index;
    int error = bb_mentions_load(&recovery->mentions, &recovery->scan, &recovery->found.anchor,
                                 BB_BY_HASH, low, *high, high);
    if (error != 0)
        return bb_explain(recovery->explain, error, "data device: reading the journal again: %s",
                          bb_err_text(error));
    struct merge merge = {.check = check, .visit = visit, .high = *high, .first_pass = first_pass};
    struct bb_hash after = {{0}};
    if (low > 0)
        after = hash_before(low);
    error = index->ops->scan(index->context, low > 0 ? &after : NULL, NULL, merge_entry, &merge);
    if (error == BB_ERR_INDEX_DAMAGED || bb_scan_is_medium_error(error)) {
        check_find(check, BB_FINDING_INDEX_DAMAGED,
                   "index device: reading it: %s, run bbfsck --rebuild", bb_err_text(error));
        return 1;
    }
    while (error >= 0 && merge.cursor < recovery->mentions.count)
        error = merge_final(&merge);
    return error < 0 ? error : 0;
}

static int count_index_block(struct check *check, const struct bb_block *block)
{
    const struct bb_super *super = &check->recovery.super;
    if (!bb_layout_extent_ok(&super->layout, super->open_zone_count, block->unit,
                             bb_units_of(block->size)))
        check_find(check, BB_FINDING_INDEX_IMPOSSIBLE,
                   "index device: block %s at unit %llu lies outside the data device, run bbfsck "
                   "--rebuild",
                   bb_hash_name(&block->hash).text, (unsigned long long)block->unit);
    side_add(&check->index, block);
    check->report.index_blocks++;
    return 0;
}

static int read_index(struct check *check)
{
    uint64_t high = 0;
    bb_recovery_progress(&check->recovery, "reading the index", 0, check->state.set.count);
    for (uint64_t low = 0;; low = high + 1) {
        high = UINT64_MAX;
        int error = check_each_index_block(check, low, &high, count_index_block, true);
        if (error != 0 || high == UINT64_MAX)
            return error;
    }
}

/* ---- where the sides differ ---- */

static int collect_block(void *context, const struct bb_block *block)
{
    struct check *check = context;
    struct bb_mention mention = {.hash = block->hash,
                                 .unit = block->unit,
                                 .size = block->size,
                                 .op = block->corrupt ? BB_ITEM_MARK : BB_ITEM_PUT};
    return bb_mentions_add(&check->collected, &mention);
}

static int ignore_clash(void *context, const struct bb_block *first, const struct bb_block *second)
{
    (void)context;
    (void)first;
    (void)second;
    return 0;
}

static int collect_range(struct check *check)
{
    struct bb_walk walk = {.recovery = &check->recovery,
                           .source = BB_WALK_REPORT,
                           .all = true,
                           .visit = collect_block,
                           .clash = ignore_clash,
                           .context = check};
    bb_mentions_begin(&check->collected, BB_BY_HASH, check->low, UINT64_MAX);
    check->recovery.mentions.loaded = false;
    int error = bb_walk_run(&walk);
    if (error != 0)
        return error;
    check->recovery.mentions.loaded = false;
    bb_mentions_sort(&check->collected);
    check->high = check->collected.high;
    return 0;
}

static struct bb_block block_of(const struct bb_mention *mention)
{
    return (struct bb_block){.hash = mention->hash, .unit = mention->unit, .size = mention->size};
}

/* Reports and passes the collected block at the cursor, which the index does not have. */
static void pass_page_block(struct check *check)
{
    struct bb_block block = block_of(&check->collected.array[check->cursor++]);
    check_find_block(check, BB_FINDING_NOT_IN_INDEX, &block, UINT64_MAX,
                     "index device: block %s, which a descriptor names at unit %llu, is not in it, "
                     "run bbfsck --repair",
                     bb_hash_name(&block.hash).text, (unsigned long long)block.unit);
}

/* Passes further descriptors of the same block. */
static void pass_twice(struct check *check, const struct bb_hash *hash)
{
    const struct bb_mentions *collected = &check->collected;
    while (check->cursor < collected->count &&
           bb_hash_equal(&collected->array[check->cursor].hash, hash)) {
        struct bb_block block = block_of(&collected->array[check->cursor - 1]);
        uint64_t other = collected->array[check->cursor].unit;
        check_find_block(check, BB_FINDING_TWICE, &block, other,
                         "data device: descriptors name block %s at unit %llu and at unit %llu, "
                         "run bbfsck --repair",
                         bb_hash_name(hash).text, (unsigned long long)block.unit,
                         (unsigned long long)other);
        check->cursor++;
    }
}

static void compare_found(struct check *check, const struct bb_block *block,
                          const struct bb_mention *other)
{
    bool marked = other->op == BB_ITEM_MARK;
    if (other->unit != block->unit || other->size != block->size)
        check_find_block(check, BB_FINDING_DIFFERENT, block, other->unit,
                         "block %s: descriptor says unit %llu, %u bytes, index says unit %llu, %u "
                         "bytes, run bbfsck --repair",
                         bb_hash_name(&block->hash).text, (unsigned long long)other->unit,
                         other->size, (unsigned long long)block->unit, block->size);
    else if (marked != block->corrupt)
        check_find_block(check, BB_FINDING_MARK_DIFFERS, block, UINT64_MAX,
                         "block %s at unit %llu is marked corrupt in the %s only, run bbfsck "
                         "--repair",
                         bb_hash_name(&block->hash).text, (unsigned long long)block->unit,
                         marked ? "descriptor" : "index");
}

static int compare_block(struct check *check, const struct bb_block *block)
{
    const struct bb_mentions *collected = &check->collected;
    while (check->cursor < collected->count &&
           bb_hash_compare(&collected->array[check->cursor].hash, &block->hash) < 0)
        pass_page_block(check);
    if (check->cursor == collected->count ||
        !bb_hash_equal(&collected->array[check->cursor].hash, &block->hash)) {
        check_find_block(check, BB_FINDING_NOT_IN_PAGES, block, UINT64_MAX,
                         "data device: no descriptor names block %s, which the index has at unit "
                         "%llu, run bbfsck --repair",
                         bb_hash_name(&block->hash).text, (unsigned long long)block->unit);
        return 0;
    }
    compare_found(check, block, &collected->array[check->cursor++]);
    pass_twice(check, &block->hash);
    return 0;
}

/* Both sides hash by hash, in ranges that fit into memory. */
static int compare_sides(struct check *check)
{
    for (check->low = 0;; check->low = check->high + 1) {
        check->cursor = 0;
        int error = collect_range(check);
        uint64_t next = check->low;
        while (error == 0) { /* the items of the range may need several loads */
            uint64_t high = check->high;
            error = check_each_index_block(check, next, &high, compare_block, false);
            if (error != 0 || high == check->high)
                break;
            next = high + 1;
        }
        if (error != 0)
            return error;
        while (check->cursor < check->collected.count)
            pass_page_block(check);
        if (check->high == UINT64_MAX)
            return 0;
    }
}

static void check_sets(struct check *check)
{
    const struct bb_set *expected = &check->recovery.expected;
    struct bb_crosscheck_report *report = &check->report;
    bool row_right = bb_set_equal(&check->raw, &check->state.set);
    bool index_right = bb_set_equal(&check->index.all, expected);
    report->compared = true;
    report->index_right = row_right && index_right;
    report->pages_right = bb_set_equal(&check->pages.all, expected);
    if (!row_right)
        check_find(check, BB_FINDING_INDEX_SET,
                   "index device: it holds %llu blocks, its row says %llu or others, run bbfsck "
                   "--rebuild",
                   (unsigned long long)check->raw.count,
                   (unsigned long long)check->state.set.count);
    if (!index_right)
        check_find(check, BB_FINDING_INDEX_SET,
                   "index device: with the journal it holds %llu blocks, checkpoint and journal "
                   "say %llu or others, run bbfsck --rebuild",
                   (unsigned long long)check->index.all.count, (unsigned long long)expected->count);
    if (!report->pages_right)
        check_find(check, BB_FINDING_PAGES_SET,
                   "data device: descriptors and journal hold %llu blocks, checkpoint and journal "
                   "say %llu or others, run bbfsck --repair, do not rebuild the index",
                   (unsigned long long)check->pages.all.count, (unsigned long long)expected->count);
}

/* A walk that stopped because the journal contradicts itself is a finding as well. */
static int ended_with(struct check *check, int error)
{
    if (error == BB_ERR_OVERLAP || error == BB_ERR_DAMAGED) {
        check_find(check, BB_FINDING_JOURNAL_IMPOSSIBLE, "%s", check->recovery.explain->text);
        return 0;
    }
    return error > 0 ? 0 : error;
}

static int run(struct check *check, struct bb_explain *explain)
{
    int error = check_superblocks(check, explain);
    if (error == 0)
        error = check_start(check, explain);
    if (error == 0)
        error = read_pages(check);
    if (error == 0)
        error = read_index(check);
    if (error != 0)
        return ended_with(check, error);
    const struct bb_super *super = &check->recovery.super;
    check->report.open_units = bb_layout_units(&super->layout, super->open_zone_count);
    check_sets(check);
    if (!side_equal(&check->pages, &check->index))
        error = compare_sides(check);
    if (error == 0 && check->options->deep)
        error = check_deep(check);
    return ended_with(check, error);
}

int bb_crosscheck_run(const struct bb_recover_config *config,
                      const struct bb_crosscheck_options *options,
                      struct bb_crosscheck_report *ret_report, struct bb_explain *ret_explain)
{
    struct check check = {.config = config, .options = options};
    int error = run(&check, ret_explain);
    if (error == 0)
        *ret_report = check.report;
    return error;
}
