/* SPDX-License-Identifier: Apache-2.0
 * The engine against a naive model: seeded random operations with checkpoints, ring wraps, idle
 * times, clean stops, kills and power cuts between, until OPS operations were answered.
 * usage: crash_model [OPS [SEED]]     (BB_SEED also gives the seed)
 */
#include "rig.h"

#include "bb/err.h"
#include "pace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rig the_rig;

struct totals {
    uint64_t ops, starts, cuts, kills, stops, checkpoints, windows, wraps, zones, heals, marks,
        rots, drops;
    uint64_t violations;
};

static bool random_op(struct rig *rig)
{
    uint64_t dice = bb_random_below(&rig->random, 100);
    uint32_t id = (uint32_t)bb_random_below(&rig->random, rig->config.id_count);
    enum rig_kind kind = dice < 40   ? RIG_PUT
                         : dice < 63 ? RIG_DELETE
                         : dice < 65 ? RIG_ABORT
                         : dice < 90 ? RIG_GET
                                     : RIG_HEAD;
    return rig_submit(rig, kind, id) != NULL;
}

static void add_status(struct rig *rig, struct totals *totals)
{
    struct bb_store_status status;
    bb_store_get_status(rig->store, &status);
    bb_store_verify(rig->store);
    totals->checkpoints += status.checkpoints;
    totals->windows += status.windows;
    totals->wraps += status.windows / status.journal_units;
    totals->heals += status.heals;
    totals->marks += status.marks;
    if (status.open_zone_count > totals->zones) {
        totals->zones = status.open_zone_count;
    }
}

/* The process or the machine ends in the middle of what is going on. */
static void end_badly(struct rig *rig, struct totals *totals)
{
    if (bb_random_below(&rig->random, 2) == 0) {
        bb_sim_cut_at(rig->sim, 1 + bb_random_below(&rig->random, 40));
        for (unsigned turn = 0; turn < 400 && !bb_sim_is_dead(rig->sim); turn++) {
            (void)random_op(rig);
            (void)rig_turn(rig);
            rig->now_ms += bb_random_below(&rig->random, 30);
        }
        if (!bb_sim_is_dead(rig->sim)) {
            bb_sim_cut_at(rig->sim, 0);
        }
    }
    rig_drop(rig);
    struct memindex *after = memindex_clone(rig->mem);
    memindex_free(rig->mem);
    rig->mem = after;
    if (bb_random_below(&rig->random, 3) == 0) {
        bb_sim_kill(rig->sim);
        totals->kills++;
    } else {
        struct bb_random chooser;
        bb_random_seed(&chooser, bb_random_next(&rig->random));
        bb_sim_power_cut(rig->sim, bb_sim_choose_random, &chooser);
        totals->cuts++;
    }
}

/* Now and then a block cannot be written. */
static struct bb_sim_fault fail_data(void *context, const struct bb_io_request *request,
                                     uint64_t number)
{
    struct rig *rig = context;
    (void)number;
    if (request->class != BB_IO_DATA || request->op != BB_IO_WRITE || !rig->running ||
        bb_random_below(&rig->random, 1000) > 0) {
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    }
    return (struct bb_sim_fault){.kind = bb_random_below(&rig->random, 2) == 0 ? BB_SIM_FAIL
                                                                               : BB_SIM_SHORT,
                                 .error = -EIO,
                                 .applied = BB_SIM_PARTLY};
}

/* What happens besides operations. */
static void disturb(struct rig *rig, struct totals *totals)
{
    rig->now_ms += bb_random_below(&rig->random, 200) == 0 ? 60 : 0;
    if (bb_random_below(&rig->random, 3000) == 0) {
        bb_store_checkpoint(rig->store);
    }
    if (bb_random_below(&rig->random, 20000) == 0 && !rig->index_paused && !rig->queue_full) {
        (void)rig_idle(rig, 6000);
    }
    if (bb_random_below(&rig->random, 100) == 0) {
        uint32_t id = (uint32_t)bb_random_below(&rig->random, rig->config.id_count);
        totals->rots += rig_rot(rig, id);
    }
    if (bb_random_below(&rig->random, rig->queue_full ? 10 : 500) == 0) {
        rig->queue_full = !rig->queue_full;
    }
    if (bb_random_below(&rig->random, rig->index_paused ? 100 : 2000) == 0) {
        rig->index_paused = !rig->index_paused;
    }
}

static void run_life(struct rig *rig, uint64_t ops, struct totals *totals)
{
    uint64_t end = rig->acked + ops;
    while (rig->acked < end && rig->fatal == 0) {
        for (uint64_t burst = bb_random_below(&rig->random, 6); burst > 0; burst--) {
            (void)random_op(rig);
        }
        (void)rig_turn(rig);
        disturb(rig, totals);
    }
    BB_ASSERT(rig->fatal == 0);
    rig->queue_full = rig->index_paused = false;
    if (bb_random_below(&rig->random, 4) == 0) {
        (void)rig_settle(rig);
        (void)rig_idle(rig, 0);
        (void)rig_balance(rig);
    }
    add_status(rig, totals);
}

/* Large and small, roomy and full: device, index, ring and delta each run short somewhere. */
static struct rig_config random_config(uint64_t seed)
{
    struct bb_random random;
    bb_random_seed(&random, seed);
    struct rig_config config = {
        .seed = seed,
        .id_count = 16 + (uint32_t)bb_random_below(&random, 600),
        .size_max = bb_random_below(&random, 3) == 0 ? 200000 : 9000,
        .port_count = 1 + (uint32_t)bb_random_below(&random, RIG_PORT_MAX),
        .fault_percent = bb_random_below(&random, 2) == 0 ? 0 : 20,
        .slice_max = 16 + (uint32_t)bb_random_below(&random, 200),
        .memory = 512 * 1024 + bb_random_below(&random, 1 << 20),
        .in_order = bb_random_below(&random, 4) == 0,
        .io_errors = bb_random_below(&random, 3) == 0,
    };
    config.device_size = bb_random_below(&random, 3) == 0 ? BB_DEVICE_SIZE_MIN : 40 * BB_MIB;
    config.index_capacity = bb_random_below(&random, 4) == 0 ? config.id_count / 3 : 0;
    return config;
}

static void run_store(uint64_t seed, uint64_t ops, struct totals *totals)
{
    struct rig *rig = &the_rig;
    struct rig_config config = random_config(seed);
    rig_open(rig, &config);
    if (config.io_errors) {
        bb_sim_set_fault(rig->sim, fail_data, rig);
    }
    while (rig->acked < ops) {
        int result = rig_start(rig);
        if (result != 0) {
            printf("seed %llu: start failed: %s: %s\n", (unsigned long long)seed,
                   bb_err_text(result), rig->explain.text);
            totals->violations++;
            break;
        }
        totals->starts++;
        totals->drops += rig->recovered.report.dropped;
        totals->violations += rig_check(rig);
        run_life(rig, 200 + bb_random_below(&rig->random, 8000), totals);
        if (bb_random_below(&rig->random, 4) == 0) {
            result = rig_stop(rig);
            BB_ASSERT(result == 0);
            totals->stops++;
        } else {
            end_badly(rig, totals);
        }
    }
    totals->ops += rig->acked;
    totals->violations += rig->violations;
    rig_close(rig);
}

int main(int argc, char **argv)
{
    uint64_t ops = argc > 1 ? strtoull(argv[1], NULL, 10) : pace_is_quick() ? 200000 : 1000000;
    const char *env = getenv("BB_SEED");
    uint64_t seed = argc > 2      ? strtoull(argv[2], NULL, 10)
                    : env != NULL ? strtoull(env, NULL, 10)
                                  : 1;
    struct totals totals = {0};
    printf("model: seed %llu\n", (unsigned long long)seed);
    while (totals.ops < ops && totals.violations == 0) {
        uint64_t left = ops - totals.ops;
        run_store(seed++, left < 50000 ? left : 50000, &totals);
    }
    printf("model: %llu operations, %llu starts, %llu power cuts, %llu kills, %llu clean stops, "
           "%llu checkpoints, %llu windows, %llu zones at most, %llu rots, %llu marks, %llu heals, "
           "%llu dropped\n",
           (unsigned long long)totals.ops, (unsigned long long)totals.starts,
           (unsigned long long)totals.cuts, (unsigned long long)totals.kills,
           (unsigned long long)totals.stops, (unsigned long long)totals.checkpoints,
           (unsigned long long)totals.windows, (unsigned long long)totals.zones,
           (unsigned long long)totals.rots, (unsigned long long)totals.marks,
           (unsigned long long)totals.heals, (unsigned long long)totals.drops);
    printf("model: %llu violations\n", (unsigned long long)totals.violations);
    return totals.violations != 0;
}
