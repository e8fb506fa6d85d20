/* SPDX-License-Identifier: Apache-2.0
 * The file of tokens: what it may hold, whose it may be, and that no refusal shows a secret. */
#include "bb/token.h"
#include "textfile.h"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HASH_A "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" /* hello */
#define HASH_B "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7" /* world */

static struct bb_tokens tokens;
static char sentence[400];

static bool reads(const char *text)
{
    write_file(text);
    sentence[0] = '\0';
    return bb_tokens_read(path, &tokens, sentence, sizeof(sentence));
}

static void lines_give_names_scopes_and_hashes(void **state)
{
    (void)state;
    assert_true(reads("# comment\n\n  a.b-c_1   read,write  " HASH_A "  \nboss admin " HASH_B));
    assert_int_equal(tokens.count, 2);
    assert_string_equal(tokens.tokens[0].name, "a.b-c_1");
    assert_int_equal(tokens.tokens[0].scopes, BB_SCOPE_READ | BB_SCOPE_WRITE);
    assert_int_equal(tokens.tokens[1].scopes, BB_SCOPE_ALL);
    assert_ptr_equal(bb_tokens_find(&tokens, "hello", 5), &tokens.tokens[0]);
    assert_ptr_equal(bb_tokens_find(&tokens, "world", 5), &tokens.tokens[1]);
    assert_null(bb_tokens_find(&tokens, "hello", 4));
    assert_null(bb_tokens_find(&tokens, HASH_A, 64));
}

static void lines_may_end_in_crlf_and_the_last_one_in_nothing(void **state)
{
    (void)state;
    assert_true(reads("a read " HASH_A "\r\n\r\n# c\r\n\tb\twrite\t" HASH_B "\r"));
    assert_int_equal(tokens.count, 2);
    assert_int_equal(tokens.tokens[1].scopes, BB_SCOPE_WRITE);
}

/* Behind the carriage return of an old Mac there would be a second line, in the same one. */
static void a_comment_hides_no_line_behind_its_end(void **state)
{
    (void)state;
    char text[400];
    (void)snprintf(text, sizeof(text), "#\r%0254d\nboss admin " HASH_A "\n", 0);
    assert_false(reads(text));
    (void)snprintf(text, sizeof(text), "#\r%0252dboss admin " HASH_A "\n", 0);
    assert_false(reads(text));
    assert_null(bb_tokens_find(&tokens, "hello", 5));
}

static void an_empty_file_lets_nobody_in(void **state)
{
    (void)state;
    assert_true(reads(""));
    assert_int_equal(tokens.count, 0);
    assert_null(bb_tokens_find(&tokens, "", 0));
}

static void what_is_wrong_is_named_with_its_line_and_without_the_hash(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
        const char *words;
    } cases[] = {
        {"x read " HASH_A "\nx read " HASH_B "\n", 2, "second time"},
        {"x read " HASH_A "\ny read " HASH_A "\n", 2, "token of x"},
        {"x read\n", 1, "SHA-256"},
        {"x read 2cf24dba5fb0a30e26e83b2ac5b9e29e\n", 1, "SHA-256"},
        {"x read 2CF24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n", 1, "SHA-256"},
        {"x read " HASH_A " more\n", 1, "SHA-256"},
        {"\nx all " HASH_A "\n", 2, "scopes"},
        {"x read,read " HASH_A "\n", 1, "scopes"},
        {"x read, " HASH_A "\n", 1, "scopes"},
        {"x " HASH_A "\n", 1, "scopes"},
        {"x/y read " HASH_A "\n", 1, "name"},
        {"abcdefghijklmnopqrstuvwxyzabcdef read " HASH_A "\n", 1, "name"},
        {"# one\rx read " HASH_A "\n", 1, "control byte"},
        {"x read " HASH_A "\ry admin " HASH_B, 1, "control byte"},
        {"x read " HASH_A "\r\r\n", 1, "control byte"},
        {"x\x7f read " HASH_A "\n", 1, "control byte"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char wanted[80];
        (void)snprintf(wanted, sizeof(wanted), "%s:%u: ", path, cases[i].line);
        assert_false(reads(cases[i].text));
        if (strncmp(sentence, wanted, strlen(wanted)) != 0 ||
            strstr(sentence, cases[i].words) == NULL)
            fail_msg("\"%s\" is not \"%s ... %s\"", sentence, wanted, cases[i].words);
        assert_null(strstr(sentence, "2cf24dba"));
        assert_null(strstr(sentence, "2CF24dba"));
    }
}

static void a_file_that_others_may_read_or_write_is_refused(void **state)
{
    (void)state;
    static const mode_t wrong[] = {0640, 0604, 0620, 0602, 0610, 0601, 0666};
    assert_true(reads("x read " HASH_A "\n"));
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(chmod(path, wrong[i]), 0);
        assert_false(bb_tokens_read(path, &tokens, sentence, sizeof(sentence)));
        assert_non_null(strstr(sentence, "chmod 600"));
    }
    assert_int_equal(chmod(path, 0400), 0);
    assert_true(bb_tokens_read(path, &tokens, sentence, sizeof(sentence)));
    assert_int_equal(chmod(path, 0600), 0);
}

static void a_file_of_somebody_else_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(reads("x read " HASH_A "\n"));
    assert_int_equal(chown(path, 12345, 0), 0);
    assert_false(bb_tokens_read(path, &tokens, sentence, sizeof(sentence)));
    assert_non_null(strstr(sentence, "belongs to user 12345"));
    assert_int_equal(chown(path, 0, 0), 0);
}

static struct passwd service_user = {.pw_uid = 4711};

/* In place of the C library's: the user exists on a machine where the package is installed. */
struct passwd *getpwnam(const char *name)
{
    return strcmp(name, BB_TOKEN_USER) == 0 ? &service_user : NULL;
}

static void root_reads_the_file_of_the_service_too(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(reads("x read " HASH_A "\n"));
    assert_int_equal(chown(path, service_user.pw_uid, 0), 0);
    assert_true(bb_tokens_read(path, &tokens, sentence, sizeof(sentence)));
    assert_int_equal(chown(path, service_user.pw_uid + 1, 0), 0);
    assert_false(bb_tokens_read(path, &tokens, sentence, sizeof(sentence)));
    assert_int_equal(chown(path, 0, 0), 0);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    assert_false(bb_tokens_read("/nonexistent", &tokens, sentence, sizeof(sentence)));
    assert_non_null(strstr(sentence, "No such file"));
    assert_false(bb_tokens_read("/tmp", &tokens, sentence, sizeof(sentence)));
    char fifo[sizeof(path) + 8];
    (void)snprintf(fifo, sizeof(fifo), "%s.fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    (void)alarm(10); /* nobody writes: waiting for that would last for ever */
    assert_false(bb_tokens_read(fifo, &tokens, sentence, sizeof(sentence)));
    (void)alarm(0);
    assert_non_null(strstr(sentence, "not a file"));
    assert_int_equal(unlink(fifo), 0);
}

static void a_link_is_as_good_as_what_it_leads_to(void **state)
{
    (void)state;
    char link[sizeof(path) + 8];
    (void)snprintf(link, sizeof(link), "%s.link", path);
    assert_true(reads("x read " HASH_A "\n"));
    assert_int_equal(symlink(path, link), 0);
    assert_true(bb_tokens_read(link, &tokens, sentence, sizeof(sentence)));
    assert_int_equal(chmod(path, 0644), 0);
    assert_false(bb_tokens_read(link, &tokens, sentence, sizeof(sentence)));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(unlink(link), 0);
}

static void there_is_a_bound_on_tokens_and_on_lines(void **state)
{
    (void)state;
    static char text[(BB_TOKEN_COUNT_MAX + 1) * 100];
    size_t len = 0;
    for (unsigned i = 0; i < BB_TOKEN_COUNT_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "t%u read %064x\n", i, i);
    assert_true(reads(text));
    assert_int_equal(tokens.count, BB_TOKEN_COUNT_MAX);
    (void)snprintf(text + len, sizeof(text) - len, "more read %064x\n", 9999u);
    assert_false(reads(text));
    assert_non_null(strstr(sentence, ":257: "));
    memset(text, 'x', 300);
    text[300] = '\0';
    assert_false(reads(text));
    assert_non_null(strstr(sentence, ":1: "));
}

static size_t presents(const char *field, char ret_token[static BB_TOKEN_LEN_MAX])
{
    return bb_token_presented((struct bb_http_span){field, strlen(field)}, ret_token);
}

static void basic_gives_the_bytes_behind_the_first_colon(void **state)
{
    (void)state;
    char presented[BB_TOKEN_LEN_MAX];
    static const char *const none[] = {
        "Basic",           "Basic ",         "Basic =",        "Basic ====",
        "Basic dTpw=",     "Basic dTpwdw=",  "Basic dTp=dw==", "Basic dTpw dTpw",
        "Basic dTpw,x",    "Basic dXA=",     "Basic dTo=",     "Basic dTpw\tdTpw",
        "Basic\tdTpwdw==", "Basic dTpw-w==", "Basic:dTpwdw==", "Basic O===",
    };
    for (size_t i = 0; i < COUNT(none); i++)
        if (presents(none[i], presented) != 0)
            fail_msg("\"%s\" presents something", none[i]);
    assert_int_equal(presents("bAsIc  dTpwdw== ", presented), 2);
    assert_memory_equal(presented, "pw", 2);
    assert_int_equal(presents("Basic Ojo6", presented), 2); /* ":::" */
    assert_memory_equal(presented, "::", 2);
    assert_int_equal(presents("Basic dTpwAHc=", presented), 3); /* "u:p\0w": not cut at the NUL */
    assert_memory_equal(presented, "p\0w", 3);
    assert_int_equal(presents("Basic ADpwdw==", presented), 2); /* "\0:pw" */
    assert_memory_equal(presented, "pw", 2);
}

static void a_presented_token_is_bounded(void **state)
{
    (void)state;
    char field[1600] = "Bearer ";
    char presented[BB_TOKEN_LEN_MAX];
    memset(field + 7, 'a', 1500);
    assert_int_equal(bb_token_presented((struct bb_http_span){field, 7 + 512}, presented), 512);
    assert_int_equal(bb_token_presented((struct bb_http_span){field, 7 + 513}, presented), 0);
    memcpy(field, "Basic  ", 7); /* "aaaa" decodes to no colon; what matters is that it ends */
    assert_int_equal(bb_token_presented((struct bb_http_span){field, 7 + 1364}, presented), 0);
    assert_int_equal(bb_token_presented((struct bb_http_span){field, 7 + 1368}, presented), 0);
    assert_int_equal(bb_token_presented((struct bb_http_span){NULL, 0}, presented), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_give_names_scopes_and_hashes),
        cmocka_unit_test(lines_may_end_in_crlf_and_the_last_one_in_nothing),
        cmocka_unit_test(a_comment_hides_no_line_behind_its_end),
        cmocka_unit_test(an_empty_file_lets_nobody_in),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line_and_without_the_hash),
        cmocka_unit_test(a_file_that_others_may_read_or_write_is_refused),
        cmocka_unit_test(a_file_of_somebody_else_is_refused),
        cmocka_unit_test(root_reads_the_file_of_the_service_too),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(a_link_is_as_good_as_what_it_leads_to),
        cmocka_unit_test(there_is_a_bound_on_tokens_and_on_lines),
        cmocka_unit_test(basic_gives_the_bytes_behind_the_first_colon),
        cmocka_unit_test(a_presented_token_is_bounded),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
