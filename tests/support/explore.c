/* SPDX-License-Identifier: Apache-2.0
 * Crash images and their checks (explore.h). */
#include "explore.h"

#include "bb/err.h"
#include "bb/fill.h"
#include "naive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITES_MAX 512
#define MISSING_MAX 6
#define ENOUGH 100 /* violations after which nothing more is tried */
#define SEEN_FIRST (1u << 16)

/* ---- identity of images ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ b * 0x9e3779b97f4a7c15ull) + 0x632be59bd9b4e019ull; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static uint64_t write_identity(const struct explorer *explorer, uint64_t number,
                               struct bb_sim_fate fate)
{
    if (fate.part == BB_SIM_ABSENT) {
        return 0;
    }
    uint64_t torn = fate.part == BB_SIM_COMPLETE ? 0 : (uint64_t)fate.part << 32 | fate.sectors;
    return mix(mix(explorer->life, number), torn + 1);
}

static bool seen_before(struct explorer *explorer, uint64_t identity)
{
    identity |= identity == 0;
    if (explorer->seen_count * 2 > explorer->seen_mask) {
        size_t old_mask = explorer->seen_mask;
        uint64_t *old = explorer->seen;
        explorer->seen_mask = old_mask * 2 + 1;
        explorer->seen = calloc(explorer->seen_mask + 1, sizeof(uint64_t));
        BB_ASSERT(explorer->seen != NULL);
        explorer->seen_count = 0;
        for (size_t i = 0; i <= old_mask; i++) {
            if (old[i] != 0) {
                (void)seen_before(explorer, old[i]);
            }
        }
        free(old);
    }
    size_t at = identity & explorer->seen_mask;
    while (explorer->seen[at] != 0 && explorer->seen[at] != identity) {
        at = (at + 1) & explorer->seen_mask;
    }
    bool found = explorer->seen[at] != 0;
    explorer->seen[at] = identity;
    explorer->seen_count += !found;
    return found;
}

/* ---- checking one image ---- */

struct image {
    const struct bb_sim *sim;
    const struct memindex *mem;
};

static void crash_is(struct explorer *explorer, const struct image *image)
{
    struct rig *crash = &explorer->crash;
    bb_sim_close(crash->sim);
    memindex_free(crash->mem);
    crash->sim = bb_sim_clone(image->sim);
    crash->mem = memindex_clone(image->mem);
    crash->index_uuid = explorer->rig->index_uuid;
    memcpy(crash->allowed, explorer->rig->allowed, sizeof(crash->allowed));
}

static void complain(struct explorer *explorer, const char *what, int result)
{
    if (explorer->violations++ < 10 && !explorer->rig->config.quiet) {
        fprintf(stderr, "seed %llu, event %llu, image %llu: %s: %s: %s\n",
                (unsigned long long)explorer->rig->config.seed,
                (unsigned long long)explorer->counts.events,
                (unsigned long long)explorer->counts.images, what, bb_err_text(result),
                explorer->crash.explain.text);
        explorer->muted = true;
    }
}

static void check_allocation(struct explorer *explorer)
{
    struct rig *crash = &explorer->crash;
    const struct bb_super *super = &crash->recovered.super;
    uint64_t zone_units = bb_layout_zone(&super->layout, 0).unit_count;
    size_t size = bb_buddy_memory(super->layout.zone_count, zone_units);
    size = (size + 63) / 64 * 64;
    void *memory = aligned_alloc(64, size);
    BB_ASSERT(memory != NULL);
    memset(memory, 0, size);
    struct bb_buddy *buddy = bb_buddy_init(memory, size, super->layout.zone_count, zone_units);
    struct bb_index index = memindex_index(crash->mem);
    struct bb_set set;
    int result = bb_fill(&index, super, buddy, &set, &crash->explain);
    if (result != 0) {
        complain(explorer, "allocation", result);
    } else if (!bb_set_equal(&set, &super->anchor.set)) {
        complain(explorer, "count or set hash", BB_ERR_SET_MISMATCH);
    }
    free(memory);
}

/* What a cut has torn is whole again. */
static void check_slots(struct explorer *explorer)
{
    static struct bb_disk_page page;
    const struct bb_super *super = &explorer->crash.recovered.super;
    uint64_t count = bb_layout_pages(&super->layout, super->open_zone_count);
    for (uint64_t slot = 0; slot < 2 * count; slot++) {
        struct bb_page_header header;
        bb_sim_peek(explorer->crash.sim,
                    bb_layout_slot_offset(&super->layout, slot / 2, (unsigned)(slot % 2)), &page,
                    sizeof(page));
        if (bb_page_check(&page, &super->store, slot / 2, &header) != 0) {
            complain(explorer, "a slot is still bad", BB_ERR_DAMAGED);
            return;
        }
    }
}

/* Recovery of what `crash` is now; digest of the blocks. */
static bool start(struct explorer *explorer, const char *what, struct bb_hash *ret_content)
{
    struct rig *crash = &explorer->crash;
    explorer->counts.starts++;
    int result = rig_recover(crash);
    if (result != 0) {
        complain(explorer, what, result);
        return false;
    }
    naive_content(crash->mem, ret_content);
    return true;
}

static void same(struct explorer *explorer, const char *what, const struct bb_hash *wanted,
                 const struct bb_hash *found)
{
    if (!bb_hash_equal(wanted, found)) {
        complain(explorer, what, BB_ERR_SET_MISMATCH);
    }
}

/* The index is lost; crash is rebuilt and started. */
static void rebuild(struct explorer *explorer, const char *what, const struct bb_hash *wanted)
{
    struct rig *crash = &explorer->crash;
    struct bb_hash content;
    explorer->counts.rebuilds++;
    memindex_wipe(crash->mem);
    int result = rig_rebuild(crash);
    if (result != 0) {
        complain(explorer, what, result);
        return;
    }
    const struct bb_recover_report *report = &crash->recovered.report;
    if (report->slots_unexcused > 0 || report->pages_lost > 0 || report->set_unproven) {
        complain(explorer, "a bad slot that no item excuses", BB_ERR_DAMAGED);
    }
    naive_content(crash->mem, &content);
    same(explorer, what, wanted, &content);
    if (start(explorer, what, &content)) {
        same(explorer, what, wanted, &content);
    }
}

/* The engine itself, on top of it operations, a clean stop and another start. */
static void run_engine(struct explorer *explorer)
{
    struct rig *crash = &explorer->crash;
    explorer->counts.engines++;
    int result = rig_start(crash);
    uint64_t before = crash->violations;
    if (result == 0) {
        (void)rig_check(crash);
        for (unsigned i = 0; i < 12; i++) {
            uint32_t id = (uint32_t)bb_random_below(&crash->random, crash->config.id_count);
            (void)rig_submit(crash, i % 3 == 2 ? RIG_DELETE : RIG_PUT, id);
        }
        result = rig_stop(crash);
    }
    if (result == 0) {
        result = rig_start(crash);
    }
    if (result == 0) {
        (void)rig_check(crash);
    }
    rig_drop(crash);
    if (result != 0 || crash->violations != before) {
        complain(explorer, "engine on the image", result != 0 ? result : BB_ERR_CORRUPT);
    }
}

/* ---- cuts inside recovery and rebuild ---- */

static void cut_again(struct explorer *explorer, unsigned how)
{
    struct rig *crash = &explorer->crash;
    struct memindex *after = memindex_clone(crash->mem);
    memindex_free(crash->mem);
    crash->mem = after;
    bb_sim_chooser chooser = how == 0   ? bb_sim_choose_none
                             : how == 1 ? bb_sim_choose_all
                                        : bb_sim_choose_random;
    bb_sim_power_cut(crash->sim, chooser, &explorer->random);
}

static void nested_recovery(struct explorer *explorer, const struct image *image,
                            const struct bb_hash *wanted)
{
    struct rig *crash = &explorer->crash;
    struct bb_hash content;
    bool over = false;
    for (uint64_t n = 1; !over && !explorer->muted; n++) {
        for (unsigned how = 0; how < 3 && !over; how++) {
            crash_is(explorer, image);
            bb_sim_cut_at(crash->sim, n);
            over = rig_recover(crash) == 0;
            explorer->counts.nested += !over;
            cut_again(explorer, how);
            if ((n + how) % 3 == 0) {
                rebuild(explorer, "rebuild after a cut in recovery", wanted);
            } else if (start(explorer, "start after a cut in recovery", &content)) {
                same(explorer, "start after a cut in recovery", wanted, &content);
            }
        }
    }
    over = false;
    for (uint64_t n = 1; !over && !explorer->muted; n++) { /* between and inside the folds */
        for (unsigned applied = 0; applied < 2 && !over; applied++) {
            crash_is(explorer, image);
            memindex_fail_fold(crash->mem, n, BB_ERR_CANCELLED, applied == 1);
            over = rig_recover(crash) == 0;
            explorer->counts.nested += !over;
            cut_again(explorer, 2);
            if (start(explorer, "start after a cut in a fold", &content)) {
                same(explorer, "start after a cut in a fold", wanted, &content);
            }
        }
    }
}

/* After a cut the half-built index is either refused or right, and the next rebuild is right. */
static void after_cut_rebuild(struct explorer *explorer, const struct bb_hash *wanted)
{
    struct rig *crash = &explorer->crash;
    struct bb_hash content;
    struct bb_sim *sim = bb_sim_clone(crash->sim);
    struct memindex *mem = memindex_clone(crash->mem);
    if (rig_recover(crash) == 0) {
        naive_content(crash->mem, &content);
        same(explorer, "start on a half-built index", wanted, &content);
    }
    bb_sim_close(crash->sim);
    memindex_free(crash->mem);
    crash->sim = sim;
    crash->mem = mem;
    rebuild(explorer, "rebuild after a cut in a rebuild", wanted);
}

static void nested_rebuild(struct explorer *explorer, const struct image *image,
                           const struct bb_hash *wanted)
{
    struct rig *crash = &explorer->crash;
    bool over = false;
    for (uint64_t n = 1; !over && !explorer->muted; n++) {
        for (unsigned how = 0; how < 3 && !over; how++) {
            crash_is(explorer, image);
            memindex_wipe(crash->mem);
            bb_sim_cut_at(crash->sim, n);
            over = rig_rebuild(crash) == 0;
            explorer->counts.nested += !over;
            cut_again(explorer, how);
            after_cut_rebuild(explorer, wanted);
        }
    }
    over = false;
    for (uint64_t n = 1; !over && !explorer->muted; n++) {
        crash_is(explorer, image);
        memindex_wipe(crash->mem);
        memindex_fail_fold(crash->mem, n, BB_ERR_CANCELLED, n % 2 == 0);
        over = rig_rebuild(crash) == 0;
        explorer->counts.nested += !over;
        cut_again(explorer, 2);
        after_cut_rebuild(explorer, wanted);
    }
}

/* Somebody attached the index as it was a while ago. Nothing is written when that is refused. */
static void old_copy(struct explorer *explorer, const struct image *image,
                     const struct bb_hash *wanted)
{
    struct rig *crash = &explorer->crash;
    struct bb_hash content;
    if (explorer->copy != NULL) {
        struct image attached = {.sim = image->sim, .mem = explorer->copy};
        crash_is(explorer, &attached);
        explorer->counts.copies++;
        if (rig_recover(crash) == 0) {
            naive_content(crash->mem, &content);
            same(explorer, "start with an older copy of the index", wanted, &content);
        } else {
            explorer->counts.refused++;
            memindex_free(crash->mem);
            crash->mem = memindex_clone(image->mem);
            if (start(explorer, "start after an older copy was refused", &content)) {
                same(explorer, "start after an older copy was refused", wanted, &content);
            }
        }
    }
    if (explorer->copy == NULL || bb_random_below(&explorer->random, 8) == 0) {
        if (explorer->copy != NULL) {
            memindex_free(explorer->copy);
        }
        explorer->copy = memindex_clone(image->mem);
    }
}

/* What the engine may write over as soon as it runs: the ring but for the anchor's record. */
static void forget_ring(struct rig *crash)
{
    static const uint8_t noise[BB_UNIT_SIZE] = {0xa5, 0x5a};
    const struct bb_layout *layout = &crash->recovered.super.layout;
    const struct bb_ring_position *kept = &crash->recovered.last;
    for (uint64_t at = 0; at < layout->journal_units; at++) {
        if (at < kept->position || at >= kept->position + kept->units) {
            bb_sim_poke(crash->sim, layout->journal_offset + at * BB_UNIT_SIZE, noise,
                        sizeof(noise));
        }
    }
}

static void check_image(struct explorer *explorer, const struct image *image)
{
    struct bb_hash content, again;
    uint64_t number = explorer->counts.images++;
    crash_is(explorer, image);
    if (!start(explorer, "start", &content)) {
        return;
    }
    if (rig_check_index(&explorer->crash) > 0) { /* and so all that are the same as this one */
        complain(explorer, "blocks", BB_ERR_CORRUPT);
        return;
    }
    const struct bb_recover_report *report = &explorer->crash.recovered.report;
    explorer->counts.dropped += report->dropped;
    explorer->nested_due |= number % explorer->nested_every == 0;
    bool items = report->items > 0; /* else recovery has hardly anything to do */
    if (report->slots_unexcused > 0) {
        complain(explorer, "a bad slot that no item excuses", BB_ERR_DAMAGED);
    }
    check_allocation(explorer);
    check_slots(explorer);
    struct image recovered = {.sim = bb_sim_clone(explorer->crash.sim),
                              .mem = memindex_clone(explorer->crash.mem)};
    if (start(explorer, "second start", &again)) {
        same(explorer, "second start", &content, &again);
        if (explorer->crash.recovered.report.records != 0) {
            complain(explorer, "the second start had work to do", BB_ERR_DAMAGED);
        }
    }
    crash_is(explorer, image);
    rebuild(explorer, "rebuild", &content);
    if (number % 4 == 0) {
        crash_is(explorer, &recovered);
        forget_ring(&explorer->crash);
        rebuild(explorer, "rebuild after recovery", &content);
    }
    if (number % explorer->copy_every == 0) {
        old_copy(explorer, image, &content);
    }
    if (number % explorer->engine_every == 0) {
        crash_is(explorer, image);
        run_engine(explorer);
    }
    if (explorer->nested_due && items) {
        explorer->nested_due = false;
        nested_recovery(explorer, image, &content);
        nested_rebuild(explorer, image, &content);
    }
    bb_sim_close((struct bb_sim *)recovered.sim);
    memindex_free((struct memindex *)recovered.mem);
}

/* ---- images of an event ---- */

struct choice {
    struct bb_sim_fate fate[WRITES_MAX];
    size_t count;
};

static struct bb_sim_fate chosen(void *choice, const struct bb_sim_write *write)
{
    const struct choice *all = choice;
    BB_ASSERT(write->index < all->count);
    return all->fate[write->index];
}

/* Canary: what was flushed and acknowledged is gone. */
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

static void try_choice(struct explorer *explorer, struct choice *choice)
{
    const struct rig *rig = explorer->rig;
    uint64_t identity = explorer->complete;
    for (size_t i = 0; i < choice->count; i++) {
        struct bb_sim_write write = bb_sim_undurable(rig->sim, i);
        struct bb_sim_fate whole = {.part = BB_SIM_COMPLETE};
        identity -= write_identity(explorer, write.number, whole);
        identity += write_identity(explorer, write.number, choice->fate[i]);
    }
    identity = mix(identity, memindex_fold_count(rig->mem));
    for (uint32_t id = 0; id < rig->config.id_count; id++) {
        identity = mix(identity, rig->allowed[id]);
    }
    if (seen_before(explorer, identity)) {
        explorer->counts.duplicates++;
        return;
    }
    struct image image = {.sim = bb_sim_clone(rig->sim), .mem = memindex_clone(rig->mem)};
    bb_sim_power_cut((struct bb_sim *)image.sim, chosen, choice);
    if (explorer->lose_record) {
        lose_newest_record(explorer, (struct bb_sim *)image.sim);
    }
    check_image(explorer, &image);
    bb_sim_close((struct bb_sim *)image.sim);
    memindex_free((struct memindex *)image.mem);
}

static void set_all(struct choice *choice, enum bb_sim_part part)
{
    for (size_t i = 0; i < choice->count; i++) {
        choice->fate[i] = (struct bb_sim_fate){.part = part};
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

/* Each of up to three writes absent, complete or torn. */
static void try_all(struct explorer *explorer, struct choice *choice)
{
    unsigned codes = 1;
    for (size_t i = 0; i < choice->count; i++) {
        codes *= 3;
    }
    for (unsigned code = 0; code < codes; code++) {
        unsigned rest = code;
        for (size_t i = 0; i < choice->count; i++, rest /= 3) {
            choice->fate[i] =
                rest % 3 == 2 ? torn(explorer, i) : (struct bb_sim_fate){.part = rest % 3};
        }
        try_choice(explorer, choice);
    }
}

static void try_some(struct explorer *explorer, struct choice *choice)
{
    set_all(choice, BB_SIM_ABSENT);
    try_choice(explorer, choice);
    set_all(choice, BB_SIM_COMPLETE);
    try_choice(explorer, choice);
    size_t first = bb_random_below(&explorer->random, choice->count);
    for (size_t i = 0; i < choice->count && i < MISSING_MAX; i++) {
        size_t at = (first + i) % choice->count;
        set_all(choice, BB_SIM_COMPLETE);
        choice->fate[at].part = BB_SIM_ABSENT;
        try_choice(explorer, choice);
        choice->fate[at] = torn(explorer, at);
        try_choice(explorer, choice);
    }
    for (unsigned i = 0; i < explorer->random_images; i++) {
        for (size_t at = 0; at < choice->count; at++) {
            struct bb_sim_write write = bb_sim_undurable(explorer->rig->sim, at);
            choice->fate[at] = bb_sim_choose_random(&explorer->random, &write);
        }
        try_choice(explorer, choice);
    }
}

/* The process dies and the machine lives: what the next start finds in the cache, and may have
 * shown to somebody, is there after a power cut too. */
static void kill_then_cut(struct explorer *explorer)
{
    const struct rig *rig = explorer->rig;
    struct rig *crash = &explorer->crash;
    struct bb_hash content, again;
    struct image image = {.sim = rig->sim, .mem = rig->mem};
    crash_is(explorer, &image);
    bb_sim_reseed(crash->sim, bb_random_next(&explorer->random));
    bb_sim_kill(crash->sim);
    explorer->counts.kills++;
    if (!start(explorer, "start after a kill", &content)) {
        return;
    }
    if (rig_check_index(crash) > 0) {
        complain(explorer, "blocks after a kill", BB_ERR_CORRUPT);
    }
    bb_sim_power_cut(crash->sim, bb_sim_choose_none, NULL);
    if (start(explorer, "start after a kill and a cut", &again)) {
        same(explorer, "start after a kill and a cut", &content, &again);
    }
}

static void event(struct explorer *explorer)
{
    static struct choice choice;
    if (!explorer->on || explorer->muted || explorer->violations > ENOUGH) {
        return;
    }
    explorer->counts.events++;
    choice.count = bb_sim_undurable_count(explorer->rig->sim);
    BB_ASSERT(choice.count <= WRITES_MAX);
    if (choice.count <= 3) {
        try_all(explorer, &choice);
    } else {
        try_some(explorer, &choice);
    }
    kill_then_cut(explorer);
}

/* From here on nothing may take back what somebody was told. */
static void replied(struct explorer *explorer)
{
    static struct choice choice;
    if (!explorer->on || explorer->muted || explorer->violations > ENOUGH) {
        return;
    }
    explorer->counts.events++;
    choice.count = bb_sim_undurable_count(explorer->rig->sim);
    BB_ASSERT(choice.count <= WRITES_MAX);
    set_all(&choice, BB_SIM_ABSENT);
    try_choice(explorer, &choice);
}

static struct bb_sim_fault submitted(void *context, const struct bb_io_request *request,
                                     uint64_t number)
{
    struct explorer *explorer = context;
    if (request->op != BB_IO_READ) { /* a read changes nothing */
        event(explorer);
    }
    if (request->op == BB_IO_WRITE) {
        struct bb_sim_fate whole = {.part = BB_SIM_COMPLETE};
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

void explore_new_life(struct explorer *explorer)
{
    BB_ASSERT(!explorer->rig->running);
    explorer->life = mix(explorer->life, explorer->complete + 1);
    explorer->complete = 0;
    explorer->folds = memindex_fold_count(explorer->rig->mem);
}

void explore_crash(struct explorer *explorer)
{
    struct rig *rig = explorer->rig;
    rig_drop(rig);
    struct memindex *after = memindex_clone(rig->mem);
    memindex_free(rig->mem);
    rig->mem = after;
    bb_sim_power_cut(rig->sim, bb_sim_choose_random, &explorer->random);
    explore_new_life(explorer);
}

void explore_open(struct explorer *explorer, struct rig *rig)
{
    memset(explorer, 0, sizeof(*explorer));
    BB_ASSERT(!rig->running);
    explorer->rig = rig;
    rig_open(&explorer->crash, &rig->config);
    explorer->random_images = 6;
    explorer->engine_every = 16;
    explorer->nested_every = 512;
    explorer->copy_every = 4;
    bb_random_seed(&explorer->random, rig->config.seed);
    explorer->life = rig->config.seed;
    explorer->seen_mask = SEEN_FIRST - 1;
    explorer->seen = calloc(SEEN_FIRST, sizeof(uint64_t));
    BB_ASSERT(explorer->seen != NULL);
    bb_sim_set_fault(rig->sim, submitted, explorer);
    rig->after_turn = turned;
    rig->turn_context = explorer;
}

void explore_close(struct explorer *explorer)
{
    bb_sim_set_fault(explorer->rig->sim, NULL, NULL);
    explorer->rig->after_turn = NULL;
    rig_close(&explorer->crash);
    if (explorer->copy != NULL) {
        memindex_free(explorer->copy);
    }
    free(explorer->seen);
}
