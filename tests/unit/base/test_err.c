/* SPDX-License-Identifier: Apache-2.0
 * The table of errors: numbers, texts, HTTP statuses, exit codes. */
#include "bb/err.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static const int ours[] = {
#define NUMBER(name, http, exit, text) BB_ERR_##name,
    BB_ERRORS(NUMBER)
#undef NUMBER
};
static const char *const texts[] = {
#define TEXT(name, http, exit, text) text,
    BB_ERRORS(TEXT)
#undef TEXT
};
static const int statuses[] = {
#define STATUS(name, http, exit, text) http,
    BB_ERRORS(STATUS)
#undef STATUS
};
static const int exits[] = {
#define EXIT(name, http, exit, text) exit,
    BB_ERRORS(EXIT)
#undef EXIT
};
#define OURS_COUNT (sizeof(ours) / sizeof(ours[0]))

static void our_numbers_never_collide_with_errno(void **state)
{
    (void)state;
    for (size_t i = 0; i < OURS_COUNT; i++) {
        assert_true(ours[i] < -4095);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(ours[i], ours[j]);
    }
}

static void each_of_ours_gives_its_row_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < OURS_COUNT; i++) {
        assert_string_equal(bb_err_text(ours[i]), texts[i]);
        assert_int_equal(bb_err_http(ours[i]), statuses[i]);
        assert_int_equal(bb_err_exit(ours[i]), exits[i]);
        assert_true(statuses[i] >= 400 && statuses[i] < 600);
        assert_int_not_equal(exits[i], BB_EXIT_OK);
    }
}

static void errno_keeps_the_text_of_the_c_library(void **state)
{
    (void)state;
    assert_string_equal(bb_err_text(-EIO), strerror(EIO));
    assert_string_equal(bb_err_text(-ENOSPC), strerror(ENOSPC));
}

static void numbers_of_nobody_have_a_text_too(void **state)
{
    (void)state;
    const int strange[] = {1, -4000, -4095, -4096, BB_ERR_BASE, BB_ERR_END, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        assert_string_equal(bb_err_text(strange[i]), "unknown error");
}

static void want_of_resources_has_a_cure_and_nothing_else_has(void **state)
{
    static const int wants[] = {-ENOMEM, -EMFILE, -ENFILE, -EAGAIN, BB_ERR_MEMORY};
    static const int others[] = {0, -EIO, -ENOSPC, BB_ERR_DAMAGED, BB_ERR_OVERLAP, BB_ERR_IO};
    (void)state;
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        assert_non_null(bb_err_cure(wants[i]));
        assert_int_equal(bb_err_exit(wants[i]), BB_EXIT_RESOURCE);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_null(bb_err_cure(others[i]));
}

static void errno_maps_to_http_and_exit_as_promised(void **state)
{
    (void)state;
    assert_int_equal(bb_err_http(-ENOSPC), 507);
    assert_int_equal(bb_err_http(-ENOENT), 404);
    assert_int_equal(bb_err_http(-EINVAL), 500);
    assert_int_equal(bb_err_http(INT32_MIN), 500);
    assert_int_equal(bb_err_exit(-EIO), BB_EXIT_IO);
    assert_int_equal(bb_err_exit(-EBUSY), BB_EXIT_HELD);
    assert_int_equal(bb_err_exit(-EINVAL), BB_EXIT_FAILURE);
    assert_int_equal(bb_err_exit(-ENOMEM), BB_EXIT_RESOURCE);
    assert_int_equal(bb_err_exit(-EMFILE), BB_EXIT_RESOURCE);
    assert_int_equal(bb_err_exit(0), BB_EXIT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_numbers_never_collide_with_errno),
        cmocka_unit_test(each_of_ours_gives_its_row_of_the_table),
        cmocka_unit_test(errno_keeps_the_text_of_the_c_library),
        cmocka_unit_test(numbers_of_nobody_have_a_text_too),
        cmocka_unit_test(errno_maps_to_http_and_exit_as_promised),
        cmocka_unit_test(want_of_resources_has_a_cure_and_nothing_else_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
