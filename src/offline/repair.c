/* SPDX-License-Identifier: Apache-2.0
 * Rounds of check and step. Owner: the calling thread.
 *
 *   SUPER_LOST                            -> superblocks
 *   lost records, an older data device    -> rebuild that accepts loss, if allowed
 *   no usable index                       -> rebuild
 *   index wrong, descriptors right        -> rebuild
 *   index right, anything else to write   -> recovery with the pages that differ taken from it
 *   blocks to mark                        -> marks
 *   neither side right, foreign index     -> nothing
 */
#include "bb/repair.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/recovery.h"

#include <stdlib.h>

#define ROUNDS_MAX 16u
#define MARKS_MAX ((size_t)1 << 16) /* of one round */

enum step { STEP_NONE, STEP_SUPERS, STEP_REBUILD, STEP_ACCEPT, STEP_RECOVER, STEP_MARK };

struct repair {
    struct bb_recover_config *config;
    const struct bb_repair_index *index;
    const struct bb_repair_options *options;
    struct bb_repair_report *report;
    struct bb_explain *explain;
    bb_finding_fn *say; /* of the check that runs; may be NULL */
    struct bb_crosscheck_report now;
    struct bb_layout layout; /* no zones: not known */
    uint64_t *distrusted;    /* bit per page */
    size_t page_count;
    struct bb_item *marks;
    size_t mark_count;
    bool marks_left;
    bool deep;
    bool index_lost;
    void *context; /* the caller's, for progress and findings */
    void (*progress)(void *context, const char *step, uint64_t done, uint64_t total);
};

/* ---- check ---- */

static void distrust(struct repair *repair, uint64_t unit)
{
    const struct bb_layout *layout = &repair->layout;
    uint32_t entry;
    if (!bb_layout_extent_ok(layout, layout->zone_count, unit, 1))
        return;
    uint64_t page = bb_layout_page_of(layout, unit, &entry);
    if (page < repair->page_count)
        repair->distrusted[page / 64] |= 1ull << page % 64;
}

static void add_mark(struct repair *repair, const struct bb_finding *finding)
{
    if (repair->mark_count == MARKS_MAX) {
        repair->marks_left = true;
        return;
    }
    repair->marks[repair->mark_count++] = (struct bb_item){
        .op = BB_ITEM_MARK, .size = finding->size, .unit = finding->unit, .hash = finding->hash};
}

static void on_finding(void *context, const struct bb_finding *finding)
{
    struct repair *repair = context;
    if (repair->say != NULL)
        repair->say(repair->context, finding);
    if (!finding->has_unit)
        return;
    if (bb_finding_info(finding->kind)->cure == BB_CURE_MARK) {
        add_mark(repair, finding);
        return;
    }
    distrust(repair, finding->unit);
    if (finding->other_unit != UINT64_MAX)
        distrust(repair, finding->other_unit);
}

static void on_progress(void *context, const char *step, uint64_t done, uint64_t total)
{
    const struct repair *repair = context;
    if (repair->progress != NULL)
        repair->progress(repair->context, step, done, total);
}

static int check(struct repair *repair, bb_finding_fn *say)
{
    struct bb_recover_config *config = repair->config;
    struct bb_crosscheck_options options = {.found = on_finding, .deep = repair->deep};
    struct bb_super_copies copies;
    repair->layout = (struct bb_layout){.zone_count = 0};
    if (bb_super_load(config->io, &copies) == 0)
        repair->layout = copies.super.layout;
    repair->say = say;
    repair->mark_count = 0;
    repair->marks_left = false;
    memset(repair->distrusted, 0, (repair->page_count + 63) / 64 * 8);
    config->repair = (struct bb_repair_rules){.on = false};
    config->context = repair;
    config->progress = on_progress;
    options.index_error =
        repair->index_lost ? BB_ERR_INDEX_DAMAGED : repair->index->open(repair->index->context);
    int error = bb_crosscheck_run(config, &options, &repair->now, repair->explain);
    if (options.index_error == 0)
        repair->index->close(repair->index->context);
    return error;
}

/* ---- what to do ---- */

static bool any(const struct repair *repair, const enum bb_finding_kind *kinds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (repair->now.count[kinds[i]] > 0)
            return true;
    return false;
}

#define ANY(repair, ...)                                                                           \
    any(repair, (const enum bb_finding_kind[]){__VA_ARGS__},                                       \
        sizeof((const enum bb_finding_kind[]){__VA_ARGS__}) / sizeof(enum bb_finding_kind))

/* Whether something stands there that a recovery writes. */
static bool asks_for_recovery(const struct repair *repair)
{
    for (unsigned kind = 0; kind < BB_FINDING_COUNT; kind++) {
        enum bb_cure cure = bb_finding_info(kind)->cure;
        if (repair->now.count[kind] > 0 && cure != BB_CURE_MARK && cure != BB_CURE_NONE)
            return true;
    }
    return false;
}

static enum step choose(const struct repair *repair)
{
    const struct bb_crosscheck_report *now = &repair->now;
    if (ANY(repair, BB_FINDING_SUPER_LOST))
        return STEP_SUPERS;
    if (ANY(repair, BB_FINDING_INDEX_FOREIGN, BB_FINDING_JOURNAL_IMPOSSIBLE))
        return STEP_NONE;
    if (ANY(repair, BB_FINDING_RECORD_LOST, BB_FINDING_MARK_NOT_REACHED, BB_FINDING_DATA_OLDER) ||
        (ANY(repair, BB_FINDING_JOURNAL_UNREADABLE) && !now->compared))
        return repair->options->accept_loss ? STEP_ACCEPT : STEP_NONE;
    if (ANY(repair, BB_FINDING_INDEX_MISSING, BB_FINDING_INDEX_DAMAGED, BB_FINDING_INDEX_REPLACED,
            BB_FINDING_INDEX_OLDER))
        return STEP_REBUILD;
    if (ANY(repair, BB_FINDING_ANCHOR_MISSING))
        return STEP_RECOVER;
    if (!now->compared)
        return STEP_NONE;
    if (!now->index_right)
        return now->pages_right ? STEP_REBUILD : STEP_NONE;
    if (asks_for_recovery(repair))
        return STEP_RECOVER;
    return repair->mark_count > 0 ? STEP_MARK : STEP_NONE;
}

/* ---- steps ---- */

static int adopt_superblock(struct repair *repair)
{
    struct bb_recover_config *config = repair->config;
    struct bb_super_copies copies;
    struct bb_survey survey;
    int error = bb_super_choose_newest(config->io, &copies);
    if (error != 0)
        return bb_explain(repair->explain, error,
                          "data device: superblock: %s, in none of its four places one that can be "
                          "used",
                          bb_err_text(error));
    struct bb_scan scan = {.io = config->io, .super = &copies.super, .buf = config->scratch};
    error = bb_scan_survey(&scan, &survey);
    if (error != 0)
        return bb_explain(repair->explain, error, "data device: reading the journal: %s",
                          bb_err_text(error));
    if (survey.newest_epoch > copies.super.epoch)
        return bb_explain(repair->explain, BB_ERR_REFUSED,
                          "data device: the newest readable superblock is of epoch %llu, the "
                          "journal of epoch %llu: what was written since would be lost, copy the "
                          "device before anything else is tried",
                          (unsigned long long)copies.super.epoch,
                          (unsigned long long)survey.newest_epoch);
    repair->report->supers++;
    error = bb_super_adopt(config->io, &copies);
    return error == 0 ? 0
                      : bb_explain(repair->explain, error,
                                   "data device: writing superblocks: %s, run it again",
                                   bb_err_text(error));
}

static int rebuild(struct repair *repair, bool accept_loss)
{
    repair->config->repair = (struct bb_repair_rules){.on = true, .accept_loss = accept_loss};
    repair->report->rebuilds++;
    int error =
        repair->index->rebuild(repair->index->context, &repair->report->rebuilt, repair->explain);
    if (error == 0)
        repair->index_lost = false;
    return error;
}

static int recover(struct repair *repair, struct bb_recovered *ret_recovered)
{
    int error = repair->index->open(repair->index->context);
    if (error != 0)
        return bb_explain(repair->explain, error, "index device: %s", bb_err_text(error));
    repair->config->repair = (struct bb_repair_rules){.on = true, .distrusted = repair->distrusted};
    repair->report->recoveries++;
    error = bb_recover(repair->config, ret_recovered, repair->explain);
    repair->index->close(repair->index->context);
    return error;
}

/* A record behind the last one of a store that was just recovered. Never acknowledged by a later
 * one: recovery takes it as it takes any tail. */
static int append_marks(struct repair *repair, const struct bb_recovered *recovered, size_t first,
                        uint32_t count)
{
    struct bb_io *io = repair->config->io;
    void *buf = repair->config->scratch;
    const struct bb_layout *layout = &recovered->super.layout;
    const struct bb_ring_position *last = &recovered->last;
    uint64_t position = last->position + last->units;
    if (position + bb_record_units(count) > layout->journal_units)
        position = 0;
    BB_ASSERT(position > last->position || bb_record_units(count) <= last->position);
    for (uint32_t i = 0; i < count; i++)
        bb_item_encode(&repair->marks[first + i], buf, i);
    struct bb_record record = {.store = recovered->super.store,
                               .epoch = recovered->super.epoch,
                               .sequence = last->sequence + 1,
                               .position = position,
                               .durable = last->sequence,
                               .previous = last->digest,
                               .anchor = recovered->super.anchor};
    bb_record_encode(&record, count, buf);
    int error = bb_io_write(io, BB_IO_JOURNAL, layout->journal_offset + position * BB_UNIT_SIZE,
                            buf, record.units * BB_UNIT_SIZE);
    if (error == 0)
        error = bb_io_flush(io);
    return error == 0 ? 0
                      : bb_explain(repair->explain, error,
                                   "data device: writing a journal record: %s, run it again",
                                   bb_err_text(error));
}

static int mark(struct repair *repair)
{
    struct bb_recovered recovered;
    int error = recover(repair, &recovered);
    for (size_t first = 0; error == 0 && first < repair->mark_count;) {
        uint32_t count = (uint32_t)bb_min_u64(repair->mark_count - first, BB_RECORD_ITEMS_MAX);
        error = append_marks(repair, &recovered, first, count);
        if (error == 0)
            error = recover(repair, &recovered);
        if (error == 0)
            repair->report->marked += count;
        first += count;
    }
    /* what stands in every block is known now */
    repair->deep = repair->deep && repair->marks_left;
    return error;
}

static int take(struct repair *repair, enum step step)
{
    struct bb_recovered recovered;
    switch (step) {
    case STEP_SUPERS:
        return adopt_superblock(repair);
    case STEP_REBUILD: {
        int error = rebuild(repair, false);
        bool lost = error == BB_ERR_LOST_RECORD || bb_scan_is_medium_error(error);
        return lost && repair->options->accept_loss ? rebuild(repair, true) : error;
    }
    case STEP_ACCEPT:
        return rebuild(repair, true);
    case STEP_RECOVER:
        return recover(repair, &recovered);
    case STEP_MARK:
        return mark(repair);
    case STEP_NONE:
    default:
        BB_ASSERT(false);
    }
    return 0;
}

static int run_rounds(struct repair *repair)
{
    struct bb_repair_report *report = repair->report;
    int error = check(repair, repair->options->found);
    if (error != 0)
        return error;
    report->before = repair->now;
    unsigned rounds = 0;
    for (;; rounds++) {
        enum step step = choose(repair);
        if (step == STEP_NONE)
            break;
        report->stuck = rounds == ROUNDS_MAX;
        if (report->stuck) {
            bb_explain(repair->explain, 0, "%u steps did not repair it", rounds);
            break;
        }
        error = take(repair, step);
        if (error == BB_ERR_CANCELLED)
            return error;
        report->stuck = error != 0;
        if (report->stuck)
            break;
        error = check(repair, NULL);
        if (error != 0)
            return error;
    }
    struct bb_explain why = *repair->explain;
    if (report->stuck || (rounds > 0 && repair->now.errors + repair->now.notes > 0)) {
        error = check(repair, repair->options->left);
        if (error == 0 && report->stuck)
            *repair->explain = why;
    }
    report->after = repair->now;
    return report->stuck ? 0 : error;
}

int bb_repair_run(struct bb_recover_config *config, const struct bb_repair_index *index,
                  const struct bb_repair_options *options, struct bb_repair_report *ret_report,
                  struct bb_explain *ret_explain)
{
    uint64_t pages = config->io->device_size / BB_UNIT_SIZE / BB_PAGE_ENTRY_COUNT + 64;
    struct bb_recover_config caller = *config;
    *ret_report = (struct bb_repair_report){.marked = 0};
    struct repair repair = {
        .config = config,
        .index = index,
        .options = options,
        .report = ret_report,
        .explain = ret_explain,
        .page_count = (size_t)pages,
        .distrusted = calloc((size_t)(pages + 63) / 64, sizeof(uint64_t)),
        .marks = calloc(MARKS_MAX, sizeof(struct bb_item)),
        .deep = options->deep,
        .index_lost = options->index_lost,
        .context = config->context,
        .progress = config->progress,
    };
    ret_explain->text[0] = '\0';
    int error = BB_ERR_MEMORY;
    if (repair.distrusted != NULL && repair.marks != NULL)
        error = run_rounds(&repair);
    else
        bb_explain(ret_explain, error, "memory for a repair: %s", bb_err_text(error));
    free(repair.distrusted);
    free(repair.marks);
    *config = caller;
    return error;
}
