/* SPDX-License-Identifier: Apache-2.0
 * Limits: what the settings say, in the units of those who look. */
#include "bb/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void defaults_are_those_of_the_contract(void **state)
{
    (void)state;
    static struct bb_config config;
    struct bb_limits limits;
    bb_config_init(&config);
    bb_limits_set(&limits, &config);
    assert_int_equal(BB_LIMIT(&limits, head_ms), 10000);
    assert_int_equal(BB_LIMIT(&limits, idle_ms), 75000);
    assert_int_equal(BB_LIMIT(&limits, slow_ms), 5000);
    assert_int_equal(BB_LIMIT(&limits, slow_bytes), 5 * 8192);
    assert_int_equal(BB_LIMIT(&limits, linger_ms), 2000);
    assert_int_equal(BB_LIMIT(&limits, linger_size), 1 << 20);
    assert_int_equal(BB_LIMIT(&limits, head_size), 8192);
    assert_int_equal(BB_LIMIT(&limits, head_fields), 64);
    assert_int_equal(BB_LIMIT(&limits, log_every), 0);
}

static void the_slow_rate_is_per_second(void **state)
{
    (void)state;
    static struct bb_config config;
    struct bb_limits limits;
    char sentence[BB_CONFIG_SENTENCE_MAX];
    bb_config_init(&config);
    assert_true(bb_config_flag(&config, BB_OPTION_SLOW_TIME, "500ms", sentence));
    assert_true(bb_config_flag(&config, BB_OPTION_SLOW_RATE, "1M", sentence));
    bb_limits_set(&limits, &config);
    assert_int_equal(BB_LIMIT(&limits, slow_bytes), 512 << 10);
    assert_true(bb_config_flag(&config, BB_OPTION_SLOW_TIME, "60min", sentence));
    assert_true(bb_config_flag(&config, BB_OPTION_SLOW_RATE, "1G", sentence));
    bb_limits_set(&limits, &config);
    assert_true(BB_LIMIT(&limits, slow_bytes) == (uint64_t)3600 << 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_contract),
        cmocka_unit_test(the_slow_rate_is_per_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
