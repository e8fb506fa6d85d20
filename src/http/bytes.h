/* SPDX-License-Identifier: Apache-2.0
 * What a byte may be part of, and small comparisons of spans. Internal to the protocol files. Pure.
 */
#ifndef BB_HTTP_BYTES_H
#define BB_HTTP_BYTES_H

#include "bb/http.h"

#include <string.h>

enum bb_http_byte {
    BB_HTTP_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
    BB_HTTP_TARGET = 2, /* reserved, unreserved and '%' of RFC 3986, without '#' */
    BB_HTTP_VALUE = 4,  /* tab, space, visible, 0x80 to 0xff */
    BB_HTTP_NAME = 8,   /* unreserved of RFC 3986: a host name or an IPv4 literal */
    BB_HTTP_HEX = 16,   /* either case */
};
extern const uint8_t bb_http_byte_classes[256];

static inline bool bb_http_byte_is(char byte, enum bb_http_byte byte_class)
{
    return (bb_http_byte_classes[(uint8_t)byte] & byte_class) != 0;
}

static inline bool bb_http_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static inline bool bb_http_is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Bytes of `class` that `span` begins with. */
static inline size_t bb_http_span_of(struct bb_http_span span, enum bb_http_byte byte_class)
{
    size_t len = 0;
    while (len < span.len && bb_http_byte_is(span.at[len], byte_class))
        len++;
    return len;
}

/* `span` without its first `len` bytes; len <= span.len. */
static inline struct bb_http_span bb_http_span_after(struct bb_http_span span, size_t len)
{
    BB_ASSERT(len <= span.len);
    return (struct bb_http_span){span.at + len, span.len - len};
}

/* Without spaces and tabs at both ends. */
static inline struct bb_http_span bb_http_span_trim(struct bb_http_span span)
{
    while (span.len > 0 && bb_http_is_blank(span.at[0]))
        span = bb_http_span_after(span, 1);
    while (span.len > 0 && bb_http_is_blank(span.at[span.len - 1]))
        span.len--;
    return span;
}

static inline bool bb_http_span_equal(struct bb_http_span span, const char *text)
{
    size_t len = strlen(text);
    return span.len == len && memcmp(span.at, text, len) == 0;
}

static inline char bb_http_lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

/* Whether `span` is `text`, which is in lower case, in whatever case (ASCII only, no locale). */
static inline bool bb_http_span_is(struct bb_http_span span, const char *text)
{
    if (span.len != strlen(text))
        return false;
    for (size_t i = 0; i < span.len; i++) {
        if (bb_http_lower(span.at[i]) != text[i])
            return false;
    }
    return true;
}

/* A whole decimal number of at least one digit. -1 malformed, 1 too large for 64 bits, else 0. */
static inline int bb_http_span_number(struct bb_http_span span, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool large = false;
    if (span.len == 0)
        return -1;
    for (size_t i = 0; i < span.len; i++) {
        if (!bb_http_is_digit(span.at[i]))
            return -1;
        large = large || __builtin_mul_overflow(value, 10, &value) ||
                __builtin_add_overflow(value, (uint64_t)(span.at[i] - '0'), &value);
    }
    if (large)
        return 1;
    *ret_value = value;
    return 0;
}

/* Next element of a comma separated list, trimmed, and takes it off `list`. Empty elements are
 * given too. False at the end. */
static inline bool bb_http_list_next(struct bb_http_span *list, struct bb_http_span *ret_element)
{
    if (list->at == NULL)
        return false;
    const char *comma = list->len == 0 ? NULL : memchr(list->at, ',', list->len);
    if (comma == NULL) {
        *ret_element = bb_http_span_trim(*list);
        *list = (struct bb_http_span){NULL, 0};
        return true;
    }
    size_t len = (size_t)(comma - list->at);
    *ret_element = bb_http_span_trim((struct bb_http_span){list->at, len});
    *list = bb_http_span_after(*list, len + 1);
    return true;
}

#endif
