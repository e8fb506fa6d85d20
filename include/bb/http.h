/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 as bytes: request heads, chunked bodies, conditions, ranges, reply heads. Pure functions
 * over buffers: no sockets, no clock, no allocation, no store.
 *
 * Requests are judged twice: a strict checker of our own looks at the raw head (line ends, control
 * bytes, field names, obs-fold, framing fields), then llhttp parses it. RFC 9110, 9112, 9530.
 */
#ifndef BB_HTTP_H
#define BB_HTTP_H

#include "bb/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BB_HTTP_HEAD_MAX 8192u
#define BB_HTTP_FIELDS_MAX 64u
#define BB_HTTP_TARGET_MAX 1024u

enum bb_http_method {
    BB_HTTP_GET,
    BB_HTTP_HEAD,
    BB_HTTP_PUT,
    BB_HTTP_POST,
    BB_HTTP_DELETE,
    BB_HTTP_REFUSED, /* CONNECT, TRACE, OPTIONS: known, never allowed here (405) */
};

/* A piece of the head buffer, not terminated (the path "/" of "http://host" is a constant). */
struct bb_http_span {
    const char *at; /* NULL: field absent */
    size_t len;
};

struct bb_http_request {
    enum bb_http_method method;
    /* Origin-form path without query; absolute-form already reduced. Not decoded. "*" or the whole
     * target for methods that are refused. */
    struct bb_http_span path;
    struct bb_http_span query; /* without '?', absent when there is none */
    /* The absolute-form authority, else the value of Host; absent only on HTTP/1.0. Its syntax was
     * checked; it may be empty. */
    struct bb_http_span host;
    size_t field_count;
    unsigned minor;  /* 0 or 1; a later minor of HTTP/1 counts as 1 */
    bool keep_alive; /* what the client asked for; never after CONNECT */
    bool chunked;
    bool has_length;
    uint64_t content_length;
    bool expect_continue;   /* HTTP/1.1 only, and only when a body is announced */
    bool if_none_match_any; /* the value is "*"; the span then holds it too */
    struct bb_http_span if_none_match, if_range, range;
    struct bb_http_span authorization;
    struct bb_http_span content_encoding, content_range, content_digest, repr_digest;
};

/* A refusal: the status and the line for the body ("<what>: <found>, <cure>", no newline). */
struct bb_http_refusal {
    int status;
    char text[160];
};

/* Looks for a whole head in buf[0..len). `*scanned` is the caller's memory between calls on the
 * same growing buffer (0 at first; the bytes may move, offsets count). 1: ret_request is filled and
 * *ret_head_size bytes were used; 0: more bytes are needed; -1: ret_refusal says why, and the
 * connection must be closed after the reply. The outcome is that of the first error in the order of
 * the bytes, however they were cut. An empty line before the request line is skipped once (RFC 9112
 * 2.2). Any field of the request above that comes twice is refused, Connection and Expect excepted.
 * Refusals: 400; 414 target; 417 expectation; 431 size and number of fields; 501 unknown method, or
 * a coding other than chunked; 505. */
BB_MUST_USE int bb_http_parse_head(const char *buf, size_t len, size_t *scanned,
                                   struct bb_http_request *ret_request, size_t *ret_head_size,
                                   struct bb_http_refusal *ret_refusal);

/* Chunked body, fed in any pieces. Size lines of at most 256 bytes and 16 digits, trailers of at
 * most 4 KiB in all. */
struct bb_http_chunked {
    uint8_t state;
    uint8_t digits;
    uint16_t line;    /* bytes of the current size or trailer line */
    uint32_t trailer; /* bytes of trailers so far */
    uint64_t left;    /* data bytes left in the chunk */
};
void bb_http_chunked_init(struct bb_http_chunked *chunked);
/* Uses up to len bytes of `in`; at most one span of data is found per call. 1: the body has ended
 * (bytes behind *ret_used belong to the next request); 0: call again with the rest or with more;
 * -1: malformed, refusal filled. After 1 or -1 it takes no more. Trailers are checked and dropped.
 */
BB_MUST_USE int bb_http_chunked_feed(struct bb_http_chunked *chunked, const char *in, size_t len,
                                     size_t *ret_used, struct bb_http_span *ret_data,
                                     struct bb_http_refusal *ret_refusal);

/* Whether `host` may be served on a listener without tokens: IP literal, localhost, a single-label
 * name, or one of `allowed` (lower case, without port). Guards against DNS rebinding. A port is
 * ignored, so is one dot after localhost or a name of `allowed`; any other name with a last dot is
 * a public one. Absent (HTTP/1.0, no browser) is true, empty is false. */
bool bb_http_host_ok(struct bb_http_span host, const char *const *allowed, size_t allowed_count);

/* If-None-Match against the block's ETag: a list of entity tags or *. Weak tags match too. */
bool bb_http_etag_matches(struct bb_http_span list, const struct bb_hash *hash);
/* If-Range: whether Range is to be honoured. One strong tag; a date never matches. True if absent.
 */
bool bb_http_if_range_matches(struct bb_http_span if_range, const struct bb_hash *hash);

enum bb_http_range { BB_HTTP_RANGE_NONE, BB_HTTP_RANGE_ONE, BB_HTTP_RANGE_UNSATISFIABLE };
/* One byte range of a body of `size`; malformed or several count as none, and so does a suffix of
 * the empty body. ret_first and ret_last are set for ONE only. */
enum bb_http_range bb_http_parse_range(struct bb_http_span range, uint64_t size,
                                       uint64_t *ret_first, uint64_t *ret_last);

/* sha-256 of a Content-Digest or Repr-Digest value: 1 found, 0 not listed, -1 malformed (the
 * dictionary, or its sha-256). */
int bb_http_digest_of(struct bb_http_span field, struct bb_hash *ret_hash);

/* Query parameter `name`, the first of that name (no decoding is needed for our values). Without
 * '=' its value is empty. False when absent. */
bool bb_http_query(struct bb_http_span query, const char *name, struct bb_http_span *ret_value);

/* What a reply says. Unset members are left out. */
struct bb_http_reply {
    int status;
    /* NULL: application/octet-stream for a block (200, 206), else text/plain; charset=utf-8. */
    const char *content_type;
    uint64_t content_length; /* always sent, except for 204, 304 and 1xx */
    /* ETag; a 200, 206 or 304 is the block itself: Repr-Digest (not 304), Accept-Ranges and
     * Cache-Control immutable. */
    const struct bb_hash *block;
    const struct bb_hash *location; /* Location: /block/<hash> and ETag */
    bool cache_private;
    bool range; /* Content-Range: bytes first-last/size; with 416: bytes star/size */
    uint64_t range_first, range_last, range_size;
    unsigned retry_after; /* seconds, 0: none */
    const char *allow;
    const char *authenticate;
    const char *link;
    const char *policy;  /* Content-Security-Policy, of a page for browsers */
    bool close;          /* Connection: close */
    bool keep_alive_1_0; /* Connection: keep-alive, for HTTP/1.0 clients */
};
#define BB_HTTP_REPLY_HEAD_MAX 1024u
/* Writes the head, ending in the empty line; `date` is the IMF-fixdate of now (29 characters).
 * Bytes written; the buffer has BB_HTTP_REPLY_HEAD_MAX bytes, and the strings must fit. no-store on
 * whatever is not a block, nosniff on all; a 1xx is its status line only. No Server field. The
 * reason phrase of a status that we never send is "Unknown". */
size_t bb_http_reply_head(const struct bb_http_reply *reply, const char *date, char *ret_head);

#endif
