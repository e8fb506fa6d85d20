/* SPDX-License-Identifier: Apache-2.0
 * A worker: one thread, one ring, its connections, its I/O buffers, its side of the store. Worker 0
 * also accepts; it hands each new connection to the worker that has the fewest. Where there are few
 * cores worker 0 runs the controller inside its loop.
 *
 * A loop turn: submit and wait; completions run the connections; messages of the controller;
 * the controller's turn if it lives here; waiting connections get freed buffers; the hashes of
 * finished reads, a few of them; deadlines. Nothing in a turn blocks but the ring.
 *
 * Owner of struct bb_worker: its thread, except for what is atomic.
 */
#ifndef BB_WORKER_H
#define BB_WORKER_H

#include "bb/budget.h"
#include "bb/buffers.h"
#include "bb/conn.h"
#include "bb/control.h"
#include "bb/counters.h"
#include "bb/gate.h"
#include "bb/limits.h"
#include "bb/listen.h"
#include "bb/port.h"
#include "bb/recover.h"
#include "bb/tls.h"

#include <pthread.h>
#include <semaphore.h>

#define BB_WORKER_MAX 64

/* What all workers share; constant after the threads have started, except for what is atomic. */
struct bb_shared {
    struct bb_board board;
    struct bb_gate gate;
    struct bb_limits limits;
    _Atomic(const char *) settings_page; /* JSON; as gate.tokens, replaced with care */
    _Atomic(struct ssl_ctx_st *) tls;    /* for new connections; replaced likewise */
    struct bb_budget budget;
    const struct bb_device *data;
    const struct bb_device *index;
    struct bb_control *control;
    bool controller_inline;
    bool only_6_1;
    bool buffers_registered; /* by every worker; known after the start */
    struct bb_listener *listeners;
    unsigned listener_count;
    struct bb_worker *workers;
    unsigned worker_count;
    /* Any thread: nothing can go on; the process must end. Sets board.fatal. */
    void (*on_fatal)(void *context, int error, const char *what);
    void *context;
    pthread_barrier_t leaving; /* workers, controller, main: nobody wakes anybody any more */
    _Atomic(const struct bb_recovered *) recovered; /* set when recovery has ended */
    _Atomic uint64_t recovery_ms, fill_ms;
};

/* First in, first out, of connections. */
struct bb_conn_queue {
    struct bb_conn *head, *tail;
};

/* A listener on worker 0's ring. */
struct bb_accept {
    struct bb_event event;
    struct bb_worker *worker;
    struct bb_listener *listener;
    bool armed;
    bool starved; /* the last one failed for want of descriptors */
};

/* A connection that is to be ended, if it still waits for what it waited for then. */
struct bb_victim {
    struct bb_conn *conn;
    uint64_t since_ms, blame;
};
#define BB_VICTIM_MAX 16u

/* A setting that a reload may change. */
#define BB_CONN_LIMIT(conn, name) BB_LIMIT(&(conn)->worker->shared->limits, name)

struct bb_worker {
    struct bb_shared *shared;
    uint32_t index;
    pthread_t thread;
    struct bb_ring *ring;
    struct bb_port *port;
    struct bb_link *link;
    bool wake_control;
    struct bb_arena arena;    /* connections, port */
    struct bb_arena io_arena; /* registered: the I/O buffers, the areas of the connections */
    struct bb_tls_pool *tls;  /* sessions; NULL: no listener speaks TLS */
    struct bb_buffers buffers;
    bool buffers_freed; /* since the waiting ones were last served */

    struct bb_conn *live, *free; /* lists: in use, and not */
    unsigned live_count, live_max;
    struct bb_conn_queue waiting_small, waiting_large; /* for a buffer */
    struct bb_conn_queue unverified;                   /* read, not hashed yet */
    uint64_t check_at_ms;                              /* next look at the deadlines */
    struct bb_victim victims[BB_VICTIM_MAX];           /* chosen at victims_ms for newcomers */
    unsigned victim_next, victim_count;
    uint64_t victims_ms;
    enum bb_phase phase_seen;

    struct bb_queue handed; /* from worker 0, to itself too: descriptor, listener */
    struct bb_accept accepts[BB_LISTENER_MAX];
    unsigned assigned[BB_WORKER_MAX]; /* worker 0: connections given to each */
    uint64_t accept_again_ms;         /* when to arm the listeners again, UINT64_MAX: they are */

    time_t date_second;
    char date[32]; /* IMF-fixdate, terminated */

    unsigned log_turn; /* requests since the last one that was logged */

    struct bb_counters counters;
    _Atomic unsigned beat;    /* the board's, as this loop has last seen it */
    _Atomic unsigned ended;   /* connections that came in and are gone */
    _Atomic unsigned open;    /* connections now */
    _Atomic unsigned running; /* requests begun before draining and not answered yet */
    sem_t *started;           /* posted once by the thread */
    int start_error;
    const char *start_reason;
    bool buffers_registered; /* set before `started` is posted */
};

/* Before the threads: memory, connections, queues. shared->control and budget are set. */
BB_MUST_USE int bb_worker_init(struct bb_worker *worker, struct bb_shared *shared, uint32_t index);
/* Starts the thread; it posts `started` when its ring stands or start_error says why not. */
BB_MUST_USE int bb_worker_start(struct bb_worker *worker, sem_t *started);
/* After the board says LEAVING. */
void bb_worker_join(struct bb_worker *worker);
void bb_worker_fini(struct bb_worker *worker);
/* Makes it look at the board; any thread. */
void bb_worker_wake(struct bb_worker *worker);

/* ---- for the connections of this worker ---- */

/* A buffer for the connection: true and conn->buf is set, or false and it waits in state BUFFER,
 * to be stepped when it has one. */
BB_MUST_USE bool bb_worker_want_buffer(struct bb_worker *worker, struct bb_conn *conn, size_t size);
void bb_worker_drop_buffer(struct bb_worker *worker, struct bb_conn *conn);
/* It waits no longer. */
void bb_worker_forget_waiting(struct bb_worker *worker, struct bb_conn *conn);
/* conn->buf is to be hashed in the order of arrival, at the end of a loop turn. */
void bb_worker_verify_later(struct bb_worker *worker, struct bb_conn *conn);
/* Asks the controller for its status. False when the queue is full. */
BB_MUST_USE bool bb_worker_ask_status(struct bb_worker *worker, struct bb_status_request *request);
/* IMF-fixdate of now, 29 characters. */
const char *bb_worker_date(struct bb_worker *worker);
/* A connection object went back: the worker has one less. */
void bb_worker_conn_ended(struct bb_worker *worker, struct bb_conn *conn);

/* ---- accepting (accept.c) ---- */

/* Worker 0: arms the listeners that are not armed. */
void bb_accept_arm(struct bb_worker *worker);
void bb_accept_disarm(struct bb_worker *worker);
/* Takes over the connections handed to this worker. */
void bb_accept_handed(struct bb_worker *worker);

/* ---- deadlines (slow.c) ---- */

/* Milliseconds until the next look, -1 for never. */
int bb_slow_wait(const struct bb_worker *worker, uint64_t now_ms);
/* Ends what has run out of time; asks at most ten times per second. */
void bb_slow_check(struct bb_worker *worker, uint64_t now_ms);
/* Ends the connection that moves least for the time it takes, of those that wait for their client;
 * one that had an answer within the last seconds only if there is no other. False when there is
 * none. */
bool bb_slow_shed(struct bb_worker *worker, uint64_t now_ms);
/* The same among those with TLS. */
bool bb_slow_shed_tls(struct bb_worker *worker, uint64_t now_ms);
/* Descriptors are short: ends a few of those that had no answer for some seconds and had time for
 * one. */
void bb_slow_shed_useless(struct bb_worker *worker, uint64_t now_ms);
/* Ends all connections that wait for their client; stop. `idle_only`: those without a request. */
void bb_slow_end_all(struct bb_worker *worker, bool idle_only);

#endif
