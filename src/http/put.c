/* SPDX-License-Identifier: Apache-2.0
 * PUT, POST and DELETE of a block.
 *
 *   PUT:  [LOOKUP when the client waits for 100] -> RESERVE -> [BUFFER -> RESERVE] -> body
 *         -> VERIFY -> [LOOKUP when the body is large] -> COMMIT -> SEND
 *
 * The commit finds duplicates anyway, after their bytes were written; asking first costs a small
 * body more than it saves and spares a large one the write. Room is reserved before the body is
 * read, so that 507 and 503 cost the client no upload. Who has to wait for a buffer holds no
 * room meanwhile: what is reserved at a time is bounded by the buffers, and many senders cannot
 * make a small device look full. What the head says about the body is turned into values before a
 * chunked body overwrites the head.
 */
#include "bb/conn.h"
#include "bb/err.h"
#include "bb/worker.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>

#define LOOKUP_FIRST_SIZE (32u << 10)

/* Takes in one digest field. False when replied. */
static bool take_digest(struct bb_conn *conn, struct bb_http_span field, const char *name)
{
    struct bb_hash digest;
    int found = field.at == NULL ? 0 : bb_http_digest_of(field, &digest);
    if (found == 0)
        return true;
    if (found < 0) {
        bb_conn_line(conn, 400, "%s: malformed, send sha-256=:<base64>:", name);
        return false;
    }
    if (conn->has_digest && !bb_hash_equal(&conn->digest, &digest)) {
        bb_conn_line(conn, 422, "%s: another sha-256 than before, send what the body hashes to",
                     name);
        return false;
    }
    conn->has_digest = true;
    conn->digest = digest;
    return true;
}

/* False when the request was refused. */
static bool check_fields(struct bb_conn *conn)
{
    const struct bb_http_request *http = &conn->http;
    if (http->content_encoding.at != NULL) {
        bb_conn_line(conn, 415, "content-encoding: not taken, send the bytes themselves");
        return false;
    }
    if (http->content_range.at != NULL) {
        bb_conn_line(conn, 400, "content-range: not taken, send the whole block");
        return false;
    }
    if (!http->has_length && !http->chunked) {
        conn->close = true; /* a body may follow all the same */
        bb_conn_line(conn, 411, "body: length unknown, send Content-Length or chunked");
        return false;
    }
    if (http->content_length > BB_BLOCK_SIZE_MAX) {
        bb_conn_line(conn, 413, "body: %llu bytes, split it into blocks of at most %u",
                     (unsigned long long)http->content_length, BB_BLOCK_SIZE_MAX);
        return false;
    }
    return take_digest(conn, http->content_digest, "content-digest") &&
           take_digest(conn, http->repr_digest, "repr-digest");
}

static void reserve(struct bb_conn *conn)
{
    struct bb_request *request = bb_conn_request(conn, BB_CONN_RESERVE);
    uint64_t size = conn->http.chunked ? BB_BLOCK_SIZE_MAX : conn->http.content_length;
    request->op.size = (uint32_t)size;
    bb_port_reserve(conn->worker->port, request);
}

void bb_put_begin(struct bb_conn *conn)
{
    if (!check_fields(conn))
        return;
    if (!bb_board_allows(&conn->worker->shared->board, BB_NEED_WRITE)) {
        bb_conn_busy(conn);
        return;
    }
    if (conn->http.if_none_match.at != NULL)
        conn->if_absent = conn->http.if_none_match_any ||
                          (conn->route.named &&
                           bb_http_etag_matches(conn->http.if_none_match, &conn->route.hash));
    bool waits = conn->http.expect_continue && conn->head_used == conn->head_len;
    if (!waits || !conn->route.named) {
        reserve(conn);
        return;
    }
    struct bb_request *request = bb_conn_request(conn, BB_CONN_LOOKUP);
    request->op.hash = conn->route.hash;
    request->flags = 0;
    bb_port_lookup(conn->worker->port, request);
}

static void send_name(struct bb_conn *conn, int status, const struct bb_hash *hash)
{
    struct bb_http_reply reply = {.status = status, .location = hash};
    bb_hash_to_hex(hash, conn->text);
    conn->text[BB_HASH_HEX_SIZE] = '\n';
    bb_conn_send(conn, &reply, conn->text, BB_HASH_HEX_SIZE + 1);
}

static void send_exists(struct bb_conn *conn, const struct bb_hash *hash)
{
    static const char text[] = "block: stored already, If-None-Match asked for this answer\n";
    struct bb_http_reply reply = {.status = 412, .block = hash};
    bb_conn_send(conn, &reply, text, sizeof(text) - 1);
}

static void commit(struct bb_conn *conn)
{
    struct bb_request *request = bb_conn_request(conn, BB_CONN_COMMIT);
    request->op.size = (uint32_t)conn->body_len;
    request->buf = conn->buf;
    request->flags = conn->if_absent ? BB_OP_NO_REPLACE : 0;
    conn->reserved = false; /* the put consumes it */
    bb_port_put(conn->worker->port, request);
}

static void looked_up(struct bb_conn *conn, int result)
{
    const struct bb_hash hash = conn->request.op.hash;
    if (conn->reserved) { /* the answer stands where the reservation was */
        conn->request.op.unit = conn->reserved_unit;
        conn->request.op.order = conn->reserved_order;
    }
    if (result == -ENOENT || result == BB_ERR_CORRUPT) {
        if (conn->reserved)
            commit(conn);
        else
            reserve(conn);
    } else if (result < 0) {
        bb_conn_fail(conn, result);
    } else if (conn->if_absent) {
        send_exists(conn, &hash);
    } else {
        BB_COUNT(conn->worker, duplicate, 1);
        send_name(conn, 200, &hash);
    }
}

static void reserved(struct bb_conn *conn, int result)
{
    if (result < 0) {
        bb_conn_fail(conn, result);
        return;
    }
    conn->reserved = true;
    bool in_place = conn->buf == NULL && !conn->http.chunked && bb_conn_body_in_place(conn);
    if (in_place || conn->buf != NULL ||
        bb_worker_want_buffer(conn->worker, conn, conn->request.op.size))
        bb_body_begin(conn);
    else
        bb_conn_let_go(conn);
}

static void committed(struct bb_conn *conn, int result)
{
    const struct bb_hash hash = conn->request.op.hash;
    if (result == BB_ERR_EXISTS) {
        send_exists(conn, &hash);
    } else if (result < 0) {
        bb_conn_fail(conn, result);
    } else if (result == 0) {
        BB_COUNT(conn->worker, created, 1);
        send_name(conn, 201, &hash);
    } else {
        BB_COUNT(conn->worker, duplicate, 1);
        send_name(conn, 200, &hash);
    }
}

static void refuse_hash(struct bb_conn *conn, const struct bb_hash *found, const char *cure)
{
    char hex[BB_HASH_HEX_SIZE];
    bb_hash_to_hex(found, hex);
    bb_conn_line(conn, 422, "body: hashes to %.64s, %s", hex, cure);
}

static void hashed(struct bb_conn *conn)
{
    struct bb_hash hash;
    bb_body_digest(conn, &hash);
    if (conn->has_digest && !bb_hash_equal(&hash, &conn->digest)) {
        refuse_hash(conn, &hash, "send it as its digest field says");
        return;
    }
    if (conn->route.named && !bb_hash_equal(&hash, &conn->route.hash)) {
        refuse_hash(conn, &hash, "send it to that name or to /block");
        return;
    }
    if (!bb_board_allows(&conn->worker->shared->board, BB_NEED_WRITE) && !conn->counted) {
        bb_conn_busy(conn);
        return;
    }
    conn->request.op.hash = hash;
    if (conn->body_len < LOOKUP_FIRST_SIZE) {
        commit(conn);
        return;
    }
    conn->reserved_unit = conn->request.op.unit;
    conn->reserved_order = conn->request.op.order;
    struct bb_request *request = bb_conn_request(conn, BB_CONN_LOOKUP);
    request->flags = 0;
    bb_port_lookup(conn->worker->port, request);
}

void bb_put_body(struct bb_conn *conn)
{
    bb_worker_verify_later(conn->worker, conn);
}

void bb_put_step(struct bb_conn *conn, int result)
{
    switch (conn->state) {
    case BB_CONN_LOOKUP:
        looked_up(conn, result);
        break;
    case BB_CONN_RESERVE:
        reserved(conn, result);
        break;
    case BB_CONN_BUFFER:
        reserve(conn);
        break;
    case BB_CONN_VERIFY:
        hashed(conn);
        break;
    case BB_CONN_COMMIT:
        committed(conn, result);
        break;
    default:
        BB_ASSERT(conn->state == BB_CONN_COMMIT);
    }
}

void bb_delete_begin(struct bb_conn *conn)
{
    if (!bb_board_allows(&conn->worker->shared->board, BB_NEED_WRITE)) {
        bb_conn_busy(conn);
        return;
    }
    struct bb_request *request = bb_conn_request(conn, BB_CONN_COMMIT);
    request->op.hash = conn->route.hash;
    request->flags = 0;
    bb_port_delete(conn->worker->port, request);
}

void bb_delete_step(struct bb_conn *conn, int result)
{
    if (result < 0) {
        bb_conn_fail(conn, result);
        return;
    }
    BB_COUNT(conn->worker, deleted, 1);
    struct bb_http_reply reply = {.status = 204};
    bb_conn_send(conn, &reply, NULL, 0);
}
