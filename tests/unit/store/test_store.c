/* SPDX-License-Identifier: Apache-2.0
 * The engine over the simulated device: what clients are promised, windows, watermark, idle work
 * and clean stop.
 */
#include "bench.h"

static const struct rig_config plain = {.seed = 1};

static void a_stored_block_is_read_back(void **state)
{
    (void)state;
    bench_open(&plain);
    for (uint32_t id = 0; id < 20; id++) { /* 0 is the empty block */
        assert_int_equal(rig_do(&rig, RIG_GET, id), -ENOENT);
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        assert_int_equal(rig_do(&rig, RIG_GET, id), 0);
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 1);
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
        assert_int_equal(rig_do(&rig, RIG_GET, id), -ENOENT);
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), -ENOENT);
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    }
    assert_int_equal(rig_status(&rig).block_count, 20);
    bench_verify_balance();
    bench_close();
}

static void a_block_of_every_order_takes_exactly_its_units(void **state)
{
    (void)state;
    struct rig_config config = plain;
    config.size_max = BB_BLOCK_SIZE_MAX;
    config.id_count = 12;
    bench_open(&config);
    uint64_t units = 0, bytes = 0;
    for (uint32_t id = 0; id < 12; id++) {
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        units += bb_units_of(rig.sizes[id]);
        bytes += rig.sizes[id];
        assert_int_equal(rig_status(&rig).used_units, units);
        assert_int_equal(rig_status(&rig).padding_bytes, units * BB_UNIT_SIZE - bytes);
    }
    bench_verify_balance();
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_status(&rig).padding_bytes, units * BB_UNIT_SIZE - bytes);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void after_emptying_the_space_is_what_it_was_after_format(void **state)
{
    (void)state;
    struct rig_config config = plain;
    config.port_count = 2;
    bench_open(&config);
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t id = 0; id < 64; id++)
            while (rig_submit(&rig, RIG_PUT, id) == NULL)
                (void)rig_turn(&rig);
        assert_true(rig_settle(&rig));
        for (uint32_t id = 0; id < 64; id++)
            while (rig_submit(&rig, RIG_DELETE, id) == NULL)
                (void)rig_turn(&rig);
        assert_true(rig_settle(&rig));
        assert_int_equal(rig_status(&rig).used_units, 0);
        bench_verify_balance();
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(bb_buddy_free_units(rig.buddy), bb_buddy_total_units(rig.buddy));
    }
    bench_close();
}

static void one_body_from_32_requests_at_once_is_stored_once(void **state)
{
    (void)state;
    struct rig_config config = plain;
    config.port_count = 2;
    bench_open(&config);
    static struct call calls[32];
    unsigned created = 0, known = 0;
    for (unsigned i = 0; i < 32; i++)
        call_put(&calls[i], 5, bench_buffer());
    for (unsigned i = 0; i < 32; i++) {
        int result = call_wait(&calls[i]);
        created += result == 0;
        known += result == 1;
        free(calls[i].request.buf);
    }
    assert_int_equal(created, 1);
    assert_int_equal(known, 31);
    assert_int_equal(rig_status(&rig).used_units, bb_units_of(rig.sizes[5]));
    assert_int_equal(rig_status(&rig).block_count, 1);
    bench_verify_balance();
    bench_close();
}

static void a_put_that_must_not_replace_is_told_so(void **state)
{
    (void)state;
    bench_open(&plain);
    assert_int_equal(rig_do(&rig, RIG_PUT, 3), 0);
    struct call call;
    call_put(&call, 3, bench_buffer());
    call.request.flags = BB_OP_NO_REPLACE;
    assert_int_equal(call_wait(&call), BB_ERR_EXISTS);
    free(call.request.buf);
    bench_verify_balance();
    bench_close();
}

static void operations_on_one_hash_take_effect_in_order(void **state)
{
    (void)state;
    bench_open(&plain);
    static struct call put, remove, again, last;
    call_put(&put, 5, bench_buffer());
    while (rig_status(&rig).sequence == 0) /* until its record is on the way */
        (void)rig_turn(&rig);
    call_delete(&remove, 5);
    call_delete(&again, 5);
    call_put(&last, 5, bench_buffer());
    assert_int_equal(call_wait(&put), 0);
    assert_int_equal(call_wait(&remove), 0);
    assert_int_equal(call_wait(&again), -ENOENT);
    assert_int_equal(call_wait(&last), 0);
    assert_int_equal(bench_lookup(5), 0);
    free(put.request.buf);
    free(last.request.buf);
    bench_close();
}

static const struct bb_sim_fault hang = {.kind = BB_SIM_HANG};

/* ---- durability ---- */

static void what_is_not_durable_does_not_exist_yet(void **state)
{
    (void)state;
    bench_open(&plain);
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
    struct plan plan = {.class = BB_IO_BARRIER, .op = BB_IO_FLUSH, .countdown = 1, .fault = hang};
    bench_plan(&plan);
    static struct call put, remove, second;
    call_put(&put, 2, bench_buffer());
    call_delete(&remove, 1);
    bench_turns(50);
    assert_int_equal(plan.hits, 1); /* everything but the flush happened */
    assert_int_equal(bench_lookup(2), -ENOENT);
    assert_int_equal(bench_lookup(1), 0);
    call_delete(&second, 2); /* waits: 404 would deny a PUT that may yet become durable */
    bench_turns(50);
    assert_false(put.done || remove.done || second.done);
    assert_int_equal(rig_status(&rig).block_count, 1);
    free(put.request.buf);
    rig.violations = 0; /* the hung flush leaves nothing that could move */
    bench_close();
}

static void one_flush_is_in_flight_at_most(void **state)
{
    (void)state;
    bench_open(&plain);
    for (unsigned step = 0; step < 3000; step++) {
        uint32_t id = (uint32_t)bb_random_below(&rig.random, 64);
        (void)rig_submit(&rig, bb_random_below(&rig.random, 2) == 0 ? RIG_PUT : RIG_DELETE, id);
        if (step % 500 == 0)
            bb_store_checkpoint(rig.store);
        (void)rig_turn(&rig);
        const struct bb_sim_counts *counts = bb_sim_get_counts(rig.sim);
        assert_true(counts->submitted[BB_IO_BARRIER][BB_IO_FLUSH] <=
                    counts->completed[BB_IO_BARRIER][BB_IO_FLUSH] + 1);
        assert_true(counts->submitted[BB_IO_JOURNAL][BB_IO_WRITE] <=
                    counts->completed[BB_IO_JOURNAL][BB_IO_WRITE] + 1);
    }
    assert_true(rig_settle(&rig));
    bench_verify_balance();
    bench_close();
}

/* ---- windows ---- */

static void more_than_a_record_holds_goes_out_in_several(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 3,
                                .id_count = 4000,
                                .size_fixed = 8,
                                .device_size = 64 * BB_MIB,
                                .memory = 2 << 20,
                                .slice_max = 4000};
    bench_open(&config);
    for (uint32_t id = 0; id < 4000; id++)
        while (rig_submit(&rig, RIG_PUT, id) == NULL)
            (void)rig_turn(&rig);
    assert_true(rig_settle(&rig));
    assert_true(rig_checkpoint(&rig));
    struct bb_store_status before = rig_status(&rig);
    static struct call calls[4000];
    for (uint32_t id = 0; id < 4000; id++)
        call_delete(&calls[id], id);
    for (uint32_t id = 0; id < 4000; id++)
        assert_int_equal(call_wait(&calls[id]), 0);
    struct bb_store_status after = rig_status(&rig);
    assert_int_equal(after.deletes - before.deletes, 4000);
    assert_in_range(after.windows - before.windows, 3, 12);
    assert_int_equal(after.used_units, 0);
    bench_verify_balance();
    bench_close();
}

/* The checkpoint cannot go on, so the ring fills up with DELETEs of one record each. */
static void a_full_ring_waits_for_the_checkpoint_and_goes_on(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 4, .id_count = 600, .size_fixed = 8};
    bench_open(&config);
    for (uint32_t id = 0; id < 600; id++)
        while (rig_submit(&rig, RIG_PUT, id) == NULL)
            (void)rig_turn(&rig);
    assert_true(rig_settle(&rig));
    assert_true(rig_checkpoint(&rig));
    rig.index_paused = true;
    static struct call calls[600];
    uint32_t id = 0;
    for (bool went = true; went && id < 600; id++) {
        call_delete(&calls[id], id);
        for (unsigned turn = 0; turn < 50 && !calls[id].done; turn++)
            (void)rig_turn(&rig);
        went = calls[id].done;
    }
    struct bb_store_status full = rig_status(&rig);
    assert_in_range(id, 200, 256);
    assert_true(full.checkpoint_running);
    assert_in_range(full.journal_used_units, 220, 240);
    for (uint32_t more = id; more < 600; more++)
        call_delete(&calls[more], more);
    bench_turns(50);
    rig.index_paused = false;
    for (uint32_t i = 0; i < 600; i++)
        assert_int_equal(call_wait(&calls[i]), 0);
    assert_int_equal(rig_status(&rig).block_count, 0);
    bench_verify_balance();
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_status(&rig).block_count, 0);
    bench_close();
}

/* Beyond 16 TiB the sort key of a unit has lost its lowest bit. */
static void on_a_huge_device_pages_get_their_items_in_order(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 9,
                                .id_count = 100,
                                .size_fixed = 8,
                                .device_size = 17ull << 40,
                                .journal_size = 8 << 20,
                                .zone_size = 1 << 30};
    bench_open(&config);
    assert_int_equal(rig.store->checkpoint.unit_shift, 1);
    for (unsigned round = 0; round < 4; round++) {
        for (uint32_t id = 0; id < 100; id++)
            while (rig_submit(&rig, (id + round) % 3 == 0 ? RIG_DELETE : RIG_PUT, id) == NULL)
                (void)rig_turn(&rig);
        assert_true(rig_settle(&rig));
        if (round % 2 == 1)
            assert_true(rig_checkpoint(&rig));
    }
    bench_verify_balance();
    assert_int_equal(rig_stop(&rig), 0);
    memindex_wipe(rig.mem); /* now only the pages know */
    assert_int_equal(rig_rebuild(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

/* ---- idle ---- */

static void an_idle_store_writes_its_watermark_after_50_ms(void **state)
{
    (void)state;
    bench_open(&plain);
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
    assert_true(rig_idle(&rig, 0));
    uint64_t windows = rig_status(&rig).windows;
    assert_true(rig.wake_ms > rig.now_ms && rig.wake_ms <= rig.now_ms + 50);
    assert_true(rig_idle(&rig, 49));
    assert_int_equal(rig_status(&rig).windows, windows);
    assert_true(rig_idle(&rig, 2));
    assert_int_equal(rig_status(&rig).windows, windows + 1);
    assert_true(rig_idle(&rig, 3000));
    assert_int_equal(rig_status(&rig).windows, windows + 1);
    bench_close();
}

static void an_idle_store_makes_a_checkpoint_after_5_s_and_then_rests(void **state)
{
    (void)state;
    bench_open(&plain);
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
    assert_true(rig_idle(&rig, 4900));
    assert_int_equal(rig_status(&rig).checkpoints, 0);
    assert_true(rig_idle(&rig, 200));
    struct bb_store_status status = rig_status(&rig);
    assert_int_equal(status.checkpoints, 1);
    assert_int_equal(status.delta_items, 0);
    assert_int_equal(memindex_count(rig.mem), 1);
    assert_int_equal(rig.wake_ms, UINT64_MAX);
    uint64_t submitted = bb_sim_submitted(rig.sim);
    assert_true(rig_idle(&rig, 100000));
    assert_int_equal(bb_sim_submitted(rig.sim), submitted);
    bench_close();
}

static void a_store_that_was_never_written_to_does_nothing(void **state)
{
    (void)state;
    bench_open(&plain);
    assert_true(rig_idle(&rig, 100));
    uint64_t submitted = bb_sim_submitted(rig.sim);
    assert_true(rig_idle(&rig, 100000));
    assert_int_equal(bb_sim_submitted(rig.sim), submitted);
    bench_close();
}

/* ---- stop ---- */

static void a_clean_stop_leaves_nothing_to_recover(void **state)
{
    (void)state;
    bench_open(&plain);
    for (uint32_t id = 0; id < 30; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(bb_sim_undurable_count(rig.sim), 0);
    assert_int_equal(memindex_count(rig.mem), 30);
    assert_int_equal(rig_start(&rig), 0);
    assert_true(rig.recovered.report.was_clean);
    assert_int_equal(rig.recovered.report.items, 0);
    assert_int_equal(rig_check(&rig), 0);
    assert_int_equal(rig_stop(&rig), 0); /* and again, without an operation */
    assert_int_equal(rig_start(&rig), 0);
    assert_true(rig.recovered.report.was_clean);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void stopping_answers_whoever_waits(void **state)
{
    (void)state;
    bench_open(&plain);
    static struct call put, remove, again, late;
    call_put(&put, 5, bench_buffer());
    while (rig_status(&rig).sequence == 0)
        (void)rig_turn(&rig);
    call_delete(&remove, 5); /* waits behind the PUT */
    (void)rig_turn(&rig);
    bb_store_stop(rig.store);
    rig.woken = true;
    call_delete(&again, 5);
    call_put(&late, 6, bench_buffer());
    assert_int_equal(call_wait(&put), 0);
    int result = call_wait(&remove);
    assert_true(result == 0 || result == BB_ERR_NOT_READY);
    assert_int_equal(call_wait(&again), BB_ERR_NOT_READY);
    assert_int_equal(call_wait(&late), BB_ERR_NOT_READY);
    rig.allowed[5] = result == 0 ? RIG_ABSENT : RIG_PRESENT;
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_true(rig.recovered.report.was_clean);
    assert_int_equal(rig_check(&rig), 0);
    free(put.request.buf);
    free(late.request.buf);
    bench_close();
}

static void an_index_that_does_not_add_up_is_only_read(void **state)
{
    (void)state;
    bench_open(&plain);
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
    assert_int_equal(rig_do(&rig, RIG_PUT, 2), 0);
    assert_int_equal(rig_stop(&rig), 0);
    struct bb_change gone = {.hash = rig.hashes[2], .present = false};
    memindex_tamper(rig.mem, &gone);
    assert_int_equal(rig_start(&rig), BB_ERR_SET_MISMATCH);
    assert_int_equal(rig_do(&rig, RIG_GET, 1), 0);
    assert_int_equal(rig_do(&rig, RIG_PUT, 3), BB_ERR_NOT_READY);
    assert_int_equal(rig_do(&rig, RIG_DELETE, 1), BB_ERR_NOT_READY);
    bench_close();
}

/* ---- pins ---- */

static void an_extent_that_is_read_outlives_its_delete(void **state)
{
    (void)state;
    struct rig_config config = plain;
    config.size_fixed = 5000;
    bench_open(&config);
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
    static struct call reader;
    call_lookup(&reader, 1, BB_OP_PIN);
    assert_int_equal(call_wait(&reader), 0);
    uint64_t unit = reader.request.op.unit;
    assert_int_equal(rig_do(&rig, RIG_DELETE, 1), 0);
    assert_true(rig_checkpoint(&rig));
    for (uint32_t id = 2; id < 64; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(bb_buddy_is_used(rig.buddy, unit, 2));
    reader.done = false;
    reader.request.buf = bench_buffer();
    bb_port_read(reader.port, &reader.request);
    assert_int_equal(call_wait(&reader), 0);
    struct bb_hash hash;
    bb_hash_of(reader.request.buf, 5000, &hash);
    assert_true(bb_hash_equal(&hash, &rig.hashes[1]));
    bb_port_unpin(reader.port, &reader.request);
    assert_true(rig_idle(&rig, 0));
    bench_verify_balance();
    free(reader.request.buf);
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stored_block_is_read_back),
        cmocka_unit_test(a_block_of_every_order_takes_exactly_its_units),
        cmocka_unit_test(after_emptying_the_space_is_what_it_was_after_format),
        cmocka_unit_test(one_body_from_32_requests_at_once_is_stored_once),
        cmocka_unit_test(a_put_that_must_not_replace_is_told_so),
        cmocka_unit_test(operations_on_one_hash_take_effect_in_order),
        cmocka_unit_test(what_is_not_durable_does_not_exist_yet),
        cmocka_unit_test(one_flush_is_in_flight_at_most),
        cmocka_unit_test(more_than_a_record_holds_goes_out_in_several),
        cmocka_unit_test(a_full_ring_waits_for_the_checkpoint_and_goes_on),
        cmocka_unit_test(on_a_huge_device_pages_get_their_items_in_order),
        cmocka_unit_test(an_idle_store_writes_its_watermark_after_50_ms),
        cmocka_unit_test(an_idle_store_makes_a_checkpoint_after_5_s_and_then_rests),
        cmocka_unit_test(a_store_that_was_never_written_to_does_nothing),
        cmocka_unit_test(a_clean_stop_leaves_nothing_to_recover),
        cmocka_unit_test(stopping_answers_whoever_waits),
        cmocka_unit_test(an_index_that_does_not_add_up_is_only_read),
        cmocka_unit_test(an_extent_that_is_read_outlives_its_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
