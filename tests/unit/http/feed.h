/* SPDX-License-Identifier: Apache-2.0
 * Feeds bytes to the protocol functions whole, byte by byte and in random pieces, always from the
 * end of a page that is followed by one that cannot be read, and writes what came of it as text, so
 * that two ways of feeding are compared with strcmp. Shared by the unit tests and the fuzz target.
 */
#ifndef HTTP_FEED_H
#define HTTP_FEED_H

#include "bb/http.h"
#include "bb/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FEED_TEXT_MAX 65536
#define FEED_INPUT_MAX ((size_t)1 << 20)

enum feed_cut { FEED_WHOLE, FEED_BYTEWISE, FEED_RANDOM };

/* A copy of `data` that ends where reading faults. Valid until the next call. */
static inline char *feed_guarded(const char *data, size_t len)
{
    static char *end;
    if (end == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *at = mmap(NULL, FEED_INPUT_MAX + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED || mprotect(at + FEED_INPUT_MAX, page, PROT_NONE) != 0)
            abort();
        end = at + FEED_INPUT_MAX;
    }
    if (len > FEED_INPUT_MAX)
        abort();
    if (len > 0)
        memcpy(end - len, data, len);
    return end - len;
}

/* Seeds from BB_SEED, else from the kernel, and prints the seed. */
static inline void feed_seed(struct bb_random *random)
{
    const char *given = getenv("BB_SEED");
    uint64_t value;
    bb_random_from_kernel(&value, sizeof(value));
    if (given != NULL)
        value = strtoull(given, NULL, 0);
    printf("BB_SEED=%llu\n", (unsigned long long)value);
    bb_random_seed(random, value);
}

/* Length of the next piece of `left` bytes. */
static inline size_t feed_piece(enum feed_cut cut, size_t left, struct bb_random *random)
{
    if (cut == FEED_WHOLE || left <= 1)
        return left;
    if (cut == FEED_BYTEWISE)
        return 1;
    size_t max = bb_random_below(random, 4) == 0 ? left : left < 24 ? left : 24;
    return 1 + (size_t)bb_random_below(random, max);
}

struct feed_text {
    char at[FEED_TEXT_MAX];
    size_t len;
};

static inline void feed_clear(struct feed_text *text)
{
    text->len = 0;
    text->at[0] = '\0';
}

__attribute__((format(printf, 2, 3))) static inline void feed_say(struct feed_text *text,
                                                                  const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text->at + text->len, sizeof(text->at) - text->len, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(text->at) - text->len)
        abort();
    text->len += (size_t)len;
}

static inline void feed_say_span(struct feed_text *text, const char *name, struct bb_http_span span)
{
    if (span.at == NULL)
        return;
    feed_say(text, " %s=", name);
    for (size_t i = 0; i < span.len; i++) {
        uint8_t byte = (uint8_t)span.at[i];
        if (byte > ' ' && byte < 0x7f)
            feed_say(text, "%c", byte);
        else
            feed_say(text, byte == ' ' ? "_" : "\\x%02x", byte);
    }
}

/* Whether every span points into the head, or is the constant path. */
static inline bool feed_inside(const struct bb_http_request *request, const char *buf, size_t size)
{
    const struct bb_http_span spans[] = {
        request->path,           request->query,         request->host,
        request->if_none_match,  request->if_range,      request->range,
        request->authorization,  request->content_range, request->content_encoding,
        request->content_digest, request->repr_digest,
    };
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        if (spans[i].at == NULL || (i == 0 && spans[i].len == 1 && spans[i].at[0] == '/'))
            continue;
        if (spans[i].at < buf || spans[i].at + spans[i].len > buf + size)
            return false;
    }
    return true;
}

static inline void feed_say_request(struct feed_text *text, const struct bb_http_request *request)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "REFUSED"};
    feed_say(text, "%s", methods[request->method]);
    feed_say_span(text, "path", request->path);
    feed_say_span(text, "query", request->query);
    feed_say_span(text, "host", request->host);
    feed_say(text, " 1.%u%s", request->minor, request->keep_alive ? " keep" : " close");
    if (request->chunked)
        feed_say(text, " chunked");
    if (request->has_length)
        feed_say(text, " length=%llu", (unsigned long long)request->content_length);
    if (request->expect_continue)
        feed_say(text, " expect");
    feed_say_span(text, request->if_none_match_any ? "none-match-any" : "none-match",
                  request->if_none_match);
    feed_say_span(text, "if-range", request->if_range);
    feed_say_span(text, "range", request->range);
    feed_say_span(text, "authorization", request->authorization);
    feed_say_span(text, "encoding", request->content_encoding);
    feed_say_span(text, "content-range", request->content_range);
    feed_say_span(text, "content-digest", request->content_digest);
    feed_say_span(text, "repr-digest", request->repr_digest);
}

/* What feed_head feeds; the canary puts a faulty one here. */
static int (*feed_parse)(const char *, size_t, size_t *, struct bb_http_request *, size_t *,
                         struct bb_http_refusal *) = bb_http_parse_head;

/* Appends "more", "<status> <text>" or the request. The size of the head goes to ret_size (0
 * without). Returns the framing, of which only the numbers may be used. */
static inline struct bb_http_request feed_head(const char *data, size_t len, enum feed_cut cut,
                                               struct bb_random *random, struct feed_text *ret_text,
                                               size_t *ret_size)
{
    size_t given = 0, scanned = 0;
    struct bb_http_request request = {.method = BB_HTTP_GET};
    *ret_size = 0;
    for (;;) {
        struct bb_http_refusal refusal;
        size_t size = 0;
        given += feed_piece(cut, len - given, random);
        const char *buf = feed_guarded(data, given);
        int result = feed_parse(buf, given, &scanned, &request, &size, &refusal);
        if (result < 0) {
            feed_say(ret_text, "%d %s", refusal.status, refusal.text);
            return request;
        }
        if (result == 1) {
            if (size == 0 || size > given || !feed_inside(&request, buf, size))
                abort();
            *ret_size = size;
            feed_say_request(ret_text, &request);
            return request;
        }
        if (given == len) {
            feed_say(ret_text, "more");
            return request;
        }
    }
}

/* Appends the decoded bytes, then "|" and "more", "end <bytes used>" or "<status> <text>". Returns
 * the bytes used when the body has ended, else 0. */
static inline size_t feed_chunked(const char *data, size_t len, enum feed_cut cut,
                                  struct bb_random *random, struct feed_text *ret_text)
{
    struct bb_http_chunked chunked;
    size_t used_total = 0;
    int result = 0;
    bb_http_chunked_init(&chunked);
    while (result == 0 && used_total < len) {
        size_t size = feed_piece(cut, len - used_total, random);
        const char *piece = feed_guarded(data + used_total, size);
        for (size_t at = 0; at < size && result == 0;) {
            struct bb_http_refusal refusal;
            struct bb_http_span body;
            size_t used = 0;
            result = bb_http_chunked_feed(&chunked, piece + at, size - at, &used, &body, &refusal);
            if (result < 0) {
                feed_say(ret_text, "|%d %s", refusal.status, refusal.text);
                return 0;
            }
            if (used > size - at || used == 0)
                abort();
            if (body.at != NULL && (body.at < piece + at || body.at + body.len > piece + at + used))
                abort();
            for (size_t i = 0; i < body.len && ret_text->len < FEED_TEXT_MAX / 2; i++)
                feed_say(ret_text, "%c", body.at[i] == '\0' ? '?' : body.at[i]);
            at += used;
            used_total += used;
        }
    }
    if (result == 0) {
        feed_say(ret_text, "|more");
        return 0;
    }
    feed_say(ret_text, "|end %zu", used_total);
    return used_total;
}

#endif
