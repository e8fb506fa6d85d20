/* SPDX-License-Identifier: Apache-2.0
 * Reading steps shared by recovery, rebuild and check, and the sentences they refuse with. Owner:
 * the caller's thread.
 *
 *   scratch | scan buffer 256 KiB | work 1 MiB | pages | verdicts 1/8 of the rest | mentions |
 */
#include "bb/recovery.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"

#include <stdarg.h>
#include <stdio.h>

BB_STATIC_ASSERT(BB_RECOVERY_WORK_SIZE >= BB_BLOCK_SIZE_MAX);
BB_STATIC_ASSERT(BB_RECOVERY_WORK_SIZE >= BB_PAGES_SLOTS_SIZE);
BB_STATIC_ASSERT(BB_RECOVERY_WORK_SIZE >= BB_INDEX_SLICE_MAX * sizeof(struct bb_change));

int bb_explain(struct bb_explain *explain, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(explain->text, sizeof(explain->text), format, arguments);
    va_end(arguments);
    return error;
}

struct bb_hash_name bb_hash_name(const struct bb_hash *hash)
{
    char hex[BB_HASH_HEX_SIZE];
    struct bb_hash_name name = {.text = ""};
    bb_hash_to_hex(hash, hex);
    memcpy(name.text, hex, 16);
    return name;
}

void bb_recovery_progress(const struct bb_recovery *recovery, const char *step, uint64_t done,
                          uint64_t total)
{
    if (recovery->config->progress != NULL)
        recovery->config->progress(recovery->config->context, step, done, total);
}

/* The next `size` bytes of the scratch memory. */
static void *carve(uint8_t **at, const uint8_t *end, size_t size)
{
    uint8_t *part = *at;
    size = bb_align_up(size, BB_UNIT_SIZE);
    BB_ASSERT(size <= (size_t)(end - part));
    *at = part + size;
    return part;
}

int bb_recovery_open(struct bb_recovery *recovery, const struct bb_recover_config *config,
                     struct bb_explain *explain)
{
    BB_ASSERT(config->scratch_size >= BB_RECOVER_SCRATCH_MIN);
    BB_ASSERT(bb_is_aligned((uintptr_t)config->scratch, BB_UNIT_SIZE));
    *recovery = (struct bb_recovery){.config = config, .explain = explain};
    explain->text[0] = '\0';
    uint8_t *at = config->scratch;
    const uint8_t *end = at + bb_align_down(config->scratch_size, BB_UNIT_SIZE);
    recovery->scan.io = config->io;
    recovery->scan.super = &recovery->super;
    recovery->scan.bridge = config->repair.on;
    recovery->scan.accept_loss = config->repair.accept_loss;
    recovery->scan.buf = carve(&at, end, BB_SCAN_BUFFER_SIZE);
    recovery->work = carve(&at, end, BB_RECOVERY_WORK_SIZE);
    recovery->pages = carve(&at, end, sizeof(struct bb_pages));
    size_t verdicts_size = bb_align_down((size_t)(end - at) / 8, BB_UNIT_SIZE);
    bb_verdicts_init(&recovery->verdicts, carve(&at, end, verdicts_size), verdicts_size);
    bb_mentions_init(&recovery->mentions, at, (size_t)(end - at), &recovery->super.layout);
    bb_pages_init(recovery->pages, config->io, &recovery->super, recovery->work);
    int error = config->no_flush || bb_planted(NO_FSYNC) ? 0 : bb_io_flush(config->io);
    if (error != 0)
        return bb_explain(explain, error, "data device: flush before reading: %s, replace it",
                          bb_err_text(error));
    return 0;
}

static int refuse_super(struct bb_recovery *recovery, int error)
{
    struct bb_explain *explain = recovery->explain;
    switch (error) {
    case BB_ERR_NOT_FORMATTED:
        return bb_explain(explain, error,
                          "data device: no superblock found, name the right device or format it "
                          "with bbformat");
    case BB_ERR_GEOMETRY:
        return bb_explain(explain, error,
                          "data device: %llu bytes with sectors of %u, formatted with %llu and %u, "
                          "attach a device of that geometry",
                          (unsigned long long)recovery->config->io->device_size,
                          recovery->config->io->logical_sector,
                          (unsigned long long)recovery->copies.super.layout.device_size,
                          recovery->copies.super.logical_sector);
    case BB_ERR_VERSION:
        return bb_explain(explain, error,
                          "data device: superblock of a newer format, use the program version that "
                          "wrote it");
    case BB_ERR_DAMAGED:
        return bb_explain(explain, error,
                          "data device: no two superblock copies agree, bbfsck --repair takes the "
                          "newest if that is safe");
    default:
        return bb_explain(explain, error, "data device: reading the superblocks: %s, replace it",
                          bb_err_text(error));
    }
}

int bb_recovery_super(struct bb_recovery *recovery)
{
    int error = bb_super_load(recovery->config->io, &recovery->copies);
    if (error != 0)
        return refuse_super(recovery, error);
    recovery->super = recovery->copies.super;
    recovery->report.epoch = recovery->super.epoch;
    recovery->report.was_clean = recovery->super.clean;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++)
        recovery->report.super_copies_healed += recovery->copies.differs[i] ? 1 : 0;
    return 0;
}

static int refuse_read(struct bb_recovery *recovery, int error)
{
    return bb_explain(recovery->explain, error,
                      "data device: reading the journal: %s, try again or move the bytes to a "
                      "sound device",
                      bb_err_text(error));
}

int bb_recovery_survey(struct bb_recovery *recovery)
{
    bb_recovery_progress(recovery, "reading the journal", 0, recovery->super.layout.journal_units);
    int error = bb_scan_survey(&recovery->scan, &recovery->survey);
    if (error != 0)
        return refuse_read(recovery, error);
    recovery->report.journal_unreadable_units = recovery->survey.unreadable_units;
    return 0;
}

static int refuse_lost(struct bb_recovery *recovery)
{
    const struct bb_scan_result *found = &recovery->found;
    bool by_mark = recovery->super.clean && found->proof_sequence == recovery->super.clean_sequence;
    return bb_explain(recovery->explain, BB_ERR_LOST_RECORD,
                      "data device: journal record %llu is corrupt although %s %llu proves that it "
                      "was acknowledged, `bbfsck --repair --accept-loss` gives up what stood from "
                      "there on",
                      (unsigned long long)found->lost_sequence,
                      by_mark ? "the clean stop at record" : "record",
                      (unsigned long long)found->proof_sequence);
}

static int refuse_scan(struct bb_recovery *recovery, int error)
{
    const struct bb_scan_result *found = &recovery->found;
    switch (error) {
    case BB_ERR_LOST_RECORD:
        return refuse_lost(recovery);
    case BB_ERR_FOREIGN:
        return bb_explain(recovery->explain, error,
                          "data device: record %llu, where the newest checkpoint ended, is not in "
                          "the journal, `bbfsck --repair` continues without it",
                          (unsigned long long)found->anchor.sequence);
    case BB_ERR_DAMAGED:
        if (!found->bad_found)
            return bb_explain(
                recovery->explain, error,
                "data device: the checkpoint at record %llu counts %llu blocks, more than the "
                "device has units, run bbfsck",
                (unsigned long long)found->anchor.sequence,
                (unsigned long long)found->anchor.set.count);
        return bb_explain(recovery->explain, error,
                          "data device: journal record %llu mentions block %s at unit %llu, which "
                          "cannot be, run bbfsck",
                          (unsigned long long)found->bad_sequence,
                          bb_hash_name(&found->bad.hash).text, (unsigned long long)found->bad.unit);
    default:
        break;
    }
    return refuse_read(recovery, error);
}

int bb_recovery_scan(struct bb_recovery *recovery, const struct bb_anchor *anchor)
{
    struct bb_recover_report *report = &recovery->report;
    int error =
        bb_scan_journal(&recovery->scan, &recovery->survey, anchor, NULL, NULL, &recovery->found);
    report->records = recovery->found.record_count;
    report->items = recovery->found.item_count;
    report->first_sequence = anchor->sequence + 1;
    report->last_sequence = recovery->found.last.sequence;
    report->durable = recovery->found.durable;
    recovery->expected = recovery->found.set;
    recovery->mentions.keep_above = recovery->found.durable;
    return error == 0 ? 0 : refuse_scan(recovery, error);
}

int bb_recovery_contradicts(struct bb_recovery *recovery, int error,
                            const struct bb_contradiction *found)
{
    if (error != BB_ERR_OVERLAP && error != BB_ERR_DAMAGED)
        return bb_explain(recovery->explain, error, "memory for recovery: %s, allow more of it",
                          bb_err_text(error));
    return bb_explain(recovery->explain, error,
                      "data device: journal record %llu (block %s) contradicts record %llu (block "
                      "%s) about unit %llu, run bbfsck",
                      (unsigned long long)bb_mention_sequence(&found->second),
                      bb_hash_name(&found->second.hash).text,
                      (unsigned long long)bb_mention_sequence(&found->first),
                      bb_hash_name(&found->first.hash).text,
                      (unsigned long long)found->second.unit);
}

/* Folds what is loaded by hash and hands every hash to `visit`. */
static int fold_loaded(struct bb_recovery *recovery, bb_recovery_final_fn *visit, void *context)
{
    const struct bb_mentions *mentions = &recovery->mentions;
    for (size_t first = 0; first < mentions->count;) {
        size_t end = bb_mentions_run(mentions, first);
        struct bb_final final;
        struct bb_contradiction contradiction;
        int error = bb_mentions_fold(mentions, first, end, &final, &contradiction);
        if (error != 0)
            return bb_recovery_contradicts(recovery, error, &contradiction);
        error = visit(context, &final);
        if (error != 0)
            return error;
        first = end;
    }
    return 0;
}

static int each_hash(struct bb_recovery *recovery, bb_recovery_final_fn *visit, void *context)
{
    uint64_t low = 0, high = 0;
    if (recovery->found.item_count == 0)
        return 0;
    for (;; low = high + 1) {
        int error = bb_mentions_load(&recovery->mentions, &recovery->scan, &recovery->found.anchor,
                                     BB_BY_HASH, low, UINT64_MAX, &high);
        if (error == BB_ERR_MEMORY)
            return bb_recovery_contradicts(recovery, error, NULL);
        if (error != 0)
            return refuse_read(recovery, error);
        recovery->report.passes++;
        error = fold_loaded(recovery, visit, context);
        if (error != 0 || high == UINT64_MAX)
            return error;
    }
}

static int judge_one(void *context, const struct bb_final *final)
{
    struct bb_recovery *recovery = context;
    struct bb_verdicts *verdicts = &recovery->verdicts;
    struct bb_recover_report *report = &recovery->report;
    struct bb_final marked = *final;
    marked.last.op = BB_ITEM_PUT;
    if (bb_planted(MARK_REHASHED) && final->last.op == BB_ITEM_MARK)
        final = &marked;
    if (final->last.op != BB_ITEM_PUT || bb_mention_sequence(&final->last) <= report->durable ||
        bb_planted(NO_REHASH))
        return 0;
    uint64_t dropped = verdicts->dropped;
    int error = bb_verdicts_judge(verdicts, recovery->config->io, final, recovery->work);
    if (error == BB_ERR_MEMORY)
        return bb_recovery_contradicts(recovery, error, NULL);
    if (error != 0)
        return bb_explain(recovery->explain, error, "data device: reading unit %llu: %s, try again",
                          (unsigned long long) final->last.unit, bb_err_text(error));
    if (verdicts->dropped > dropped && dropped < BB_RECOVER_NAMED_MAX)
        report->dropped_first[dropped] = final->last.hash;
    return 0;
}

int bb_recovery_judge(struct bb_recovery *recovery)
{
    struct bb_recover_report *report = &recovery->report;
    bb_recovery_progress(recovery, "checking journal items", 0, report->items);
    int error = each_hash(recovery, judge_one, recovery);
    if (error != 0)
        return error;
    report->rehashed = recovery->verdicts.rehashed;
    report->dropped = recovery->verdicts.dropped;
    report->undone = recovery->verdicts.undone_count;
    report->unreadable = recovery->verdicts.unreadable;
    error = bb_verdicts_apply_to_set(&recovery->verdicts, &recovery->expected);
    if (error != 0)
        return bb_explain(
            recovery->explain, error,
            "data device: the journal drops more blocks than the checkpoint at record "
            "%llu counted, run bbfsck --rebuild",
            (unsigned long long)recovery->found.anchor.sequence);
    report->blocks = recovery->expected.count;
    return 0;
}

struct applied {
    struct bb_recovery *recovery;
    bb_recovery_final_fn *visit;
    void *context;
};

static int apply_one(void *context, const struct bb_final *final)
{
    struct applied *applied = context;
    struct bb_final judged = *final;
    bb_verdicts_apply_to_hash(&applied->recovery->verdicts, &judged);
    return applied->visit(applied->context, &judged);
}

int bb_recovery_each_hash(struct bb_recovery *recovery, bb_recovery_final_fn *visit, void *context)
{
    struct applied applied = {.recovery = recovery, .visit = visit, .context = context};
    return each_hash(recovery, apply_one, &applied);
}

struct bb_anchor bb_recovery_new_anchor(const struct bb_recovery *recovery,
                                        const struct bb_set *set)
{
    const struct bb_ring_position *last = &recovery->found.last;
    return (struct bb_anchor){.sequence = last->sequence,
                              .position = last->position,
                              .digest = last->digest,
                              .set = *set};
}

int bb_recovery_bridge(struct bb_recovery *recovery)
{
    struct bb_scan_result *found = &recovery->found;
    if (!found->anchor_missing || !found->bridge_missing)
        return 0;
    BB_ASSERT(found->record_count == 0);
    struct bb_record record = {.store = recovery->super.store,
                               .epoch = recovery->super.epoch,
                               .sequence = found->anchor.sequence + 1,
                               .position = found->anchor.position,
                               .durable = found->anchor.sequence,
                               .previous = found->anchor.digest,
                               .anchor = found->anchor};
    bb_record_encode(&record, 0, recovery->work);
    struct bb_io *io = recovery->config->io;
    int error = bb_io_write(io, BB_IO_JOURNAL,
                            recovery->super.layout.journal_offset + record.position * BB_UNIT_SIZE,
                            recovery->work, record.units * BB_UNIT_SIZE);
    if (error == 0)
        error = bb_io_flush(io);
    if (error != 0)
        return bb_explain(recovery->explain, error,
                          "data device: writing a journal record: %s, run it again",
                          bb_err_text(error));
    found->bridge_missing = false;
    found->record_count = 1;
    found->last = (struct bb_ring_position){.sequence = record.sequence,
                                            .position = record.position,
                                            .units = record.units,
                                            .digest = record.digest};
    return 0;
}
