/* SPDX-License-Identifier: Apache-2.0
 * Buckets of histograms against a search through their bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bb/buckets.h"
#include "bb/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned search(uint64_t value)
{
    for (unsigned i = 0; i < BB_BUCKETS_COUNT; i++)
        if (value <= bb_buckets_bound(i))
            return i;
    return BB_BUCKETS_COUNT;
}

static void a_value_lands_in_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    assert_int_equal(bb_buckets_find(0), 0);
    assert_int_equal(bb_buckets_find(UINT64_MAX), BB_BUCKETS_COUNT);
    for (unsigned i = 0; i < BB_BUCKETS_COUNT; i++) {
        uint64_t bound = bb_buckets_bound(i);
        for (uint64_t value = bound - 1; value <= bound + 1; value++)
            assert_int_equal(bb_buckets_find(value), search(value));
    }
}

static void counts_and_sum_are_those_of_a_naive_model(void **state)
{
    const char *text = getenv("BB_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    uint64_t counts[BB_BUCKETS_COUNT + 1] = {0}, sum = 0;
    struct bb_buckets buckets = {.sum = 0};
    struct bb_random random;
    (void)state;
    print_message("BB_SEED=%llu\n", (unsigned long long)seed);
    bb_random_seed(&random, seed);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t value = bb_random_next(&random) >> (20 + bb_random_next(&random) % 44);
        bb_buckets_add(&buckets, value);
        counts[search(value)]++;
        sum += value;
    }
    for (unsigned i = 0; i <= BB_BUCKETS_COUNT; i++)
        assert_int_equal(atomic_load(&buckets.counts[i]), counts[i]);
    assert_int_equal(atomic_load(&buckets.sum), sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_lands_in_the_first_bucket_that_holds_it),
        cmocka_unit_test(counts_and_sum_are_those_of_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
