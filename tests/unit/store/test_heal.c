/* SPDX-License-Identifier: Apache-2.0
 * Wrong bytes: noticed by a read, marked, refused, healed by the next PUT into a new extent.
 */
#include "bench.h"

static const struct rig_config plain = {.seed = 1, .size_fixed = 6000};

/* Ids 1 to 9 stored and their watermark on disk, id 5 rotten. */
static uint64_t open_rotten(void)
{
    bench_open(&plain);
    for (uint32_t id = 1; id < 10; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_idle(&rig, 100));
    uint64_t unit = rig.unit[5];
    assert_true(rig_rot(&rig, 5));
    return unit;
}

static void rot_is_marked_refused_and_healed(void **state)
{
    (void)state;
    uint64_t unit = open_rotten();
    uint64_t used = rig_status(&rig).used_units;
    assert_int_equal(rig_do(&rig, RIG_PUT, 5), 1); /* nobody knows yet */
    assert_int_equal(rig_do(&rig, RIG_GET, 5), 0); /* wrong bytes, seen and marked by the rig */
    assert_int_equal(rig.allowed[5], RIG_MARKED);
    assert_int_equal(rig_do(&rig, RIG_GET, 5), BB_ERR_CORRUPT);
    assert_int_equal(rig_do(&rig, RIG_HEAD, 5), BB_ERR_CORRUPT);
    assert_int_equal(rig_do(&rig, RIG_PUT, 5), 0); /* created anew, not a duplicate */
    assert_int_not_equal(rig.unit[5], unit);
    assert_int_equal(rig_do(&rig, RIG_GET, 5), 0);
    assert_int_equal(rig.allowed[5], RIG_PRESENT);
    assert_int_equal(rig_status(&rig).used_units, used);
    assert_int_equal(rig_status(&rig).block_count, 9);
    assert_int_equal(rig_status(&rig).heals, 1);
    assert_int_equal(rig_status(&rig).marks, 1);
    assert_true(bb_buddy_is_used(rig.buddy, rig.unit[5], 2));
    bench_verify_balance();
    bench_close();
}

static void mark_and_heal_survive_checkpoints_and_restarts(void **state)
{
    (void)state;
    for (unsigned when = 0; when < 8; when++) {
        (void)open_rotten();
        assert_int_equal(rig_do(&rig, RIG_GET, 5), 0);
        if ((when & 1) != 0)
            assert_true(rig_checkpoint(&rig));
        if ((when & 2) != 0) {
            rig_drop(&rig);
            bb_sim_kill(rig.sim);
            assert_int_equal(rig_start(&rig), 0);
        }
        assert_int_equal(rig_do(&rig, RIG_GET, 5), BB_ERR_CORRUPT);
        assert_int_equal(rig_do(&rig, RIG_PUT, 5), 0);
        if ((when & 4) != 0)
            assert_true(rig_checkpoint(&rig));
        assert_int_equal(rig_do(&rig, RIG_GET, 5), 0);
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_check(&rig), 0);
        assert_int_equal(rig_status(&rig).block_count, 9);
        bench_close();
    }
}

static void a_marked_block_can_be_deleted(void **state)
{
    (void)state;
    (void)open_rotten();
    assert_int_equal(rig_do(&rig, RIG_GET, 5), 0);
    assert_int_equal(rig_do(&rig, RIG_DELETE, 5), 0);
    assert_int_equal(rig_do(&rig, RIG_GET, 5), -ENOENT);
    assert_int_equal(rig_status(&rig).block_count, 8);
    bench_verify_balance();
    bench_close();
}

static void marking(struct call *call, uint32_t id, uint64_t unit)
{
    call_id(call, id);
    call->request.op.unit = unit;
    bb_port_mark(call->port, &call->request);
}

static void a_mark_for_another_extent_changes_nothing(void **state)
{
    (void)state;
    uint64_t unit = open_rotten();
    static struct call call;
    marking(&call, 5, unit + 2);
    assert_int_equal(call_wait(&call), -ENOENT);
    marking(&call, 40, unit);
    assert_int_equal(call_wait(&call), -ENOENT);
    assert_int_equal(bench_lookup(5), 0);
    marking(&call, 5, unit);
    assert_int_equal(call_wait(&call), 0);
    assert_int_equal(bench_lookup(5), BB_ERR_CORRUPT);
    uint64_t windows = rig_status(&rig).windows;
    marking(&call, 5, unit); /* once more: nothing to write */
    assert_int_equal(call_wait(&call), 0);
    assert_int_equal(rig_status(&rig).windows, windows);
    rig.allowed[5] = RIG_MARKED;
    bench_close();
}

static void many_readers_that_notice_at_once_mark_once(void **state)
{
    (void)state;
    uint64_t unit = open_rotten();
    static struct call calls[20];
    for (unsigned i = 0; i < 20; i++)
        marking(&calls[i], 5, unit);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(call_wait(&calls[i]), 0);
    assert_int_equal(rig_status(&rig).marks, 1);
    rig.allowed[5] = RIG_MARKED;
    bench_close();
}

static void many_puts_of_a_marked_block_heal_it_once(void **state)
{
    (void)state;
    (void)open_rotten();
    assert_int_equal(rig_do(&rig, RIG_GET, 5), 0);
    static struct call calls[20];
    for (unsigned i = 0; i < 20; i++)
        call_put(&calls[i], 5, bench_buffer());
    unsigned created = 0;
    for (unsigned i = 0; i < 20; i++) {
        created += call_wait(&calls[i]) == 0;
        free(calls[i].request.buf);
    }
    assert_int_equal(created, 1);
    assert_int_equal(rig_status(&rig).heals, 1);
    assert_int_equal(rig_status(&rig).used_units, 18);
    rig.allowed[5] = RIG_PRESENT;
    assert_int_equal(rig_check(&rig), 0);
    bench_verify_balance();
    bench_close();
}

static struct bb_sim_fate lose_data(void *unused, const struct bb_sim_write *write)
{
    (void)unused;
    return (struct bb_sim_fate){.part =
                                    write->class == BB_IO_DATA ? BB_SIM_ABSENT : BB_SIM_COMPLETE};
}

static struct bb_sim_fate lose_records(void *unused, const struct bb_sim_write *write)
{
    (void)unused;
    return (struct bb_sim_fate){.part = write->class == BB_IO_JOURNAL ? BB_SIM_ABSENT
                                                                      : BB_SIM_COMPLETE};
}

/* The record of the heal reaches the medium, its data or itself does not: the mark is kept, and the
 * old unit. */
static void a_heal_that_a_power_cut_undoes_leaves_the_mark(void **state)
{
    (void)state;
    bb_sim_chooser choosers[] = {lose_data, lose_records};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t unit = open_rotten();
        assert_int_equal(rig_do(&rig, RIG_GET, 5), 0);
        assert_true(rig_idle(&rig, 100));
        struct plan plan = {.class = BB_IO_BARRIER,
                            .op = BB_IO_FLUSH,
                            .countdown = 1,
                            .fault = {.kind = BB_SIM_HANG}};
        bench_plan(&plan);
        struct rig_op *put = rig_submit(&rig, RIG_PUT, 5);
        bench_turns(50);
        assert_true(put->busy && plan.hits == 1);
        assert_int_equal(bench_lookup(5), BB_ERR_CORRUPT); /* at D it is still marked */
        bench_plan(NULL);
        rig_drop(&rig);
        bb_sim_power_cut(rig.sim, choosers[i], NULL);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig.recovered.report.dropped, i == 0);
        static struct call call;
        call_lookup(&call, 5, 0);
        assert_int_equal(call_wait(&call), BB_ERR_CORRUPT);
        assert_int_equal(call.request.op.unit, unit);
        assert_int_equal(rig_do(&rig, RIG_PUT, 5), 0);
        assert_int_equal(rig_check(&rig), 0);
        bench_verify_balance();
        bench_close();
    }
}

static void a_reader_of_the_rotten_extent_keeps_it_through_the_heal(void **state)
{
    (void)state;
    uint64_t unit = open_rotten();
    static struct call reader;
    call_lookup(&reader, 5, BB_OP_PIN);
    assert_int_equal(call_wait(&reader), 0);
    assert_int_equal(rig_do(&rig, RIG_GET, 5), 0);
    assert_int_equal(rig_do(&rig, RIG_PUT, 5), 0);
    assert_true(bb_buddy_is_used(rig.buddy, unit, 2));
    bb_port_unpin(reader.port, &reader.request);
    assert_true(rig_idle(&rig, 0));
    assert_int_equal(rig_status(&rig).used_units, 18);
    bench_verify_balance();
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rot_is_marked_refused_and_healed),
        cmocka_unit_test(mark_and_heal_survive_checkpoints_and_restarts),
        cmocka_unit_test(a_marked_block_can_be_deleted),
        cmocka_unit_test(a_mark_for_another_extent_changes_nothing),
        cmocka_unit_test(many_readers_that_notice_at_once_mark_once),
        cmocka_unit_test(many_puts_of_a_marked_block_heal_it_once),
        cmocka_unit_test(a_heal_that_a_power_cut_undoes_leaves_the_mark),
        cmocka_unit_test(a_reader_of_the_rotten_extent_keeps_it_through_the_heal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
