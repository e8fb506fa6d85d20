/* SPDX-License-Identifier: Apache-2.0
 * What the next start would say, as findings. Owner: the thread that checks.
 *
 * The words are recovery's own; here they get the number of a finding.
 */
#include "check.h"

#include "bb/err.h"

static void find_copies(struct check *check)
{
    const struct bb_super_copies *copies = &check->recovery.copies;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        if (!copies->differs[i])
            continue;
        if (copies->error[i] != 0)
            check_find(check, BB_FINDING_SUPER_DAMAGED,
                       "data device: superblock copy %u: %s, the next start repairs it", i + 1,
                       bb_err_text(copies->error[i]));
        else
            check_find(check, BB_FINDING_SUPER_OLDER,
                       "data device: superblock copy %u is of generation %llu, the one that counts "
                       "is %llu, the next start repairs it",
                       i + 1, (unsigned long long)copies->generation[i],
                       (unsigned long long)copies->super.generation);
    }
}

int check_superblocks(struct check *check, struct bb_explain *explain)
{
    int error = bb_recovery_open(&check->recovery, check->config, explain);
    if (error == 0)
        error = bb_recovery_super(&check->recovery);
    if (error == BB_ERR_DAMAGED) {
        check_find(check, BB_FINDING_SUPER_LOST, "%s", explain->text);
        return 1;
    }
    if (error != 0)
        return error;
    check->report.super = check->recovery.super;
    find_copies(check);
    return 0;
}

static bool uuid_equal(const struct bb_uuid *a, const struct bb_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* Three things are called foreign: another store's index, another index of this store, and a
 * checkpoint whose record is not in the ring. */
static enum bb_finding_kind kind_of_foreign(const struct check *check)
{
    if (!uuid_equal(&check->state.store, &check->recovery.super.store))
        return BB_FINDING_INDEX_FOREIGN;
    if (!uuid_equal(&check->state.index, &check->recovery.super.index))
        return BB_FINDING_INDEX_REPLACED;
    return BB_FINDING_ANCHOR_MISSING;
}

/* Reads the journal once more, for what the sentence does not say: by what the loss is proven. */
static enum bb_finding_kind kind_of_loss(struct check *check)
{
    struct bb_recovery *recovery = &check->recovery;
    struct bb_explain unused;
    int error = bb_recovery_open(recovery, check->config, &unused);
    if (error == 0)
        error = bb_recovery_super(recovery);
    if (error == 0)
        error = bb_recovery_survey(recovery);
    if (error == 0)
        error = bb_recovery_scan(recovery, &check->state.anchor);
    bool by_mark = error == BB_ERR_LOST_RECORD && recovery->super.clean &&
                   recovery->found.proof_sequence == recovery->super.clean_sequence &&
                   recovery->survey.durable <= recovery->found.last.sequence;
    return by_mark ? BB_FINDING_MARK_NOT_REACHED : BB_FINDING_RECORD_LOST;
}

/* The finding that a refusal is; BB_FINDING_COUNT: it is none. */
static enum bb_finding_kind kind_of(struct check *check, int error)
{
    switch (error) {
    case BB_ERR_FOREIGN:
        return kind_of_foreign(check);
    case BB_ERR_STALE_INDEX:
        return BB_FINDING_INDEX_OLDER;
    case BB_ERR_STALE_DATA:
        return BB_FINDING_DATA_OLDER;
    case BB_ERR_LOST_RECORD:
        return kind_of_loss(check);
    case BB_ERR_OVERLAP:
        return BB_FINDING_OVERLAP;
    case BB_ERR_SET_MISMATCH:
        return BB_FINDING_INDEX_SET;
    case BB_ERR_DAMAGED:
        return BB_FINDING_JOURNAL_IMPOSSIBLE;
    case BB_ERR_INDEX_DAMAGED:
        return BB_FINDING_INDEX_DAMAGED;
    default:
        return bb_scan_is_medium_error(error) ? BB_FINDING_JOURNAL_UNREADABLE : BB_FINDING_COUNT;
    }
}

/* Whether the unit behind the last accepted record holds the beginning of the one that would
 * continue the chain: it was cut, since nothing proves that it was acknowledged. */
static void find_torn_tail(struct check *check)
{
    struct bb_recovery *recovery = &check->recovery;
    const struct bb_super *super = &recovery->super;
    const struct bb_ring_position *last = &recovery->found.last;
    const uint64_t positions[2] = {last->position + last->units, 0};
    for (unsigned i = 0; i < 2; i++) {
        struct bb_record record;
        if (positions[i] >= super->layout.journal_units)
            continue;
        int error = bb_io_read(recovery->config->io, BB_IO_JOURNAL,
                               super->layout.journal_offset + positions[i] * BB_UNIT_SIZE,
                               recovery->scan.buf, BB_UNIT_SIZE);
        if (error != 0 || bb_record_peek(recovery->scan.buf, &record) != 0)
            continue;
        if (record.sequence != last->sequence + 1 || record.epoch != super->epoch ||
            record.position != positions[i] || !uuid_equal(&record.store, &super->store))
            continue;
        check_find(check, BB_FINDING_TAIL_TORN,
                   "journal: record %llu was cut while it was written, the next start goes on "
                   "without it",
                   (unsigned long long)record.sequence);
        return;
    }
}

static void find_of_recovery(struct check *check)
{
    const struct bb_recover_report *report = &check->report.recover;
    /* a clean stop leaves an empty record there */
    if (report->items > 0 || (report->records > 0 && !report->was_clean))
        check_find(check, BB_FINDING_NOT_STOPPED,
                   "journal: %llu records with %llu items behind the newest checkpoint, the next "
                   "start rolls them forward",
                   (unsigned long long)report->records, (unsigned long long)report->items);
    if (report->dropped > 0)
        check_find(check, BB_FINDING_DROPPED,
                   "journal: %llu blocks that were never acknowledged have other bytes than their "
                   "names say, the next start drops them",
                   (unsigned long long)report->dropped);
    if (report->journal_unreadable_units > 0)
        check_find(check, BB_FINDING_JOURNAL_UNREADABLE,
                   "data device: %llu units of the journal cannot be read, replace the device",
                   (unsigned long long)report->journal_unreadable_units);
}

/* The steps of recovery once more, to keep their results. */
static int reopen(struct check *check, struct bb_explain *explain)
{
    struct bb_recovery *recovery = &check->recovery;
    int error = bb_recovery_open(recovery, check->config, explain);
    if (error == 0)
        error = bb_recovery_super(recovery);
    if (error == 0)
        error = bb_recovery_survey(recovery);
    if (error == 0)
        error = bb_recovery_scan(recovery, &check->state.anchor);
    if (error == 0)
        find_torn_tail(check);
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

static int find_index_error(struct check *check, int error)
{
    if (error == BB_ERR_NOT_FORMATTED)
        check_find(
            check, BB_FINDING_INDEX_MISSING,
            "index device: no index found (or a rebuild that was cut), name the right device "
            "or run bbfsck --rebuild");
    else if (error == BB_ERR_INDEX_DAMAGED || bb_scan_is_medium_error(error))
        check_find(check, BB_FINDING_INDEX_DAMAGED, "index device: %s, run bbfsck --rebuild",
                   bb_err_text(error));
    else
        return error;
    return 1;
}

int check_start(struct check *check, struct bb_explain *explain)
{
    const struct bb_index *index = check->config->index;
    struct bb_recovered recovered;
    int error = check->options->index_error;
    if (error == 0)
        error = index->ops->state(index->context, &check->state);
    if (error != 0)
        return find_index_error(check, error);
    error = bb_recover_check(check->config, &recovered, explain);
    if (error == 0) {
        check->report.recover = recovered.report;
        check->report.super = recovered.super;
        find_of_recovery(check);
    } else {
        enum bb_finding_kind kind = kind_of(check, error);
        if (kind == BB_FINDING_COUNT)
            return error;
        check_find(check, kind, "%s", explain->text);
        /* these leave two halves that can be compared all the same */
        if (error != BB_ERR_OVERLAP && error != BB_ERR_SET_MISMATCH)
            return 1;
    }
    error = reopen(check, explain);
    if (error == 0)
        return 0;
    return kind_of(check, error) == BB_FINDING_COUNT ? error : 1;
}
