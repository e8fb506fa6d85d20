/* SPDX-License-Identifier: Apache-2.0
 * Block I/O by system calls that block. Owner: the thread that calls bb_syncio_init.
 *
 * A poll runs the requests that were queued when it began; what their done functions submit waits
 * for the next poll, so that a poll ends. The queue is popped one by one: a done function may poll.
 */
#include "bb/syncio.h"

#include "bb/err.h"

#include <errno.h>
#include <unistd.h>

static void submit(struct bb_io *io, struct bb_io_request *request)
{
    struct bb_syncio *sync = BB_CONTAINER(io, struct bb_syncio, io);
    BB_ASSERT((sync->head == NULL) == (sync->tail == NULL));
    if (sync->tail)
        sync->tail->next = request;
    else
        sync->head = request;
    sync->tail = request;
}

static ssize_t transfer(int fd, const struct bb_io_request *request)
{
    off_t offset = (off_t)request->offset;
    if (request->op == BB_IO_READ)
        return pread(fd, request->buf, request->size, offset);
    return pwrite(fd, request->buf, request->size, offset);
}

static int32_t execute(const struct bb_device *device, const struct bb_io_request *request)
{
    int fd = device->fd;
    if (request->op == BB_IO_FLUSH)
        return fdatasync(fd) == 0 ? 0 : -errno;
    if (request->op == BB_IO_DISCARD)
        return bb_device_discard(device, request->offset, request->size);
    ssize_t moved;
    do
        moved = transfer(fd, request);
    while (moved < 0 && errno == EINTR);
    if (moved < 0)
        return bb_device_error(device, -errno);
    return moved == (ssize_t)request->size ? 0 : BB_ERR_SHORT_IO;
}

static int poll(struct bb_io *io, bool wait)
{
    struct bb_syncio *sync = BB_CONTAINER(io, struct bb_syncio, io);
    int run = 0;
    (void)wait; /* every poll runs to the end of what is queued */
    for (uint32_t left = io->in_flight; left > 0 && sync->head; left--) {
        struct bb_io_request *request = sync->head;
        sync->head = request->next;
        if (!sync->head)
            sync->tail = NULL;
        request->next = NULL;
        bb_io_finish(io, request, execute(sync->device, request));
        run++;
    }
    return run;
}

static const struct bb_io_ops sync_ops = {.submit = submit, .poll = poll};

void bb_syncio_init(struct bb_syncio *sync, const struct bb_device *device)
{
    BB_ASSERT(device->fd >= 0);
    BB_ASSERT(device->size > 0);
    *sync = (struct bb_syncio){
        .io = {.ops = &sync_ops,
               .device_size = device->size,
               .logical_sector = device->logical_sector,
               .physical_sector = device->physical_sector,
               .discard_granularity = device->discard_granularity,
               .discard_max = device->discard_max},
        .device = device,
    };
}
