/* SPDX-License-Identifier: Apache-2.0
 * The latency histogram against a sorted list of the same values. */
#include "bbbench/histogram.h"

#include "bb/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define VALUES 5000

static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};

static uint64_t seed(void)
{
    const char *text = getenv("BB_SEED");
    uint64_t value = 0;
    bb_random_from_kernel(&value, sizeof(value));
    if (text != NULL)
        value = strtoull(text, NULL, 0);
    printf("BB_SEED=%llu\n", (unsigned long long)value);
    return value;
}

static bool within_one_percent(uint64_t found, uint64_t truth)
{
    return fabs((double)found - (double)truth) <= 0.01 * (double)truth;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void nothing_recorded_gives_zero(void **state)
{
    (void)state;
    static struct bb_histogram histogram;
    bb_histogram_init(&histogram);
    assert_int_equal(bb_histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(bb_histogram_quantile(&histogram, 1), 0);
}

static void one_value_is_every_quantile_exactly(void **state)
{
    (void)state;
    static struct bb_histogram histogram;
    for (unsigned bit = 0; bit < 63; bit++) {
        /* The lowest of a bucket: its middle lies above it, and max must cap it. */
        uint64_t value = (uint64_t)1 << bit;
        bb_histogram_init(&histogram);
        bb_histogram_record(&histogram, value);
        assert_true(bb_histogram_quantile(&histogram, 0.001) == value);
        assert_true(bb_histogram_quantile(&histogram, 1) == value);
    }
}

static void values_below_64_are_exact(void **state)
{
    (void)state;
    static struct bb_histogram histogram;
    bb_histogram_init(&histogram);
    for (uint64_t value = 0; value < 64; value++)
        bb_histogram_record(&histogram, value);
    for (uint64_t value = 0; value < 64; value++)
        assert_int_equal(bb_histogram_quantile(&histogram, (double)(value + 1) / 64), value);
}

static void every_value_is_found_within_one_percent(void **state)
{
    (void)state;
    static struct bb_histogram histogram;
    for (uint64_t value = 1; value < (uint64_t)1 << 38; value += value / 97 + 1) {
        bb_histogram_init(&histogram);
        bb_histogram_record(&histogram, value);
        bb_histogram_record(&histogram, (uint64_t)1 << 39); /* so that max does not cap it */
        assert_true(within_one_percent(bb_histogram_quantile(&histogram, 0.5), value));
    }
}

static void values_beyond_the_range_are_reported_as_the_maximum(void **state)
{
    (void)state;
    static struct bb_histogram histogram;
    bb_histogram_init(&histogram);
    bb_histogram_record(&histogram, 1000);
    bb_histogram_record(&histogram, UINT64_MAX / 2);
    assert_true(bb_histogram_quantile(&histogram, 1) == UINT64_MAX / 2);
    assert_true(within_one_percent(bb_histogram_quantile(&histogram, 0.5), 1000));
}

/* Latencies over many magnitudes, split over two histograms that are merged. */
static void merged_quantiles_agree_with_a_sorted_list(void **state)
{
    (void)state;
    static struct bb_histogram parts[2];
    static uint64_t values[VALUES];
    struct bb_random random;
    bb_random_seed(&random, seed());
    uint64_t sum = 0;
    bb_histogram_init(&parts[0]);
    bb_histogram_init(&parts[1]);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = bb_random_next(&random) >> (26 + bb_random_below(&random, 30));
        bb_histogram_record(&parts[bb_random_below(&random, 2)], values[i]);
        sum += values[i];
    }
    bb_histogram_merge(&parts[0], &parts[1]);
    qsort(values, VALUES, sizeof(values[0]), compare);
    assert_int_equal(parts[0].count, VALUES);
    assert_true(parts[0].sum == sum);
    assert_true(parts[0].max == values[VALUES - 1]);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        size_t rank = (size_t)ceil(shares[i] * VALUES);
        uint64_t found = bb_histogram_quantile(&parts[0], shares[i]);
        assert_true(within_one_percent(found, values[rank - 1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_recorded_gives_zero),
        cmocka_unit_test(one_value_is_every_quantile_exactly),
        cmocka_unit_test(values_below_64_are_exact),
        cmocka_unit_test(every_value_is_found_within_one_percent),
        cmocka_unit_test(values_beyond_the_range_are_reported_as_the_maximum),
        cmocka_unit_test(merged_quantiles_agree_with_a_sorted_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
