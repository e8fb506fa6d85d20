/* SPDX-License-Identifier: Apache-2.0
 * GET and HEAD of a block, and the proof of possession.
 *
 *   LOOKUP (pins) -> [BUFFER] -> READ -> VERIFY -> SEND, or MARK -> SEND (500)
 *
 * The whole block is read and hashed, also for a range: bytes that do not match their name are
 * never sent. A medium error counts as a mismatch, so that the next PUT of the content heals it
 * instead of being told that it is stored.
 */
#include "bb/conn.h"
#include "bb/err.h"
#include "bb/worker.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>

#define NONCE_MIN 16u
#define NONCE_MAX 64u

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* False when the nonce is missing, too short, too long or not hex. */
static bool parse_nonce(struct bb_conn *conn)
{
    struct bb_http_span text;
    if (!bb_http_query(conn->http.query, "nonce", &text))
        return false;
    if (text.len % 2 != 0 || text.len < 2 * NONCE_MIN || text.len > 2 * NONCE_MAX)
        return false;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.at[i]);
        int low = hex_digit(text.at[i + 1]);
        if (high < 0 || low < 0)
            return false;
        conn->nonce[i / 2] = (uint8_t)(high << 4 | low);
    }
    conn->nonce_size = (uint32_t)(text.len / 2);
    return true;
}

void bb_get_begin(struct bb_conn *conn)
{
    if (conn->route.op == BB_ROUTE_PROOF && !parse_nonce(conn)) {
        bb_conn_line(conn, 400,
                     "nonce: missing or malformed, send ?nonce= with %u to %u hex digits",
                     2 * NONCE_MIN, 2 * NONCE_MAX);
        return;
    }
    if (!bb_board_allows(&conn->worker->shared->board, BB_NEED_READ)) {
        bb_conn_busy(conn);
        return;
    }
    bool head = conn->http.method == BB_HTTP_HEAD && conn->route.op == BB_ROUTE_GET;
    struct bb_request *request = bb_conn_request(conn, BB_CONN_LOOKUP);
    request->op.hash = conn->route.hash;
    request->flags = head ? 0 : BB_OP_PIN;
    bb_port_lookup(conn->worker->port, request);
}

static void send_block(struct bb_conn *conn)
{
    uint64_t size = conn->request.op.size;
    uint64_t first = 0;
    uint64_t last = 0;
    struct bb_http_reply reply = {.status = 200, .block = &conn->route.hash};
    enum bb_http_range kind = BB_HTTP_RANGE_NONE;
    if (conn->http.range.at != NULL &&
        bb_http_if_range_matches(conn->http.if_range, &conn->route.hash))
        kind = bb_http_parse_range(conn->http.range, size, &first, &last);
    BB_COUNT(conn->worker, read, 1);
    if (kind != BB_HTTP_RANGE_ONE) {
        bb_conn_send(conn, &reply, conn->buf, size);
        return;
    }
    BB_ASSERT(first <= last);
    BB_ASSERT(last < size);
    reply.status = 206;
    reply.range = true;
    reply.range_first = first;
    reply.range_last = last;
    reply.range_size = size;
    bb_conn_send(conn, &reply, conn->buf + first, last - first + 1);
}

static void send_proof(struct bb_conn *conn)
{
    struct bb_hash proof;
    struct bb_http_reply reply = {.status = 200};
    bb_hasher_begin(&conn->hasher);
    bb_hasher_update(&conn->hasher, conn->nonce, conn->nonce_size);
    bb_hasher_update(&conn->hasher, conn->buf, conn->request.op.size);
    bb_hasher_end(&conn->hasher, &proof);
    bb_hash_to_hex(&proof, conn->text);
    conn->text[BB_HASH_HEX_SIZE] = '\n';
    BB_COUNT(conn->worker, proved, 1);
    bb_conn_send(conn, &reply, conn->text, BB_HASH_HEX_SIZE + 1);
}

/* Answers without reading. True when the block has to be read. */
static bool needs_bytes(struct bb_conn *conn)
{
    uint64_t size = conn->request.op.size;
    uint64_t first, last;
    if (conn->route.op == BB_ROUTE_PROOF)
        return true;
    if (conn->http.if_none_match.at != NULL &&
        bb_http_etag_matches(conn->http.if_none_match, &conn->route.hash)) {
        struct bb_http_reply reply = {.status = 304, .block = &conn->route.hash};
        bb_conn_send(conn, &reply, NULL, 0);
        return false;
    }
    if (conn->http.method == BB_HTTP_HEAD) {
        struct bb_http_reply reply = {
            .status = 200, .block = &conn->route.hash, .content_length = size};
        bb_conn_send(conn, &reply, NULL, 0);
        return false;
    }
    if (conn->http.range.at == NULL ||
        !bb_http_if_range_matches(conn->http.if_range, &conn->route.hash) ||
        bb_http_parse_range(conn->http.range, size, &first, &last) != BB_HTTP_RANGE_UNSATISFIABLE)
        return true;
    static const char text[] = "range: behind the end of the block, ask for less\n";
    struct bb_http_reply reply = {
        .status = 416, .block = &conn->route.hash, .range = true, .range_size = size};
    bb_conn_send(conn, &reply, text, sizeof(text) - 1);
    return false;
}

static void start_read(struct bb_conn *conn)
{
    struct bb_request *request = bb_conn_request(conn, BB_CONN_READ);
    request->buf = conn->buf;
    bb_port_read(conn->worker->port, request);
}

static void looked_up(struct bb_conn *conn, int result)
{
    if (result < 0) {
        if (result == -ENOENT)
            BB_COUNT(conn->worker, not_found, 1);
        bb_conn_fail(conn, result);
        return;
    }
    conn->pinned = (conn->request.flags & BB_OP_PIN) != 0;
    if (conn->request.op.size > BB_BLOCK_SIZE_MAX) { /* an index that lies */
        bb_conn_fail(conn, BB_ERR_CORRUPT);
        return;
    }
    if (needs_bytes(conn) && bb_worker_want_buffer(conn->worker, conn, conn->request.op.size))
        start_read(conn);
}

static void mark(struct bb_conn *conn)
{
    BB_COUNT(conn->worker, corrupt, 1);
    bb_port_mark(conn->worker->port, bb_conn_request(conn, BB_CONN_MARK));
}

static bool is_medium_error(int error)
{
    return error == -EIO || error == -ENODATA || error == -EILSEQ;
}

static void was_read(struct bb_conn *conn, int result)
{
    bb_conn_let_go(conn);
    if (result == 0)
        bb_worker_verify_later(conn->worker, conn);
    else if (is_medium_error(result))
        mark(conn);
    else
        bb_conn_fail(conn, result);
}

static void verify(struct bb_conn *conn)
{
    struct bb_hash hash;
    uint64_t since_us = bb_ring_now_us(conn->worker->ring); /* a tick: of verify_some, or a hash */
    bb_hash_of(conn->buf, conn->request.op.size, &hash);
    bb_conn_spent(conn, BB_STAGE_HASH, bb_ring_tick_us(conn->worker->ring) - since_us);
    if (!bb_hash_equal(&hash, &conn->route.hash))
        mark(conn);
    else if (conn->route.op == BB_ROUTE_PROOF)
        send_proof(conn);
    else
        send_block(conn);
}

void bb_get_step(struct bb_conn *conn, int result)
{
    switch (conn->state) {
    case BB_CONN_LOOKUP:
        looked_up(conn, result);
        break;
    case BB_CONN_BUFFER:
        start_read(conn);
        break;
    case BB_CONN_READ:
        was_read(conn, result);
        break;
    case BB_CONN_VERIFY:
        verify(conn);
        break;
    case BB_CONN_MARK: /* whether the mark became durable makes no difference to this client */
        bb_conn_fail(conn, BB_ERR_CORRUPT);
        break;
    default:
        BB_ASSERT(conn->state == BB_CONN_LOOKUP);
    }
}
