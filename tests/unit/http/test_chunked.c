/* SPDX-License-Identifier: Apache-2.0
 * Chunked bodies: a table of raw ones, each fed in several ways, limits to the byte, and random
 * valid bodies against what they were made of. */
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ROUNDS 20

struct chunked_case {
    const char *raw;
    size_t size;
    const char *expected; /* of a refusal the beginning */
};

#define BODY(raw, expected)                                                                        \
    {                                                                                              \
        raw, sizeof(raw) - 1, expected                                                             \
    }
/* A chunk of one byte with this line; a last chunk with these trailers. */
#define LINE(line, expected) BODY(line "\r\nx\r\n0\r\n\r\n", expected)
#define TRAILER(lines, expected) BODY("0\r\n" lines "\r\n", expected)
#define BAD_LINE "|400 malformed chunk size line"
#define BAD_TRAILER "|400 malformed trailer"

static const struct chunked_case cases[] = {
    BODY("", "|more"),
    BODY("0\r\n\r\n", "|end 5"),
    BODY("0\r\n\r\nGET / HTTP/1.1\r\n", "|end 5"),
    BODY("5\r\nhello\r\n0\r\n\r\n", "hello|end 15"),
    BODY("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world|end 26"),
    BODY("a\r\n0123456789\r\n0\r\n\r\n", "0123456789|end 20"),
    BODY("A\r\n0123456789\r\n0\r\n\r\n", "0123456789|end 20"),
    BODY("0a\r\n0123456789\r\n0\r\n\r\n", "0123456789|end 21"),
    BODY("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n|end 14"),
    BODY("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n|end 15"),
    BODY("00000\r\n\r\n", "|end 9"),
    LINE("0000000000000001", "x|end 26"),

    /* Unfinished. */
    BODY("5", "|more"),
    BODY("5\r", "|more"),
    BODY("5\r\n", "|more"),
    BODY("5\r\nhel", "hel|more"),
    BODY("5\r\nhello", "hello|more"),
    BODY("5\r\nhello\r", "hello|more"),
    BODY("5\r\nhello\r\n", "hello|more"),
    BODY("0\r\n", "|more"),
    BODY("0\r\n\r", "|more"),
    BODY("ffffffffffffffff\r\nabc", "abc|more"),
    BODY("FFFFFFFFFFFFFFFF\r\n0\r\n\r\n", "0\r\n\r\n|more"),

    /* Sizes. */
    LINE("", BAD_LINE),
    LINE(" 1", BAD_LINE),
    LINE("1 ", BAD_LINE),
    LINE("1\t", BAD_LINE),
    LINE("\t1", BAD_LINE),
    LINE("+1", BAD_LINE),
    LINE("-1", BAD_LINE),
    LINE("0x1", BAD_LINE),
    LINE("1h", BAD_LINE),
    LINE("1_0", BAD_LINE),
    LINE("1,", BAD_LINE),
    LINE("1.0", BAD_LINE),
    LINE("\"1\"", BAD_LINE),
    LINE("00000000000000001", BAD_LINE),
    LINE("10000000000000000", BAD_LINE),
    LINE("fffffffffffffffff", BAD_LINE),
    LINE("1\0", BAD_LINE),
    LINE("\0001", BAD_LINE),
    LINE("\xb1", BAD_LINE),
    BODY("\r\n0\r\n\r\n", BAD_LINE),
    BODY("\n0\r\n\r\n", BAD_LINE),
    BODY("1\nx\r\n0\r\n\r\n", BAD_LINE),
    BODY("1\rx\r\n0\r\n\r\n", BAD_LINE),
    BODY("1\r\r\nx\r\n0\r\n\r\n", BAD_LINE),
    BODY("0\n\r\n", BAD_LINE),

    /* The end of the data. */
    BODY("1\r\nxy\r\n0\r\n\r\n", "x|400 chunk longer than its size"),
    BODY("2\r\nx\r\n0\r\n\r\n", "x\r|400 chunk longer than its size"),
    BODY("1\r\nx\n0\r\n\r\n", "x|400 chunk longer than its size"),
    BODY("1\r\nx\r0\r\n\r\n", "x|400 chunk longer than its size"),
    BODY("1\r\nx\r\r\n0\r\n\r\n", "x|400 chunk longer than its size"),
    BODY("1\r\nx0\r\n\r\n", "x|400 chunk longer than its size"),
    BODY("1\r\nx\r\n\r\n", "x" BAD_LINE),
    BODY("1\r\nx\r\n 0\r\n\r\n", "x" BAD_LINE),

    /* Extensions. */
    LINE("1;a", "x|end 13"),
    LINE("1;a=b", "x|end 15"),
    LINE("1;a=b;c;d=e", "x|end 21"),
    LINE("1;a=\"\"", "x|end 16"),
    LINE("1;a=\"b ;\t\\\"\\\\ \xff\"", "x|end 26"),
    LINE("1;a=\"b\";c", "x|end 19"),
    BODY("0;a=b\r\n\r\n", "|end 9"),
    LINE("1;", BAD_LINE),
    LINE("1;;a", BAD_LINE),
    LINE("1;=b", BAD_LINE),
    LINE("1;a=", BAD_LINE),
    LINE("1;a==b", BAD_LINE),
    LINE("1;a=b=c", BAD_LINE),
    LINE("1; a", BAD_LINE),
    LINE("1 ;a", BAD_LINE),
    LINE("1;a ", BAD_LINE),
    LINE("1;a =b", BAD_LINE),
    LINE("1;a= b", BAD_LINE),
    LINE("1;a=b\"c\"", BAD_LINE),
    LINE("1;a=\"b\"c", BAD_LINE),
    LINE("1;a=\"b", BAD_LINE),
    LINE("1;a=\"b\x01\"", BAD_LINE),
    LINE("1;a=\"\\\x7f\"", BAD_LINE),
    LINE("1;a(b", BAD_LINE),
    LINE("1;a\0", BAD_LINE),
    BODY("1;a\nx\r\n0\r\n\r\n", BAD_LINE),
    BODY("1;a=\"\r\n\"\r\nx\r\n0\r\n\r\n", BAD_LINE),

    /* Trailers. */
    TRAILER("a: b\r\n", "|end 11"),
    TRAILER("a:\r\nb: \t c \xff\r\n", "|end 19"),
    TRAILER("Content-Length: 5\r\n", "|end 24"),
    TRAILER("a\r\n", BAD_TRAILER),
    TRAILER("a : b\r\n", BAD_TRAILER),
    TRAILER(": b\r\n", BAD_TRAILER),
    TRAILER(" a: b\r\n", BAD_TRAILER),
    TRAILER("a: b\r\n c\r\n", BAD_TRAILER),
    TRAILER("a: b\n", BAD_TRAILER),
    TRAILER("a: b\rc\r\n", BAD_TRAILER),
    TRAILER("a: b\0\r\n", BAD_TRAILER),
    TRAILER("a: \x7f\r\n", BAD_TRAILER),
    TRAILER("a\0b: c\r\n", BAD_TRAILER),
    BODY("0\r\n\n", BAD_TRAILER),
    BODY("0\r\n\rx", BAD_TRAILER),
    BODY("0\r\na: b\r\n\n", BAD_TRAILER),
};

/* Feeds in every way, wants one outcome, and returns it. */
static const char *outcome(const char *raw, size_t size, struct bb_random *random)
{
    static struct feed_text whole, other;
    feed_clear(&whole);
    (void)feed_chunked(raw, size, FEED_WHOLE, random, &whole);
    for (int round = 0; round <= ROUNDS; round++) {
        feed_clear(&other);
        (void)feed_chunked(raw, size, round == 0 ? FEED_BYTEWISE : FEED_RANDOM, random, &other);
        assert_string_equal(other.at, whole.at);
    }
    return whole.at;
}

static void every_body_of_the_table_has_its_outcome_however_it_is_cut(void **state)
{
    (void)state;
    struct bb_random random;
    int wrong = 0;
    feed_seed(&random);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = outcome(cases[i].raw, cases[i].size, &random);
        size_t len = strlen(cases[i].expected);
        bool refusal = strstr(cases[i].expected, "|4") != NULL;
        if (refusal ? strncmp(text, cases[i].expected, len) == 0
                    : strcmp(text, cases[i].expected) == 0)
            continue;
        print_error("case %zu: %s\n    got  %s\n    want %s\n", i, cases[i].raw, text,
                    cases[i].expected);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* A size line of `size` bytes with its CR LF, before a byte and the end. */
static const char *line_of(size_t size, struct bb_random *random)
{
    static char raw[1024];
    memcpy(raw, "1;", 2);
    memset(raw + 2, 'e', size - 4);
    memcpy(raw + size - 2, "\r\nx\r\n0\r\n\r\n", 10);
    return outcome(raw, size + 8, random);
}

/* Trailers of `size` bytes with the last empty line. */
static const char *trailers_of(size_t size, struct bb_random *random)
{
    static char raw[8192];
    memcpy(raw, "0\r\na:", 5);
    memset(raw + 5, 't', size - 6);
    memcpy(raw + 5 + size - 6, "\r\n\r\n", 4);
    return outcome(raw, 3 + size, random);
}

static void limits_hold_to_the_byte(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, 1);
    assert_string_equal(line_of(256, &random), "x|end 264");
    assert_memory_equal(line_of(257, &random), "|400 chunk size line: ", 20);
    assert_memory_equal(line_of(900, &random), "|400 chunk size line: ", 20);
    assert_string_equal(trailers_of(4096, &random), "|end 4099");
    assert_memory_equal(trailers_of(4097, &random), "|400 trailers", 13);
    assert_memory_equal(trailers_of(8000, &random), "|400 trailers", 13);
}

/* Each size line has its own limit, however many there are; many short trailers share theirs. */
static void the_limit_of_lines_is_for_each_and_that_of_trailers_for_all(void **state)
{
    (void)state;
    static struct feed_text raw;
    struct bb_random random;
    bb_random_seed(&random, 1);
    for (int i = 0; i < 100; i++)
        feed_say(&raw, "1;%0200d\r\nx\r\n", i);
    feed_say(&raw, "0\r\n\r\n");
    assert_non_null(strstr(outcome(raw.at, raw.len, &random), "xxx|end"));

    feed_clear(&raw);
    feed_say(&raw, "0\r\n");
    for (int i = 0; i < 1000; i++)
        feed_say(&raw, "abc:\r\n");
    feed_say(&raw, "\r\n");
    assert_memory_equal(outcome(raw.at, raw.len, &random), "|400 trailers", 13);
}

static void random_bodies_come_out_as_they_went_in(void **state)
{
    (void)state;
    static struct feed_text raw, body, text;
    struct bb_random random;
    feed_seed(&random);
    for (int round = 0; round < 300; round++) {
        feed_clear(&raw);
        feed_clear(&body);
        unsigned chunk_count = (unsigned)bb_random_below(&random, 20);
        for (unsigned i = 0; i < chunk_count; i++) {
            unsigned size = 1 + (unsigned)bb_random_below(&random, 300);
            if (bb_random_below(&random, 2) == 0)
                feed_say(&raw, "%x", size);
            else
                feed_say(&raw, "%08X;name=\"va\\\"lue\"", size);
            feed_say(&raw, "\r\n");
            for (unsigned at = 0; at < size; at++) {
                char byte = (char)(1 + bb_random_below(&random, 255));
                feed_say(&raw, "%c", byte);
                feed_say(&body, "%c", byte);
            }
            feed_say(&raw, "\r\n");
        }
        feed_say(&raw, "0\r\n%s\r\n", round % 2 ? "trailer: yes\r\n" : "");
        feed_say(&body, "|end %zu", raw.len);
        for (enum feed_cut cut = FEED_WHOLE; cut <= FEED_RANDOM; cut++) {
            feed_clear(&text);
            (void)feed_chunked(raw.at, raw.len, cut, &random, &text);
            assert_string_equal(text.at, body.at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_body_of_the_table_has_its_outcome_however_it_is_cut),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(the_limit_of_lines_is_for_each_and_that_of_trailers_for_all),
        cmocka_unit_test(random_bodies_come_out_as_they_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
