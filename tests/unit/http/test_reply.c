/* SPDX-License-Identifier: Apache-2.0
 * Reply heads, byte for byte. */
#include "bb/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* SHA-256 of "hello". */
#define HASH "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define BASE64 "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
#define DATE "Tue, 15 Nov 1994 08:12:31 GMT"

#define COMMON "Date: " DATE "\r\nX-Content-Type-Options: nosniff\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"
#define BINARY "Content-Type: application/octet-stream\r\n"
#define TAG "ETag: \"" HASH "\"\r\n"
#define DIGEST "Repr-Digest: sha-256=:" BASE64 ":\r\n"
#define PUBLIC "Accept-Ranges: bytes\r\nCache-Control: public, max-age=31536000, immutable\r\n"
#define PRIVATE "Accept-Ranges: bytes\r\nCache-Control: private, max-age=31536000, immutable\r\n"
#define NO_STORE "Cache-Control: no-store\r\n"

static const struct bb_hash hash = {{0x2c, 0xf2, 0x4d, 0xba, 0x5f, 0xb0, 0xa3, 0x0e,
                                     0x26, 0xe8, 0x3b, 0x2a, 0xc5, 0xb9, 0xe2, 0x9e,
                                     0x1b, 0x16, 0x1e, 0x5c, 0x1f, 0xa7, 0x42, 0x5e,
                                     0x73, 0x04, 0x33, 0x62, 0x93, 0x8b, 0x98, 0x24}};

static const struct {
    struct bb_http_reply reply;
    const char *expected;
} cases[] = {
    {{.status = 200, .block = &hash, .content_length = 4096},
     "HTTP/1.1 200 OK\r\n" COMMON BINARY "Content-Length: 4096\r\n" TAG DIGEST PUBLIC "\r\n"},
    {{.status = 200, .block = &hash, .content_length = 0, .cache_private = true, .close = true},
     "HTTP/1.1 200 OK\r\n" COMMON BINARY "Content-Length: 0\r\n" TAG DIGEST PRIVATE
     "Connection: close\r\n\r\n"},
    {{.status = 206,
      .block = &hash,
      .content_length = 10,
      .range = true,
      .range_first = 90,
      .range_last = 99,
      .range_size = 100},
     "HTTP/1.1 206 Partial Content\r\n" COMMON BINARY "Content-Length: 10\r\n" TAG DIGEST PUBLIC
     "Content-Range: bytes 90-99/100\r\n\r\n"},
    {{.status = 304, .block = &hash, .content_length = 4096},
     "HTTP/1.1 304 Not Modified\r\n" COMMON TAG PUBLIC "\r\n"},
    {{.status = 416, .block = &hash, .content_length = 30, .range = true, .range_size = 100},
     "HTTP/1.1 416 Range Not Satisfiable\r\n" COMMON TEXT "Content-Length: 30\r\n" TAG NO_STORE
     "Content-Range: bytes */100\r\n\r\n"},
    {{.status = 416, .content_length = 30, .range = true, .range_size = 0},
     "HTTP/1.1 416 Range Not Satisfiable\r\n" COMMON TEXT "Content-Length: 30\r\n" NO_STORE
     "Content-Range: bytes */0\r\n\r\n"},
    {{.status = 412, .block = &hash, .content_length = 30},
     "HTTP/1.1 412 Precondition Failed\r\n" COMMON TEXT "Content-Length: 30\r\n" TAG NO_STORE
     "\r\n"},
    {{.status = 201, .location = &hash, .content_length = 65},
     "HTTP/1.1 201 Created\r\n" COMMON TEXT "Content-Length: 65\r\nLocation: /block/" HASH
     "\r\n" TAG NO_STORE "\r\n"},
    {{.status = 200, .location = &hash, .content_length = 65, .keep_alive_1_0 = true},
     "HTTP/1.1 200 OK\r\n" COMMON TEXT "Content-Length: 65\r\nLocation: /block/" HASH
     "\r\n" TAG NO_STORE "Connection: keep-alive\r\n\r\n"},
    {{.status = 204}, "HTTP/1.1 204 No Content\r\n" COMMON NO_STORE "\r\n"},
    {{.status = 100, .close = true}, "HTTP/1.1 100 Continue\r\n\r\n"},
    {{.status = 200, .content_type = "application/json", .content_length = 1048576},
     "HTTP/1.1 200 OK\r\n" COMMON
     "Content-Type: application/json\r\nContent-Length: 1048576\r\n" NO_STORE "\r\n"},
    {{.status = 200,
      .content_length = UINT64_MAX,
      .link = "</blocks?after=" HASH "&limit=10000>; rel=\"next\""},
     "HTTP/1.1 200 OK\r\n" COMMON TEXT "Content-Length: 18446744073709551615\r\n" NO_STORE
     "Link: </blocks?after=" HASH "&limit=10000>; rel=\"next\"\r\n\r\n"},
    {{.status = 200,
      .content_length = 7,
      .content_type = "text/html",
      .policy = "default-src 'none'"},
     "HTTP/1.1 200 OK\r\n" COMMON "Content-Type: text/html\r\nContent-Length: 7\r\n" NO_STORE
     "Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\n\r\n"},
    {{.status = 405, .content_length = 9, .allow = "GET, HEAD", .close = true},
     "HTTP/1.1 405 Method Not Allowed\r\n" COMMON TEXT "Content-Length: 9\r\n" NO_STORE
     "Allow: GET, HEAD\r\nConnection: close\r\n\r\n"},
    {{.status = 401, .content_length = 1, .authenticate = "Bearer, Basic realm=\"blocks\""},
     "HTTP/1.1 401 Unauthorized\r\n" COMMON TEXT "Content-Length: 1\r\n" NO_STORE
     "WWW-Authenticate: Bearer, Basic realm=\"blocks\"\r\n\r\n"},
    {{.status = 503, .content_length = 12, .retry_after = 10},
     "HTTP/1.1 503 Service Unavailable\r\n" COMMON TEXT "Content-Length: 12\r\n" NO_STORE
     "Retry-After: 10\r\n\r\n"},
    {{.status = 500, .content_length = 0},
     "HTTP/1.1 500 Internal Server Error\r\n" COMMON TEXT "Content-Length: 0\r\n" NO_STORE "\r\n"},
    {{.status = 599, .content_length = 0},
     "HTTP/1.1 599 Unknown\r\n" COMMON TEXT "Content-Length: 0\r\n" NO_STORE "\r\n"},
};

#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

static void heads_are_these_bytes(void **state)
{
    (void)state;
    static const char date[29] = DATE; /* without a terminator, on purpose */
    for (size_t i = 0; i < CASE_COUNT; i++) {
        char head[BB_HTTP_REPLY_HEAD_MAX + 1];
        memset(head, '!', sizeof(head));
        size_t size = bb_http_reply_head(&cases[i].reply, date, head);
        assert_true(size <= BB_HTTP_REPLY_HEAD_MAX);
        assert_int_equal(head[size], '!');
        head[size] = '\0';
        assert_string_equal(head, cases[i].expected);
    }
}

static void every_status_of_the_contract_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *line;
    } lines[] = {
        {100, "HTTP/1.1 100 Continue\r\n"},
        {200, "HTTP/1.1 200 OK\r\n"},
        {201, "HTTP/1.1 201 Created\r\n"},
        {204, "HTTP/1.1 204 No Content\r\n"},
        {206, "HTTP/1.1 206 Partial Content\r\n"},
        {299, "HTTP/1.1 299 Unknown\r\n"}, /* which we never send */
        {304, "HTTP/1.1 304 Not Modified\r\n"},
        {400, "HTTP/1.1 400 Bad Request\r\n"},
        {401, "HTTP/1.1 401 Unauthorized\r\n"},
        {403, "HTTP/1.1 403 Forbidden\r\n"},
        {404, "HTTP/1.1 404 Not Found\r\n"},
        {405, "HTTP/1.1 405 Method Not Allowed\r\n"},
        {408, "HTTP/1.1 408 Request Timeout\r\n"},
        {409, "HTTP/1.1 409 Conflict\r\n"},
        {411, "HTTP/1.1 411 Length Required\r\n"},
        {412, "HTTP/1.1 412 Precondition Failed\r\n"},
        {413, "HTTP/1.1 413 Content Too Large\r\n"},
        {414, "HTTP/1.1 414 URI Too Long\r\n"},
        {415, "HTTP/1.1 415 Unsupported Media Type\r\n"},
        {416, "HTTP/1.1 416 Range Not Satisfiable\r\n"},
        {417, "HTTP/1.1 417 Expectation Failed\r\n"},
        {421, "HTTP/1.1 421 Misdirected Request\r\n"},
        {422, "HTTP/1.1 422 Unprocessable Content\r\n"},
        {429, "HTTP/1.1 429 Too Many Requests\r\n"},
        {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
        {500, "HTTP/1.1 500 Internal Server Error\r\n"},
        {501, "HTTP/1.1 501 Not Implemented\r\n"},
        {503, "HTTP/1.1 503 Service Unavailable\r\n"},
        {505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
        {507, "HTTP/1.1 507 Insufficient Storage\r\n"},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct bb_http_reply reply = {.status = lines[i].status};
        char head[BB_HTTP_REPLY_HEAD_MAX];
        size_t size = bb_http_reply_head(&reply, DATE, head);
        assert_true(strlen(lines[i].line) <= size);
        assert_memory_equal(head, lines[i].line, strlen(lines[i].line));
    }
}

/* The most that the server can ask for at once still fits. */
static void the_largest_head_fits(void **state)
{
    (void)state;
    const struct bb_http_reply reply = {
        .status = 431,
        .content_type = "text/plain; version=0.0.4; charset=utf-8",
        .content_length = UINT64_MAX,
        .location = &hash,
        .block = &hash,
        .range = true,
        .range_first = UINT64_MAX - 2,
        .range_last = UINT64_MAX - 1,
        .range_size = UINT64_MAX,
        .retry_after = UINT32_MAX,
        .allow = "GET, HEAD, PUT, POST, DELETE",
        .authenticate = "Bearer realm=\"Buddy Blocks\", Basic realm=\"Buddy Blocks\"",
        .link = "</blocks?after=" HASH "&limit=10000>; rel=\"next\"",
        .close = true,
    };
    char head[BB_HTTP_REPLY_HEAD_MAX];
    size_t size = bb_http_reply_head(&reply, DATE, head);
    assert_true(size > 700);
    assert_true(size < BB_HTTP_REPLY_HEAD_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_these_bytes),
        cmocka_unit_test(every_status_of_the_contract_has_its_reason),
        cmocka_unit_test(the_largest_head_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
