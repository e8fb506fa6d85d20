/* SPDX-License-Identifier: Apache-2.0
 * The blocks that the server acknowledged and that were not deleted since: what a read must find.
 *
 * 48 bytes per block, in a mapping that doubles with mremap(2), which moves page tables, not bytes.
 * Belongs to one thread.
 */
#ifndef BB_BENCH_ACKED_H
#define BB_BENCH_ACKED_H

#include "bb/assert.h"
#include "bb/hash.h"

#include <stddef.h>
#include <stdint.h>

/* Name and recipe: counter and size regenerate the body (body.h). */
struct bb_acked_block {
    struct bb_hash hash;
    uint64_t counter;
    uint32_t size;
    uint32_t reserved;
};
BB_STATIC_ASSERT(sizeof(struct bb_acked_block) == 48);

struct bb_acked {
    struct bb_acked_block *blocks;
    size_t count;
    size_t room;
};

BB_MUST_USE int bb_acked_open(struct bb_acked *acked);
void bb_acked_close(struct bb_acked *acked);
/* -ENOMEM when the table cannot grow; the block is then not remembered. */
BB_MUST_USE int bb_acked_add(struct bb_acked *acked, const struct bb_acked_block *block);
/* index < count; the last block takes the place of the removed one. */
void bb_acked_remove(struct bb_acked *acked, size_t index);

#endif
