/* SPDX-License-Identifier: Apache-2.0
 * A head that lies in one piece is parsed where it is, line by line; only a split one is gathered
 * in reply->head and parsed again from its start with every piece that brings a line end, which is
 * rare and bounded by BB_REPLY_HEAD_MAX. */
#include "bbbench/reply.h"

#include "bb/assert.h"

#include <string.h>
#include <strings.h>

/* What the lines of one head said. */
struct head {
    unsigned status;
    bool http_1_0;
    bool close;
    bool keep_alive;
    bool has_length;
    uint64_t content_length;
};

/* "HTTP/1.1 200 OK" without its line end. */
static bool parse_status_line(const char *line, size_t len, struct head *head)
{
    if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1'))
        return false;
    head->http_1_0 = line[7] == '0';
    if (line[8] != ' ' || (len > 12 && line[12] != ' '))
        return false;
    for (size_t i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        head->status = head->status * 10 + (unsigned)(line[i] - '0');
    }
    return head->status >= 100;
}

static bool name_is(const char *line, size_t name_len, const char *name)
{
    return strlen(name) == name_len && strncasecmp(line, name, name_len) == 0;
}

static bool parse_length(const char *value, size_t len, struct head *head)
{
    if (head->has_length || len == 0 || len > 15) /* 15 digits cannot overflow */
        return false;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return false;
        head->content_length = head->content_length * 10 + (uint64_t)(value[i] - '0');
    }
    head->has_length = true;
    return true;
}

static bool parse_field(const char *line, size_t len, struct head *head)
{
    /* Only these initials matter, which spares the other lines the search for the colon. */
    char initial = (char)(line[0] | 0x20);
    if (initial != 'c' && initial != 't')
        return true;
    const char *colon = memchr(line, ':', len);
    if (colon == NULL)
        return false;
    size_t name_len = (size_t)(colon - line);
    const char *value = colon + 1;
    const char *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t value_len = (size_t)(end - value);
    if (name_is(line, name_len, "content-length"))
        return parse_length(value, value_len, head);
    if (name_is(line, name_len, "transfer-encoding"))
        return false;
    if (name_is(line, name_len, "connection")) {
        head->close |= name_is(value, value_len, "close");
        head->keep_alive |= name_is(value, value_len, "keep-alive");
    }
    return true;
}

/* Reads lines up to the empty one. Returns the size of the head, 0 when it is not complete, -1 when
 * it is malformed or too long. */
static long parse_head(const char *data, size_t len, struct head *head)
{
    size_t at = 0;
    while (at < len) {
        const char *line = data + at;
        const char *lf = memchr(line, '\n', len - at);
        if (lf == NULL)
            break;
        size_t line_len = (size_t)(lf - line);
        if (line_len == 0 || lf[-1] != '\r')
            return -1;
        size_t next = at + line_len + 1;
        line_len--;
        if (next > BB_REPLY_HEAD_MAX)
            return -1;
        if (line_len == 0)
            return at > 0 ? (long)next : -1;
        if (!(at == 0 ? parse_status_line(line, line_len, head)
                      : parse_field(line, line_len, head)))
            return -1;
        at = next;
    }
    return len >= BB_REPLY_HEAD_MAX ? -1 : 0;
}

/* Puts a complete head into effect. */
static void accept_head(struct bb_reply *reply, const struct head *head)
{
    BB_ASSERT(reply->state == BB_REPLY_HEAD);
    reply->head_len = 0;
    if (head->status < 200) {
        if (head->status == 101)
            reply->state = BB_REPLY_BAD;
        return;
    }
    bool empty = reply->bodiless || head->status == 204 || head->status == 304;
    if (!head->has_length && !empty) {
        reply->state = BB_REPLY_BAD;
        return;
    }
    reply->status = (uint16_t)head->status;
    reply->content_length = head->content_length;
    reply->body_left = empty ? 0 : head->content_length;
    reply->close = head->close || (head->http_1_0 && !head->keep_alive);
    reply->state = reply->body_left == 0 ? BB_REPLY_DONE : BB_REPLY_BODY;
}

/* Keeps the start of a head for later; returns how many bytes fit. */
static size_t keep_head(struct bb_reply *reply, const char *data, size_t len)
{
    size_t room = BB_REPLY_HEAD_MAX - reply->head_len;
    size_t take = len < room ? len : room;
    memcpy(reply->head + reply->head_len, data, take);
    reply->head_len += (uint32_t)take;
    return take;
}

/* Takes head bytes from `data`; returns how many. */
static size_t feed_head(struct bb_reply *reply, const char *data, size_t len)
{
    struct head head = {0};
    size_t kept = reply->head_len;
    size_t taken = kept == 0 ? len : keep_head(reply, data, len);
    const char *start = kept == 0 ? data : reply->head;
    size_t total = kept + taken;
    if (kept > 0 && memchr(data, '\n', taken) == NULL && total < BB_REPLY_HEAD_MAX)
        return taken;
    long size = parse_head(start, total, &head);
    if (size < 0) {
        reply->state = BB_REPLY_BAD;
        return taken;
    }
    if (size == 0)
        return kept == 0 ? keep_head(reply, data, len) : taken;
    BB_ASSERT((size_t)size > kept);
    accept_head(reply, &head);
    return (size_t)size - kept;
}

void bb_reply_begin(struct bb_reply *reply, bool bodiless)
{
    reply->state = BB_REPLY_HEAD;
    reply->status = 0;
    reply->bodiless = bodiless;
    reply->close = false;
    reply->head_len = 0;
    reply->content_length = 0;
    reply->body_left = 0;
}

size_t bb_reply_feed(struct bb_reply *reply, const char *data, size_t len, const char **ret_body,
                     size_t *ret_body_len)
{
    *ret_body = NULL;
    *ret_body_len = 0;
    size_t used = 0;
    while (reply->state == BB_REPLY_HEAD && used < len)
        used += feed_head(reply, data + used, len - used);
    if (reply->state != BB_REPLY_BODY || used == len)
        return used;
    uint64_t take = len - used < reply->body_left ? len - used : reply->body_left;
    *ret_body = data + used;
    *ret_body_len = take;
    bb_reply_skip(reply, take);
    return used + take;
}

void bb_reply_skip(struct bb_reply *reply, size_t len)
{
    BB_ASSERT(reply->state == BB_REPLY_BODY);
    BB_ASSERT(len <= reply->body_left);
    reply->body_left -= len;
    if (reply->body_left == 0)
        reply->state = BB_REPLY_DONE;
}
