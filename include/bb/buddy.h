/* SPDX-License-Identifier: Apache-2.0
 * Buddy allocator over the data units of the open zones. Pure RAM, no I/O, no clock.
 *
 * Orders 0..8: 4 KiB to 1 MiB, aligned to their size. The only truth is one bit per unit; the buddy
 * of an order is derived (an aligned group is free when all its bits are), so freeing any run of
 * units coalesces by itself (Knowlton 1965, "A fast storage allocator", with the free lists
 * replaced by per-order summary bitmaps over 1 MiB chunks). Cost of allocate and free is bounded
 * and does not depend on the size of the device.
 *
 * Allocation state is never stored on disk: at start bb_buddy_claim is called for every live
 * extent. Owner: one thread at a time (the scan at start, then the controller).
 */
#ifndef BB_BUDDY_H
#define BB_BUDDY_H

#include "bb/assert.h"
#include "bb/bits.h"

#include <stddef.h>

#define BB_ORDER_COUNT 9
#define BB_ORDER_MAX 8

struct bb_buddy;

/* Bytes of memory for a device of zone_count zones of at most zone_units data units each; the pages
 * of a zone are touched only when it is added. */
size_t bb_buddy_memory(uint32_t zone_count, uint64_t zone_units);

/* Lays the allocator out in `memory` (64-byte aligned, zero filled, bb_buddy_memory bytes, owned by
 * the caller and outliving the allocator). No zone is open yet. */
struct bb_buddy *bb_buddy_init(void *memory, size_t memory_size, uint32_t zone_count,
                               uint64_t zone_units);

/* Opens the next zone: units [first_unit, first_unit + unit_count), all free. first_unit is a
 * multiple of 256 and above every unit added before. */
void bb_buddy_add_zone(struct bb_buddy *buddy, uint64_t first_unit, uint64_t unit_count);

/* Takes one extent of 2^order units: from the smallest order that has a free one, at the lowest
 * address. -ENOSPC when there is none; then the largest free order is below `order`. */
BB_MUST_USE int bb_buddy_allocate(struct bb_buddy *buddy, unsigned order, uint64_t *ret_unit);

/* Takes up to `count` extents of 2^order units that follow each other on the device (a run: the
 * block layer merges their writes). At least one or -ENOSPC; *ret_count says how many. Prefers one
 * free buddy of order + log2(count), falls back to smaller runs. count is 1..256. */
BB_MUST_USE int bb_buddy_allocate_run(struct bb_buddy *buddy, unsigned order, unsigned count,
                                      uint64_t *ret_unit, unsigned *ret_count);

/* Marks [unit, unit + count) as used; count 1..256, within one zone. -EEXIST when one of them is
 * used already (then nothing changed), -ERANGE when the count is another or the range is not inside
 * one open zone. Until bb_buddy_ready it only sets bits, so a scan of millions costs one cache miss
 * each. */
BB_MUST_USE int bb_buddy_claim(struct bb_buddy *buddy, uint64_t unit, uint64_t count);

/* Ends the start-up: recomputes the summaries that the claims left behind (about 50 us per zone).
 * The first allocate, allocate_run or free does it if the caller has not; until then
 * bb_buddy_free_count and bb_buddy_largest_order do not know of claims. */
void bb_buddy_ready(struct bb_buddy *buddy);

/* Gives [unit, unit + count) back; any run of used units of one zone, not only what was allocated
 * together. -EINVAL when one of them is free already (double free; nothing changed), -ERANGE when
 * the range is empty or not inside one open zone. */
BB_MUST_USE int bb_buddy_free(struct bb_buddy *buddy, uint64_t unit, uint64_t count);

uint64_t bb_buddy_free_units(const struct bb_buddy *buddy);
uint64_t bb_buddy_total_units(const struct bb_buddy *buddy);

/* Free buddies of an order that are not part of a larger free buddy. */
uint64_t bb_buddy_free_count(const struct bb_buddy *buddy, unsigned order);

/* Largest order with a free extent, -1 when full. */
int bb_buddy_largest_order(const struct bb_buddy *buddy);

/* How full an open zone is. The price is one cache line for each 64 chunks. */
struct bb_buddy_zone {
    uint64_t units, free_units;
    uint32_t chunk_count;
    uint32_t free_chunks; /* those of whole 1 MiB that are free; none is known before ready */
};
uint32_t bb_buddy_zone_count(const struct bb_buddy *buddy);
struct bb_buddy_zone bb_buddy_zone(const struct bb_buddy *buddy, uint32_t zone);

/* And a chunk of it. */
struct bb_buddy_chunk {
    uint16_t units, free_units;
    int8_t largest_order; /* of a free extent; -1: it is full */
};
struct bb_buddy_chunk bb_buddy_chunk(const struct bb_buddy *buddy, uint32_t zone, uint32_t chunk);

/* The first run of free units in a chunk at or behind `position` (units in the chunk): its length,
 * 0 when there is none, and its position. A handful of words is looked at. */
uint32_t bb_buddy_free_run(const struct bb_buddy *buddy, uint32_t zone, uint32_t chunk,
                           uint32_t position, uint32_t *ret_position);

/* Whether every unit of [unit, unit + count) is used; for checks. */
bool bb_buddy_is_used(const struct bb_buddy *buddy, uint64_t unit, uint64_t count);

/* Recomputes every summary from the bits and asserts equality. Slow; tests and debug only. */
void bb_buddy_verify(const struct bb_buddy *buddy);

#endif
