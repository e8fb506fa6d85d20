/* SPDX-License-Identifier: Apache-2.0
 * The index from the data device alone: descriptor pages and journal. Owner: the caller's thread.
 *
 *   check everything -> mentioned and damaged pages, flush -> blocks in ranges of their hash, as
 * many as fit into memory, each range read from the pages and sorted -> anchor -> superblocks
 *
 * From the flush on the pages hold the whole state, so the ranges need no journal.
 */
#include "bb/recover.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"
#include "bb/recovery.h"
#include "bb/salvage.h"
#include "bb/walk.h"

struct bb_rebuild {
    struct bb_recovery recovery;
    enum bb_walk_source source;
    uint64_t damaged_count;
    uint64_t placeholder_count; /* also those of an earlier rebuild */
    struct bb_set set;          /* of all blocks that the pages will hold */
    struct bb_change *changes;
    uint32_t change_count;
    bool twice;              /* a block has two places; only when loss is accepted */
    struct bb_set index_set; /* what the index holds */
};

void bb_rebuild_placeholder(const struct bb_uuid *store, uint64_t unit, struct bb_hash *ret_hash)
{
    struct {
        uint8_t text[24];
        struct bb_uuid store;
        struct bb_le64 unit;
    } name = {.text = "Buddy Blocks lost unit", .store = *store, .unit = bb_le64_make(unit)};
    BB_STATIC_ASSERT(sizeof(name) == 48);
    bb_hash_of(&name, sizeof(name), ret_hash);
}

static int count_block(void *context, const struct bb_block *block)
{
    struct bb_rebuild *rebuild = context;
    bb_set_add(&rebuild->set, &block->hash, block->unit, block->size);
    if (block->corrupt && block->size == BB_UNIT_SIZE) {
        struct bb_hash placeholder;
        bb_rebuild_placeholder(&rebuild->recovery.super.store, block->unit, &placeholder);
        rebuild->placeholder_count += bb_hash_equal(&placeholder, &block->hash) ? 1 : 0;
    }
    return 0;
}

/* A salvage that was cut leaves blocks over older ones that the items bring back; it is about to be
 * run again. What it leaves is looked at when the blocks are collected. */
static int pass_clash(void *context, const struct bb_block *first, const struct bb_block *second)
{
    struct bb_rebuild *rebuild = context;
    if (second != NULL)
        return 0;
    return bb_explain(rebuild->recovery.explain, BB_ERR_DAMAGED,
                      "data device: the descriptor of unit %llu holds an impossible entry, run "
                      "bbfsck",
                      (unsigned long long)first->unit);
}

static bool accepts_loss(const struct bb_rebuild *rebuild)
{
    return rebuild->recovery.config->repair.accept_loss;
}

/* Reads all pages, with the items folded in. */
static int count_all(struct bb_rebuild *rebuild, enum bb_walk_source source)
{
    struct bb_recover_report *report = &rebuild->recovery.report;
    struct bb_walk walk = {.recovery = &rebuild->recovery,
                           .source = source,
                           .all = true,
                           .visit = count_block,
                           .clash = accepts_loss(rebuild) ? pass_clash : NULL,
                           .context = rebuild};
    report->slots_damaged = 0;
    report->slots_unexcused = 0;
    report->pages_lost = 0;
    report->units_lost = 0;
    rebuild->source = source;
    rebuild->set = (struct bb_set){.count = 0};
    rebuild->placeholder_count = 0;
    int error = bb_walk_run(&walk);
    rebuild->damaged_count = walk.damaged_count;
    report->blocks = rebuild->set.count;
    return error;
}

/* Count and set hash decide whether the slots that are left are the newest ones. Where both slots
 * of a page are gone nothing can add up, and what is left is exact as far as anyone can know. */
static int check_set(struct bb_rebuild *rebuild)
{
    struct bb_recovery *recovery = &rebuild->recovery;
    struct bb_recover_report *report = &recovery->report;
    if (bb_set_equal(&rebuild->set, &recovery->expected))
        return 0;
    if (accepts_loss(rebuild)) {
        report->set_unproven = true;
        return 0;
    }
    if (report->slots_damaged + report->slots_unexcused > 0) {
        int error = count_all(rebuild, BB_WALK_DISTRUST);
        if (error != 0)
            return error;
    }
    if (report->pages_lost > 0 || rebuild->placeholder_count > 0) {
        report->set_unproven = true;
        return 0;
    }
    return bb_explain(recovery->explain, BB_ERR_SET_MISMATCH,
                      "data device: descriptor pages and journal hold %llu blocks, or others than "
                      "the %llu that checkpoint and journal say, copy the device before anything "
                      "else is tried",
                      (unsigned long long)rebuild->set.count,
                      (unsigned long long)recovery->expected.count);
}

static int check_all(struct bb_rebuild *rebuild, const struct bb_recover_config *config,
                     struct bb_explain *explain)
{
    struct bb_recovery *recovery = &rebuild->recovery;
    *rebuild = (struct bb_rebuild){.damaged_count = 0};
    int error = bb_recovery_open(recovery, config, explain);
    if (error == 0)
        error = bb_recovery_super(recovery);
    if (error == 0)
        error = bb_recovery_survey(recovery);
    if (error != 0)
        return error;
    struct bb_anchor anchor =
        recovery->survey.found ? recovery->survey.carried : recovery->super.anchor;
    error = bb_recovery_scan(recovery, &anchor);
    if (error == 0)
        error = bb_recovery_judge(recovery);
    if (bb_planted(REBUILD_NO_REHASH)) {
        recovery->verdicts.count = recovery->verdicts.undone_count = 0;
        recovery->expected = recovery->found.set;
    }
    if (error == 0)
        error = count_all(rebuild, BB_WALK_PLACEHOLDERS);
    if (error == 0)
        error = check_set(rebuild);
    return error;
}

static int refuse_index(struct bb_rebuild *rebuild, int error)
{
    struct bb_recovery *recovery = &rebuild->recovery;
    if (error == BB_ERR_INDEX_FULL)
        return bb_explain(
            recovery->explain, error,
            "index device: too small for %llu blocks, name one of at least %llu bytes",
            (unsigned long long)rebuild->set.count,
            (unsigned long long)(rebuild->set.count * BB_INDEX_BYTES_PER_BLOCK * 5 / 4));
    return bb_explain(recovery->explain, error, "index device: %s, name another device",
                      bb_err_text(error));
}

/* The row of a fresh index; anything else is not ours to fill. */
static int check_fresh(struct bb_rebuild *rebuild, const struct bb_uuid *index_uuid)
{
    static const struct bb_set empty;
    static const struct bb_digest zero;
    const struct bb_index *index = rebuild->recovery.config->index;
    struct bb_index_state state;
    int error = index->ops->state(index->context, &state);
    if (error != 0)
        return refuse_index(rebuild, error);
    if (memcmp(&state.store, &rebuild->recovery.super.store, sizeof(state.store)) != 0 ||
        memcmp(&state.index, index_uuid, sizeof(state.index)) != 0 ||
        !bb_set_equal(&state.set, &empty) || !bb_digest_equal(&state.anchor.digest, &zero))
        return bb_explain(rebuild->recovery.explain, BB_ERR_REFUSED,
                          "index device: not empty, invalidate it first");
    if (index->ops->room(index->context) < rebuild->set.count)
        return refuse_index(rebuild, BB_ERR_INDEX_FULL);
    return 0;
}

static int write_pages(struct bb_rebuild *rebuild)
{
    struct bb_recovery *recovery = &rebuild->recovery;
    struct bb_walk walk = {.recovery = recovery,
                           .source = rebuild->source,
                           .all = rebuild->damaged_count > 0 || recovery->report.pages_lost > 0,
                           .write = true,
                           .clash = accepts_loss(rebuild) ? pass_clash : NULL,
                           .context = rebuild};
    int error = bb_super_heal(recovery->config->io, &recovery->copies);
    if (error == 0)
        error = bb_recovery_bridge(recovery);
    if (error == 0)
        error = bb_walk_run(&walk);
    if (error == 0)
        error = bb_io_flush(recovery->config->io);
    if (error != 0 && recovery->explain->text[0] == '\0')
        bb_explain(recovery->explain, error, "data device: writing: %s, run it again",
                   bb_err_text(error));
    return error;
}

static int fold_slice(struct bb_rebuild *rebuild, const struct bb_anchor *anchor)
{
    const struct bb_index *index = rebuild->recovery.config->index;
    struct bb_index_fold fold = {
        .changes = rebuild->changes, .count = rebuild->change_count, .anchor = anchor};
    uint64_t room;
    int error = index->ops->fold(index->context, &fold, &rebuild->index_set, &room);
    rebuild->change_count = 0;
    return error == 0 ? 0 : refuse_index(rebuild, error);
}

static int collect_block(void *context, const struct bb_block *block)
{
    struct bb_rebuild *rebuild = context;
    struct bb_mention mention = {.hash = block->hash,
                                 .unit = block->unit,
                                 .size = block->size,
                                 .op = block->corrupt ? BB_ITEM_MARK : BB_ITEM_PUT};
    int error = bb_mentions_add(&rebuild->recovery.mentions, &mention);
    return error == 0 ? 0 : bb_recovery_contradicts(&rebuild->recovery, error, NULL);
}

/* Blocks come in ascending order of units; `busy` is the one before. */
static int check_free(struct bb_rebuild *rebuild, struct bb_block *busy,
                      const struct bb_block *block)
{
    if (busy->unit > 0 && busy->unit + bb_units_of(busy->size) > block->unit)
        return bb_explain(rebuild->recovery.explain, BB_ERR_OVERLAP,
                          "data device: blocks %s and %s both claim unit %llu, copy the device "
                          "before anything else is tried",
                          bb_hash_name(&busy->hash).text, bb_hash_name(&block->hash).text,
                          (unsigned long long)block->unit);
    *busy = *block;
    return 0;
}

/* Reads the blocks of a range of hashes from the pages, which now hold the whole state. */
static int collect_range(struct bb_rebuild *rebuild, uint64_t low)
{
    struct bb_recovery *recovery = &rebuild->recovery;
    struct bb_pages *pages = recovery->pages;
    const struct bb_super *super = &recovery->super;
    uint64_t total = bb_layout_pages(&super->layout, super->open_zone_count);
    struct bb_block busy = {.unit = 0};
    bb_mentions_begin(&recovery->mentions, BB_BY_HASH, low, UINT64_MAX);
    for (uint64_t page = 0; page < total;) {
        bb_pages_begin(pages);
        while (page < total && pages->count < BB_PAGES_MAX)
            bb_pages_add(pages, page++);
        bb_recovery_progress(recovery, "collecting blocks for the index", page, total);
        int error = bb_pages_read(pages, recovery->found.last.sequence);
        if (error != 0)
            return bb_explain(recovery->explain, error,
                              "data device: reading descriptor pages: %s, run it again",
                              bb_err_text(error));
        for (uint32_t i = 0; i < pages->count; i++) {
            for (uint32_t slot = 0; slot < BB_PAGE_ENTRY_COUNT; slot++) {
                struct bb_entry entry;
                if (bb_entry_get(bb_page_entries(&pages->page[i]), slot, &entry) != 1)
                    continue;
                struct bb_block block = {
                    .hash = entry.hash,
                    .unit = bb_layout_unit_of(&super->layout, pages->page[i].number, slot),
                    .size = entry.size,
                    .corrupt = entry.corrupt};
                error = check_free(rebuild, &busy, &block);
                if (error == 0)
                    error = collect_block(rebuild, &block);
                if (error != 0)
                    return error;
            }
        }
    }
    bb_mentions_sort(&recovery->mentions);
    return 0;
}

static int refuse_twice(struct bb_rebuild *rebuild, const struct bb_mention *a,
                        const struct bb_mention *b)
{
    return bb_explain(rebuild->recovery.explain, BB_ERR_DAMAGED,
                      "data device: block %s stands at unit %llu and at unit %llu, copy the device "
                      "before anything else is tried",
                      bb_hash_name(&a->hash).text, (unsigned long long)a->unit,
                      (unsigned long long)b->unit);
}

static int fold_range(struct bb_rebuild *rebuild)
{
    const struct bb_mentions *mentions = &rebuild->recovery.mentions;
    const struct bb_index *index = rebuild->recovery.config->index;
    for (size_t i = 0; i < mentions->count; i++) {
        const struct bb_mention *block = &mentions->array[i];
        if (i > 0 && bb_hash_equal(&block[-1].hash, &block->hash))
            return refuse_twice(rebuild, &block[-1], block);
        rebuild->changes[rebuild->change_count++] =
            (struct bb_change){.hash = block->hash,
                               .unit = block->unit,
                               .size = block->size,
                               .present = true,
                               .corrupt = block->op == BB_ITEM_MARK};
        int error = rebuild->change_count == index->slice_max ? fold_slice(rebuild, NULL) : 0;
        if (error != 0)
            return error;
    }
    return rebuild->change_count > 0 ? fold_slice(rebuild, NULL) : 0;
}

/* Where loss is accepted a lost DELETE may have left a block at its older place as well. */
static int settle_twice(struct bb_rebuild *rebuild)
{
    const struct bb_mentions *mentions = &rebuild->recovery.mentions;
    uint64_t high;
    for (uint64_t low = 0;; low = high + 1) {
        int error = collect_range(rebuild, low);
        high = mentions->high;
        for (size_t i = 1; error == 0 && i < mentions->count; i++) {
            const struct bb_mention *block = &mentions->array[i];
            if (!bb_hash_equal(&block[-1].hash, &block->hash))
                continue;
            rebuild->twice = true;
            error = bb_salvage_one_of(&rebuild->recovery, &block[-1], block);
        }
        if (error != 0 || high == UINT64_MAX)
            return error;
    }
}

/* What the records behind a gap say, and then no block at two places. */
static int salvage(struct bb_rebuild *rebuild)
{
    int error = 0;
    if (!accepts_loss(rebuild))
        return 0;
    if (rebuild->recovery.found.given_up)
        error = bb_salvage(&rebuild->recovery);
    do {
        rebuild->twice = false;
        if (error == 0)
            error = settle_twice(rebuild);
    } while (error == 0 && rebuild->twice);
    if (error != 0 && rebuild->recovery.explain->text[0] == '\0')
        bb_explain(rebuild->recovery.explain, error, "data device: descriptor pages: %s",
                   bb_err_text(error));
    return error;
}

static int write_index(struct bb_rebuild *rebuild)
{
    struct bb_recovery *recovery = &rebuild->recovery;
    uint64_t high;
    rebuild->changes = recovery->work; /* pages and changes take turns in the work memory */
    for (uint64_t low = 0;; low = high + 1) {
        int error = collect_range(rebuild, low);
        high = recovery->mentions.high;
        if (error != 0)
            return error;
        recovery->report.passes++;
        bb_recovery_progress(recovery, "writing the index", rebuild->index_set.count,
                             rebuild->set.count);
        error = fold_range(rebuild);
        if (error != 0)
            return error;
        if (high == UINT64_MAX)
            break;
    }
    if (accepts_loss(rebuild))
        rebuild->set = rebuild->index_set; /* what was salvaged, and no block twice */
    recovery->report.blocks = rebuild->set.count;
    if (!bb_set_equal(&rebuild->index_set, &rebuild->set))
        return bb_explain(recovery->explain, BB_ERR_SET_MISMATCH,
                          "index device: it holds other blocks than were written, name another "
                          "device");
    struct bb_anchor anchor = bb_recovery_new_anchor(recovery, &rebuild->set);
    if (bb_planted(REBUILD_OLD_ANCHOR))
        anchor = recovery->found.anchor;
    int error = fold_slice(rebuild, &anchor);
    if (error == 0)
        recovery->config->index->ops->refresh(recovery->config->index->context);
    return error;
}

static int write_super(struct bb_rebuild *rebuild, const struct bb_uuid *index_uuid)
{
    struct bb_recovery *recovery = &rebuild->recovery;
    struct bb_super *super = &recovery->super;
    super->index = *index_uuid;
    super->epoch++;
    super->epoch_first_sequence = recovery->found.last.sequence + 1;
    super->anchor = bb_recovery_new_anchor(recovery, &rebuild->set);
    super->clean = false;
    super->clean_sequence = 0;
    recovery->report.epoch = super->epoch;
    int error = bb_super_write(recovery->config->io, super);
    if (error != 0)
        return bb_explain(recovery->explain, error,
                          "data device: writing the superblocks: %s, run it again",
                          bb_err_text(error));
    return 0;
}

static void result_of(const struct bb_rebuild *rebuild, struct bb_recovered *ret_recovered)
{
    *ret_recovered = (struct bb_recovered){.super = rebuild->recovery.super,
                                           .last = rebuild->recovery.found.last,
                                           .report = rebuild->recovery.report};
}

int bb_rebuild_check(const struct bb_recover_config *config, struct bb_recovered *ret_recovered,
                     struct bb_explain *ret_explain)
{
    struct bb_rebuild rebuild;
    int error = check_all(&rebuild, config, ret_explain);
    if (error == 0)
        result_of(&rebuild, ret_recovered);
    return error;
}

int bb_rebuild(const struct bb_recover_config *config, const struct bb_uuid *index_uuid,
               struct bb_recovered *ret_recovered, struct bb_explain *ret_explain)
{
    struct bb_rebuild rebuild;
    int error = check_all(&rebuild, config, ret_explain);
    if (error == 0)
        error = check_fresh(&rebuild, index_uuid);
    if (error == 0 && !bb_planted(REBUILD_NO_PAGES))
        error = write_pages(&rebuild);
    if (error == 0)
        error = salvage(&rebuild);
    if (error == 0)
        error = write_index(&rebuild);
    if (error == 0)
        error = write_super(&rebuild, index_uuid);
    if (error == 0)
        result_of(&rebuild, ret_recovered);
    return error;
}
