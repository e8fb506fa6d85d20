/* SPDX-License-Identifier: Apache-2.0
 * Recovery of a pair, every start: everything is checked, then descriptor pages, flush, index,
 * epoch in the superblocks, epoch in the index. Owner: the caller's thread.
 *
 * Descriptors are never behind the index, and the epoch changes last: cut anywhere, the next start
 * finds the same anchor, or the new one with nothing behind it. The index learns of the epoch
 * before anything is acknowledged in it, so a copy of the data device from before this start, which
 * holds none of that, is older than the index says, also if no checkpoint follows.
 */
#include "bb/recover.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"
#include "bb/recovery.h"
#include "bb/text.h"
#include "bb/walk.h"

static int refuse_index(struct bb_recovery *recovery, int error)
{
    if (error == BB_ERR_NOT_FORMATTED)
        return bb_explain(
            recovery->explain, error,
            "index device: no index found (or a rebuild that was cut), name the right "
            "device or run bbfsck --rebuild");
    if (error == BB_ERR_INDEX_FULL)
        return bb_explain(
            recovery->explain, error,
            "index device: full, run bbfsck --rebuild onto a larger one (%u bytes per "
            "block, %llu blocks)",
            BB_INDEX_BYTES_PER_BLOCK, (unsigned long long)recovery->report.blocks);
    const char *cure = bb_err_cure(error);
    return bb_explain(recovery->explain, error, "index device: %s, %s", bb_err_text(error),
                      cure != NULL ? cure : "run bbfsck --rebuild");
}

static bool uuid_equal(const struct bb_uuid *a, const struct bb_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static int check_uuids(struct bb_recovery *recovery, const struct bb_index_state *state)
{
    char wanted[37], found[37];
    if (bb_planted(PAIR_UNCHECKED))
        return 0;
    if (!uuid_equal(&state->store, &recovery->super.store))
        return bb_explain(recovery->explain, BB_ERR_FOREIGN,
                          "index device: belongs to store %s, the data device is %s, attach the "
                          "right pair",
                          bb_text_of_uuid(&state->store, found),
                          bb_text_of_uuid(&recovery->super.store, wanted));
    if (!uuid_equal(&state->index, &recovery->super.index))
        return bb_explain(
            recovery->explain, BB_ERR_FOREIGN,
            "index device: it is index %s, the data device belongs with index %s (this "
            "one was replaced, or its rebuild was cut), attach that one or run bbfsck "
            "--rebuild",
            bb_text_of_uuid(&state->index, found), bb_text_of_uuid(&recovery->super.index, wanted));
    return 0;
}

static int check_epoch(struct bb_recovery *recovery, uint64_t row_epoch)
{
    if (row_epoch <= recovery->super.epoch || bb_planted(DATA_OF_ANY_EPOCH))
        return 0;
    return bb_explain(recovery->explain, BB_ERR_STALE_DATA,
                      "data device: it is the older half, it was last started as epoch %llu, the "
                      "index was there at epoch %llu, attach the newer data device, or give up "
                      "what it held with bbfsck --rebuild",
                      (unsigned long long)recovery->super.epoch, (unsigned long long)row_epoch);
}

/* Every crash leaves a row whose anchor is at least as new as the epoch's start and as what any
 * record of the epoch carries. */
static int check_age(struct bb_recovery *recovery, const struct bb_anchor *row)
{
    uint64_t known = recovery->super.anchor.sequence;
    if (bb_planted(INDEX_OF_ANY_AGE))
        return 0;
    if (recovery->survey.found && !bb_planted(INDEX_AS_OLD_AS_EPOCH))
        known = bb_max_u64(known, recovery->survey.carried.sequence);
    if (row->sequence < known)
        return bb_explain(recovery->explain, BB_ERR_STALE_INDEX,
                          "index device: it is the older half, its checkpoint ends at record %llu, "
                          "the data device knows one at %llu, attach the newer index or run bbfsck "
                          "--rebuild",
                          (unsigned long long)row->sequence, (unsigned long long)known);
    /* a record that the superblock names was there, whatever became of it */
    if (row->sequence > bb_max_u64(known, recovery->survey.last_sequence))
        return bb_explain(recovery->explain, BB_ERR_STALE_DATA,
                          "data device: it is the older half, its journal ends at record %llu, the "
                          "index holds a checkpoint at %llu, attach the newer data device, or give "
                          "up what it held with bbfsck --rebuild",
                          (unsigned long long)recovery->survey.last_sequence,
                          (unsigned long long)row->sequence);
    return 0;
}

static int scan_from_row(struct bb_recovery *recovery, const struct bb_anchor *row)
{
    int error = bb_recovery_scan(recovery, row);
    if (error == BB_ERR_FOREIGN)
        return bb_explain(recovery->explain, error,
                          "index device: record %llu, where its checkpoint ends, is not the one in "
                          "the journal (histories parted, or the record is damaged), attach the "
                          "right pair or run bbfsck --rebuild",
                          (unsigned long long)row->sequence);
    return error;
}

static int refuse_set(struct bb_recovery *recovery, const struct bb_set *found)
{
    return bb_explain(
        recovery->explain, BB_ERR_SET_MISMATCH,
        "index device: holds %llu blocks, or others than the %llu that checkpoint and "
        "journal say, run bbfsck --rebuild",
        (unsigned long long)found->count, (unsigned long long)recovery->expected.count);
}

/* Steps 2 to 5 of storage.md, Recovery. */
static int check_all(struct bb_recovery *recovery, const struct bb_recover_config *config,
                     struct bb_explain *explain)
{
    struct bb_index_state state;
    int error = bb_recovery_open(recovery, config, explain);
    if (error == 0)
        error = bb_recovery_super(recovery);
    if (error != 0)
        return error;
    error = config->index->ops->state(config->index->context, &state);
    const uint64_t blocks_max = config->io->device_size / BB_UNIT_SIZE;
    if (error == 0 && (state.set.count > blocks_max || state.anchor.set.count > blocks_max))
        error = BB_ERR_INDEX_DAMAGED;
    if (error != 0)
        return refuse_index(recovery, error);
    error = check_uuids(recovery, &state);
    if (error == 0)
        error = bb_recovery_survey(recovery);
    if (error == 0)
        error = check_epoch(recovery, state.epoch);
    if (error == 0)
        error = check_age(recovery, &state.anchor);
    if (error == 0)
        error = scan_from_row(recovery, &state.anchor);
    if (error == 0)
        error = bb_recovery_judge(recovery);
    if (error != 0)
        return error;
    /* slices of a checkpoint that was cut show only where there are items */
    if (recovery->found.item_count == 0 && !bb_set_equal(&state.set, &recovery->expected))
        return refuse_set(recovery, &state.set);
    struct bb_walk walk = {.recovery = recovery, .source = BB_WALK_INDEX, .all = config->repair.on};
    return bb_walk_run(&walk);
}

static int write_pages(struct bb_recovery *recovery)
{
    bool all = recovery->config->repair.on;
    struct bb_walk walk = {
        .recovery = recovery, .source = BB_WALK_INDEX, .all = all, .write = true};
    if (!all && recovery->found.item_count == 0)
        return 0;
    int error = bb_walk_run(&walk);
    if (error != 0)
        return error;
    BB_KILL_POINT(START_PAGES_WRITTEN);
    error = bb_planted(RECOVER_NO_PAGE_FLUSH) ? 0 : bb_io_flush(recovery->config->io);
    if (error != 0)
        return bb_explain(recovery->explain, error,
                          "data device: flush of descriptor pages: %s, start again",
                          bb_err_text(error));
    BB_KILL_POINT(START_PAGES_FLUSHED);
    return 0;
}

struct folding {
    struct bb_recovery *recovery;
    struct bb_change *changes;
    uint32_t count;
    struct bb_set set; /* what the index holds */
};

static int fold_slice(struct folding *folding, const struct bb_anchor *anchor)
{
    const struct bb_index *index = folding->recovery->config->index;
    struct bb_index_fold fold = {
        .changes = folding->changes, .count = folding->count, .anchor = anchor};
    uint64_t room;
    int error = index->ops->fold(index->context, &fold, &folding->set, &room);
    BB_KILL_POINT(START_FOLDED);
    folding->count = 0;
    return error == 0 ? 0 : refuse_index(folding->recovery, error);
}

static struct bb_change change_of(const struct bb_final *final)
{
    return (struct bb_change){.hash = final->last.hash,
                              .unit = final->last.unit,
                              .size = final->last.size,
                              .present = final->present,
                              .corrupt = final->corrupt};
}

static int fold_one(void *context, const struct bb_final *final)
{
    struct folding *folding = context;
    const struct bb_index *index = folding->recovery->config->index;
    if (bb_planted(DROP_SKIPPED) && !final->present && final->last.op == BB_ITEM_PUT)
        return 0;
    folding->changes[folding->count++] = change_of(final);
    return folding->count == index->slice_max ? fold_slice(folding, NULL) : 0;
}

/* The anchor gets a transaction of its own, after the set was compared: an index that does not add
 * up never claims a newer checkpoint. */
static int write_index(struct bb_recovery *recovery)
{
    const struct bb_index *index = recovery->config->index;
    struct folding folding = {
        .recovery = recovery, .changes = recovery->work, .set = recovery->expected};
    BB_ASSERT(index->slice_max > 0 && index->slice_max <= BB_INDEX_SLICE_MAX);
    if (recovery->found.record_count == 0)
        return 0;
    bb_recovery_progress(recovery, "writing the index", 0, recovery->report.items);
    int error = bb_recovery_each_hash(recovery, fold_one, &folding);
    if (error == 0 && folding.count > 0)
        error = fold_slice(&folding, NULL);
    if (error != 0)
        return error;
    if (!bb_set_equal(&folding.set, &recovery->expected))
        return refuse_set(recovery, &folding.set);
    struct bb_anchor anchor = bb_recovery_new_anchor(recovery, &recovery->expected);
    error = fold_slice(&folding, &anchor);
    BB_KILL_POINT(START_ANCHORED);
    return error;
}

static int write_super(struct bb_recovery *recovery)
{
    struct bb_super *super = &recovery->super;
    super->epoch += bb_planted(EPOCH_KEPT) ? 0 : 1;
    super->epoch_first_sequence = recovery->found.last.sequence + 1;
    super->anchor = bb_recovery_new_anchor(recovery, &recovery->expected);
    if (!bb_planted(CLEAN_KEPT)) {
        super->clean = false;
        super->clean_sequence = 0;
    }
    if (bb_planted(EPOCH_WITHOUT_ANCHOR))
        super->anchor = recovery->copies.super.anchor;
    int error = bb_super_write(recovery->config->io, super);
    if (bb_planted(EPOCH_WITHOUT_ANCHOR))
        super->anchor = bb_recovery_new_anchor(recovery, &recovery->expected);
    if (error != 0)
        return bb_explain(recovery->explain, error,
                          "data device: writing the superblocks: %s, start again",
                          bb_err_text(error));
    BB_KILL_POINT(EPOCH_CHANGED);
    recovery->report.epoch = super->epoch;
    return 0;
}

/* Cut before this, the next start changes the epoch again: nothing was acknowledged in this one. */
static int write_epoch(struct bb_recovery *recovery)
{
    const struct bb_index *index = recovery->config->index;
    struct bb_index_fold fold = {.epoch = recovery->super.epoch};
    struct bb_set set;
    uint64_t room;
    int error = index->ops->fold(index->context, &fold, &set, &room);
    if (error != 0)
        return refuse_index(recovery, error);
    index->ops->refresh(index->context);
    return 0;
}

static int heal_super(struct bb_recovery *recovery)
{
    int error = bb_super_heal(recovery->config->io, &recovery->copies);
    if (error != 0)
        return bb_explain(recovery->explain, error,
                          "data device: repairing a superblock copy: %s, start again",
                          bb_err_text(error));
    return 0;
}

static struct bb_recovered result_of(const struct bb_recovery *recovery)
{
    return (struct bb_recovered){
        .super = recovery->super, .last = recovery->found.last, .report = recovery->report};
}

int bb_recover_check(const struct bb_recover_config *config, struct bb_recovered *ret_recovered,
                     struct bb_explain *ret_explain)
{
    struct bb_recovery recovery;
    int error = check_all(&recovery, config, ret_explain);
    if (error != 0)
        return error;
    *ret_recovered = result_of(&recovery);
    return 0;
}

struct replaying {
    bb_recover_change_fn *visit;
    void *context;
    const struct bb_recovered *recovered;
};

static int replay_one(void *context, const struct bb_final *final)
{
    struct replaying *replaying = context;
    struct bb_change change = change_of(final);
    if (bb_planted(REPLAY_UNJUDGED) && final->last.op == BB_ITEM_PUT)
        change.present = true;
    return replaying->visit(replaying->context, replaying->recovered, &change);
}

int bb_recover_replay(const struct bb_recover_config *config, bb_recover_change_fn *visit,
                      void *context, struct bb_recovered *ret_recovered,
                      struct bb_explain *ret_explain)
{
    struct bb_recovery recovery;
    int error = check_all(&recovery, config, ret_explain);
    if (error != 0)
        return error;
    if (bb_planted(REPLAY_WRITES))
        error = write_super(&recovery);
    struct bb_recovered recovered = result_of(&recovery);
    recovered.super.anchor = bb_recovery_new_anchor(&recovery, &recovery.expected);
    struct replaying replaying = {.visit = visit, .context = context, .recovered = &recovered};
    error = bb_recovery_each_hash(&recovery, replay_one, &replaying);
    if (error == 0)
        *ret_recovered = recovered;
    return error;
}

int bb_recover(const struct bb_recover_config *config, struct bb_recovered *ret_recovered,
               struct bb_explain *ret_explain)
{
    struct bb_recovery recovery;
    int error = check_all(&recovery, config, ret_explain);
    BB_KILL_POINT(START_CHECKED);
    if (error == 0)
        error = heal_super(&recovery);
    if (error == 0)
        error = bb_recovery_bridge(&recovery);
    if (error == 0 && bb_planted(EPOCH_FIRST)) {
        struct bb_super before = recovery.super;
        error = write_super(&recovery);
        before.generation = recovery.super.generation;
        recovery.super = before;
    }
    if (error == 0 && bb_planted(RECOVER_INDEX_FIRST))
        error = write_index(&recovery);
    if (error == 0)
        error = write_pages(&recovery);
    if (error == 0 && !bb_planted(RECOVER_INDEX_FIRST))
        error = write_index(&recovery);
    if (error == 0)
        error = write_super(&recovery);
    if (error == 0)
        error = write_epoch(&recovery);
    if (error != 0)
        return error;
    BB_KILL_POINT(EPOCH_TOLD);
    *ret_recovered = result_of(&recovery);
    return 0;
}
