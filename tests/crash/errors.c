/* SPDX-License-Identifier: Apache-2.0
 * I/O errors: in three workloads the k-th request or fold goes wrong, for every k, in every way:
 * EIO (applied not, partly, fully), ENOSPC, short, cancelled, never complete, complete late; once,
 * six in a row, for ever, for ever of its own sort. Judged by storage.md, commit protocol, rule 7:
 *
 *   data        that operation fails, its extent is quarantined, nobody else notices
 *   other       the store ends once, all who wait get BB_ERR_FATAL, nothing is acknowledged and no
 *               flush submitted from then on
 *   never       nothing is acknowledged that depends on it
 *   late        nothing happens
 *   of a start  it tells an error and has changed nothing
 *
 * Afterwards the power goes or the process is killed, and the next start finds what was promised;
 * so does one without an index.
 * usage: crash_errors [SEEDS [FIRST]]   SEEDS 0: canaries only.
 * BB_ERRORS=all: all spans in all ways; BB_ERRORS=K: those of request K only
 */
#include "faults.h"

#include "../../src/store/engine.h"

#include "bb/err.h"
#include "pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum cut { CUT_NONE, CUT_ALL, CUT_RANDOM, CUT_KILL, CUT_COUNT };

/* A store that is not running, from which every run of a workload starts. */
static struct {
    struct bb_sim *sim;
    struct memindex *mem;
    uint8_t allowed[RIG_ID_MAX];
    uint64_t now_ms;
    uint32_t first_id; /* zones_and_ring: about the PUT that opens the next zone */
} base;

static struct totals {
    uint64_t runs, fatal, starts, tolerated, stuck, late, folds;
} totals;

/* ---- workloads ---- */

static void nothing_before(void)
{
}

static int puts_deletes_checkpoints(void)
{
    int result = faults_start();
    faults_some(RIG_PUT, 0, 10);
    faults_some(RIG_DELETE, 3, 6);
    faults_idle(60);
    faults_checkpoint();
    faults_some(RIG_PUT, 10, 16);
    if (!faults.plan.over) { /* a checkpoint with others in its way */
        bb_store_checkpoint(faults.rig.store);
    }
    faults_some(RIG_DELETE, 8, 12);
    faults_some(RIG_PUT, 4, 6);
    faults_idle(6000);
    if (!faults_stop()) {
        return result;
    }
    result = faults_start();
    faults_some(RIG_PUT, 16, 20);
    faults_checkpoint();
    return result;
}

static void twelve_blocks(void)
{
    faults_some(RIG_PUT, 0, 12);
    faults_checkpoint();
}

static int duplicates_heals_reads(void)
{
    int result = faults_start();
    faults_some(RIG_GET, 0, 14);
    faults_some(RIG_PUT, 2, 6);
    for (uint32_t id = 6; id < 10 && !faults.plan.over; id++) {
        (void)rig_rot(&faults.rig, id);
    }
    faults_some(RIG_GET, 5, 11);
    faults_some(RIG_PUT, 6, 9);
    faults_some(RIG_DELETE, 9, 10);
    faults_some(RIG_HEAD, 0, 12);
    faults_checkpoint();
    faults_some(RIG_PUT, 9, 15);
    if (faults.plan.over || faults.plan.stuck) {
        faults.plan.over = true;
        return result;
    }
    rig_drop(&faults.rig); /* a recovery that re-hashes */
    memindex_forget_jobs(faults.rig.mem);
    bb_sim_power_cut(faults.rig.sim, bb_sim_choose_random, &faults.rig.random);
    memset(faults.ops, 0, sizeof(faults.ops));
    result = faults_start();
    faults_some(RIG_GET, 5, 15);
    faults_idle(60);
    return result;
}

/* Leaves the ring ten units before its end and the zone a few blocks before it is full. */
static void nearly_full(void)
{
    uint32_t open = rig_status(&faults.rig).open_zone_count, id = 20;
    uint64_t low = bb_layout_zone(&faults.rig.recovered.super.layout, 0).unit_count / 8;
    while (id < faults.rig.config.id_count - 40 &&
           rig_status(&faults.rig).open_zone_count == open &&
           rig_status(&faults.rig).free_units > 0 &&
           bb_buddy_free_units(faults.rig.buddy) > low + 200) {
        faults_some(RIG_PUT, id, id + 1);
        id++;
    }
    base.first_id = id;
    while (rig_ring_head(&faults.rig) < faults.rig.recovered.super.layout.journal_units - 10) {
        faults_some(faults.rig.allowed[1] == RIG_ABSENT ? RIG_PUT : RIG_DELETE, 1, 2);
    }
}

static int zones_and_ring(void)
{
    int result = faults_start();
    if (faults.plan.over) {
        return result;
    }
    uint32_t open = rig_status(&faults.rig).open_zone_count;
    uint64_t head = rig_ring_head(&faults.rig);
    for (uint32_t id = 2; id < 10 && !faults.plan.over; id++) {
        faults_some(RIG_PUT, id, id + 1);
    }
    for (uint32_t id = base.first_id; id < faults.rig.config.id_count && !faults.plan.over; id++) {
        faults_some(RIG_PUT, id, id + 1);
        if (!faults.plan.over && rig_status(&faults.rig).open_zone_count > open) {
            break;
        }
    }
    faults_some(RIG_DELETE, base.first_id, base.first_id + 3);
    if (faults.plan.at == 0) {
        BB_ASSERT(rig_status(&faults.rig).open_zone_count > open);
        BB_ASSERT(rig_ring_head(&faults.rig) < head);
    }
    if (faults_stop()) {
        result = faults_start();
    }
    return result;
}

static const struct workload {
    const char *name;
    void (*prepare)(void);
    int (*run)(void);
    struct rig_config config;
} workloads[] = {
    {"puts, deletes, checkpoints",
     nothing_before,
     puts_deletes_checkpoints,
     {.slice_max = 8, .size_max = 9000, .id_count = 20}},
    {"duplicates, heals, reads",
     twelve_blocks,
     duplicates_heals_reads,
     {.slice_max = 8, .size_max = 9000, .id_count = 20}},
    {"zones, ring, clean stop",
     nearly_full,
     zones_and_ring,
     {.slice_max = 64, .size_fixed = 24000, .id_count = 240}},
};

/* ---- judging ---- */

/* Whoever waits must be told; new writes too. */
static void judge_end(void)
{
    totals.fatal++;
    faults.plan.over = false;
    for (unsigned i = 0; i < 60; i++) {
        faults.plan.over = false;
        (void)faults_turn();
    }
    for (size_t i = 0; i < RIG_OP_MAX; i++) {
        if (faults.rig.ops[i].busy && !faults.ops[i].stuck && !faults.ops[i].expected) {
            faults_complain("somebody still waits after the end", 0);
            return;
        }
    }
    for (uint32_t id = 0; id < 3; id++) {
        (void)faults_submit(id == 1 ? RIG_DELETE : RIG_PUT, id);
    }
    for (unsigned i = 0; i < 20; i++) {
        faults.plan.over = false;
        (void)faults_turn();
    }
}

static void judge_run(void)
{
    if (faults.plan.ends != (faults.rig.fatal != 0)) {
        faults_complain(faults.plan.ends ? "the store went on" : "the store ended",
                        faults.rig.fatal);
        return;
    }
    if (faults.rig.fatal != 0) {
        judge_end();
    } else if (faults.plan.stuck) {
        totals.stuck++;
        for (unsigned i = 0; i < 300 && faults_any_waits() && !faults.plan.commit_stuck; i++) {
            faults.plan.over = false;
            faults.rig
                .now_ms++; /* a window waits for others, 1 ms in each of a few turns at most */
            (void)faults_turn();
        }
        if (!faults.plan.in_index && faults.plan.class == BB_IO_DATA && faults.plan.span == ONCE &&
            faults_any_waits()) {
            faults_complain("a data transfer that never ends stops others", 0);
        }
    } else if (!faults.plan.in_start) {
        totals.late += faults.plan.way == LATE;
        if (rig_status(&faults.rig).quarantined_units != faults.plan.lost_units) {
            faults_complain("not what failed is quarantined", 0);
        }
    }
}

static void judge(int result)
{
    totals.runs++;
    totals.folds += faults.plan.in_index;
    if (bb_sim_is_dead(faults.rig.sim)) {
        totals.stuck++;
        return;
    }
    if (result != 0) {
        totals.starts++;
        if (!faults.plan.in_start || faults.plan.way == LATE) {
            faults_complain("a start failed without an error of its own", result);
        }
        return;
    }
    if (faults.plan.in_start && faults.plan.start_changed && !faults.plan.ends &&
        !faults.plan.stuck) {
        faults_complain("a start went on", 0);
    }
    totals.tolerated += faults.plan.in_start && !faults.plan.ends;
    judge_run();
}

/* ---- afterwards ---- */

static void cut_power(enum cut cut)
{
    rig_drop(&faults.rig);
    memset(faults.ops, 0, sizeof(faults.ops));
    struct memindex *after = memindex_clone(faults.rig.mem);
    memindex_free(faults.rig.mem);
    faults.rig.mem = after;
    faults.rig.index_paused = false;
    switch (cut) {
    case CUT_NONE:
        bb_sim_power_cut(faults.rig.sim, bb_sim_choose_none, NULL);
        break;
    case CUT_ALL:
        bb_sim_power_cut(faults.rig.sim, bb_sim_choose_all, NULL);
        break;
    case CUT_RANDOM:
        bb_sim_power_cut(faults.rig.sim, bb_sim_choose_random, &faults.rig.random);
        break;
    default:
        bb_sim_kill(faults.rig.sim);
        break;
    }
}

/* The same image with its index lost: must come to the same blocks. */
static void check_rebuild(struct bb_sim *sim, const uint8_t *allowed)
{
    bb_sim_close(faults.rig.sim);
    faults.rig.sim = sim;
    memcpy(faults.rig.allowed, allowed, sizeof(faults.rig.allowed));
    memindex_wipe(faults.rig.mem);
    int result = rig_rebuild(&faults.rig);
    if (result != 0) {
        faults_complain("rebuild", result);
        return;
    }
    result = rig_recover(&faults.rig);
    if (result != 0) {
        faults_complain("start after a rebuild", result);
        return;
    }
    (void)rig_check_index(&faults.rig);
}

static void check_afterwards(enum cut cut, bool rebuild)
{
    struct fault_plan told = faults.plan;
    cut_power(cut);
    if (faults.plan.span == FOR_EVER && faults_is_failure(faults.plan.way) &&
        !faults.plan.in_index && !faults.plan.lie) {
        int result = faults_start(); /* the device still fails */
        if (result == 0) {
            faults_complain("a start from a device that fails all requests", 0);
        }
        cut_power(cut);
    }
    bb_sim_set_fault(faults.rig.sim, NULL, NULL);
    faults.plan = (struct fault_plan){.at = 0};
    struct bb_sim *sim = rebuild ? bb_sim_clone(faults.rig.sim) : NULL;
    static uint8_t allowed[RIG_ID_MAX];
    uint64_t before = faults.rig.violations;
    int result = faults_start();
    if (result == 0) {
        memcpy(allowed, faults.rig.allowed, sizeof(allowed));
        (void)rig_check(&faults.rig);
        (void)rig_balance(&faults.rig);
        for (uint32_t id = 0; id < faults.rig.config.id_count; id++) {
            if (faults.rig.allowed[id] != RIG_MARKED) { /* else perhaps only by this check */
                allowed[id] = faults.rig.allowed[id];
            }
        }
        faults_some(RIG_PUT, 0, 6);
        faults_some(RIG_DELETE, 2, 4);
        if (faults_stop()) {
            result = rig_recover(&faults.rig);
        }
    }
    faults.plan = told;
    if (result != 0) {
        faults_complain("restart", result);
    } else {
        (void)rig_check_index(&faults.rig);
    }
    rig_drop(&faults.rig);
    if (sim != NULL && result == 0) {
        check_rebuild(sim, allowed);
    } else if (sim != NULL) {
        bb_sim_close(sim);
    }
    if (faults.rig.violations != before) {
        faults_complain("not what was promised", 0);
    }
}

/* ---- runs ---- */

static void reset(uint64_t seed)
{
    rig_drop(&faults.rig);
    bb_sim_close(faults.rig.sim);
    memindex_free(faults.rig.mem);
    faults.rig.sim = bb_sim_clone(base.sim);
    faults.rig.mem = memindex_clone(base.mem);
    memcpy(faults.rig.allowed, base.allowed, sizeof(faults.rig.allowed));
    memset(faults.ops, 0, sizeof(faults.ops));
    memset(faults.rig.index_uuid.bytes, 0xa5, sizeof(faults.rig.index_uuid.bytes));
    bb_sim_reseed(faults.rig.sim, seed);
    bb_random_seed(&faults.rig.random, seed);
    faults.rig.now_ms = base.now_ms;
    faults.rig.fatal = 0;
    faults.rig.index_paused = false;
    faults.rig.index_steps = 1;
    faults.rig.explain.text[0] = 0;
    faults.rig.violations = 0;
    bb_sim_set_fault(faults.rig.sim, faults_strike, NULL);
}

static void open_workload(const struct workload *workload, uint64_t seed)
{
    struct rig_config config = workload->config;
    config.seed = seed;
    config.io_errors = true;
    rig_open(&faults.rig, &config);
    faults.plan = (struct fault_plan){.at = 0};
    memset(faults.ops, 0, sizeof(faults.ops));
    int result = faults_start();
    BB_ASSERT(result == 0);
    workload->prepare();
    bool stopped = faults_stop();
    BB_ASSERT(stopped);
    base.sim = bb_sim_clone(faults.rig.sim);
    base.mem = memindex_clone(faults.rig.mem);
    memcpy(base.allowed, faults.rig.allowed, sizeof(base.allowed));
    base.now_ms = faults.rig.now_ms;
}

static void close_workload(void)
{
    rig_close(&faults.rig);
    bb_sim_close(base.sim);
    memindex_free(base.mem);
}

static void run(const struct workload *workload, uint64_t seed, const struct fault_plan *wanted)
{
    faults.plan = *wanted;
    reset(seed);
    if (faults.plan.in_index && faults_is_failure(faults.plan.way) && !faults.plan.lie) {
        memindex_fail_fold(faults.rig.mem, faults.plan.at,
                           faults_error(faults.plan.way, BB_IO_WRITE), faults.plan.way == FULLY);
    }
    int result = workload->run();
    if (faults.rig.running) {
        faults_idle(1); /* what is still on its way counts too */
    }
    if (faults.plan.in_index && faults_is_failure(faults.plan.way)) {
        faults.plan.struck = memindex_fold_count(faults.rig.mem) >= faults.plan.at;
        faults.plan.class = BB_IO_CLASS_COUNT;
        faults.plan.in_start = result != 0;
        faults.plan.ends = faults.plan.struck > 0 && result == 0;
    }
    if (faults.plan.struck > 0) {
        judge(result);
        check_afterwards(
            (enum cut)((faults.plan.at + faults.plan.way + faults.plan.span) % CUT_COUNT),
            (faults.plan.at + faults.plan.way) % 4 == 0);
    }
}

/* Once in every way; the longer spans in one way each that moves with the request. */
static bool is_chosen(uint64_t seed, uint64_t at, enum way way, enum span span)
{
    const char *env = getenv("BB_ERRORS");
    if (env != NULL && strcmp(env, "all") != 0) {
        return at == strtoull(env, NULL, 10);
    }
    return span == ONCE || env != NULL ||
           (at + seed + 3 * (uint64_t)span) % WAY_COUNT == (uint64_t)way;
}

static void run_workload(const struct workload *workload, uint64_t seed)
{
    struct fault_plan clean = {.at = 0};
    open_workload(workload, seed);
    run(workload, seed, &clean);
    uint64_t requests = faults.plan.count, folds = memindex_fold_count(faults.rig.mem),
             before = totals.runs;
    if (faults.rig.fatal != 0 || faults.rig.violations != 0) {
        faults_complain("without any error", faults.rig.fatal);
    }
    for (uint64_t at = 1; at <= requests; at++) {
        for (unsigned n = 0; n < WAY_COUNT * SPAN_COUNT; n++) {
            struct fault_plan next = {.at = at, .way = n % WAY_COUNT, .span = n / WAY_COUNT};
            if (is_chosen(seed, at, next.way, next.span)) {
                run(workload, seed, &next);
            }
        }
    }
    for (uint64_t at = 1; at <= folds; at++) {
        for (unsigned way = 0; way < WAY_COUNT; way++) {
            struct fault_plan next = {.at = at, .way = way, .in_index = true};
            if (way != PARTLY && way != SHORT) { /* a transaction is one or none */
                run(workload, seed, &next);
            }
        }
    }
    printf("errors: seed %llu: %s: %llu requests, %llu folds, %llu runs\n",
           (unsigned long long)seed, workload->name, (unsigned long long)requests,
           (unsigned long long)folds, (unsigned long long)(totals.runs - before));
    fflush(stdout);
    close_workload();
}

/* ---- canaries ---- */

/* They run first. A store that acknowledges early, and devices that do well what the judge believes
 * to have failed: as if the store had ignored the error. */
static bool canary(const char *name, unsigned early, enum way way, bool in_index)
{
    struct totals kept = totals;
    uint64_t found = 0;
    open_workload(&workloads[0], 1);
    faults.rig.config.quiet = true;
    faults.rig.config.canary_early = early;
    for (uint64_t at = 1; at < 60 && found == 0; at++) {
        struct fault_plan next = {.at = at, .way = way, .in_index = in_index, .lie = early == 0};
        faults.violations = 0;
        run(&workloads[0], 1, &next);
        found = faults.plan.in_start ? 0 : faults.violations;
    }
    close_workload();
    totals = kept;
    faults.violations = faults.failed_transfers = 0;
    printf("errors: canary: %s: %s\n", name, found > 0 ? "caught" : "MISSED");
    return found > 0;
}

static bool canaries(void)
{
    bool caught = canary("PUT acknowledged early", 1, NOT, false);
    caught &= canary("DELETE acknowledged early", 2, NOT, false);
    caught &= canary("errors ignored", 0, NOT, false);
    caught &= canary("failed folds ignored", 0, NOT, true);
    caught &= canary("acknowledged without waiting", 0, NEVER, false);
    return caught;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : pace_is_quick() ? 1 : 3;
    const char *env = getenv("BB_SEED");
    uint64_t first = argc > 2      ? strtoull(argv[2], NULL, 10)
                     : env != NULL ? strtoull(env, NULL, 10)
                                   : 1;
    bool caught = canaries();
    for (uint64_t seed = first; seed < first + seeds && faults.violations == 0; seed++) {
        for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
            run_workload(&workloads[i], seed);
        }
    }
    printf("errors: from seed %llu: %llu runs: %llu ended the store, %llu operations failed, %llu "
           "starts failed, %llu starts went on, %llu got stuck, %llu came late; %llu of all in the "
           "index; %llu violations\n",
           (unsigned long long)first, (unsigned long long)totals.runs,
           (unsigned long long)totals.fatal, (unsigned long long)faults.failed_transfers,
           (unsigned long long)totals.starts, (unsigned long long)totals.tolerated,
           (unsigned long long)totals.stuck, (unsigned long long)totals.late,
           (unsigned long long)totals.folds, (unsigned long long)faults.violations);
    return faults.violations != 0 || !caught;
}
