/* SPDX-License-Identifier: Apache-2.0
 * Connections and their events. Sockets are registered once, edge-triggered for both directions: an
 * event is raised whenever bytes or room arrive, so a receive that got less than it asked for may
 * stop, unless the peer has closed, which raises no further event. */
#include "bbbench/load.h"

#include "bbbench/request.h"
#include "bbbench/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define MS ((uint64_t)1000000)
#define TICK_NS (100 * MS)
#define RETRY_NS (100 * MS)
#define CONNECT_NS (5000 * MS)
#define REPLY_NS (30000 * MS)
#define SILENCE_NS (60000 * MS) /* without any reply: the phase ends */
/* One call takes the whole reply to most requests, yet of a large body only a piece worth copying.
 */
#define FIRST_RECV_SIZE ((size_t)32 << 10)
#define HASHED_RECV_SIZE ((size_t)256 << 10)
#define CLOSED_EVENTS ((uint32_t)EPOLLRDHUP | (uint32_t)EPOLLHUP | (uint32_t)EPOLLERR)

uint64_t bb_load_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void close_conn(struct bb_conn *conn, uint64_t now_ns)
{
    bb_wire_close(conn->tls);
    conn->tls = NULL;
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    conn->state = BB_CONN_CLOSED;
    conn->since_ns = now_ns;
}

static void connect_conn(struct bb_load *load, struct bb_conn *conn, uint64_t now_ns)
{
    BB_ASSERT(conn->state == BB_CONN_CLOSED);
    conn->since_ns = now_ns;
    conn->fd = bb_target_connect(&load->config->target);
    struct epoll_event event = {
        .events = (uint32_t)EPOLLIN | (uint32_t)EPOLLOUT | (uint32_t)EPOLLRDHUP | (uint32_t)EPOLLET,
        .data.ptr = conn,
    };
    const struct bb_load_config *config = load->config;
    if (conn->fd >= 0 && config->tls != NULL)
        conn->tls = bb_wire_open(config->tls, conn->fd, config->target.host);
    bool secured = config->tls == NULL || conn->tls != NULL;
    if (conn->fd >= 0 && secured &&
        epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) == 0) {
        conn->state = BB_CONN_CONNECTING;
        return;
    }
    load->tally.faults[BB_FAULT_CONNECT]++;
    close_conn(conn, now_ns);
}

static void reconnect(struct bb_load *load, struct bb_conn *conn, uint64_t now_ns)
{
    load->tally.reconnects++;
    close_conn(conn, now_ns);
    connect_conn(load, conn, now_ns);
}

static void fail(struct bb_load *load, struct bb_conn *conn, enum bb_fault fault)
{
    BB_ASSERT(conn->state == BB_CONN_BUSY);
    BB_ASSERT(load->in_flight > 0);
    load->in_flight--;
    bb_request_fail(load, conn, fault);
    reconnect(load, conn, bb_load_clock_ns());
}

static void fail_lost(struct bb_load *load, struct bb_conn *conn)
{
    fail(load, conn, conn->got == 0 ? BB_FAULT_LOST : BB_FAULT_SHORT_REPLY);
}

/* Sends what the socket takes; the rest follows on the next EPOLLOUT. */
static void send_request(struct bb_load *load, struct bb_conn *conn)
{
    while (conn->iov_at < conn->iov_count) {
        struct iovec *iov = &conn->iov[conn->iov_at];
        int count = conn->iov_count - conn->iov_at;
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
        ssize_t sent = conn->tls != NULL ? bb_wire_send(conn->tls, iov, count)
                       : count == 1      ? send(conn->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                                         : sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
            /* After a reset the reply may still be readable: the receiving side decides. */
            if (errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
                fail_lost(load, conn);
            return;
        }
        size_t left = (size_t)sent;
        while (conn->iov_at < conn->iov_count && left >= conn->iov[conn->iov_at].iov_len)
            left -= conn->iov[conn->iov_at++].iov_len;
        if (conn->iov_at < conn->iov_count) {
            iov = &conn->iov[conn->iov_at];
            iov->iov_base = (char *)iov->iov_base + left;
            iov->iov_len -= left;
        }
    }
}

/* Intended start of the next request; in a closed loop that is now. */
static uint64_t due_ns(const struct bb_load *load, uint64_t now_ns)
{
    uint64_t interval_ns = load->phase.interval_ns;
    return interval_ns > 0 ? load->started_ns + load->issued * interval_ns : now_ns;
}

static void park(struct bb_load *load, struct bb_conn *conn)
{
    if (conn->parked)
        return; /* since before it was reconnected */
    BB_ASSERT(load->parked_count < load->conn_count);
    conn->parked = true;
    load->parked[(load->parked_at + load->parked_count++) % load->conn_count] = conn;
}

static void next_request(struct bb_load *load, struct bb_conn *conn, uint64_t now_ns)
{
    conn->state = BB_CONN_IDLE;
    if (now_ns >= load->phase.deadline_ns || load->issued >= load->phase.request_max)
        load->stopping = true;
    if (load->stopping)
        return;
    uint64_t since_ns = due_ns(load, now_ns);
    if (since_ns > now_ns) {
        park(load, conn);
        return;
    }
    if (!bb_request_build(load, conn)) {
        load->stopping = true;
        return;
    }
    load->issued++;
    load->in_flight++;
    conn->state = BB_CONN_BUSY;
    conn->since_ns = since_ns;
    conn->got = 0;
    send_request(load, conn);
}

/* Open loop: sends what is due on the connections that wait for it. */
static void send_due(struct bb_load *load, uint64_t now_ns)
{
    while (load->parked_count > 0 && !load->stopping && due_ns(load, now_ns) <= now_ns) {
        struct bb_conn *conn = load->parked[load->parked_at];
        load->parked_at = (load->parked_at + 1) % load->conn_count;
        load->parked_count--;
        conn->parked = false;
        if (conn->state == BB_CONN_IDLE)
            next_request(load, conn, now_ns);
    }
}

static void complete(struct bb_load *load, struct bb_conn *conn, bool closing)
{
    BB_ASSERT(load->in_flight > 0);
    uint64_t now_ns = bb_load_clock_ns();
    load->in_flight--;
    bb_request_judge(load, conn, now_ns);
    conn->state = BB_CONN_IDLE;
    if (conn->checked)
        now_ns = bb_load_clock_ns(); /* hashing is not the server's latency */
    if (closing || conn->reply.close || conn->iov_at < conn->iov_count)
        reconnect(load, conn, now_ns);
    else
        next_request(load, conn, now_ns);
}

static ssize_t receive_bytes(struct bb_load *load, struct bb_conn *conn, size_t size, int flags)
{
    if (conn->tls != NULL)
        return bb_wire_receive(conn->tls, load->recv_buf, size);
    return recv(conn->fd, load->recv_buf, size, flags);
}

/* One recv call. Returns its result; *ret_asked is what it asked for. */
static ssize_t receive_piece(struct bb_load *load, struct bb_conn *conn, size_t *ret_asked,
                             bool *ret_fits)
{
    struct bb_reply *reply = &conn->reply;
    const char *body;
    size_t body_len;
    *ret_fits = true;
    if (reply->state == BB_REPLY_BODY && bb_request_may_skip(conn)) {
        size_t want = reply->body_left < BB_LOAD_RECV_SIZE ? reply->body_left : BB_LOAD_RECV_SIZE;
        *ret_asked = want;
        ssize_t got = receive_bytes(load, conn, want, MSG_TRUNC);
        if (got > 0)
            bb_reply_skip(reply, (size_t)got);
        return got;
    }
    *ret_asked = reply->state == BB_REPLY_BODY ? HASHED_RECV_SIZE : FIRST_RECV_SIZE;
    ssize_t got = receive_bytes(load, conn, *ret_asked, 0);
    if (got <= 0)
        return got;
    size_t used = bb_reply_feed(reply, (const char *)load->recv_buf, (size_t)got, &body, &body_len);
    if (body_len > 0)
        bb_request_take(conn, body, body_len);
    *ret_fits = used == (size_t)got;
    return got;
}

static void receive(struct bb_load *load, struct bb_conn *conn, bool closed)
{
    while (true) {
        size_t asked;
        bool fits;
        ssize_t got = receive_piece(load, conn, &asked, &fits);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            fail_lost(load, conn);
            return;
        }
        conn->got += (uint64_t)got;
        if (conn->reply.state == BB_REPLY_BAD || !fits) {
            fail(load, conn, BB_FAULT_BAD_REPLY);
            return;
        }
        if (conn->reply.state == BB_REPLY_DONE) {
            complete(load, conn, closed);
            return;
        }
        if ((size_t)got < asked && !closed && conn->tls == NULL)
            return;
    }
}

static void finish_connect(struct bb_load *load, struct bb_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);
    uint64_t now_ns = bb_load_clock_ns();
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        load->tally.faults[BB_FAULT_CONNECT]++;
        close_conn(conn, now_ns);
        return;
    }
    if (conn->tls != NULL && bb_wire_shake_hands(conn->tls) != 0) {
        if (errno == EAGAIN)
            return; /* more events will come */
        if (load->reported++ == 0)
            fprintf(stderr, "bbbench: TLS: %s\n", bb_wire_reason());
        load->tally.faults[BB_FAULT_CONNECT]++;
        close_conn(conn, now_ns);
        return;
    }
    next_request(load, conn, now_ns);
}

static void handle_event(struct bb_load *load, struct bb_conn *conn, uint32_t events)
{
    bool closed = (events & CLOSED_EVENTS) != 0;
    if (conn->state == BB_CONN_CONNECTING) {
        finish_connect(load, conn);
        return;
    }
    if (conn->state == BB_CONN_IDLE && closed)
        reconnect(load, conn, bb_load_clock_ns());
    if (conn->state != BB_CONN_BUSY)
        return;
    if (conn->iov_at < conn->iov_count && (events & (uint32_t)EPOLLOUT) != 0)
        send_request(load, conn);
    if (conn->state == BB_CONN_BUSY && ((events & (uint32_t)EPOLLIN) != 0 || closed))
        receive(load, conn, closed);
}

/* Time-outs and retries, ten times a second. */
static void tick(struct bb_load *load, uint64_t now_ns)
{
    for (uint32_t i = 0; i < load->conn_count; i++) {
        struct bb_conn *conn = &load->conns[i];
        uint64_t age_ns = now_ns > conn->since_ns ? now_ns - conn->since_ns : 0;
        if (conn->state == BB_CONN_CLOSED && age_ns >= RETRY_NS) {
            connect_conn(load, conn, now_ns);
        } else if (conn->state == BB_CONN_CONNECTING && age_ns >= CONNECT_NS) {
            load->tally.faults[BB_FAULT_CONNECT]++;
            close_conn(conn, now_ns);
        } else if (conn->state == BB_CONN_BUSY && age_ns >= REPLY_NS) {
            fail(load, conn, BB_FAULT_TIMEOUT);
        }
    }
}

/* Handles events for at most a tick. */
static void turn(struct bb_load *load, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = bb_load_clock_ns();
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {.tv_nsec = (long)(left_ns < TICK_NS ? left_ns : TICK_NS)};
    int count = epoll_pwait2(load->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
    for (int i = 0; i < count; i++)
        handle_event(load, events[i].data.ptr, events[i].events);
}

static void start_phase(struct bb_load *load, const struct bb_phase *phase, uint64_t now_ns)
{
    BB_ASSERT(load->in_flight == 0);
    load->phase = *phase;
    load->issued = 0;
    load->started_ns = now_ns;
    load->stopping = false;
    load->parked_count = 0;
    bb_tally_reset(&load->tally, now_ns);
    if (phase->interval_ns > 0)
        prctl(PR_SET_TIMERSLACK, 1ul); /* ns; without effect where it is refused */
    for (uint32_t i = 0; i < load->conn_count; i++)
        load->conns[i].parked = false;
    for (uint32_t i = 0; i < load->conn_count; i++)
        if (load->conns[i].state == BB_CONN_IDLE)
            next_request(load, &load->conns[i], now_ns);
}

/* Until when there is nothing to do but to wait for events. */
static uint64_t wait_until_ns(const struct bb_load *load)
{
    if (load->stopping)
        return UINT64_MAX;
    uint64_t due = load->parked_count > 0 ? due_ns(load, UINT64_MAX) : UINT64_MAX;
    return due < load->phase.deadline_ns ? due : load->phase.deadline_ns;
}

void bb_load_run(struct bb_load *load, const struct bb_phase *phase)
{
    uint64_t now_ns = bb_load_clock_ns();
    uint64_t tick_ns = now_ns;
    start_phase(load, phase, now_ns);
    while (!load->stopping || load->in_flight > 0) {
        turn(load, wait_until_ns(load));
        now_ns = bb_load_clock_ns();
        send_due(load, now_ns);
        if (now_ns >= phase->deadline_ns || now_ns - load->tally.ended_ns >= SILENCE_NS)
            load->stopping = true;
        if (now_ns - tick_ns >= TICK_NS) {
            tick(load, now_ns);
            tick_ns = now_ns;
        }
    }
}

size_t bb_load_memory(const struct bb_load_config *config, uint32_t conn_count)
{
    size_t lists = 2 * (size_t)config->batch * (BB_HASH_HEX_SIZE + 1);
    size_t per_conn = sizeof(struct bb_conn) + sizeof(struct bb_conn *) + sizeof(uint64_t) + lists;
    return BB_LOAD_RECV_SIZE + (size_t)conn_count * per_conn + 4 * 4096;
}

static int open_conns(struct bb_load *load, struct bb_arena *arena)
{
    size_t list_size = (size_t)load->config->batch * (BB_HASH_HEX_SIZE + 1);
    for (uint32_t i = 0; i < load->conn_count; i++) {
        struct bb_conn *conn = &load->conns[i];
        conn->fd = -1;
        conn->list = bb_arena_alloc(arena, list_size, 1);
        conn->expect = bb_arena_alloc(arena, list_size, 1);
        if (conn->list == NULL || conn->expect == NULL)
            return -ENOMEM;
        int error = bb_hasher_open(&conn->hasher);
        if (error != 0)
            return error;
    }
    return 0;
}

int bb_load_connect(struct bb_load *load)
{
    BB_ASSERT(load->stopping);
    uint64_t give_up_ns = bb_load_clock_ns() + CONNECT_NS;
    for (uint32_t i = 0; i < load->conn_count; i++) {
        connect_conn(load, &load->conns[i], bb_load_clock_ns());
        while (load->conns[i].state == BB_CONN_CONNECTING && bb_load_clock_ns() < give_up_ns)
            turn(load, give_up_ns);
        if (load->conns[i].state != BB_CONN_IDLE)
            return -ECONNREFUSED;
    }
    return 0;
}

int bb_load_open(struct bb_load *load, const struct bb_load_config *config, uint32_t index,
                 uint32_t conn_count, struct bb_arena *arena)
{
    BB_ASSERT(conn_count > 0);
    BB_ASSERT(config->size_min <= config->size_max);
    memset(load, 0, sizeof(*load));
    load->config = config;
    load->conn_count = conn_count;
    load->counter = (uint64_t)index << 56;
    load->stopping = true; /* until a phase begins */
    load->suffix_len = snprintf(load->suffix, sizeof(load->suffix), " HTTP/1.1\r\nHost: %s\r\n",
                                config->target.host);
    bb_random_seed(&load->random, config->choices + index + 1);
    load->recv_buf = bb_arena_alloc(arena, BB_LOAD_RECV_SIZE, 4096);
    load->conns = bb_arena_alloc(arena, conn_count * sizeof(*load->conns), 64);
    load->reading = bb_arena_alloc(arena, conn_count * sizeof(*load->reading), 64);
    load->parked = bb_arena_alloc(arena, conn_count * sizeof(struct bb_conn *), 64);
    if (load->recv_buf == NULL || load->conns == NULL || load->reading == NULL ||
        load->parked == NULL)
        return -ENOMEM;
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll_fd < 0)
        return -errno;
    int error = bb_acked_open(&load->acked);
    return error != 0 ? error : open_conns(load, arena);
}

int bb_load_adopt(struct bb_load *load, uint64_t count)
{
    struct bb_hasher *hasher = &load->conns[0].hasher;
    struct bb_acked_block block = {.size = load->config->size_min};
    BB_ASSERT(count == 0 || load->config->size_min == load->config->size_max);
    BB_ASSERT(load->acked.count == 0);
    for (uint64_t i = 0; i < count; i++) {
        struct bb_body_parts parts;
        block.counter = load->counter++;
        bb_body_parts(&load->config->body, block.counter, block.size, &parts);
        bb_body_hash(&parts, hasher, &block.hash);
        int error = bb_acked_add(&load->acked, &block);
        if (error != 0)
            return error;
    }
    return 0;
}

void bb_load_close(struct bb_load *load)
{
    for (uint32_t i = 0; i < load->conn_count; i++) {
        close_conn(&load->conns[i], 0);
        bb_hasher_close(&load->conns[i].hasher);
    }
    bb_acked_close(&load->acked);
    close(load->epoll_fd);
}
