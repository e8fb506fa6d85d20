/* SPDX-License-Identifier: Apache-2.0
 * Accepting and handing over. Worker 0 accepts for all: few long connections spread badly when the
 * kernel hashes them over several sockets. A worker at its limit ends its slowest connection for a
 * new one. That takes a turn of the loop; when many come at once, those without an object wait in
 * the queue of those handed over until the ended ones have given theirs back.
 *
 * Without descriptors nobody is accepted until some come back. Connections that are of no use are
 * ended for that, those that work are not.
 */
#include "bb/clock.h"
#include "bb/conn.h"
#include "bb/err.h"
#include "bb/worker.h"
#include "tlsconn.h"

#include <errno.h>
#include <unistd.h>

#define AGAIN_MS 100u /* after accept failed for want of descriptors */

static void refuse(struct bb_worker *worker, int fd)
{
    BB_COUNT(worker, refused, 1);
    atomic_fetch_add_explicit(&worker->ended, 1, memory_order_relaxed);
    (void)close(fd);
}

static void adopt(struct bb_worker *worker, int fd, const struct bb_listener *listener)
{
    BB_ASSERT(worker->free != NULL);
    if (worker->live_count >= worker->live_max)
        (void)bb_slow_shed(worker, bb_clock_ms());
    struct bb_conn *conn = worker->free;
    if (listener->tls && !bb_tlsconn_attach(conn)) {
        refuse(worker, fd);
        return;
    }
    worker->free = conn->next;
    conn->previous = NULL;
    conn->next = worker->live;
    if (worker->live != NULL)
        worker->live->previous = conn;
    worker->live = conn;
    worker->live_count++;
    atomic_store_explicit(&worker->open, worker->live_count, memory_order_relaxed);
    BB_COUNT(worker, accepted, 1);
    bb_conn_start(conn, fd, listener);
}

/* The worker with the fewest connections, as far as is known here. */
static unsigned choose(const struct bb_worker *acceptor)
{
    const struct bb_shared *shared = acceptor->shared;
    unsigned best = 0;
    unsigned best_count = UINT32_MAX;
    for (unsigned i = 0; i < shared->worker_count; i++) {
        unsigned ended = atomic_load_explicit(&shared->workers[i].ended, memory_order_relaxed);
        unsigned count = acceptor->assigned[i] - ended;
        if (count < best_count) {
            best = i;
            best_count = count;
        }
    }
    return best;
}

static void assign(struct bb_worker *acceptor, int fd, struct bb_listener *listener)
{
    unsigned index = choose(acceptor);
    struct bb_worker *worker = &acceptor->shared->workers[index];
    acceptor->assigned[index]++;
    struct bb_message message = {.word = (uint64_t)fd, .pointer = listener};
    if (!bb_queue_push(&worker->handed, message)) {
        BB_COUNT(acceptor, refused, 1);
        acceptor->assigned[index]--;
        (void)close(fd);
        return;
    }
    if (worker != acceptor)
        bb_worker_wake(worker);
}

/* Those that waited for a session, as far as there are some. */
static void adopt_waiting(struct bb_worker *worker, bool stopping)
{
    const struct bb_listener *listener;
    int fd;
    while ((stopping || worker->free != NULL) &&
           bb_tlsconn_next(worker->tls, stopping, &fd, &listener)) {
        if (stopping) {
            refuse(worker, fd);
            continue;
        }
        bool room = bb_tlsconn_make_room(worker); /* for those that still wait */
        BB_ASSERT(room);
        adopt(worker, fd, listener);
    }
}

static void welcome(struct bb_worker *worker, int fd, const struct bb_listener *listener)
{
    if (!listener->tls || bb_tlsconn_make_room(worker))
        adopt(worker, fd, listener);
    else if (!bb_tlsconn_wait(worker->tls, fd, listener))
        refuse(worker, fd);
}

void bb_accept_handed(struct bb_worker *worker)
{
    bool stopping = bb_board_phase(&worker->shared->board) >= BB_PHASE_STOPPING;
    if (worker->tls != NULL)
        adopt_waiting(worker, stopping);
    struct bb_message message;
    while ((stopping || worker->free != NULL) && bb_queue_pop(&worker->handed, &message)) {
        if (stopping)
            refuse(worker, (int)message.word);
        else
            welcome(worker, (int)message.word, message.pointer);
    }
}

static void accepted(struct bb_event *event, int result, bool more)
{
    /* the events stand in one array of worker 0, whose thread this is */
    struct bb_accept *accept = BB_CONTAINER(event, struct bb_accept, event);
    struct bb_worker *worker = accept->worker;
    bool starved = result == -EMFILE || result == -ENFILE;
    if (result >= 0)
        assign(worker, result, accept->listener);
    else if (starved && accept->starved) /* none came back by itself */
        bb_slow_shed_useless(worker, bb_clock_ms());
    accept->starved = starved;
    accept->armed = more;
    if (!more)
        worker->accept_again_ms = bb_clock_ms() + (result >= 0 ? 0 : AGAIN_MS);
}

void bb_accept_arm(struct bb_worker *worker)
{
    struct bb_shared *shared = worker->shared;
    for (unsigned i = 0; i < shared->listener_count; i++) {
        struct bb_accept *accept = &worker->accepts[i];
        if (accept->armed || shared->listeners[i].fd < 0)
            continue;
        *accept = (struct bb_accept){.worker = worker,
                                     .listener = &shared->listeners[i],
                                     .armed = true,
                                     .starved = accept->starved,
                                     .event = {.done = accepted}};
        bb_ring_accept(worker->ring, accept->listener->fd, &accept->event);
    }
    worker->accept_again_ms = UINT64_MAX;
}

void bb_accept_disarm(struct bb_worker *worker)
{
    for (unsigned i = 0; i < worker->shared->listener_count; i++)
        if (worker->accepts[i].armed)
            bb_ring_cancel(worker->ring, &worker->accepts[i].event);
    worker->accept_again_ms = UINT64_MAX;
}
