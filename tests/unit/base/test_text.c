/* SPDX-License-Identifier: Apache-2.0
 * Numbers, sizes and UUIDs as people write and read them. */
#include "bb/bits.h"
#include "bb/text.h"
#include "unit.h"

#include <string.h>

struct size_case {
    const char *text;
    uint64_t size;
};

static void numbers_are_read_up_to_the_largest(void **state)
{
    (void)state;
    uint64_t value;
    assert_true(bb_text_to_u64("0", &value));
    assert_int_equal(value, 0);
    assert_true(bb_text_to_u64("007", &value));
    assert_int_equal(value, 7);
    assert_true(bb_text_to_u64("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    const char *const texts[] = {"",
                                 " 1",
                                 "1 ",
                                 "+1",
                                 "-1",
                                 "0x10",
                                 "1e3",
                                 "1.0",
                                 "1\n",
                                 "a",
                                 "1K",
                                 "18446744073709551616",
                                 "99999999999999999999",
                                 "184467440737095516150"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t value = 77;
        assert_false(bb_text_to_u64(texts[i], &value));
        assert_int_equal(value, 77);
    }
}

static void sizes_are_powers_of_1024(void **state)
{
    (void)state;
    const struct size_case cases[] = {
        {"0", 0},
        {"4096", 4096},
        {"1K", BB_KIB},
        {"1KiB", BB_KIB},
        {"3M", 3 * BB_MIB},
        {"512MiB", 512 * BB_MIB},
        {"7G", 7 * BB_GIB},
        {"7GiB", 7 * BB_GIB},
        {"2T", 2048 * BB_GIB},
        {"2TiB", 2048 * BB_GIB},
        {"16777215T", 16777215ull << 40},
        {"18014398509481983K", 18014398509481983ull << 10},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t size;
        assert_true(bb_text_to_size(cases[i].text, &size));
        assert_true(size == cases[i].size);
    }
}

static void what_is_no_size_is_refused(void **state)
{
    (void)state;
    const char *const texts[] = {"",
                                 "K",
                                 "KiB",
                                 "1k",
                                 "1 K",
                                 "1B",
                                 "1KB",
                                 "1Ki",
                                 "1KiBs",
                                 "1KiB ",
                                 "1P",
                                 "1.5G",
                                 "-1K",
                                 "0x1K",
                                 "1MM",
                                 "16777216T",
                                 "16777216TiB",
                                 "1iB",
                                 "1K1",
                                 " 1K",
                                 "18014398509481984K",
                                 "18446744073709551616"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t size = 77;
        assert_false(bb_text_to_size(texts[i], &size));
        assert_int_equal(size, 77);
    }
}

static void sizes_are_written_with_one_decimal_rounded_down(void **state)
{
    (void)state;
    const struct size_case cases[] = {
        {"0 B", 0},
        {"17 B", 17},
        {"1023 B", 1023},
        {"1 KiB", 1024},
        {"1.5 KiB", 1536},
        {"1023.9 KiB", BB_MIB - 1},
        {"512 MiB", 512 * BB_MIB},
        {"1.5 GiB", BB_GIB + BB_GIB / 2},
        {"1.9 GiB", 2 * BB_GIB - 1},
        {"1.1 TiB", 1209462790554}, /* the first byte of 1.1 TiB, rounded up */
        {"1 TiB", 1209462790553},
        {"15.9 EiB", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];
        assert_ptr_equal(bb_text_of_size(cases[i].size, text, sizeof(text)), text);
        assert_string_equal(text, cases[i].text);
    }
}

static void sixteen_bytes_hold_every_size(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (int i = 0; i < 20000; i++) {
        char text[32];
        uint64_t size = bb_random_next(&random) >> bb_random_below(&random, 64);
        memset(text, 'x', sizeof(text));
        bb_text_of_size(size, text, 16);
        assert_true(strlen(text) < 16);
        assert_int_equal(text[strlen(text) - 1], 'B');
        assert_int_equal(text[16], 'x');
    }
}

static void a_uuid_is_written_in_its_usual_groups(void **state)
{
    (void)state;
    const uint8_t bytes[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                               0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
    char text[37];
    assert_ptr_equal(bb_text_of_uuid((const struct bb_uuid *)(const void *)bytes, text), text);
    assert_string_equal(text, "01234567-89ab-cdef-fedc-ba9876543210");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_up_to_the_largest),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(sizes_are_written_with_one_decimal_rounded_down),
        cmocka_unit_test(sixteen_bytes_hold_every_size),
        cmocka_unit_test(a_uuid_is_written_in_its_usual_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
