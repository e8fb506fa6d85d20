/* SPDX-License-Identifier: Apache-2.0
 * Settings: which source wins, what is refused with which words, and what is shown. */
#include "bb/config.h"
#include "textfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define UUID "0f0e0d0c-0b0a-4908-8706-050403020100"
#define OTHER "11111111-2222-4333-8444-555555555555"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct bb_config config;
static char sentence[BB_CONFIG_SENTENCE_MAX];

static bool reads(const char *text, const char *store)
{
    write_file(text);
    bb_config_init(&config);
    sentence[0] = '\0';
    return bb_config_read(&config, path, store, sentence);
}

static void expect_refusal(const char *text, unsigned line, const char *words)
{
    char wanted[BB_CONFIG_SENTENCE_MAX];
    assert_false(reads(text, NULL));
    (void)snprintf(wanted, sizeof(wanted), "%s:%u: ", path, line);
    if (strncmp(sentence, wanted, strlen(wanted)) != 0 || strstr(sentence, words) == NULL ||
        strstr(sentence, "llowed") == NULL)
        fail_msg("\"%s\" is not \"%s ... %s ... allowed\"", sentence, wanted, words);
}

static void expect_text(enum bb_option_id id, const char *wanted)
{
    assert_non_null(bb_config_text(&config, id));
    assert_string_equal(bb_config_text(&config, id), wanted);
}

static void defaults_are_those_of_the_table(void **state)
{
    (void)state;
    bb_config_init(&config);
    for (int id = 0; id < BB_OPTION_END; id++) {
        const char *text = bb_config_text(&config, (enum bb_option_id)id);
        assert_string_equal(text != NULL ? text : "", bb_options[id].by_default);
    }
    assert_int_equal(bb_config_number(&config, BB_OPTION_IDLE_TIME), 75000);
    assert_int_equal(bb_config_number(&config, BB_OPTION_LOG_LEVEL), 2);
}

static void a_file_comes_over_the_defaults_and_a_flag_over_the_file(void **state)
{
    (void)state;
    char text[64];
    write_file("; a comment\n# another\n\n[server]\nworkers = 3 ; inline\nmemory=32M\n");
    bb_config_init(&config);
    assert_true(bb_config_flag(&config, BB_OPTION_WORKERS, "5", sentence));
    assert_true(bb_config_read(&config, path, NULL, sentence));
    assert_int_equal(bb_config_number(&config, BB_OPTION_WORKERS), 5);
    assert_int_equal(bb_config_number(&config, BB_OPTION_MEMORY), 32 << 20);
    assert_string_equal(bb_config_origin(&config, BB_OPTION_WORKERS, text, sizeof(text)),
                        "--workers");
    assert_string_equal(bb_config_origin(&config, BB_OPTION_LISTEN, text, sizeof(text)), "default");
    assert_non_null(strstr(bb_config_origin(&config, BB_OPTION_MEMORY, text, sizeof(text)), ":6"));
}

static void the_section_of_a_store_comes_over_the_general_ones(void **state)
{
    (void)state;
    static const char text[] = "[store " OTHER "]\nworkers = 9\ndata = /dev/other\n"
                               "[store " UUID "]\nworkers = 2\nindex = /dev/mine\n"
                               "[server]\nworkers = 3\nmemory = 64M\n"
                               "[store]\ndata = /dev/nameless\n";
    assert_true(reads(text, UUID));
    assert_int_equal(bb_config_number(&config, BB_OPTION_WORKERS), 2);
    assert_int_equal(bb_config_number(&config, BB_OPTION_MEMORY), 64 << 20);
    expect_text(BB_OPTION_DATA, "/dev/disk/by-buddyblocks/" UUID "-data");
    expect_text(BB_OPTION_INDEX, "/dev/mine");
    assert_true(reads(text, NULL));
    assert_int_equal(bb_config_number(&config, BB_OPTION_WORKERS), 3);
    expect_text(BB_OPTION_DATA, "/dev/nameless");
}

static void a_store_needs_its_section(void **state)
{
    (void)state;
    assert_true(reads("[store " UUID "]\n", UUID));
    assert_false(reads("[store " OTHER "]\n", UUID));
    assert_non_null(strstr(sentence, UUID));
    assert_false(reads("[store " UUID "]\n", "nonsense"));
}

static void lists_have_words_and_go_on_in_indented_lines(void **state)
{
    (void)state;
    assert_true(reads("[server]\nlisten = 127.0.0.1:1 unix:/run/x.sock\n   [::1]:2\n", NULL) ==
                false); /* a '[' begins a section wherever it stands */
    assert_true(reads("[server]\nlisten = 127.0.0.1:1, unix:/run/x.sock\n   127.0.0.2:2\n"
                      "host = a.example\n",
                      NULL));
    const char *cursor = bb_config_text(&config, BB_OPTION_LISTEN);
    char word[80];
    assert_true(bb_config_next(&cursor, word, sizeof(word)));
    assert_string_equal(word, "127.0.0.1:1");
    assert_true(bb_config_next(&cursor, word, sizeof(word)));
    assert_string_equal(word, "unix:/run/x.sock");
    assert_true(bb_config_next(&cursor, word, sizeof(word)));
    assert_string_equal(word, "127.0.0.2:2");
    assert_false(bb_config_next(&cursor, word, sizeof(word)));
    expect_text(BB_OPTION_HOST, "a.example");
}

static void flags_of_a_list_add_up_and_replace_the_file(void **state)
{
    (void)state;
    write_file("[server]\nhost = file.example\n");
    bb_config_init(&config);
    assert_true(bb_config_flag(&config, BB_OPTION_HOST, "a.example", sentence));
    assert_true(bb_config_flag(&config, BB_OPTION_HOST, "b.example", sentence));
    assert_true(bb_config_read(&config, path, NULL, sentence));
    expect_text(BB_OPTION_HOST, "a.example b.example");
}

static void what_is_wrong_in_a_file_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
        const char *words;
    } cases[] = {
        {"[server]\n\nworkres = 3\n", 3, "unknown key workres"},
        {"[server]\nworkers = 3\nworkers = 3\n", 3, "second time, first in line 2"},
        {"[server]\nworkers = 3\n[log]\n[server]\nworkers = 3\n", 5, "first in line 2"},
        {"[server]\nworkers = 0\n", 2, "a number from 1 to 64, or auto"},
        {"[server]\nworkers =\n", 2, "workers: \"\""},
        {"[server]\nmemory = 1M\n", 2, "of at least 24 MiB"},
        {"[limits]\nidle-time = soon\n", 2, "a time"},
        {"[log]\nlog-level = loud\n", 2, "error/warning/info/debug"},
        {"[store]\nappend-only = maybe\n", 2, "yes/no"},
        {"[store]\ndata = relative\n", 2, "begins with /"},
        {"[server]\nlisten = localhost:80\n", 2, "localhost:80"},
        {"[server]\nlisten = 127.0.0.1:80 nowhere\n", 2, "nowhere"},
        {"[server]\nhost = bad/name\n", 2, "bad/name"},
        {"[server]\ndata = /dev/x\n", 2, "under [store]"},
        {"workers = 3\n", 1, "before any section"},
        {"[nonsense]\n", 1, "unknown section [nonsense]"},
        {"[server\n", 1, "[server"},
        {"[server] workers = 3\n", 1, "behind a section"},
        {"[store nonsense]\n", 1, "36 characters"},
        {"[store " UUID "]\n[store " UUID "]\n", 2, "second time"},
        {"[store " UUID "]\nnonsense = 1\n", 2, "unknown key nonsense"},
        {"[store " UUID "]\nworkers = no\n", 2, "workers"},
        {"[server]\njust words\n", 2, "neither"},
        {"[server]\nworkers = 3\n   4\n", 3, "no list"},
        {"[server]\nworkers = 3\001\n", 2, "control byte"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_refusal(cases[i].text, cases[i].line, cases[i].words);
}

static void a_line_is_read_whole_or_refused(void **state)
{
    (void)state;
    char text[400] = "[server]\nhost = ";
    size_t start = strlen(text);
    memset(text + start, 'a', 191); /* with the key 198 bytes */
    memcpy(text + start + 191, "\n", 2);
    assert_true(reads(text, NULL));
    assert_int_equal(strlen(bb_config_text(&config, BB_OPTION_HOST)), 191);
    memcpy(text + start + 191, "a\n", 3);
    expect_refusal(text, 2, "198 bytes");
    text[start + 191] = '\0'; /* at the end of the file there is no newline */
    assert_true(reads(text, NULL));
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    bb_config_init(&config);
    assert_false(bb_config_read(&config, "/nonexistent/file", NULL, sentence));
    assert_non_null(strstr(sentence, "/nonexistent/file: No such file"));
    bb_config_init(&config);
    assert_false(bb_config_read(&config, "/tmp", NULL, sentence));
    assert_non_null(strstr(sentence, "/tmp"));
}

static void a_bad_flag_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    bb_config_init(&config);
    assert_false(bb_config_flag(&config, BB_OPTION_WORKERS, "many", sentence));
    assert_string_equal(sentence, "--workers: \"many\"; allowed: a number from 1 to 64, or auto");
    expect_text(BB_OPTION_WORKERS, "auto");
    assert_true(bb_config_flag(&config, BB_OPTION_DATA, "relative/path", sentence));
    assert_false(bb_config_flag(&config, BB_OPTION_DATA, "", sentence));
}

static bool checks(const char *listen, const char *tokens, const char *auth)
{
    bb_config_init(&config);
    assert_true(bb_config_flag(&config, BB_OPTION_DATA, "d", sentence));
    assert_true(bb_config_flag(&config, BB_OPTION_INDEX, "i", sentence));
    assert_true(listen == NULL || bb_config_flag(&config, BB_OPTION_LISTEN, listen, sentence));
    assert_true(tokens == NULL || bb_config_flag(&config, BB_OPTION_TOKENS, tokens, sentence));
    assert_true(auth == NULL || bb_config_flag(&config, BB_OPTION_AUTH, auth, sentence));
    return bb_config_check(&config, sentence);
}

static void who_may_reach_what_without_a_token_is_said_or_refused(void **state)
{
    (void)state;
    assert_true(checks(NULL, NULL, NULL));
    assert_true(checks("unix:/run/x", NULL, NULL));
    assert_true(checks("0.0.0.0:80", "/t", NULL));
    assert_true(checks("0.0.0.0:80", NULL, "none"));
    assert_false(checks("127.0.0.1:1 0.0.0.0:80", NULL, NULL));
    assert_non_null(strstr(sentence, "0.0.0.0:80 is not loopback"));
    assert_false(checks(NULL, "/t", "none"));
    assert_non_null(strstr(sentence, "auth"));
    bb_config_init(&config);
    assert_false(bb_config_check(&config, sentence));
    assert_non_null(strstr(sentence, "--data and --index"));
}

static void what_is_printed_is_a_file_that_gives_the_same(void **state)
{
    (void)state;
    assert_true(reads("[store]\ndata = /dev/a\n[server]\nlisten = 127.0.0.1:1 127.0.0.1:2\n"
                      "[log]\nlog-slow = 250ms\n",
                      NULL));
    struct bb_config first = config;
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    bb_config_print(&config, file);
    assert_int_equal(fclose(file), 0);
    bb_config_init(&config);
    assert_true(bb_config_read(&config, path, NULL, sentence));
    for (int id = 0; id < BB_OPTION_END; id++)
        assert_true(bb_config_same(&first, &config, (enum bb_option_id)id));
    assert_true(bb_config_flag(&config, BB_OPTION_HOST, "x.example", sentence));
    assert_false(bb_config_same(&first, &config, BB_OPTION_HOST));
}

static void a_section_fits_in_a_line(void **state)
{
    (void)state;
    char line[300];
    bb_config_init(&config);
    assert_string_equal(bb_config_line(&config, "log", line, sizeof(line)),
                        "log-level=info log-requests=0 log-slow=1s");
    assert_non_null(strstr(bb_config_line(&config, "server", line, sizeof(line)),
                           "listen=\"127.0.0.1:10001 [::1]:10001\""));
}

static void the_json_is_json_and_has_every_setting(void **state)
{
    (void)state;
    static char page[BB_CONFIG_PAGE_MAX];
    assert_true(reads("[store]\ndata = /dev/with\"quote\\\n", NULL));
    size_t len = bb_config_json(&config, page);
    json_t *root = json_loadb(page, len, 0, NULL);
    assert_non_null(root);
    assert_int_equal(json_array_size(json_object_get(root, "settings")), BB_OPTION_END);
    json_t *first = json_array_get(json_object_get(root, "settings"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "value")), "/dev/with\"quote\\");
    assert_string_equal(json_string_value(json_object_get(first, "name")), "data");
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(a_file_comes_over_the_defaults_and_a_flag_over_the_file),
        cmocka_unit_test(the_section_of_a_store_comes_over_the_general_ones),
        cmocka_unit_test(a_store_needs_its_section),
        cmocka_unit_test(lists_have_words_and_go_on_in_indented_lines),
        cmocka_unit_test(flags_of_a_list_add_up_and_replace_the_file),
        cmocka_unit_test(what_is_wrong_in_a_file_is_named_with_its_line),
        cmocka_unit_test(a_line_is_read_whole_or_refused),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(a_bad_flag_is_refused_and_changes_nothing),
        cmocka_unit_test(who_may_reach_what_without_a_token_is_said_or_refused),
        cmocka_unit_test(what_is_printed_is_a_file_that_gives_the_same),
        cmocka_unit_test(a_section_fits_in_a_line),
        cmocka_unit_test(the_json_is_json_and_has_every_setting),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
