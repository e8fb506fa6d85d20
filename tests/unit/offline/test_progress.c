/* SPDX-License-Identifier: Apache-2.0
 * The line of a progress bar.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bb/progress.h"

#include <string.h>

static void a_bar_is_as_long_as_the_share_that_is_done(void **state)
{
    char line[BB_PROGRESS_LINE_MAX];
    (void)state;
    for (uint64_t done = 0; done <= 300; done++) {
        bb_progress_line("step", done, 300, 3, line, sizeof(line));
        size_t filled = strspn(line + 1, "=");
        assert_int_equal(filled, done / 10);
        assert_int_equal(line[31], ']');
    }
    assert_string_equal(bb_progress_line("hashing", 1, 2, 12, line, sizeof(line)),
                        "[===============>              ]  50 % hashing, 12 s");
}

static void more_than_all_is_all_and_an_unknown_total_has_no_bar(void **state)
{
    char line[BB_PROGRESS_LINE_MAX];
    (void)state;
    assert_non_null(strstr(bb_progress_line("x", 9, 3, 1, line, sizeof(line)), "] 100 % x, 1 s"));
    assert_non_null(
        strstr(bb_progress_line("x", UINT64_MAX, UINT64_MAX, 1, line, sizeof(line)), "] 100 %"));
    assert_string_equal(bb_progress_line("reading", 7, 0, 1, line, sizeof(line)), "reading, 1 s");
    assert_int_equal(strlen(bb_progress_line("a long step", 1, 2, 3, line, 10)), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bar_is_as_long_as_the_share_that_is_done),
        cmocka_unit_test(more_than_all_is_all_and_an_unknown_total_has_no_bar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
