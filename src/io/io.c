/* SPDX-License-Identifier: Apache-2.0
 * What all back ends of block I/O share: the checks at submit, the count of requests in flight and
 * the blocking helpers. Owner: the thread of the struct bb_io.
 *
 * A blocking helper keeps its request on the stack. That is safe because a back end whose poll
 * fails has let go of its requests: it is dead (sim) or the process is about to end (uring).
 */
#include "bb/io.h"

#include "bb/bits.h"
#include "bb/err.h"

struct blocking {
    struct bb_io_request request;
    bool done;
};

void bb_io_prepare(struct bb_io_request *request, enum bb_io_op op, enum bb_io_class class,
                   uint64_t offset, void *buf, uint32_t size, void (*done)(struct bb_io_request *))
{
    BB_ASSERT(done != NULL);
    *request = (struct bb_io_request){
        .op = op, .class = class, .offset = offset, .buf = buf, .size = size, .done = done};
}

static bool is_data_write(const struct bb_io_request *request)
{
    return request->op == BB_IO_WRITE && request->class == BB_IO_DATA;
}

void bb_io_submit(struct bb_io *io, struct bb_io_request *request)
{
    BB_ASSERT(request->op >= BB_IO_READ);
    BB_ASSERT(request->op < BB_IO_OP_COUNT);
    BB_ASSERT((unsigned)request->class < BB_IO_CLASS_COUNT);
    BB_ASSERT(request->done != NULL);
    if (request->op == BB_IO_FLUSH) {
        BB_ASSERT(request->size == 0);
    } else {
        BB_ASSERT(request->size > 0);
        BB_ASSERT(bb_is_aligned(request->size, 4096));
        BB_ASSERT(bb_is_aligned(request->offset, 4096));
        BB_ASSERT(bb_is_aligned((uintptr_t)request->buf, 4096));
        BB_ASSERT((request->buf == NULL) == (request->op == BB_IO_DISCARD));
        BB_ASSERT(request->size <= io->device_size);
        BB_ASSERT(request->offset <= io->device_size - request->size);
    }
    request->result = 0;
    request->next = NULL;
    request->pieces_left = 0;
    io->in_flight++;
    io->data_writes += is_data_write(request);
    io->ops->submit(io, request);
}

int bb_io_poll(struct bb_io *io, bool wait)
{
    return io->ops->poll(io, wait);
}

void bb_io_finish(struct bb_io *io, struct bb_io_request *request, int32_t result)
{
    BB_ASSERT(io->in_flight > 0);
    BB_ASSERT(result <= 0);
    io->in_flight--;
    io->data_writes -= is_data_write(request);
    request->result = result;
    request->done(request);
}

static void blocking_done(struct bb_io_request *request)
{
    BB_CONTAINER(request, struct blocking, request)->done = true;
}

static int run(struct bb_io *io, enum bb_io_op op, enum bb_io_class class, uint64_t offset,
               void *buf, uint32_t size)
{
    struct blocking blocking = {.done = false};
    bb_io_prepare(&blocking.request, op, class, offset, buf, size, blocking_done);
    bb_io_submit(io, &blocking.request);
    while (!blocking.done) {
        int result = bb_io_poll(io, true);
        if (result < 0 && !blocking.done)
            return result;
    }
    return blocking.request.result;
}

int bb_io_read(struct bb_io *io, enum bb_io_class class, uint64_t offset, void *buf, uint32_t size)
{
    return run(io, BB_IO_READ, class, offset, buf, size);
}

int bb_io_write(struct bb_io *io, enum bb_io_class class, uint64_t offset, const void *buf,
                uint32_t size)
{
    /* A write only reads from its buffer; the request has one field for both directions. */
    return run(io, BB_IO_WRITE, class, offset, (void *)(uintptr_t)buf, size);
}

int bb_io_discard(struct bb_io *io, enum bb_io_class class, uint64_t offset, uint32_t size)
{
    return run(io, BB_IO_DISCARD, class, offset, NULL, size);
}

int bb_io_flush(struct bb_io *io)
{
    return run(io, BB_IO_FLUSH, BB_IO_BARRIER, 0, NULL, 0);
}
