/* SPDX-License-Identifier: Apache-2.0
 * Pages of bbctl copy, against a naive model of what is left to do. */
#include "bbctl/copyplan.h"

#include "bb/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (BB_COPY_PAGE_MAX * 80u)

static struct bb_copy_page page;
static char text[TEXT_MAX];

/* A name that begins with this number, big-endian: they sort as the numbers do. */
static struct bb_hash name_of(uint32_t number)
{
    struct bb_hash hash = {{0}};
    for (unsigned i = 0; i < 4; i++)
        hash.bytes[i] = (uint8_t)(number >> (24 - 8 * i));
    return hash;
}

static size_t add_line(size_t at, uint32_t number, const char *rest)
{
    struct bb_hash hash = name_of(number);
    bb_hash_to_hex(&hash, text + at);
    return at + BB_HASH_HEX_SIZE + (size_t)snprintf(text + at + BB_HASH_HEX_SIZE, 40, "%s", rest);
}

static bool takes_list(const struct bb_hash *after)
{
    bb_copy_page_begin(&page, after);
    return bb_copy_page_take_list(&page, text);
}

static void a_list_is_read_with_its_sizes(void **state)
{
    (void)state;
    add_line(add_line(add_line(0, 1, " 0\n"), 2, " 1048576\n"), 9, " 4097\n");
    assert_true(takes_list(NULL));
    assert_int_equal(page.count, 3);
    assert_int_equal(page.entries[1].size, 1048576);
    assert_true(bb_hash_equal(&page.entries[2].hash, &(struct bb_hash){{0, 0, 0, 9}}));
    assert_true(bb_hash_equal(bb_copy_page_last(&page), &page.entries[2].hash));
    text[0] = '\0';
    assert_true(takes_list(NULL));
    assert_null(bb_copy_page_last(&page));
    struct bb_hash after = name_of(7);
    assert_true(takes_list(&after));
    assert_true(bb_hash_equal(bb_copy_page_last(&page), &after));
}

static void a_list_that_is_none_is_refused(void **state)
{
    static const char *const rests[] = {
        "",      "\n",     " \n",   " 1",     " 1048577\n", " 00000001\n", " -1\n",   "  1\n",
        " 1 \n", " 1\r\n", "\t1\n", " 0x1\n", " 1\n\n",     " 1\nhello\n", " 1\n 2\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
        add_line(0, 1, rests[i]);
        assert_false(takes_list(NULL));
    }
    add_line(0, 1, " 1\n");
    text[0] = 'A'; /* upper case */
    assert_false(takes_list(NULL));
}

static void a_list_out_of_order_is_refused(void **state)
{
    (void)state;
    add_line(add_line(0, 2, " 1\n"), 1, " 1\n");
    assert_false(takes_list(NULL));
    add_line(add_line(0, 2, " 1\n"), 2, " 1\n");
    assert_false(takes_list(NULL));
    struct bb_hash after = name_of(2);
    add_line(0, 2, " 1\n");
    assert_false(takes_list(&after));
    add_line(0, 3, " 1\n");
    assert_true(takes_list(&after));
}

static void a_list_longer_than_a_page_is_refused(void **state)
{
    (void)state;
    size_t at = 0;
    for (uint32_t i = 0; i < BB_COPY_PAGE_MAX; i++)
        at = add_line(at, i, " 1\n");
    assert_true(takes_list(NULL));
    add_line(at, BB_COPY_PAGE_MAX, " 1\n");
    assert_false(takes_list(NULL));
}

static void only_names_that_were_asked_for_are_missing(void **state)
{
    (void)state;
    add_line(add_line(add_line(0, 1, " 5\n"), 2, " 7\n"), 9, " 11\n");
    assert_true(takes_list(NULL));
    add_line(add_line(0, 2, "\n"), 9, "\n");
    assert_true(bb_copy_page_take_missing(&page, text));
    assert_int_equal(page.missing_count, 2);
    assert_int_equal(page.missing_bytes, 18);
    static const struct {
        uint32_t first, second;
        const char *rest;
    } wrong[] = {{3, 9, "\n"}, {9, 2, "\n"}, {2, 2, "\n"}, {2, 9, ""}, {2, 9, " 1\n"}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        add_line(add_line(add_line(0, 1, " 5\n"), 2, " 7\n"), 9, " 11\n");
        assert_true(takes_list(NULL));
        add_line(add_line(0, wrong[i].first, "\n"), wrong[i].second, wrong[i].rest);
        assert_false(bb_copy_page_take_missing(&page, text));
    }
}

/* Takes entries in order, ends them in any order or never, and compares the mark with the model:
 * the last name before which nothing is left. */
static void play(struct bb_random *random, bool all)
{
    struct bb_copy_entry *open[8] = {NULL};
    uint32_t count = 1 + (uint32_t)bb_random_below(random, 300);
    bool left[300], missing[300];
    struct bb_hash after = name_of(5), mark;
    bool behind = bb_random_below(random, 2) == 1;
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++)
        at = add_line(at, 10 + 3 * i, " 100\n");
    assert_true(takes_list(behind ? &after : NULL));
    at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        missing[i] = bb_random_below(random, 3) == 0;
        left[i] = all || missing[i];
        if (missing[i])
            at = add_line(at, 10 + 3 * i, "\n");
    }
    assert_true(bb_copy_page_take_missing(&page, text));
    uint64_t steps = bb_random_below(random, 3 * count);
    uint32_t expected = 0; /* next that a take must give */
    for (uint64_t step = 0; step < steps; step++) {
        struct bb_copy_entry **slot = &open[bb_random_below(random, 8)];
        if (*slot != NULL) {
            (*slot)->done = true;
            left[*slot - page.entries] = false;
            *slot = NULL;
            continue;
        }
        *slot = bb_copy_page_take(&page, all);
        while (expected < count && !all && !missing[expected])
            expected++;
        if (expected == count) {
            assert_null(*slot);
            continue;
        }
        assert_non_null(*slot);
        assert_int_equal(*slot - page.entries, expected);
        assert_int_equal((*slot)->missing, missing[expected]);
        expected++;
    }
    uint32_t done = 0; /* what was never looked at counts as left */
    while (done < count && done < page.next && !left[done])
        done++;
    if (done == 0 && !behind) {
        assert_false(bb_copy_page_mark(&page, &mark));
        return;
    }
    assert_true(bb_copy_page_mark(&page, &mark));
    struct bb_hash wanted = done == 0 ? after : name_of(10 + 3 * (done - 1));
    assert_true(bb_hash_equal(&mark, &wanted));
}

static void the_mark_never_passes_what_is_left(void **state)
{
    (void)state;
    const char *given = getenv("BB_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 1;
    struct bb_random random;
    print_message("BB_SEED=%llu\n", (unsigned long long)seed);
    bb_random_seed(&random, seed);
    for (int round = 0; round < 3000; round++)
        play(&random, round % 2 == 0);
}

static void the_lines_are_the_names(void **state)
{
    static char lines[BB_COPY_LINES_MAX];
    (void)state;
    add_line(add_line(0, 1, " 5\n"), 0xabcdef01, " 7\n");
    assert_true(takes_list(NULL));
    add_line(add_line(0, 1, "\n"), 0xabcdef01, "\n");
    assert_int_equal(bb_copy_page_lines(&page, lines), strlen(text));
    assert_memory_equal(lines, text, strlen(text));
}

static void the_part_is_that_of_all_names(void **state)
{
    (void)state;
    struct bb_hash none = name_of(0), half = name_of(0x80000000), most = name_of(0xffffffff);
    assert_true(bb_copy_part(&none) == 0);
    assert_true(bb_copy_part(&half) == 0.5);
    assert_true(bb_copy_part(&most) > 0.9999 && bb_copy_part(&most) < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_read_with_its_sizes),
        cmocka_unit_test(a_list_that_is_none_is_refused),
        cmocka_unit_test(a_list_out_of_order_is_refused),
        cmocka_unit_test(a_list_longer_than_a_page_is_refused),
        cmocka_unit_test(only_names_that_were_asked_for_are_missing),
        cmocka_unit_test(the_mark_never_passes_what_is_left),
        cmocka_unit_test(the_lines_are_the_names),
        cmocka_unit_test(the_part_is_that_of_all_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
