/* SPDX-License-Identifier: Apache-2.0
 * Replies: one head, one body, one sendmsg. Error bodies are one line, `<what>: <found>, <cure>`.
 *
 * A final reply to a request whose body was not taken in closes the connection: nobody can tell
 * whether the client still sends it.
 */
#include "bb/bits.h"
#include "bb/conn.h"
#include "bb/err.h"
#include "bb/text.h"
#include "bb/worker.h"
#include "socket.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void count_status(struct bb_worker *worker, int status)
{
    if (status < 300)
        BB_COUNT(worker, status_2xx, 1);
    else if (status < 400)
        BB_COUNT(worker, status_3xx, 1);
    else if (status < 500)
        BB_COUNT(worker, status_4xx, 1);
    else
        BB_COUNT(worker, status_5xx, 1);
}

void bb_conn_send(struct bb_conn *conn, struct bb_http_reply *reply, const void *body, size_t size)
{
    BB_ASSERT(!conn->socket_busy);
    BB_ASSERT(!conn->request_busy);
    struct bb_worker *worker = conn->worker;
    bb_conn_let_go(conn);
    bool from_buffer = conn->buf != NULL && (const uint8_t *)body >= conn->buf &&
                       (const uint8_t *)body < conn->buf + conn->buf_size;
    if (conn->buf != NULL && !from_buffer)
        bb_worker_drop_buffer(worker, conn);
    bool head_only = conn->http.method == BB_HTTP_HEAD;
    if (conn->body_unread || bb_board_phase(&worker->shared->board) > BB_PHASE_READY)
        conn->close = true;
    if (reply->content_length == 0)
        reply->content_length = size;
    reply->close = conn->close;
    reply->cache_private =
        atomic_load_explicit(&worker->shared->gate.tokens, memory_order_relaxed) != NULL;
    reply->keep_alive_1_0 = conn->http.minor == 0 && !conn->close;
    count_status(worker, reply->status);
    conn->status = reply->status;
    conn->reply_size = head_only ? 0 : size;

    size_t head_size = bb_http_reply_head(reply, bb_worker_date(worker), conn->reply_head);
    conn->iov[0] = (struct iovec){.iov_base = conn->reply_head, .iov_len = head_size};
    conn->iov[1] = (struct iovec){.iov_base = (void *)(uintptr_t)body, .iov_len = size};
    conn->message = (struct msghdr){.msg_iov = conn->iov, .msg_iovlen = size > 0 ? 2 : 1};
    if (head_only)
        conn->message.msg_iovlen = 1;
    bb_conn_watch(conn, BB_CONN_SEND, BB_CONN_LIMIT(conn, slow_ms));
    bb_socket_send(conn);
}

void bb_conn_sent(struct bb_conn *conn, int result)
{
    size_t left = (size_t)result;
    struct msghdr *message = &conn->message;
    while (message->msg_iovlen > 0 && left >= message->msg_iov->iov_len) {
        left -= message->msg_iov->iov_len;
        message->msg_iov++;
        message->msg_iovlen--;
    }
    if (message->msg_iovlen == 0) {
        BB_ASSERT(left == 0);
        return;
    }
    message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + left;
    message->msg_iov->iov_len -= left;
    bb_socket_send(conn);
}

static void send_text(struct bb_conn *conn, struct bb_http_reply *reply, size_t len)
{
    if (reply->status == 503)
        reply->retry_after = 1;
    conn->text[len] = '\n';
    bb_conn_send(conn, reply, conn->text, len + 1);
}

void bb_conn_line(struct bb_conn *conn, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(conn->text, sizeof(conn->text), format, arguments);
    va_end(arguments);
    BB_ASSERT(len > 0);
    struct bb_http_reply reply = {.status = status};
    send_text(conn, &reply, bb_min_u64((uint64_t)len, sizeof(conn->text) - 1));
}

void bb_conn_refuse(struct bb_conn *conn, const struct bb_http_refusal *refusal)
{
    int len = snprintf(conn->text, sizeof(conn->text), "%s", refusal->text);
    BB_ASSERT(len >= 0 && (size_t)len < sizeof(conn->text));
    struct bb_http_reply reply = {.status = refusal->status};
    if (refusal->status == 405)
        reply.allow =
            conn->worker->shared->gate.read_only ? conn->route.allow_reads : conn->route.allow;
    if (refusal->status == 401)
        reply.authenticate = BB_GATE_CHALLENGE;
    send_text(conn, &reply, (size_t)len);
}

void bb_conn_busy(struct bb_conn *conn)
{
    char text[BB_BOARD_TEXT_MAX];
    if (bb_board_ready(&conn->worker->shared->board)) {
        bb_conn_line(conn, 503, "busy: no buffer became free, try again");
        return;
    }
    (void)bb_board_text(&conn->worker->shared->board, text);
    bb_conn_line(conn, 503, "%s, try again", text);
}

static void no_space(struct bb_conn *conn)
{
    const struct bb_control *control = conn->worker->shared->control;
    int order = bb_control_largest_order(control);
    char free_text[32];
    char largest_text[32];
    uint64_t largest = order < 0 ? 0 : (uint64_t)BB_UNIT_SIZE << order;
    (void)bb_text_of_size(bb_control_free_units(control) * BB_UNIT_SIZE, free_text,
                          sizeof(free_text));
    (void)bb_text_of_size(largest, largest_text, sizeof(largest_text));
    bb_conn_line(conn, 507,
                 "device: full, %s free, largest free extent %s, delete blocks or use a larger one",
                 free_text, largest_text);
}

void bb_conn_fail(struct bb_conn *conn, int error)
{
    BB_ASSERT(error < 0);
    int status = bb_err_http(error);
    if (error == BB_ERR_NO_SPACE)
        no_space(conn);
    else if (error == BB_ERR_INDEX_FULL)
        bb_conn_line(
            conn, status,
            "index: full, move it to a larger device with bbfsck --rebuild DATA NEW-INDEX");
    else if (error == BB_ERR_NOT_READY)
        bb_conn_busy(conn);
    else if (error == BB_ERR_CORRUPT)
        bb_conn_line(conn, status,
                     "block: stored bytes do not match their name, store it again to heal it");
    else if (status == 404)
        bb_conn_line(conn, status, "block: not stored, store it first");
    else if (status == 503)
        bb_conn_line(conn, status, "store: %s, try again", bb_err_text(error));
    else
        bb_conn_line(conn, status, "store: %s, see the log of the server", bb_err_text(error));
}
