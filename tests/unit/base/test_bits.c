/* SPDX-License-Identifier: Apache-2.0
 * Small arithmetic against the definitions, around every power of two. */
#include "bb/bits.h"
#include "unit.h"

static void powers_of_two_are_recognised(void **state)
{
    (void)state;
    assert_false(bb_is_power_of_two(0));
    for (unsigned k = 0; k < 64; k++) {
        assert_true(bb_is_power_of_two((uint64_t)1 << k));
        if (k >= 2) {
            assert_false(bb_is_power_of_two(((uint64_t)1 << k) - 1));
            assert_false(bb_is_power_of_two(((uint64_t)1 << k) + 1));
        }
    }
}

static void alignment_agrees_with_division(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = bb_random_next(&random) >> bb_random_below(&random, 64);
        uint64_t alignment = (uint64_t)1 << bb_random_below(&random, 40);
        assert_int_equal(bb_align_down(value, alignment), value / alignment * alignment);
        assert_int_equal(bb_is_aligned(value, alignment), value % alignment == 0);
        if (value <= UINT64_MAX - alignment)
            assert_int_equal(bb_align_up(value, alignment),
                             (value + alignment - 1) / alignment * alignment);
    }
}

static void ceil_of_a_division_does_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(bb_div_ceil(0, 7), 0);
    assert_int_equal(bb_div_ceil(7, 7), 1);
    assert_int_equal(bb_div_ceil(8, 7), 2);
    assert_true(bb_div_ceil(UINT64_MAX, 2) == (uint64_t)1 << 63);
}

static void logarithms_bound_their_value(void **state)
{
    (void)state;
    assert_int_equal(bb_log2_floor(1), 0);
    assert_int_equal(bb_log2_ceil(1), 0);
    for (unsigned k = 1; k < 64; k++) {
        uint64_t power = (uint64_t)1 << k;
        assert_int_equal(bb_log2_floor(power), k);
        assert_int_equal(bb_log2_ceil(power), k);
        assert_int_equal(bb_log2_floor(power - 1), k - 1);
        if (k >= 2)
            assert_int_equal(bb_log2_ceil(power - 1), k);
        if (k < 63)
            assert_int_equal(bb_log2_ceil(power + 1), k + 1);
    }
}

static void one_byte_that_is_not_zero_is_found_anywhere(void **state)
{
    (void)state;
    uint8_t bytes[67] = {0};
    for (size_t size = 1; size <= sizeof(bytes); size++) {
        assert_true(bb_is_zero(bytes, size));
        for (size_t i = 0; i < size; i++) {
            bytes[i] = 0x80;
            assert_false(bb_is_zero(bytes, size));
            bytes[i] = 0;
        }
    }
}

static void minimum_and_maximum(void **state)
{
    (void)state;
    assert_int_equal(bb_min_u64(1, UINT64_MAX), 1);
    assert_true(bb_max_u64(1, UINT64_MAX) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powers_of_two_are_recognised),
        cmocka_unit_test(alignment_agrees_with_division),
        cmocka_unit_test(ceil_of_a_division_does_not_overflow),
        cmocka_unit_test(logarithms_bound_their_value),
        cmocka_unit_test(one_byte_that_is_not_zero_is_found_anywhere),
        cmocka_unit_test(minimum_and_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
