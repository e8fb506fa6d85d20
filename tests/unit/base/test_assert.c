/* SPDX-License-Identifier: Apache-2.0
 * Assertions are on in every build and name what failed. */
#include "bb/assert.h"
#include "unit.h"

#include <string.h>

struct pair {
    int first;
    int second;
};

static void assert_argument(void *argument)
{
    BB_ASSERT(*(const int *)argument == 1);
}

static void a_false_condition_aborts(void **state)
{
    (void)state;
    int value = 2;
    assert_true(unit_aborts(assert_argument, &value));
}

static void a_true_condition_goes_on(void **state)
{
    (void)state;
    int value = 1;
    assert_false(unit_aborts(assert_argument, &value));
}

static void the_line_names_file_and_condition(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(ends[1], STDERR_FILENO);
        bb_panic("some/file.c", 77, "left == right");
    }
    close(ends[1]);
    char line[256] = "";
    ssize_t len = read(ends[0], line, sizeof(line) - 1);
    assert_true(len > 0);
    close(ends[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_non_null(strstr(line, "some/file.c:77"));
    assert_non_null(strstr(line, "left == right"));
    assert_int_equal(line[len - 1], '\n');
}

static void container_is_found_from_its_member(void **state)
{
    (void)state;
    struct pair pair = {1, 2};
    assert_ptr_equal(BB_CONTAINER(&pair.second, struct pair, second), &pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_false_condition_aborts),
        cmocka_unit_test(a_true_condition_goes_on),
        cmocka_unit_test(the_line_names_file_and_condition),
        cmocka_unit_test(container_is_found_from_its_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
