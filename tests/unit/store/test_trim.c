/* SPDX-License-Identifier: Apache-2.0
 * Trim: what is discarded, when, and what is left alone.
 */
#include "bench.h"

#include "bb/random.h"

/* One request for a discard as the device got it. */
struct seen_discard {
    uint64_t unit, count;
};

static struct {
    struct seen_discard all[4096];
    unsigned count;
    struct bb_sim_fault next; /* of the discards from now on */
} seen;

static struct bb_sim_fault note(void *context, const struct bb_io_request *request, uint64_t number)
{
    (void)context;
    (void)number;
    if (request->op != BB_IO_DISCARD)
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    assert_true(seen.count < 4096);
    seen.all[seen.count++] = (struct seen_discard){.unit = request->offset / BB_UNIT_SIZE,
                                                   .count = request->size / BB_UNIT_SIZE};
    return seen.next;
}

static void open_trimming(struct rig_config config)
{
    config.seed = config.seed != 0 ? config.seed : 1;
    config.trims = true;
    bench_open(&config);
    memset(&seen, 0, sizeof(seen));
    bb_sim_set_fault(rig.sim, note, NULL);
}

static struct bb_trim_status status(void)
{
    return rig_status(&rig).trim;
}

static bool was_discarded(uint64_t unit)
{
    for (unsigned i = 0; i < seen.count; i++)
        if (unit >= seen.all[i].unit && unit < seen.all[i].unit + seen.all[i].count)
            return true;
    return false;
}

static uint64_t discarded_units(void)
{
    uint64_t units = 0;
    for (unsigned i = 0; i < seen.count; i++)
        units += seen.all[i].count;
    return units;
}

static uint64_t whole_pass(void)
{
    uint64_t passes = status().passes;
    seen.count = 0;
    assert_int_equal(rig_trim(&rig), 0);
    for (unsigned turns = 0; status().passes == passes; turns++) {
        assert_true(turns < 1000000);
        (void)rig_turn(&rig);
    }
    assert_int_equal(status().state, BB_TRIM_OFF);
    return discarded_units();
}

static void an_empty_store_is_discarded_whole_and_once(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.port_count = 1});
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0); /* a zone is open */
    assert_int_equal(rig_do(&rig, RIG_DELETE, 1), 0);
    assert_true(rig_idle(&rig, 100));
    uint64_t total = bb_buddy_total_units(rig.buddy);
    uint64_t units = whole_pass();
    assert_true(units > total / 2); /* the pools of the port have the rest */
    assert_true(units <= total);
    assert_int_equal(status().bytes, units * BB_UNIT_SIZE);
    assert_int_equal(status().done_units, status().all_units);
    assert_int_equal(whole_pass(), 0);
    bench_verify_balance();
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_is_discarded_whole_and_once),
    };
    (void)was_discarded;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
