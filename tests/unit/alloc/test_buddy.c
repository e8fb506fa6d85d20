/* SPDX-License-Identifier: Apache-2.0
 * The allocator: exact fit, refusals, zones, its memory.
 */
#include "buddies.h"

static void tail_of_an_exact_fit_comes_back_as_smaller_buddies(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 1, 256);
    bench_add(&bench, 0, 256);
    for (unsigned n = 1; n <= 256; n++) {
        unsigned order = bb_log2_ceil(n);
        uint64_t unit = 1;
        assert_int_equal(bb_buddy_allocate(bench.buddy, order, &unit), 0);
        assert_int_equal(unit, 0);
        memset(bench.used, 1, 1u << order);
        if (n < 1u << order)
            do_free(&bench, n, (1u << order) - n);
        check(&bench);
        assert_int_equal(bb_buddy_free_units(bench.buddy), 256 - n);
        for (unsigned k = 0; k < BB_ORDER_COUNT; k++)
            assert_int_equal(bb_buddy_free_count(bench.buddy, k), (256 - n) >> k & 1);
        do_free(&bench, 0, n);
        assert_int_equal(bb_buddy_free_count(bench.buddy, BB_ORDER_MAX), 1);
        check(&bench);
    }
    bench_close(&bench);
}

static void double_free_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 1, 1024);
    bench_add(&bench, 512, 1024);
    do_allocate(&bench, 8);
    do_allocate(&bench, 8);
    assert_int_equal(bb_buddy_free(bench.buddy, 600, 10), 0);
    memset(bench.used + 600, 0, 10);
    assert_int_equal(bb_buddy_free(bench.buddy, 600, 10), -EINVAL);
    assert_int_equal(bb_buddy_free(bench.buddy, 599, 2), -EINVAL);
    assert_int_equal(bb_buddy_free(bench.buddy, 609, 2), -EINVAL);
    assert_int_equal(bb_buddy_free(bench.buddy, 512, 256), -EINVAL);
    /* the free unit lies in the second chunk of the range */
    assert_int_equal(bb_buddy_free(bench.buddy, 700, 512), -EINVAL);
    check(&bench);
    bench_close(&bench);
}

static void claim_of_a_used_unit_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 1, 1024);
    bench_add(&bench, 0, 1024);
    for (unsigned loaded = 0; loaded < 2; loaded++) {
        do_claim(&bench, 300 + 400 * loaded, 1);
        assert_int_equal(bb_buddy_claim(bench.buddy, 300 + 400 * loaded, 1), -EEXIST);
        assert_int_equal(bb_buddy_claim(bench.buddy, 200 + 400 * loaded, 101), -EEXIST);
        bb_buddy_ready(bench.buddy);
        check(&bench);
    }
    bench_close(&bench);
}

static void ranges_outside_the_open_zones_are_refused(void **state)
{
    (void)state;
    static const uint64_t outside[][2] = {
        {0, 1},          {255, 1},        {255, 2},          {755, 2},
        {756, 1},        {1000, 1},       {1536, 1},         {1023, 2},
        {1024 + 500, 1}, {1024 + 499, 2}, {1024 + 400, 256}, {256, 0},
        {UINT64_MAX, 1}, {UINT64_MAX, 2}, {300, UINT64_MAX}, {2048, 1},
    };
    struct bench bench;
    bench_open(&bench, 3, 500);
    assert_int_equal(bb_buddy_claim(bench.buddy, 256, 1), -ERANGE);
    assert_int_equal(bb_buddy_free(bench.buddy, 256, 1), -ERANGE);
    uint64_t none;
    assert_int_equal(bb_buddy_allocate(bench.buddy, 0, &none), -ENOSPC);
    bench_add(&bench, 256, 500);
    bench_add(&bench, 1024, 500);
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        assert_int_equal(bb_buddy_claim(bench.buddy, outside[i][0], outside[i][1]), -ERANGE);
        assert_int_equal(bb_buddy_free(bench.buddy, outside[i][0], outside[i][1]), -ERANGE);
        assert_false(bb_buddy_is_used(bench.buddy, outside[i][0], outside[i][1]));
    }
    check(&bench);
    bench_close(&bench);
}

static void zones_at_unequal_distances_are_found(void **state)
{
    (void)state;
    static const uint64_t first[] = {256, 512, 2048, 2304, 5120, 7680};
    struct bench bench;
    bench_open(&bench, 6, 256);
    for (unsigned z = 0; z < 6; z++)
        bench_add(&bench, first[z], 200 + z);
    for (unsigned z = 0; z < 6; z++) {
        do_claim(&bench, first[z], 1);
        do_claim(&bench, first[z] + 199 + z, 1);
        do_claim(&bench, first[z] + 200 + z, 1);
        do_claim(&bench, first[z] - 1, 1);
    }
    bb_buddy_ready(bench.buddy);
    check(&bench);
    assert_int_equal(bb_buddy_free_units(bench.buddy), 1215 - 12);
    bench_close(&bench);
}

static void a_run_longer_than_a_buddy_is_capped_at_one_mebibyte(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 1, 1024);
    bench_add(&bench, 0, 1024);
    uint64_t unit;
    unsigned got;
    assert_int_equal(bb_buddy_allocate_run(bench.buddy, 4, 256, &unit, &got), 0);
    assert_int_equal(unit, 0);
    assert_int_equal(got, 16);
    assert_int_equal(bb_buddy_allocate_run(bench.buddy, 8, 2, &unit, &got), 0);
    assert_int_equal(unit, 256);
    assert_int_equal(got, 1);
    bench_close(&bench);
}

static void zones_and_chunks_say_how_full_they_are(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 2, 1000);
    bench_add(&bench, 0, 1000); /* chunks of 256, 256, 256 and 232 units */
    bench_add(&bench, 1024, 512);
    do_claim(&bench, 300, 4);
    do_claim(&bench, 1024, 256);
    struct bb_buddy_zone zone = bb_buddy_zone(bench.buddy, 0);
    assert_int_equal(zone.free_units, 996);
    assert_int_equal(zone.free_chunks, 0); /* not known yet */
    bb_buddy_ready(bench.buddy);
    assert_int_equal(bb_buddy_zone_count(bench.buddy), 2);
    zone = bb_buddy_zone(bench.buddy, 0);
    assert_int_equal(zone.units, 1000);
    assert_int_equal(zone.chunk_count, 4);
    assert_int_equal(zone.free_chunks, 2);
    zone = bb_buddy_zone(bench.buddy, 1);
    assert_int_equal(zone.free_units, 256);
    assert_int_equal(zone.chunk_count, 2);
    assert_int_equal(zone.free_chunks, 1);

    struct bb_buddy_chunk chunk = bb_buddy_chunk(bench.buddy, 0, 1);
    assert_int_equal(chunk.units, 256);
    assert_int_equal(chunk.free_units, 252);
    assert_int_equal(chunk.largest_order, 7);
    chunk = bb_buddy_chunk(bench.buddy, 0, 3);
    assert_int_equal(chunk.units, 232);
    assert_int_equal(chunk.free_units, 232);
    assert_int_equal(chunk.largest_order, 7);
    chunk = bb_buddy_chunk(bench.buddy, 1, 0);
    assert_int_equal(chunk.free_units, 0);
    assert_int_equal(chunk.largest_order, -1);

    do_free(&bench, 300, 4);
    assert_int_equal(bb_buddy_zone(bench.buddy, 0).free_chunks, 3);
    uint64_t unit;
    assert_int_equal(bb_buddy_allocate(bench.buddy, BB_ORDER_MAX, &unit), 0);
    assert_int_equal(unit, 0);
    assert_int_equal(bb_buddy_zone(bench.buddy, 0).free_units, 744);
    assert_int_equal(bb_buddy_zone(bench.buddy, 0).free_chunks, 2);
    bench_close(&bench);
}

static void memory_is_exact_and_untouched_before_a_zone_is_added(void **state)
{
    (void)state;
    const uint64_t zone_units = 257536;
    size_t size = bb_buddy_memory(64, zone_units);
    assert_true(size <= 64 * (35u << 10));
    assert_true(size >= 64 * (zone_units / 8));
    uint8_t *memory = aligned_alloc(64, (size + 4096 + 63) / 64 * 64);
    assert_non_null(memory);
    memset(memory, 0, size);
    memset(memory + size, 0x5a, 4096);
    struct bb_buddy *buddy = bb_buddy_init(memory, size, 64, zone_units);
    bb_buddy_add_zone(buddy, 0, zone_units);
    size_t touched = 0;
    for (size_t i = 0; i < size; i++)
        touched += memory[i] != 0;
    assert_true(touched < 4096);
    for (uint32_t z = 1; z < 64; z++)
        bb_buddy_add_zone(buddy, (uint64_t)z << 18, zone_units);
    uint64_t last = ((uint64_t)63 << 18) + zone_units - 1;
    assert_int_equal(bb_buddy_claim(buddy, last, 1), 0);
    assert_int_equal(bb_buddy_free_count(buddy, 8), 64 * 1006);
    bb_buddy_ready(buddy);
    assert_int_equal(bb_buddy_free_count(buddy, 8), 64 * 1006 - 1);
    uint64_t unit;
    for (unsigned i = 0; i < 64 * 1006 - 1; i++)
        assert_int_equal(bb_buddy_allocate(buddy, 8, &unit), 0);
    assert_int_equal(unit, ((uint64_t)63 << 18) + 1004 * 256);
    bb_buddy_verify(buddy);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(memory[size + i], 0x5a);
    free(memory);
}

/* Runs add_zone in a child; whether an assertion stopped it. */
struct zone_call {
    struct bench *bench;
    uint64_t first_unit, unit_count;
};

static void add_zone(void *argument)
{
    const struct zone_call *call = argument;
    bb_buddy_add_zone(call->bench->buddy, call->first_unit, call->unit_count);
}

static bool add_zone_aborts(struct bench *bench, uint64_t first_unit, uint64_t unit_count)
{
    struct zone_call call = {bench, first_unit, unit_count};
    return unit_aborts(add_zone, &call);
}

static void a_zone_that_is_misaligned_too_long_or_out_of_order_aborts(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 2, 512);
    bench_add(&bench, 1024, 512);
    assert_false(add_zone_aborts(&bench, 1536, 512));
    assert_false(add_zone_aborts(&bench, 2048, 1));
    assert_true(add_zone_aborts(&bench, 2049, 100));
    assert_true(add_zone_aborts(&bench, 2048 + 128, 100));
    assert_true(add_zone_aborts(&bench, 1280, 100));
    assert_true(add_zone_aborts(&bench, 0, 100));
    assert_true(add_zone_aborts(&bench, 2048, 513));
    assert_true(add_zone_aborts(&bench, 2048, 0));
    bench_add(&bench, 2048, 512);
    assert_true(add_zone_aborts(&bench, 4096, 512));
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tail_of_an_exact_fit_comes_back_as_smaller_buddies),
        cmocka_unit_test(double_free_is_refused_and_changes_nothing),
        cmocka_unit_test(claim_of_a_used_unit_is_refused_and_changes_nothing),
        cmocka_unit_test(ranges_outside_the_open_zones_are_refused),
        cmocka_unit_test(zones_at_unequal_distances_are_found),
        cmocka_unit_test(a_run_longer_than_a_buddy_is_capped_at_one_mebibyte),
        cmocka_unit_test(zones_and_chunks_say_how_full_they_are),
        cmocka_unit_test(memory_is_exact_and_untouched_before_a_zone_is_added),
        cmocka_unit_test(a_zone_that_is_misaligned_too_long_or_out_of_order_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
