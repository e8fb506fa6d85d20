/* SPDX-License-Identifier: Apache-2.0
 * The table of settings: what it says of itself, and which values it takes. */
#include "unit.h"

#include "bb/option.h"

#include <stdlib.h>
#include <string.h>

static void names_are_unique(void **state)
{
    (void)state;
    for (int i = 0; i < BB_OPTION_END; i++) {
        assert_int_equal(bb_option_find(bb_options[i].name), i);
        for (const struct bb_flag *flag = bb_flags; flag->name != NULL; flag++)
            assert_string_not_equal(flag->name, bb_options[i].name);
    }
    assert_int_equal(bb_option_find("nonsense"), BB_OPTION_END);
}

static void every_default_is_allowed(void **state)
{
    (void)state;
    for (int i = 0; i < BB_OPTION_END; i++) {
        const struct bb_option *option = &bb_options[i];
        uint64_t number;
        if (option->kind != BB_OPTION_PATH && option->kind != BB_OPTION_LIST &&
            !bb_option_number(option, option->by_default, &number))
            fail_msg("%s: %s", option->name, option->by_default);
    }
}

static void expect_number(enum bb_option_id id, const char *text, uint64_t wanted)
{
    uint64_t number = 4711;
    assert_true(bb_option_number(&bb_options[id], text, &number));
    assert_int_equal(number, wanted);
}

static void refuse_number(enum bb_option_id id, const char *text)
{
    uint64_t number = 4711;
    assert_false(bb_option_number(&bb_options[id], text, &number));
    assert_int_equal(number, 4711);
}

static void values_are_read_in_the_unit_of_their_kind(void **state)
{
    (void)state;
    expect_number(BB_OPTION_WORKERS, "auto", 0);
    expect_number(BB_OPTION_WORKERS, "64", 64);
    expect_number(BB_OPTION_MEMORY, "32M", 32u << 20);
    expect_number(BB_OPTION_HEAD_TIME, "10", 10000);
    expect_number(BB_OPTION_HEAD_TIME, "10s", 10000);
    expect_number(BB_OPTION_HEAD_TIME, "250ms", 250);
    expect_number(BB_OPTION_HEAD_TIME, "2min", 120000);
    expect_number(BB_OPTION_APPEND_ONLY, "yes", 1);
    expect_number(BB_OPTION_APPEND_ONLY, "no", 0);
    expect_number(BB_OPTION_LOG_LEVEL, "error", 0);
    expect_number(BB_OPTION_LOG_LEVEL, "debug", 3);
    expect_number(BB_OPTION_AUTH, "auto", 0);
    expect_number(BB_OPTION_AUTH, "none", 1);
}

static void values_out_of_bounds_or_of_another_form_are_refused(void **state)
{
    (void)state;
    refuse_number(BB_OPTION_WORKERS, "0");
    refuse_number(BB_OPTION_WORKERS, "65");
    refuse_number(BB_OPTION_WORKERS, "4 ");
    refuse_number(BB_OPTION_WORKERS, "");
    refuse_number(BB_OPTION_CONNECTIONS, "auto");
    refuse_number(BB_OPTION_MEMORY, "1M");
    refuse_number(BB_OPTION_MEMORY, "lots");
    refuse_number(BB_OPTION_HEAD_TIME, "10h");
    refuse_number(BB_OPTION_HEAD_TIME, "99999999999999999999s");
    refuse_number(BB_OPTION_APPEND_ONLY, "true");
    refuse_number(BB_OPTION_LOG_LEVEL, "err");
    refuse_number(BB_OPTION_LOG_LEVEL, "error|warning");
    refuse_number(BB_OPTION_AUTH, "all");
}

static void what_is_allowed_is_said_in_the_units_of_the_user(void **state)
{
    (void)state;
    char text[160];
    assert_string_equal(bb_option_allowed(&bb_options[BB_OPTION_WORKERS], text, sizeof(text)),
                        "a number from 1 to 64, or auto");
    assert_string_equal(bb_option_allowed(&bb_options[BB_OPTION_MEMORY], text, sizeof(text)),
                        "a size (4096, 8K, 1M) of at least 24 MiB, or auto");
    assert_string_equal(bb_option_allowed(&bb_options[BB_OPTION_LINGER_TIME], text, sizeof(text)),
                        "a time (500ms, 10s, 2min) from 100ms to 60s");
    assert_string_equal(bb_option_allowed(&bb_options[BB_OPTION_LOG_LEVEL], text, sizeof(text)),
                        "error/warning/info/debug");
}

/* What `print` writes; the caller frees it. */
static char *printed(void (*print)(FILE *file))
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    print(file);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void help_names_every_flag_in_lines_that_fit(void **state)
{
    (void)state;
    char *help = printed(bb_option_print_help);
    char wanted[80];
    for (int i = 0; i < BB_OPTION_END; i++) {
        (void)snprintf(wanted, sizeof(wanted), "  --%s ", bb_options[i].name);
        assert_non_null(strstr(help, wanted));
    }
    assert_null(strstr(help, "dump-options"));
    for (const char *at = help; *at != '\0'; at += strcspn(at, "\n") + 1)
        assert_true(strcspn(at, "\n") <= 100);
    free(help);
}

static void the_table_has_a_line_with_seven_columns_for_each(void **state)
{
    (void)state;
    char *table = printed(bb_option_print_table);
    unsigned tabs = 0;
    unsigned lines = 0;
    unsigned flags = 0;
    for (const char *at = table; *at != '\0'; at++) {
        tabs += *at == '\t';
        lines += *at == '\n';
    }
    while (bb_flags[flags].name != NULL)
        flags++;
    assert_int_equal(lines, BB_OPTION_END + flags);
    assert_int_equal(tabs, 6 * lines);
    free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(every_default_is_allowed),
        cmocka_unit_test(values_are_read_in_the_unit_of_their_kind),
        cmocka_unit_test(values_out_of_bounds_or_of_another_form_are_refused),
        cmocka_unit_test(what_is_allowed_is_said_in_the_units_of_the_user),
        cmocka_unit_test(help_names_every_flag_in_lines_that_fit),
        cmocka_unit_test(the_table_has_a_line_with_seven_columns_for_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
