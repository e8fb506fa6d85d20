/* SPDX-License-Identifier: Apache-2.0
 * One I/O error at every request and fold of a script: a failed transfer of a block costs that
 * operation only, anything else ends the store, which acknowledges nothing from then on; a failed
 * start tells its error and changes nothing. Then a power cut, and the next start finds what was
 * promised.
 * usage: crash_errors [SEEDS [FIRST]]
 */
#include "rig.h"

#include "bb/err.h"
#include "naive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rig rig;

struct plan {
    uint64_t left; /* requests until the error; 0: past it */
    unsigned how;  /* 0..2: EIO, applied not, partly, fully; 3: short */
    bool struck;
    bool starting; /* it struck a recovery */
    enum bb_io_class class;
    enum bb_io_op op;
};

static struct totals {
    uint64_t runs, data, fatal, starts, tolerated, folds, violations;
} totals;

static struct bb_sim_fault strike(void *context, const struct bb_io_request *request,
                                  uint64_t number)
{
    struct plan *plan = context;
    (void)number;
    if (plan->left == 0 || --plan->left > 0) {
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    }
    plan->struck = true;
    plan->starting = !rig.running;
    plan->class = request->class;
    plan->op = request->op;
    if (plan->how == 3 && request->op != BB_IO_FLUSH) {
        return (struct bb_sim_fault){.kind = BB_SIM_SHORT};
    }
    return (struct bb_sim_fault){
        .kind = BB_SIM_FAIL, .error = -EIO, .applied = (enum bb_sim_applied)(plan->how % 3)};
}

static void complain(const struct plan *plan, uint64_t at, const char *what, int result)
{
    totals.violations++;
    fprintf(stderr,
            "errors: seed %llu, request or fold %llu, kind %u, class %d, op %d: %s: %s: %s\n",
            (unsigned long long)rig.config.seed, (unsigned long long)at, plan->how,
            (int)plan->class, (int)plan->op, what, bb_err_text(result), rig.explain.text);
}

static void some(enum rig_kind kind, uint32_t from, uint32_t to)
{
    for (uint32_t id = from; id < to && rig.fatal == 0; id++) {
        (void)rig_submit(&rig, kind, id);
        (void)rig_turn(&rig);
    }
    (void)rig_settle(&rig);
}

/* Ends early when the store fails. 0, or the error of a start. */
static int script(void)
{
    int result = rig_start(&rig);
    if (result != 0) {
        return result;
    }
    some(RIG_PUT, 0, 12);
    some(RIG_DELETE, 3, 6);
    if (rig_idle(&rig, 60) && rig_checkpoint(&rig)) {
        some(RIG_GET, 0, 12);
        (void)rig_rot(&rig, 7);
        some(RIG_GET, 6, 9);
        some(RIG_PUT, 4, 9);
        (void)rig_idle(&rig, 60);
    }
    if (rig.fatal != 0 || rig_stop(&rig) != 0) {
        return 0;
    }
    result = rig_start(&rig);
    if (result == 0) {
        some(RIG_PUT, 12, 16);
        (void)rig_checkpoint(&rig);
    }
    return result;
}

/* The store went on, or failed as rule 7 says. */
static void judge(const struct plan *plan, uint64_t at, int result)
{
    bool data = plan->struck && plan->class == BB_IO_DATA;
    if (result != 0) {
        totals.starts++;
        if (!plan->starting) {
            complain(plan, at, "a start failed long after the error", result);
        }
    } else if (plan->starting && plan->op == BB_IO_READ) {
        totals.tolerated++; /* one copy of four, one slot of two, a ring unit that says nothing */
    } else if (data) {
        totals.data++;
        if (rig.fatal != 0) {
            complain(plan, at, "a failed transfer of a block ended the store", rig.fatal);
        }
    } else if (rig.fatal == 0) {
        complain(plan, at, "the store went on", 0);
    } else {
        totals.fatal++;
        for (unsigned i = 0; i < RIG_OP_MAX; i++) {
            for (unsigned turn = 0; turn < 20 && rig.ops[i].busy; turn++) {
                (void)rig_turn(&rig);
            }
            if (rig.ops[i].busy) {
                complain(plan, at, "somebody still waits", 0);
            }
        }
    }
}

static void crash_and_check(const struct plan *plan, uint64_t at)
{
    rig_drop(&rig);
    struct memindex *after = memindex_clone(rig.mem);
    memindex_free(rig.mem);
    rig.mem = after;
    bb_sim_set_fault(rig.sim, NULL, NULL);
    bb_sim_power_cut(rig.sim, bb_sim_choose_random, &rig.random);
    struct bb_sim *sim = bb_sim_clone(rig.sim);
    int result = rig_start(&rig);
    if (result != 0) {
        complain(plan, at, "start", result);
    } else {
        (void)rig_check(&rig);
        some(RIG_PUT, 0, 10);
        result = rig_stop(&rig);
        if (result != 0) {
            complain(plan, at, "clean stop", result);
        }
    }
    rig_drop(&rig);
    bb_sim_close(rig.sim); /* once more, with the index lost */
    rig.sim = sim;
    memindex_wipe(rig.mem);
    result = rig_rebuild(&rig);
    if (result != 0) {
        complain(plan, at, "rebuild", result);
    }
    totals.violations += rig.violations;
}

static void open_rig(uint64_t seed)
{
    struct rig_config config = {
        .seed = seed, .slice_max = 8, .io_errors = true, .size_max = 9000, .id_count = 20};
    rig_open(&rig, &config);
}

/* True when the script was over before the error struck. */
static bool run_with_io_error(uint64_t seed, uint64_t at, unsigned how)
{
    struct plan plan = {.left = at, .how = how};
    open_rig(seed);
    bb_sim_set_fault(rig.sim, strike, &plan);
    int result = script();
    bool over = !plan.struck;
    if (!over) {
        totals.runs++;
        judge(&plan, at, result);
        crash_and_check(&plan, at);
    }
    rig_close(&rig);
    return over;
}

static bool run_with_fold_error(uint64_t seed, uint64_t at, bool applied)
{
    struct plan plan = {.how = applied};
    open_rig(seed);
    memindex_fail_fold(rig.mem, at, -EIO, applied);
    int result = script();
    bool over = memindex_fold_count(rig.mem) < at;
    if (!over) {
        totals.runs++;
        totals.folds++;
        plan.struck = true;
        plan.starting = !rig.running;
        plan.class = BB_IO_CLASS_COUNT;
        judge(&plan, at, result);
        crash_and_check(&plan, at);
    }
    rig_close(&rig);
    return over;
}

/* Canary: an oracle that believes in a PUT at once must be disappointed by some error. */
static bool canary(void)
{
    uint64_t found = 0;
    for (uint64_t at = 1; at < 60 && found == 0; at++) {
        struct plan plan = {.left = at};
        open_rig(1);
        rig.config.quiet = true;
        rig.config.canary_early = 1;
        bb_sim_set_fault(rig.sim, strike, &plan);
        if (script() == 0 && rig.fatal != 0) {
            rig_drop(&rig);
            bb_sim_power_cut(rig.sim, bb_sim_choose_none, NULL);
            bb_sim_set_fault(rig.sim, NULL, NULL);
            found = rig_recover(&rig) != 0 || rig_check_index(&rig) > 0;
        }
        rig_close(&rig);
    }
    printf("errors: canary: PUT acknowledged early: %s\n", found > 0 ? "caught" : "MISSED");
    return found > 0;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 8;
    const char *env = getenv("BB_SEED");
    uint64_t first = argc > 2      ? strtoull(argv[2], NULL, 10)
                     : env != NULL ? strtoull(env, NULL, 10)
                                   : 1;
    bool caught = canary();
    for (uint64_t seed = first; seed < first + seeds && totals.violations == 0; seed++) {
        for (unsigned how = 0; how < 4; how++) {
            for (uint64_t at = 1; !run_with_io_error(seed, at, how); at++) {
            }
        }
        for (unsigned applied = 0; applied < 2; applied++) {
            for (uint64_t at = 1; !run_with_fold_error(seed, at, applied == 1); at++) {
            }
        }
    }
    printf("errors: from seed %llu: %llu runs: %llu ended the store, %llu cost one operation, %llu "
           "a start, %llu nothing; %llu of them in the index; %llu violations\n",
           (unsigned long long)first, (unsigned long long)totals.runs,
           (unsigned long long)totals.fatal, (unsigned long long)totals.data,
           (unsigned long long)totals.starts, (unsigned long long)totals.tolerated,
           (unsigned long long)totals.folds, (unsigned long long)totals.violations);
    return totals.violations != 0 || !caught;
}
