/* SPDX-License-Identifier: Apache-2.0
 * The index from the data device alone: descriptor pages and journal. Owner: the caller's thread.
 *
 *   check everything -> mentioned and damaged pages, flush -> blocks in ranges of their hash, as
 * many as fit into memory, sorted -> anchor -> superblocks
 *
 * The blocks of the first range, with enough memory the only one, are kept while everything is
 * checked. The others are read from the pages, which hold the whole state from the flush on; so is
 * the first one where a slot was bad, as a second reading may see another state.
 */
#include "bb/recover.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"
#include "bb/recovery.h"
#include "bb/salvage.h"
#include "bb/walk.h"

#define RANGE_SLACK 32 /* a range is planned for all but a part of the memory */

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
    bool keeping;            /* blocks are kept while they are counted */
    bool doubted;            /* a slot was bad */
    struct bb_mentions kept; /* behind the journal's items, in their memory */
    size_t capacity;         /* of that memory */
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

static bool accepts_loss(const struct bb_rebuild *rebuild)
{
    return rebuild->recovery.config->repair.accept_loss;
}

/* ---- blocks in ranges of their hash ---- */

/* Empties `blocks` for a range of hashes that fits: they are spread evenly. */
static void begin_range(const struct bb_rebuild *rebuild, struct bb_mentions *blocks, uint64_t low)
{
    uint64_t count = bb_max_u64(rebuild->recovery.expected.count, rebuild->set.count);
    uint64_t room = blocks->capacity - blocks->capacity / RANGE_SLACK;
    uint64_t high = UINT64_MAX;
    BB_ASSERT(room > 0);
    if (count > room && UINT64_MAX / count * room < UINT64_MAX - low)
        high = low + UINT64_MAX / count * room;
    bb_mentions_begin(blocks, BB_BY_HASH, low, high);
}

static int collect_block(struct bb_rebuild *rebuild, struct bb_mentions *blocks,
                         const struct bb_block *block)
{
    struct bb_mention mention = {.hash = block->hash,
                                 .unit = block->unit,
                                 .size = block->size,
                                 .op = block->corrupt ? BB_ITEM_MARK : BB_ITEM_PUT};
    int error = bb_mentions_add(blocks, &mention);
    return error == 0 ? 0 : bb_recovery_contradicts(&rebuild->recovery, error, NULL);
}

/* Divides the memory between the items, which the walks load again, and the blocks. What is
 * salvaged changes the pages later, so then nothing is kept. */
static void keep_blocks(struct bb_rebuild *rebuild)
{
    struct bb_mentions *items = &rebuild->recovery.mentions;
    uint64_t item_count = rebuild->recovery.found.item_count;
    if (accepts_loss(rebuild) || item_count >= items->capacity / 2)
        return;
    size_t taken = (size_t)item_count + 1;
    rebuild->capacity = items->capacity;
    bb_mentions_init(&rebuild->kept, &items->array[taken],
                     (items->capacity - taken) * sizeof(struct bb_mention), items->layout);
    items->capacity = taken;
    rebuild->keeping = true;
}

static void forget_blocks(struct bb_rebuild *rebuild)
{
    if (!rebuild->keeping)
        return;
    BB_ASSERT(rebuild->capacity > rebuild->recovery.mentions.capacity);
    rebuild->recovery.mentions.capacity = rebuild->capacity;
    rebuild->keeping = false;
}

static void doubt_kept(void *context, const struct bb_page *page, bool mentioned)
{
    struct bb_rebuild *rebuild = context;
    (void)page;
    (void)mentioned;
    rebuild->doubted = true;
}

/* ---- what pages and journal hold ---- */

static int count_block(void *context, const struct bb_block *block)
{
    struct bb_rebuild *rebuild = context;
    bb_set_add(&rebuild->set, &block->hash, block->unit, block->size);
    if (block->corrupt && block->size == BB_UNIT_SIZE) {
        struct bb_hash placeholder;
        bb_rebuild_placeholder(&rebuild->recovery.super.store, block->unit, &placeholder);
        rebuild->placeholder_count += bb_hash_equal(&placeholder, &block->hash) ? 1 : 0;
    }
    return rebuild->keeping ? collect_block(rebuild, &rebuild->kept, block) : 0;
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

/* Reads all pages, with the items folded in. */
static int count_all(struct bb_rebuild *rebuild, enum bb_walk_source source)
{
    struct bb_recover_report *report = &rebuild->recovery.report;
    struct bb_walk walk = {.recovery = &rebuild->recovery,
                           .source = source,
                           .all = true,
                           .visit = count_block,
                           .damage = doubt_kept,
                           .clash = accepts_loss(rebuild) ? pass_clash : NULL,
                           .context = rebuild};
    report->slots_damaged = 0;
    report->slots_unexcused = 0;
    report->pages_lost = 0;
    report->units_lost = 0;
    rebuild->source = source;
    rebuild->set = (struct bb_set){.count = 0};
    rebuild->placeholder_count = 0;
    if (rebuild->keeping)
        begin_range(rebuild, &rebuild->kept, 0);
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

static int check_all(struct bb_rebuild *rebuild, const struct bb_recover_config *config, bool keep,
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
    if (error == 0 && keep)
        keep_blocks(rebuild);
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
                           .damage = doubt_kept,
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
    begin_range(rebuild, &recovery->mentions, low);
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
                    error = collect_block(rebuild, &recovery->mentions, &block);
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

static int fold_range(struct bb_rebuild *rebuild, const struct bb_mentions *mentions)
{
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

/* The blocks from `low` on into the index; *ret_high is the end of the range. */
static int write_range(struct bb_rebuild *rebuild, uint64_t low, uint64_t *ret_high)
{
    struct bb_recovery *recovery = &rebuild->recovery;
    struct bb_mentions *blocks = rebuild->keeping ? &rebuild->kept : &recovery->mentions;
    int error = 0;
    BB_ASSERT(!rebuild->keeping || low == 0);
    if (rebuild->keeping)
        bb_mentions_sort(blocks);
    else
        error = collect_range(rebuild, low);
    if (error != 0)
        return error;
    recovery->report.passes++;
    bb_recovery_progress(recovery, "writing the index", rebuild->index_set.count,
                         rebuild->set.count);
    error = fold_range(rebuild, blocks);
    *ret_high = blocks->high;
    forget_blocks(rebuild);
    return error;
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
    if (rebuild->doubted)
        forget_blocks(rebuild);
    for (uint64_t low = 0;; low = high + 1) {
        int error = write_range(rebuild, low, &high);
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
    int error = check_all(&rebuild, config, false, ret_explain);
    if (error == 0)
        result_of(&rebuild, ret_recovered);
    return error;
}

int bb_rebuild(const struct bb_recover_config *config, const struct bb_uuid *index_uuid,
               struct bb_recovered *ret_recovered, struct bb_explain *ret_explain)
{
    return bb_rebuild_prepared(config, index_uuid, NULL, NULL, ret_recovered, ret_explain);
}

int bb_rebuild_prepared(const struct bb_recover_config *config, const struct bb_uuid *index_uuid,
                        bb_rebuild_prepare_fn *prepare, void *context,
                        struct bb_recovered *ret_recovered, struct bb_explain *ret_explain)
{
    struct bb_rebuild rebuild;
    struct bb_recovered found;
    int error = check_all(&rebuild, config, true, ret_explain);
    if (error == 0 && prepare != NULL) {
        result_of(&rebuild, &found);
        error = prepare(context, &found, ret_explain);
    }
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
