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

/* Turns until `state` is reached; false when that takes too long. */
static bool turns_until(enum bb_trim_state state)
{
    for (unsigned turns = 0; turns < 100000; turns++) {
        if (status().state == state)
            return true;
        (void)rig_turn(&rig);
    }
    return false;
}

static void put_some(uint32_t first, uint32_t end)
{
    for (uint32_t id = first; id < end; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
}

static void delete_some(uint32_t first, uint32_t end)
{
    for (uint32_t id = first; id < end; id++)
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
}

static void an_empty_store_is_discarded_whole_and_once(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.port_count = 1});
    put_some(1, 2); /* a zone is open */
    delete_some(1, 2);
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

static void what_was_freed_since_is_discarded_again(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 200000, .id_count = 30});
    put_some(0, 30);
    uint64_t empty = whole_pass();
    assert_true(empty > 0);
    assert_true(rig_idle(&rig, 10));
    uint64_t unit = rig.unit[7];
    for (uint32_t id = 0; id < 30; id++)
        assert_false(was_discarded(rig.unit[id]));
    delete_some(7, 8);
    (void)whole_pass();
    assert_true(was_discarded(unit));
    assert_true(discarded_units() <= 2 * 256); /* its chunk, and one that a run goes on into */
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void nothing_is_discarded_that_only_the_journal_knows_as_deleted(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 100000, .id_count = 20});
    put_some(0, 20);
    assert_true(rig_checkpoint(&rig));
    delete_some(0, 20);
    rig.index_paused = true; /* no fold ends */
    assert_int_equal(rig_trim(&rig), 0);
    for (unsigned turns = 0; turns < 5000; turns++)
        (void)rig_turn(&rig);
    assert_int_equal(seen.count, 0);
    assert_int_equal(status().state, BB_TRIM_WAITING);
    rig.index_paused = false;
    assert_true(turns_until(BB_TRIM_OFF));
    assert_true(seen.count > 0);
    assert_int_equal(status().passes, 1);
    assert_true(rig.store->delta.first >= rig.store->trim.looked_end);
    bench_close();
}

static void what_was_freed_behind_the_look_waits_for_the_next_pass(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 200000, .id_count = 20});
    put_some(0, 20);
    assert_true(rig_idle(&rig, 10));
    uint64_t unit = rig.unit[3];
    assert_int_equal(rig_trim(&rig), 0);
    (void)rig_turn(&rig); /* the look */
    delete_some(3, 4);
    assert_true(turns_until(BB_TRIM_OFF));
    assert_false(was_discarded(unit));
    (void)whole_pass();
    assert_true(was_discarded(unit));
    bench_close();
}

static void what_is_read_is_not_discarded(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 200000, .id_count = 8});
    put_some(0, 8);
    assert_true(rig_idle(&rig, 10));
    uint64_t unit = rig.unit[2];
    struct call call;
    call_lookup(&call, 2, BB_OP_PIN);
    assert_int_equal(call_wait(&call), 0);
    delete_some(2, 3);
    (void)whole_pass();
    assert_false(was_discarded(unit));
    (void)whole_pass();
    assert_false(was_discarded(unit));
    void *buf = bench_buffer();
    struct bb_hash hash;
    call.done = false;
    call.request.buf = buf;
    call.request.done = call_done;
    bb_port_read(call.port, &call.request);
    assert_int_equal(call_wait(&call), 0);
    bb_hash_of(buf, rig.sizes[2], &hash);
    assert_true(bb_hash_equal(&hash, &rig.hashes[2]));
    bb_port_unpin(call.port, &call.request);
    (void)whole_pass();
    assert_true(was_discarded(unit));
    free(buf);
    bench_close();
}

/* Until a discard is on its way, which then takes `polls` polls. */
static void hold_a_discard(uint32_t polls)
{
    seen.next = (struct bb_sim_fault){.kind = BB_SIM_LATE, .polls = polls};
    unsigned before = seen.count;
    assert_int_equal(rig_trim(&rig), 0);
    for (unsigned turns = 0; seen.count == before; turns++) {
        assert_true(turns < 100000);
        (void)rig_turn(&rig);
    }
}

static void an_extent_is_nobodys_while_it_is_discarded(void **state)
{
    (void)state;
    open_trimming((struct rig_config){
        .device_size = BB_DEVICE_SIZE_MIN, .size_fixed = 3000, .id_count = 600});
    put_some(0, 1);
    hold_a_discard(2000);
    uint64_t held = seen.all[0].count;
    assert_true(held >= 256);
    assert_true(bb_buddy_is_used(rig.buddy, seen.all[0].unit, held));
    assert_true(rig_balance(&rig));
    uint64_t free_units = rig_status(&rig).free_units;
    /* More than what is left: the last ones wait for the discard, nobody is told that it is full.
     */
    seen.next = (struct bb_sim_fault){.kind = BB_SIM_PASS};
    for (uint32_t id = 1; id < free_units; id++) {
        while (rig_submit(&rig, RIG_PUT, id) == NULL)
            (void)rig_turn(&rig);
    }
    assert_true(rig_settle(&rig));
    for (uint32_t id = 1; id < free_units; id++)
        assert_int_equal(rig.allowed[id], RIG_PRESENT);
    assert_int_equal(rig_check(&rig), 0);
    bench_verify_balance();
    bench_close();
}

static void a_failed_discard_ends_the_pass_and_keeps_its_extent_out_of_use(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 100000, .id_count = 20});
    put_some(0, 10);
    seen.next = (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = -EIO, .applied = BB_SIM_PARTLY};
    assert_int_equal(rig_trim(&rig), 0);
    for (unsigned turns = 0; status().failed == 0; turns++) {
        assert_true(turns < 100000);
        (void)rig_turn(&rig);
    }
    assert_true(rig_idle(&rig, 1000));
    assert_int_equal(seen.count, 1);
    assert_int_equal(status().state, BB_TRIM_OFF);
    assert_int_equal(status().error, -EIO);
    assert_int_equal(rig_status(&rig).quarantined_units, seen.all[0].count);
    assert_true(bb_buddy_is_used(rig.buddy, seen.all[0].unit, seen.all[0].count));
    bench_verify_balance();
    seen.next = (struct bb_sim_fault){.kind = BB_SIM_PASS};
    struct seen_discard bad = seen.all[0];
    (void)whole_pass(); /* asked for again: but not that extent */
    assert_false(was_discarded(bad.unit));
    assert_int_equal(status().error, 0);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void a_device_that_refuses_gets_no_second_discard(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 100000, .id_count = 20});
    put_some(0, 10);
    seen.next =
        (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = -EOPNOTSUPP, .applied = BB_SIM_NOT};
    assert_int_equal(rig_trim(&rig), 0);
    for (unsigned turns = 0; status().failed == 0; turns++) {
        assert_true(turns < 100000);
        (void)rig_turn(&rig);
    }
    assert_true(rig_idle(&rig, 1000));
    assert_int_equal(seen.count, 1);
    assert_int_equal(status().error, -EOPNOTSUPP);
    assert_int_equal(rig_status(&rig).quarantined_units, 0);
    bench_verify_balance();
    bench_close();
}

static void a_device_without_discard_is_told_so(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.no_discard = true, .trim_idle_ms = 1});
    put_some(0, 10);
    assert_int_equal(rig_trim(&rig), -EOPNOTSUPP);
    assert_false(status().possible);
    delete_some(0, 10);
    assert_true(rig_idle(&rig, 10000));
    assert_int_equal(seen.count, 0);
    bench_close();
}

static void a_pass_ends_when_it_is_stopped_and_when_the_store_is(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 100000, .id_count = 20});
    put_some(0, 10);
    hold_a_discard(100);
    bb_store_trim_stop(rig.store);
    assert_int_equal(status().state, BB_TRIM_OFF);
    assert_true(rig_idle(&rig, 1000));
    assert_int_equal(seen.count, 1);
    bench_verify_balance();
    hold_a_discard(100);
    assert_int_equal(rig_stop(&rig), 0); /* behind the discard: nothing is in flight any more */
    assert_int_equal(bb_sim_io(rig.sim)->in_flight, 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void idle_trim_rests_until_something_is_freed(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 200000, .id_count = 20, .trim_idle_ms = 500});
    put_some(0, 20);
    assert_true(rig_idle(&rig, 20000));
    uint64_t passes = status().passes;
    assert_true(passes >= 1);
    assert_int_equal(status().state, BB_TRIM_OFF);
    assert_true(rig_idle(&rig, 60000));
    assert_int_equal(status().passes, passes);
    assert_int_equal(rig.wake_ms, UINT64_MAX); /* no timer */
    uint64_t unit = rig.unit[5];
    seen.count = 0;
    delete_some(5, 6);
    assert_true(rig_idle(&rig, 400));
    assert_false(was_discarded(unit)); /* not free for long enough */
    assert_true(rig_idle(&rig, 20000));
    assert_true(was_discarded(unit));
    bench_close();
}

/* What begins or ends between the device's granules is left alone. */
static void the_devices_granularity_is_kept(void **state)
{
    static const uint32_t granules[] = {16 << 10, 256 << 10, 2 << 20, 5 * 4096};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        open_trimming((struct rig_config){.size_fixed = 30000, .id_count = 60});
        bb_sim_io(rig.sim)->discard_granularity = granules[i];
        put_some(0, 60);
        for (uint32_t id = 0; id < 60; id += 3)
            delete_some(id, id + 1);
        (void)whole_pass();
        assert_true(seen.count > 0);
        for (unsigned d = 0; d < seen.count; d++) {
            assert_int_equal(seen.all[d].unit * BB_UNIT_SIZE % granules[i], 0);
            assert_int_equal(seen.all[d].count * BB_UNIT_SIZE % granules[i], 0);
            assert_true(seen.all[d].count * BB_UNIT_SIZE >= BB_TRIM_SIZE_MIN);
            assert_true(seen.all[d].count * BB_UNIT_SIZE <= BB_TRIM_SIZE_MAX);
        }
        assert_int_equal(rig_check(&rig), 0);
        bench_close();
    }
}

/* Share of the time, in percent, that an extent is out, of a pass whose discards take long. */
static unsigned share_of_time(bool busy)
{
    uint64_t held_ms = 0, all_ms = 0;
    seen.next = (struct bb_sim_fault){.kind = BB_SIM_LATE, .polls = 100};
    assert_int_equal(rig_trim(&rig), 0);
    assert_true(turns_until(BB_TRIM_PASSING));
    while (status().state == BB_TRIM_PASSING) {
        uint64_t before = rig.now_ms;
        bool held = rig.store->trim.held.count > 0;
        if (busy)
            (void)rig_submit(&rig, rig.allowed[1] == RIG_ABSENT ? RIG_PUT : RIG_DELETE, 1);
        (void)rig_turn(&rig);
        all_ms += rig.now_ms - before;
        held_ms += held ? rig.now_ms - before : 0;
    }
    assert_true(rig_settle(&rig));
    assert_true(seen.count > 4);
    return (unsigned)(100 * held_ms / all_ms);
}

static void a_pass_leaves_time_to_others_most_of_it_beside_writes(void **state)
{
    (void)state;
    open_trimming((struct rig_config){.size_fixed = 9000, .id_count = 20, .in_order = true});
    bb_sim_io(rig.sim)->discard_max = 256 * 1024;
    put_some(0, 10);
    assert_in_range(share_of_time(false), 30, 60);
    bench_close();
    open_trimming((struct rig_config){.size_fixed = 9000, .id_count = 20, .in_order = true});
    bb_sim_io(rig.sim)->discard_max = 256 * 1024;
    put_some(0, 10);
    assert_in_range(share_of_time(true), 5, 20);
    bench_close();
}

static void the_lists_fit_into_what_is_asked_for_them(void **state)
{
    (void)state;
    for (uint64_t size = BB_DEVICE_SIZE_MIN; size <= (uint64_t)64 << 40; size = size * 3 / 2) {
        struct bb_layout layout;
        size -= size % BB_MIB;
        if (bb_layout_make(size, bb_layout_journal_size(size), BB_ZONE_SIZE_DEFAULT, &layout) != 0)
            continue;
        uint64_t chunks = layout.zone_count * (layout.zone_size / BB_MIB);
        uint64_t list = bb_align_up((chunks + 63) / 64 * 8, 64);
        assert_true(bb_trim_memory(size) >= 2 * list);
        assert_true(bb_trim_memory(size) <=
                    2 * (size / BB_MIB / 8) + 64 * 1024); /* two bits per MiB */
    }
}

/* ---- by chance ---- */

static void random_round(struct bb_random *random)
{
    for (uint64_t i = bb_random_below(random, 30); i > 0; i--) {
        uint64_t dice = bb_random_below(random, 100);
        (void)rig_submit(&rig,
                         dice < 45   ? RIG_PUT
                         : dice < 80 ? RIG_DELETE
                                     : RIG_GET,
                         (uint32_t)bb_random_below(random, rig.config.id_count));
        if (bb_random_below(random, 3) == 0)
            (void)rig_turn(&rig);
    }
    switch (bb_random_below(random, 8)) {
    case 0:
    case 1:
        (void)rig_trim(&rig);
        break;
    case 2:
        bb_store_trim_stop(rig.store);
        break;
    case 3:
        (void)rig_idle(&rig, bb_random_below(random, 300));
        break;
    default:
        bench_turns((unsigned)bb_random_below(random, 40));
    }
}

/* Puts, deletes, reads and passes on a small device, often full; the oracle knows each block. */
static uint64_t random_life(uint64_t seed, unsigned rounds, bool canary)
{
    struct bb_random random;
    bb_random_seed(&random, seed);
    open_trimming((struct rig_config){.seed = seed,
                                      .device_size = BB_DEVICE_SIZE_MIN +
                                                     bb_random_below(&random, 3) * 4 * BB_MIB,
                                      .id_count = 40 + (uint32_t)bb_random_below(&random, 100),
                                      .size_max = bb_random_below(&random, 2) == 0 ? 200000 : 20000,
                                      .port_count = 1 + (uint32_t)bb_random_below(&random, 2),
                                      .trim_idle_ms = bb_random_below(&random, 2) * 50,
                                      .quiet = canary});
    bb_sim_set_fault(rig.sim, NULL, NULL);
    for (unsigned round = 0; round < rounds && rig.violations == 0; round++) {
        random_round(&random);
        assert_int_equal(rig.fatal, 0);
        if (round % 50 == 49 && rig_settle(&rig)) {
            assert_true(rig_balance(&rig));
            if (canary) /* a device that discards what nobody told it to */
                for (uint32_t id = 0; id < rig.config.id_count; id++)
                    if (rig.unit[id] != 0)
                        assert_int_equal(bb_io_discard(bb_sim_io(rig.sim), BB_IO_DATA,
                                                       rig.unit[id] * BB_UNIT_SIZE, BB_UNIT_SIZE),
                                         0);
            (void)rig_check(&rig);
        }
    }
    uint64_t violations = rig.violations + rig_check(&rig);
    if (!canary) {
        assert_int_equal(violations, 0);
        assert_true(status().bytes > 0);
    }
    rig_close(&rig);
    return violations;
}

static void no_block_is_lost_by_chance(void **state)
{
    (void)state;
    uint64_t seed = unit_seed_value();
    for (unsigned i = 0; i < 12; i++)
        (void)random_life(seed + i, 600, false);
}

static void a_device_that_discards_more_is_found_out(void **state)
{
    (void)state;
    assert_true(random_life(1, 200, true) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_is_discarded_whole_and_once),
        cmocka_unit_test(what_was_freed_since_is_discarded_again),
        cmocka_unit_test(nothing_is_discarded_that_only_the_journal_knows_as_deleted),
        cmocka_unit_test(what_was_freed_behind_the_look_waits_for_the_next_pass),
        cmocka_unit_test(what_is_read_is_not_discarded),
        cmocka_unit_test(an_extent_is_nobodys_while_it_is_discarded),
        cmocka_unit_test(a_failed_discard_ends_the_pass_and_keeps_its_extent_out_of_use),
        cmocka_unit_test(a_device_that_refuses_gets_no_second_discard),
        cmocka_unit_test(a_device_without_discard_is_told_so),
        cmocka_unit_test(a_pass_ends_when_it_is_stopped_and_when_the_store_is),
        cmocka_unit_test(idle_trim_rests_until_something_is_freed),
        cmocka_unit_test(the_devices_granularity_is_kept),
        cmocka_unit_test(a_pass_leaves_time_to_others_most_of_it_beside_writes),
        cmocka_unit_test(the_lists_fit_into_what_is_asked_for_them),
        cmocka_unit_test(no_block_is_lost_by_chance),
        cmocka_unit_test(a_device_that_discards_more_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
