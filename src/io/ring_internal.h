/* SPDX-License-Identifier: Apache-2.0
 * What ring.c (loop, sockets), ring_setup.c (opening) and uring.c (the data device) share.
 *
 * user_data of an operation is a pointer with its kind in the low bits, which alignment leaves
 * free.
 */
#ifndef BB_RING_INTERNAL_H
#define BB_RING_INTERNAL_H

#include "bb/ring.h"
#include "discarder.h"

#include <liburing.h>
#include <pthread.h>

enum bb_ring_tag {
    BB_TAG_EVENT = 0,
    BB_TAG_REQUEST = 1, /* one piece of a struct bb_io_request */
    BB_TAG_WAKE = 2,    /* the read of the wake eventfd */
    BB_TAG_NONE = 3,    /* nobody waits for it */
    BB_TAG_MASK = 3
};

#define BB_RING_URGENT_MAX 8u

enum bb_ring_op { BB_RING_ACCEPT = 1, BB_RING_RECV, BB_RING_SEND };

struct bb_ring_completion {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};

struct bb_ring {
    struct io_uring uring;
    struct bb_io io; /* the data device */
    const struct bb_device *device;
    bool file_registered; /* the device is file 0 */
    uint8_t *arena;       /* NULL when not registered */
    size_t arena_size;
    uint32_t pieces_in_flight, pieces_max;
    bool pieces_queued;                                /* since the last call of the kernel */
    struct bb_io_request *waiting_head, *waiting_tail; /* behind the cap on pieces */

    /* Copied out of the ring, not yet dispatched: a FIFO over an array of a power of two, and in
     * front of it the few that commits wait for. */
    struct bb_ring_completion *ready, urgent[BB_RING_URGENT_MAX];
    unsigned ready_size, ready_first, ready_end, urgent_count;

    int wake_fd;
    uint64_t wake_value; /* where the read of the eventfd lands */
    pthread_t owner;
    uint32_t others_in_flight; /* operations that are not pieces of device requests */
    uint64_t now_us;           /* when the clock was read last */
    unsigned untimed;          /* data requests since */
    struct bb_ring_stats stats;
    struct bb_discarder discarder; /* started on a ring that discards */
    /* The owner sleeps, or is about to and will look for work once more. The only thing here that
     * other threads touch. */
    _Alignas(64) atomic_bool parked;
};

/* A free submission entry; submits what is queued to get one. */
struct io_uring_sqe *bb_ring_get_sqe(struct bb_ring *ring);
void bb_ring_set_tag(struct io_uring_sqe *sqe, const void *pointer, enum bb_ring_tag tag);
void bb_ring_arm_wake(struct bb_ring *ring);

/* io_uring_queue_init_params with what this kernel takes. */
int bb_ring_set_up(struct bb_ring *ring, const struct bb_ring_config *config,
                   const char **ret_reason);

/* After everything is registered: from here on the ring can do what we use and nothing else, so
 * that whoever gets to write into it cannot open files or connect (where the kernel allows to say
 * so). 0 or -errno. */
int bb_ring_enable(struct bb_ring *ring);

/* The block back end: called by open, and for each completed piece (number of requests that ended).
 */
void bb_uring_init(struct bb_ring *ring, const struct bb_ring_config *config);
int bb_uring_piece_done(struct bb_ring *ring, struct bb_io_request *request, int32_t result);
/* Starts the discarder where it was asked for and the device can. 0 or -errno. */
int bb_uring_enable_discard(struct bb_ring *ring, const struct bb_ring_config *config);
/* The discarder is done: ends its request. */
int bb_uring_discarded(struct bb_ring *ring);

#endif
