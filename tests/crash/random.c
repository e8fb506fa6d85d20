/* SPDX-License-Identifier: Apache-2.0
 * Random histories of small stores, cut at events of random choice (explore.h).
 * usage: crash_random [RUNS [SEED [EVERY [SHORT]]]]        (BB_SEED also gives the first seed)
 *     RUNS: how many seeds from SEED on (4); with BB_PACE=quick one, and shorter
 *     EVERY: in a long life one event in so many is cut (400), 0: no long lives
 *     SHORT: short histories per run (340), with LMDB a quarter of them
 *
 * A run is the life of one store: its ring wraps at least 20 times, zones open, checkpoints have
 * several slices; batches, single operations, reads, rot and heals, idle times, passes of trim in
 * every other run, clean stops and power cuts that the store itself lives through. Then come short
 * histories of a young store, whose starts are quick: the bulk of the images. Every fourth run has
 * the real LMDB under it. Two processes share the seeds. The first violation ends the one that
 * finds it.
 */
#include "explore.h"

#include "bb/err.h"
#include "pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRAPS 20
/* What a call without arguments has to see. */
#define POINTS 10000u
#define IMAGES 100000u

static struct rig rig;
static struct explorer explorer;

struct totals {
    uint64_t wraps, zones, checkpoints, heals, discards, crashes, stops, violations;
    struct explore_counts counts;
};

static struct totals totals;
static uint64_t windows; /* of this run, before the last start */

static uint64_t below(uint64_t limit)
{
    return bb_random_below(&rig.random, limit);
}

static struct rig_config random_config(uint64_t seed)
{
    struct bb_random random;
    bb_random_seed(&random, seed * 7919);
    return (struct rig_config){
        .seed = seed,
        .id_count = 24 + (uint32_t)bb_random_below(&random, 160),
        .size_max = bb_random_below(&random, 3) == 0 ? 60000 : 9000,
        .slice_max = 8 + (uint32_t)bb_random_below(&random, 40),
        .port_count = 1 + (uint32_t)(seed % 2),
        .fault_percent = seed % 3 == 0 ? 10 : 0,
        .in_order = seed % 5 == 0,
        .device_size = seed % 2 == 0 ? BB_DEVICE_SIZE_MIN + 8 * BB_MIB : 40 * BB_MIB,
        .trims = seed % 2 == 0,
    };
}

static void must_start(void)
{
    int result = rig_start(&rig);
    if (result != 0) {
        fprintf(stderr, "seed %llu: start: %s: %s\n", (unsigned long long)rig.config.seed,
                bb_err_text(result), rig.explain.text);
        explorer.violations++;
    }
}

/* What the engine counted since its start goes into the totals. */
static void take_status(void)
{
    struct bb_store_status status = rig_status(&rig);
    windows += status.windows;
    totals.checkpoints += status.checkpoints;
    totals.heals += status.heals;
    totals.discards += status.trim.discards;
    totals.zones = bb_max_u64(totals.zones, status.open_zone_count);
}

static void end_life(void)
{
    take_status();
    if (below(4) == 0) {
        int result = rig_stop(&rig);
        BB_ASSERT(result == 0);
        explore_new_life(&explorer);
        totals.stops++;
    } else {
        explore_crash(&explorer);
        totals.crashes++;
    }
    must_start();
}

static void burst(void)
{
    static const unsigned sizes[] = {1, 1, 2, 4, 8, 24, 60};
    unsigned count = sizes[below(sizeof(sizes) / sizeof(sizes[0]))];
    for (unsigned i = 0; i < count; i++) {
        uint64_t dice = below(100);
        uint32_t id = (uint32_t)below(rig.config.id_count);
        (void)rig_submit(&rig,
                         dice < 48   ? RIG_PUT
                         : dice < 80 ? RIG_DELETE
                         : dice < 95 ? RIG_GET
                                     : RIG_ABORT,
                         id);
        if (below(4) == 0) {
            (void)rig_turn(&rig);
        }
    }
}

static void disturb(void)
{
    if (below(40) == 0) {
        bb_store_checkpoint(rig.store);
        rig.woken = true;
    }
    if (below(30) == 0) {
        (void)rig_rot(&rig, (uint32_t)below(rig.config.id_count));
    }
    if (rig.config.trims && below(10) == 0) {
        bb_sim_io(rig.sim)->discard_max = below(2) == 0 ? 256 * 1024 : 8 * BB_MIB;
        (void)rig_trim(&rig);
    }
    if (below(60) == 0) {
        (void)rig_idle(&rig, below(4) == 0 ? 6000 : 60);
    }
}

static bool is_well(void)
{
    if (rig.fatal != 0) {
        fprintf(stderr, "seed %llu: fatal: %s\n", (unsigned long long)rig.config.seed,
                rig.fatal_what);
        explorer.violations++;
    }
    return explorer.violations + rig.violations == 0;
}

static void go_round(void)
{
    burst();
    for (uint64_t turns = below(12); turns > 0; turns--) {
        (void)rig_turn(&rig);
    }
    disturb();
}

/* Until the ring was gone through often enough. Lives of 10 to 3000 rounds: the ring is full of
 * records of this epoch, or of those before. */
static void live_long(void)
{
    static const unsigned rounds[] = {10, 100, 300, 3000};
    windows = 0;
    must_start();
    uint64_t units = rig.recovered.super.layout.journal_units;
    while (is_well() && windows < WRAPS * units) {
        uint64_t left = 1 + below(rounds[below(4)]);
        while (is_well() && left-- > 0) {
            go_round();
        }
        if (is_well()) {
            end_life();
        }
    }
    totals.wraps += windows / units;
}

/* From the same young store on, each time another way. */
static void live_short(uint64_t seed, unsigned histories)
{
    struct explore_base base;
    must_start();
    for (unsigned i = 0; is_well() && i < 20; i++) {
        go_round();
    }
    int result = rig_stop(&rig);
    BB_ASSERT(result == 0);
    explore_new_life(&explorer);
    explore_save(&explorer, &base);
    for (unsigned i = 0; is_well() && i < histories; i++) {
        explore_restore(&explorer, &base, seed * 1000003 + i);
        explorer.event_every = 8;
        explorer.on = true;
        must_start();
        for (uint64_t rounds = 2 + below(8); is_well() && rounds > 0; rounds--) {
            go_round();
        }
        if (is_well()) {
            (void)rig_settle(&rig);
            take_status();
        }
        explorer.on = false;
    }
    rig_drop(&rig);
    explore_base_drop(&base);
}

/* A store, its life or its histories, and what was found. */
static void run_store(uint64_t seed, unsigned every, unsigned histories)
{
    struct rig_config config = random_config(seed);
    rig_open(&rig, &config);
    explore_open(&explorer, &rig);
    explorer.event_every = every;
    explorer.engine_every = 64;
    explorer.nested_every = 1024;
    explorer.copy_every = 32;
    explorer.random_images = 8;
    bool lmdb = seed % 4 == 0;
    if (lmdb && !explore_with_lmdb(&explorer)) {
        fprintf(stderr, "no place for LMDB\n");
        explorer.violations++;
    } else if (histories > 0) {
        live_short(seed, lmdb ? (histories + 3) / 4 : histories); /* LMDB takes its time */
    } else {
        explorer.on = true;
        live_long();
    }
    explorer.on = false;
    totals.violations += explorer.violations + rig.violations;
    explore_add_counts(&explorer.counts, &totals.counts);
    printf("random: seed %llu, %s, index in %s: ", (unsigned long long)seed,
           histories > 0 ? "short" : "long", lmdb ? "LMDB" : "memory");
    explore_print_counts(&explorer.counts);
    explore_close(&explorer);
    rig_close(&rig);
}

/* A device that loses what it has flushed. */
static bool canary(void)
{
    struct rig_config config = random_config(1);
    config.quiet = true;
    rig_open(&rig, &config);
    explore_open(&explorer, &rig);
    explorer.lose_record = true;
    live_short(1, 10);
    uint64_t found = explorer.violations;
    explore_close(&explorer);
    rig_close(&rig);
    totals = (struct totals){0};
    printf("random: canary: flushed record lost: %s\n", found > 0 ? "caught" : "MISSED");
    return found > 0;
}

static void run_seeds(uint64_t first, uint64_t end, uint64_t step, unsigned every,
                      unsigned histories)
{
    for (uint64_t seed = first; seed < end && totals.violations == 0; seed += step) {
        if (every > 0) {
            run_store(seed, every, 0);
        }
        if (histories > 0 && totals.violations == 0) {
            run_store(seed, 1, histories);
        }
    }
}

static void totals_add(const struct totals *more)
{
    totals.wraps += more->wraps;
    totals.zones = bb_max_u64(totals.zones, more->zones);
    totals.checkpoints += more->checkpoints;
    totals.heals += more->heals;
    totals.discards += more->discards;
    totals.crashes += more->crashes;
    totals.stops += more->stops;
    totals.violations += more->violations;
    explore_add_counts(&more->counts, &totals.counts);
}

/* Every other seed in a process of its own. False when that one did not come to its end. */
static bool run_in_two(uint64_t first, uint64_t runs, unsigned every, unsigned histories)
{
    struct totals *theirs =
        mmap(NULL, sizeof(*theirs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (theirs == MAP_FAILED) {
        return false;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        return false;
    }
    run_seeds(first + (child == 0), first + runs, 2, every, histories);
    if (child == 0) {
        *theirs = totals;
        fflush(stdout);
        _exit(0);
    }
    int status = -1;
    bool ended =
        waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    totals_add(theirs);
    (void)munmap(theirs, sizeof(*theirs));
    return ended;
}

int main(int argc, char **argv)
{
    const char *env = getenv("BB_SEED");
    bool quick = pace_is_quick();
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : quick ? 1 : 4;
    uint64_t first = argc > 2      ? strtoull(argv[2], NULL, 10)
                     : env != NULL ? strtoull(env, NULL, 10)
                                   : 1;
    unsigned every = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : quick ? 4000 : 400;
    unsigned histories = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : quick ? 30 : 340;
    bool caught = canary();
    bool ended = run_in_two(first, runs, every, histories);
    printf("random: %llu wraps of the ring, %llu zones at most, %llu checkpoints, %llu "
           "heals, %llu discards, %llu clean stops, %llu power cuts lived through\n",
           (unsigned long long)totals.wraps, (unsigned long long)totals.zones,
           (unsigned long long)totals.checkpoints, (unsigned long long)totals.heals,
           (unsigned long long)totals.discards, (unsigned long long)totals.stops,
           (unsigned long long)totals.crashes);
    bool enough =
        argc > 1 || quick || (totals.counts.events >= POINTS && totals.counts.images >= IMAGES);
    if (!enough) {
        fprintf(stderr, "fewer than %u crash points or %u images\n", POINTS, IMAGES);
    }
    explore_print_sum("random", first, first + runs - 1, &totals.counts, totals.violations);
    if (!ended) {
        fprintf(stderr, "a process of this one did not come to its end\n");
    }
    return totals.violations != 0 || !enough || !caught || !ended;
}
