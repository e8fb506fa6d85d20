/* SPDX-License-Identifier: Apache-2.0
 * How --memory is divided. Pure arithmetic; the parts together never exceed the whole.
 *
 *   1/4    the engine's delta and checkpoint
 *   1/8    pages that LMDB dirties in one slice (one leaf page for each key)
 *   ...    the map of free space, one bit per unit; connections, those with TLS; queues
 *   rest   I/O buffers, split over the workers
 */
#ifndef BB_BUDGET_H
#define BB_BUDGET_H

#include "bb/assert.h"

#include <stddef.h>
#include <stdint.h>

#define BB_BUDGET_DELTA_SHARE 4u /* one part in so many is the delta's */
#define BB_MEMORY_MIN ((uint64_t)24 << 20)
#define BB_MEMORY_DEFAULT_MAX ((uint64_t)256 << 20)
/* On top of --memory: stacks, libraries, LMDB's own tables. */
#define BB_MEMORY_EXTRA ((uint64_t)16 << 20)

struct bb_budget {
    uint64_t memory;
    size_t delta;             /* bytes */
    size_t buddy;             /* bytes */
    size_t io_per_worker;     /* bytes, multiple of 1 MiB, at least 2 MiB */
    unsigned workers;         /* not more than asked for */
    unsigned connections;     /* over all workers */
    unsigned tls_connections; /* of these, with TLS; 0: none */
    uint32_t slice_max;       /* keys in one index transaction */
};

struct bb_budget_need {
    uint64_t memory;  /* bytes */
    uint64_t limit;   /* bytes that the process may have in all; 0: as many as there are */
    size_t buddy;     /* bytes of the map of free space */
    unsigned workers; /* wanted */
    unsigned connections;
    size_t connection_cost; /* bytes for each */
    unsigned tls_connections;
    size_t tls_cost; /* bytes for each of these on top */
};

/* 1/32 of the machine's memory, within BB_MEMORY_MIN and BB_MEMORY_DEFAULT_MAX. */
uint64_t bb_budget_default_memory(uint64_t machine_memory);

/* BB_ERR_MEMORY with a sentence when it cannot be done; *ret_sentence is at least 200 bytes. */
BB_MUST_USE int bb_budget_make(const struct bb_budget_need *need, struct bb_budget *ret_budget,
                               char *ret_sentence, size_t sentence_size);

#endif
