/* SPDX-License-Identifier: Apache-2.0
 * The folds of one chunk against counting units one by one. BB_SEED repeats a random run.
 */
#include "../base/unit.h"

#include "../../../src/alloc/chunk.h"

#include <string.h>

static bool unit_used(const struct bb_chunk *chunk, unsigned unit)
{
    return (chunk->used[unit / 64] >> (unit % 64) & 1) != 0;
}

static bool range_all(const struct bb_chunk *chunk, unsigned unit, unsigned count, bool used)
{
    for (unsigned i = 0; i < count; i++) {
        if (unit_used(chunk, unit + i) != used)
            return false;
    }
    return true;
}

static bool maximal(const struct bb_chunk *chunk, unsigned unit, unsigned order)
{
    if (!range_all(chunk, unit, 1u << order, false))
        return false;
    unsigned parent = unit & ~((2u << order) - 1);
    return order == BB_ORDER_MAX || !range_all(chunk, parent, 2u << order, false);
}

static void check_chunk(const struct bb_chunk *chunk)
{
    uint8_t count[BB_ORDER_COUNT];
    bb_chunk_count(chunk, count);
    unsigned orders = 0;
    for (unsigned order = 0; order < BB_ORDER_COUNT; order++) {
        unsigned expected = 0;
        unsigned lowest = 0;
        for (unsigned unit = BB_CHUNK_UNITS; unit > 0;) {
            unit -= 1u << order;
            if (maximal(chunk, unit, order)) {
                expected++;
                lowest = unit;
            }
        }
        assert_int_equal(count[order], expected);
        if (expected == 0)
            continue;
        orders |= 1u << order;
        bool more;
        assert_int_equal(bb_chunk_first(chunk, order, &more), lowest);
        assert_int_equal(more, expected > 1);
    }
    assert_int_equal(bb_chunk_orders(chunk), orders);
}

/* Starts with all units used or free and writes random aligned groups, large ones rarely. */
static void chunk_random(struct bb_chunk *chunk, struct bb_random *random)
{
    memset(chunk, bb_random_below(random, 2) != 0 ? 0xff : 0, sizeof(*chunk));
    for (uint64_t i = bb_random_below(random, 80); i > 0; i--) {
        unsigned order = (unsigned)bb_random_below(random, 1 + bb_random_below(random, 9));
        unsigned unit = (unsigned)bb_random_below(random, BB_CHUNK_UNITS >> order) << order;
        if (bb_random_below(random, 2) != 0)
            bb_chunk_set(chunk, unit, 1u << order);
        else
            bb_chunk_clear(chunk, unit, 1u << order);
    }
}

static void folds_agree_with_counting_unit_by_unit(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    struct bb_chunk chunk = {{0}};
    check_chunk(&chunk);
    memset(&chunk, 0xff, sizeof(chunk));
    check_chunk(&chunk);
    for (unsigned round = 0; round < 20000; round++) {
        chunk_random(&chunk, &random);
        check_chunk(&chunk);
    }
}

static void every_arrangement_of_the_large_orders_is_folded_right(void **state)
{
    (void)state;
    for (unsigned free_words = 0; free_words < 16; free_words++) {
        struct bb_chunk chunk;
        for (unsigned w = 0; w < BB_CHUNK_WORDS; w++)
            chunk.used[w] = (free_words >> w & 1) != 0 ? 0 : UINT64_MAX;
        check_chunk(&chunk);
    }
}

static void every_range_is_set_tested_and_cleared_exactly(void **state)
{
    (void)state;
    for (unsigned unit = 0; unit < BB_CHUNK_UNITS; unit++) {
        for (unsigned count = 1; unit + count <= BB_CHUNK_UNITS; count += 1 + count / 8) {
            struct bb_chunk chunk = {{0}};
            assert_true(bb_chunk_all_free(&chunk, unit, count));
            bb_chunk_set(&chunk, unit, count);
            assert_true(range_all(&chunk, unit, count, true));
            assert_true(range_all(&chunk, 0, unit, false));
            assert_true(range_all(&chunk, unit + count, BB_CHUNK_UNITS - unit - count, false));
            assert_true(bb_chunk_all_used(&chunk, unit, count));
            unsigned hole = unit + count / 2;
            bb_chunk_clear(&chunk, hole, 1);
            assert_false(unit_used(&chunk, hole));
            assert_false(bb_chunk_all_used(&chunk, unit, count));
            assert_int_equal(bb_chunk_all_free(&chunk, unit, count), count == 1);
            bb_chunk_clear(&chunk, unit, count);
            assert_true(range_all(&chunk, 0, BB_CHUNK_UNITS, false));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_agree_with_counting_unit_by_unit),
        cmocka_unit_test(every_arrangement_of_the_large_orders_is_folded_right),
        cmocka_unit_test(every_range_is_set_tested_and_cleared_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
