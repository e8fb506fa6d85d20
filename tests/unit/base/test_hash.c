/* SPDX-License-Identifier: Apache-2.0
 * Hashing against published vectors, against itself in pieces, and from several threads; the set
 * hash against a naive sum. */
#include "bb/hash.h"
#include "unit.h"

#include <pthread.h>

#define HEX_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEX_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
/* FIPS 180-4 example of two blocks */
#define TEXT_56 "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
#define HEX_56 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"

static struct bb_hash run_of(uint8_t start)
{
    struct bb_hash hash;
    for (size_t i = 0; i < sizeof(hash.bytes); i++)
        hash.bytes[i] = (uint8_t)(start + i);
    return hash;
}

static void expect_hash(const struct bb_hash *hash, const char *hex)
{
    char text[BB_HASH_HEX_SIZE];
    bb_hash_to_hex(hash, text);
    assert_memory_equal(text, hex, BB_HASH_HEX_SIZE);
}

static void published_vectors_match(void **state)
{
    (void)state;
    struct bb_hash hash;
    assert_int_equal(bb_hash_init(), 0);
    bb_hash_of("abc", 3, &hash);
    expect_hash(&hash, HEX_ABC);
    bb_hash_of("", 0, &hash);
    expect_hash(&hash, HEX_EMPTY);
    bb_hash_of(NULL, 0, &hash);
    expect_hash(&hash, HEX_EMPTY);
    bb_hash_of(TEXT_56, 56, &hash);
    expect_hash(&hash, HEX_56);
}

static void a_digest_is_the_first_half(void **state)
{
    (void)state;
    struct bb_hash hash;
    struct bb_digest digest;
    bb_hash_of("abc", 3, &hash);
    bb_digest_of("abc", 3, &digest);
    assert_memory_equal(digest.bytes, hash.bytes, sizeof(digest.bytes));
}

static void streaming_in_any_pieces_gives_the_one_shot(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    static uint8_t data[8192];
    bb_random_fill(&random, data, sizeof(data));
    struct bb_hasher hasher;
    assert_int_equal(bb_hasher_open(&hasher), 0);
    for (int round = 0; round < 200; round++) {
        size_t size = bb_random_below(&random, sizeof(data) + 1);
        struct bb_hash whole, pieces;
        bb_hash_of(data, size, &whole);
        bb_hasher_begin(&hasher);
        for (size_t offset = 0; offset < size;) {
            size_t piece = 1 + bb_random_below(&random, size - offset);
            bb_hasher_update(&hasher, data + offset, piece);
            offset += piece;
        }
        bb_hasher_end(&hasher, &pieces);
        assert_true(bb_hash_equal(&whole, &pieces));
    }
    bb_hasher_close(&hasher);
}

static void a_hasher_restarted_in_the_middle_forgets_the_first_message(void **state)
{
    (void)state;
    struct bb_hasher hasher;
    struct bb_hash hash;
    assert_int_equal(bb_hasher_open(&hasher), 0);
    bb_hasher_begin(&hasher);
    bb_hasher_update(&hasher, "junk", 4);
    bb_hasher_begin(&hasher);
    bb_hasher_update(&hasher, "abc", 3);
    bb_hasher_end(&hasher, &hash);
    bb_hasher_close(&hasher);
    expect_hash(&hash, HEX_ABC);
}

static void a_units_digest_takes_its_own_field_as_zero(void **state)
{
    (void)state;
    uint8_t data[1024], naive[1024];
    struct bb_digest with_field, expected;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    const size_t offsets[] = {0, 1, 48, 144, 256, sizeof(data) - 16};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        memcpy(naive, data, sizeof(naive));
        memset(naive + offsets[i], 0, 16);
        bb_digest_of(naive, sizeof(naive), &expected);
        bb_digest_of_unit(data, sizeof(data), offsets[i], &with_field);
        assert_true(bb_digest_equal(&with_field, &expected));
    }
    const uint8_t golden[16] = {0xac, 0x01, 0xca, 0x9b, 0xcb, 0xad, 0xe9, 0x55,
                                0x3e, 0x94, 0x2c, 0xf0, 0x2b, 0x2c, 0xa3, 0x1b};
    bb_digest_of_unit(data, sizeof(data), 144, &with_field);
    assert_memory_equal(with_field.bytes, golden, sizeof(golden));
}

static void *hash_in_thread(void *argument)
{
    bool *wrong = argument;
    struct bb_hash expected, hash;
    if (!bb_hash_from_hex(HEX_56, BB_HASH_HEX_SIZE, &expected))
        *wrong = true;
    for (int i = 0; i < 2000; i++) {
        bb_hash_of(TEXT_56, 56, &hash);
        if (!bb_hash_equal(&hash, &expected))
            *wrong = true;
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[4];
    bool wrong[4] = {false};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hash_in_thread, &wrong[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(wrong[i]);
    }
}

static void hex_goes_there_and_back(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (int i = 0; i < 1000; i++) {
        struct bb_hash hash, back;
        char hex[BB_HASH_HEX_SIZE];
        bb_random_fill(&random, &hash, sizeof(hash));
        bb_hash_to_hex(&hash, hex);
        assert_true(bb_hash_from_hex(hex, sizeof(hex), &back));
        assert_true(bb_hash_equal(&hash, &back));
    }
}

static void hex_with_any_other_byte_is_refused(void **state)
{
    (void)state;
    const struct bb_hash untouched = run_of(7);
    for (int value = 0; value < 256; value++) {
        bool is_digit = (value >= '0' && value <= '9') || (value >= 'a' && value <= 'f');
        for (size_t place = 0; place < BB_HASH_HEX_SIZE; place += 21) {
            char hex[] = HEX_ABC;
            struct bb_hash hash = untouched;
            hex[place] = (char)value;
            assert_int_equal(bb_hash_from_hex(hex, BB_HASH_HEX_SIZE, &hash), is_digit);
            if (!is_digit)
                assert_true(bb_hash_equal(&hash, &untouched));
        }
    }
}

static void hex_in_upper_case_is_refused(void **state)
{
    (void)state;
    const char upper[] = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
    struct bb_hash hash;
    assert_false(bb_hash_from_hex(upper, BB_HASH_HEX_SIZE, &hash));
    assert_true(bb_hash_from_hex(HEX_ABC, BB_HASH_HEX_SIZE, &hash));
}

static void hex_of_another_length_is_refused(void **state)
{
    (void)state;
    const char hex[] = HEX_ABC "00";
    struct bb_hash hash;
    for (size_t len = 0; len < sizeof(hex); len++)
        assert_int_equal(bb_hash_from_hex(hex, len, &hash), len == BB_HASH_HEX_SIZE);
}

static void the_set_hash_has_its_golden_value(void **state)
{
    (void)state;
    /* computed independently; the sum of the three wraps around 2^128 once */
    const uint8_t golden[16] = {0xf3, 0x08, 0x5e, 0x2d, 0xac, 0x25, 0xef, 0x3e,
                                0x0c, 0x9a, 0x64, 0x2d, 0xb0, 0x03, 0x1d, 0x1a};
    struct bb_set set = {0};
    struct bb_hash first = run_of(1), empty, third = run_of(9);
    bb_hash_of("", 0, &empty);
    bb_set_add(&set, &first, 5, 4096);
    bb_set_add(&set, &empty, 0xffffffffff, 0);
    bb_set_add(&set, &third, 77, 1u << 20);
    assert_int_equal(set.count, 3);
    assert_memory_equal(set.sum.bytes, golden, sizeof(golden));
}

struct element {
    struct bb_hash hash;
    uint64_t unit;
    uint32_t size;
};

static void the_order_of_a_set_does_not_matter(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    struct bb_random random;
    unit_seed(&random);
    struct element elements[COUNT];
    struct bb_set forward = {0}, backward = {0};
    for (int i = 0; i < COUNT; i++) {
        bb_random_fill(&random, &elements[i].hash, sizeof(elements[i].hash));
        elements[i].unit = bb_random_below(&random, 1ull << 40);
        elements[i].size = (uint32_t)bb_random_below(&random, (1u << 20) + 1);
        bb_set_add(&forward, &elements[i].hash, elements[i].unit, elements[i].size);
    }
    for (int i = COUNT - 1; i >= 0; i--)
        bb_set_add(&backward, &elements[i].hash, elements[i].unit, elements[i].size);
    assert_true(bb_set_equal(&forward, &backward));
    for (int i = 0; i < COUNT; i += 2) /* some from the middle, out of order */
        bb_set_remove(&forward, &elements[i].hash, elements[i].unit, elements[i].size);
    for (int i = COUNT - 1; i > 0; i -= 2)
        bb_set_remove(&forward, &elements[i].hash, elements[i].unit, elements[i].size);
    const struct bb_set empty = {0};
    assert_true(bb_set_equal(&forward, &empty));
}

static void a_set_tells_elements_apart_by_every_part(void **state)
{
    (void)state;
    struct bb_hash hash = run_of(1), other = run_of(2);
    struct bb_set base = {0}, by_hash = {0}, by_unit = {0}, by_size = {0};
    bb_set_add(&base, &hash, 5, 100);
    bb_set_add(&by_hash, &other, 5, 100);
    bb_set_add(&by_unit, &hash, 6, 100);
    bb_set_add(&by_size, &hash, 5, 101);
    assert_false(bb_set_equal(&base, &by_hash));
    assert_false(bb_set_equal(&base, &by_unit));
    assert_false(bb_set_equal(&base, &by_size));
    bb_set_add(&base, &hash, 5, 100); /* twice the same is not none */
    assert_int_equal(base.count, 2);
}

static void remove_from_nothing(void *argument)
{
    struct bb_set set = {0};
    bb_set_remove(&set, argument, 1, 1);
}

static void removing_from_an_empty_set_aborts(void **state)
{
    (void)state;
    struct bb_hash hash = run_of(1);
    assert_true(unit_aborts(remove_from_nothing, &hash));
}

static void speed_is_printed(void **state)
{
    (void)state;
    static uint8_t data[1u << 20];
    const size_t sizes[] = {44, 4096, sizeof(data)};
    for (size_t i = 0; i < 3; i++) {
        size_t rounds = (16u << 20) / (sizes[i] + 512);
        struct bb_hash hash;
        double start = unit_seconds();
        for (size_t round = 0; round < rounds; round++)
            bb_hash_of(data, sizes[i], &hash);
        double each = (unit_seconds() - start) / (double)rounds;
        print_message("SHA-256 of %zu bytes: %.0f ns, %.2f GB/s\n", sizes[i], each * 1e9,
                      (double)sizes[i] / each / 1e9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_match),
        cmocka_unit_test(a_digest_is_the_first_half),
        cmocka_unit_test(streaming_in_any_pieces_gives_the_one_shot),
        cmocka_unit_test(a_hasher_restarted_in_the_middle_forgets_the_first_message),
        cmocka_unit_test(a_units_digest_takes_its_own_field_as_zero),
        cmocka_unit_test(threads_do_not_disturb_each_other),
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(hex_with_any_other_byte_is_refused),
        cmocka_unit_test(hex_in_upper_case_is_refused),
        cmocka_unit_test(hex_of_another_length_is_refused),
        cmocka_unit_test(the_set_hash_has_its_golden_value),
        cmocka_unit_test(the_order_of_a_set_does_not_matter),
        cmocka_unit_test(a_set_tells_elements_apart_by_every_part),
        cmocka_unit_test(removing_from_an_empty_set_aborts),
        cmocka_unit_test(speed_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
