/* SPDX-License-Identifier: Apache-2.0
 * Room before the body: device full, index full, ring and delta short of room, pools and their
 * recall.
 */
#include "bench.h"

/* Stores ids from `first` on until one is refused: which, and how. */
static uint32_t fill_up(uint32_t first, int *ret_result)
{
    for (uint32_t id = first; id < rig.config.id_count; id++) {
        *ret_result = rig_do(&rig, RIG_PUT, id);
        if (*ret_result != 0)
            return id;
    }
    fail_msg("never full");
    return 0;
}

/* One zone of 512 units. */
static struct rig_config small_device(void)
{
    return (struct rig_config){.seed = 1,
                               .device_size = BB_DEVICE_SIZE_MIN,
                               .id_count = 2000,
                               .size_fixed = 3000,
                               .port_count = 2};
}

static void a_full_device_says_so_and_takes_blocks_again_after_deletes(void **state)
{
    (void)state;
    struct rig_config config = small_device();
    bench_open(&config);
    int result = 0;
    for (unsigned round = 0; round < 3; round++) {
        uint32_t id = fill_up(0, &result);
        assert_int_equal(result, BB_ERR_NO_SPACE);
        assert_int_equal(id, 512); /* to the last unit: the pools were recalled */
        assert_int_equal(rig_status(&rig).free_units, 0);
        assert_int_equal(rig_status(&rig).largest_order, -1);
        assert_int_equal(rig_do(&rig, RIG_PUT, 0), BB_ERR_NO_SPACE); /* not even to compare */
        assert_int_equal(rig_do(&rig, RIG_DELETE, 17), 0);
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        assert_int_equal(rig_do(&rig, RIG_PUT, 17), BB_ERR_NO_SPACE);
        for (uint32_t gone = 0; gone <= id; gone++)
            assert_int_equal(rig_do(&rig, RIG_DELETE, gone), gone == 17 ? -ENOENT : 0);
        assert_int_equal(rig_status(&rig).used_units, 0);
        bench_verify_balance();
    }
    bench_close();
}

static void a_full_device_is_stopped_started_and_emptied(void **state)
{
    (void)state;
    struct rig_config config = small_device();
    bench_open(&config);
    int result = 0;
    uint32_t count = fill_up(0, &result);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_check(&rig), 0);
    for (uint32_t id = 0; id < count; id++)
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(bb_buddy_free_units(rig.buddy), 512);
    bench_close();
}

static void a_fragmented_device_refuses_large_blocks_only(void **state)
{
    (void)state;
    struct rig_config config = small_device();
    bench_open(&config);
    int result = 0;
    uint32_t count = fill_up(0, &result);
    uint32_t gone = count;
    for (uint32_t id = 0; id < count; id++) {
        if (rig.unit[id] % 2 == 0) {
            gone = id;
            assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
        }
    }
    static struct call large;
    call_open(&large, 0);
    large.request.op.size = 8192;
    bb_port_reserve(rig.ports[0], &large.request);
    assert_int_equal(call_wait(&large), BB_ERR_NO_SPACE);
    assert_int_equal(rig_do(&rig, RIG_PUT, gone), 0);
    bench_close();
}

static void requests_that_wait_for_a_recall_all_get_what_there_is(void **state)
{
    (void)state;
    struct rig_config config = small_device();
    bench_open(&config);
    for (uint32_t id = 0; id < 500; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    static struct call calls[24];
    for (unsigned i = 0; i < 24; i++) {
        call_open(&calls[i], i % 2);
        calls[i].request.op.size = 3000;
        bb_port_reserve(calls[i].port, &calls[i].request);
    }
    unsigned granted = 0;
    for (unsigned i = 0; i < 24; i++) {
        int result = call_wait(&calls[i]);
        granted += result == 0;
        assert_true(result == 0 || result == BB_ERR_NO_SPACE);
    }
    assert_int_equal(granted, 12);
    for (unsigned i = 0; i < 24; i++)
        if (calls[i].request.result == 0)
            bb_port_release(calls[i].port, &calls[i].request);
    assert_true(rig_idle(&rig, 0));
    bench_verify_balance();
    bench_close();
}

/* The last record of the index is used, and the record behind the checkpoint that told so is not
 * something to fold: else the next checkpoint is wanted for ever. */
static void a_checkpoint_that_frees_nothing_is_not_repeated(void **state)
{
    (void)state;
    struct rig_config config = small_device();
    config.index_capacity = 505;
    bench_open(&config);
    for (uint32_t id = 0; id < 505; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
    int result = 0;
    (void)fill_up(505, &result);
    assert_int_equal(result, BB_ERR_INDEX_FULL);
    bench_verify_balance();
    bench_close();
}

/* ---- index ---- */

static void a_full_index_says_so_and_takes_blocks_again_after_deletes(void **state)
{
    (void)state;
    struct rig_config config = {
        .seed = 2, .id_count = 300, .size_fixed = 100, .index_capacity = 100, .port_count = 2};
    bench_open(&config);
    int result = 0;
    for (unsigned round = 0; round < 3; round++) {
        uint32_t id = fill_up(0, &result);
        assert_int_equal(result, BB_ERR_INDEX_FULL);
        assert_int_equal(id, 100);
        assert_int_equal(rig_do(&rig, RIG_DELETE, 17), 0);
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        assert_int_equal(rig_do(&rig, RIG_PUT, 17), BB_ERR_INDEX_FULL);
        for (uint32_t gone = 0; gone <= id; gone++)
            assert_int_equal(rig_do(&rig, RIG_DELETE, gone), gone == 17 ? -ENOENT : 0);
        bench_verify_balance();
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
    }
    bench_close();
}

/* What is refused costs nothing but the look: no checkpoints of nothing. */
static void refusing_with_a_full_index_writes_nothing(void **state)
{
    (void)state;
    struct rig_config config = {
        .seed = 2, .id_count = 300, .size_fixed = 100, .index_capacity = 100};
    bench_open(&config);
    int result = 0;
    uint32_t id = fill_up(0, &result);
    assert_int_equal(result, BB_ERR_INDEX_FULL);
    for (unsigned round = 0; round < 2; round++) { /* with and without items to fold */
        uint64_t windows = rig_status(&rig).windows, checkpoints = rig_status(&rig).checkpoints;
        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(rig_do(&rig, RIG_PUT, id), BB_ERR_INDEX_FULL);
        assert_int_equal(rig_status(&rig).checkpoints, checkpoints);
        assert_int_equal(rig_status(&rig).windows, windows);
        assert_true(rig_idle(&rig, 10000));
    }
    bench_close();
}

/* ---- ring and delta ---- */

/* One unit of the ring holds 84 items: PUTs that share records may fill the delta long before they
 * fill the ring, and the ring's size must not bound the number of items. */
static void items_that_share_records_do_not_use_up_the_ring(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 5,
                                .id_count = 4000,
                                .size_fixed = 8,
                                .device_size = 64 * BB_MIB,
                                .journal_size = 4 * BB_MIB,
                                .memory = 4 << 20};
    bench_open(&config);
    rig.index_paused = true; /* no checkpoint can end */
    static struct call calls[3000];
    uint8_t *bytes = aligned_alloc(BB_UNIT_SIZE, 3000 * BB_UNIT_SIZE);
    assert_non_null(bytes);
    for (uint32_t id = 0; id < 3000; id++)
        call_put(&calls[id], id, bytes + id * BB_UNIT_SIZE);
    bench_turns(4000);
    struct bb_store_status status = rig_status(&rig);
    assert_true(status.journal_used_units <= status.journal_units * 3 / 4);
    assert_in_range(status.delta_items, 1500, 3000);
    rig.index_paused = false;
    for (uint32_t id = 0; id < 3000; id++)
        assert_int_equal(call_wait(&calls[id]), 0);
    free(bytes);
    bench_verify_balance();
    bench_close();
}

static void puts_stop_at_three_quarters_of_the_ring_and_go_on(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 6, .id_count = 600, .size_fixed = 8};
    bench_open(&config);
    rig.index_paused = true;
    uint32_t id = 0;
    for (bool went = true; went; id += went) {
        struct rig_op *op = rig_submit(&rig, RIG_PUT, id);
        for (unsigned turn = 0; turn < 60 && op->busy; turn++)
            (void)rig_turn(&rig);
        went = !op->busy;
    }
    struct bb_store_status status = rig_status(&rig);
    uint64_t left = rig.store->reserve.credits;
    assert_in_range(status.journal_used_units + left, 185, 192);
    /* a DELETE still goes through */
    struct rig_op *remove = rig_submit(&rig, RIG_DELETE, 0);
    bench_turns(60);
    assert_false(remove->busy);
    rig.index_paused = false;
    assert_true(rig_settle(&rig));
    assert_int_equal(rig_do(&rig, RIG_PUT, id + 1), 0);
    bench_verify_balance();
    bench_close();
}

/* Reservations hold most of the delta: a DELETE that finds no room makes it, and does not wait for
 * the clock. */
static void a_delete_without_room_in_the_delta_makes_a_checkpoint(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 7,
                                .id_count = 3000,
                                .size_fixed = 8,
                                .device_size = 128 * BB_MIB,
                                .journal_size = 64 * BB_MIB,
                                .zone_size = 32 * BB_MIB,
                                .memory = 480 << 10};
    bench_open(&config);
    uint64_t capacity = rig_status(&rig).delta_max;
    for (uint32_t id = 0; id < 2700; id++)
        while (rig_submit(&rig, RIG_PUT, id) == NULL)
            (void)rig_turn(&rig);
    assert_true(rig_settle(&rig));
    assert_true(rig_checkpoint(&rig));
    static struct call held[4000], remove[2700];
    unsigned count = (unsigned)(capacity * 6 / 10);
    for (unsigned i = 0; i < count; i++) {
        call_open(&held[i], 0);
        held[i].request.op.size = 8;
        bb_port_reserve(rig.ports[0], &held[i].request);
    }
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(call_wait(&held[i]), 0);
    for (uint32_t id = 0; id < 2700; id++)
        call_delete(&remove[id], id);
    uint64_t before = rig.now_ms;
    for (uint32_t id = 0; id < 2700; id++)
        assert_int_equal(call_wait(&remove[id]), 0);
    assert_int_equal(rig.now_ms, before);
    for (unsigned i = 0; i < count; i++)
        bb_port_release(rig.ports[0], &held[i].request);
    assert_true(rig_idle(&rig, 0));
    bench_verify_balance();
    bench_close();
}

/* ---- pools ---- */

static void the_pools_hold_at_most_a_64th_of_free_space(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 8,
                                .device_size = 96 * BB_MIB,
                                .zone_size = 64 * BB_MIB,
                                .journal_size = 16 * BB_MIB,
                                .port_count = 2};
    bench_open(&config);
    static struct call calls[8]; /* orders 0 to 3 on both ports */
    for (unsigned i = 0; i < 8; i++) {
        call_open(&calls[i], i % 2);
        calls[i].request.op.size = BB_UNIT_SIZE << (i / 2);
        bb_port_reserve(calls[i].port, &calls[i].request);
    }
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(call_wait(&calls[i]), 0);
    uint64_t pooled = bench_pooled_units(rig.ports[0]) + bench_pooled_units(rig.ports[1]);
    assert_in_range(pooled, 1, bb_buddy_total_units(rig.buddy) / 64);
    for (unsigned i = 0; i < 8; i++)
        bb_port_release(calls[i].port, &calls[i].request);
    assert_true(rig_idle(&rig, 0));
    bench_verify_balance();
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_device_says_so_and_takes_blocks_again_after_deletes),
        cmocka_unit_test(a_full_device_is_stopped_started_and_emptied),
        cmocka_unit_test(a_fragmented_device_refuses_large_blocks_only),
        cmocka_unit_test(requests_that_wait_for_a_recall_all_get_what_there_is),
        cmocka_unit_test(a_checkpoint_that_frees_nothing_is_not_repeated),
        cmocka_unit_test(a_full_index_says_so_and_takes_blocks_again_after_deletes),
        cmocka_unit_test(refusing_with_a_full_index_writes_nothing),
        cmocka_unit_test(items_that_share_records_do_not_use_up_the_ring),
        cmocka_unit_test(puts_stop_at_three_quarters_of_the_ring_and_go_on),
        cmocka_unit_test(a_delete_without_room_in_the_delta_makes_a_checkpoint),
        cmocka_unit_test(the_pools_hold_at_most_a_64th_of_free_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
