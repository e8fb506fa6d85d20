/* SPDX-License-Identifier: Apache-2.0
 * Bodies. A small body that came where it was expected stays there. Another one of known length is
 * received straight into its buffer, after the few bytes that came with the head were moved; a
 * chunked one passes through the head buffer, whose fields nobody needs any more. Either is hashed
 * piece by piece as it arrives, while it is in the cache.
 */
#include "bb/bits.h"
#include "bb/worker.h"
#include "socket.h"
#include "verbs.h"

#include <string.h>

static const char continue_head[] = "HTTP/1.1 100 Continue\r\n\r\n";

static void take(struct bb_conn *conn, const char *data, size_t len)
{
    if (data != (const char *)conn->buf + conn->body_len) /* else it was received in place */
        memcpy(conn->buf + conn->body_len, data, len);
    conn->body_len += len;
}

/* Hashes what arrived in buf since `from`. A body that came whole is hashed in one call later. */
static void hash_new(struct bb_conn *conn, size_t from)
{
    if (conn->route.op != BB_ROUTE_PUT || conn->body_len == from)
        return;
    if (!conn->hashing) {
        bb_hasher_begin(&conn->hasher);
        conn->hashing = true;
        from = 0;
    }
    uint64_t since_us = bb_ring_tick_us(conn->worker->ring);
    bb_hasher_update(&conn->hasher, conn->buf + from, conn->body_len - from);
    conn->spent_us[BB_STAGE_HASH] += (uint32_t)(bb_ring_tick_us(conn->worker->ring) - since_us);
}

void bb_body_digest(struct bb_conn *conn, struct bb_hash *ret_hash)
{
    /* of those hashed one after the other each begins where the last one ended */
    struct bb_ring *ring = conn->worker->ring;
    bool chained = conn->state == BB_CONN_VERIFY;
    uint64_t since_us = chained ? bb_ring_now_us(ring) : bb_ring_tick_us(ring);
    if (conn->hashing)
        bb_hasher_end(&conn->hasher, ret_hash);
    else
        bb_hash_of(conn->buf, conn->body_len, ret_hash);
    conn->hashing = false;
    conn->spent_us[BB_STAGE_HASH] += (uint32_t)(bb_ring_tick_us(ring) - since_us);
    bb_buckets_add(&conn->worker->counters.stages[BB_STAGE_HASH], conn->spent_us[BB_STAGE_HASH]);
}

static void complete(struct bb_conn *conn)
{
    conn->body_unread = false;
    bb_conn_verb(conn)->body(conn);
}

/* Feeds what lies unused in the head buffer. 1: ended, 0: more to come, -1: replied. */
static int feed_chunked(struct bb_conn *conn)
{
    struct bb_http_refusal refusal;
    size_t from = conn->body_len;
    int result = 0;
    while (result == 0 && conn->head_used < conn->head_len) {
        struct bb_http_span data = {NULL, 0};
        size_t used = 0;
        result = bb_http_chunked_feed(&conn->chunked, conn->head + conn->head_used,
                                      conn->head_len - conn->head_used, &used, &data, &refusal);
        conn->head_used += used;
        if (result < 0) {
            bb_conn_refuse(conn, &refusal);
            return -1;
        }
        if (data.len > BB_BLOCK_SIZE_MAX - conn->body_len) {
            bb_conn_line(conn, 413, "body: more than %u bytes, split it", BB_BLOCK_SIZE_MAX);
            return -1;
        }
        if (data.len > 0)
            take(conn, data.at, data.len);
    }
    if (result == 0 || conn->hashing)
        hash_new(conn, from);
    return result;
}

static void feed_length(struct bb_conn *conn)
{
    size_t missing = (size_t)conn->http.content_length - conn->body_len;
    size_t len = bb_min_u64(missing, conn->head_len - conn->head_used);
    if (len == 0)
        return;
    take(conn, conn->head + conn->head_used, len);
    conn->head_used += len;
    if (len < missing)
        hash_new(conn, 0);
}

static void receive(struct bb_conn *conn)
{
    if (conn->http.chunked) {
        BB_ASSERT(conn->head_used == conn->head_len);
        conn->head_used = conn->head_len = 0;
        conn->head = conn->area;
        bb_conn_receive(conn, conn->head, BB_HTTP_HEAD_MAX);
        return;
    }
    size_t missing = (size_t)conn->http.content_length - conn->body_len;
    bb_conn_receive(conn, conn->buf + conn->body_len, bb_min_u64(missing, BB_PIECE_SIZE));
}

static void send_continue(struct bb_conn *conn)
{
    conn->iov[0] = (struct iovec){.iov_base = (void *)(uintptr_t)continue_head,
                                  .iov_len = sizeof(continue_head) - 1};
    conn->message = (struct msghdr){.msg_iov = conn->iov, .msg_iovlen = 1};
    bb_conn_watch(conn, BB_CONN_CONTINUE, BB_CONN_LIMIT(conn, slow_ms));
    bb_socket_send(conn);
}

void bb_body_begin(struct bb_conn *conn)
{
    BB_ASSERT(conn->buf != NULL);
    BB_ASSERT(conn->http.chunked || conn->http.content_length <= BB_BLOCK_SIZE_MAX);
    bool nothing_came = conn->head_used == conn->head_len;
    int ended;
    conn->body_len = 0;
    conn->hashing = false;
    if (conn->http.chunked) {
        bb_http_chunked_init(&conn->chunked);
        ended = feed_chunked(conn);
    } else {
        feed_length(conn);
        ended = conn->body_len == conn->http.content_length;
    }
    if (ended < 0)
        return;
    if (ended > 0) {
        complete(conn);
    } else if (conn->http.expect_continue && nothing_came) {
        send_continue(conn);
    } else {
        bb_conn_watch(conn, BB_CONN_BODY, BB_CONN_LIMIT(conn, slow_ms));
        receive(conn);
    }
}

static void too_slow(struct bb_conn *conn)
{
    if (conn->shed) {
        bb_conn_line(conn, 503, "busy: others wait for the buffer of this slow body, try again");
        return;
    }
    bb_conn_line(conn, 408, "body: less than %llu bytes in %u ms, send it faster",
                 (unsigned long long)BB_CONN_LIMIT(conn, slow_bytes), BB_CONN_LIMIT(conn, slow_ms));
}

void bb_body_step(struct bb_conn *conn, int result)
{
    if (conn->expired && conn->state == BB_CONN_BODY) {
        too_slow(conn);
        return;
    }
    if (conn->expired || result <= 0) { /* the client is gone and leaves nothing behind */
        bb_conn_finish(conn);
        return;
    }
    if (conn->state == BB_CONN_CONTINUE) {
        bb_conn_sent(conn, result);
        if (conn->socket_busy)
            return;
        bb_conn_watch(conn, BB_CONN_BODY, BB_CONN_LIMIT(conn, slow_ms));
        receive(conn);
        return;
    }
    BB_COUNT(conn->worker, bytes_in, (uint64_t)result);
    int ended;
    if (conn->http.chunked) {
        conn->head_len = (size_t)result;
        ended = feed_chunked(conn);
    } else {
        size_t from = conn->body_len;
        conn->body_len += (size_t)result;
        ended = conn->body_len == conn->http.content_length;
        if (!ended || conn->hashing)
            hash_new(conn, from);
    }
    if (ended > 0)
        complete(conn);
    else if (ended == 0)
        receive(conn);
}
