/* SPDX-License-Identifier: Apache-2.0
 * The allocator in random runs and in whole devices against a naive model: a byte per unit and the
 * textbook definition of a free buddy. BB_SEED repeats a random run.
 */
#include "buddies.h"

static void do_allocate_run(struct bench *bench, unsigned order, unsigned count)
{
    unsigned whole = order + bb_log2_ceil(count);
    if (whole > BB_ORDER_MAX)
        whole = BB_ORDER_MAX;
    uint64_t expected = UINT64_MAX;
    unsigned expected_count = 0;
    for (; expected == UINT64_MAX && whole + 1 > order; whole--) {
        expected = model_best(bench, whole);
        expected_count = count < 1u << (whole - order) ? count : 1u << (whole - order);
        if (whole == 0)
            break;
    }
    uint64_t unit = 77;
    unsigned got = 78;
    int result = bb_buddy_allocate_run(bench->buddy, order, count, &unit, &got);
    if (expected == UINT64_MAX) {
        assert_int_equal(result, -ENOSPC);
        assert_int_equal(unit, 77);
        assert_int_equal(got, 78);
        return;
    }
    assert_int_equal(result, 0);
    assert_int_equal(unit, expected);
    assert_int_equal(got, expected_count);
    assert_int_equal(model_used(bench, unit, (uint64_t)got << order), 0);
    memset(bench->used + unit, 1, (size_t)got << order);
}

/* Frees the run of used units around a random place, or a part of it. */
static void do_free_somewhere(struct bench *bench, struct bb_random *random, uint64_t limit)
{
    uint64_t unit = bb_random_below(random, limit);
    while (unit < limit && (bench->used[unit] == 0 || !model_inside(bench, unit, 1)))
        unit++;
    uint64_t run = 0;
    uint64_t want = 1 + bb_random_below(random, 1ull << bb_random_below(random, 10));
    while (run < want && model_inside(bench, unit, run + 1) && bench->used[unit + run])
        run++;
    if (run > 0)
        do_free(bench, unit, run);
}

static void do_random(struct bench *bench, struct bb_random *random, uint64_t limit, bool growing)
{
    unsigned order = (unsigned)bb_random_below(random, BB_ORDER_COUNT);
    uint64_t unit = bb_random_below(random, limit + 64);
    uint64_t dice = bb_random_below(random, 100);
    if (dice < 4) {
        do_claim(bench, unit, bb_random_below(random, 260));
    } else if (dice < 10) {
        do_claim(bench, unit, 1 + bb_random_below(random, 4));
    } else if (dice < 18) {
        do_free(bench, unit, bb_random_below(random, 6));
    } else if (dice < (growing ? 60u : 85u)) {
        do_free_somewhere(bench, random, limit);
    } else if (dice < 92) {
        do_allocate(bench, order);
    } else {
        do_allocate_run(bench, order, 1 + (unsigned)bb_random_below(random, 256));
    }
}

/* The runs of a chunk by chance, all of them, against the bytes of the model. */
static void check_free_runs(const struct bench *bench, struct bb_random *random)
{
    uint32_t zone = (uint32_t)bb_random_below(random, bench->zones);
    uint64_t chunks = (bench->zone_count[zone] + 255) / 256;
    uint32_t chunk = (uint32_t)bb_random_below(random, chunks);
    const uint8_t *used = bench->used + bench->zone_first[zone] + 256 * (uint64_t)chunk;
    uint64_t units = bench->zone_count[zone] - 256 * (uint64_t)chunk;
    uint32_t end = units < 256 ? (uint32_t)units : 256, at = 0, found;
    for (;;) {
        uint32_t position = at;
        while (position < end && used[position])
            position++;
        uint32_t count = 0;
        while (position + count < end && !used[position + count])
            count++;
        assert_int_equal(bb_buddy_free_run(bench->buddy, zone, chunk, at, &found), count);
        if (count == 0)
            return;
        assert_int_equal(found, position);
        at = position + count;
    }
}

static void random_operations_match_the_model_on_several_zones(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (unsigned round = 0; round < 12; round++) {
        struct bench bench;
        unsigned zones = 1 + (unsigned)bb_random_below(&random, 4);
        uint64_t zone_units = 1 + bb_random_below(&random, 1200);
        uint64_t stride = round % 2 == 0 ? 2048 : 1280;
        bench_open(&bench, zones, zone_units);
        bb_buddy_ready(bench.buddy);
        bench_add(&bench, 256, zones == 1 ? zone_units / 2 + 1 : zone_units);
        unsigned steps = 500;
        for (unsigned step = 0; step < steps; step++) {
            bool open = step >= steps / 8 * bench.zones && bench.zones < zones;
            if (open) {
                uint64_t units = bench.zones == zones - 1 ? zone_units / 3 + 1 : zone_units;
                bench_add(&bench, 256 + stride * bench.zones, units);
            }
            uint64_t limit = 256 + stride * bench.zones;
            do_random(&bench, &random, limit, step / 50 % 2 == 0);
            check(&bench);
            check_free_runs(&bench, &random);
        }
        bench_close(&bench);
    }
}

static void claims_before_the_first_allocation_or_free_are_summarised_once(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (unsigned round = 0; round < 20; round++) {
        struct bench bench;
        bench_open(&bench, 3, 1000);
        for (unsigned z = 0; z < 2; z++)
            bench_add(&bench, 1024 * z, 1000);
        for (unsigned i = 0; i < 20 * round; i++) {
            if (i == 10)
                bench_add(&bench, 2048, 300);
            uint64_t unit = bb_random_below(&random, 2400);
            do_claim(&bench, unit, 1 + bb_random_below(&random, 1 + bb_random_below(&random, 256)));
            bb_buddy_verify(bench.buddy);
            assert_true(same(&bench, false));
        }
        if (round % 3 == 0) {
            bb_buddy_ready(bench.buddy);
        } else if (round % 3 == 1) {
            do_allocate(&bench, round % BB_ORDER_COUNT);
        } else {
            do_claim(&bench, 1200, 1); /* used from here on, whoever claimed it */
            do_free(&bench, 1200, 1);
        }
        check(&bench);
        for (unsigned i = 0; i < 20; i++)
            do_claim(&bench, bb_random_below(&random, 2400), 1 + bb_random_below(&random, 40));
        check(&bench);
        bench_close(&bench);
    }
}

static void the_comparison_notices_one_unit_and_one_wrong_count(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 1, 512);
    bench_add(&bench, 0, 512);
    bb_buddy_ready(bench.buddy);
    assert_true(same(&bench, true));
    bench.used[300] = 1;
    assert_false(same(&bench, true));
    assert_false(same(&bench, false));
    bench.used[300] = 0;
    bench.used[301] = 1;
    do_claim(&bench, 300, 1);
    bench.used[301] = 0;
    assert_true(same(&bench, true));
    bench_close(&bench);
}

static void freeing_everything_in_any_order_coalesces_to_whole_buddies(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    struct bench bench;
    bench_open(&bench, 2, 1024);
    bench_add(&bench, 0, 1024);
    bench_add(&bench, 2048, 600);
    static uint64_t taken[1624];
    for (unsigned i = 0; i < 1624; i++)
        assert_int_equal(bb_buddy_allocate(bench.buddy, 0, &taken[i]), 0);
    assert_int_equal(bb_buddy_largest_order(bench.buddy), -1);
    uint64_t none;
    assert_int_equal(bb_buddy_allocate(bench.buddy, 0, &none), -ENOSPC);
    for (unsigned i = 1624; i > 0; i--) {
        uint64_t pick = bb_random_below(&random, i);
        assert_int_equal(bb_buddy_free(bench.buddy, taken[pick], 1), 0);
        taken[pick] = taken[i - 1];
        if (i % 16 == 0)
            bb_buddy_verify(bench.buddy);
    }
    /* 4 + 2 whole buddies, and 600 - 512 = 88 = 64 + 16 + 8 */
    assert_int_equal(bb_buddy_free_count(bench.buddy, 8), 6);
    assert_int_equal(bb_buddy_free_count(bench.buddy, 6), 1);
    assert_int_equal(bb_buddy_free_count(bench.buddy, 4), 1);
    assert_int_equal(bb_buddy_free_count(bench.buddy, 3), 1);
    check(&bench);
    bench_close(&bench);
}

static void a_full_device_takes_each_unit_exactly_once(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 3, 700);
    bench_add(&bench, 0, 700);
    bench_add(&bench, 1024, 700);
    bench_add(&bench, 2048, 3);
    for (unsigned order = BB_ORDER_COUNT; order-- > 0;) {
        uint64_t fits = 0;
        for (unsigned k = order; k < BB_ORDER_COUNT; k++)
            fits += bb_buddy_free_count(bench.buddy, k) << (k - order);
        for (; fits > 0; fits--)
            do_allocate(&bench, order);
        do_allocate(&bench, order);
        check(&bench);
    }
    assert_int_equal(bb_buddy_free_units(bench.buddy), 0);
    assert_int_equal(bb_buddy_largest_order(bench.buddy), -1);
    for (unsigned count = 1; count <= 256; count *= 2)
        do_allocate_run(&bench, 0, count);
    bench_close(&bench);
}

static void runs_on_a_fresh_zone_ascend_without_gaps(void **state)
{
    (void)state;
    for (unsigned order = 0; order <= BB_ORDER_MAX; order++) {
        struct bench bench;
        bench_open(&bench, 1, 4096);
        bench_add(&bench, 512, 4096);
        unsigned count = 64 << order > 256 ? 256u >> order : 64;
        uint64_t next = 512;
        while (next < 512 + 4096) {
            uint64_t unit;
            unsigned got;
            assert_int_equal(bb_buddy_allocate_run(bench.buddy, order, count, &unit, &got), 0);
            assert_int_equal(unit, next);
            assert_int_equal(got, count);
            next += (uint64_t)got << order;
        }
        assert_int_equal(bb_buddy_free_units(bench.buddy), 0);
        bench_close(&bench);
    }
}

static void a_run_falls_back_to_what_fragmented_space_offers(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 1, 512);
    bench_add(&bench, 0, 512);
    for (unsigned unit = 7; unit < 512; unit += 8)
        do_claim(&bench, unit, 1); /* leaves groups of 4, 2 and 1 */
    uint64_t unit;
    unsigned got;
    assert_int_equal(bb_buddy_allocate_run(bench.buddy, 0, 256, &unit, &got), 0);
    assert_int_equal(got, 4);
    assert_int_equal(unit, 0);
    memset(bench.used, 1, 4);
    assert_int_equal(bb_buddy_allocate_run(bench.buddy, 1, 256, &unit, &got), 0);
    assert_int_equal(got, 2);
    assert_int_equal(unit, 8);
    memset(bench.used + 8, 1, 4);
    assert_int_equal(bb_buddy_allocate_run(bench.buddy, 3, 1, &unit, &got), -ENOSPC);
    assert_int_equal(bb_buddy_allocate_run(bench.buddy, 0, 3, &unit, &got), 0);
    assert_int_equal(got, 3);
    assert_int_equal(unit, 16);
    memset(bench.used + 16, 1, 3);
    check(&bench);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_comparison_notices_one_unit_and_one_wrong_count),
        cmocka_unit_test(random_operations_match_the_model_on_several_zones),
        cmocka_unit_test(claims_before_the_first_allocation_or_free_are_summarised_once),
        cmocka_unit_test(freeing_everything_in_any_order_coalesces_to_whole_buddies),
        cmocka_unit_test(a_full_device_takes_each_unit_exactly_once),
        cmocka_unit_test(runs_on_a_fresh_zone_ascend_without_gaps),
        cmocka_unit_test(a_run_falls_back_to_what_fragmented_space_offers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
