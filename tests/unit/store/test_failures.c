/* SPDX-License-Identifier: Apache-2.0
 * Rule 7 of the engine over the simulated device: what a failed I/O leads to.
 */
#include "bench.h"

static const struct rig_config plain = {.seed = 1};

static void a_failed_data_write_is_quarantined_until_restart(void **state)
{
    (void)state;
    const struct {
        struct bb_sim_fault fault;
        int result;
    } cases[] = {
        {{.kind = BB_SIM_FAIL, .error = -EIO, .applied = BB_SIM_PARTLY}, BB_ERR_IO},
        {{.kind = BB_SIM_FAIL, .error = -ENOSPC}, BB_ERR_NO_SPACE},
        {{.kind = BB_SIM_SHORT}, BB_ERR_IO},
    };
    struct rig_config config = {.seed = 1, .io_errors = true, .size_fixed = 9000};
    bench_open(&config);
    struct plan plan = {.class = BB_IO_DATA, .op = BB_IO_WRITE};
    bench_plan(&plan);
    for (unsigned i = 0; i < 3; i++) {
        plan.fault = cases[i].fault;
        plan.countdown = 1;
        assert_int_equal(rig_do(&rig, RIG_PUT, i), cases[i].result);
        assert_int_equal(rig_status(&rig).quarantined_units, 4 * (i + 1));
        assert_int_equal(rig_do(&rig, RIG_GET, i), -ENOENT);
        bench_verify_balance();
    }
    assert_int_equal(rig_do(&rig, RIG_PUT, 0), 0); /* into another extent */
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_status(&rig).quarantined_units, 0);
    assert_int_equal(bb_buddy_free_units(rig.buddy), bb_buddy_total_units(rig.buddy) - 3);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

/* Blocks 0..9 are stored and folded, then operations run until the planned fault strikes; then: the
 * waiting get 503, nothing is acknowledged or written any more, the restart finds what was
 * promised.
 */
static void run_into(struct plan *plan)
{
    struct rig_config config = {.seed = 1, .io_errors = true, .device_size = 60 * BB_MIB};
    bench_open(&config);
    for (uint32_t id = 0; id < 10; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
    bench_plan(plan);
    for (unsigned step = 0; step < 4000 && rig.fatal == 0; step++) {
        uint32_t id = (uint32_t)bb_random_below(&rig.random, 64);
        (void)rig_submit(&rig, bb_random_below(&rig.random, 2) == 0 ? RIG_PUT : RIG_DELETE, id);
        if (step % 40 == 0)
            bb_store_checkpoint(rig.store);
        (void)rig_turn(&rig);
    }
    assert_int_not_equal(rig.fatal, 0);
    assert_int_equal(plan->hits, 1);
    assert_false(rig_status(&rig).writable);
    uint64_t flushes = bb_sim_get_counts(rig.sim)->submitted[BB_IO_BARRIER][BB_IO_FLUSH];
    uint64_t records = bb_sim_get_counts(rig.sim)->submitted[BB_IO_JOURNAL][BB_IO_WRITE];
    uint64_t folds = memindex_fold_count(rig.mem);
    static struct call put, remove;
    call_put(&put, 60, bench_buffer());
    call_delete(&remove, 61);
    bench_turns(100);
    assert_true(put.done && put.request.result == BB_ERR_FATAL);
    assert_true(remove.done && remove.request.result == BB_ERR_FATAL);
    for (unsigned i = 0; i < RIG_OP_MAX; i++)
        assert_false(rig.ops[i].busy);
    assert_int_equal(bb_sim_get_counts(rig.sim)->submitted[BB_IO_BARRIER][BB_IO_FLUSH], flushes);
    assert_int_equal(bb_sim_get_counts(rig.sim)->submitted[BB_IO_JOURNAL][BB_IO_WRITE], records);
    assert_in_range(memindex_fold_count(rig.mem), folds, folds + 1);
    free(put.request.buf);
    bench_plan(NULL);
    rig_drop(&rig);
    bb_sim_power_cut(rig.sim, bb_sim_choose_random, &rig.random);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void a_failed_journal_write_ends_the_store(void **state)
{
    (void)state;
    struct plan plan = plan_fail(BB_IO_JOURNAL, BB_IO_WRITE, -EIO);
    for (unsigned applied = 0; applied < 3; applied++) {
        plan.countdown = 5 + applied;
        plan.hits = 0;
        plan.fault.applied = (enum bb_sim_applied)applied;
        run_into(&plan);
        assert_int_equal(rig.fatal, 0);
    }
}

static void a_short_journal_write_ends_the_store(void **state)
{
    (void)state;
    struct plan plan = {
        .class = BB_IO_JOURNAL, .op = BB_IO_WRITE, .countdown = 3, .fault = {.kind = BB_SIM_SHORT}};
    run_into(&plan);
}

static void a_failed_flush_ends_the_store_and_is_not_tried_again(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 12; n++) {
        struct plan plan = plan_fail(BB_IO_BARRIER, BB_IO_FLUSH, -EIO);
        plan.countdown = n;
        run_into(&plan);
    }
}

static void a_failed_descriptor_write_ends_the_store(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 40; n += 6) {
        struct plan plan = plan_fail(BB_IO_DESCRIPTOR, BB_IO_WRITE, -EIO);
        plan.countdown = n;
        plan.fault.applied = BB_SIM_PARTLY;
        run_into(&plan);
    }
}

static void a_failed_descriptor_read_ends_the_store(void **state)
{
    (void)state;
    struct plan plan = plan_fail(BB_IO_DESCRIPTOR, BB_IO_READ, -EIO);
    plan.countdown = 4;
    run_into(&plan);
}

static void a_failed_commit_of_the_index_ends_the_store(void **state)
{
    (void)state;
    for (unsigned applied = 0; applied < 2; applied++) {
        struct rig_config config = {.seed = 1, .slice_max = 8};
        bench_open(&config);
        for (uint32_t id = 0; id < 30; id++)
            assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        memindex_fail_fold(rig.mem, 2, -EIO, applied == 1);
        assert_false(rig_checkpoint(&rig));
        assert_int_equal(rig.fatal, -EIO);
        rig_drop(&rig);
        struct memindex *after = memindex_clone(rig.mem);
        memindex_free(rig.mem);
        rig.mem = after;
        bb_sim_kill(rig.sim);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_check(&rig), 0);
        bench_close();
    }
}

/* The restart rewrites it from the index, so the store does not end up in a circle. */
static void a_rotten_descriptor_slot_ends_the_store_and_the_restart_repairs_it(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < 2; slot++) {
        bench_open(&plain);
        for (uint32_t id = 0; id < 30; id++)
            assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        assert_true(rig_checkpoint(&rig));
        struct bb_zone zone = bb_layout_zone(&rig.recovered.super.layout, 0);
        uint8_t rot = 0xaa;
        bb_sim_poke(rig.sim, (slot == 0 ? zone.slot_a_offset : zone.slot_b_offset) + 1000, &rot, 1);
        for (uint32_t id = 30; id < 60; id++)
            assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        assert_int_equal(rig_do(&rig, RIG_DELETE, 3), 0);
        assert_false(rig_checkpoint(&rig));
        assert_int_equal(rig.fatal, BB_ERR_DAMAGED);
        rig_drop(&rig);
        bb_sim_kill(rig.sim);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_check(&rig), 0);
        assert_int_equal(rig_do(&rig, RIG_DELETE, 5), 0);
        assert_true(rig_checkpoint(&rig));
        bench_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_data_write_is_quarantined_until_restart),
        cmocka_unit_test(a_failed_journal_write_ends_the_store),
        cmocka_unit_test(a_short_journal_write_ends_the_store),
        cmocka_unit_test(a_failed_flush_ends_the_store_and_is_not_tried_again),
        cmocka_unit_test(a_failed_descriptor_write_ends_the_store),
        cmocka_unit_test(a_failed_descriptor_read_ends_the_store),
        cmocka_unit_test(a_failed_commit_of_the_index_ends_the_store),
        cmocka_unit_test(a_rotten_descriptor_slot_ends_the_store_and_the_restart_repairs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
