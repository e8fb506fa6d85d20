/* SPDX-License-Identifier: Apache-2.0
 * The worker's loop and what its connections share: buffers, the queue of hashes, messages.
 *
 * Order within a turn: the ring (completions step connections), the port and the controller where
 * it lives here, its messages, buffers for those who wait, the port, hashing last. So what a
 * completion leads to is submitted with the next turn of the ring, a flush leads to the next record
 * before the sends of its own replies (some hundred microseconds in the kernel), and hashing of
 * finished reads never keeps the device waiting for long.
 */
#include "bb/worker.h"

#include "bb/bits.h"
#include "bb/clock.h"
#include "tlsconn.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define SPARE 16u /* connection objects above the limit: those being ended */
#define SMALL_BUFFER ((size_t)64 << 10)
#define VERIFY_COUNT_MAX 16u                 /* finished reads hashed in one turn, */
#define VERIFY_BYTES_MAX ((size_t)512 << 10) /* until this many bytes */
#define RING_ENTRIES 1024u
#define DEVICE_IN_FLIGHT 112u /* of all workers: below the 128 requests of a usual queue */
#define CONTROL_IN_FLIGHT 16u
#define HANDED_MAX 1024u

/* ---- start and end ---- */

static int init_conns(struct bb_worker *worker, unsigned count)
{
    size_t size = count * sizeof(struct bb_conn);
    struct bb_conn *conns = bb_arena_alloc(&worker->arena, size, 64);
    if (conns == NULL)
        return -ENOMEM;
    uint8_t *areas = bb_arena_alloc(&worker->io_arena, count * BB_HTTP_HEAD_MAX, BB_UNIT_SIZE);
    BB_ASSERT(areas != NULL); /* the arena was measured for them */
    for (unsigned i = count; i > 0; i--) {
        struct bb_conn *conn = &conns[i - 1];
        int error = bb_conn_init(conn, worker, areas + (i - 1) * BB_HTTP_HEAD_MAX);
        if (error != 0)
            return error;
        conn->next = worker->free;
        worker->free = conn;
    }
    return 0;
}

int bb_worker_init(struct bb_worker *worker, struct bb_shared *shared, uint32_t index)
{
    const struct bb_budget *budget = &shared->budget;
    worker->shared = shared;
    worker->index = index;
    worker->link = bb_control_link(shared->control, index);
    worker->live_max = (unsigned)bb_div_ceil(budget->connections, budget->workers);
    worker->check_at_ms = UINT64_MAX;
    worker->accept_again_ms = index == 0 ? 0 : UINT64_MAX;
    unsigned conns = worker->live_max + SPARE;
    size_t size = conns * sizeof(struct bb_conn) + budget->io_per_worker / 64 + (4u << 20);
    int error = bb_arena_open(size, false, false, &worker->arena);
    if (error == 0)
        error = bb_arena_open(budget->io_per_worker + conns * BB_HTTP_HEAD_MAX, true, false,
                              &worker->io_arena);
    if (error == 0)
        error =
            bb_buffers_init(&worker->buffers, &worker->arena,
                            bb_arena_alloc(&worker->io_arena, budget->io_per_worker, BB_UNIT_SIZE),
                            budget->io_per_worker);
    if (error == 0)
        error = bb_queue_init(&worker->handed, &worker->arena, HANDED_MAX);
    if (error == 0)
        error = init_conns(worker, conns);
    if (error == 0 && budget->tls_connections > 0)
        error = bb_tlsconn_open_pool(
            (unsigned)bb_div_ceil(budget->tls_connections, budget->workers), &worker->tls);
    return error;
}

static bool send_to_control(void *context, struct bb_message message)
{
    struct bb_worker *worker = context;
    if (!bb_queue_push(&worker->link->to_control, message))
        return false;
    worker->wake_control = true;
    return true;
}

static int open_ring(struct bb_worker *worker)
{
    struct bb_shared *shared = worker->shared;
    bool controls = shared->controller_inline && worker->index == 0;
    struct bb_ring_config config = {
        .entries = RING_ENTRIES,
        .device = shared->data,
        .device_in_flight_max = DEVICE_IN_FLIGHT / shared->worker_count,
        .arena = worker->io_arena.base,
        .arena_size = worker->io_arena.size,
        .only_6_1 = shared->only_6_1,
    };
    if (controls) {
        config.device_in_flight_max += CONTROL_IN_FLIGHT;
        config.discards = true;
    }
    int error = bb_ring_open(&config, &worker->ring, &worker->start_reason);
    if (error != 0)
        return error;
    worker->buffers_registered = bb_ring_get_stats(worker->ring)->buffers_registered;
    struct bb_port_config port = {
        .index = worker->index,
        .io = bb_ring_io(worker->ring),
        .arena = &worker->arena,
        .context = worker,
        .send = send_to_control,
        .pending_max = 2 * (worker->live_max + SPARE) + 300,
    };
    error = bb_port_open(&port, &worker->port);
    if (error != 0)
        return error;
    bb_arena_seal(&worker->arena);
    if (controls)
        bb_control_attach(shared->control, worker->ring);
    atomic_store_explicit(&worker->link->ring, worker->ring, memory_order_release);
    return 0;
}

void bb_worker_wake(struct bb_worker *worker)
{
    struct bb_ring *ring = atomic_load_explicit(&worker->link->ring, memory_order_acquire);
    if (ring != NULL)
        bb_ring_wake(ring);
}

/* ---- buffers ---- */

static void enqueue(struct bb_conn_queue *queue, struct bb_conn *conn)
{
    conn->queue_next = NULL;
    if (queue->tail != NULL)
        queue->tail->queue_next = conn;
    else
        queue->head = conn;
    queue->tail = conn;
}

static struct bb_conn *dequeue(struct bb_conn_queue *queue)
{
    struct bb_conn *conn = queue->head;
    if (conn == NULL)
        return NULL;
    queue->head = conn->queue_next;
    if (queue->head == NULL)
        queue->tail = NULL;
    return conn;
}

static struct bb_conn_queue *queue_for(struct bb_worker *worker, size_t size)
{
    return size <= SMALL_BUFFER ? &worker->waiting_small : &worker->waiting_large;
}

bool bb_worker_want_buffer(struct bb_worker *worker, struct bb_conn *conn, size_t size)
{
    BB_ASSERT(conn->buf == NULL);
    struct bb_conn_queue *queue = queue_for(worker, size);
    conn->buf_size = size;
    if (queue->head == NULL)
        conn->buf = bb_buffers_get(&worker->buffers, size);
    if (conn->buf != NULL)
        return true;
    bb_conn_watch(conn, BB_CONN_BUFFER, BB_LIMIT(&worker->shared->limits, buffer_ms));
    worker->check_at_ms = bb_min_u64(worker->check_at_ms, bb_clock_ms() + 100);
    enqueue(queue, conn);
    return false;
}

void bb_worker_drop_buffer(struct bb_worker *worker, struct bb_conn *conn)
{
    BB_ASSERT(conn->buf != NULL);
    if (bb_conn_buffer_is_own(conn)) {
        conn->buf = NULL;
        return;
    }
    bb_buffers_put(&worker->buffers, conn->buf, conn->buf_size);
    conn->buf = NULL;
    worker->buffers_freed = true;
}

void bb_worker_forget_waiting(struct bb_worker *worker, struct bb_conn *conn)
{
    struct bb_conn_queue *queue = queue_for(worker, conn->buf_size);
    struct bb_conn *before = NULL;
    struct bb_conn *at = queue->head;
    for (; at != NULL && at != conn; at = at->queue_next)
        before = at;
    BB_ASSERT(at == conn);
    if (before != NULL)
        before->queue_next = conn->queue_next;
    else
        queue->head = conn->queue_next;
    if (queue->tail == conn)
        queue->tail = before;
    worker->buffers_freed = true; /* what was too little for it may be enough for the next */
}

static void serve_queue(struct bb_worker *worker, struct bb_conn_queue *queue)
{
    while (queue->head != NULL) {
        void *buffer = bb_buffers_get(&worker->buffers, queue->head->buf_size);
        if (buffer == NULL)
            return;
        struct bb_conn *conn = dequeue(queue);
        conn->buf = buffer;
        bb_conn_step(conn, 0);
    }
}

static void serve_waiting(struct bb_worker *worker)
{
    if (!worker->buffers_freed)
        return;
    worker->buffers_freed = false;
    serve_queue(worker, &worker->waiting_small);
    serve_queue(worker, &worker->waiting_large);
}

/* ---- hashing ---- */

void bb_worker_verify_later(struct bb_worker *worker, struct bb_conn *conn)
{
    bb_conn_enter(conn, BB_CONN_VERIFY);
    conn->deadline_ms = UINT64_MAX;
    enqueue(&worker->unverified, conn);
}

static void verify_some(struct bb_worker *worker)
{
    size_t bytes = 0;
    if (worker->unverified.head != NULL)
        (void)bb_ring_tick_us(worker->ring);
    for (unsigned i = 0; i < VERIFY_COUNT_MAX && bytes < VERIFY_BYTES_MAX; i++) {
        struct bb_conn *conn = dequeue(&worker->unverified);
        if (conn == NULL)
            return;
        bytes += conn->buf_size;
        bb_conn_step(conn, 0);
    }
}

/* ---- messages ---- */

bool bb_worker_ask_status(struct bb_worker *worker, struct bb_status_request *request)
{
    return send_to_control(worker, (struct bb_message){.word = BB_MSG_STATUS, .pointer = request});
}

static void status_arrived(struct bb_status_request *request)
{
    struct bb_conn *conn = request->owner;
    BB_ASSERT(conn->request_busy);
    conn->request_busy = false;
    bb_conn_step(conn, 0);
}

static void take_messages(struct bb_worker *worker)
{
    struct bb_message message;
    while (bb_queue_pop(&worker->link->to_worker, &message)) {
        if ((message.word & 15) == BB_MSG_STATUS)
            status_arrived(message.pointer);
        else
            bb_port_message(worker->port, message);
    }
}

static bool has_work(void *context)
{
    struct bb_worker *worker = context;
    const struct bb_shared *shared = worker->shared;
    if (!bb_queue_is_empty(&worker->link->to_worker))
        return true;
    if (worker->free != NULL && !bb_queue_is_empty(&worker->handed))
        return true;
    if (bb_board_phase(&shared->board) != worker->phase_seen)
        return true;
    if (atomic_load(&shared->board.beat) != atomic_load(&worker->beat))
        return true;
    return shared->controller_inline && worker->index == 0 && bb_control_has_work(shared->control);
}

/* ---- the loop ---- */

void bb_worker_conn_ended(struct bb_worker *worker, struct bb_conn *conn)
{
    if (conn->previous != NULL)
        conn->previous->next = conn->next;
    else
        worker->live = conn->next;
    if (conn->next != NULL)
        conn->next->previous = conn->previous;
    conn->next = worker->free;
    worker->free = conn;
    BB_ASSERT(worker->live_count > 0);
    worker->live_count--;
    atomic_store_explicit(&worker->open, worker->live_count, memory_order_release);
    atomic_fetch_add_explicit(&worker->ended, 1, memory_order_relaxed);
}

const char *bb_worker_date(struct bb_worker *worker)
{
    time_t now = time(NULL);
    if (now != worker->date_second) {
        struct tm utc;
        (void)gmtime_r(&now, &utc); /* fails only for years that do not fit an int */
        size_t len =
            strftime(worker->date, sizeof(worker->date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
        BB_ASSERT(len == 29);
        worker->date_second = now;
    }
    return worker->date;
}

static void see_phase(struct bb_worker *worker)
{
    enum bb_phase phase = bb_board_phase(&worker->shared->board);
    if (phase == worker->phase_seen && phase < BB_PHASE_STOPPING)
        return;
    if (phase == BB_PHASE_DRAINING)
        bb_slow_end_all(worker, true);
    if (phase >= BB_PHASE_STOPPING) {
        if (worker->phase_seen < BB_PHASE_STOPPING && worker->index == 0)
            bb_accept_disarm(worker);
        bb_slow_end_all(worker, false);
    }
    worker->phase_seen = phase;
}

static void publish_ring_stats(struct bb_worker *worker)
{
    const struct bb_ring_stats *stats = bb_ring_get_stats(worker->ring);
    atomic_store_explicit(&worker->counters.enters, stats->enters, memory_order_relaxed);
    atomic_store_explicit(&worker->counters.sqes, stats->sqes, memory_order_relaxed);
    atomic_store_explicit(&worker->counters.cqes, stats->cqes, memory_order_relaxed);
    atomic_store_explicit(&worker->counters.wakes, stats->wakes, memory_order_relaxed);
    atomic_store_explicit(&worker->counters.retries, stats->retries, memory_order_relaxed);
    atomic_store_explicit(&worker->counters.device_in_flight, bb_ring_io(worker->ring)->in_flight,
                          memory_order_relaxed);
}

static int smaller_wait(int a, int b)
{
    if (a < 0)
        return b;
    return b < 0 || a < b ? a : b;
}

static void wake_control(struct bb_worker *worker, bool controls)
{
    if (worker->wake_control && !controls)
        bb_control_wake(worker->shared->control);
    worker->wake_control = false;
}

/* Everything of a turn but the ring. Milliseconds the ring may wait. */
static int turn(struct bb_worker *worker)
{
    struct bb_shared *shared = worker->shared;
    bool controls = shared->controller_inline && worker->index == 0;
    int control_wait = -1;
    /* everything of the turn before this one is done with */
    atomic_store(&worker->beat, atomic_load(&shared->board.beat));
    if (worker->tls != NULL)
        bb_tlsconn_turn(worker->tls);
    bb_accept_handed(worker);
    if (controls) {
        (void)bb_port_turn(worker->port);
        control_wait = bb_control_turn(shared->control, bb_clock_ms());
        bb_ring_submit(worker->ring); /* a record, before the replies of the last one */
    }
    take_messages(worker);
    serve_waiting(worker);
    bool held = bb_port_turn(worker->port); /* last: who has got a buffer asks it for room */
    atomic_store_explicit(&worker->link->data_writes, bb_ring_io(worker->ring)->data_writes,
                          memory_order_relaxed);
    wake_control(worker, controls);
    if (worker->unverified.head != NULL)
        bb_ring_submit(worker->ring);
    verify_some(worker);
    wake_control(worker, controls);

    uint64_t now_ms = bb_clock_ms();
    see_phase(worker);
    bb_slow_check(worker, now_ms);
    if (worker->accept_again_ms <= now_ms && worker->phase_seen < BB_PHASE_STOPPING)
        bb_accept_arm(worker);
    publish_ring_stats(worker);
    if (worker->unverified.head != NULL || worker->buffers_freed)
        return 0;
    if (worker->tls != NULL && bb_tlsconn_has_work(worker))
        return 0;
    int wait_ms = smaller_wait(control_wait, bb_slow_wait(worker, now_ms));
    if (held)
        wait_ms = smaller_wait(wait_ms, 1);
    if (worker->accept_again_ms != UINT64_MAX || worker->phase_seen == BB_PHASE_STOPPING)
        wait_ms = smaller_wait(wait_ms, 50);
    return wait_ms;
}

static void *worker_main(void *argument)
{
    struct bb_worker *worker = argument;
    char name[16];
    (void)snprintf(name, sizeof(name), "bb-worker-%u", worker->index);
    (void)pthread_setname_np(pthread_self(), name); /* for top and perf */
    worker->start_error = open_ring(worker);
    bool failed = worker->start_error != 0;
    BB_ASSERT(sem_post(worker->started) == 0);
    if (failed)
        return NULL;
    int wait_ms = 0;
    while (bb_board_phase(&worker->shared->board) != BB_PHASE_LEAVING) {
        int result = bb_ring_turn(worker->ring, wait_ms, has_work, worker);
        if (result < 0) { /* nothing can be sent or received any more */
            worker->shared->on_fatal(worker->shared->context, result, "the ring of a worker");
            break;
        }
        wait_ms = turn(worker);
    }
    /* another thread may still want to wake this one */
    (void)pthread_barrier_wait(&worker->shared->leaving);
    bb_ring_close(worker->ring);
    return NULL;
}

int bb_worker_start(struct bb_worker *worker, sem_t *started)
{
    worker->started = started;
    return -pthread_create(&worker->thread, NULL, worker_main, worker);
}

void bb_worker_join(struct bb_worker *worker)
{
    BB_ASSERT(pthread_join(worker->thread, NULL) == 0);
}

void bb_worker_fini(struct bb_worker *worker)
{
    for (struct bb_conn *conn = worker->free; conn != NULL; conn = conn->next)
        bb_conn_fini(conn);
    bb_tlsconn_close_pool(worker->tls);
    bb_arena_close(&worker->io_arena);
    bb_arena_close(&worker->arena);
}
