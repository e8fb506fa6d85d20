/* SPDX-License-Identifier: Apache-2.0
 * Bodies: the same recipe gives the same bytes, different recipes differ where it matters. */
#include "bbbench/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static uint8_t base[BB_BODY_BASE_SIZE];
static struct bb_body body;

static size_t assemble(uint64_t counter, uint32_t size, uint8_t *ret_bytes)
{
    struct bb_body_parts parts;
    bb_body_parts(&body, counter, size, &parts);
    memcpy(ret_bytes, parts.stamp, parts.stamp_size);
    memcpy(ret_bytes + parts.stamp_size, parts.slice, parts.slice_size);
    return parts.stamp_size + parts.slice_size;
}

static void parts_add_up_to_the_size_within_the_base(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 15, 16, 17, 4096, BB_BLOCK_SIZE_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (uint64_t counter = 0; counter < 1000; counter++) {
            struct bb_body_parts parts;
            bb_body_parts(&body, counter, sizes[i], &parts);
            assert_int_equal(parts.stamp_size + parts.slice_size, sizes[i]);
            assert_true(parts.slice >= base);
            assert_true(parts.slice + parts.slice_size <= base + sizeof(base));
        }
    }
}

static void hash_is_that_of_the_assembled_bytes(void **state)
{
    (void)state;
    static uint8_t bytes[100000];
    static const uint32_t sizes[] = {0, 1, 15, 16, 17, 4096, 100000};
    struct bb_hasher hasher;
    assert_int_equal(bb_hasher_open(&hasher), 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bb_body_parts parts;
        struct bb_hash expected;
        struct bb_hash found;
        size_t size = assemble(7 + i, sizes[i], bytes);
        bb_hash_of(bytes, size, &expected);
        bb_body_parts(&body, 7 + i, sizes[i], &parts);
        bb_body_hash(&parts, &hasher, &found);
        assert_true(bb_hash_equal(&expected, &found));
    }
    bb_hasher_close(&hasher);
}

static void short_unique_bodies_differ(void **state)
{
    (void)state;
    uint8_t one[BB_BODY_UNIQUE_SIZE];
    uint8_t other[BB_BODY_UNIQUE_SIZE];
    for (unsigned bit = 0; bit < 64; bit++) {
        assemble(0, sizeof(one), one);
        assemble((uint64_t)1 << bit, sizeof(other), other);
        assert_memory_not_equal(one, other, sizeof(one));
    }
}

/* A server that swaps the second unit of two blocks must change both hashes. */
static void later_units_of_neighbours_differ(void **state)
{
    (void)state;
    static uint8_t one[8192];
    static uint8_t other[8192];
    for (uint64_t counter = 0; counter < 1000; counter++) {
        assemble(counter, sizeof(one), one);
        assemble(counter + 1, sizeof(other), other);
        assert_memory_not_equal(one + 4096, other + 4096, 4096);
    }
}

static void another_seed_gives_other_bytes(void **state)
{
    (void)state;
    static uint8_t other_base[BB_BODY_BASE_SIZE];
    struct bb_body other;
    bb_body_init(&other, body.seed + 1, other_base);
    assert_memory_not_equal(base, other_base, 64);
    bb_body_init(&other, body.seed, other_base);
    assert_memory_equal(base, other_base, sizeof(base));
}

static int prepare(void **state)
{
    (void)state;
    bb_body_init(&body, 42, base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_add_up_to_the_size_within_the_base),
        cmocka_unit_test(hash_is_that_of_the_assembled_bytes),
        cmocka_unit_test(short_unique_bodies_differ),
        cmocka_unit_test(later_units_of_neighbours_differ),
        cmocka_unit_test(another_seed_gives_other_bytes),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
