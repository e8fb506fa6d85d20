/* SPDX-License-Identifier: Apache-2.0
 * The online scrub beside everything else: writes, deletes, starts and stops. It keeps to its pace,
 * and nothing is found where nothing is wrong.
 */
#include "scrubs.h"

#include "pace.h"

static struct bb_sim_fault late(void *unused, const struct bb_io_request *request, uint64_t number)
{
    (void)unused;
    (void)number;
    bool slow = request->class == BB_IO_DATA && request->op == BB_IO_READ;
    return (struct bb_sim_fault){.kind = slow ? BB_SIM_LATE : BB_SIM_PASS, .polls = 100};
}

/* Until the scrub of a full store reads a block, which takes long. The block's id. */
static uint32_t open_and_meet_a_read(void)
{
    open_full(&scrubbed);
    bb_sim_set_fault(rig.sim, late, NULL);
    bb_scrub_start(rig.store);
    rig.woken = true;
    for (unsigned i = 0; i < 10000 && rig.store->scrub.state != SCRUB_READ; i++) {
        if (!rig_turn(&rig))
            rig.now_ms += 5;
    }
    assert_int_equal(rig.store->scrub.state, SCRUB_READ);
    bb_sim_set_fault(rig.sim, NULL, NULL);
    uint32_t id = 1;
    while (rig.unit[id] != rig.store->scrub.op.unit)
        id++;
    return id;
}

static void a_block_deleted_while_it_is_read_keeps_its_units(void **state)
{
    (void)state;
    uint32_t id = open_and_meet_a_read();
    uint64_t unit = rig.unit[id];
    struct rig_op *delete = rig_submit(&rig, RIG_DELETE, id);
    assert_non_null(delete);
    for (unsigned i = 0; i < 200 && delete->busy; i++)
        (void)rig_turn(&rig);
    assert_false(delete->busy);
    assert_int_equal(rig.store->scrub.state, SCRUB_READ);
    assert_true(bb_buddy_is_used(rig.buddy, unit, 2));
    let_it_run(1);
    assert_int_equal(findings(), 0);
    assert_true(rig_idle(&rig, 0));
    assert_false(bb_buddy_is_used(rig.buddy, unit, 2));
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

/* Turns until another pass has ended, and jumps to where the engine wants its next turn. Number of
 * turns that it asked for by time. */
static uint64_t to_the_end_of_a_pass(void)
{
    uint64_t passes = scrub().row.passes, wakes = 0;
    unsigned still = 0;
    while (scrub().row.passes == passes) {
        still = rig_turn(&rig) ? 0 : still + 1;
        if (still > 2) {
            assert_true(rig.wake_ms != UINT64_MAX);
            rig.now_ms = bb_max_u64(rig.wake_ms, rig.now_ms);
            wakes++;
        }
    }
    return wakes;
}

/* Milliseconds that a pass over ids 1 to 40 takes at this pace. */
static uint64_t time_of_pass(uint32_t days, uint64_t rate, uint32_t share, uint64_t *ret_wakes)
{
    struct rig_config config = scrubbed;
    config.scrub = (struct bb_scrub_config){.days = days, .rate = rate, .share = share};
    open_full(&config);
    if (days != 0)
        (void)to_the_end_of_a_pass(); /* it began before the blocks came */
    else
        bb_scrub_start(rig.store);
    rig.woken = true;
    uint64_t began_ms = rig.now_ms;
    *ret_wakes = to_the_end_of_a_pass();
    uint64_t took_ms = rig.now_ms - began_ms;
    bench_close();
    return took_ms;
}

static void an_empty_store_lets_it_sleep(void **state)
{
    (void)state;
    struct rig_config config = scrubbed;
    config.scrub.days = 1;
    bench_open(&config);
    assert_int_equal(rig_status(&rig).open_zone_count, 0);
    (void)rig_turn(&rig); /* the first zone is not open yet: there is nothing to be read */
    assert_false(scrub().running);
    assert_true(rig_idle(&rig, 10000));
    assert_int_equal(rig_status(&rig).open_zone_count, 1);
    assert_int_equal(scrub().row.passes, 0);
    assert_true(scrub().running);
    assert_true(rig.wake_ms > rig.now_ms + 1000);
    bench_close();
}

/* 40 blocks of two units and the pages of one zone of 4 MiB. */
static void it_keeps_to_its_pace(void **state)
{
    (void)state;
    uint64_t wakes;
    uint64_t bytes = 40ull * 2 * BB_UNIT_SIZE;
    uint64_t at_rate = time_of_pass(0, 64u << 10, 100, &wakes);
    assert_in_range(at_rate, bytes * 1000 / (64 << 10), 12000);
    uint64_t hurried = time_of_pass(0, 8u << 20, 10, &wakes);
    assert_in_range(hurried, 30, 10000);
    uint64_t calm = time_of_pass(1, 8u << 20, 10, &wakes);
    assert_in_range(calm, 24ull * 3600 * 1000 / 2, 24ull * 3600 * 1000 * 3 / 2);
    assert_in_range(wakes, 40, 400); /* wakes for a whole day */
}

static uint64_t rotten_ids(void)
{
    uint64_t count = 0;
    for (uint32_t id = 0; id < rig.config.id_count; id++)
        count += rig.allowed[id] == RIG_ROTTEN;
    return count;
}

static void one_random_step(struct bb_random *random)
{
    static const enum rig_kind kinds[] = {RIG_PUT,  RIG_PUT, RIG_PUT,    RIG_DELETE,
                                          RIG_HEAD, RIG_PUT, RIG_DELETE, RIG_ABORT};
    uint64_t dice = bb_random_below(random, 200);
    uint32_t id = (uint32_t)bb_random_below(random, rig.config.id_count);
    if (dice < 150)
        (void)rig_submit(&rig, kinds[bb_random_below(random, 8)], id);
    else if (dice < 153)
        bb_store_checkpoint(rig.store);
    else if (dice < 160)
        bb_scrub_start(rig.store);
    else if (dice == 160)
        bb_scrub_pause(rig.store);
    rig.woken |= dice >= 150;
    for (uint64_t turns = bb_random_below(random, 8); turns > 0; turns--) {
        (void)rig_turn(&rig);
        rig.now_ms += bb_random_below(random, 4) == 0;
    }
    if (bb_random_below(random, 600) == 0) {
        assert_true(rig_settle(&rig));
        rig_drop(&rig);
        if (bb_random_below(random, 2) == 0)
            bb_sim_power_cut(rig.sim, bb_sim_choose_random, random);
        else
            bb_sim_kill(rig.sim);
        memindex_forget_jobs(rig.mem);
        assert_int_equal(rig_start(&rig), 0);
    } else if (bb_random_below(random, 600) == 0) {
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
    }
}

/* It rots, and is deleted and stored anew elsewhere while the scrub reads the rotten units. */
static void a_block_stored_anew_elsewhere_is_not_marked(void **state)
{
    (void)state;
    uint32_t id = open_and_meet_a_read();
    uint64_t unit = rig.unit[id];
    static const uint8_t rot[64] = {1, 2, 3};
    bb_sim_poke(rig.sim, unit * BB_UNIT_SIZE, rot, sizeof(rot));
    static struct call calls[2];
    call_delete(&calls[0], id);
    for (unsigned i = 0; i < 100 && !calls[0].done; i++)
        (void)rig_turn(&rig);
    call_put(&calls[1], id, rig.ops[0].buf);
    for (unsigned i = 0; i < 100 && !calls[1].done; i++)
        (void)rig_turn(&rig);
    assert_true(calls[1].done);
    assert_int_equal(rig.store->scrub.op.unit, unit);
    assert_int_not_equal(rig.store->scrub.state, SCRUB_REST);
    let_it_run(1);
    assert_int_equal(findings(), 0);
    rig.unit[id] = 0;
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void nothing_is_found_where_nothing_is_wrong(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    uint64_t passes = 0, compared = 0;
    for (unsigned round = 0; round < (pace_is_quick() ? 2u : 8u); round++) {
        struct rig_config config = {.seed = bb_random_next(&random),
                                    .id_count = 300,
                                    .size_max = 9000,
                                    .memory = (size_t)1 << 20,
                                    .port_count = 2,
                                    .fault_percent = round % 2 == 0 ? 0 : 30,
                                    .slice_max = 16,
                                    .scrub = {.rate = 1u << 30, .share = 100, .days = 1}};
        bench_open(&config);
        for (unsigned step = 0; step < 4000; step++) {
            one_random_step(&random);
            assert_int_equal(rig.fatal, 0);
            assert_int_equal(rig.finding_count, 0);
        }
        assert_true(rig_settle(&rig));
        bb_scrub_start(rig.store);
        rig.woken = true;
        passes += scrub().row.passes;
        compared += (scrub().row.flags & BB_SCRUB_SET) != 0;
        pass();
        assert_int_equal(rig.finding_count, 0);
        assert_int_equal(rotten_ids(), 0);
        assert_int_equal(rig_check(&rig), 0);
        bench_verify_balance();
        bench_close();
    }
    print_message("%llu passes, the set was kept in %llu\n", (unsigned long long)passes,
                  (unsigned long long)compared);
    assert_true(passes > 0);
}

static bool names_it(uint32_t id)
{
    static struct bb_disk_page slot;
    struct bb_page_header header;
    struct bb_entry entry;
    uint32_t index;
    uint64_t page = page_of(id, &index);
    read_slot(page, newest_slot(page, &header), &slot);
    return bb_entry_get(&slot, index, &entry) == 1 && bb_hash_equal(&entry.hash, &rig.hashes[id]);
}

/* Others in the same page come and go, checkpoints write it, the index takes its time, and now and
 * then the store is stopped. */
static void work_beside_the_mend(struct bb_random *random)
{
    for (unsigned i = 0; i < 500 && !rig.store->scrub.mending; i++) {
        if (!rig_turn(&rig))
            rig.now_ms++;
    }
    bench_turns((unsigned)bb_random_below(random, 8));
    for (unsigned step = 0; step < 3000 && scrub().row.passes == 0; step++) {
        uint64_t dice = bb_random_below(random, 100);
        uint32_t id = 41 + (uint32_t)bb_random_below(random, 30);
        if (dice < 10)
            rig.index_paused = !rig.index_paused;
        if (dice < 50)
            (void)rig_submit(&rig, dice < 25 ? RIG_PUT : RIG_DELETE, id);
        else if (dice < 70)
            bb_store_checkpoint(rig.store);
        rig.woken = true;
        bench_turns((unsigned)bb_random_below(random, 3));
        rig.now_ms += dice % 4 == 0;
        assert_int_equal(rig.fatal, 0);
        if (bb_random_below(random, 150) != 0)
            continue;
        rig.index_paused = false;
        assert_true(rig_settle(&rig));
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
    }
    rig.index_paused = false;
    assert_true(rig_settle(&rig));
}

static void damage_is_mended_beside_others(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    uint64_t repaired = 0;
    for (unsigned round = 0; round < (pace_is_quick() ? 10u : 80u); round++) {
        struct rig_config config = scrubbed;
        config.seed = bb_random_next(&random);
        config.slice_max = 8;
        config.id_count = 80;
        open_full(&config);
        uint32_t id = 1 + (uint32_t)bb_random_below(&random, 40);
        uint64_t unit = rig.unit[id]; /* where it stays */
        struct bb_entry wrong = entry_of(id);
        wrong.hash.bytes[3] ^= 1;
        forge(id, round % 3 == 0 ? NULL : &wrong);
        bb_scrub_start(rig.store);
        work_beside_the_mend(&random);
        pass(); /* with nobody beside it */
        repaired += scrub().outcomes[BB_SCRUB_REPAIRED] > 0;
        rig.unit[id] = unit;
        assert_true(names_it(id));
        assert_int_equal(rig_check(&rig), 0);
        bench_verify_balance();
        bench_close();
    }
    assert_true(repaired > 0);
}

/* Whatever the scrub and a checkpoint are just doing: nothing forgets to save where it stands. */
static void a_stop_at_any_moment_ends(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 150; turns++) {
        struct rig_config config = scrubbed;
        config.scrub.rate = turns % 2 == 0 ? config.scrub.rate : 4096;
        open_full(&config);
        bb_scrub_start(rig.store);
        rig.woken = true;
        for (uint32_t id = 41; id < 45; id++)
            (void)rig_submit(&rig, RIG_PUT, id);
        if (turns % 3 == 0)
            bb_store_checkpoint(rig.store);
        bench_turns(turns);
        assert_true(rig_settle(&rig));
        bb_scrub_pause(rig.store);
        bb_store_stop(rig.store);
        rig.woken = true;
        rig.index_paused = true; /* the row's save is on its way when the last checkpoint folds */
        bench_turns(turns % 50);
        rig.index_paused = false;
        assert_int_equal(rig_stop(&rig), 0); /* asserts that it ends */
        bench_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_deleted_while_it_is_read_keeps_its_units),
        cmocka_unit_test(a_block_stored_anew_elsewhere_is_not_marked),
        cmocka_unit_test(an_empty_store_lets_it_sleep),
        cmocka_unit_test(it_keeps_to_its_pace),
        cmocka_unit_test(a_stop_at_any_moment_ends),
        cmocka_unit_test(nothing_is_found_where_nothing_is_wrong),
        cmocka_unit_test(damage_is_mended_beside_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
