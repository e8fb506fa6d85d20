/* SPDX-License-Identifier: Apache-2.0
 * The delta: in RAM, bounded, every item that the journal holds above the newest checkpoint, in the
 * order of the journal, and findable by hash.
 *
 * A ring of items addressed by ever-growing positions, [first, end). Each hash bucket holds the
 * position of its newest item and each item the position of the next older one in its bucket, so
 * chains descend and end at the first position below `first`: dropping what a checkpoint has folded
 * is one assignment (the idea is FASTER's hybrid log, SIGMOD 2018). Owner: the controller.
 */
#ifndef BB_DELTA_H
#define BB_DELTA_H

#include "bb/arena.h"
#include "bb/codec.h"

struct bb_delta_item {
    struct bb_hash hash;
    uint64_t sequence;
    uint64_t unit;
    uint64_t older; /* position of the next older item in the bucket */
    uint32_t size;
    uint8_t op; /* enum bb_item_op */
};

struct bb_delta {
    struct bb_delta_item *items;
    uint32_t *buckets; /* low 32 bits of positions */
    uint64_t first, end;
    uint32_t capacity;
    uint32_t bucket_mask;
};

/* For so many items; BB_ERR_MEMORY. */
BB_MUST_USE int bb_delta_init(struct bb_delta *delta, struct bb_arena *arena, uint32_t capacity);

static inline uint32_t bb_delta_count(const struct bb_delta *delta)
{
    return (uint32_t)(delta->end - delta->first);
}

/* The item at a position within [first, end). */
const struct bb_delta_item *bb_delta_at(const struct bb_delta *delta, uint64_t position);

/* Appends; sequences do not descend; there must be room. Returns its position. */
uint64_t bb_delta_append(struct bb_delta *delta, uint64_t sequence, const struct bb_item *item);

/* Newest item of `hash` with sequence <= up_to; NULL when the delta says nothing about it (then the
 * index decides). UINT64_MAX finds the newest of all. */
const struct bb_delta_item *bb_delta_find(const struct bb_delta *delta, const struct bb_hash *hash,
                                          uint64_t up_to);

/* Gives the item at `position`, which no record holds yet, the number of a later record. */
void bb_delta_renumber(struct bb_delta *delta, uint64_t position, uint64_t sequence);

/* Forgets everything below `position`. */
void bb_delta_drop(struct bb_delta *delta, uint64_t position);

#endif
