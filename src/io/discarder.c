/* SPDX-License-Identifier: Apache-2.0
 * The helper thread for discards (discarder.h). submit hands the range over by the semaphore, the
 * helper hands the result back by `done`, and then wakes the ring. */
#include "discarder.h"

#include <errno.h>

#define STACK_SIZE ((size_t)128 << 10)

static void *run(void *argument)
{
    struct bb_discarder *discarder = argument;
    (void)pthread_setname_np(pthread_self(), "bb-discard");
    for (;;) {
        while (sem_wait(&discarder->wanted) != 0)
            BB_ASSERT(errno == EINTR);
        if (discarder->size == 0)
            return NULL;
        discarder->result =
            bb_device_discard(discarder->device, discarder->offset, discarder->size);
        atomic_store_explicit(&discarder->done, true, memory_order_seq_cst);
        discarder->wake(discarder->context);
    }
}

int bb_discarder_start(struct bb_discarder *discarder, const struct bb_device *device,
                       void (*wake)(void *context), void *context)
{
    pthread_attr_t attributes;
    BB_ASSERT(!discarder->running);
    BB_ASSERT(device->discard_max > 0);
    discarder->device = device;
    discarder->wake = wake;
    discarder->context = context;
    discarder->request = NULL;
    atomic_init(&discarder->done, false);
    if (sem_init(&discarder->wanted, 0, 0) != 0)
        return -errno;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
        error = pthread_create(&discarder->thread, &attributes, run, discarder);
        (void)pthread_attr_destroy(&attributes);
    }
    if (error != 0)
        (void)sem_destroy(&discarder->wanted);
    discarder->running = error == 0;
    return -error;
}

void bb_discarder_stop(struct bb_discarder *discarder)
{
    if (!discarder->running)
        return;
    BB_ASSERT(discarder->request == NULL);
    discarder->size = 0;
    BB_ASSERT(sem_post(&discarder->wanted) == 0);
    BB_ASSERT(pthread_join(discarder->thread, NULL) == 0);
    (void)sem_destroy(&discarder->wanted);
    discarder->running = false;
}

void bb_discarder_submit(struct bb_discarder *discarder, struct bb_io_request *request)
{
    BB_ASSERT(discarder->running);
    BB_ASSERT(discarder->request == NULL);
    BB_ASSERT(request->size > 0);
    discarder->request = request;
    discarder->offset = request->offset;
    discarder->size = request->size;
    BB_ASSERT(sem_post(&discarder->wanted) == 0);
}

struct bb_io_request *bb_discarder_take(struct bb_discarder *discarder, int32_t *ret_result)
{
    struct bb_io_request *request = discarder->request;
    BB_ASSERT(request != NULL);
    BB_ASSERT(bb_discarder_is_done(discarder));
    atomic_store_explicit(&discarder->done, false, memory_order_relaxed);
    discarder->request = NULL;
    *ret_result = discarder->result;
    return request;
}
