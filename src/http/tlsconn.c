/* SPDX-License-Identifier: Apache-2.0
 * The pump: ciphertext between a socket of the ring and a session (tls.h), plain bytes between the
 * session and the machine. One operation on the ring at a time, as without TLS.
 *
 *   wants    does                                            steps the machine with
 *   NOTHING  -                                               -
 *   READ     send what is unsent, decrypt, else receive      bytes, 0, an error
 *   WRITE    encrypt as much as fits, send it                bytes whose ciphertext is gone
 *
 * The machine may ask again while it is stepped: that is answered by the loop that stepped it, not
 * by another call. When it asks at any other time and the answer is there already, the connection
 * is put into a queue and stepped in the worker's next turn: a step never runs inside a request.
 */
#include "tlsconn.h"

#include "bb/arena.h"
#include "bb/bits.h"
#include "bb/clock.h"
#include "bb/log.h"
#include "bb/worker.h"
#include "socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SPARE 16u       /* sessions above the limit: those being ended */
#define WAITING_MAX 64u /* newcomers for whom others are being ended */

enum want { WANT_NOTHING, WANT_READ, WANT_WRITE };

struct bb_tls_link {
    struct bb_tls tls;
    struct bb_conn *conn;
    struct bb_tls_link *next; /* of those free, or in the queue */
    enum want want;
    void *buf; /* READ */
    size_t size;
    size_t written; /* WRITE: bytes of conn->message that are encrypted */
    struct msghdr message;
    struct iovec iov;
    bool flying;    /* conn->event is on the ring, */
    bool sending;   /* with a send */
    bool pumping;   /* the loop is on the stack */
    bool queued;    /* for the next turn */
    bool cancelled; /* the answer is -ECANCELED */
    bool heard;     /* something was received */
    bool up;        /* the handshake is through */
    int error;      /* of the socket */
};

/* A socket that has come and waits for a session. */
struct newcomer {
    int fd;
    const struct bb_listener *listener;
};

struct bb_tls_pool {
    struct bb_arena arena; /* this, the sessions, their buffers */
    struct bb_tls_link *free;
    struct bb_tls_link *head, *tail; /* the queue */
    unsigned live, max;
    unsigned ending;                      /* of those live: cancelled */
    struct newcomer waiting[WAITING_MAX]; /* a ring */
    unsigned waiting_at, waiting_count;
};

/* ---- sessions ---- */

BB_STATIC_ASSERT(sizeof(struct bb_tls_link) + BB_TLS_IN_SIZE + BB_TLS_OUT_SIZE +
                     BB_TLS_OPENSSL_SIZE <=
                 BB_TLS_COST);

int bb_tlsconn_open_pool(unsigned count, struct bb_tls_pool **ret_pool)
{
    BB_ASSERT(count > 0);
    struct bb_arena arena;
    size_t links = (size_t)count + SPARE;
    size_t each = sizeof(struct bb_tls_link) + BB_TLS_IN_SIZE + BB_TLS_OUT_SIZE;
    int error = bb_arena_open(sizeof(struct bb_tls_pool) + links * each + (64u << 10), false, false,
                              &arena);
    if (error != 0)
        return error;
    struct bb_tls_pool *pool = bb_arena_alloc(&arena, sizeof(*pool), _Alignof(struct bb_tls_pool));
    struct bb_tls_link *link =
        bb_arena_alloc(&arena, links * sizeof(*link), _Alignof(struct bb_tls_link));
    uint8_t *buffers = bb_arena_alloc(&arena, links * (BB_TLS_IN_SIZE + BB_TLS_OUT_SIZE), 4096);
    BB_ASSERT(pool != NULL && link != NULL && buffers != NULL); /* measured for them */
    for (size_t i = 0; i < links; i++, link++, buffers += BB_TLS_IN_SIZE + BB_TLS_OUT_SIZE) {
        bb_tls_init(&link->tls, buffers, buffers + BB_TLS_IN_SIZE);
        link->next = pool->free;
        pool->free = link;
    }
    bb_arena_seal(&arena);
    pool->arena = arena;
    pool->max = count;
    *ret_pool = pool;
    return 0;
}

void bb_tlsconn_close_pool(struct bb_tls_pool *pool)
{
    if (pool == NULL)
        return;
    struct bb_arena arena = pool->arena; /* which the pool stands in */
    bb_arena_close(&arena);
}

bool bb_tlsconn_make_room(struct bb_worker *worker)
{
    struct bb_tls_pool *pool = worker->tls;
    BB_ASSERT(pool != NULL);
    BB_ASSERT(pool->ending <= pool->live);
    bool none = pool->free == NULL && pool->ending <= pool->waiting_count;
    if (none || pool->live - pool->ending >= pool->max)
        (void)bb_slow_shed_tls(worker, bb_clock_ms());
    return pool->free != NULL;
}

bool bb_tlsconn_wait(struct bb_tls_pool *pool, int fd, const struct bb_listener *listener)
{
    if (pool->waiting_count == WAITING_MAX)
        return false;
    unsigned at = (pool->waiting_at + pool->waiting_count++) % WAITING_MAX;
    pool->waiting[at] = (struct newcomer){fd, listener};
    return true;
}

bool bb_tlsconn_next(struct bb_tls_pool *pool, bool any, int *ret_fd,
                     const struct bb_listener **ret_listener)
{
    if (pool->waiting_count == 0 || (pool->free == NULL && !any))
        return false;
    const struct newcomer *newcomer = &pool->waiting[pool->waiting_at];
    *ret_fd = newcomer->fd;
    *ret_listener = newcomer->listener;
    pool->waiting_at = (pool->waiting_at + 1) % WAITING_MAX;
    pool->waiting_count--;
    return true;
}

bool bb_tlsconn_attach(struct bb_conn *conn)
{
    struct bb_worker *worker = conn->worker;
    struct bb_tls_pool *pool = worker->tls;
    struct bb_tls_link *link = pool->free;
    BB_ASSERT(link != NULL);
    BB_ASSERT(conn->tls == NULL);
    struct ssl_ctx_st *context = atomic_load_explicit(&worker->shared->tls, memory_order_acquire);
    if (bb_tls_begin(&link->tls, context) != 0)
        return false;
    pool->free = link->next;
    pool->live++;
    *link = (struct bb_tls_link){.tls = link->tls, .conn = conn};
    conn->tls = link;
    return true;
}

/* What fits into the socket's buffer goes, the rest does not matter. */
static void flush_now(struct bb_conn *conn)
{
    uint8_t *at;
    size_t size = bb_tls_unsent(&conn->tls->tls, &at);
    if (size > 0)
        (void)send(conn->fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void bb_tlsconn_detach(struct bb_conn *conn)
{
    struct bb_worker *worker = conn->worker;
    struct bb_tls_link *link = conn->tls;
    struct bb_tls_pool *pool = worker->tls;
    uint8_t *at;
    BB_ASSERT(!link->flying);
    BB_ASSERT(!link->queued);
    if (!link->up && (link->heard || conn->expired))
        BB_COUNT(worker, tls_failed, 1);
    /* in the middle of a record nothing can be said */
    if (!conn->reset && link->error == 0 && bb_tls_unsent(&link->tls, &at) == 0) {
        bb_tls_say_end(&link->tls);
        flush_now(conn);
    }
    if (link->cancelled)
        pool->ending--;
    bb_tls_end(&link->tls);
    link->next = pool->free;
    pool->free = link;
    BB_ASSERT(pool->live > 0);
    pool->live--;
    conn->tls = NULL;
}

/* ---- the pump ---- */

static void transmit(struct bb_conn *conn, uint8_t *at, size_t size)
{
    struct bb_tls_link *link = conn->tls;
    link->iov = (struct iovec){.iov_base = at, .iov_len = size};
    link->message = (struct msghdr){.msg_iov = &link->iov, .msg_iovlen = 1};
    link->flying = link->sending = true;
    bb_ring_send(conn->worker->ring, conn->fd, &link->message, &conn->event);
}

static void receive(struct bb_conn *conn)
{
    struct bb_tls_link *link = conn->tls;
    uint8_t *at;
    size_t size = bb_tls_room(&link->tls, &at);
    link->flying = true;
    link->sending = false;
    bb_ring_recv(conn->worker->ring, conn->fd, at, size, &conn->event);
}

/* Encrypts what comes behind the first `written` bytes of the message. 0 when that was all. */
static int encrypt(struct bb_conn *conn)
{
    struct bb_tls_link *link = conn->tls;
    size_t skip = link->written;
    for (size_t i = 0; i < conn->message.msg_iovlen; i++) {
        const struct iovec *iov = &conn->message.msg_iov[i];
        while (skip < iov->iov_len) {
            int result =
                bb_tls_write(&link->tls, (const char *)iov->iov_base + skip, iov->iov_len - skip);
            if (result < 0)
                return result;
            skip += (size_t)result;
            link->written += (size_t)result;
        }
        skip -= iov->iov_len;
    }
    return 0;
}

static int decrypt(struct bb_conn *conn)
{
    struct bb_tls_link *link = conn->tls;
    int result = bb_tls_read(&link->tls, link->buf, link->size);
    if (!link->up && bb_tls_is_up(&link->tls)) {
        link->up = true;
        BB_COUNT(conn->worker, tls_done, 1);
    }
    if (result == -EPROTO)
        bb_log(BB_LOG_DEBUG, "tls: %s", bb_tls_reason());
    return result;
}

/* Goes on until an operation is on the ring, or the machine is owed a step: true, with its result.
 */
static bool advance(struct bb_conn *conn, int *ret_result)
{
    struct bb_tls_link *link = conn->tls;
    uint8_t *at;
    BB_ASSERT(!link->flying);
    BB_ASSERT(link->want != WANT_NOTHING);
    for (;;) {
        if (link->cancelled || link->error != 0) {
            *ret_result = link->cancelled ? -ECANCELED : link->error;
            return true;
        }
        size_t unsent = bb_tls_unsent(&link->tls, &at);
        if (unsent > 0) {
            transmit(conn, at, unsent);
            return false;
        }
        if (link->written > 0) {
            *ret_result = (int)link->written;
            return true;
        }
        int result = link->want == WANT_READ ? decrypt(conn) : encrypt(conn);
        bool more = bb_tls_unsent(&link->tls, &at) > 0;
        if (result == -EAGAIN && !more) {
            receive(conn);
            return false;
        }
        /* what was decrypted is handed on at once, an alert goes out before the end */
        if (link->want == WANT_READ && (result > 0 || (result != -EAGAIN && !more))) {
            *ret_result = result;
            return true;
        }
        if (link->want == WANT_WRITE && result == -EPROTO && !more) {
            *ret_result = result;
            return true;
        }
    }
}

static void deliver(struct bb_conn *conn, int result)
{
    struct bb_tls_link *link = conn->tls;
    BB_ASSERT(conn->socket_busy);
    link->want = WANT_NOTHING;
    link->written = 0;
    if (link->cancelled)
        conn->worker->tls->ending--;
    link->cancelled = false;
    conn->socket_busy = false;
    if (result > 0)
        conn->moved += (uint64_t)result;
    if (result == -EPROTO && !conn->expired && conn->state != BB_CONN_CLOSING)
        bb_conn_broken(conn);
    else
        bb_conn_step(conn, result);
}

static void pump(struct bb_conn *conn)
{
    struct bb_tls_link *link = conn->tls;
    int result;
    BB_ASSERT(!link->pumping);
    link->pumping = true;
    while (link->want != WANT_NOTHING && advance(conn, &result)) {
        deliver(conn, result);
        if (conn->tls != link) /* it is gone, or goes on without TLS */
            return;
    }
    link->pumping = false;
}

static void step_later(struct bb_conn *conn)
{
    struct bb_tls_pool *pool = conn->worker->tls;
    struct bb_tls_link *link = conn->tls;
    BB_ASSERT(!link->queued);
    link->queued = true;
    link->next = NULL;
    if (pool->tail != NULL)
        pool->tail->next = link;
    else
        pool->head = link;
    pool->tail = link;
}

bool bb_tlsconn_has_work(const struct bb_worker *worker)
{
    const struct bb_tls_pool *pool = worker->tls;
    bool welcome = pool->waiting_count > 0 && pool->free != NULL && worker->free != NULL;
    return pool->head != NULL || welcome;
}

void bb_tlsconn_turn(struct bb_tls_pool *pool)
{
    while (pool->head != NULL) {
        struct bb_tls_link *link = pool->head;
        pool->head = link->next;
        if (pool->head == NULL)
            pool->tail = NULL;
        link->queued = false;
        pump(link->conn);
    }
}

char *bb_tlsconn_text(const struct bb_conn *conn, char *ret, size_t size)
{
    char subject[BB_TLS_SUBJECT_MAX];
    ret[0] = '\0';
    if (conn->tls == NULL)
        return ret;
    (void)bb_tls_subject(&conn->tls->tls, subject, sizeof(subject));
    for (char *at = subject; (at = strchr(at, '"')) != NULL;)
        *at = '?';
    (void)snprintf(ret, size, subject[0] != '\0' ? " tls=%s subject=\"%s\"" : " tls=%s",
                   bb_tls_version(&conn->tls->tls), subject);
    return ret;
}

/* ---- requests and completions ---- */

void bb_tlsconn_receive(struct bb_conn *conn, void *buf, size_t size)
{
    struct bb_tls_link *link = conn->tls;
    uint8_t *at;
    BB_ASSERT(link->want == WANT_NOTHING);
    link->want = WANT_READ;
    link->buf = buf;
    link->size = size;
    if (link->pumping)
        return;
    if (bb_tls_is_drained(&link->tls) && bb_tls_unsent(&link->tls, &at) == 0)
        receive(conn);
    else
        step_later(conn);
}

void bb_tlsconn_send(struct bb_conn *conn)
{
    struct bb_tls_link *link = conn->tls;
    uint8_t *at;
    BB_ASSERT(link->want == WANT_NOTHING);
    link->want = WANT_WRITE;
    link->written = 0;
    if (link->pumping)
        return;
    if (bb_tls_unsent(&link->tls, &at) == 0)
        (void)encrypt(conn); /* an error shows itself again in the pump */
    size_t unsent = bb_tls_unsent(&link->tls, &at);
    if (unsent > 0)
        transmit(conn, at, unsent);
    else
        step_later(conn);
}

void bb_tlsconn_cancel(struct bb_conn *conn)
{
    struct bb_tls_link *link = conn->tls;
    if (!link->cancelled)
        conn->worker->tls->ending++;
    link->cancelled = true;
    if (link->flying)
        bb_ring_cancel(conn->worker->ring, &conn->event);
    else if (!link->pumping && !link->queued)
        step_later(conn);
}

void bb_tlsconn_done(struct bb_event *event, int result, bool more)
{
    struct bb_conn *conn = BB_CONTAINER(event, struct bb_conn, event);
    struct bb_tls_link *link = conn->tls;
    BB_ASSERT(link->flying);
    BB_ASSERT(!more);
    link->flying = false;
    if (result < 0) {
        if (!link->cancelled || result != -ECANCELED)
            link->error = result;
    } else if (link->sending) {
        bb_tls_sent(&link->tls, (size_t)result);
    } else {
        bool first = !link->heard && result > 0;
        bb_tls_received(&link->tls, (size_t)result);
        link->heard = link->heard || result > 0;
        if (first && bb_tls_is_plain(&link->tls) && !conn->expired && conn->state == BB_CONN_HEAD) {
            conn->socket_busy = false;
            bb_conn_not_tls(conn);
            return;
        }
    }
    pump(conn);
}
