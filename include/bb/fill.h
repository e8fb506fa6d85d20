/* SPDX-License-Identifier: Apache-2.0
 * Allocation is derived, never stored: the allocator of a starting store is filled from the index,
 * every live extent claimed once, while count and set hash are recomputed on the way.
 */
#ifndef BB_FILL_H
#define BB_FILL_H

#include "bb/buddy.h"
#include "bb/index.h"
#include "bb/recover.h"

/* What was counted on the way. */
struct bb_filled {
    struct bb_set set;
    uint64_t bytes; /* of all blocks, without the padding of their last units */
};

/* Adds the open zones to `buddy` and claims every extent of the index. BB_ERR_OVERLAP, with both
 * hashes named in ret_explain where the second can be found, or BB_ERR_DAMAGED for an extent
 * outside the open zones. Runs on any one thread; buddy belongs to it until it returns. */
BB_MUST_USE int bb_fill(const struct bb_index *index, const struct bb_super *super,
                        struct bb_buddy *buddy, struct bb_filled *ret_filled,
                        struct bb_explain *ret_explain);

#endif
