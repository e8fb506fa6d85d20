/* SPDX-License-Identifier: Apache-2.0
 * Events of a running rig, and the images they give (explore.h). */
#include "explore_image.h"

#include "bb/err.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITES_MAX 512
#define MISSING_MAX 6
#define SUBSETS_OF_PAGES 8
#define ENOUGH 100 /* violations after which nothing more is tried */

struct choice {
    struct bb_sim_fate fate[WRITES_MAX];
    size_t count;
    bool page[WRITES_MAX]; /* of the index, kept */
    size_t page_count;
};

static struct choice choice;

static struct bb_sim_fate chosen(void *context, const struct bb_sim_write *write)
{
    const struct choice *all = context;
    BB_ASSERT(write->index < all->count);
    return all->fate[write->index];
}

static bool kept(void *context, size_t index)
{
    const struct choice *all = context;
    BB_ASSERT(index < all->page_count);
    return all->page[index];
}

/* ---- canaries ---- */

/* What was flushed and acknowledged is gone. */
static void lose_newest_record(struct explorer *explorer, struct bb_sim *sim)
{
    if (!explorer->rig->running) {
        return;
    }
    const struct bb_layout *layout = &explorer->rig->recovered.super.layout;
    uint64_t durable = rig_status(explorer->rig).durable, sequence = 0;
    static _Alignas(4096) uint8_t unit[BB_UNIT_SIZE];
    for (uint64_t at = 0; at < layout->journal_units && sequence != durable; at++) {
        struct bb_record record;
        uint64_t offset = layout->journal_offset + at * BB_UNIT_SIZE;
        bb_sim_peek(sim, offset, unit, sizeof(unit));
        if (bb_record_peek(unit, &record) == 0 && record.sequence == durable) {
            sequence = durable;
            memset(unit, 0, sizeof(unit));
            bb_sim_poke(sim, offset, unit, sizeof(unit));
        }
    }
}

/* The last used page that is none of the two metas. */
static void lose_newest_page(struct bb_image *pages)
{
    for (uint64_t page = LMDBDEV_SIZE / BB_IMAGE_UNIT_SIZE - 1; page > 1; page--) {
        if (bb_image_get(pages, page) != NULL) {
            bb_image_set(pages, page, NULL);
            return;
        }
    }
}

/* ---- one image ---- */

static void make_image(struct explorer *explorer, struct image *ret_image)
{
    const struct rig *rig = explorer->rig;
    *ret_image = (struct image){.sim = bb_sim_clone(rig->sim)};
    bb_sim_power_cut(ret_image->sim, chosen, &choice);
    if (explorer->lose_record) {
        lose_newest_record(explorer, ret_image->sim);
    }
    if (explorer->live == NULL) {
        ret_image->mem = memindex_clone(rig->mem);
        return;
    }
    lmdbdev_power_cut(explorer->live, kept, &choice, &ret_image->pages);
    if (explorer->lose_page) {
        lose_newest_page(&ret_image->pages);
    }
}

static uint64_t write_identity(const struct explorer *explorer, uint64_t number,
                               struct bb_sim_fate fate)
{
    if (fate.part == BB_SIM_ABSENT) {
        return 0;
    }
    uint64_t torn = fate.part == BB_SIM_COMPLETE ? 0 : (uint64_t)fate.part << 32 | fate.sectors;
    return seen_mix(seen_mix(explorer->life, number), torn + 1);
}

/* Whether these writes and pages of this life were tried already, the same answers allowed: known
 * without making the image. */
static bool is_tried(struct explorer *explorer)
{
    const struct rig *rig = explorer->rig;
    const struct bb_sim_fate whole = {.part = BB_SIM_COMPLETE};
    uint64_t identity = explorer->complete;
    for (size_t i = 0; i < choice.count; i++) {
        struct bb_sim_write write = bb_sim_undurable(rig->sim, i);
        identity -= write_identity(explorer, write.number, whole);
        identity += write_identity(explorer, write.number, choice.fate[i]);
    }
    identity = seen_mix(identity, explorer->folds);
    if (explorer->live != NULL) {
        identity = seen_mix(identity, lmdbdev_events(explorer->live));
        for (size_t i = 0; i < choice.page_count; i++) {
            identity = seen_mix(identity, choice.page[i]);
        }
    }
    for (uint32_t id = 0; id < rig->config.id_count; id++) {
        identity = seen_mix(identity, rig->allowed[id]);
    }
    return seen_before(&explorer->choices, identity);
}

static void try_choice(struct explorer *explorer)
{
    const struct rig *rig = explorer->rig;
    struct image image;
    if (explorer->muted || explorer->violations > ENOUGH) {
        return;
    }
    if (is_tried(explorer)) {
        explorer->counts.duplicates++;
        return;
    }
    make_image(explorer, &image);
    uint64_t identity = image_identity(&image), answers = identity;
    for (uint32_t id = 0; id < rig->config.id_count; id++) {
        answers = seen_mix(answers, rig->allowed[id]);
    }
    if (seen_before(&explorer->answers, answers)) {
        explorer->counts.duplicates++;
    } else if (seen_before(&explorer->images, identity)) {
        explorer->counts.duplicates++;
        check_answers(explorer, &image);
    } else {
        check_image(explorer, &image);
    }
    image_drop(&image);
}

/* ---- choices ---- */

static void set_all(enum bb_sim_part part)
{
    for (size_t i = 0; i < choice.count; i++) {
        choice.fate[i] = (struct bb_sim_fate){.part = part};
    }
}

static void set_any(struct explorer *explorer)
{
    for (size_t at = 0; at < choice.count; at++) {
        struct bb_sim_write write = bb_sim_undurable(explorer->rig->sim, at);
        choice.fate[at] = bb_sim_choose_random(&explorer->random, &write);
    }
}

static struct bb_sim_fate torn(struct explorer *explorer, size_t index)
{
    struct bb_sim_write write = bb_sim_undurable(explorer->rig->sim, index);
    uint32_t sectors = write.size / 512;
    return (struct bb_sim_fate){
        .part = BB_SIM_PREFIX + (unsigned)bb_random_below(&explorer->random, 3),
        .sectors = 1 + (uint32_t)bb_random_below(&explorer->random, sectors - 1)};
}

/* Each write absent, complete or torn in one of three ways, half of its sectors. */
static void try_all(struct explorer *explorer)
{
    uint64_t codes = 1;
    for (size_t i = 0; i < choice.count; i++) {
        codes *= BB_SIM_CODE_BASE;
    }
    for (uint64_t code = 0; code < codes; code++) {
        for (size_t i = 0; i < choice.count; i++) {
            struct bb_sim_write write = bb_sim_undurable(explorer->rig->sim, i);
            choice.fate[i] = bb_sim_choose_code(&code, &write);
        }
        try_choice(explorer);
    }
}

static void try_some(struct explorer *explorer)
{
    set_all(BB_SIM_ABSENT);
    try_choice(explorer);
    set_all(BB_SIM_COMPLETE);
    try_choice(explorer);
    size_t first = bb_random_below(&explorer->random, choice.count);
    for (size_t i = 0; i < choice.count && i < MISSING_MAX; i++) {
        size_t at = (first + i) % choice.count;
        set_all(BB_SIM_COMPLETE);
        choice.fate[at].part = BB_SIM_ABSENT;
        try_choice(explorer);
        choice.fate[at] = torn(explorer, at);
        try_choice(explorer);
    }
    for (unsigned i = 0; i < explorer->random_images; i++) {
        set_any(explorer);
        try_choice(explorer);
    }
}

/* A choice of the index's pages, with nothing, all and something of the data device. */
static void try_pages(struct explorer *explorer)
{
    set_all(BB_SIM_ABSENT);
    try_choice(explorer);
    if (choice.count > 0) {
        set_all(BB_SIM_COMPLETE);
        try_choice(explorer);
        set_any(explorer);
        try_choice(explorer);
    }
}

static void keep_pages(bool all)
{
    for (size_t i = 0; i < choice.page_count; i++) {
        choice.page[i] = all;
    }
}

static void try_index(struct explorer *explorer)
{
    keep_pages(false);
    try_pages(explorer);
    if (choice.page_count == 0) {
        return;
    }
    keep_pages(true);
    try_pages(explorer);
    for (size_t missing = 0; choice.page_count > 1 && missing < choice.page_count; missing++) {
        keep_pages(true);
        choice.page[missing] = false;
        try_pages(explorer);
    }
    for (unsigned n = 0; choice.page_count > 2 && n < SUBSETS_OF_PAGES; n++) {
        for (size_t i = 0; i < choice.page_count; i++) {
            choice.page[i] = bb_random_below(&explorer->random, 2) == 0;
        }
        try_pages(explorer);
    }
}

/* ---- events ---- */

static bool is_wanted(struct explorer *explorer)
{
    if (!explorer->on || explorer->muted || explorer->violations > ENOUGH ||
        (explorer->event_every > 1 &&
         bb_random_below(&explorer->random, explorer->event_every) != 0)) {
        return false;
    }
    explorer->counts.events++;
    choice.count = bb_sim_undurable_count(explorer->rig->sim);
    choice.page_count = explorer->live == NULL ? 0 : lmdbdev_undurable_count(explorer->live);
    BB_ASSERT(choice.count <= WRITES_MAX);
    BB_ASSERT(choice.page_count <= WRITES_MAX);
    return true;
}

static void event(struct explorer *explorer)
{
    if (!is_wanted(explorer)) {
        return;
    }
    BB_ASSERT(choice.page_count == 0);
    if (choice.count <= explorer->all_up_to) {
        try_all(explorer);
    } else {
        try_some(explorer);
    }
    if (!explorer->muted) {
        check_kill(explorer);
    }
}

static void index_event(void *context)
{
    struct explorer *explorer = context;
    if (!is_wanted(explorer)) {
        return;
    }
    try_index(explorer);
    if (!explorer->muted) {
        check_kill(explorer);
    }
}

/* From here on nothing may take back what somebody was told. */
static void replied(struct explorer *explorer)
{
    if (is_wanted(explorer)) {
        set_all(BB_SIM_ABSENT);
        try_choice(explorer);
    }
}

static struct bb_sim_fault submitted(void *context, const struct bb_io_request *request,
                                     uint64_t number)
{
    struct explorer *explorer = context;
    const struct bb_sim_fate whole = {.part = BB_SIM_COMPLETE};
    if (request->op != BB_IO_READ) { /* a read changes nothing */
        event(explorer);
    }
    if (request->op == BB_IO_WRITE || request->op == BB_IO_DISCARD) {
        explorer->complete += write_identity(explorer, number, whole);
    }
    if (request->op == BB_IO_WRITE && request->class == BB_IO_JOURNAL &&
        explorer->late_record > 0) {
        struct bb_sim_fault late = {.kind = BB_SIM_LATE, .polls = explorer->late_record};
        explorer->late_record = 0;
        return late;
    }
    if (!explorer->rig->config.in_order && bb_random_below(&explorer->random, 4) == 0) {
        return (struct bb_sim_fault){.kind = BB_SIM_LATE,
                                     .polls = 1 + (uint32_t)bb_random_below(&explorer->random, 8)};
    }
    return (struct bb_sim_fault){.kind = BB_SIM_PASS};
}

static void turned(void *context)
{
    struct explorer *explorer = context;
    if (explorer->folds != memindex_fold_count(explorer->rig->mem)) {
        explorer->folds = memindex_fold_count(explorer->rig->mem);
        event(explorer);
    } else if (explorer->replies != explorer->rig->acked) {
        replied(explorer);
    }
    explorer->replies = explorer->rig->acked;
}

/* ---- life ---- */

static void new_life(struct explorer *explorer)
{
    explorer->life++;
    explorer->complete = 0;
    explorer->folds = memindex_fold_count(explorer->rig->mem);
}

static void begin(struct explorer *explorer)
{
    struct rig *rig = explorer->rig;
    BB_ASSERT(!rig->running);
    bb_sim_set_fault(rig->sim, submitted, explorer);
    rig->after_turn = turned;
    rig->turn_context = explorer;
    new_life(explorer);
    explorer->replies = rig->acked;
    bb_random_seed(&explorer->random, rig->config.seed);
}

/* The rig's index anew, from what stands on the live device. */
static void live_again(struct explorer *explorer, const struct bb_image *pages)
{
    struct rig *rig = explorer->rig;
    lmdbdev_on_event(explorer->live, NULL, NULL);
    lmdbdev_close(explorer->live);
    lmdbdev_load(explorer->live, pages);
    int error = lmdbdev_open(explorer->live);
    BB_ASSERT(error == 0);
    struct memindex_mirror mirror = lmdbdev_mirror(explorer->live);
    error = memindex_load(rig->mem, mirror.index);
    BB_ASSERT(error == 0);
    memindex_set_mirror(rig->mem, &mirror);
    lmdbdev_on_event(explorer->live, index_event, explorer);
}

void explore_new_life(struct explorer *explorer)
{
    BB_ASSERT(!explorer->rig->running);
    if (explorer->live != NULL) {
        struct bb_image pages;
        lmdbdev_visible(explorer->live, &pages);
        live_again(explorer, &pages);
        bb_image_fini(&pages);
    }
    new_life(explorer);
}

static bool any(void *random, size_t index)
{
    (void)index;
    return bb_random_below(random, 2) == 0;
}

void explore_crash(struct explorer *explorer)
{
    struct rig *rig = explorer->rig;
    rig_drop(rig);
    struct memindex *after = memindex_clone(rig->mem);
    memindex_free(rig->mem);
    rig->mem = after;
    if (explorer->live != NULL) {
        struct bb_image pages;
        lmdbdev_power_cut(explorer->live, any, &explorer->random, &pages);
        live_again(explorer, &pages);
        bb_image_fini(&pages);
    }
    bb_sim_power_cut(rig->sim, bb_sim_choose_random, &explorer->random);
    new_life(explorer);
}

void explore_save(const struct explorer *explorer, struct explore_base *ret_base)
{
    const struct rig *rig = explorer->rig;
    BB_ASSERT(!rig->running);
    *ret_base = (struct explore_base){.sim = bb_sim_clone(rig->sim),
                                      .mem = memindex_clone(rig->mem),
                                      .has_pages = explorer->live != NULL,
                                      .index_uuid = rig->index_uuid,
                                      .now_ms = rig->now_ms};
    memcpy(ret_base->allowed, rig->allowed, sizeof(ret_base->allowed));
    if (ret_base->has_pages) {
        lmdbdev_visible(explorer->live, &ret_base->pages);
    }
}

void explore_restore(struct explorer *explorer, const struct explore_base *base, uint64_t seed)
{
    struct rig *rig = explorer->rig;
    rig_drop(rig);
    bb_sim_close(rig->sim);
    memindex_free(rig->mem);
    rig->sim = bb_sim_clone(base->sim);
    rig->mem = memindex_clone(base->mem);
    memcpy(rig->allowed, base->allowed, sizeof(rig->allowed));
    rig->index_uuid = base->index_uuid;
    rig->now_ms = base->now_ms;
    rig->fatal = 0;
    rig->index_paused = rig->queue_full = false;
    rig->config.seed = seed;
    bb_sim_reseed(rig->sim, seed);
    bb_random_seed(&rig->random, seed);
    if (base->has_pages) {
        live_again(explorer, &base->pages);
    }
    begin(explorer);
}

void explore_base_drop(struct explore_base *base)
{
    bb_sim_close(base->sim);
    memindex_free(base->mem);
    if (base->has_pages) {
        bb_image_fini(&base->pages);
    }
}

bool explore_with_lmdb(struct explorer *explorer)
{
    struct rig *rig = explorer->rig;
    struct bb_index index = memindex_index(rig->mem);
    struct bb_index_state state;
    BB_ASSERT(explorer->live == NULL && !rig->running);
    BB_ASSERT(memindex_count(rig->mem) == 0);
    explorer->live = lmdbdev_new();
    explorer->device = explorer->live != NULL ? lmdbdev_new() : NULL;
    if (explorer->device == NULL) {
        return false;
    }
    int error = index.ops->state(index.context, &state);
    BB_ASSERT(error == 0);
    error = lmdbdev_open(explorer->live);
    BB_ASSERT(error == 0);
    struct memindex_mirror mirror = lmdbdev_mirror(explorer->live);
    memindex_set_mirror(rig->mem, &mirror);
    memindex_put_state(rig->mem, &state);
    lmdbdev_on_event(explorer->live, index_event, explorer);
    return true;
}

void explore_open(struct explorer *explorer, struct rig *rig)
{
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30); /* images come and go: their pages stay ours */
    (void)mallopt(M_TOP_PAD, 64 << 20);
    memset(explorer, 0, sizeof(*explorer));
    BB_ASSERT(!rig->running);
    explorer->rig = rig;
    rig_open(&explorer->crash, &rig->config);
    explorer->all_up_to = 2;
    explorer->random_images = 6;
    explorer->engine_every = 16;
    explorer->nested_every = 512;
    explorer->copy_every = 4;
    explorer->second_every = 1;
    explorer->read_every = 8;
    explorer->fsck_every = 8;
    begin(explorer);
}

void explore_close(struct explorer *explorer)
{
    bb_sim_set_fault(explorer->rig->sim, NULL, NULL);
    explorer->rig->after_turn = NULL;
    memindex_set_mirror(explorer->rig->mem, NULL);
    memindex_set_mirror(explorer->crash.mem, NULL);
    rig_close(&explorer->crash);
    if (explorer->live != NULL) {
        lmdbdev_free(explorer->live);
    }
    if (explorer->device != NULL) {
        lmdbdev_free(explorer->device);
    }
    if (explorer->copy != NULL) {
        memindex_free(explorer->copy);
    }
    seen_free(&explorer->choices);
    seen_free(&explorer->images);
    seen_free(&explorer->answers);
    seen_free(&explorer->states);
    seen_free(&explorer->rebuilt);
}
