/* SPDX-License-Identifier: Apache-2.0
 * The strict checker of raw request heads. It closes what llhttp 8.1 lets pass: bare LF and CR,
 * obs-fold, control bytes, empty names, blanks around the request line, methods of other protocols.
 *
 * Lines are judged one after the other, each when its LF has come, and only bytes before the limit
 * are looked at: so the outcome depends on the bytes alone, never on how they were cut. The offset
 * of the search for LF is all that is kept between calls; the line begins behind the LF before it.
 * A line is judged here by its form; what fields mean is for head.c. */
#include "check.h"

#include "bytes.h"
#include "host.h"
#include "refuse.h"

/* "METHOD target HTTP/1.1" CR LF with some room for the method. */
#define REQUEST_LINE_MAX (BB_HTTP_TARGET_MAX + 64)
#define VERSION_LEN 8

static const struct bb_http_span nothing;

static struct bb_http_span span(const char *at, size_t len)
{
    return (struct bb_http_span){at, len};
}

static int method_check(struct bb_http_span method, struct bb_http_refusal *ret_refusal)
{
    static const char *const known[] = {"GET",    "PUT",     "HEAD",  "POST",
                                        "DELETE", "OPTIONS", "TRACE", "CONNECT"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (bb_http_span_equal(method, known[i]))
            return 0;
    }
    return bb_http_refuse(ret_refusal, 501, "method", method, "use GET, HEAD, PUT, POST or DELETE");
}

static int version_check(struct bb_http_span version, struct bb_http_refusal *ret_refusal)
{
    const char *at = version.at;
    if (version.len != VERSION_LEN || memcmp(at, "HTTP/", 5) != 0 || !bb_http_is_digit(at[5]) ||
        at[6] != '.' || !bb_http_is_digit(at[7]))
        return bb_http_refuse(ret_refusal, 400, "HTTP version", version, "use HTTP/1.1");
    if (at[5] != '1')
        return bb_http_refuse(ret_refusal, 505, "HTTP version", version, "use HTTP/1.1");
    return 0;
}

/* Only bytes of RFC 3986, and '%' only before two hex digits. */
static int target_bytes_check(struct bb_http_span target, struct bb_http_refusal *ret_refusal)
{
    size_t len = bb_http_span_of(target, BB_HTTP_TARGET);
    if (len < target.len && target.at[len] == '#')
        return bb_http_refuse(ret_refusal, 400, "fragment in the target", target, "leave it out");
    if (len < target.len)
        return bb_http_refuse(ret_refusal, 400, "byte in the target", span(target.at + len, 1),
                              "percent-encode it");
    for (struct bb_http_span rest = target;;) {
        const char *percent = rest.len == 0 ? NULL : memchr(rest.at, '%', rest.len);
        if (percent == NULL)
            return 0;
        rest = bb_http_span_after(rest, (size_t)(percent - rest.at) + 1);
        if (rest.len < 2 || !bb_http_byte_is(rest.at[0], BB_HTTP_HEX) ||
            !bb_http_byte_is(rest.at[1], BB_HTTP_HEX))
            return bb_http_refuse(ret_refusal, 400, "percent encoding", target,
                                  "use two hex digits after %");
    }
}

size_t bb_http_scheme_len(struct bb_http_span target)
{
    static const char scheme[] = "http://";
    size_t len = sizeof(scheme) - 1;
    return target.len >= len && bb_http_span_is(span(target.at, len), scheme) ? len : 0;
}

size_t bb_http_authority_len(struct bb_http_span rest)
{
    size_t len = 0;
    while (len < rest.len && rest.at[len] != '/' && rest.at[len] != '?')
        len++;
    return len;
}

static int target_form_check(struct bb_http_span method, struct bb_http_span target,
                             struct bb_http_refusal *ret_refusal)
{
    if (target.at[0] == '/' || bb_http_span_equal(method, "CONNECT"))
        return 0;
    if (bb_http_span_equal(target, "*") && bb_http_span_equal(method, "OPTIONS"))
        return 0;
    size_t len = bb_http_scheme_len(target);
    if (len == 0)
        return bb_http_refuse(ret_refusal, 400, "target", target,
                              "use a path that begins with / or an http:// URL");

    struct bb_http_span authority = bb_http_span_after(target, len);
    struct bb_http_span name;
    authority.len = bb_http_authority_len(authority);
    if (!bb_http_host_split(authority, &name) || name.len == 0)
        return bb_http_refuse(ret_refusal, 400, "host in the target", authority,
                              "use name, name:port or an IP literal");
    return 0;
}

/* `line` without CR LF. Version before method: an HTTP/2 preface deserves its 505. */
static int request_line_check(struct bb_http_span line, struct bb_http_refusal *ret_refusal)
{
    static const char cure[] = "send METHOD target HTTP/1.1 with single spaces";
    struct bb_http_span method = span(line.at, bb_http_span_of(line, BB_HTTP_TOKEN));
    struct bb_http_span rest = bb_http_span_after(line, method.len);
    if (method.len == 0 || rest.len == 0 || rest.at[0] != ' ')
        return bb_http_refuse(ret_refusal, 400, "request line", line, cure);

    rest = bb_http_span_after(rest, 1);
    const char *space = rest.len == 0 ? NULL : memchr(rest.at, ' ', rest.len);
    if (space == NULL || space == rest.at)
        return bb_http_refuse(ret_refusal, 400, "request line", line, cure);
    struct bb_http_span target = span(rest.at, (size_t)(space - rest.at));

    if (version_check(bb_http_span_after(rest, target.len + 1), ret_refusal) < 0 ||
        method_check(method, ret_refusal) < 0)
        return -1;
    if (target.len > BB_HTTP_TARGET_MAX)
        return bb_http_refuse(ret_refusal, 414, "target", target, "use at most 1024 bytes");
    if (target_bytes_check(target, ret_refusal) < 0)
        return -1;
    return target_form_check(method, target, ret_refusal);
}

/* `line` without CR LF and not empty. */
static int field_line_check(struct bb_http_span line, struct bb_http_refusal *ret_refusal)
{
    if (bb_http_is_blank(line.at[0]))
        return bb_http_refuse(ret_refusal, 400, "folded field line", line,
                              "send each field on one line");
    size_t len = bb_http_span_of(line, BB_HTTP_TOKEN);
    if (len == line.len)
        return bb_http_refuse(ret_refusal, 400, "field line without a colon", line,
                              "send name: value");
    if (line.at[len] != ':')
        return bb_http_refuse(ret_refusal, 400, "field name", line,
                              "use letters, digits and hyphens up to the colon");
    if (len == 0)
        return bb_http_refuse(ret_refusal, 400, "field without a name", line, "send name: value");
    struct bb_http_span value = bb_http_span_after(line, len + 1);
    if (bb_http_span_of(value, BB_HTTP_VALUE) < value.len)
        return bb_http_refuse(ret_refusal, 400, "control byte in field", span(line.at, len),
                              "leave it out");
    return 0;
}

/* What can be said of the first bytes before their line is complete. Anything that is not the start
 * of a method is not HTTP, and is not kept until the deadline. */
static int first_bytes_check(const char *buf, size_t len, struct bb_http_refusal *ret_refusal)
{
    static const char cure[] = "send METHOD target HTTP/1.1";
    size_t start = 0;
    if (len > 0 && buf[0] == '\r') {
        if (len > 1 && buf[1] != '\n')
            return bb_http_refuse(ret_refusal, 400, "CR without LF", nothing, cure);
        start = 2;
    }
    if (len > start && !bb_http_byte_is(buf[start], BB_HTTP_TOKEN))
        return bb_http_refuse(ret_refusal, 400, "not an HTTP request", nothing, cure);
    return 0;
}

/* No end of line within the limit that holds for it. */
static int long_line(bool request_line, struct bb_http_span line,
                     struct bb_http_refusal *ret_refusal)
{
    if (!request_line)
        return bb_http_refuse(ret_refusal, 431, "request head", nothing, "use at most 8192 bytes");
    if (memchr(line.at, ' ', line.len) == NULL)
        return bb_http_refuse(ret_refusal, 400, "request line", line,
                              "send METHOD target HTTP/1.1");
    return bb_http_refuse(ret_refusal, 414, "target", nothing, "use at most 1024 bytes");
}

/* One line of which the LF was found; `len` without the LF. 1: it was the empty line. */
static int line_check(bool request_line, const char *line, size_t len,
                      struct bb_http_refusal *ret_refusal)
{
    if (len == 0 || line[len - 1] != '\r')
        return bb_http_refuse(ret_refusal, 400, "LF without CR", nothing, "end lines with CR LF");
    len--;
    if (request_line)
        return request_line_check(span(line, len), ret_refusal);
    return len == 0 ? 1 : field_line_check(span(line, len), ret_refusal);
}

/* Offset of the line that the byte at `scanned` belongs to. */
static size_t line_start(const char *buf, size_t scanned, size_t head_start)
{
    if (scanned <= head_start)
        return head_start;
    const char *lf = memrchr(buf + head_start, '\n', scanned - head_start);
    return lf == NULL ? head_start : (size_t)(lf - buf) + 1;
}

static size_t fields_count(const char *buf, const struct bb_http_frame *frame)
{
    size_t lines = 0;
    for (const char *at = buf + frame->start, *end = buf + frame->size; at < end; lines++)
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    BB_ASSERT(lines >= 2);
    return lines - 2;
}

static int frame_done(const char *buf, size_t start, size_t size, struct bb_http_frame *ret_frame,
                      struct bb_http_refusal *ret_refusal)
{
    struct bb_http_frame frame = {.start = start, .size = size};
    frame.field_count = fields_count(buf, &frame);
    if (frame.field_count > BB_HTTP_FIELDS_MAX)
        return bb_http_refuse(ret_refusal, 431, "request head", nothing, "use at most 64 fields");
    *ret_frame = frame;
    return 1;
}

int bb_http_check_head(const char *buf, size_t len, size_t *scanned,
                       struct bb_http_frame *ret_frame, struct bb_http_refusal *ret_refusal)
{
    BB_ASSERT(*scanned <= len);
    if (first_bytes_check(buf, len, ret_refusal) < 0)
        return -1;
    size_t head_start = len > 1 && buf[0] == '\r' ? 2 : 0;
    size_t start = line_start(buf, *scanned, head_start);

    for (;;) {
        bool request_line = start == head_start;
        size_t limit = request_line ? head_start + REQUEST_LINE_MAX : BB_HTTP_HEAD_MAX;
        size_t end = len < limit ? len : limit;
        size_t from = *scanned > start ? *scanned : start;
        const char *lf = from >= end ? NULL : memchr(buf + from, '\n', end - from);
        if (lf == NULL) {
            *scanned = end;
            return end < limit
                       ? 0
                       : long_line(request_line, span(buf + start, end - start), ret_refusal);
        }
        size_t line_end = (size_t)(lf - buf);
        int result = line_check(request_line, buf + start, line_end - start, ret_refusal);
        if (result < 0)
            return -1;
        start = line_end + 1;
        *scanned = start;
        if (result == 1)
            return frame_done(buf, head_start, start, ret_frame, ret_refusal);
    }
}
