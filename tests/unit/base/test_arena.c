/* SPDX-License-Identifier: Apache-2.0
 * The arena: zeroed, aligned, never overlapping, never after the seal. */
#include "bb/arena.h"
#include "bb/bits.h"
#include "unit.h"

#include <errno.h>

static void memory_is_zeroed_and_rounded_up_to_huge_pages(void **state)
{
    (void)state;
    for (int huge = 0; huge <= 1; huge++) {
        for (int prefault = 0; prefault <= 1; prefault++) {
            struct bb_arena arena;
            assert_int_equal(bb_arena_open(1, huge != 0, prefault != 0, &arena), 0);
            assert_int_equal(arena.size, 2 * BB_MIB);
            assert_true(bb_is_aligned((uintptr_t)arena.base, 2 * BB_MIB));
            assert_true(bb_is_zero(arena.base, arena.size));
            bb_arena_close(&arena);
            assert_null(arena.base);
        }
    }
}

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct bb_random random;
    struct bb_arena arena;
    unit_seed(&random);
    assert_int_equal(bb_arena_open(4 * BB_MIB, false, false, &arena), 0);
    const uint8_t *end = arena.base;
    int count = 0;
    for (;; count++) {
        size_t size = bb_random_below(&random, 20000);
        size_t alignment = (size_t)1 << bb_random_below(&random, 14);
        uint8_t *piece = bb_arena_alloc(&arena, size, alignment);
        if (piece == NULL)
            break;
        assert_true(piece >= end);
        assert_true(bb_is_aligned((uintptr_t)piece, alignment));
        end = piece + size;
        assert_true(end <= arena.base + arena.size);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(piece[i], 0);
            piece[i] = 0xff;
        }
    }
    assert_true(count > 100);
    bb_arena_close(&arena);
}

static void the_last_byte_can_be_had_and_not_one_more(void **state)
{
    (void)state;
    struct bb_arena arena;
    assert_int_equal(bb_arena_open(2 * BB_MIB, false, false, &arena), 0);
    assert_null(bb_arena_alloc(&arena, 2 * BB_MIB + 1, 1));
    assert_null(bb_arena_alloc(&arena, SIZE_MAX, 1));
    assert_non_null(bb_arena_alloc(&arena, 2 * BB_MIB - 1, 1));
    assert_null(bb_arena_alloc(&arena, 1, 4096));
    assert_ptr_equal(bb_arena_alloc(&arena, 1, 1), arena.base + 2 * BB_MIB - 1);
    assert_null(bb_arena_alloc(&arena, 1, 1));
    bb_arena_close(&arena);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct bb_arena arena = {.size = 77};
    assert_int_equal(bb_arena_open(SIZE_MAX, false, false, &arena), -ENOMEM);
    assert_true(bb_arena_open(SIZE_MAX / 2, true, false, &arena) < 0);
    assert_int_equal(arena.size, 77); /* untouched */
}

static void alloc_one(void *argument)
{
    (void)!bb_arena_alloc(argument, 1, 1);
}

static void alloc_after_the_seal_aborts(void **state)
{
    (void)state;
    struct bb_arena arena;
    assert_int_equal(bb_arena_open(1, false, false, &arena), 0);
    assert_false(unit_aborts(alloc_one, &arena));
    bb_arena_seal(&arena);
    assert_true(unit_aborts(alloc_one, &arena));
    bb_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_rounded_up_to_huge_pages),
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(the_last_byte_can_be_had_and_not_one_more),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(alloc_after_the_seal_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
