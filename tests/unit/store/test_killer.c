/* SPDX-License-Identifier: Apache-2.0
 * Input that makes the quicksort of the mentions split off two items at a time: it must give up and
 * finish with the other algorithm.
 */
#include "bb/bits.h"
#include "bb/mentions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT_MAX 4000u

static uint32_t values[COUNT_MAX];
static struct bb_mention array[COUNT_MAX];

/* Built backwards: one split of the result takes its two smallest values off the front and leaves
 * what was there before. Of the three that a pivot is chosen from, those at 1 and in the middle are
 * the smallest ones. */
static void make_killer(uint32_t count)
{
    uint32_t have = 2 + count % 2;
    for (uint32_t i = 0; i < have; i++)
        values[i] = i;
    for (; have < count; have += 2) {
        uint32_t middle = (have + 2) / 2;
        for (uint32_t i = have; i-- > 0;)
            values[i + 2] = values[i] + 2;
        values[0] = values[middle];
        values[1] = 0;
        values[middle] = 1;
    }
}

static void sort_and_check(uint32_t count, enum bb_mentions_by by)
{
    struct bb_layout layout;
    struct bb_mentions mentions;
    assert_int_equal(bb_layout_make((uint64_t)64 * BB_MIB, BB_MIB, (uint64_t)32 * BB_MIB, &layout),
                     0);
    uint64_t first = bb_layout_zone(&layout, 0).first_unit;
    bb_mentions_init(&mentions, array, sizeof(array), &layout);
    bb_mentions_begin(&mentions, by, 0, UINT64_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct bb_mention mention = {.unit = first + values[i], .order = i, .op = BB_ITEM_PUT};
        mention.hash.bytes[0] = (uint8_t)(values[i] >> 8);
        mention.hash.bytes[1] = (uint8_t)values[i];
        assert_int_equal(bb_mentions_add(&mentions, &mention), 0);
    }
    assert_int_equal(mentions.count, count);
    bb_mentions_sort(&mentions);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(mentions.array[i].unit, first + i);
}

static void input_against_the_quicksort_is_sorted(void **state)
{
    (void)state;
    for (uint32_t count = 17; count <= COUNT_MAX; count = count * 3 / 2) {
        make_killer(count);
        sort_and_check(count, BB_BY_HASH);
        sort_and_check(count, BB_BY_UNIT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_against_the_quicksort_is_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
