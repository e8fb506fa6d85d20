/* SPDX-License-Identifier: Apache-2.0
 * The connection machine: one step per completion. Owner: the worker of the connection.
 *
 *   state     waits for          leads to
 *   HEAD      bytes              HEAD, SEND (refused), what the verb begins with, gone
 *   LOOKUP    store              RESERVE, BUFFER, COMMIT, READ, SEND
 *   RESERVE   store              BUFFER, CONTINUE, BODY, VERIFY, SEND (503, 507)
 *   BUFFER    pool of buffers    RESERVE, BODY, READ, ASK, SEND (503)
 *   CONTINUE  100 is sent        BODY, gone
 *   BODY      bytes              BODY, VERIFY, ASK, SEND (4xx), gone
 *   COMMIT    store              SEND
 *   READ      store              VERIFY, MARK, SEND (500)
 *   VERIFY    its turn           LOOKUP, COMMIT, SEND, MARK
 *   MARK      store              SEND (500)
 *   ASK       store, controller  ASK, SEND
 *   SEND      reply is sent      SEND (rest), HEAD (keep-alive), LINGER, gone
 *   LINGER    bytes, 2 s         LINGER, gone
 *   CLOSING   cancelled socket   gone
 *
 * Everything that waits for the client has a deadline. Gone: finish() gives all back. */
#include "bb/conn.h"

#include "bb/clock.h"
#include "bb/worker.h"
#include "peer.h"
#include "requestlog.h"
#include "socket.h"
#include "tlsconn.h"
#include "verbs.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

static const struct bb_verb verbs[] = {
    [BB_ROUTE_PUT] = {bb_put_begin, bb_put_step, bb_put_body},
    [BB_ROUTE_GET] = {bb_get_begin, bb_get_step, NULL},
    [BB_ROUTE_PROOF] = {bb_get_begin, bb_get_step, NULL},
    [BB_ROUTE_DELETE] = {bb_delete_begin, bb_delete_step, NULL},
    [BB_ROUTE_LIST] = {bb_list_begin, bb_list_step, NULL},
    [BB_ROUTE_MISSING] = {bb_missing_begin, bb_missing_step, bb_missing_body},
    [BB_ROUTE_LIVEZ] = {bb_health_begin, NULL, NULL},
    [BB_ROUTE_READYZ] = {bb_health_begin, NULL, NULL},
    [BB_ROUTE_STATUS] = {bb_status_begin, bb_status_step, NULL},
    [BB_ROUTE_ZONES] = {bb_map_begin, bb_map_step, NULL},
    [BB_ROUTE_CHUNKS] = {bb_map_begin, bb_map_step, NULL},
    [BB_ROUTE_METRICS] = {bb_status_begin, bb_status_step, NULL},
    [BB_ROUTE_CONFIG] = {bb_settings_begin, bb_settings_step, NULL},
    [BB_ROUTE_TRIM_START] = {bb_trim_begin, bb_trim_step, NULL},
    [BB_ROUTE_TRIM_STOP] = {bb_trim_begin, bb_trim_step, NULL},
    [BB_ROUTE_SCRUB_START] = {bb_scrub_begin, bb_scrub_step, NULL},
    [BB_ROUTE_SCRUB_PAUSE] = {bb_scrub_begin, bb_scrub_step, NULL},
    [BB_ROUTE_PAGE] = {bb_page_begin, NULL, NULL},
};

const struct bb_verb *bb_conn_verb(const struct bb_conn *conn)
{
    BB_ASSERT((size_t)conn->route.op < sizeof(verbs) / sizeof(verbs[0]));
    return &verbs[conn->route.op];
}

/* ---- waiting ---- */

BB_STATIC_ASSERT(BB_CONN_STATE_COUNT <= BB_CONN_STATE_MAX);

/* Plus one, so that the states without an entry have none. VERIFY is measured by who hashes. */
static const uint8_t stage_of[BB_CONN_STATE_COUNT] = {
    [BB_CONN_BODY] = BB_STAGE_RECEIVE + 1,    [BB_CONN_BUFFER] = BB_STAGE_BUFFER + 1,
    [BB_CONN_RESERVE] = BB_STAGE_RESERVE + 1, [BB_CONN_LOOKUP] = BB_STAGE_LOOKUP + 1,
    [BB_CONN_COMMIT] = BB_STAGE_COMMIT + 1,   [BB_CONN_READ] = BB_STAGE_READ + 1,
    [BB_CONN_SEND] = BB_STAGE_SEND + 1,
};

void bb_conn_spent(struct bb_conn *conn, enum bb_stage stage, uint64_t spent_us)
{
    conn->spent_us[stage] += (uint32_t)spent_us;
    bb_buckets_add(&conn->worker->counters.stages[stage], spent_us);
}

void bb_conn_enter(struct bb_conn *conn, enum bb_conn_state state)
{
    struct bb_counters *counters = &conn->worker->counters;
    uint64_t now_us = bb_ring_now_us(conn->worker->ring);
    if (stage_of[conn->state] != 0)
        bb_conn_spent(conn, (enum bb_stage)(stage_of[conn->state] - 1), now_us - conn->entered_us);
    bb_counter_add(&counters->in_state[conn->state], UINT64_MAX); /* one less */
    bb_counter_add(&counters->in_state[state], 1);
    conn->entered_us = now_us;
    conn->state = state;
}

void bb_conn_watch(struct bb_conn *conn, enum bb_conn_state state, uint64_t limit_ms)
{
    uint64_t now_ms = bb_clock_ms();
    bb_conn_enter(conn, state);
    conn->expired = conn->shed = false;
    conn->since_ms = conn->mark_ms = now_ms;
    conn->moved = conn->mark_moved = 0;
    conn->deadline_ms = now_ms + limit_ms;
    if (conn->deadline_ms < conn->worker->check_at_ms)
        conn->worker->check_at_ms = conn->deadline_ms;
}

struct bb_request *bb_conn_request(struct bb_conn *conn, enum bb_conn_state state)
{
    BB_ASSERT(!conn->request_busy);
    BB_ASSERT(!conn->socket_busy);
    bb_conn_enter(conn, state);
    conn->deadline_ms = UINT64_MAX;
    conn->request_busy = true;
    return &conn->request;
}

static void request_done(struct bb_request *request)
{
    struct bb_conn *conn = BB_CONTAINER(request, struct bb_conn, request);
    BB_ASSERT(conn->request_busy);
    conn->request_busy = false;
    bb_conn_step(conn, request->result);
}

/* ---- from head to verb ---- */

/* Moves what was received to where the next head shall begin. */
static void place_head(struct bb_conn *conn, const char *from)
{
    size_t offset = conn->head_guess > 0 ? BB_UNIT_SIZE - conn->head_guess : 0;
    if (conn->head_len > BB_HTTP_HEAD_MAX - offset)
        offset = 0;
    conn->head = conn->area + offset;
    if (conn->head_len > 0)
        memmove(conn->head, from, conn->head_len);
}

static void receive_head(struct bb_conn *conn)
{
    const char *end = conn->area + BB_HTTP_HEAD_MAX;
    BB_ASSERT(conn->head_len < BB_HTTP_HEAD_MAX);
    if (conn->head + conn->head_len == end) { /* a head longer than guessed */
        conn->head_guess = 0;
        place_head(conn, conn->head);
    }
    char *at = conn->head + conn->head_len;
    bb_conn_receive(conn, at, (size_t)(end - at));
}

bool bb_conn_body_in_place(struct bb_conn *conn)
{
    size_t size = (size_t)conn->http.content_length;
    BB_ASSERT(conn->buf == NULL);
    BB_ASSERT(!conn->http.chunked);
    if (size == 0 || size > BB_UNIT_SIZE)
        return false;
    bool aligned = conn->head + conn->head_used == conn->area + BB_UNIT_SIZE;
    conn->head_guess = conn->head_used < BB_UNIT_SIZE ? conn->head_used : 0;
    if (!aligned || conn->head_len - conn->head_used > size)
        return false;
    conn->buf = (uint8_t *)conn->area + BB_UNIT_SIZE;
    conn->buf_size = 0;
    BB_COUNT(conn->worker, in_place, 1);
    return true;
}

static bool refuse_body(struct bb_conn *conn)
{
    const struct bb_http_request *http = &conn->http;
    if (conn->route.takes_body)
        return false;
    if (!http->chunked && http->content_length == 0)
        return false;
    bb_conn_line(conn, 400, "body: not taken by this method, send none");
    return true;
}

/* Access comes first: who may do nothing here is not told what there is. */
static bool admit(struct bb_conn *conn, struct bb_http_refusal *ret_refusal)
{
    const struct bb_visitor visitor = {.loopback = conn->listener->loopback,
                                       .local = conn->listener->local,
                                       .trusted = conn->trusted};
    struct bb_http_refusal refusal;
    conn->route = (struct bb_route){.op = BB_ROUTE_NONE}; /* not that of the request before */
    int found = bb_route_find(&conn->http, &conn->route, &refusal);
    const char *who;
    int status = bb_gate_check(&conn->worker->shared->gate, &visitor, &conn->http,
                               found == 0 ? &conn->route : NULL, ret_refusal, &who);
    memccpy(conn->who, who, '\0', sizeof(conn->who));
    if (status != 0)
        return false;
    if (found != 0)
        *ret_refusal = refusal;
    return found == 0;
}

static void begin_request(struct bb_conn *conn)
{
    struct bb_worker *worker = conn->worker;
    struct bb_shared *shared = worker->shared;
    struct bb_http_refusal refusal;
    BB_COUNT(worker, requests, 1);
    conn->began_us = bb_ring_now_us(worker->ring);
    memset(conn->spent_us, 0, sizeof(conn->spent_us));
    conn->counted = bb_board_phase(&shared->board) <= BB_PHASE_READY;
    if (conn->counted)
        atomic_fetch_add_explicit(&worker->running, 1, memory_order_relaxed);
    conn->close = !conn->http.keep_alive;
    conn->body_unread = conn->http.chunked || conn->http.content_length > 0;
    conn->if_absent = conn->has_digest = false;
    conn->status = 0;
    conn->reply_size = 0;
    conn->body_len = 0;
    if (!admit(conn, &refusal)) {
        bb_conn_refuse(conn, &refusal);
        return;
    }
    if (!refuse_body(conn))
        bb_conn_verb(conn)->begin(conn);
}

static void parse_head(struct bb_conn *conn)
{
    struct bb_http_refusal refusal;
    size_t size;
    int result = bb_http_parse_head(conn->head, conn->head_len, &conn->head_scanned, &conn->http,
                                    &size, &refusal);
    const unsigned size_max = BB_CONN_LIMIT(conn, head_size);
    const unsigned fields_max = BB_CONN_LIMIT(conn, head_fields);
    BB_ASSERT(size_max <= BB_HTTP_HEAD_MAX);
    if (result > 0 && size <= size_max && conn->http.field_count <= fields_max) {
        BB_ASSERT(size <= conn->head_len);
        conn->head_used = size;
        begin_request(conn);
        return;
    }
    if (result == 0 && conn->head_len < size_max) {
        receive_head(conn);
        return;
    }
    bool many = result > 0 && size <= size_max;
    memset(&conn->http, 0, sizeof(conn->http));
    conn->close = true;
    conn->body_unread = true; /* nobody knows what else is coming */
    BB_COUNT(conn->worker, requests, 1);
    if (many)
        bb_conn_line(conn, 431, "head: more than %u fields, send fewer", fields_max);
    else if (result >= 0)
        bb_conn_line(conn, 431, "head: more than %u bytes, send fewer fields", size_max);
    else
        bb_conn_refuse(conn, &refusal);
}

static void head_arrived(struct bb_conn *conn, int result)
{
    if (conn->expired && conn->head_len > 0) {
        memset(&conn->http, 0, sizeof(conn->http));
        conn->close = conn->body_unread = true;
        bb_conn_line(conn, 408, "head: not complete after %u ms, send it faster",
                     BB_CONN_LIMIT(conn, head_ms));
        return;
    }
    if (conn->expired || result <= 0) {
        bb_conn_finish(conn);
        return;
    }
    bool first = conn->head_len == 0;
    conn->head_len += (size_t)result;
    BB_ASSERT(conn->head_len <= BB_HTTP_HEAD_MAX);
    BB_COUNT(conn->worker, bytes_in, (uint64_t)result);
    if (first && conn->useful) /* it was idle; a fresh connection has its time from the start */
        bb_conn_watch(conn, BB_CONN_HEAD, BB_CONN_LIMIT(conn, head_ms));
    parse_head(conn);
}

static void next_request(struct bb_conn *conn)
{
    conn->useful = true;
    conn->head_len -= conn->head_used;
    place_head(conn, conn->head + conn->head_used);
    conn->head_used = conn->head_scanned = 0;
    if (conn->head_len > 0) {
        bb_conn_watch(conn, BB_CONN_HEAD, BB_CONN_LIMIT(conn, head_ms));
        parse_head(conn);
        return;
    }
    bb_conn_watch(conn, BB_CONN_HEAD, BB_CONN_LIMIT(conn, idle_ms));
    receive_head(conn);
}

/* ---- after the reply ---- */

void bb_conn_let_go(struct bb_conn *conn)
{
    BB_ASSERT(!conn->request_busy);
    if (conn->reserved)
        bb_port_release(conn->worker->port, &conn->request);
    if (conn->pinned)
        bb_port_unpin(conn->worker->port, &conn->request);
    conn->reserved = conn->pinned = false;
}

static void release(struct bb_conn *conn)
{
    bb_conn_let_go(conn);
    if (conn->buf != NULL)
        bb_worker_drop_buffer(conn->worker, conn);
}

static void linger(struct bb_conn *conn)
{
    /* Our half is closed; what the client still sends is read so that the kernel does not answer
     * it with a reset, which would take the reply away from the client (RFC 9112 9.6). */
    if (!bb_socket_shut(conn)) {
        bb_conn_finish(conn);
        return;
    }
    bb_conn_watch(conn, BB_CONN_LINGER, BB_CONN_LIMIT(conn, linger_ms));
    bb_conn_receive(conn, conn->area, BB_HTTP_HEAD_MAX);
}

static void lingered(struct bb_conn *conn, int result)
{
    if (result <= 0 || conn->expired || conn->moved > BB_CONN_LIMIT(conn, linger_size)) {
        bb_conn_finish(conn);
        return;
    }
    bb_conn_receive(conn, conn->area, BB_HTTP_HEAD_MAX);
}

static enum bb_timed_request timed_as(const struct bb_conn *conn)
{
    switch (conn->route.op) {
    case BB_ROUTE_PUT:
        return BB_TIMED_PUT;
    case BB_ROUTE_GET:
        return BB_TIMED_GET;
    case BB_ROUTE_DELETE:
        return BB_TIMED_DELETE;
    default:
        return BB_TIMED_OTHER;
    }
}

static void end_request(struct bb_conn *conn)
{
    if (conn->began_us != 0) {
        uint64_t took_us = bb_ring_now_us(conn->worker->ring) - conn->began_us;
        bb_buckets_add(&conn->worker->counters.requests_us[timed_as(conn)], took_us);
        bb_request_log(conn, took_us);
    }
    conn->began_us = 0;
    if (conn->counted)
        atomic_fetch_sub_explicit(&conn->worker->running, 1, memory_order_relaxed);
    conn->counted = false;
}

static void send_step(struct bb_conn *conn, int result)
{
    if (result <= 0 || conn->expired) {
        bb_conn_finish(conn);
        return;
    }
    BB_COUNT(conn->worker, bytes_out, (uint64_t)result);
    bb_conn_sent(conn, result);
    if (conn->socket_busy)
        return;
    release(conn);
    end_request(conn);
    if (conn->close)
        linger(conn);
    else
        next_request(conn);
}

void bb_conn_broken(struct bb_conn *conn)
{
    release(conn);
    end_request(conn);
    linger(conn);
}

void bb_conn_not_tls(struct bb_conn *conn)
{
    bb_socket_bare(conn);
    memset(&conn->http, 0, sizeof(conn->http));
    conn->close = conn->body_unread = true;
    BB_COUNT(conn->worker, requests, 1);
    bb_conn_line(conn, 400, "connection: plain HTTP, this port speaks TLS, use https://");
}

void bb_conn_step(struct bb_conn *conn, int result)
{
    BB_ASSERT(pthread_equal(conn->worker->thread, pthread_self()));
    switch (conn->state) {
    case BB_CONN_HEAD:
        head_arrived(conn, result);
        return;
    case BB_CONN_CONTINUE:
    case BB_CONN_BODY:
        bb_body_step(conn, result);
        return;
    case BB_CONN_SEND:
        send_step(conn, result);
        return;
    case BB_CONN_LINGER:
        lingered(conn, result);
        return;
    case BB_CONN_CLOSING:
        bb_conn_finish(conn);
        return;
    case BB_CONN_LOOKUP:
    case BB_CONN_RESERVE:
    case BB_CONN_BUFFER:
    case BB_CONN_COMMIT:
    case BB_CONN_READ:
    case BB_CONN_VERIFY:
    case BB_CONN_MARK:
    case BB_CONN_ASK:
        bb_conn_verb(conn)->step(conn, result);
        return;
    case BB_CONN_FREE:
        break;
    }
    BB_ASSERT(conn->state != BB_CONN_FREE);
}

/* ---- begin and end ---- */

int bb_conn_init(struct bb_conn *conn, struct bb_worker *worker, void *area)
{
    conn->worker = worker;
    conn->area = area;
    conn->fd = -1;
    conn->state = BB_CONN_FREE;
    return bb_hasher_open(&conn->hasher);
}

void bb_conn_fini(struct bb_conn *conn)
{
    BB_ASSERT(conn->state == BB_CONN_FREE);
    bb_hasher_close(&conn->hasher);
}

void bb_conn_start(struct bb_conn *conn, int fd, const struct bb_listener *listener)
{
    BB_ASSERT(conn->state == BB_CONN_FREE);
    const int one = 1;
    /* replies are whole; waiting for more to put in a packet only delays them */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    bb_socket_open(conn, fd);
    conn->listener = listener;
    conn->trusted = listener->local && bb_peer_trusted(fd);
    conn->socket_busy = conn->request_busy = conn->expired = conn->reset = false;
    conn->counted = conn->close = conn->body_unread = conn->reserved = conn->pinned = false;
    conn->useful = false;
    conn->began_us = 0;
    conn->buf = NULL;
    conn->head_len = conn->head_used = conn->head_scanned = conn->head_guess = 0;
    conn->head = conn->area;
    conn->request = (struct bb_request){.done = request_done};
    bb_conn_watch(conn, BB_CONN_HEAD, BB_CONN_LIMIT(conn, head_ms));
    receive_head(conn);
}

void bb_conn_finish(struct bb_conn *conn)
{
    BB_ASSERT(!conn->socket_busy);
    release(conn);
    end_request(conn);
    bb_socket_close(conn);
    bb_conn_enter(conn, BB_CONN_FREE);
    bb_worker_conn_ended(conn->worker, conn);
}

bool bb_conn_waits_for_client(const struct bb_conn *conn)
{
    return conn->state == BB_CONN_HEAD || conn->state == BB_CONN_CONTINUE ||
           conn->state == BB_CONN_BODY || conn->state == BB_CONN_SEND ||
           conn->state == BB_CONN_LINGER;
}

void bb_conn_abort(struct bb_conn *conn)
{
    BB_ASSERT(!conn->request_busy);
    if (conn->state == BB_CONN_BUFFER) {
        bb_worker_forget_waiting(conn->worker, conn);
        bb_conn_finish(conn);
        return;
    }
    BB_ASSERT(bb_conn_waits_for_client(conn));
    BB_ASSERT(conn->socket_busy);
    conn->reset = conn->state == BB_CONN_SEND;
    bb_conn_enter(conn, BB_CONN_CLOSING);
    conn->deadline_ms = UINT64_MAX;
    bb_socket_cancel(conn);
}

void bb_conn_shed(struct bb_conn *conn)
{
    if (conn->state != BB_CONN_BODY) {
        bb_conn_abort(conn);
        return;
    }
    BB_ASSERT(conn->socket_busy);
    conn->expired = conn->shed = true;
    conn->deadline_ms = UINT64_MAX;
    bb_socket_cancel(conn);
}

/* Whether a transfer moved enough since the last mark; sets the next one. What a send has moved is
 * asked from the kernel, and its first mark only when the first deadline passes: asking at every
 * send would cost more than most sends. */
static bool keeps_up(struct bb_conn *conn)
{
    bool unmarked = conn->mark_ms == conn->since_ms;
    if (conn->state != BB_CONN_BODY && conn->state != BB_CONN_SEND)
        return false;
    bool sending = conn->state == BB_CONN_SEND;
    uint64_t moved = sending && !conn->listener->local ? bb_peer_acked(conn->fd) : conn->moved;
    bool enough = moved - conn->mark_moved >= BB_CONN_LIMIT(conn, slow_bytes);
    conn->mark_moved = moved;
    return enough || (conn->state == BB_CONN_SEND && unmarked);
}

void bb_conn_expire(struct bb_conn *conn, uint64_t now_ms)
{
    if (conn->state == BB_CONN_BUFFER) {
        bb_worker_forget_waiting(conn->worker, conn);
        bb_conn_busy(conn);
        return;
    }
    BB_ASSERT(bb_conn_waits_for_client(conn));
    if (keeps_up(conn)) {
        conn->mark_ms = now_ms;
        conn->deadline_ms = now_ms + BB_CONN_LIMIT(conn, slow_ms);
        return;
    }
    if (conn->state != BB_CONN_LINGER && (conn->state != BB_CONN_HEAD || conn->head_len > 0))
        BB_COUNT(conn->worker, timeouts, 1);
    conn->expired = true;
    conn->reset = conn->state == BB_CONN_SEND;
    conn->deadline_ms = UINT64_MAX;
    bb_socket_cancel(conn);
}
