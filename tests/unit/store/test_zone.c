/* SPDX-License-Identifier: Apache-2.0
 * Zones are opened one after the other while the store runs, and a zone is used only when its pages
 * and the new count are durable.
 */
#include "bench.h"

#define ZONE_UNITS 512u /* 4 MiB: 1 MiB of slots, 2 MiB of data, 1 MiB of slots */

static const struct rig_config plain = {
    .seed = 1, .id_count = 4000, .size_fixed = 9000, .device_size = 40 * BB_MIB};

static uint64_t super_writes(void)
{
    return bb_sim_get_counts(rig.sim)->submitted[BB_IO_SUPER][BB_IO_WRITE];
}

static void a_fresh_store_opens_its_first_zone_by_itself(void **state)
{
    (void)state;
    bench_open(&plain);
    assert_int_equal(rig_status(&rig).open_zone_count, 0);
    assert_true(rig_idle(&rig, 0));
    assert_int_equal(rig_status(&rig).open_zone_count, 1);
    assert_int_equal(bb_buddy_total_units(rig.buddy), ZONE_UNITS);
    assert_int_equal(bb_buddy_free_units(rig.buddy), ZONE_UNITS);
    bench_close();
}

static void a_first_block_waits_for_the_first_zone(void **state)
{
    (void)state;
    bench_open(&plain);
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
    assert_int_equal(rig_status(&rig).open_zone_count, 1);
    bench_verify_balance();
    bench_close();
}

static void zones_open_in_order_until_the_device_is_full(void **state)
{
    (void)state;
    struct rig_config config = plain;
    config.size_fixed = 16384; /* leaves no tails between the blocks */
    bench_open(&config);
    uint32_t zones = rig_status(&rig).zone_count, id = 0;
    assert_int_equal(zones, 5);
    int result = 0;
    uint32_t open = 0;
    for (; result == 0; id++) {
        result = rig_do(&rig, RIG_PUT, id);
        uint32_t now = rig_status(&rig).open_zone_count;
        assert_true(now == open || now == open + 1);
        open = now;
        /* the next zone is opened when no 1 MiB extent is whole any more, not earlier */
        assert_true(rig_status(&rig).used_units + 2 * ZONE_UNITS >=
                    bb_buddy_total_units(rig.buddy));
    }
    assert_int_equal(result, BB_ERR_NO_SPACE);
    assert_int_equal(open, zones);
    assert_int_equal(bb_buddy_total_units(rig.buddy), rig_status(&rig).total_units);
    bench_verify_balance();
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_status(&rig).open_zone_count, zones);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void both_slots_of_every_page_are_valid_in_an_open_zone(void **state)
{
    (void)state;
    bench_open(&plain);
    for (uint32_t id = 0; id < 200; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_int_equal(rig_stop(&rig), 0);
    const struct bb_layout *layout = &rig.recovered.super.layout;
    uint32_t open = 2; /* 200 blocks of 3 units */
    uint64_t blocks = 0;
    for (uint64_t page = 0; page < bb_layout_pages(layout, open); page++) {
        struct bb_page_header header[2];
        static struct bb_disk_page slot[2];
        for (unsigned i = 0; i < 2; i++) {
            bb_sim_peek(rig.sim, bb_layout_slot_offset(layout, page, i), &slot[i], BB_UNIT_SIZE);
            assert_int_equal(bb_page_check(&slot[i], &rig.recovered.super.store, page, &header[i]),
                             0);
        }
        assert_int_not_equal(header[0].generation, header[1].generation);
        unsigned newer = header[1].generation > header[0].generation;
        for (uint32_t entry = 0; entry < BB_PAGE_ENTRY_COUNT; entry++) {
            struct bb_entry found;
            blocks += bb_entry_get(&slot[newer], entry, &found) == 1;
        }
    }
    assert_int_equal(blocks, 200);
    bench_close();
}

static void a_zone_is_not_used_before_the_superblocks_say_so(void **state)
{
    (void)state;
    bench_open(&plain);
    struct plan plan = {.class = BB_IO_SUPER,
                        .op = BB_IO_WRITE,
                        .countdown = 1,
                        .fault = {.kind = BB_SIM_LATE, .polls = 300}};
    bench_plan(&plan);
    uint64_t before = super_writes();
    struct rig_op *put = rig_submit(&rig, RIG_PUT, 1);
    bench_turns(250);
    assert_int_equal(plan.hits, 1);
    assert_true(put->busy);
    assert_int_equal(bb_buddy_total_units(rig.buddy), 0);
    assert_true(rig_settle(&rig));
    assert_int_equal(super_writes(), before + 4);
    bench_close();
}

static void the_pairs_of_superblocks_are_flushed_one_after_the_other(void **state)
{
    (void)state;
    bench_open(&plain);
    uint64_t before = super_writes();
    for (unsigned turn = 0; turn < 200; turn++) {
        (void)rig_turn(&rig);
        uint64_t undurable = 0;
        for (size_t i = 0; i < bb_sim_undurable_count(rig.sim); i++)
            undurable += bb_sim_undurable(rig.sim, i).class == BB_IO_SUPER;
        assert_true(undurable <= 2);
    }
    assert_int_equal(super_writes(), before + 4);
    bench_close();
}

static void a_power_cut_while_a_zone_is_opened_costs_nothing(void **state)
{
    (void)state;
    unsigned finished = 0;
    for (uint64_t n = 1; finished == 0; n++) {
        bench_open(&plain);
        for (uint32_t id = 0; id < 148; id++) /* 444 units: the next ones open a zone */
            assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        bb_sim_cut_at(rig.sim, n);
        for (uint32_t id = 148; id < 158; id++)
            (void)rig_submit(&rig, RIG_PUT, id);
        (void)rig_settle(&rig);
        if (!bb_sim_is_dead(rig.sim)) {
            finished = 1;
            assert_int_equal(rig_status(&rig).open_zone_count, 2);
        }
        rig_drop(&rig);
        bb_sim_power_cut(rig.sim, bb_sim_choose_random, &rig.random);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_check(&rig), 0);
        for (uint32_t id = 200; id < 300; id++)
            assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        assert_true(rig_status(&rig).open_zone_count >= 2);
        bench_verify_balance();
        assert_int_equal(rig_stop(&rig), 0);
        bench_close();
        assert_true(n < 300);
    }
}

static void stopping_waits_for_a_zone_that_is_being_opened(void **state)
{
    (void)state;
    bench_open(&plain);
    (void)rig_turn(&rig); /* the first pages are on their way */
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_true(rig.recovered.report.was_clean);
    assert_int_equal(rig_status(&rig).open_zone_count, 1);
    bench_close();
}

static void a_failed_write_while_opening_ends_the_store(void **state)
{
    (void)state;
    const enum bb_io_class classes[] = {BB_IO_DESCRIPTOR, BB_IO_SUPER};
    for (unsigned i = 0; i < 2; i++) {
        bench_open(&plain);
        struct plan plan = plan_fail(classes[i], BB_IO_WRITE, -EIO);
        plan.countdown = 2;
        bench_plan(&plan);
        struct rig_op *put = rig_submit(&rig, RIG_PUT, 1);
        for (unsigned turn = 0; turn < 300 && rig.fatal == 0; turn++)
            (void)rig_turn(&rig);
        assert_int_equal(rig.fatal, -EIO);
        uint64_t submitted = bb_sim_submitted(rig.sim);
        bench_turns(50);
        assert_int_equal(put->request.result, BB_ERR_FATAL);
        assert_int_equal(bb_sim_submitted(rig.sim), submitted);
        bench_plan(NULL);
        rig_drop(&rig);
        bb_sim_kill(rig.sim);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
        bench_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_store_opens_its_first_zone_by_itself),
        cmocka_unit_test(a_first_block_waits_for_the_first_zone),
        cmocka_unit_test(zones_open_in_order_until_the_device_is_full),
        cmocka_unit_test(both_slots_of_every_page_are_valid_in_an_open_zone),
        cmocka_unit_test(a_zone_is_not_used_before_the_superblocks_say_so),
        cmocka_unit_test(the_pairs_of_superblocks_are_flushed_one_after_the_other),
        cmocka_unit_test(a_power_cut_while_a_zone_is_opened_costs_nothing),
        cmocka_unit_test(stopping_waits_for_a_zone_that_is_being_opened),
        cmocka_unit_test(a_failed_write_while_opening_ends_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
