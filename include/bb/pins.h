/* SPDX-License-Identifier: Apache-2.0
 * Extents that somebody is reading. An extent whose DELETE is durable while it is pinned becomes
 * free with the last unpin. Owner: the controller.
 */
#ifndef BB_PINS_H
#define BB_PINS_H

#include "bb/arena.h"

struct bb_pin {
    uint64_t unit;       /* first unit; 0 marks an empty slot (unit 0 is never data) */
    uint32_t count;      /* readers */
    uint32_t free_units; /* to free with the last unpin; 0: the block is live */
};

struct bb_pins {
    struct bb_pin *slots; /* open addressing, linear probing */
    uint32_t mask;
    uint32_t used;
};

/* Room for `max` different extents. */
BB_MUST_USE int bb_pins_init(struct bb_pins *pins, struct bb_arena *arena, uint32_t max);

void bb_pins_add(struct bb_pins *pins, uint64_t unit);
/* One reader less. Units to free now: 0 unless it was the last one of a deleted block. */
BB_MUST_USE uint32_t bb_pins_remove(struct bb_pins *pins, uint64_t unit);
/* The block at `unit` is durably deleted. True: pinned, its `units` go with the last unpin. */
BB_MUST_USE bool bb_pins_defer_free(struct bb_pins *pins, uint64_t unit, uint32_t units);

#endif
