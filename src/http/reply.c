/* SPDX-License-Identifier: Apache-2.0
 * Reply heads. Every piece that can be is a constant with its length known to the compiler; numbers
 * and digests are written by hand, because a 4 KiB GET spends its time elsewhere. */
#include "bytes.h"

#include <openssl/evp.h>

#define DATE_LEN 29
#define DECIMAL_MAX 20

/* x(status, reason): all that we send. */
#define STATUSES(x)                                                                                \
    x(100, "Continue") x(200, "OK") x(201, "Created") x(204, "No Content")                         \
        x(206, "Partial Content") x(304, "Not Modified") x(400, "Bad Request")                     \
            x(401, "Unauthorized") x(403, "Forbidden") x(404, "Not Found")                         \
                x(405, "Method Not Allowed") x(408, "Request Timeout") x(409, "Conflict")          \
                    x(411, "Length Required") x(412, "Precondition Failed")                        \
                        x(413, "Content Too Large") x(414, "URI Too Long")                         \
                            x(415, "Unsupported Media Type") x(416, "Range Not Satisfiable")       \
                                x(417, "Expectation Failed") x(421, "Misdirected Request")         \
                                    x(422, "Unprocessable Content") x(429, "Too Many Requests")    \
                                        x(431, "Request Header Fields Too Large")                  \
                                            x(500, "Internal Server Error")                        \
                                                x(501, "Not Implemented")                          \
                                                    x(503, "Service Unavailable")                  \
                                                        x(505, "HTTP Version Not Supported")       \
                                                            x(507, "Insufficient Storage")

/* Where the head is written. */
struct cursor {
    char *at;
    const char *end;
};

static inline char *take(struct cursor *out, size_t size)
{
    BB_ASSERT(size <= (size_t)(out->end - out->at));
    char *at = out->at;
    out->at += size;
    return at;
}

static inline void put(struct cursor *out, const char *text, size_t len)
{
    memcpy(take(out, len), text, len);
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static void put_text(struct cursor *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_number(struct cursor *out, uint64_t value)
{
    char digits[DECIMAL_MAX];
    size_t at = sizeof(digits);
    do {
        BB_ASSERT(at > 0);
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(out, digits + at, sizeof(digits) - at);
}

static void put_hex(struct cursor *out, const struct bb_hash *hash)
{
    bb_hash_to_hex(hash, take(out, BB_HASH_HEX_SIZE));
}

static void put_base64(struct cursor *out, const struct bb_hash *hash)
{
    unsigned char text[sizeof(*hash) / 3 * 4 + 4 + 1];
    int len = EVP_EncodeBlock(text, hash->bytes, sizeof(hash->bytes));
    BB_ASSERT(len == (int)sizeof(text) - 1);
    put(out, (const char *)text, (size_t)len);
}

static void put_status(struct cursor *out, int status)
{
    BB_ASSERT(status >= 100 && status <= 599);
    switch (status) {
#define STATUS_CASE(number, reason)                                                                \
    case number:                                                                                   \
        PUT(out, "HTTP/1.1 " #number " " reason "\r\n");                                           \
        return;
        STATUSES(STATUS_CASE)
#undef STATUS_CASE
    default:
        PUT(out, "HTTP/1.1 ");
        put_number(out, (uint64_t)status);
        PUT(out, " Unknown\r\n");
    }
}

static void put_content(struct cursor *out, const struct bb_http_reply *reply, bool is_block)
{
    if (reply->content_type != NULL) {
        PUT(out, "Content-Type: ");
        put_text(out, reply->content_type);
        PUT(out, "\r\nContent-Length: ");
    } else if (is_block) {
        PUT(out, "Content-Type: application/octet-stream\r\nContent-Length: ");
    } else {
        PUT(out, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    }
    put_number(out, reply->content_length);
    PUT(out, "\r\n");
}

static void put_range(struct cursor *out, const struct bb_http_reply *reply)
{
    PUT(out, "Content-Range: bytes ");
    if (reply->status == 416) {
        PUT(out, "*/");
    } else {
        BB_ASSERT(reply->range_first <= reply->range_last);
        BB_ASSERT(reply->range_last < reply->range_size);
        put_number(out, reply->range_first);
        PUT(out, "-");
        put_number(out, reply->range_last);
        PUT(out, "/");
    }
    put_number(out, reply->range_size);
    PUT(out, "\r\n");
}

static void put_names(struct cursor *out, const struct bb_http_reply *reply, bool is_block)
{
    if (reply->location != NULL) {
        PUT(out, "Location: /block/");
        put_hex(out, reply->location);
        PUT(out, "\r\n");
    }
    const struct bb_hash *tag = reply->block != NULL ? reply->block : reply->location;
    if (tag != NULL) {
        PUT(out, "ETag: \"");
        put_hex(out, tag);
        PUT(out, "\"\r\n");
    }
    if (!is_block) {
        PUT(out, "Cache-Control: no-store\r\n");
        return;
    }
    if (reply->status != 304) {
        PUT(out, "Repr-Digest: sha-256=:");
        put_base64(out, reply->block);
        PUT(out, ":\r\n");
    }
    if (reply->cache_private)
        PUT(out, "Accept-Ranges: bytes\r\nCache-Control: private, max-age=31536000, immutable\r\n");
    else
        PUT(out, "Accept-Ranges: bytes\r\nCache-Control: public, max-age=31536000, immutable\r\n");
}

static void put_named(struct cursor *out, const char *name, const char *value)
{
    put_text(out, name);
    put_text(out, value);
    PUT(out, "\r\n");
}

/* What most replies do not have. */
static void put_rare(struct cursor *out, const struct bb_http_reply *reply)
{
    if (reply->range)
        put_range(out, reply);
    if (reply->retry_after != 0) {
        PUT(out, "Retry-After: ");
        put_number(out, reply->retry_after);
        PUT(out, "\r\n");
    }
    if (reply->allow != NULL)
        put_named(out, "Allow: ", reply->allow);
    if (reply->authenticate != NULL)
        put_named(out, "WWW-Authenticate: ", reply->authenticate);
    if (reply->link != NULL)
        put_named(out, "Link: ", reply->link);
    if (reply->policy != NULL) {
        put_named(out, "Content-Security-Policy: ", reply->policy);
        PUT(out, "Referrer-Policy: no-referrer\r\n");
    }
    if (reply->close)
        PUT(out, "Connection: close\r\n");
    else if (reply->keep_alive_1_0)
        PUT(out, "Connection: keep-alive\r\n");
}

size_t bb_http_reply_head(const struct bb_http_reply *reply, const char *date, char *ret_head)
{
    struct cursor out = {ret_head, ret_head + BB_HTTP_REPLY_HEAD_MAX};
    int status = reply->status;
    bool is_block = reply->block != NULL && (status == 200 || status == 206 || status == 304);

    put_status(&out, status);
    if (status >= 200) {
        PUT(&out, "Date: ");
        put(&out, date, DATE_LEN);
        PUT(&out, "\r\nX-Content-Type-Options: nosniff\r\n");
        if (status != 204 && status != 304)
            put_content(&out, reply, is_block);
        put_names(&out, reply, is_block);
        put_rare(&out, reply);
    }
    PUT(&out, "\r\n");
    return (size_t)(out.at - ret_head);
}
