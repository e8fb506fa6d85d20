/* SPDX-License-Identifier: Apache-2.0
 * A fixed script over the whole life of a store, cut at every request and fold (explore.h).
 * usage: crash_cuts [SEEDS [FIRST [STEP]]]
 *     SEEDS: orders of completion to go through, 0: canaries only
 *     STEP: name of a step, cuts only there and no canaries
 * The first violation ends it.
 */
#include "explore.h"

#include "bb/err.h"
#include "pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rig rig;
static struct explorer explorer;
static const char *only; /* step, NULL: all */
static struct explore_counts counts;

static const struct rig_config config = {
    .id_count = 160, .size_max = 24000, .slice_max = 24, .fault_percent = 10};

/* No lookup has to wait for the index, so that it can stand still. */
static const struct rig_config prompt = {.id_count = 200, .size_max = 9000, .slice_max = 24};

/* One zone, which 170 blocks fill: an extent that becomes free is taken at once. */
static const struct rig_config small = {
    .id_count = 190, .size_fixed = 9000, .slice_max = 24, .device_size = BB_DEVICE_SIZE_MIN};

/* Two zones with room, of which free runs are discarded while the rest goes on. */
static const struct rig_config trimming = {.id_count = 48,
                                           .size_max = 90000,
                                           .slice_max = 24,
                                           .device_size = BB_DEVICE_SIZE_MIN + 4 * BB_MIB,
                                           .trims = true};

/* The scrub is always under way, and its row is written again and again. */
static const struct rig_config scrubbing = {.id_count = 40,
                                            .size_max = 24000,
                                            .slice_max = 24,
                                            .fault_percent = 10,
                                            .scrub = {.rate = 1u << 30, .share = 100, .days = 1}};

static void must_start(void)
{
    int result = rig_start(&rig);
    if (result != 0) {
        fprintf(stderr, "start: %s: %s\n", bb_err_text(result), rig.explain.text);
    }
    BB_ASSERT(result == 0);
}

static void submit_all(enum rig_kind kind, uint32_t from, uint32_t to)
{
    for (uint32_t id = from; id < to; id++) {
        while (rig_submit(&rig, kind, id) == NULL) {
            (void)rig_turn(&rig);
        }
    }
}

static void do_all(enum rig_kind kind, uint32_t from, uint32_t to)
{
    submit_all(kind, from, to);
    (void)rig_settle(&rig);
}

/* Single operations, batches, both on the same hashes, duplicates; watermark records. */
static void puts_and_deletes(void)
{
    for (uint32_t id = 0; id < 4; id++) {
        (void)rig_do(&rig, RIG_PUT, id);
    }
    do_all(RIG_PUT, 2, 14);
    (void)rig_idle(&rig, 60);
    (void)rig_do(&rig, RIG_DELETE, 1);
    do_all(RIG_DELETE, 6, 9);
    do_all(RIG_PUT, 6, 8);
    (void)rig_idle(&rig, 60);
}

/* A checkpoint while others go on. */
static void checkpoints(void)
{
    do_all(RIG_PUT, 14, 22);
    bb_store_checkpoint(rig.store);
    for (uint32_t id = 8; id < 18; id++) {
        (void)rig_submit(&rig, id % 2 == 0 ? RIG_DELETE : RIG_PUT, id);
        (void)rig_turn(&rig);
        (void)rig_turn(&rig);
    }
    (void)rig_settle(&rig);
    (void)rig_idle(&rig, 6000);
}

/* A checkpoint that begins with a record on its way, which is none of its business. */
static void checkpoints_beside_records(void)
{
    for (unsigned round = 0; round < 6; round++) {
        (void)rig_do(&rig, round % 2 == 0 ? RIG_DELETE : RIG_PUT, 19);
        (void)rig_submit(&rig, round % 2 == 0 ? RIG_PUT : RIG_DELETE, 19);
        explorer.late_record = round % 2 == 0 ? 12 : 0;
        while (!rig_record_is_written(&rig)) {
            (void)rig_turn(&rig);
        }
        bb_store_checkpoint(rig.store);
        rig.woken = true;
        (void)rig_settle(&rig);
    }
    (void)rig_checkpoint(&rig);
}

/* Blocks that are deleted while the page that names them is written: in the end nothing on it has
 * changed, and yet it may be torn. */
static void pages_that_change_back(void)
{
    for (unsigned delay = 0; delay < 2; delay++) {
        explorer.on = false;
        do_all(RIG_DELETE, 140, 148);
        (void)rig_checkpoint(&rig);
        do_all(RIG_PUT, 140, 148);
        bb_store_checkpoint(rig.store);
        rig.woken = true;
        while (!rig_status(&rig).checkpoint_running) {
            (void)rig_turn(&rig);
        }
        explorer.on = true;
        for (unsigned turn = 0; turn < delay; turn++) {
            (void)rig_turn(&rig);
        }
        do_all(RIG_DELETE, 140, 148);
        (void)rig_idle(&rig, 0);
    }
}

/* Rot, noticed, marked, healed: before and after a checkpoint; the last one is deleted. */
static void heals(void)
{
    do_all(RIG_PUT, 20, 26);
    (void)rig_idle(&rig, 60);
    do_all(RIG_GET, 20, 26); /* so that it is known where they are */
    for (uint32_t id = 20; id < 26; id++) {
        bool rotten = rig_rot(&rig, id);
        BB_ASSERT(rotten);
    }
    do_all(RIG_GET, 20, 23);
    (void)rig_do(&rig, RIG_PUT, 20);
    (void)rig_checkpoint(&rig);
    do_all(RIG_GET, 23, 26);
    (void)rig_do(&rig, RIG_PUT, 21);
    (void)rig_do(&rig, RIG_PUT, 22);
    submit_all(RIG_PUT, 23, 25);
    (void)rig_submit(&rig, RIG_DELETE, 25);
    (void)rig_settle(&rig);
    (void)rig_idle(&rig, 60);
    BB_ASSERT(rig_status(&rig).heals == 5);
}

/* Several PUTs of one block, and reads of what is being stored and deleted. */
static void crowds(void)
{
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t id = 26; id < 29; id++) {
            enum rig_kind kind = rig.allowed[id] == RIG_ABSENT ? RIG_PUT : RIG_DELETE;
            (void)rig_submit(&rig, kind, id);
            (void)rig_submit(&rig, kind, id);
            (void)rig_turn(&rig);
            (void)rig_submit(&rig, RIG_GET, id);
            (void)rig_submit(&rig, RIG_PUT, id);
            (void)rig_turn(&rig);
            (void)rig_submit(&rig, RIG_HEAD, id);
        }
        for (unsigned turn = 0; turn < 30; turn++) {
            (void)rig_turn(&rig);
            (void)rig_submit(&rig, RIG_HEAD, 26 + turn % 3);
        }
        (void)rig_settle(&rig);
    }
}

/* More items than one ring unit holds. */
static void wide_records(void)
{
    explorer.on = false;
    do_all(RIG_PUT, 30, 140);
    (void)rig_checkpoint(&rig);
    explorer.on = true;
    submit_all(RIG_DELETE, 30, 135);
    (void)rig_settle(&rig);
    bb_store_checkpoint(rig.store);
    (void)rig_turn(&rig);
    do_all(RIG_PUT, 40, 46);
    (void)rig_idle(&rig, 60);
}

/* On to the end of the ring without cuts, and over it with them. */
static void ring_wraps(void)
{
    const struct bb_super *super = &rig.recovered.super;
    uint64_t units = super->layout.journal_units;
    explorer.on = false;
    uint64_t start = rig_status(&rig).windows;
    while (rig_status(&rig).windows - start < units) {
        (void)rig_do(&rig, rig.allowed[50] == RIG_ABSENT ? RIG_PUT : RIG_DELETE, 50);
        if (!explorer.on && rig_ring_head(&rig) >= units - 4) {
            explorer.on = true;
            submit_all(RIG_PUT, 52, 56);
        } else if (explorer.on && rig_ring_head(&rig) > 3 && rig_ring_head(&rig) < 20) {
            break;
        }
    }
    explorer.on = true;
    (void)rig_idle(&rig, 60);
}

static bool goes_through(enum rig_kind kind, uint32_t id)
{
    struct rig_op *op = rig_submit(&rig, kind, id);
    for (unsigned turn = 0; turn < 60 && op != NULL && op->busy; turn++) {
        (void)rig_turn(&rig);
    }
    return op != NULL && !op->busy;
}

/* The checkpoint stands still: PUTs and DELETEs until PUTs stop, then DELETEs until the ring is
 * full. What frees it is a record without items in front of those that wait. */
static void ring_fills(void)
{
    explorer.on = false;
    do_all(RIG_PUT, 60, 200);
    (void)rig_checkpoint(&rig);
    do_all(RIG_DELETE, 160, 200); /* more than a sector: a torn anchor is seen */
    (void)rig_checkpoint(&rig);
    rig.index_paused = true;
    while (goes_through(RIG_DELETE, 60) && goes_through(RIG_PUT, 60)) {
    }
    uint32_t id = 61;
    while (goes_through(RIG_DELETE, id)) {
        id++;
        BB_ASSERT(id < 145);
    }
    explorer.on = true;
    submit_all(RIG_DELETE, 145, 160);
    for (unsigned turn = 0; turn < 40; turn++) {
        (void)rig_turn(&rig);
    }
    BB_ASSERT(rig_status(&rig).journal_used_units > 220);
    rig.index_paused = false;
    (void)rig_settle(&rig);
    (void)rig_idle(&rig, 60);
}

/* A second zone; cut from where its first pages are on their way. */
static void zone_opens(void)
{
    uint32_t before = rig_status(&rig).open_zone_count;
    explorer.on = false;
    for (uint32_t id = 20; id < config.id_count; id++) {
        (void)rig_submit(&rig, RIG_PUT, id);
        for (unsigned turn = 0; turn < 4; turn++) {
            explorer.on = rig_zone_is_opening(&rig);
            (void)rig_turn(&rig);
        }
    }
    explorer.on = true;
    (void)rig_settle(&rig);
    BB_ASSERT(rig_status(&rig).open_zone_count > before);
}

static void crash_and_restart(void)
{
    explore_crash(&explorer);
    must_start();
    (void)rig_check(&rig);
}

static void stop_and_restart(void)
{
    int result = rig_stop(&rig);
    BB_ASSERT(result == 0);
    explore_new_life(&explorer);
    must_start();
}

static void log_step(const char *name)
{
    if (getenv("BB_VERBOSE") != NULL) {
        fprintf(stderr, "cuts: %s: %llu events, %llu images, record %llu\n", name,
                (unsigned long long)explorer.counts.events,
                (unsigned long long)explorer.counts.images,
                (unsigned long long)(rig.running ? rig_status(&rig).sequence : 0));
    }
}

struct step {
    const char *name;
    void (*run)(void);
};

static void fill_up(void)
{
    explorer.on = false;
    int result = 0;
    for (uint32_t id = 0; result != BB_ERR_NO_SPACE; id++) {
        BB_ASSERT(id < small.id_count);
        result = rig_do(&rig, RIG_PUT, id);
    }
    (void)rig_checkpoint(&rig);
    explorer.on = true;
}

/* Deletes, and PUTs that take what they leave. */
static void change_places(void)
{
    for (unsigned wave = 0; wave < 4; wave++) {
        for (uint32_t id = wave; id < small.id_count; id++) {
            if (rig.allowed[id] == RIG_PRESENT && id % 32 == wave) {
                (void)rig_submit(&rig, RIG_DELETE, id);
                (void)rig_submit(&rig, RIG_GET, id);
            }
        }
        (void)rig_turn(&rig);
        for (uint32_t id = 0; id < small.id_count; id++) {
            if (rig.allowed[id] == RIG_ABSENT && id % 32 != wave) {
                (void)rig_submit(&rig, RIG_PUT, id);
            }
            if (id % 16 == 0) {
                (void)rig_turn(&rig);
            }
        }
        (void)rig_settle(&rig);
        if (wave % 2 == 1) {
            bb_store_checkpoint(rig.store);
        }
    }
}

/* Deletes and reads, then a pass of trim beside puts, deletes and reads: each discard is cut too.
 */
static void trims(void)
{
    explorer.on = false;
    do_all(RIG_PUT, 0, trimming.id_count);
    (void)rig_checkpoint(&rig);
    uint64_t discards = rig_status(&rig).trim.discards;
    bb_sim_io(rig.sim)->discard_max = 256 * 1024; /* so that there are many */
    explorer.on = true;
    for (uint32_t wave = 0; wave < 4; wave++) {
        for (uint32_t id = wave; id < trimming.id_count; id += 3) {
            (void)rig_submit(&rig, RIG_GET, id);
            (void)rig_submit(&rig, RIG_DELETE, id);
        }
        if (wave % 2 == 0) { /* what was deleted is discarded in this pass */
            (void)rig_settle(&rig);
        }
        int result = rig_trim(&rig);
        BB_ASSERT(result == 0);
        for (uint32_t turn = 0; rig_status(&rig).trim.state != BB_TRIM_OFF; turn++) {
            BB_ASSERT(turn < 100000);
            uint32_t id = turn % trimming.id_count;
            enum rig_kind kind = wave % 2 == 0 ? RIG_GET : RIG_DELETE;
            if (turn % 8 == 0 && turn < 400) {
                (void)rig_submit(&rig, rig.allowed[id] == RIG_ABSENT ? RIG_PUT : kind, id);
                (void)rig_submit(&rig, RIG_GET, (id + 5) % trimming.id_count);
            }
            (void)rig_turn(&rig);
        }
        (void)rig_settle(&rig);
    }
    BB_ASSERT(rig_status(&rig).trim.discards > discards + 8);
}

/* Passes of the scrub beside puts, deletes, checkpoints and marks. */
static void scrubs(void)
{
    struct bb_scrub_status status;
    do_all(RIG_PUT, 0, scrubbing.id_count / 2);
    for (uint32_t wave = 0; wave < 3; wave++) {
        (void)rig_checkpoint(&rig);
        bool rotten = rig_rot(&rig, 3 + wave);
        BB_ASSERT(rotten);
        rig.allowed[3 + wave] |= RIG_MARKED; /* at some time from here on */
        for (uint32_t turn = 0; rig.finding_count <= wave; turn++) {
            BB_ASSERT(turn < 100000);
            bb_scrub_get_status(rig.store, &status);
            if (!status.hurried) { /* the pass that was under way may have been behind it */
                bb_scrub_start(rig.store);
                rig.woken = true;
            }
            uint32_t id = 8 + (turn / 4 + wave) % (scrubbing.id_count - 8);
            if (turn % 8 == 0 && turn < 160) {
                (void)rig_submit(&rig, turn % 3 == 0 ? RIG_DELETE : RIG_PUT, id);
            }
            rig.now_ms += !rig_turn(&rig);
        }
        (void)rig_settle(&rig);
        BB_ASSERT(rig.finding.outcome == BB_SCRUB_MARKED);
        rig.allowed[3 + wave] = RIG_MARKED;
    }
}

/* The whole life of a store. Steps build on each other. */
static const struct step life[] = {
    {"start", must_start},
    {"puts and deletes", puts_and_deletes},
    {"zone opens", zone_opens},
    {"checkpoints", checkpoints},
    {"checkpoints beside records", checkpoints_beside_records},
    {"pages that change back", pages_that_change_back},
    {"crash", crash_and_restart},
    {"right behind the new epoch", puts_and_deletes},
    {"heals", heals},
    {"crash", crash_and_restart},
    {"crowds", crowds},
    {"wide records", wide_records},
    {"clean stop", stop_and_restart},
    {"ring wraps", ring_wraps},
    {"crash", crash_and_restart},
    {"clean stop", stop_and_restart},
    {"clean stop of an idle store", stop_and_restart},
    {"crash of an idle store", crash_and_restart},
    {NULL, NULL},
};

static const struct step full[] = {
    {"start", must_start},
    {"fill up", fill_up},
    {"change places", change_places},
    {"crash", crash_and_restart},
    {"change places", change_places},
    {"clean stop", stop_and_restart},
    {NULL, NULL},
};

static const struct step ring[] = {
    {"start", must_start},
    {"ring fills", ring_fills},
    {"ring fills again", ring_fills},
    {"crash", crash_and_restart},
    {"ring fills a third time", ring_fills},
    {NULL, NULL},
};

static const struct step trimmed[] = {
    {"start", must_start},
    {"trims", trims},
    {"crash", crash_and_restart},
    {"trims again", trims},
    {"clean stop", stop_and_restart},
    {NULL, NULL},
};

static const struct step scrubbed[] = {
    {"start", must_start},
    {"scrubs", scrubs},
    {"crash", crash_and_restart},
    {"clean stop", stop_and_restart},
    {NULL, NULL},
};

static void open_script(const struct rig_config *script, uint64_t seed)
{
    struct rig_config seeded = *script;
    seeded.seed = seed;
    seeded.in_order = seed % 4 == 0;
    seeded.port_count = 1 + (uint32_t)(seed % 2);
    rig_open(&rig, &seeded);
    rig.index_steps = 1; /* so that each fold is an event */
    explore_open(&explorer, &rig);
}

static uint64_t close_script(void)
{
    uint64_t violations = explorer.violations + rig.violations;
    explore_close(&explorer);
    rig_close(&rig);
    return violations;
}

/* ---- canaries ---- */

/* A store that acknowledges before its flush, and a device that loses what it has flushed. */
static bool canary(const char *name, unsigned early, bool lose_record)
{
    open_script(&config, 1);
    rig.config.quiet = explorer.crash.config.quiet = true;
    rig.config.canary_early = early;
    explorer.lose_record = lose_record;
    explorer.on = true;
    must_start();
    do_all(RIG_PUT, 0, 5);
    do_all(RIG_DELETE, 0, 2);
    explorer.on = false;
    uint64_t found = explorer.violations;
    (void)close_script();
    printf("cuts: canary: %s: %s (%llu of its images)\n", name, found > 0 ? "caught" : "MISSED",
           (unsigned long long)found);
    return found > 0;
}

static bool canaries(void)
{
    bool caught = canary("PUT acknowledged early", 1, false);
    caught &= canary("DELETE acknowledged early", 2, false);
    caught &= canary("flushed record lost", 0, true);
    return caught;
}

static bool is_wanted(const struct step *steps)
{
    bool wanted = only == NULL;
    for (; steps->run != NULL; steps++) {
        wanted |= only != NULL && strcmp(steps->name, only) == 0;
    }
    return wanted;
}

static uint64_t run_script(const char *name, const struct rig_config *script,
                           const struct step *steps, uint64_t seed)
{
    if (!is_wanted(steps)) {
        return 0;
    }
    open_script(script, seed);
    explorer.on = true;
    for (; steps->run != NULL && explorer.violations + rig.violations == 0; steps++) {
        explorer.muted = only != NULL && strcmp(steps->name, only) != 0;
        steps->run();
        log_step(steps->name);
    }
    explorer.on = false;
    printf("cuts: %s, seed %llu: ", name, (unsigned long long)seed);
    explore_print_counts(&explorer.counts);
    explore_add_counts(&explorer.counts, &counts);
    return close_script();
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : pace_is_quick() ? 1 : 2;
    const char *env = getenv("BB_SEED");
    uint64_t first = argc > 2      ? strtoull(argv[2], NULL, 10)
                     : env != NULL ? strtoull(env, NULL, 10)
                                   : 1;
    only = argc > 3 ? argv[3] : NULL;
    uint64_t violations = 0;
    bool caught = only != NULL || canaries();
    BB_ASSERT(is_wanted(life) || is_wanted(full) || is_wanted(ring) || is_wanted(trimmed) ||
              is_wanted(scrubbed));
    for (uint64_t seed = first; seed < first + seeds && violations == 0; seed++) {
        violations += run_script("life", &config, life, seed);
        violations += violations == 0 ? run_script("full device", &small, full, seed) : 0;
        violations += violations == 0 ? run_script("full ring", &prompt, ring, seed) : 0;
        violations += violations == 0 ? run_script("trim", &trimming, trimmed, seed) : 0;
        violations += violations == 0 ? run_script("scrub", &scrubbing, scrubbed, seed) : 0;
    }
    explore_print_sum("cuts", first, first + seeds - 1, &counts, violations);
    return violations != 0 || !caught;
}
