/* SPDX-License-Identifier: Apache-2.0
 * Memory taken once at start. After bb_arena_seal every further request is a programming error:
 * the data path allocates nothing. Owner: the starting thread until sealed, nobody afterwards.
 */
#ifndef BB_ARENA_H
#define BB_ARENA_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bb_arena {
    uint8_t *base; /* aligned to 2 MiB */
    size_t size;   /* bytes mapped */
    size_t used;
    bool sealed;
    bool huge; /* backed by MAP_HUGETLB */
};

/* Maps `size` bytes (rounded up to 2 MiB) of zeroed anonymous memory; pages are touched lazily
 * unless prefault. Tries huge pages first when `huge` is asked for, falls back to MADV_HUGEPAGE. */
BB_MUST_USE int bb_arena_open(size_t size, bool huge, bool prefault, struct bb_arena *ret_arena);
void bb_arena_close(struct bb_arena *arena);

/* Zeroed, aligned memory that lives as long as the arena. NULL when it does not fit. alignment is a
 * power of two. */
void *bb_arena_alloc(struct bb_arena *arena, size_t size, size_t alignment);
void bb_arena_seal(struct bb_arena *arena);

#endif
