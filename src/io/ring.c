/* SPDX-License-Identifier: Apache-2.0
 * The loop of a ring and its socket operations (ring.h). Owner: the thread that opened it; only
 * bb_ring_wake is for others.
 *
 * Parking: the owner says that it will sleep (parked), looks for work once more, sleeps. A producer
 * publishes, then takes parked. Every change of parked is a read-modify-write, so all stand in one
 * order and each sees what came before it: either the producer's is first and the owner finds the
 * work, or the owner's is and the producer finds it parked. (No fences: TSan does not know them.)
 */
#include "bb/bits.h"
#include "bb/clock.h"
#include "bb/err.h"
#include "ring_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Out of kernel memory for requests: nothing to do but wait for it. */
static void pause_1_ms(void)
{
    struct timespec time = {.tv_nsec = 1000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static bool is_passing(int error)
{
    return error == -EAGAIN || error == -EBUSY || error == -EINTR || error == -ETIME;
}

struct io_uring_sqe *bb_ring_get_sqe(struct bb_ring *ring)
{
    struct io_uring_sqe *sqe;
    BB_ASSERT(pthread_equal(pthread_self(), ring->owner));
    while (!(sqe = io_uring_get_sqe(&ring->uring))) {
        int result = io_uring_submit(&ring->uring);
        ring->stats.enters++;
        BB_ASSERT(result >= 0 || is_passing(result));
        if (result <= 0)
            pause_1_ms();
    }
    ring->stats.sqes++;
    return sqe;
}

void bb_ring_set_tag(struct io_uring_sqe *sqe, const void *pointer, enum bb_ring_tag tag)
{
    BB_ASSERT(((uintptr_t)pointer & BB_TAG_MASK) == 0);
    io_uring_sqe_set_data64(sqe, (uintptr_t)pointer | tag);
}

void bb_ring_arm_wake(struct bb_ring *ring)
{
    struct io_uring_sqe *sqe = bb_ring_get_sqe(ring);
    ring->others_in_flight++;
    io_uring_prep_read(sqe, ring->wake_fd, &ring->wake_value, sizeof(ring->wake_value), 0);
    bb_ring_set_tag(sqe, NULL, BB_TAG_WAKE);
}

/* ---- Open ---- */

int bb_ring_open(const struct bb_ring_config *config, struct bb_ring **ret_ring,
                 const char **ret_reason)
{
    BB_ASSERT(bb_is_power_of_two(config->entries));
    struct bb_ring *ring = aligned_alloc(_Alignof(struct bb_ring), sizeof(*ring));
    if (!ring) {
        *ret_reason = "not enough memory for a ring";
        return BB_ERR_MEMORY;
    }
    memset(ring, 0, sizeof(*ring));
    ring->owner = pthread_self();
    int error = bb_ring_set_up(ring, config, ret_reason);
    if (error != 0)
        goto no_ring;
    *ret_reason = "not enough memory or open files for a ring";
    error = BB_ERR_MEMORY;
    BB_ASSERT(bb_is_power_of_two(ring->ready_size)); /* the kernel rounds up */
    ring->ready = calloc(ring->ready_size, sizeof(ring->ready[0]));
    if (!ring->ready)
        goto no_ready;
    /* Blocking on purpose: the ring waits for it, see bb_ring_accept. */
    ring->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (ring->wake_fd < 0)
        goto no_wake;
    if (config->device)
        bb_uring_init(ring, config);
    if (bb_uring_enable_discard(ring, config) != 0 || bb_ring_enable(ring) != 0)
        goto no_enable;
    bb_ring_arm_wake(ring);
    *ret_ring = ring;
    *ret_reason = NULL;
    return 0;

no_enable:
    bb_discarder_stop(&ring->discarder);
    close(ring->wake_fd);
no_wake:
    free(ring->ready);
no_ready:
    io_uring_queue_exit(&ring->uring);
no_ring:
    free(ring);
    return error;
}

struct bb_io *bb_ring_io(struct bb_ring *ring)
{
    return ring->device ? &ring->io : NULL;
}

const struct bb_ring_stats *bb_ring_get_stats(const struct bb_ring *ring)
{
    return &ring->stats;
}

/* ---- Sockets ---- */

static void queue_event(struct bb_ring *ring, struct bb_event *event, bool poll_first)
{
    struct io_uring_sqe *sqe = bb_ring_get_sqe(ring);
    ring->others_in_flight++;
    void *what = (void *)(uintptr_t)event->what; /* the kernel's interface has no const */
    switch ((enum bb_ring_op)event->op) {
    case BB_RING_ACCEPT:
        io_uring_prep_multishot_accept(sqe, event->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case BB_RING_RECV:
        io_uring_prep_recv(sqe, event->fd, what, event->size, 0);
        break;
    case BB_RING_SEND:
        io_uring_prep_sendmsg(sqe, event->fd, what, MSG_NOSIGNAL | MSG_WAITALL);
        break;
    }
    if (poll_first)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    bb_ring_set_tag(sqe, event, BB_TAG_EVENT);
}

static void begin_event(struct bb_ring *ring, struct bb_event *event, enum bb_ring_op op, int fd,
                        const void *what, size_t size)
{
    BB_ASSERT(event->done != NULL);
    event->op = (uint8_t)op;
    event->fd = fd;
    event->what = what;
    event->size = size;
    event->cancelled = false;
    queue_event(ring, event, false);
}

void bb_ring_accept(struct bb_ring *ring, int listen_fd, struct bb_event *event)
{
    begin_event(ring, event, BB_RING_ACCEPT, listen_fd, NULL, 0);
}

void bb_ring_recv(struct bb_ring *ring, int fd, void *buf, size_t size, struct bb_event *event)
{
    BB_ASSERT(size > 0); /* a result of 0 could not be told from the end */
    begin_event(ring, event, BB_RING_RECV, fd, buf, size);
}

void bb_ring_send(struct bb_ring *ring, int fd, const struct msghdr *message,
                  struct bb_event *event)
{
    begin_event(ring, event, BB_RING_SEND, fd, message, 0);
}

static void queue_cancel(struct bb_ring *ring, uint64_t user_data, unsigned flags)
{
    struct io_uring_sqe *sqe = bb_ring_get_sqe(ring);
    ring->others_in_flight++;
    io_uring_prep_cancel64(sqe, user_data, (int)flags);
    bb_ring_set_tag(sqe, NULL, BB_TAG_NONE);
}

void bb_ring_cancel(struct bb_ring *ring, struct bb_event *event)
{
    event->cancelled = true; /* an -EAGAIN that is already on its way must not be repeated */
    queue_cancel(ring, (uintptr_t)event | BB_TAG_EVENT, 0);
}

/* ---- The loop ---- */

static int event_done(struct bb_ring *ring, struct bb_event *event, int32_t result, uint32_t flags)
{
    bool retry = event->op != BB_RING_ACCEPT && (result == -EAGAIN || result == -EINTR);
    if (retry && !event->cancelled) {
        ring->stats.retries++;
        queue_event(ring, event, true);
        return 0;
    }
    event->done(event, retry ? -ECANCELED : result, (flags & IORING_CQE_F_MORE) != 0);
    return 1;
}

static int dispatch(struct bb_ring *ring, struct bb_ring_completion completion)
{
    void *pointer = (void *)(uintptr_t)(completion.user_data & ~(uint64_t)BB_TAG_MASK);
    switch ((enum bb_ring_tag)(completion.user_data & BB_TAG_MASK)) {
    case BB_TAG_EVENT:
        return event_done(ring, pointer, completion.result, completion.flags);
    case BB_TAG_REQUEST:
        return bb_uring_piece_done(ring, pointer, completion.result);
    case BB_TAG_WAKE:
        ring->stats.wakes++;
        bb_ring_arm_wake(ring);
        return 0;
    case BB_TAG_NONE:
        break;
    }
    return 0;
}

/* Submits without waiting; a system call only if there is something to do in the kernel. */
static int enter_now(struct bb_ring *ring)
{
    unsigned pending = __atomic_load_n(ring->uring.sq.kflags, __ATOMIC_RELAXED) &
                       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    if (io_uring_sq_ready(&ring->uring) == 0 && pending == 0)
        return 0;
    ring->stats.enters++;
    return io_uring_submit_and_get_events(&ring->uring);
}

static int enter_and_wait(struct bb_ring *ring, int wait_ms)
{
    struct io_uring_cqe *first;
    struct __kernel_timespec time = {.tv_sec = wait_ms / 1000,
                                     .tv_nsec = (long long)(wait_ms % 1000) * 1000000};
    ring->stats.enters++;
    return io_uring_submit_and_wait_timeout(&ring->uring, &first, 1, wait_ms < 0 ? NULL : &time,
                                            NULL);
}

static int enter(struct bb_ring *ring, int wait_ms, bool (*has_work)(void *context), void *context)
{
    int result;
    if (wait_ms != 0 && io_uring_cq_ready(&ring->uring) == 0) {
        atomic_exchange_explicit(&ring->parked, true, memory_order_acq_rel);
        bool work = (has_work && has_work(context)) || bb_discarder_is_done(&ring->discarder);
        result = work ? enter_now(ring) : enter_and_wait(ring, wait_ms);
        atomic_exchange_explicit(&ring->parked, false, memory_order_acq_rel);
    } else {
        result = enter_now(ring);
    }
    ring->pieces_queued = false;
    return result >= 0 || is_passing(result) ? 0 : result;
}

void bb_ring_submit(struct bb_ring *ring)
{
    BB_ASSERT(pthread_equal(pthread_self(), ring->owner));
    if (!ring->pieces_queued)
        return;
    ring->pieces_queued = false;
    ring->stats.enters++;
    (void)io_uring_submit(&ring->uring); /* what it did not take stays queued */
}

uint64_t bb_ring_now_us(const struct bb_ring *ring)
{
    return ring->now_us;
}

uint64_t bb_ring_tick_us(struct bb_ring *ring)
{
    ring->untimed = 0;
    ring->now_us = bb_clock_us();
    return ring->now_us;
}

/* What a commit waits for: everybody behind it waits as well, so it does not stand in line. */
static bool is_urgent(const struct io_uring_cqe *cqe)
{
    if ((cqe->user_data & BB_TAG_MASK) != BB_TAG_REQUEST)
        return false;
    const struct bb_io_request *request =
        (const void *)(uintptr_t)(cqe->user_data & ~(uint64_t)BB_TAG_MASK);
    return request->class == BB_IO_JOURNAL || request->class == BB_IO_BARRIER;
}

/* Copies out what has completed. What a done function submits or completes is for the next time. */
static void take(struct bb_ring *ring)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (ring->ready_end - ring->ready_first == ring->ready_size)
            break;
        if (!(cqe->flags & IORING_CQE_F_MORE) && (cqe->user_data & BB_TAG_MASK) != BB_TAG_REQUEST) {
            BB_ASSERT(ring->others_in_flight > 0);
            ring->others_in_flight--;
        }
        bool urgent = ring->urgent_count < BB_RING_URGENT_MAX && is_urgent(cqe);
        struct bb_ring_completion *to =
            urgent ? &ring->urgent[ring->urgent_count++]
                   : &ring->ready[ring->ready_end++ & (ring->ready_size - 1)];
        *to = (struct bb_ring_completion){
            .user_data = cqe->user_data, .result = cqe->res, .flags = cqe->flags};
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
    (void)bb_ring_tick_us(ring);
    ring->stats.cqes += count;
}

static bool nothing_ready(const struct bb_ring *ring)
{
    return ring->urgent_count == 0 && ring->ready_first == ring->ready_end;
}

int bb_ring_turn(struct bb_ring *ring, int wait_ms, bool (*has_work)(void *context), void *context)
{
    BB_ASSERT(pthread_equal(pthread_self(), ring->owner));
    int error = enter(ring, nothing_ready(ring) ? wait_ms : 0, has_work, context);
    if (error < 0)
        return error;
    take(ring);
    int run = 0;
    if (ring->urgent_count > 0) { /* alone, so that the turn goes on with what they lead to */
        while (ring->urgent_count > 0)
            run += dispatch(ring, ring->urgent[--ring->urgent_count]);
        return run;
    }
    while (ring->ready_first != ring->ready_end)
        run += dispatch(ring, ring->ready[ring->ready_first++ & (ring->ready_size - 1)]);
    if (bb_discarder_is_done(&ring->discarder))
        run += bb_uring_discarded(ring);
    return run;
}

void bb_ring_wake(struct bb_ring *ring)
{
    static const uint64_t one = 1;
    if (!atomic_exchange_explicit(&ring->parked, false, memory_order_acq_rel))
        return;
    ssize_t put = write(ring->wake_fd, &one, sizeof(one));
    BB_ASSERT(put == sizeof(one));
}

/* Closing the descriptor alone would leave it to a kernel thread to cancel, some time later, with
 * buffers that the owner frees now. So: cancel everything, and wait until nothing is left. */
void bb_ring_close(struct bb_ring *ring)
{
    BB_ASSERT(ring->io.in_flight == 0);
    BB_ASSERT(pthread_equal(pthread_self(), ring->owner));
    bb_discarder_stop(&ring->discarder);
    int error = 0;
    while (ring->others_in_flight > 0 && error == 0) {
        queue_cancel(ring, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        error = enter(ring, 100, NULL, NULL);
        take(ring);
        ring->ready_first = ring->ready_end;
    }
    /* The same for the reference to the device, which carries the claim on it. (A kernel worker may
     * keep its own for another moment: who opens next waits for it.) */
    if (ring->file_registered)
        (void)io_uring_unregister_files(&ring->uring);
    io_uring_queue_exit(&ring->uring);
    close(ring->wake_fd);
    free(ring->ready);
    free(ring);
}
