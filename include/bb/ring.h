/* SPDX-License-Identifier: Apache-2.0
 * One io_uring per thread, for its sockets and for the data device (a struct bb_io whose data
 * transfers use the registered file and the registered arena).
 *
 * Set-up: SINGLE_ISSUER | DEFER_TASKRUN | SUBMIT_ALL | CQSIZE, registered ring fd; flags the kernel
 * refuses are dropped one by one. No SQPOLL, no IOPOLL, no links, no IOSQE_ASYNC. Completions are
 * copied out first and dispatched afterwards, so a done function may submit freely.
 *
 * Owner: the thread that calls bb_ring_open; only bb_ring_wake may be called by others.
 */
#ifndef BB_RING_H
#define BB_RING_H

#include "bb/buckets.h"
#include "bb/device.h"
#include "bb/io.h"

#include <stdatomic.h>
#include <sys/socket.h>

struct bb_ring;

/* One pending socket operation. result is the CQE's res; more is true while a multishot operation
 * stays armed. The event must stay put until done ran with more == false. */
struct bb_event {
    void (*done)(struct bb_event *event, int result, bool more);
    /* The rest is the ring's, to repeat an operation that the kernel gave up with -EAGAIN, which it
     * does under CPU pressure although the socket would wait. done never sees that. */
    int fd;
    uint8_t op;
    bool cancelled;
    const void *what;
    size_t size;
};

struct bb_ring_config {
    unsigned entries;               /* submission entries, power of two */
    const struct bb_device *device; /* data device, may be NULL */
    unsigned
        device_in_flight_max; /* requests of this ring on the device; more wait in the back end */
    void *arena;              /* registered as fixed buffer 0; may be NULL */
    size_t arena_size;
    bool discards; /* BB_IO_DISCARD is served, one at a time, if the device can */
    bool only_6_1; /* use nothing that Linux 6.1 lacks (so far nothing newer is used anyway) */
};

/* Times of device requests, from the moment one is queued (by a clock that may be a few requests
 * behind) to that at which the turn that finds it done begins. */
enum bb_ring_timed {
    BB_RING_DATA_READ,
    BB_RING_DATA_WRITE,
    BB_RING_JOURNAL_WRITE,
    BB_RING_OTHER, /* descriptors, superblocks, reads at start-up */
    BB_RING_FLUSH,
    BB_RING_TIMED_COUNT
};

struct bb_ring_stats {
    uint64_t enters, sqes, cqes;
    uint64_t wakes;   /* times another thread woke this one */
    uint64_t retries; /* socket operations repeated after -EAGAIN */
    bool buffers_registered;
    bool restricted; /* the kernel refuses what we do not use */
    bool defer_taskrun;
    struct bb_buckets timed[BB_RING_TIMED_COUNT]; /* microseconds; any thread may read them */
};

/* 0; BB_ERR_KERNEL when io_uring is forbidden or too old, with *ret_reason (static text) naming the
 * cause and the cure. A refused registration of the arena (memlock) is not an error: plain reads
 * and writes are used and stats say so. */
BB_MUST_USE int bb_ring_open(const struct bb_ring_config *config, struct bb_ring **ret_ring,
                             const char **ret_reason);
/* No device request may be in flight. Socket operations are cancelled and waited for; their done
 * never runs. */
void bb_ring_close(struct bb_ring *ring);

/* The data device through this ring; NULL without one. bb_io_poll on it is a bb_ring_turn (with
 * wait: as many as it takes until something was dispatched). A request above the device's piece_max
 * goes out as several operations; it is done when all are, with the first error of any. */
struct bb_io *bb_ring_io(struct bb_ring *ring);

/* Multishot accept; re-arm when done reports more == false. Accepted sockets are close-on-exec. No
 * socket of a ring, this one included, should be O_NONBLOCK: the ring waits for it, and a kernel
 * may take the flag as the wish not to. */
void bb_ring_accept(struct bb_ring *ring, int listen_fd, struct bb_event *event);
/* One receive of at most `size` bytes; result 0 means the peer has finished. */
void bb_ring_recv(struct bb_ring *ring, int fd, void *buf, size_t size, struct bb_event *event);
/* One sendmsg; may be short. The msghdr and what it points to stay valid until done. */
void bb_ring_send(struct bb_ring *ring, int fd, const struct msghdr *message,
                  struct bb_event *event);
/* Asks the kernel to cancel what is pending on `event`; its done runs with -ECANCELED or with its
 * real result. */
void bb_ring_cancel(struct bb_ring *ring, struct bb_event *event);

/* One loop turn: submits everything queued, waits at most wait_ms for the first completion (0: not
 * at all, -1: for ever), dispatches all completions. Those of the journal and of flushes come alone
 * if there are any, and the others in the turn after: what they lead to, the next flush or record,
 * is what all others wait for. Before it blocks it marks the ring as parked and asks
 * has_work(context) once more; true means do not block. Number dispatched or an error. */
int bb_ring_turn(struct bb_ring *ring, int wait_ms, bool (*has_work)(void *context), void *context);

/* Sends requests of the device that are queued on their way now, with what was queued before them;
 * nothing when none is. The kernel holds those of one call back until it has gone through all of
 * it, and a send takes longer than anything else: who is about to queue sends, or to compute, does
 * this first. An error shows itself in the next turn. */
void bb_ring_submit(struct bb_ring *ring);

/* Makes the owner's turn return if it is parked, else does nothing. Any thread, after publishing
 * what the owner shall see. */
void bb_ring_wake(struct bb_ring *ring);

/* bb_clock_us when the completions of this turn were fetched, or at the last tick since: a clock
 * that costs nothing. tick reads the real one. */
uint64_t bb_ring_now_us(const struct bb_ring *ring);
uint64_t bb_ring_tick_us(struct bb_ring *ring);

const struct bb_ring_stats *bb_ring_get_stats(const struct bb_ring *ring);

#endif
