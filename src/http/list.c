/* SPDX-License-Identifier: Apache-2.0
 * Listing blocks, and which of many are missing. Both work inside one I/O buffer.
 *
 * List: the engine fills it with entries of 40 bytes from the front. The text is then written from
 * its end backwards, last entry first, and never reaches an entry that is not written out yet,
 * because a line is longer than an entry.
 *
 * Missing: | hashes, 32 n | stored?, n | lines of the reply, at most 65 n |; the hashes are decoded
 * in place, since a line is longer than a hash.
 */
#include "bb/bits.h"
#include "bb/conn.h"
#include "bb/worker.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

#define LIST_LINE_MAX 74u /* hash, blank, size of up to 24 bits, newline */
#define LINE_SIZE (BB_HASH_HEX_SIZE + 1)

BB_STATIC_ASSERT(sizeof(struct bb_listed) <= LIST_LINE_MAX);
BB_STATIC_ASSERT(BB_LIST_MAX *LIST_LINE_MAX <= BB_BLOCK_SIZE_MAX);
BB_STATIC_ASSERT(BB_MISSING_MAX *(sizeof(struct bb_hash) + 1 + LINE_SIZE) <= BB_BLOCK_SIZE_MAX);

/* ---- GET /blocks ---- */

static bool parse_limit(struct bb_http_span text, uint32_t *ret_limit)
{
    uint32_t limit = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        limit = limit * 10 + (uint32_t)(text.at[i] - '0');
    }
    if (limit < 1 || limit > BB_LIST_MAX)
        return false;
    *ret_limit = limit;
    return true;
}

static void ask_list(struct bb_conn *conn)
{
    struct bb_request *request = bb_conn_request(conn, BB_CONN_ASK);
    request->flags = 0;
    request->op.list.entries = (struct bb_listed *)(void *)conn->buf + conn->list_count;
    request->op.list.count = conn->list_limit - conn->list_count;
    bb_port_list(conn->worker->port, request);
}

void bb_list_begin(struct bb_conn *conn)
{
    struct bb_http_span text;
    struct bb_request *request = &conn->request;
    conn->list_limit = BB_LIST_DEFAULT;
    conn->list_count = 0;
    request->op.list.from_start = true;
    if (bb_http_query(conn->http.query, "limit", &text) && !parse_limit(text, &conn->list_limit)) {
        bb_conn_line(conn, 400, "limit: not a number of blocks, send 1 to %u", BB_LIST_MAX);
        return;
    }
    if (bb_http_query(conn->http.query, "after", &text) && text.len > 0) {
        if (!bb_hash_from_hex(text.at, text.len, &request->op.list.after)) {
            bb_conn_line(conn, 400, "after: not a hash, send 64 lower-case hex digits");
            return;
        }
        request->op.list.from_start = false;
    }
    if (!bb_board_allows(&conn->worker->shared->board, BB_NEED_READ)) {
        bb_conn_busy(conn);
        return;
    }
    if (bb_worker_want_buffer(conn->worker, conn, conn->list_limit * LIST_LINE_MAX))
        ask_list(conn);
}

static size_t format_entry(const struct bb_listed *entry, char ret_line[static LIST_LINE_MAX + 1])
{
    bb_hash_to_hex(&entry->hash, ret_line);
    int len = snprintf(ret_line + BB_HASH_HEX_SIZE, LIST_LINE_MAX + 1 - BB_HASH_HEX_SIZE, " %u\n",
                       entry->size & 0xffffffu);
    BB_ASSERT(len > 0 && (size_t)len <= LIST_LINE_MAX - BB_HASH_HEX_SIZE);
    return BB_HASH_HEX_SIZE + (size_t)len;
}

static void send_list(struct bb_conn *conn)
{
    const struct bb_op *op = &conn->request.op;
    char line[LIST_LINE_MAX + 1];
    uint8_t *end = conn->buf + (size_t)conn->list_count * LIST_LINE_MAX;
    uint8_t *start = end;
    struct bb_http_reply reply = {.status = 200};
    for (uint32_t i = conn->list_count; i > 0; i--) {
        struct bb_listed entry;
        memcpy(&entry, conn->buf + (i - 1) * sizeof(entry), sizeof(entry));
        size_t len = format_entry(&entry, line);
        start -= len;
        BB_ASSERT(start >= conn->buf + (i - 1) * sizeof(entry));
        memcpy(start, line, len);
    }
    if (op->list.more) {
        char hex[BB_HASH_HEX_SIZE];
        bb_hash_to_hex(&op->list.next, hex);
        int len = snprintf(conn->link, sizeof(conn->link),
                           "</blocks?after=%.64s&limit=%u>; rel=\"next\"", hex, conn->list_limit);
        BB_ASSERT(len > 0 && (size_t)len < sizeof(conn->link));
        reply.link = conn->link;
    }
    BB_COUNT(conn->worker, listed, 1);
    bb_conn_send(conn, &reply, start, (size_t)(end - start));
}

void bb_list_step(struct bb_conn *conn, int result)
{
    struct bb_op *op = &conn->request.op;
    if (conn->state == BB_CONN_BUFFER) {
        ask_list(conn);
        return;
    }
    BB_ASSERT(conn->state == BB_CONN_ASK);
    if (result < 0) {
        bb_conn_fail(conn, result);
        return;
    }
    BB_ASSERT(op->list.count <= conn->list_limit - conn->list_count);
    conn->list_count += op->list.count;
    if (!op->list.more || conn->list_count == conn->list_limit) {
        send_list(conn);
        return;
    }
    /* a short page: most of it was deleted or is not in the index yet */
    op->list.after = op->list.next;
    op->list.from_start = false;
    ask_list(conn);
}

/* ---- POST /blocks/missing ---- */

void bb_missing_begin(struct bb_conn *conn)
{
    const struct bb_http_request *http = &conn->http;
    if (http->content_encoding.at != NULL) {
        bb_conn_line(conn, 415, "content-encoding: not taken, send plain lines");
        return;
    }
    if (!http->has_length && !http->chunked) {
        conn->close = true; /* a body may follow all the same */
        bb_conn_line(conn, 411, "body: length unknown, send Content-Length or chunked");
        return;
    }
    if (http->content_length > BB_BLOCK_SIZE_MAX) {
        bb_conn_line(conn, 413, "body: %llu bytes, ask for at most %u hashes at a time",
                     (unsigned long long)http->content_length, BB_MISSING_MAX);
        return;
    }
    if (!bb_board_allows(&conn->worker->shared->board, BB_NEED_READ)) {
        bb_conn_busy(conn);
        return;
    }
    uint64_t size = BB_BLOCK_SIZE_MAX;
    if (!http->chunked) /* 98 bytes for each line of 65 */
        size = bb_min_u64(http->content_length * 8 / 5 + 128, BB_BLOCK_SIZE_MAX);
    if (bb_worker_want_buffer(conn->worker, conn, size))
        bb_body_begin(conn);
}

/* Decodes the lines in place. False when replied. */
static bool decode_lines(struct bb_conn *conn)
{
    const char *at = (const char *)conn->buf;
    const char *end = at + conn->body_len;
    uint32_t count = 0;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *next = line_end == NULL ? end : line_end + 1;
        size_t len = (size_t)((line_end == NULL ? end : line_end) - at);
        struct bb_hash hash;
        if (count == BB_MISSING_MAX) {
            bb_conn_line(conn, 413, "hashes: too many, send at most %u", BB_MISSING_MAX);
            return false;
        }
        if (line_end != NULL && len > 0 && at[len - 1] == '\r')
            len--;
        if (!bb_hash_from_hex(at, len, &hash)) {
            bb_conn_line(conn, 400, "line %u: not a hash, send 64 lower-case hex digits per line",
                         count + 1);
            return false;
        }
        memcpy(conn->buf + count * sizeof(hash), &hash, sizeof(hash));
        count++;
        at = next;
    }
    conn->list_count = count;
    return true;
}

static uint8_t *stored_flags(const struct bb_conn *conn)
{
    return conn->buf + conn->list_count * sizeof(struct bb_hash);
}

static void send_missing(struct bb_conn *conn)
{
    const struct bb_hash *hashes = (const struct bb_hash *)conn->buf;
    const uint8_t *stored = stored_flags(conn);
    char *text = (char *)stored_flags(conn) + conn->list_count;
    size_t len = 0;
    for (uint32_t i = 0; i < conn->list_count; i++) {
        if (stored[i] == 1)
            continue;
        bb_hash_to_hex(&hashes[i], text + len);
        text[len + BB_HASH_HEX_SIZE] = '\n';
        len += LINE_SIZE;
    }
    struct bb_http_reply reply = {.status = 200};
    BB_COUNT(conn->worker, asked, 1);
    bb_conn_send(conn, &reply, text, len);
}

void bb_missing_body(struct bb_conn *conn)
{
    if (!decode_lines(conn))
        return;
    if (conn->list_count == 0) {
        send_missing(conn);
        return;
    }
    struct bb_request *request = bb_conn_request(conn, BB_CONN_ASK);
    request->flags = 0;
    request->op.exists.hashes = (const struct bb_hash *)conn->buf;
    request->op.exists.stored = stored_flags(conn);
    request->op.exists.count = conn->list_count;
    memset(stored_flags(conn), 0, conn->list_count);
    bb_port_exists(conn->worker->port, request);
}

void bb_missing_step(struct bb_conn *conn, int result)
{
    if (conn->state == BB_CONN_BUFFER) {
        bb_body_begin(conn);
        return;
    }
    BB_ASSERT(conn->state == BB_CONN_ASK);
    if (result < 0)
        bb_conn_fail(conn, result);
    else
        send_missing(conn);
}
