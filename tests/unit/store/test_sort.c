/* SPDX-License-Identifier: Apache-2.0
 * The radix sort against qsort: order, and that equal keys keep theirs.
 */
#include "../base/unit.h"

#include "../../../src/store/engine.h"

#define COUNT_MAX 20000

static struct sort_entry entries[COUNT_MAX], spare[COUNT_MAX], wanted[COUNT_MAX];

static int by_key_then_index(const void *left, const void *right)
{
    const struct sort_entry *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static void sort_both(struct bb_random *random, uint32_t count, uint64_t key_bound)
{
    for (uint32_t i = 0; i < count; i++)
        entries[i] =
            (struct sort_entry){.key = (uint32_t)bb_random_below(random, key_bound), .index = i};
    memcpy(wanted, entries, sizeof(wanted));
    qsort(wanted, count, sizeof(wanted[0]), by_key_then_index);
    sort_entries(entries, spare, count);
    assert_memory_equal(entries, wanted, count * sizeof(wanted[0]));
}

static void it_sorts_as_qsort_does(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (uint32_t count = 0; count < 70; count++)
        sort_both(&random, count, 1ull << 32);
    sort_both(&random, COUNT_MAX, 1ull << 32);
}

static void equal_keys_keep_their_order(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    sort_both(&random, COUNT_MAX, 7);
    sort_both(&random, COUNT_MAX, 1);
    sort_both(&random, COUNT_MAX, 5000);
}

static void the_largest_keys_come_last(void **state)
{
    (void)state;
    const uint32_t keys[] = {UINT32_MAX, 0, 1u << 31, (1u << 22) - 1, 1u << 22, UINT32_MAX - 1};
    for (uint32_t i = 0; i < 6; i++)
        entries[i] = (struct sort_entry){.key = keys[i], .index = i};
    sort_entries(entries, spare, 6);
    for (uint32_t i = 1; i < 6; i++)
        assert_true(entries[i - 1].key < entries[i].key);
    assert_int_equal(entries[5].index, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_sorts_as_qsort_does),
        cmocka_unit_test(equal_keys_keep_their_order),
        cmocka_unit_test(the_largest_keys_come_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
