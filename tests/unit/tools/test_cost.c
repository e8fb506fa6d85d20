/* SPDX-License-Identifier: Apache-2.0
 * Reading of proc(5) for the cost of a process. */
#include "bbbench/cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

static void program_names_do_not_confuse_the_ticks(void **state)
{
    (void)state;
    uint64_t user;
    uint64_t system;
    const char *text = "17 (a) b (c 1 2) S 1 17 17 0 -1 4194560 5 6 7 8 123 456 9 10 20 0 1 0";
    assert_true(bb_cost_parse_stat(text, &user, &system));
    assert_int_equal(user, 123);
    assert_int_equal(system, 456);
    assert_false(bb_cost_parse_stat("17 (a) S 1 17 17", &user, &system));
    assert_false(bb_cost_parse_stat("", &user, &system));
}

static void machine_is_charged_for_all_but_waiting(void **state)
{
    (void)state;
    uint64_t ticks;
    assert_true(bb_cost_parse_machine("cpu  1 20 300 4000 50000 600000 7000000 8 9 0\n", &ticks));
    assert_int_equal(ticks, 7600321);
    assert_false(bb_cost_parse_machine("cpu  1 20 300 4000", &ticks));
    assert_false(bb_cost_parse_machine("", &ticks));
    assert_true(bb_cost_of_machine(&ticks));
    assert_true(ticks > 0);
}

static void the_cost_of_this_process_is_found_both_ways(void **state)
{
    (void)state;
    struct bb_cost self;
    struct bb_cost found;
    uint64_t rss;
    volatile uint64_t spin = 0;
    do { /* long enough for a tick of 10 ms to be seen */
        for (unsigned i = 0; i < 1000000; i++)
            spin += i;
        bb_cost_of_self(&self);
    } while (self.user_us < 30000);
    assert_true(spin > 0);
    assert_true(bb_cost_of_process(getpid(), &found));
    assert_true(found.user_us + found.system_us > 0);
    assert_true(found.user_us + found.system_us <= self.user_us + self.system_us + 20000);
    assert_true(bb_cost_rss_anon(getpid(), &rss));
    assert_true(rss >= 4096);
    assert_false(bb_cost_of_process(0x7ffffff0, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_names_do_not_confuse_the_ticks),
        cmocka_unit_test(machine_is_charged_for_all_but_waiting),
        cmocka_unit_test(the_cost_of_this_process_is_found_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
