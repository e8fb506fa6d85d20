/* SPDX-License-Identifier: Apache-2.0
 * What arrives on stderr: one line per event, prefixed only for the journal. */
#include "bb/log.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int capture_ends[2];
static int saved_stderr;

static void capture_start(void)
{
    fflush(stderr);
    assert_int_equal(pipe(capture_ends), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_int_equal(dup2(capture_ends[1], STDERR_FILENO), STDERR_FILENO);
    close(capture_ends[1]);
}

/* Everything written since capture_start, terminated. */
static void capture_stop(char *ret, size_t size)
{
    assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
    close(saved_stderr);
    size_t len = 0;
    ssize_t got;
    while (len < size - 1 && (got = read(capture_ends[0], ret + len, size - 1 - len)) > 0)
        len += (size_t)got;
    close(capture_ends[0]);
    ret[len] = '\0';
}

static void a_line_carries_the_program(void **state)
{
    (void)state;
    char text[256];
    unsetenv("JOURNAL_STREAM");
    bb_log_init("bbtest", BB_LOG_INFO);
    capture_start();
    bb_log(BB_LOG_ERROR, "disk %d of %s", 3, "four");
    capture_stop(text, sizeof(text));
    assert_string_equal(text, "bbtest: disk 3 of four\n");
}

static void a_redirected_stderr_is_not_the_journal(void **state)
{
    (void)state;
    char text[256];
    setenv("JOURNAL_STREAM", "8:1234", 1);
    capture_start();
    bb_log_init("bbtest", BB_LOG_INFO);
    unsetenv("JOURNAL_STREAM");
    bb_log(BB_LOG_ERROR, "a");
    capture_stop(text, sizeof(text));
    assert_string_equal(text, "bbtest: a\n");
}

static void the_level_can_change(void **state)
{
    (void)state;
    char text[256];
    bb_log_init("bbtest", BB_LOG_INFO);
    capture_start();
    bb_log(BB_LOG_DEBUG, "a");
    bb_log_set_level(BB_LOG_DEBUG);
    bb_log(BB_LOG_DEBUG, "b");
    bb_log_set_level(BB_LOG_ERROR);
    bb_log(BB_LOG_WARNING, "c");
    capture_stop(text, sizeof(text));
    assert_string_equal(text, "bbtest: b\n");
}

static void the_journal_gets_a_priority(void **state)
{
    (void)state;
    char text[256];
    struct stat status;
    char stream[64];
    capture_start();
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev,
                   (uintmax_t)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    bb_log_init("bbtest", BB_LOG_DEBUG);
    unsetenv("JOURNAL_STREAM");
    bb_log(BB_LOG_ERROR, "a");
    bb_log(BB_LOG_WARNING, "b");
    bb_log(BB_LOG_INFO, "c");
    bb_log(BB_LOG_DEBUG, "d");
    capture_stop(text, sizeof(text));
    assert_string_equal(text, "<3>bbtest: a\n<4>bbtest: b\n<6>bbtest: c\n<7>bbtest: d\n");
}

static void lines_above_the_level_are_dropped(void **state)
{
    (void)state;
    char text[256];
    bb_log_init("bbtest", BB_LOG_WARNING);
    capture_start();
    bb_log(BB_LOG_INFO, "not this");
    bb_log(BB_LOG_WARNING, "this");
    capture_stop(text, sizeof(text));
    assert_string_equal(text, "bbtest: this\n");
}

static void a_line_break_in_a_name_forges_no_second_line(void **state)
{
    (void)state;
    char text[256];
    bb_log_init("bbtest", BB_LOG_INFO);
    capture_start();
    bb_log(BB_LOG_INFO, "cannot open %s", "a\n<3>forged\x1b[1m\x7f caf\xc3\xa9");
    capture_stop(text, sizeof(text));
    assert_string_equal(text, "bbtest: cannot open a?<3>forged?[1m? caf\xc3\xa9\n");
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
    (void)state;
    char text[8192], body[3000];
    memset(body, 'x', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    bb_log_init("a program with a name far too long to be useful", BB_LOG_INFO);
    capture_start();
    bb_log(BB_LOG_INFO, "%s", body);
    bb_log(BB_LOG_INFO, "next");
    capture_stop(text, sizeof(text));
    const char *line_end = strchr(text, '\n');
    assert_non_null(line_end);
    assert_in_range(line_end - text, 900, 1024);
    assert_non_null(strstr(line_end, ": next\n"));
}

static void errno_survives(void **state)
{
    (void)state;
    char text[256];
    bb_log_init("bbtest", BB_LOG_INFO);
    capture_start();
    int full = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ENOENT;
    bb_log(BB_LOG_INFO, "goes nowhere");
    int left = errno;
    assert_int_equal(dup2(full, STDERR_FILENO), STDERR_FILENO);
    close(full);
    capture_stop(text, sizeof(text));
    assert_int_equal(left, ENOENT);
    assert_string_equal(text, "");
}

static void the_latest_warnings_are_kept_and_no_other_lines(void **state)
{
    (void)state;
    static struct bb_log_kept lines[BB_LOG_KEPT_MAX];
    char text[8192];
    bb_log_init("bbtest", BB_LOG_INFO);
    unsigned before = bb_log_kept(0, lines);
    uint64_t last = before > 0 ? lines[before - 1].number : 0;
    capture_start();
    bb_log(BB_LOG_INFO, "nothing");
    bb_log(BB_LOG_WARNING | BB_LOG_PRIVATE, "who asked");
    bb_log(BB_LOG_WARNING, "first");
    bb_log(BB_LOG_ERROR, "%0500d", 7);
    capture_stop(text, sizeof(text));
    assert_non_null(strstr(text, "who asked"));
    assert_int_equal(bb_log_kept(last, lines), 2);
    assert_string_equal(lines[0].text, "first");
    assert_int_equal(lines[0].level, BB_LOG_WARNING);
    assert_int_equal(lines[0].number, last + 1);
    assert_int_equal(lines[1].level, BB_LOG_ERROR);
    assert_int_equal(strlen(lines[1].text), BB_LOG_KEPT_TEXT - 1);

    capture_start();
    for (int i = 0; i < 40; i++)
        bb_log(BB_LOG_WARNING, "line %d", i);
    capture_stop(text, sizeof(text));
    assert_int_equal(bb_log_kept(0, lines), BB_LOG_KEPT_MAX);
    assert_string_equal(lines[0].text, "line 24");
    assert_string_equal(lines[BB_LOG_KEPT_MAX - 1].text, "line 39");
    assert_int_equal(bb_log_kept(lines[BB_LOG_KEPT_MAX - 1].number, lines), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_warnings_are_kept_and_no_other_lines),
        cmocka_unit_test(a_line_carries_the_program),
        cmocka_unit_test(the_journal_gets_a_priority),
        cmocka_unit_test(a_redirected_stderr_is_not_the_journal),
        cmocka_unit_test(the_level_can_change),
        cmocka_unit_test(lines_above_the_level_are_dropped),
        cmocka_unit_test(a_line_break_in_a_name_forges_no_second_line),
        cmocka_unit_test(a_long_line_is_cut_and_still_ends),
        cmocka_unit_test(errno_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
