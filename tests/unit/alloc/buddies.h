/* SPDX-License-Identifier: Apache-2.0
 * An allocator beside a naive model of it. Included once per test program.
 */
#ifndef ALLOC_BUDDIES_H
#define ALLOC_BUDDIES_H

#include "../base/unit.h"

#include "bb/buddy.h"

#include <errno.h>
#include <string.h>

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

static inline void bench_open(struct bench *bench, uint32_t zone_max, uint64_t zone_units)
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

static inline void bench_add(struct bench *bench, uint64_t first_unit, uint64_t unit_count)
{
    assert_true(first_unit + unit_count <= UNIT_MAX);
    bb_buddy_add_zone(bench->buddy, first_unit, unit_count);
    memset(bench->used + first_unit, 0, unit_count);
    bench->zone_first[bench->zones] = first_unit;
    bench->zone_count[bench->zones++] = unit_count;
}

static inline void bench_close(struct bench *bench)
{
    free(bench->memory);
}

/* Model: the group of 2^order units at `unit` is free. Zones begin at multiples of 256. */
static inline bool model_free(const struct bench *bench, uint64_t unit, unsigned order)
{
    for (uint64_t i = 0; i < 1u << order; i++) {
        if (unit + i >= UNIT_MAX || bench->used[unit + i])
            return false;
    }
    return true;
}

static inline bool model_maximal(const struct bench *bench, uint64_t unit, unsigned order)
{
    if (unit % (1u << order) != 0 || !model_free(bench, unit, order))
        return false;
    return order == BB_ORDER_MAX || !model_free(bench, unit & ~((2ull << order) - 1), order + 1);
}

/* Model: lowest free buddy of exactly `order`; UINT64_MAX when there is none. */
static inline uint64_t model_lowest(const struct bench *bench, unsigned order)
{
    for (uint64_t unit = 0; unit < UNIT_MAX; unit += 1u << order) {
        if (model_maximal(bench, unit, order))
            return unit;
    }
    return UINT64_MAX;
}

/* Model: where a request that needs a free buddy of at least `order` is served. */
static inline uint64_t model_best(const struct bench *bench, unsigned order)
{
    for (unsigned from = order; from < BB_ORDER_COUNT; from++) {
        uint64_t unit = model_lowest(bench, from);
        if (unit != UINT64_MAX)
            return unit;
    }
    return UINT64_MAX;
}

/* Whether range [unit, unit + count) lies in one zone of the model. */
static inline bool model_inside(const struct bench *bench, uint64_t unit, uint64_t count)
{
    for (unsigned z = 0; z < bench->zones; z++) {
        uint64_t end = bench->zone_first[z] + bench->zone_count[z];
        if (count > 0 && unit >= bench->zone_first[z] && unit + count <= end)
            return true;
    }
    return false;
}

/* How many units of a range the model has as used. */
static inline uint64_t model_used(const struct bench *bench, uint64_t unit, uint64_t count)
{
    uint64_t used = 0;
    for (uint64_t i = 0; i < count; i++)
        used += bench->used[unit + i];
    return used;
}

static inline bool same(const struct bench *bench, bool with_orders)
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

static inline void check(const struct bench *bench)
{
    bb_buddy_verify(bench->buddy);
    assert_true(same(bench, true));
}

static inline void do_allocate(struct bench *bench, unsigned order)
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

static inline void do_free(struct bench *bench, uint64_t unit, uint64_t count)
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

static inline void do_claim(struct bench *bench, uint64_t unit, uint64_t count)
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

#endif
