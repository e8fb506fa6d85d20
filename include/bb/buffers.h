/* SPDX-License-Identifier: Apache-2.0
 * Fixed pool of I/O buffers: 4 KiB aligned, powers of two from 4 KiB to 1 MiB, cut from one region
 * that is registered with the ring. Buddy allocation inside (buddy.h). Owner: one worker.
 *
 * A fifth of the region is kept for buffers of at most 64 KiB, so that large bodies cannot starve
 * small requests: a larger one is only handed out while a fifth stays free after it.
 */
#ifndef BB_BUFFERS_H
#define BB_BUFFERS_H

#include "bb/arena.h"
#include "bb/buddy.h"

struct bb_buffers {
    struct bb_buddy *buddy;
    uint8_t *base;
    size_t size;
    uint64_t small_reserve_units;
};

/* Region of `size` bytes (multiple of 1 MiB, at least 2 MiB) at `base` (4096 aligned). The
 * bookkeeping comes from the arena. */
BB_MUST_USE int bb_buffers_init(struct bb_buffers *buffers, struct bb_arena *arena, void *base,
                                size_t size);
/* Buffer of at least `size` bytes (0 counts as 1), rounded up to a power of two of units; NULL when
 * the pool is empty for that size. */
void *bb_buffers_get(struct bb_buffers *buffers, size_t size);
/* Gives back what get returned for the same size. */
void bb_buffers_put(struct bb_buffers *buffers, void *buffer, size_t size);

#endif
