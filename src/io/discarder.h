/* SPDX-License-Identifier: Apache-2.0
 * Discards for a ring: one thread that waits in the ioctl, because Linux 6.1 offers a ring nothing
 * that discards. fallocate with PUNCH_HOLE, which a ring can do, means "write zeros" to a block
 * device: NVMe without the deallocate bit writes them, SATA mostly refuses. With NO_HIDE_STALE it
 * would be a discard, but the kernel refuses that flag before the device sees it. (From Linux 6.12
 * on a ring command does it; one way is enough.)
 *
 * One discard at a time. The thread's file is the process's: a process that dies keeps its claim on
 * the device until the ioctl is over, so that nobody else writes there before.
 *
 * Owner: the ring's thread, for everything but `size` to `result` between submit and done, which
 * are the helper's.
 */
#ifndef BB_DISCARDER_H
#define BB_DISCARDER_H

#include "bb/device.h"
#include "bb/io.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

struct bb_discarder {
    const struct bb_device *device;
    void (*wake)(void *context); /* called by the helper when a discard is done */
    void *context;
    struct bb_io_request *request; /* NULL: idle */
    pthread_t thread;
    sem_t wanted;
    uint32_t size; /* bytes; 0: end */
    uint64_t offset;
    int32_t result;
    atomic_bool done;
    bool running;
};

/* 0 or -errno. */
BB_MUST_USE int bb_discarder_start(struct bb_discarder *discarder, const struct bb_device *device,
                                   void (*wake)(void *context), void *context);
/* Nothing may be in flight. One that was never started is fine. */
void bb_discarder_stop(struct bb_discarder *discarder);

/* No other discard may be in flight. */
void bb_discarder_submit(struct bb_discarder *discarder, struct bb_io_request *request);
static inline bool bb_discarder_is_done(const struct bb_discarder *discarder)
{
    return atomic_load_explicit(&discarder->done, memory_order_acquire);
}
/* After is_done: the request, which is nobody's now, and its result. */
struct bb_io_request *bb_discarder_take(struct bb_discarder *discarder, int32_t *ret_result);

#endif
