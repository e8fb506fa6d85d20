/* SPDX-License-Identifier: Apache-2.0
 * Final maps of the journal's items: sorting, ranges within memory, what decides and what
 * contradicts.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/mentions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ITEMS 3000

static struct bb_mention make(uint64_t name, uint64_t unit, uint64_t sequence, uint64_t index,
                              enum bb_item_op op)
{
    struct bb_mention mention = {
        .unit = unit, .order = sequence << 11 | index, .size = 4096, .op = (uint32_t)op};
    bb_hash_of(&name, sizeof(name), &mention.hash);
    return mention;
}

static void fill(struct bb_mentions *mentions, const struct bb_mention *from, size_t count)
{
    bb_mentions_begin(mentions, mentions->by, 0, UINT64_MAX);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(bb_mentions_add(mentions, &from[i]), 0);
    bb_mentions_sort(mentions);
}

static bool ordered(const struct bb_mentions *mentions, size_t i)
{
    const struct bb_mention *a = &mentions->array[i - 1], *b = &mentions->array[i];
    if (mentions->by == BB_BY_UNIT)
        return a->unit < b->unit || (a->unit == b->unit && a->order < b->order);
    int order = bb_hash_compare(&a->hash, &b->hash);
    return order < 0 || (order == 0 && a->order < b->order);
}

/* Patterns that quicksorts stumble over, and random ones. */
static uint64_t pattern(unsigned kind, uint64_t i, struct bb_random *random)
{
    switch (kind) {
    case 0:
        return i;
    case 1:
        return ITEMS - i;
    case 2:
        return i % 7;
    case 3:
        return 1;
    case 4:
        return i < ITEMS / 2 ? i : ITEMS - i;
    default:
        return bb_random_below(random, 1000);
    }
}

static void every_pattern_is_sorted(void **state)
{
    (void)state;
    static struct bb_mention array[ITEMS];
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_zone zone = bb_layout_zone(&scribe->super.layout, 0);
    struct bb_mentions mentions;
    struct bb_random random;
    bb_random_seed(&random, 3);
    for (unsigned kind = 0; kind < 8; kind++) {
        for (enum bb_mentions_by by = BB_BY_HASH; by <= BB_BY_UNIT; by++) {
            bb_mentions_init(&mentions, array, sizeof(array), &scribe->super.layout);
            bb_mentions_begin(&mentions, by, 0, UINT64_MAX);
            for (uint64_t i = 0; i < ITEMS; i++) {
                uint64_t value = pattern(kind, i, &random);
                struct bb_mention mention =
                    make(value, zone.first_unit + value % 512, i, 0, BB_ITEM_PUT);
                assert_int_equal(bb_mentions_add(&mentions, &mention), 0);
            }
            assert_int_equal(mentions.count, ITEMS);
            bb_mentions_sort(&mentions);
            for (size_t i = 1; i < mentions.count; i++)
                assert_true(ordered(&mentions, i));
        }
    }
    scribe_free(scribe);
}

static void full_array_keeps_a_complete_lower_range(void **state)
{
    (void)state;
    static struct bb_mention array[100], all[ITEMS];
    struct bb_layout layout;
    struct bb_mentions mentions;
    assert_int_equal(bb_layout_make(33 * BB_MIB, BB_MIB, BB_ZONE_SIZE_MIN, &layout), 0);
    bb_mentions_init(&mentions, array, sizeof(array), &layout);
    for (uint64_t i = 0; i < ITEMS; i++)
        all[i] = make(i, 0, i, 0, BB_ITEM_PUT);
    uint64_t low = 0, seen = 0;
    for (;;) {
        bb_mentions_begin(&mentions, BB_BY_HASH, low, UINT64_MAX);
        for (uint64_t i = 0; i < ITEMS; i++)
            assert_int_equal(bb_mentions_add(&mentions, &all[i]), 0);
        uint64_t expected = 0;
        for (uint64_t i = 0; i < ITEMS; i++) {
            uint64_t key = bb_mentions_hash_key(&all[i].hash);
            expected += key >= low && key <= mentions.high ? 1 : 0;
        }
        assert_int_equal(mentions.count, expected);
        seen += expected;
        if (mentions.high == UINT64_MAX)
            break;
        low = mentions.high + 1;
    }
    assert_int_equal(seen, ITEMS);
}

static void more_items_of_one_key_than_fit_are_an_error(void **state)
{
    (void)state;
    static struct bb_mention array[4];
    struct bb_layout layout;
    struct bb_mentions mentions;
    assert_int_equal(bb_layout_make(33 * BB_MIB, BB_MIB, BB_ZONE_SIZE_MIN, &layout), 0);
    bb_mentions_init(&mentions, array, sizeof(array), &layout);
    struct bb_mention mention = make(1, 0, 1, 0, BB_ITEM_PUT);
    uint64_t key = bb_mentions_hash_key(&mention.hash);
    bb_mentions_begin(&mentions, BB_BY_HASH, key, key);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bb_mentions_add(&mentions, &mention), 0);
    assert_int_equal(bb_mentions_add(&mentions, &mention), BB_ERR_MEMORY);
}

struct history {
    const char *text; /* P, D, M: of block 1 at unit 9; p, d: at unit 10; X: block 2 at unit 9;
                         a space starts the next record */
    enum bb_mentions_by by;
    int error;
    bool present, corrupt, pair;
};

static void last_item_decides_and_contradictions_are_found(void **state)
{
    (void)state;
    static const struct history histories[] = {
        {"P", BB_BY_HASH, 0, true, false, false},
        {"P D", BB_BY_HASH, 0, false, false, false},
        {"P M", BB_BY_HASH, 0, true, true, false},
        {"D P", BB_BY_HASH, 0, true, false, false},
        {"M Dp", BB_BY_HASH, 0, true, false, true},
        {"M D p", BB_BY_HASH, 0, true, false, false},
        {"Dp d", BB_BY_HASH, 0, false, false, false},
        {"P P", BB_BY_HASH, BB_ERR_OVERLAP, false, false, false},
        {"P p", BB_BY_HASH, BB_ERR_OVERLAP, false, false, false},
        {"P d", BB_BY_HASH, BB_ERR_DAMAGED, false, false, false},
        {"D D", BB_BY_HASH, BB_ERR_DAMAGED, false, false, false},
        {"D M", BB_BY_HASH, BB_ERR_DAMAGED, false, false, false},
        {"P D X", BB_BY_UNIT, 0, true, false, false},
        {"DX", BB_BY_UNIT, 0, true, false, false},
        {"P X", BB_BY_UNIT, BB_ERR_OVERLAP, false, false, false},
        {"X D", BB_BY_UNIT, BB_ERR_DAMAGED, false, false, false},
        {"X M", BB_BY_UNIT, BB_ERR_DAMAGED, false, false, false},
    };
    static struct bb_mention array[16];
    struct bb_layout layout;
    assert_int_equal(bb_layout_make(33 * BB_MIB, BB_MIB, BB_ZONE_SIZE_MIN, &layout), 0);
    uint64_t unit = bb_layout_zone(&layout, 0).first_unit;
    for (size_t n = 0; n < sizeof(histories) / sizeof(histories[0]); n++) {
        const struct history *history = &histories[n];
        struct bb_mention from[16];
        size_t count = 0;
        uint64_t sequence = 1;
        for (const char *c = history->text; *c != '\0'; c++) {
            if (*c == ' ') {
                sequence++;
                continue;
            }
            enum bb_item_op op = *c == 'D' || *c == 'd' ? BB_ITEM_DELETE
                                 : *c == 'M'            ? BB_ITEM_MARK
                                                        : BB_ITEM_PUT;
            uint64_t at = *c == 'p' || *c == 'd' ? unit + 1 : unit;
            from[count] = make(*c == 'X' ? 2 : 1, at, sequence, count, op);
            count++;
        }
        struct bb_mentions mentions;
        struct bb_final final;
        struct bb_contradiction contradiction;
        bb_mentions_init(&mentions, array, sizeof(array), &layout);
        mentions.by = history->by;
        fill(&mentions, from, count);
        assert_int_equal(bb_mentions_run(&mentions, 0), count);
        int error = bb_mentions_fold(&mentions, 0, count, &final, &contradiction);
        if (error != history->error)
            fail_msg("%s: %d", history->text, error);
        if (error != 0)
            continue;
        assert_int_equal(final.present, history->present);
        assert_int_equal(final.corrupt, history->corrupt);
        assert_int_equal(final.has_pair, history->pair);
        if (final.has_pair)
            assert_int_equal(final.pair_unit, unit);
        assert_int_equal(final.first_put, from[0].op == BB_ITEM_PUT);
    }
}

/* A journal in which blocks come and go on few units, in an array that holds a fraction of it. */
static void condensed_items_fold_to_the_same(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, 11);
    struct scribe *scribe = scribe_new_with_ring(1, 0, 2);
    uint64_t first_unit = bb_layout_zone(&scribe->super.layout, 0).first_unit;
    uint64_t owner[40] = {0}, count = 0; /* name of the block on a unit, 0: none */
    for (unsigned record = 0; record < 60; record++) {
        for (unsigned i = 0; i < 500; i++, count++) {
            uint64_t at = bb_random_below(&random, 40);
            uint64_t name = owner[at] != 0 ? owner[at] : at + 1 + 100 * bb_random_below(&random, 3);
            struct bb_item item = {.op = BB_ITEM_PUT, .size = 9, .unit = first_unit + at};
            if (owner[at] != 0)
                item.op = bb_random_below(&random, 4) == 0 ? BB_ITEM_MARK : BB_ITEM_DELETE;
            owner[at] = item.op == BB_ITEM_DELETE ? 0 : name;
            bb_hash_of(&name, sizeof(name), &item.hash);
            scribe_raw(scribe, &item);
        }
        assert_true(scribe_record(scribe));
        scribe_flush(scribe);
        scribe->item_count = scribe->window_first = 0;
    }
    static struct bb_mention small_array[4000], large_array[40000];
    struct bb_mentions small, large;
    struct bb_scan scan = {.io = scribe->io,
                           .super = &scribe->super,
                           .buf = aligned_alloc(BB_UNIT_SIZE, BB_SCAN_BUFFER_SIZE)};
    bb_mentions_init(&small, small_array, sizeof(small_array), &scribe->super.layout);
    bb_mentions_init(&large, large_array, sizeof(large_array), &scribe->super.layout);
    small.keep_above = 59; /* of the last record everything is kept */
    for (enum bb_mentions_by by = BB_BY_HASH; by <= BB_BY_UNIT; by++) {
        uint64_t high;
        uint64_t max = by == BB_BY_HASH ? UINT64_MAX : 9;
        assert_int_equal(bb_mentions_load(&large, &scan, &scribe->anchor, by, 0, max, &high), 0);
        assert_int_equal(large.count, count);
        assert_int_equal(bb_mentions_load(&small, &scan, &scribe->anchor, by, 0, max, &high), 0);
        assert_int_equal(high, max);
        assert_true(small.count <= 4000);
        size_t a = 0, b = 0;
        while (a < small.count && b < large.count) {
            size_t a_end = bb_mentions_run(&small, a), b_end = bb_mentions_run(&large, b);
            struct bb_final of_small, of_large;
            struct bb_contradiction contradiction;
            memset(&of_small, 0, sizeof(of_small));
            memset(&of_large, 0, sizeof(of_large));
            assert_int_equal(bb_mentions_fold(&small, a, a_end, &of_small, &contradiction), 0);
            assert_int_equal(bb_mentions_fold(&large, b, b_end, &of_large, &contradiction), 0);
            assert_memory_equal(&of_small.last, &of_large.last, sizeof(of_small.last));
            assert_int_equal(of_small.present, of_large.present);
            assert_int_equal(of_small.first_put, of_large.first_put);
            assert_int_equal(of_small.has_pair, of_large.has_pair);
            size_t recent_small = 0, recent_large = 0;
            for (size_t i = a; i < a_end; i++)
                recent_small += bb_mention_sequence(&small.array[i]) > 59 ? 1 : 0;
            for (size_t i = b; i < b_end; i++)
                recent_large += bb_mention_sequence(&large.array[i]) > 59 ? 1 : 0;
            assert_int_equal(recent_small, recent_large);
            a = a_end;
            b = b_end;
        }
        assert_true(a == small.count && b == large.count);
    }
    free(scan.buf);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_is_sorted),
        cmocka_unit_test(full_array_keeps_a_complete_lower_range),
        cmocka_unit_test(more_items_of_one_key_than_fit_are_an_error),
        cmocka_unit_test(condensed_items_fold_to_the_same),
        cmocka_unit_test(last_item_decides_and_contradictions_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
