/* SPDX-License-Identifier: Apache-2.0
 * Descriptor pages and their entries: golden bytes, every byte damaged, entries that cannot be. */
#include "samples.h"

#define DIGEST_OFFSET offsetof(struct bb_disk_page, digest)
#define PAGE 0x1234

static void sample(struct bb_disk_page *ret_page)
{
    struct bb_uuid store = sample_uuid(0xa0);
    struct bb_page_header header = {.page = PAGE, .generation = 9, .covered = 0x0102030405060710};
    struct bb_entry first = {.size = 4096}, empty = {.size = 0};
    struct bb_entry last = {.size = BB_BLOCK_SIZE_MAX, .corrupt = true};
    sample_run(&first.hash, sizeof(first.hash), 1);
    bb_hash_of("", 0, &empty.hash);
    sample_run(&last.hash, sizeof(last.hash), 2);
    memset(ret_page, 0xee, sizeof(*ret_page));
    bb_page_init(ret_page);
    bb_entry_set(ret_page, 0, &first);
    bb_entry_set(ret_page, 1, &empty);
    bb_entry_set(ret_page, 50, &last);
    bb_entry_clear(ret_page, 50);
    bb_entry_set(ret_page, 111, &last);
    bb_page_seal(ret_page, &store, &header);
}

static int check(const struct bb_disk_page *page, uint64_t number)
{
    struct bb_uuid store = sample_uuid(0xa0);
    struct bb_page_header header;
    return bb_page_check(page, &store, number, &header);
}

static void the_bytes_are_golden(void **state)
{
    (void)state;
    struct bb_disk_page page;
    char text[2 * 64 + 1];
    sample(&page);
    assert_string_equal(unit_hex(&page, 64, text),
                        "424244455343520a0100000034120000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
                        "090000000000000010070605040302015293c031f6313850c7b599e41b554928");
    sample_expect(&page, sizeof(page),
                  "9cede232ec741f2e75ef1ae5ff0f71357b97f6ce89e5ec28ea291fb001413eb4");
}

static void header_and_entries_come_back(void **state)
{
    (void)state;
    struct bb_disk_page page;
    struct bb_uuid store = sample_uuid(0xa0);
    struct bb_page_header header;
    struct bb_entry entry;
    struct bb_hash empty;
    bb_hash_of("", 0, &empty);
    sample(&page);
    assert_int_equal(bb_page_check(&page, &store, PAGE, &header), 0);
    assert_int_equal(header.page, PAGE);
    assert_int_equal(header.generation, 9);
    assert_int_equal(header.covered, 0x0102030405060710);
    assert_int_equal(bb_entry_get(&page, 0, &entry), 1);
    assert_int_equal(entry.size, 4096);
    assert_int_equal(entry.hash.bytes[31], 32);
    assert_false(entry.corrupt);
    assert_int_equal(bb_entry_get(&page, 1, &entry), 1); /* the empty block is a block */
    assert_int_equal(entry.size, 0);
    assert_true(bb_hash_equal(&entry.hash, &empty));
    assert_int_equal(bb_entry_get(&page, 111, &entry), 1);
    assert_int_equal(entry.size, BB_BLOCK_SIZE_MAX);
    assert_true(entry.corrupt);
    for (uint32_t i = 2; i < 111; i++)
        assert_int_equal(bb_entry_get(&page, i, &entry), 0);
}

static void every_damaged_byte_is_refused(void **state)
{
    (void)state;
    struct bb_disk_page page;
    struct bb_uuid store = sample_uuid(0xa0);
    const uint8_t flips[] = {0x01, 0x80, 0xff};
    struct bb_page_header untouched, header;
    memset(&untouched, 0x5a, sizeof(untouched));
    sample(&page);
    for (size_t i = 0; i < sizeof(page); i++) {
        for (size_t k = 0; k < sizeof(flips); k++) {
            ((uint8_t *)&page)[i] ^= flips[k];
            memcpy(&header, &untouched, sizeof(header));
            assert_int_equal(bb_page_check(&page, &store, PAGE, &header), BB_ERR_DAMAGED);
            assert_memory_equal(&header, &untouched, sizeof(header));
            ((uint8_t *)&page)[i] ^= flips[k];
        }
    }
    assert_int_equal(check(&page, PAGE), 0);
}

static void another_identity_is_refused_behind_a_valid_digest(void **state)
{
    (void)state;
    const size_t identity_offsets[] = {0, 8, 12, 16, 31}; /* magic, version, page, store */
    const size_t free_offsets[] = {32, 40, 64, 4095};     /* generation, covered, entries */
    struct bb_disk_page page;
    for (size_t i = 0; i < 5; i++) {
        sample(&page);
        ((uint8_t *)&page)[identity_offsets[i]] ^= 2;
        sample_reseal(&page, sizeof(page), DIGEST_OFFSET);
        assert_int_equal(check(&page, PAGE), BB_ERR_DAMAGED);
    }
    for (size_t i = 0; i < 4; i++) {
        sample(&page);
        ((uint8_t *)&page)[free_offsets[i]] ^= 2;
        sample_reseal(&page, sizeof(page), DIGEST_OFFSET);
        assert_int_equal(check(&page, PAGE), 0);
    }
    sample(&page);
    assert_int_equal(check(&page, PAGE + 1), BB_ERR_DAMAGED);
    assert_int_equal(check(&page, PAGE + (1ull << 32)), BB_ERR_DAMAGED);
}

static void counters_that_cannot_be_raised_are_refused(void **state)
{
    (void)state;
    struct bb_disk_page page;
    sample(&page);
    page.generation = bb_le64_make(BB_COUNTER_MAX + 1);
    sample_reseal(&page, sizeof(page), DIGEST_OFFSET);
    assert_int_equal(check(&page, PAGE), BB_ERR_DAMAGED);
    page.generation = page.covered = bb_le64_make(BB_COUNTER_MAX);
    sample_reseal(&page, sizeof(page), DIGEST_OFFSET);
    assert_int_equal(check(&page, PAGE), 0);
    page.covered = bb_le64_make(BB_COUNTER_MAX + 1);
    sample_reseal(&page, sizeof(page), DIGEST_OFFSET);
    assert_int_equal(check(&page, PAGE), BB_ERR_DAMAGED);
}

static void a_blank_page_is_refused(void **state)
{
    (void)state;
    struct bb_disk_page page;
    bb_page_init(&page);
    assert_true(bb_is_zero(&page, sizeof(page)));
    assert_int_equal(check(&page, 0), BB_ERR_DAMAGED);
}

static int get_raw(uint32_t size_flags, uint8_t hash_byte)
{
    struct bb_disk_page page;
    struct bb_entry entry;
    bb_page_init(&page);
    page.entries[7].size_flags = bb_le32_make(size_flags);
    page.entries[7].hash.bytes[31] = hash_byte;
    return bb_entry_get(&page, 7, &entry);
}

static void impossible_entries_are_refused(void **state)
{
    (void)state;
    assert_int_equal(get_raw(0, 0), 0);
    assert_int_equal(get_raw(0, 1), BB_ERR_DAMAGED);
    assert_int_equal(get_raw(1, 0), BB_ERR_DAMAGED);
    assert_int_equal(get_raw(4096, 1), BB_ERR_DAMAGED);
    assert_int_equal(get_raw(BB_ENTRY_CORRUPT, 0), BB_ERR_DAMAGED);
    assert_int_equal(get_raw(BB_ENTRY_PRESENT, 0), 1);
    assert_int_equal(get_raw(BB_ENTRY_PRESENT | BB_BLOCK_SIZE_MAX, 1), 1);
    assert_int_equal(get_raw(BB_ENTRY_PRESENT | (BB_BLOCK_SIZE_MAX + 1), 1), BB_ERR_DAMAGED);
    assert_int_equal(get_raw(BB_ENTRY_PRESENT | BB_ENTRY_SIZE_MASK, 1), BB_ERR_DAMAGED);
    for (unsigned bit = 24; bit < 30; bit++)
        assert_int_equal(get_raw(BB_ENTRY_PRESENT | 1u << bit, 1), BB_ERR_DAMAGED);
    assert_int_equal(get_raw(BB_ENTRY_PRESENT | BB_ENTRY_CORRUPT | 5, 1), 1);
}

static void entries_against_a_naive_list(void **state)
{
    (void)state;
    struct bb_random random;
    struct bb_disk_page page;
    struct bb_entry model[BB_PAGE_ENTRY_COUNT];
    bool present[BB_PAGE_ENTRY_COUNT] = {false};
    unit_seed(&random);
    bb_page_init(&page);
    for (int step = 0; step < 5000; step++) {
        uint32_t index = (uint32_t)bb_random_below(&random, BB_PAGE_ENTRY_COUNT);
        if (bb_random_below(&random, 3) == 0) {
            bb_entry_clear(&page, index);
            present[index] = false;
        } else {
            struct bb_entry entry = {
                .size = (uint32_t)bb_random_below(&random, BB_BLOCK_SIZE_MAX + 1),
                .corrupt = bb_random_below(&random, 2) == 0,
            };
            bb_random_fill(&random, &entry.hash, sizeof(entry.hash));
            bb_entry_set(&page, index, &entry);
            model[index] = entry;
            present[index] = true;
        }
    }
    for (uint32_t i = 0; i < BB_PAGE_ENTRY_COUNT; i++) {
        struct bb_entry entry;
        assert_int_equal(bb_entry_get(&page, i, &entry), present[i]);
        if (present[i]) {
            assert_true(bb_hash_equal(&entry.hash, &model[i].hash));
            assert_int_equal(entry.size, model[i].size);
            assert_int_equal(entry.corrupt, model[i].corrupt);
        }
    }
}

static void set_behind_the_end(void *argument)
{
    struct bb_entry entry = {.size = 1};
    bb_entry_set(argument, BB_PAGE_ENTRY_COUNT, &entry);
}

static void set_too_large(void *argument)
{
    struct bb_entry entry = {.size = BB_BLOCK_SIZE_MAX + 1};
    bb_entry_set(argument, 0, &entry);
}

static void setting_the_impossible_aborts(void **state)
{
    (void)state;
    struct bb_disk_page page;
    bb_page_init(&page);
    assert_true(unit_aborts(set_behind_the_end, &page));
    assert_true(unit_aborts(set_too_large, &page));
}

static void speed_is_printed(void **state)
{
    (void)state;
    enum { ROUNDS = 1000 };
    struct bb_disk_page page;
    sample(&page);
    double start = unit_seconds();
    for (int round = 0; round < ROUNDS; round++)
        assert_int_equal(check(&page, PAGE), 0);
    print_message("page check: %.1f us\n", (unit_seconds() - start) / ROUNDS * 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_golden),
        cmocka_unit_test(header_and_entries_come_back),
        cmocka_unit_test(every_damaged_byte_is_refused),
        cmocka_unit_test(another_identity_is_refused_behind_a_valid_digest),
        cmocka_unit_test(counters_that_cannot_be_raised_are_refused),
        cmocka_unit_test(a_blank_page_is_refused),
        cmocka_unit_test(impossible_entries_are_refused),
        cmocka_unit_test(entries_against_a_naive_list),
        cmocka_unit_test(setting_the_impossible_aborts),
        cmocka_unit_test(speed_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
