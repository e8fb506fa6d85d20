/* SPDX-License-Identifier: Apache-2.0
 * Integers on disk: lowest byte first, no alignment. */
#include "bb/le.h"
#include "unit.h"

static void bytes_stand_lowest_first(void **state)
{
    (void)state;
    const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct bb_le16 le16 = bb_le16_make(0x0201);
    struct bb_le32 le32 = bb_le32_make(0x04030201);
    struct bb_le64 le64 = bb_le64_make(0x0807060504030201);
    assert_memory_equal(&le16, expected, 2);
    assert_memory_equal(&le32, expected, 4);
    assert_memory_equal(&le64, expected, 8);
}

static void values_come_back(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 64; k++) {
        uint64_t value = UINT64_MAX - ((uint64_t)1 << k);
        assert_true(bb_le64_get(bb_le64_make(value)) == value);
        assert_int_equal(bb_le32_get(bb_le32_make((uint32_t)value)), (uint32_t)value);
        assert_int_equal(bb_le16_get(bb_le16_make((uint16_t)value)), (uint16_t)value);
    }
}

static void they_need_no_alignment(void **state)
{
    (void)state;
    assert_int_equal(_Alignof(struct bb_le16), 1);
    assert_int_equal(_Alignof(struct bb_le32), 1);
    assert_int_equal(_Alignof(struct bb_le64), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_stand_lowest_first),
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(they_need_no_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
