/* SPDX-License-Identifier: Apache-2.0
 * Host, entity tags, ranges, digests, query parameters: tables. Every text is read from the end of
 * a page that is followed by one that cannot be read. */
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* SHA-256 of "hello" and of nothing. */
#define HASH "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define OTHER "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define BASE64 "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
#define BASE64_OTHER "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* NULL: absent. Valid until the next call. */
static struct bb_http_span span(const char *text)
{
    if (text == NULL)
        return (struct bb_http_span){NULL, 0};
    return (struct bb_http_span){feed_guarded(text, strlen(text)), strlen(text)};
}

static struct bb_hash hash_of(const char *hex)
{
    struct bb_hash hash;
    assert_true(bb_hash_from_hex(hex, strlen(hex), &hash));
    return hash;
}

static void names_that_no_public_zone_can_hold_are_served(void **state)
{
    (void)state;
    static const char *const allowed[] = {"store.example", "b.store.example"};
    static const struct {
        const char *host;
        bool ok;
    } cases[] = {
        {NULL, true},
        {"", false},
        {":80", false},
        {"localhost", true},
        {"LocalHost:10001", true},
        {"localhost.", true},
        {"localhost.:80", true},
        {"localhost..", false},
        {"a.localhost", false},
        {"127.0.0.1", true},
        {"127.0.0.1:10001", true},
        {"192.168.17.3:", true},
        {"8.8.8.8", true},
        {"127.0.0.1.", false},
        {"127.0.0.1.evil.example", false},
        {"127.1", false},
        {"127.0.0.01", false},
        {"256.0.0.1", false},
        {"1.2.3.4.5", false},
        {"[::1]", true},
        {"[::1]:10001", true},
        {"[2001:DB8::a]", true},
        {"[::ffff:127.0.0.1]:80", true},
        {"[::1].evil.example", false},
        {"[::1]:x", false},
        {"[::1%25lo]", false},
        {"[127.0.0.1]", false},
        {"::1", false},
        {"nas", true},
        {"NAS:10001", true},
        {"my_service", true},
        {"nas.", false},
        {".", false},
        {"..", false},
        {".nas", false},
        {"evil.example", false},
        {"evil.example.", false},
        {"store.example", true},
        {"Store.EXAMPLE:10001", true},
        {"store.example.", true},
        {"store.example..", false},
        {"b.store.example", true},
        {"c.store.example", false},
        {"xstore.example", false},
        {"store.example.evil.example", false},
        {"store.example:65536", false},
        {"user@localhost", false},
        {"localhost,evil.example", false},
        {"localhost/", false},
        {"local host", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (bb_http_host_ok(span(cases[i].host), allowed, COUNT(allowed)) != cases[i].ok)
            fail_msg("host %s", cases[i].host);
    }
    assert_false(bb_http_host_ok(span("store.example"), NULL, 0));
    assert_true(bb_http_host_ok(span("nas"), NULL, 0));
}

static void if_none_match_finds_the_tag_in_any_list(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        bool matches;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"*", true},
        {" * ", true},
        {"**", false},
        {"*, \"" HASH "\"", false},
        {"\"" HASH "\"", true},
        {"W/\"" HASH "\"", true},
        {"w/\"" HASH "\"", false},
        {"W/ \"" HASH "\"", false},
        {"\"" OTHER "\"", false},
        {HASH, false},
        {"\"" HASH, false},
        {HASH "\"", false},
        {"'" HASH "'", false},
        {"\" " HASH "\"", false},
        {"\"" HASH "-gzip\"", false},
        {"\"2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824\"", false},
        {"\"\"", false},
        {"\"", false},
        {"W/", false},
        {"W", false},
        {",", false},
        {"\"a\", \"" HASH "\"", true},
        {"\"a\",\"" HASH "\"", true},
        {"\"a\" , ,\t,\"" HASH "\" ,", true},
        {", \"" HASH "\"", true},
        {"\"a,b\", W/\"c\", \"" HASH "\"", true},
        {"\"" HASH "\", \"b\"", true},
        {"\"a\" \"" HASH "\"", false},
        {"a, \"" HASH "\"", false},
        {"\"a\", b, \"" HASH "\"", false},
        {"\"a\\\", \"" HASH "\"", true},
        {"\"" OTHER "\", \"" OTHER "\"", false},
    };
    const struct bb_hash hash = hash_of(HASH);
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (bb_http_etag_matches(span(cases[i].list), &hash) != cases[i].matches)
            fail_msg("list %s", cases[i].list);
    }
}

static void if_range_wants_the_strong_tag_alone(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool matches;
    } cases[] = {
        {NULL, true},
        {"\"" HASH "\"", true},
        {" \"" HASH "\" ", true},
        {"W/\"" HASH "\"", false},
        {"\"" OTHER "\"", false},
        {"\"" HASH "\", \"a\"", false},
        {"\"" HASH "\"x", false},
        {HASH, false},
        {"*", false},
        {"", false},
        {"Wed, 21 Oct 2015 07:28:00 GMT", false},
    };
    const struct bb_hash hash = hash_of(HASH);
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (bb_http_if_range_matches(span(cases[i].value), &hash) != cases[i].matches)
            fail_msg("if-range %s", cases[i].value);
    }
}

#define NONE BB_HTTP_RANGE_NONE, 7, 7
#define ONE(first, last) BB_HTTP_RANGE_ONE, first, last
#define UNSATISFIABLE BB_HTTP_RANGE_UNSATISFIABLE, 7, 7

static void one_range_is_cut_to_the_body(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        uint64_t size;
        enum bb_http_range result;
        uint64_t first, last;
    } cases[] = {
        {NULL, 100, NONE},
        {"", 100, NONE},
        {"bytes", 100, NONE},
        {"bytes=", 100, NONE},
        {"bytes=-", 100, NONE},
        {"bytes=0-0", 100, ONE(0, 0)},
        {"bytes=0-99", 100, ONE(0, 99)},
        {"bytes=0-100", 100, ONE(0, 99)},
        {"bytes=10-19", 100, ONE(10, 19)},
        {"BYTES=10-19", 100, ONE(10, 19)},
        {"bytes=010-0019", 100, ONE(10, 19)},
        {"bytes=99-", 100, ONE(99, 99)},
        {"bytes=0-", 100, ONE(0, 99)},
        {"bytes=99-99", 100, ONE(99, 99)},
        {"bytes=100-", 100, UNSATISFIABLE},
        {"bytes=100-100", 100, UNSATISFIABLE},
        {"bytes=-1", 100, ONE(99, 99)},
        {"bytes=-100", 100, ONE(0, 99)},
        {"bytes=-101", 100, ONE(0, 99)},
        {"bytes=-0", 100, UNSATISFIABLE},
        {"bytes=0-18446744073709551615", 100, ONE(0, 99)},
        {"bytes=0-99999999999999999999999", 100, ONE(0, 99)},
        {"bytes=18446744073709551616-", 100, UNSATISFIABLE},
        {"bytes=99999999999999999999999-5", 100, NONE},
        {"bytes=-99999999999999999999999", 100, ONE(0, 99)},
        {"bytes=1-0", 100, NONE},
        {"bytes=0-1,3-4", 100, NONE},
        {"bytes=0-1,", 100, NONE},
        {"bytes=,0-1", 100, NONE},
        {"bytes= 0-1", 100, NONE},
        {"bytes=0 -1", 100, NONE},
        {"bytes=0-1 ", 100, NONE},
        {"bytes =0-1", 100, NONE},
        {" bytes=0-1", 100, NONE},
        {"bytes:0-1", 100, NONE},
        {"bytes 0-1/100", 100, NONE},
        {"lines=0-1", 100, NONE},
        {"bytes=a-1", 100, NONE},
        {"bytes=0-b", 100, NONE},
        {"bytes=0x0-1", 100, NONE},
        {"bytes=+0-1", 100, NONE},
        {"bytes=--1", 100, NONE},
        {"bytes=0--1", 100, NONE},
        {"bytes=0-1-2", 100, NONE},
        {"bytes=5", 100, NONE},
        {"bytes=0-", 0, UNSATISFIABLE},
        {"bytes=0-0", 0, UNSATISFIABLE},
        {"bytes=-0", 0, UNSATISFIABLE},
        {"bytes=-5", 0, NONE},
        {"bytes=0-0", 1, ONE(0, 0)},
        {"bytes=1-1", 1, UNSATISFIABLE},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t first = 7, last = 7;
        enum bb_http_range result =
            bb_http_parse_range(span(cases[i].range), cases[i].size, &first, &last);
        if (result != cases[i].result || first != cases[i].first || last != cases[i].last)
            fail_msg("range %s", cases[i].range);
    }
}

static void small_ranges_agree_with_the_set_of_bytes_they_mean(void **state)
{
    (void)state;
    for (uint64_t size = 0; size < 6; size++) {
        for (unsigned a = 0; a < 8; a++) {
            for (unsigned b = 0; b < 8; b++) {
                char text[32];
                uint64_t first = 0, last = 0, count = 0, lowest = 0;
                (void)snprintf(text, sizeof(text), "bytes=%u-%u", a, b);
                for (uint64_t at = size; at-- > 0;) {
                    if (at >= a && at <= b) {
                        count++;
                        lowest = at;
                    }
                }
                enum bb_http_range result = bb_http_parse_range(span(text), size, &first, &last);
                if (a > b)
                    assert_int_equal(result, BB_HTTP_RANGE_NONE);
                else if (count == 0)
                    assert_int_equal(result, BB_HTTP_RANGE_UNSATISFIABLE);
                else
                    assert_int_equal(result, BB_HTTP_RANGE_ONE);
                if (result == BB_HTTP_RANGE_ONE) {
                    assert_int_equal(first, lowest);
                    assert_int_equal(last - first + 1, count);
                }
            }
        }
    }
}

static void digests_are_dictionaries_of_byte_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        int result;
        const char *hex; /* when found, else HASH stays out of it */
    } cases[] = {
        {NULL, 0, NULL},
        {"", 0, NULL},
        {"sha-256=:" BASE64 ":", 1, HASH},
        {" sha-256=:" BASE64 ": ", 1, HASH},
        {"sha-512=:AAAA:, sha-256=:" BASE64 ":", 1, HASH},
        {"sha-256=:" BASE64 ":,\tsha-512=:AAAA:", 1, HASH},
        {"sha-256=:" BASE64_OTHER ":", 1, OTHER},
        {"sha-256=:" BASE64_OTHER ":, sha-256=:" BASE64 ":", 1, HASH},
        {"sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ:", 1, HASH},
        {"sha-256=:" BASE64 ":;a;b=1;c=\"d,\\\"\"; e=?1;f=:AA:", 1, HASH},
        {"sha-512=:AAAA:", 0, NULL},
        {"md5=:AAAA:, unixsum=:AA==:", 0, NULL},
        {"sha-512=::", 0, NULL},
        {"*a.b_c-d*0=:AA:", 0, NULL},
        /* Another bit under the padding is another text of the same bytes. */
        {"sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCR=:", -1, NULL},
        {"sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmC==:", -1, NULL},
        {"sha-256=:" BASE64 "=:", -1, NULL},
        {"sha-256=:" BASE64 "AAAA:", -1, NULL},
        {"sha-256=:AAAA:", -1, NULL},
        {"sha-256=::", -1, NULL},
        {"sha-256=" BASE64, -1, NULL},
        {"sha-256=:" BASE64, -1, NULL},
        {"sha-256=" BASE64 ":", -1, NULL},
        {"sha-256=\"" BASE64 "\"", -1, NULL},
        {"sha-256", -1, NULL},
        {"sha-256=", -1, NULL},
        {"sha-256=:", -1, NULL},
        {"sha-256 =:" BASE64 ":", -1, NULL},
        {"sha-256= :" BASE64 ":", -1, NULL},
        {"SHA-256=:" BASE64 ":", -1, NULL},
        {"SHA-256=" BASE64, -1, NULL},
        {"0a=:AA:", -1, NULL},
        {"=:AA:", -1, NULL},
        {":" BASE64 ":", -1, NULL},
        {"sha-256=:" BASE64 ":,", -1, NULL},
        {",sha-256=:" BASE64 ":", -1, NULL},
        {"sha-256=:" BASE64 ":,,a=:AA:", -1, NULL},
        {"sha-256=:" BASE64 ": a=:AA:", -1, NULL},
        {"sha-256=:" BASE64 ":x", -1, NULL},
        {"sha-256=:" BASE64 ":;", -1, NULL},
        {"sha-256=:" BASE64 ":;a=", -1, NULL},
        {"sha-256=:" BASE64 ":;a=\"b", -1, NULL},
        {"sha-256=:" BASE64 ":;a=\"b\\x\"", -1, NULL},
        {"sha-256=:" BASE64 ":;A", -1, NULL},
        {"sha-256=:LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:", -1, NULL},
        {"sha-256=:LPJNul+wow4m6DsqxbninhsWHl fp0JecwQzYpOLmCQ=:", -1, NULL},
        {"sha-256=:=PJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:", -1, NULL},
        {"sha-512=:A=AA:", -1, NULL},
        {"sha-512=:A===:, sha-256=:" BASE64 ":", -1, NULL},
    };
    const struct bb_hash untouched = {{0x5a}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bb_hash hash = untouched;
        struct bb_hash expected = cases[i].hex == NULL ? untouched : hash_of(cases[i].hex);
        int result = bb_http_digest_of(span(cases[i].field), &hash);
        if (result != cases[i].result || !bb_hash_equal(&hash, &expected))
            fail_msg("digest %s: %d", cases[i].field, result);
    }
}

static void the_first_parameter_of_a_name_counts(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value; /* NULL: absent */
    } cases[] = {
        {NULL, "limit", NULL},
        {"", "limit", NULL},
        {"limit=5", "limit", "5"},
        {"limit=", "limit", ""},
        {"limit", "limit", ""},
        {"limit=5&after=ab", "after", "ab"},
        {"after=ab&limit=5", "after", "ab"},
        {"after=ab&limit=5", "limit", "5"},
        {"limit=1&limit=2", "limit", "1"},
        {"&&limit=5&", "limit", "5"},
        {"xlimit=5", "limit", NULL},
        {"limitx=5", "limit", NULL},
        {"limi=5", "limit", NULL},
        {"Limit=5", "limit", NULL},
        {"limit=a=b", "limit", "a=b"},
        {"=5", "limit", NULL},
        {"&", "limit", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bb_http_span value = {NULL, 0};
        bool found = bb_http_query(span(cases[i].query), cases[i].name, &value);
        if (found != (cases[i].value != NULL))
            fail_msg("query %s", cases[i].query);
        if (!found)
            continue;
        assert_non_null(value.at);
        assert_int_equal(value.len, strlen(cases[i].value));
        assert_memory_equal(value.at, cases[i].value, value.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_no_public_zone_can_hold_are_served),
        cmocka_unit_test(if_none_match_finds_the_tag_in_any_list),
        cmocka_unit_test(if_range_wants_the_strong_tag_alone),
        cmocka_unit_test(one_range_is_cut_to_the_body),
        cmocka_unit_test(small_ranges_agree_with_the_set_of_bytes_they_mean),
        cmocka_unit_test(digests_are_dictionaries_of_byte_sequences),
        cmocka_unit_test(the_first_parameter_of_a_name_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
