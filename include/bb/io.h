/* SPDX-License-Identifier: Apache-2.0
 * Block I/O on the data device as the engine sees it: submit, poll, completion. Three back ends
 * with the same contract: uring (production), sync (pread/pwrite/fdatasync), sim (in memory, with a
 * volatile cache, faults and power cuts).
 *
 * One struct bb_io belongs to one thread. A request belongs to the back end from submit until its
 * done function is called; its buffer must not change meanwhile. done is called only from inside
 * bb_io_poll, never from submit, and may submit again.
 */
#ifndef BB_IO_H
#define BB_IO_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bb_io_op {
    BB_IO_READ = 1,
    BB_IO_WRITE = 2,
    BB_IO_FLUSH = 3,
    /* The bytes are wanted no more: until they are written again they may be the old ones, zeros or
     * anything, and others at each look. -EOPNOTSUPP where it is impossible. */
    BB_IO_DISCARD = 4,
    BB_IO_OP_COUNT
};

/* What a request is for; lets the simulator and fault tests aim. Does not change what happens. */
enum bb_io_class {
    BB_IO_DATA,
    BB_IO_JOURNAL,
    BB_IO_DESCRIPTOR,
    BB_IO_SUPER,
    BB_IO_BARRIER, /* flushes */
    BB_IO_CLASS_COUNT
};

struct bb_io_request {
    enum bb_io_op op;
    enum bb_io_class class;
    uint64_t offset; /* bytes, multiple of 4096 */
    void *buf;       /* aligned to 4096; NULL for a flush or discard */
    uint32_t size;   /* bytes, multiple of 4096; 0 for a flush */
    int32_t result;  /* 0, or a negative error. Short reads and writes are BB_ERR_SHORT_IO */
    void (*done)(struct bb_io_request *request);
    struct bb_io_request *next; /* back end's and, outside of flight, the owner's */
    uint32_t pieces_left;       /* back end's */
    uint64_t since_us;          /* back end's, for its measurements */
};

struct bb_io;

struct bb_io_ops {
    void (*submit)(struct bb_io *io, struct bb_io_request *request);
    int (*poll)(struct bb_io *io, bool wait);
};

struct bb_io {
    const struct bb_io_ops *ops;
    uint64_t device_size; /* bytes */
    uint32_t logical_sector;
    uint32_t physical_sector;
    uint32_t discard_granularity; /* bytes: what begins or ends between multiples of it is kept */
    uint64_t discard_max;         /* bytes that a discard should have at most; 0: impossible here */
    uint32_t in_flight;           /* submitted and not done */
    uint32_t data_writes;         /* of these, writes of class BB_IO_DATA */
};

/* Queues a request; it reaches the device at the latest in the next poll. */
void bb_io_submit(struct bb_io *io, struct bb_io_request *request);

/* Sends what is queued and runs the done functions of what has completed. With wait it blocks until
 * at least one ran (returns at once when nothing is in flight). Number run, or a negative error of
 * the back end itself. */
int bb_io_poll(struct bb_io *io, bool wait);

/* Fills a request; done is called with it. */
void bb_io_prepare(struct bb_io_request *request, enum bb_io_op op, enum bb_io_class class,
                   uint64_t offset, void *buf, uint32_t size, void (*done)(struct bb_io_request *));

/* For back ends: the request is over; counts it out and runs done, after which the request is the
 * owner's again. */
void bb_io_finish(struct bb_io *io, struct bb_io_request *request, int32_t result);

/* Blocking helpers for start-up and the offline tools: submit one request and poll until it is done
 * (others that complete meanwhile run as usual). 0 or a negative error. */
BB_MUST_USE int bb_io_read(struct bb_io *io, enum bb_io_class class, uint64_t offset, void *buf,
                           uint32_t size);
BB_MUST_USE int bb_io_write(struct bb_io *io, enum bb_io_class class, uint64_t offset,
                            const void *buf, uint32_t size);
BB_MUST_USE int bb_io_flush(struct bb_io *io);
BB_MUST_USE int bb_io_discard(struct bb_io *io, enum bb_io_class class, uint64_t offset,
                              uint32_t size);

#endif
