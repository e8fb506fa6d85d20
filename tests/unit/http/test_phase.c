/* SPDX-License-Identifier: Apache-2.0
 * The board: what each phase allows and says. */
#include "bb/phase.h"

#include "bb/clock.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void each_phase_allows_what_it_should(void **state)
{
    (void)state;
    static const struct {
        enum bb_phase phase;
        bool reads, writes;
        const char *word;
    } cases[] = {
        {BB_PHASE_RECOVERING, false, false, "recovering"},
        {BB_PHASE_READING, true, false, "reading"},
        {BB_PHASE_READY, true, true, "ready"},
        {BB_PHASE_DRAINING, true, false, "draining"},
        {BB_PHASE_STOPPING, false, false, "draining"},
        {BB_PHASE_LEAVING, false, false, "draining"},
    };
    struct bb_board board;
    bb_board_init(&board, bb_clock_ms());
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bb_board_set_phase(&board, cases[i].phase);
        assert_int_equal(bb_board_allows(&board, BB_NEED_READ), cases[i].reads);
        assert_int_equal(bb_board_allows(&board, BB_NEED_WRITE), cases[i].writes);
        assert_int_equal(bb_board_ready(&board), cases[i].writes);
        assert_string_equal(bb_board_word(&board), cases[i].word);
    }
}

static void nothing_is_served_after_something_fatal(void **state)
{
    (void)state;
    char text[BB_BOARD_TEXT_MAX];
    struct bb_board board;
    bb_board_init(&board, 0);
    bb_board_set_phase(&board, BB_PHASE_READY);
    atomic_store(&board.fatal, true);
    assert_false(bb_board_allows(&board, BB_NEED_READ));
    assert_false(bb_board_allows(&board, BB_NEED_WRITE));
    assert_string_equal(bb_board_word(&board), "failed");
    assert_true(bb_board_text(&board, text) > 0);
    assert_non_null(strstr(text, "failed"));
}

static void the_text_shows_progress(void **state)
{
    (void)state;
    char text[BB_BOARD_TEXT_MAX];
    struct bb_board board;
    bb_board_init(&board, 0);
    bb_board_progress(&board, "journal", 12, 40);
    size_t len = bb_board_text(&board, text);
    assert_int_equal(len, strlen(text));
    assert_string_equal(text, "recovering: journal 12 of 40");
    bb_board_progress(&board, "opening the index", 0, 0);
    len = bb_board_text(&board, text);
    assert_int_equal(len, strlen(text));
    assert_string_equal(text, "recovering: opening the index");
    bb_board_set_phase(&board, BB_PHASE_READING);
    bb_board_progress(&board, "filling", 1, 2);
    (void)bb_board_text(&board, text);
    assert_string_equal(text, "reads only: filling 1 of 2");
    atomic_store(&board.read_only, "reads only: run bbfsck");
    (void)bb_board_text(&board, text);
    assert_string_equal(text, "reads only: run bbfsck");
    assert_string_equal(bb_board_word(&board), "read-only");
}

static void started_to_read_it_is_ready_without_writes(void **state)
{
    (void)state;
    char text[BB_BOARD_TEXT_MAX];
    struct bb_board board;
    bb_board_init(&board, 0);
    bb_board_set_phase(&board, BB_PHASE_READING);
    assert_false(bb_board_ready(&board));
    atomic_store(&board.read_only, "read-only: as asked");
    bb_board_set_phase(&board, BB_PHASE_READY);
    assert_true(bb_board_ready(&board));
    assert_true(bb_board_allows(&board, BB_NEED_READ));
    assert_false(bb_board_allows(&board, BB_NEED_WRITE));
    assert_string_equal(bb_board_word(&board), "read-only");
    (void)bb_board_text(&board, text);
    assert_string_equal(text, "read-only: as asked");
    bb_board_set_phase(&board, BB_PHASE_DRAINING);
    assert_false(bb_board_ready(&board));
    assert_string_equal(bb_board_word(&board), "draining");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_phase_allows_what_it_should),
        cmocka_unit_test(nothing_is_served_after_something_fatal),
        cmocka_unit_test(the_text_shows_progress),
        cmocka_unit_test(started_to_read_it_is_ready_without_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
