/* SPDX-License-Identifier: Apache-2.0
 * 256 units (1 MiB), one bit each, set = used: the piece of a device inside which buddies exist.
 *
 * A group of 2^order units that starts at a multiple of 2^order is free when all its bits are
 * clear, and maximal when the group of the next order around it is not free. The maximal free
 * groups are the free buddies of the textbook allocator; they are a pure function of the 256 bits
 * and are found here by folding words onto themselves, 64 units at a time.
 *
 * Private to src/alloc. Positions are units inside the chunk, 0..255; a range never leaves the
 * chunk.
 */
#ifndef BB_ALLOC_CHUNK_H
#define BB_ALLOC_CHUNK_H

#include "bb/buddy.h"

#define BB_CHUNK_UNITS 256u
#define BB_CHUNK_SHIFT 8
#define BB_CHUNK_WORDS 4u

struct bb_chunk {
    uint64_t used[BB_CHUNK_WORDS];
};

/* The lowest maximal free group of exactly this order, which must exist; *ret_more says whether the
 * chunk has another one. */
unsigned bb_chunk_first(const struct bb_chunk *chunk, unsigned order, bool *ret_more);

/* Bit k is set when the chunk has a maximal free group of order k. */
unsigned bb_chunk_orders(const struct bb_chunk *chunk);

/* Number of maximal free groups of each order. */
void bb_chunk_count(const struct bb_chunk *chunk, uint8_t ret_count[BB_ORDER_COUNT]);

/* Bits [first, first + count) of a word; count is 1..64. */
static inline uint64_t bb_chunk_mask(unsigned first, unsigned count)
{
    return (UINT64_MAX >> (64 - count)) << first;
}

/* How many of `count` units from `position` on share its word. */
static inline unsigned bb_chunk_span(unsigned position, unsigned count)
{
    unsigned room = 64 - position % 64;
    return count < room ? count : room;
}

static inline bool bb_chunk_all_used(const struct bb_chunk *chunk, unsigned position,
                                     unsigned count)
{
    BB_ASSERT(position + count <= BB_CHUNK_UNITS);
    while (count > 0) {
        unsigned span = bb_chunk_span(position, count);
        uint64_t mask = bb_chunk_mask(position % 64, span);
        if ((chunk->used[position / 64] & mask) != mask)
            return false;
        position += span;
        count -= span;
    }
    return true;
}

static inline bool bb_chunk_all_free(const struct bb_chunk *chunk, unsigned position,
                                     unsigned count)
{
    BB_ASSERT(position + count <= BB_CHUNK_UNITS);
    while (count > 0) {
        unsigned span = bb_chunk_span(position, count);
        if ((chunk->used[position / 64] & bb_chunk_mask(position % 64, span)) != 0)
            return false;
        position += span;
        count -= span;
    }
    return true;
}

static inline void bb_chunk_set(struct bb_chunk *chunk, unsigned position, unsigned count)
{
    BB_ASSERT(position + count <= BB_CHUNK_UNITS);
    while (count > 0) {
        unsigned span = bb_chunk_span(position, count);
        chunk->used[position / 64] |= bb_chunk_mask(position % 64, span);
        position += span;
        count -= span;
    }
}

static inline void bb_chunk_clear(struct bb_chunk *chunk, unsigned position, unsigned count)
{
    BB_ASSERT(position + count <= BB_CHUNK_UNITS);
    while (count > 0) {
        unsigned span = bb_chunk_span(position, count);
        chunk->used[position / 64] &= ~bb_chunk_mask(position % 64, span);
        position += span;
        count -= span;
    }
}

#endif
