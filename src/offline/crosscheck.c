/* SPDX-License-Identifier: Apache-2.0
 * Both sides of a store, compared. Owner: the calling thread.
 *
 *   start's own checks -> pages with items folded in: overlaps, set P -> index with items folded
 * in: set I -> P, I and anchor plus items equal? else both sides hash by hash
 *
 * Memory for mentions is halved: one half holds the items of a range, the other the blocks that the
 * pages hold in that range.
 */
#include "bb/crosscheck.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/recovery.h"
#include "bb/walk.h"

#include <stdarg.h>
#include <stdio.h>

/* What one side holds: all blocks, and the marked ones (marks are not in the set hash). */
struct side {
    struct bb_set all, marked;
};

struct check {
    struct bb_recovery recovery;
    const struct bb_recover_config *config;
    bb_finding_fn *found;
    struct bb_crosscheck_report report;
    struct bb_index_state state;
    struct side pages, index;
    struct bb_set raw; /* what the index holds, without items */
    struct bb_mentions collected;
    size_t cursor;      /* in collected */
    uint64_t low, high; /* range of keys that is compared */
};

static void find(struct check *check, enum bb_finding_kind kind, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

static void find(struct check *check, enum bb_finding_kind kind, const char *text, ...)
{
    static const struct {
        const char *name;
        bool is_error;
    } kinds[] = {
#define BB_FINDING_KIND(name, json, error) {json, error},
        BB_FINDINGS(BB_FINDING_KIND)
#undef BB_FINDING_KIND
    };
    struct bb_finding finding = {
        .kind = kind, .name = kinds[kind].name, .is_error = kinds[kind].is_error};
    va_list arguments;
    va_start(arguments, text);
    vsnprintf(finding.text, sizeof(finding.text), text, arguments);
    va_end(arguments);
    check->report.count[kind]++;
    if (finding.is_error)
        check->report.errors++;
    else
        check->report.notes++;
    if (check->found != NULL)
        check->found(check->config->context, &finding);
}

static void side_add(struct side *side, const struct bb_block *block)
{
    bb_set_add(&side->all, &block->hash, block->unit, block->size);
    if (block->corrupt)
        bb_set_add(&side->marked, &block->hash, block->unit, block->size);
}

static bool side_equal(const struct side *a, const struct side *b)
{
    return bb_set_equal(&a->all, &b->all) && bb_set_equal(&a->marked, &b->marked);
}

/* ---- what the start would say ---- */

static void check_super(struct check *check)
{
    const struct bb_super_copies *copies = &check->recovery.copies;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        if (!copies->differs[i])
            continue;
        find(check, BB_FINDING_SUPER_COPY,
             "data device: superblock copy %u: %s, the next start repairs it", i + 1,
             copies->error[i] != 0 ? bb_err_text(copies->error[i])
                                   : "not the generation that counts");
    }
}

static bool is_verdict(int error)
{
    switch (error) {
    case BB_ERR_FOREIGN:
    case BB_ERR_STALE_INDEX:
    case BB_ERR_STALE_DATA:
    case BB_ERR_LOST_RECORD:
    case BB_ERR_OVERLAP:
    case BB_ERR_SET_MISMATCH:
    case BB_ERR_DAMAGED:
    case BB_ERR_INDEX_DAMAGED:
        return true;
    default:
        return false;
    }
}

static void note_recovery(struct check *check)
{
    const struct bb_recover_report *report = &check->report.recover;
    if (report->records > 0)
        find(check, BB_FINDING_ROLL_FORWARD,
             "journal: %llu records with %llu items behind the newest checkpoint, the next start "
             "rolls them forward",
             (unsigned long long)report->records, (unsigned long long)report->items);
    if (report->dropped > 0)
        find(check, BB_FINDING_DROPPED,
             "journal: %llu blocks that were never acknowledged have other bytes than their names "
             "say, the next start drops them",
             (unsigned long long)report->dropped);
    if (report->journal_unreadable_units > 0)
        find(check, BB_FINDING_JOURNAL_UNREADABLE,
             "data device: %llu units of the journal cannot be read, replace the device",
             (unsigned long long)report->journal_unreadable_units);
}

/* Recovery's checks, which include those of the pair. 0: go on comparing, 1: found an error that
 * makes it pointless, or an error. */
static int ask_recovery(struct check *check, struct bb_explain *explain)
{
    struct bb_recovered recovered;
    int error = bb_recover_check(check->config, &recovered, explain);
    if (error == 0) {
        check->report.recover = recovered.report;
        check->report.super = recovered.super;
        note_recovery(check);
        return 0;
    }
    if (!is_verdict(error))
        return error;
    find(check, BB_FINDING_REFUSED, "%s", explain->text);
    /* these leave two halves that can be compared all the same */
    return error == BB_ERR_OVERLAP || error == BB_ERR_SET_MISMATCH ? 0 : 1;
}

/* The steps of recovery once more, to keep their results. */
static int reopen(struct check *check, struct bb_explain *explain)
{
    struct bb_recovery *recovery = &check->recovery;
    const struct bb_index *index = check->config->index;
    int error = bb_recovery_open(recovery, check->config, explain);
    if (error == 0)
        error = bb_recovery_super(recovery);
    if (error != 0)
        return error;
    check->report.super = recovery->super;
    error = index->ops->state(index->context, &check->state);
    if (error == 0)
        error = bb_recovery_survey(recovery);
    if (error == 0)
        error = bb_recovery_scan(recovery, &check->state.anchor);
    if (error == 0)
        error = bb_recovery_judge(recovery);
    if (error == 0)
        check->report.recover = recovery->report;
    /* the second half of the memory */
    struct bb_mentions *mentions = &recovery->mentions;
    size_t half = mentions->capacity / 2;
    check->collected = *mentions;
    check->collected.array = &mentions->array[half];
    check->collected.capacity = mentions->capacity - half;
    mentions->capacity = half;
    mentions->loaded = false;
    return error;
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
    if (page->trust == BB_PAGE_LOST)
        find(check, BB_FINDING_PAGE_LOST,
             "data device: both slots of descriptor page %llu are damaged, a store with a good "
             "index "
             "still reads all blocks, `bbfsck --rebuild` would lose those of the page",
             number);
    else if (mentioned)
        find(
            check, BB_FINDING_SLOT_TORN,
            "data device: slot %c of descriptor page %llu was torn, the next start writes it again",
            page->bad[0] ? 'A' : 'B', number);
    else
        find(check, BB_FINDING_SLOT_DAMAGED,
             "data device: slot %c of descriptor page %llu is damaged, the next checkpoint of a "
             "block "
             "there writes it again",
             page->bad[0] ? 'A' : 'B', number);
}

static int on_clash(void *context, const struct bb_block *first, const struct bb_block *second)
{
    struct check *check = context;
    if (second == NULL)
        find(check, BB_FINDING_IMPOSSIBLE,
             "data device: the descriptor of unit %llu holds an entry that cannot be, run bbfsck "
             "--rebuild on a copy",
             (unsigned long long)first->unit);
    else
        find(
            check, BB_FINDING_OVERLAP,
            "data device: blocks %s (unit %llu) and %s (unit %llu) overlap, copy the device before "
            "anything else is tried",
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

typedef void index_visit_fn(struct check *check, const struct bb_block *block);

struct merge {
    struct check *check;
    index_visit_fn *visit;
    size_t cursor; /* first mention whose hash was not passed yet */
    uint64_t high;
    bool first_pass; /* count the raw set */
};

/* The final state of the run at the cursor, which moves behind it. */
static void merge_final(struct merge *merge)
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
        return;
    struct bb_block block = {.hash = final.last.hash,
                             .unit = final.last.unit,
                             .size = final.last.size,
                             .corrupt = final.corrupt};
    merge->visit(merge->check, &block);
}

static int merge_entry(void *context, const struct bb_hash *hash,
                       const struct bb_index_entry *entry)
{
    struct merge *merge = context;
    struct check *check = merge->check;
    const struct bb_mentions *mentions = &check->recovery.mentions;
    if (bb_mentions_hash_key(hash) > merge->high)
        return 1;
    if (merge->first_pass)
        bb_set_add(&check->raw, hash, entry->unit, entry->size);
    while (merge->cursor < mentions->count &&
           bb_hash_compare(&mentions->array[merge->cursor].hash, hash) < 0)
        merge_final(merge);
    if (merge->cursor < mentions->count &&
        bb_hash_equal(&mentions->array[merge->cursor].hash, hash)) {
        merge_final(merge);
        return 0;
    }
    struct bb_block block = {.hash = *hash,
                             .unit = entry->unit,
                             .size = entry->size,
                             .corrupt = (entry->flags & BB_INDEX_CORRUPT) != 0};
    merge->visit(check, &block);
    return 0;
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

/* Every block of the index with a key from `low` up to *high, ascending; *high shrinks to what the
 * memory for items allows. */
static int each_index_block(struct check *check, uint64_t low, uint64_t *high,
                            index_visit_fn *visit, bool first_pass)
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
    if (error < 0) {
        find(check, BB_FINDING_INDEX_DAMAGED, "index device: reading it: %s, run bbfsck --rebuild",
             bb_err_text(error));
        return 1;
    }
    while (merge.cursor < recovery->mentions.count)
        merge_final(&merge);
    return 0;
}

static void count_index_block(struct check *check, const struct bb_block *block)
{
    side_add(&check->index, block);
    check->report.index_blocks++;
}

static int read_index(struct check *check)
{
    uint64_t high = 0;
    bb_recovery_progress(&check->recovery, "reading the index", 0, check->state.set.count);
    for (uint64_t low = 0;; low = high + 1) {
        high = UINT64_MAX;
        int error = each_index_block(check, low, &high, count_index_block, true);
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

/* Reports and passes the collected block at the cursor, which the index does not have. */
static void pass_page_block(struct check *check)
{
    const struct bb_mention *block = &check->collected.array[check->cursor++];
    find(check, BB_FINDING_NOT_IN_INDEX,
         "index device: block %s, which a descriptor names at unit %llu, is not in it, run bbfsck "
         "--rebuild",
         bb_hash_name(&block->hash).text, (unsigned long long)block->unit);
}

/* Passes further descriptors of the same block. */
static void pass_twice(struct check *check, const struct bb_block *block)
{
    const struct bb_mentions *collected = &check->collected;
    while (check->cursor < collected->count &&
           bb_hash_equal(&collected->array[check->cursor].hash, &block->hash)) {
        find(check, BB_FINDING_TWICE,
             "data device: descriptors name block %s at unit %llu and at unit %llu, run bbfsck "
             "--rebuild on a copy",
             bb_hash_name(&block->hash).text,
             (unsigned long long)collected->array[check->cursor - 1].unit,
             (unsigned long long)collected->array[check->cursor].unit);
        check->cursor++;
    }
}

static void compare_block(struct check *check, const struct bb_block *block)
{
    const struct bb_mentions *collected = &check->collected;
    while (check->cursor < collected->count &&
           bb_hash_compare(&collected->array[check->cursor].hash, &block->hash) < 0)
        pass_page_block(check);
    if (check->cursor == collected->count ||
        !bb_hash_equal(&collected->array[check->cursor].hash, &block->hash)) {
        find(check, BB_FINDING_NOT_IN_PAGES,
             "data device: no descriptor names block %s, which the index has at unit %llu, run "
             "bbfsck --rebuild if the index is the half that is wrong",
             bb_hash_name(&block->hash).text, (unsigned long long)block->unit);
        return;
    }
    const struct bb_mention *other = &collected->array[check->cursor++];
    bool marked = other->op == BB_ITEM_MARK;
    if (other->unit != block->unit || other->size != block->size || marked != block->corrupt)
        find(check, BB_FINDING_DIFFERENT,
             "block %s: descriptor says unit %llu, %u bytes%s, index says unit %llu, %u bytes%s, "
             "run "
             "bbfsck --rebuild if the index is the half that is wrong",
             bb_hash_name(&block->hash).text, (unsigned long long)other->unit, other->size,
             marked ? ", corrupt" : "", (unsigned long long)block->unit, block->size,
             block->corrupt ? ", corrupt" : "");
    pass_twice(check, block);
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
            error = each_index_block(check, next, &high, compare_block, false);
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
    if (!bb_set_equal(&check->raw, &check->state.set))
        find(
            check, BB_FINDING_SET_WRONG,
            "index device: it holds %llu blocks, its row says %llu or others, run bbfsck --rebuild",
            (unsigned long long)check->raw.count, (unsigned long long)check->state.set.count);
    if (!bb_set_equal(&check->index.all, expected))
        find(check, BB_FINDING_SET_WRONG,
             "index device: with the journal it holds %llu blocks, checkpoint and journal say %llu "
             "or others, run bbfsck --rebuild",
             (unsigned long long)check->index.all.count, (unsigned long long)expected->count);
    if (!bb_set_equal(&check->pages.all, expected))
        find(check, BB_FINDING_SET_WRONG,
             "data device: descriptors and journal hold %llu blocks, checkpoint and journal say "
             "%llu or others, do not rebuild the index before that is understood",
             (unsigned long long)check->pages.all.count, (unsigned long long)expected->count);
}

static int run(struct check *check, struct bb_explain *explain)
{
    int error = bb_recovery_open(&check->recovery, check->config, explain);
    if (error == 0)
        error = bb_recovery_super(&check->recovery);
    if (error == BB_ERR_DAMAGED) {
        find(check, BB_FINDING_REFUSED, "%s", explain->text);
        return 0;
    }
    if (error != 0)
        return error;
    check->report.super = check->recovery.super;
    check_super(check);
    error = ask_recovery(check, explain);
    if (error == 0)
        error = reopen(check, explain);
    if (error == 0)
        error = read_pages(check);
    if (error == 0)
        error = read_index(check);
    if (error != 0)
        return error > 0 || is_verdict(error) ? 0
                                              : error; /* recovery's verdict is a finding already */
    const struct bb_super *super = &check->recovery.super;
    check->report.open_units = bb_layout_units(&super->layout, super->open_zone_count);
    check_sets(check);
    if (!side_equal(&check->pages, &check->index))
        error = compare_sides(check);
    return error > 0 ? 0 : error;
}

int bb_crosscheck_run(const struct bb_recover_config *config, bb_finding_fn *found,
                      struct bb_crosscheck_report *ret_report, struct bb_explain *ret_explain)
{
    struct check check = {.config = config, .found = found};
    int error = run(&check, ret_explain);
    if (error == 0)
        *ret_report = check.report;
    return error;
}
