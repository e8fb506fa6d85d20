/* SPDX-License-Identifier: Apache-2.0
 * The allocator against a naive model: a byte per unit and the textbook definition of a free buddy.
 * BB_SEED repeats a random run.
 */
#include "bb/buddy.h"
#include "bb/random.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define UNIT_MAX 9216
#define ZONE_MAX 8

struct bench {
    struct bb_buddy *buddy;
    void *memory;
    uint64_t zone_first[ZONE_MAX];
    uint64_t zone_count[ZONE_MAX];
    unsigned zones;
    uint8_t used[UNIT_MAX]; /* by unit number; units outside the zones are used */
};

static uint64_t test_seed(void)
{
    const char *text = getenv("BB_SEED");
    uint64_t seed;
    if (text != NULL)
        seed = strtoull(text, NULL, 0);
    else
        bb_random_from_kernel(&seed, sizeof(seed));
    print_message("BB_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void bench_open(struct bench *bench, uint32_t zone_max, uint64_t zone_units)
{
    memset(bench, 0, sizeof(*bench));
    memset(bench->used, 1, sizeof(bench->used));
    size_t size = bb_buddy_memory(zone_max, zone_units);
    bench->memory = aligned_alloc(64, (size + 63) / 64 * 64);
    assert_non_null(bench->memory);
    memset(bench->memory, 0, size);
    bench->buddy = bb_buddy_init(bench->memory, size, zone_max, zone_units);
    assert_non_null(bench->buddy);
}

static void bench_add(struct bench *bench, uint64_t first_unit, uint64_t unit_count)
{
    assert_true(first_unit + unit_count <= UNIT_MAX);
    bb_buddy_add_zone(bench->buddy, first_unit, unit_count);
    memset(bench->used + first_unit, 0, unit_count);
    bench->zone_first[bench->zones] = first_unit;
    bench->zone_count[bench->zones++] = unit_count;
}

static void bench_close(struct bench *bench)
{
    free(bench->memory);
}

/* Model: the group of 2^order units at `unit` is free. Zones begin at multiples of 256. */
static bool model_free(const struct bench *bench, uint64_t unit, unsigned order)
{
    for (uint64_t i = 0; i < 1u << order; i++) {
        if (unit + i >= UNIT_MAX || bench->used[unit + i])
            return false;
    }
    return true;
}

static bool model_maximal(const struct bench *bench, uint64_t unit, unsigned order)
{
    if (unit % (1u << order) != 0 || !model_free(bench, unit, order))
        return false;
    return order == BB_ORDER_MAX || !model_free(bench, unit & ~((2ull << order) - 1), order + 1);
}

/* Model: lowest free buddy of exactly `order`; UINT64_MAX when there is none. */
static uint64_t model_lowest(const struct bench *bench, unsigned order)
{
    for (uint64_t unit = 0; unit < UNIT_MAX; unit += 1u << order) {
        if (model_maximal(bench, unit, order))
            return unit;
    }
    return UINT64_MAX;
}

/* Model: where a request that needs a free buddy of at least `order` is served. */
static uint64_t model_best(const struct bench *bench, unsigned order)
{
    for (unsigned from = order; from < BB_ORDER_COUNT; from++) {
        uint64_t unit = model_lowest(bench, from);
        if (unit != UINT64_MAX)
            return unit;
    }
    return UINT64_MAX;
}

/* Whether range [unit, unit + count) lies in one zone of the model. */
static bool model_inside(const struct bench *bench, uint64_t unit, uint64_t count)
{
    for (unsigned z = 0; z < bench->zones; z++) {
        uint64_t end = bench->zone_first[z] + bench->zone_count[z];
        if (count > 0 && unit >= bench->zone_first[z] && unit + count <= end)
            return true;
    }
    return false;
}

/* How many units of a range the model has as used. */
static uint64_t model_used(const struct bench *bench, uint64_t unit, uint64_t count)
{
    uint64_t used = 0;
    for (uint64_t i = 0; i < count; i++)
        used += bench->used[unit + i];
    return used;
}

static bool same(const struct bench *bench, bool with_orders)
{
    uint64_t free_units = 0;
    uint64_t total = 0;
    for (unsigned z = 0; z < bench->zones; z++) {
        total += bench->zone_count[z];
        uint64_t end = bench->zone_first[z] + bench->zone_count[z];
        for (uint64_t unit = bench->zone_first[z]; unit < end; unit++) {
            free_units += !bench->used[unit];
            if (bb_buddy_is_used(bench->buddy, unit, 1) != (bench->used[unit] != 0))
                return false;
        }
    }
    if (bb_buddy_free_units(bench->buddy) != free_units ||
        bb_buddy_total_units(bench->buddy) != total)
        return false;
    int largest = -1;
    for (unsigned order = 0; order < BB_ORDER_COUNT && with_orders; order++) {
        uint64_t count = 0;
        for (uint64_t unit = 0; unit < UNIT_MAX; unit += 1u << order)
            count += model_maximal(bench, unit, order);
        if (bb_buddy_free_count(bench->buddy, order) != count)
            return false;
        if (count != 0)
            largest = (int)order;
    }
    return !with_orders || bb_buddy_largest_order(bench->buddy) == largest;
}

static void check(const struct bench *bench)
{
    bb_buddy_verify(bench->buddy);
    assert_true(same(bench, true));
}

/* Each of these does one operation in both and compares the answers. */

static void do_allocate(struct bench *bench, unsigned order)
{
    uint64_t expected = model_best(bench, order);
    uint64_t unit = 77;
    int result = bb_buddy_allocate(bench->buddy, order, &unit);
    if (expected == UINT64_MAX) {
        assert_int_equal(result, -ENOSPC);
        assert_int_equal(unit, 77);
        assert_true(bb_buddy_largest_order(bench->buddy) < (int)order);
        return;
    }
    assert_int_equal(result, 0);
    assert_int_equal(unit, expected);
    memset(bench->used + unit, 1, 1u << order);
}

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

static void do_free(struct bench *bench, uint64_t unit, uint64_t count)
{
    int result = bb_buddy_free(bench->buddy, unit, count);
    if (!model_inside(bench, unit, count)) {
        assert_int_equal(result, -ERANGE);
    } else if (model_used(bench, unit, count) != count) {
        assert_int_equal(result, -EINVAL);
    } else {
        assert_int_equal(result, 0);
        memset(bench->used + unit, 0, count);
    }
}

static void do_claim(struct bench *bench, uint64_t unit, uint64_t count)
{
    int result = bb_buddy_claim(bench->buddy, unit, count);
    if (!model_inside(bench, unit, count) || count > 256) {
        assert_int_equal(result, -ERANGE);
    } else if (model_used(bench, unit, count) != 0) {
        assert_int_equal(result, -EEXIST);
    } else {
        assert_int_equal(result, 0);
        memset(bench->used + unit, 1, count);
    }
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

static void random_operations_match_the_model_on_several_zones(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, test_seed());
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
        }
        bench_close(&bench);
    }
}

static void claims_before_the_first_allocation_or_free_are_summarised_once(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, test_seed());
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

static void freeing_everything_in_any_order_coalesces_to_whole_buddies(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, test_seed());
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
static bool add_zone_aborts(struct bench *bench, uint64_t first_unit, uint64_t unit_count)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        signal(SIGABRT, SIG_DFL);
        bb_buddy_add_zone(bench->buddy, first_unit, unit_count);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
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
        cmocka_unit_test(the_comparison_notices_one_unit_and_one_wrong_count),
        cmocka_unit_test(random_operations_match_the_model_on_several_zones),
        cmocka_unit_test(claims_before_the_first_allocation_or_free_are_summarised_once),
        cmocka_unit_test(tail_of_an_exact_fit_comes_back_as_smaller_buddies),
        cmocka_unit_test(freeing_everything_in_any_order_coalesces_to_whole_buddies),
        cmocka_unit_test(double_free_is_refused_and_changes_nothing),
        cmocka_unit_test(claim_of_a_used_unit_is_refused_and_changes_nothing),
        cmocka_unit_test(ranges_outside_the_open_zones_are_refused),
        cmocka_unit_test(zones_at_unequal_distances_are_found),
        cmocka_unit_test(a_full_device_takes_each_unit_exactly_once),
        cmocka_unit_test(runs_on_a_fresh_zone_ascend_without_gaps),
        cmocka_unit_test(a_run_falls_back_to_what_fragmented_space_offers),
        cmocka_unit_test(a_run_longer_than_a_buddy_is_capped_at_one_mebibyte),
        cmocka_unit_test(memory_is_exact_and_untouched_before_a_zone_is_added),
        cmocka_unit_test(a_zone_that_is_misaligned_too_long_or_out_of_order_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
