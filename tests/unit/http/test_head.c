/* SPDX-License-Identifier: Apache-2.0
 * Request heads: a table of raw ones, each fed in several ways, the limits, and every byte value in
 * every place against a naive rule. */
#include "feed.h"
#include "heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ROUNDS 20
#define CASES (sizeof(head_cases) / sizeof(head_cases[0]))

/* Feeds in every way, wants one outcome, and returns it. */
static const char *outcome(const char *raw, size_t size, struct bb_random *random)
{
    static struct feed_text whole, other;
    size_t whole_size, other_size;
    feed_clear(&whole);
    (void)feed_head(raw, size, FEED_WHOLE, random, &whole, &whole_size);
    for (int round = 0; round <= ROUNDS; round++) {
        feed_clear(&other);
        (void)feed_head(raw, size, round == 0 ? FEED_BYTEWISE : FEED_RANDOM, random, &other,
                        &other_size);
        assert_string_equal(other.at, whole.at);
        assert_int_equal(other_size, whole_size);
    }
    return whole.at;
}

static bool is_refusal(const char *text)
{
    return text[0] >= '4' && text[0] <= '5';
}

static bool as_expected(const char *text, const char *expected)
{
    if (is_refusal(expected))
        return strncmp(text, expected, strlen(expected)) == 0;
    return strcmp(text, expected) == 0;
}

static void every_head_of_the_table_has_its_outcome_however_it_is_cut(void **state)
{
    (void)state;
    struct bb_random random;
    int wrong = 0;
    feed_seed(&random);
    for (size_t i = 0; i < CASES; i++) {
        const struct head_case *one = &head_cases[i];
        const char *text = outcome(one->raw, one->size, &random);
        if (as_expected(text, one->expected))
            continue;
        print_error("case %zu: %s\n    got  %s\n    want %s\n", i, one->raw, text, one->expected);
        wrong++;
    }
    print_message("%zu heads\n", CASES);
    assert_int_equal(wrong, 0);
}

static void a_second_request_behind_the_head_does_not_change_it(void **state)
{
    (void)state;
    static const char behind[] = "GET /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    static struct feed_text alone, followed;
    char raw[1024];
    size_t alone_size, followed_size;
    for (size_t i = 0; i < CASES; i++) {
        const struct head_case *one = &head_cases[i];
        feed_clear(&alone);
        (void)feed_head(one->raw, one->size, FEED_WHOLE, NULL, &alone, &alone_size);
        if (alone_size == 0 || alone_size != one->size)
            continue;
        memcpy(raw, one->raw, one->size);
        memcpy(raw + one->size, behind, sizeof(behind));
        feed_clear(&followed);
        (void)feed_head(raw, one->size + sizeof(behind), FEED_WHOLE, NULL, &followed,
                        &followed_size);
        assert_string_equal(followed.at, alone.at);
        assert_int_equal(followed_size, alone_size);
    }
}

static void refusal_texts_are_printable_lines_with_a_cure(void **state)
{
    (void)state;
    static struct feed_text text;
    size_t size;
    for (size_t i = 0; i < CASES; i++) {
        feed_clear(&text);
        (void)feed_head(head_cases[i].raw, head_cases[i].size, FEED_WHOLE, NULL, &text, &size);
        if (!is_refusal(text.at))
            continue;
        assert_true(text.len > 8);
        assert_true(text.len < sizeof(((struct bb_http_refusal *)0)->text) + 4);
        assert_non_null(strstr(text.at, ", "));
        for (size_t at = 0; at < text.len; at++)
            assert_true(text.at[at] >= ' ' && text.at[at] <= '~');
    }
}

/* A GET of which the target has `target_len` bytes, with `field_count` fields in all and padded by
 * one long value to `size` bytes (0: as it comes). */
static const struct feed_text *build(size_t target_len, unsigned field_count, size_t size)
{
    static struct feed_text raw;
    feed_clear(&raw);
    feed_say(&raw, "GET /%0*d HTTP/1.1\r\nHost: a\r\n", (int)target_len - 1, 0);
    for (unsigned i = 2; i < field_count; i++)
        feed_say(&raw, "A:\r\n");
    feed_say(&raw, "B:");
    while (raw.len + 4 < size)
        feed_say(&raw, "b");
    feed_say(&raw, "\r\n\r\n");
    return &raw;
}

static void assert_begins(const struct feed_text *raw, const char *expected)
{
    struct bb_random random;
    bb_random_seed(&random, 1);
    assert_memory_equal(outcome(raw->at, raw->len, &random), expected, strlen(expected));
}

static void limits_hold_to_the_byte(void **state)
{
    (void)state;
    assert_begins(build(BB_HTTP_TARGET_MAX, 2, 0), "GET path=/000");
    assert_begins(build(BB_HTTP_TARGET_MAX + 1, 2, 0), "414 target");
    assert_begins(build(BB_HTTP_TARGET_MAX + 100, 2, 0), "414 target");
    assert_begins(build(2 * BB_HTTP_HEAD_MAX, 2, 0), "414 target");

    assert_begins(build(2, BB_HTTP_FIELDS_MAX, 0), "GET path=/0 host=a 1.1 keep");
    assert_begins(build(2, BB_HTTP_FIELDS_MAX + 1, 0), "431 request head");

    assert_int_equal(build(2, 2, BB_HTTP_HEAD_MAX)->len, BB_HTTP_HEAD_MAX);
    assert_begins(build(2, 2, BB_HTTP_HEAD_MAX), "GET path=/0 host=a 1.1 keep");
    assert_begins(build(2, 2, BB_HTTP_HEAD_MAX + 1), "431 request head");
    assert_begins(build(2, 2, 2 * BB_HTTP_HEAD_MAX), "431 request head");

    static struct feed_text raw;
    for (raw.len = 0; raw.len < BB_HTTP_HEAD_MAX;)
        feed_say(&raw, "A");
    assert_begins(&raw, "400 request line");
}

static void the_empty_line_before_the_head_counts_for_its_size(void **state)
{
    (void)state;
    static const char raw[] = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    static struct feed_text text;
    size_t size;
    feed_clear(&text);
    (void)feed_head(raw, sizeof(raw) - 1, FEED_WHOLE, NULL, &text, &size);
    assert_int_equal(size, sizeof(raw) - 1 - 4);
}

/* Puts `byte` for the '@' of `pattern` and says whether the head is accepted. */
static bool accepts(const char *pattern, int byte)
{
    static struct feed_text text;
    char raw[256];
    size_t len = strlen(pattern), size;
    assert_true(len < sizeof(raw));
    memcpy(raw, pattern, len);
    *(char *)memchr(raw, '@', len) = (char)byte;
    feed_clear(&text);
    (void)feed_head(raw, len, FEED_WHOLE, NULL, &text, &size);
    return size == len;
}

static bool naive_token(int byte)
{
    return byte > 0 && strchr("!#$%&'*+-.^_`|~0123456789"
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                              byte) != NULL;
}

static bool naive_target(int byte)
{
    return byte > 0 && strchr("-._~:/?[]@!$&'()*+,;=0123456789"
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                              byte) != NULL;
}

static void every_byte_in_a_name_a_value_and_a_target_follows_the_grammar(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        bool in_name = accepts("GET / HTTP/1.1\r\nHost: a\r\nx@: y\r\n\r\n", byte);
        /* A colon ends the name earlier and the rest is a value. */
        assert_int_equal(in_name, naive_token(byte) || byte == ':');
        bool in_value = accepts("GET / HTTP/1.1\r\nHost: a\r\nx: y@z\r\n\r\n", byte);
        assert_int_equal(in_value, byte == '\t' || (byte >= ' ' && byte != 0x7f));
        bool in_target = accepts("GET /y@z HTTP/1.1\r\nHost: a\r\n\r\n", byte);
        assert_int_equal(in_target, naive_target(byte));
        bool in_host = accepts("GET / HTTP/1.1\r\nHost: a@\r\n\r\n", byte);
        bool blank = byte == ' ' || byte == '\t';
        bool name = naive_token(byte) && strchr("!#$%&'*+^`|", byte) == NULL;
        assert_int_equal(in_host, name || blank || byte == ':');
    }
}

/* Canary: a feeder that shows a byte more than there is must be caught by the guard page. */
static void the_guard_page_catches_a_read_behind_the_end(void **state)
{
    (void)state;
    const volatile char *at = feed_guarded("ab", 2);
    assert_int_equal(at[1], 'b');
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    /* write(2) reads for us and says EFAULT instead of dying. */
    assert_int_equal(write(ends[1], (const char *)at + 2, 1), -1);
    assert_int_equal(write(ends[1], (const char *)at + 1, 1), 1);
    close(ends[0]);
    close(ends[1]);
}

/* Reads another version when the head comes in pieces. */
static int forgetful_parse(const char *buf, size_t len, size_t *scanned,
                           struct bb_http_request *ret_request, size_t *ret_head_size,
                           struct bb_http_refusal *ret_refusal)
{
    bool fresh = *scanned == 0;
    int result = bb_http_parse_head(buf, len, scanned, ret_request, ret_head_size, ret_refusal);
    if (result == 1 && !fresh)
        ret_request->minor = 0;
    return result;
}

/* Canary: a parser whose outcome depends on the cut must be seen. */
static void a_parser_that_forgets_is_told_from_ours(void **state)
{
    (void)state;
    static const char raw[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    static struct feed_text whole, bytewise;
    size_t size;
    feed_parse = forgetful_parse;
    (void)feed_head(raw, sizeof(raw) - 1, FEED_WHOLE, NULL, &whole, &size);
    (void)feed_head(raw, sizeof(raw) - 1, FEED_BYTEWISE, NULL, &bytewise, &size);
    feed_parse = bb_http_parse_head;
    assert_string_not_equal(whole.at, bytewise.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_head_of_the_table_has_its_outcome_however_it_is_cut),
        cmocka_unit_test(a_second_request_behind_the_head_does_not_change_it),
        cmocka_unit_test(refusal_texts_are_printable_lines_with_a_cure),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(the_empty_line_before_the_head_counts_for_its_size),
        cmocka_unit_test(every_byte_in_a_name_a_value_and_a_target_follows_the_grammar),
        cmocka_unit_test(the_guard_page_catches_a_read_behind_the_end),
        cmocka_unit_test(a_parser_that_forgets_is_told_from_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
