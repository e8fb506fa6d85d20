/* SPDX-License-Identifier: Apache-2.0
 * The data device through a ring: the `uring` back end of io.h. Owner: the ring's thread.
 *
 *   submit --> waiting (FIFO, while pieces_max is reached) --> pieces in the ring --> done
 *
 * A request above the device's piece_max goes out in pieces, all at once: one that the block layer
 * had to split would be handed to a kernel thread. While pieces are out, `result` is the sum of the
 * bytes so far, or the first error. A request larger than pieces_max alone goes out when nothing
 * else is. Nothing is retried: a failed write leaves its extent to the engine's quarantine.
 */
#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"
#include "ring_internal.h"

#include <errno.h>

#define FIXED_BUFFER_MAX ((size_t)1 << 30) /* the kernel's limit per registered buffer */
#define FIXED_BUFFER_COUNT 64
#define UNTIMED_MAX 4u

static uint32_t piece_count(const struct bb_ring *ring, const struct bb_io_request *request)
{
    if (request->op == BB_IO_FLUSH)
        return 1;
    return (uint32_t)bb_div_ceil(request->size, ring->device->piece_max);
}

/* Index of the registered buffer that holds all of it, or -1. */
static int find_fixed(const struct bb_ring *ring, const uint8_t *buf, size_t size)
{
    if (!ring->arena || buf < ring->arena || size > ring->arena_size ||
        (size_t)(buf - ring->arena) > ring->arena_size - size)
        return -1;
    size_t first = (size_t)(buf - ring->arena) / FIXED_BUFFER_MAX;
    size_t last = ((size_t)(buf - ring->arena) + size - 1) / FIXED_BUFFER_MAX;
    return first == last ? (int)first : -1;
}

static void queue_piece(struct bb_ring *ring, struct bb_io_request *request, uint32_t from,
                        uint32_t size)
{
    struct io_uring_sqe *sqe = bb_ring_get_sqe(ring);
    int fd = ring->file_registered ? 0 : ring->device->fd;
    uint8_t *buf = request->buf == NULL ? NULL : (uint8_t *)request->buf + from; /* a flush */
    uint64_t offset = request->offset + from;
    int fixed = request->op == BB_IO_FLUSH ? -1 : find_fixed(ring, buf, size);
    if (request->op == BB_IO_FLUSH)
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    else if (request->op == BB_IO_READ && fixed >= 0)
        io_uring_prep_read_fixed(sqe, fd, buf, size, offset, fixed);
    else if (request->op == BB_IO_READ)
        io_uring_prep_read(sqe, fd, buf, size, offset);
    else if (fixed >= 0)
        io_uring_prep_write_fixed(sqe, fd, buf, size, offset, fixed);
    else
        io_uring_prep_write(sqe, fd, buf, size, offset);
    if (ring->file_registered)
        sqe->flags |= IOSQE_FIXED_FILE;
    bb_ring_set_tag(sqe, request, BB_TAG_REQUEST);
    ring->pieces_queued = true;
}

static void start(struct bb_ring *ring, struct bb_io_request *request)
{
    request->result = 0;
    /* Reading a clock costs as much as all else here, and there are many requests for data. */
    bool often = request->class == BB_IO_DATA && ++ring->untimed < UNTIMED_MAX;
    request->since_us = often ? ring->now_us : bb_ring_tick_us(ring);
    request->pieces_left = piece_count(ring, request);
    ring->pieces_in_flight += request->pieces_left;
    if (request->op == BB_IO_FLUSH) {
        queue_piece(ring, request, 0, 0);
        return;
    }
    uint32_t piece_max = ring->device->piece_max;
    for (uint32_t from = 0; from < request->size; from += piece_max)
        queue_piece(ring, request, from, (uint32_t)bb_min_u64(piece_max, request->size - from));
}

static bool has_room(const struct bb_ring *ring, const struct bb_io_request *request)
{
    return ring->pieces_in_flight == 0 ||
           ring->pieces_in_flight + piece_count(ring, request) <= ring->pieces_max;
}

static void submit(struct bb_io *io, struct bb_io_request *request)
{
    struct bb_ring *ring = BB_CONTAINER(io, struct bb_ring, io);
    BB_ASSERT(pthread_equal(pthread_self(), ring->owner));
    if (request->op == BB_IO_DISCARD) {
        bb_discarder_submit(&ring->discarder, request);
        return;
    }
    BB_ASSERT(request->size <= INT32_MAX); /* the sum of the pieces is kept in `result` */
    if (!ring->waiting_head && has_room(ring, request)) {
        start(ring, request);
        return;
    }
    if (ring->waiting_head)
        ring->waiting_tail->next = request;
    else
        ring->waiting_head = request;
    ring->waiting_tail = request;
}

static void start_waiting(struct bb_ring *ring)
{
    while (ring->waiting_head && has_room(ring, ring->waiting_head)) {
        struct bb_io_request *request = ring->waiting_head;
        ring->waiting_head = request->next;
        request->next = NULL;
        start(ring, request);
    }
}

static enum bb_ring_timed kind_of(const struct bb_io_request *request)
{
    if (request->op == BB_IO_FLUSH)
        return BB_RING_FLUSH;
    if (request->class == BB_IO_DATA)
        return request->op == BB_IO_READ ? BB_RING_DATA_READ : BB_RING_DATA_WRITE;
    if (request->class == BB_IO_JOURNAL && request->op == BB_IO_WRITE)
        return BB_RING_JOURNAL_WRITE;
    return BB_RING_OTHER;
}

static void measure(struct bb_ring *ring, const struct bb_io_request *request)
{
    uint64_t now_us = ring->now_us; /* a request of this very turn may seem to be from later */
    bb_buckets_add(&ring->stats.timed[kind_of(request)],
                   now_us > request->since_us ? now_us - request->since_us : 0);
}

int bb_uring_piece_done(struct bb_ring *ring, struct bb_io_request *request, int32_t result)
{
    BB_ASSERT(ring->pieces_in_flight > 0);
    BB_ASSERT(request->pieces_left > 0);
    ring->pieces_in_flight--;
    if (request->result >= 0)
        request->result = result < 0 ? result : request->result + result;
    bool last = --request->pieces_left == 0;
    start_waiting(ring);
    if (!last && !(bb_planted(PIECES_IN_FLIGHT) && result <= 0))
        return 0;
    if (request->result >= 0)
        result = (uint32_t)request->result == request->size ? 0 : BB_ERR_SHORT_IO;
    else
        result = bb_device_error(ring->device, request->result);
    measure(ring, request);
    bb_io_finish(&ring->io, request, result);
    return 1;
}

int bb_uring_discarded(struct bb_ring *ring)
{
    int32_t result;
    struct bb_io_request *request = bb_discarder_take(&ring->discarder, &result);
    bb_io_finish(&ring->io, request, bb_device_error(ring->device, result));
    return 1;
}

static void wake(void *context)
{
    bb_ring_wake(context);
}

int bb_uring_enable_discard(struct bb_ring *ring, const struct bb_ring_config *config)
{
    if (!config->discards || !config->device || config->device->discard_max == 0)
        return 0;
    ring->io.discard_granularity = config->device->discard_granularity;
    ring->io.discard_max = config->device->discard_max;
    return bb_discarder_start(&ring->discarder, config->device, wake, ring);
}

static int poll(struct bb_io *io, bool wait)
{
    struct bb_ring *ring = BB_CONTAINER(io, struct bb_ring, io);
    int run;
    do
        run = bb_ring_turn(ring, wait && io->in_flight > 0 ? -1 : 0, NULL, NULL);
    while (run == 0 && wait && io->in_flight > 0);
    return run;
}

static const struct bb_io_ops uring_ops = {.submit = submit, .poll = poll};

/* The kernel may refuse (RLIMIT_MEMLOCK); then transfers map their pages each time, as without. */
static void register_arena(struct bb_ring *ring, uint8_t *arena, size_t size)
{
    struct iovec parts[FIXED_BUFFER_COUNT];
    size_t count = bb_div_ceil(size, FIXED_BUFFER_MAX);
    if (count == 0 || count > FIXED_BUFFER_COUNT)
        return;
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct iovec){
            .iov_base = arena + i * FIXED_BUFFER_MAX,
            .iov_len = bb_min_u64(FIXED_BUFFER_MAX, size - i * FIXED_BUFFER_MAX),
        };
    if (io_uring_register_buffers(&ring->uring, parts, (unsigned)count) != 0)
        return;
    ring->arena = arena;
    ring->arena_size = size;
    ring->stats.buffers_registered = true;
}

void bb_uring_init(struct bb_ring *ring, const struct bb_ring_config *config)
{
    const struct bb_device *device = config->device;
    BB_ASSERT(bb_is_power_of_two(device->piece_max));
    BB_ASSERT(config->device_in_flight_max > 0);
    ring->device = device;
    ring->pieces_max = config->device_in_flight_max;
    ring->io = (struct bb_io){.ops = &uring_ops,
                              .device_size = device->size,
                              .logical_sector = device->logical_sector,
                              .physical_sector = device->physical_sector};
    ring->file_registered = io_uring_register_files(&ring->uring, &device->fd, 1) == 0;
    if (config->arena)
        register_arena(ring, config->arena, config->arena_size);
}
