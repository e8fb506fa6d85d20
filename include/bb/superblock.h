/* SPDX-License-Identifier: Apache-2.0
 * The four superblock copies as one value: quorum, repair, update. Blocking, over bb_io; for format,
 * recovery and the offline tools (the running engine updates them with events, see superwrite.h).
 *
 * The newest generation with two equal copies counts; a lone newer copy is a torn update.
 */
#ifndef BB_SUPERBLOCK_H
#define BB_SUPERBLOCK_H

#include "bb/codec.h"
#include "bb/io.h"

struct bb_super_copies {
    struct bb_super super;                       /* the quorum's */
    int error[BB_SUPER_COPY_COUNT];              /* 0, or why that copy was not readable */
    bool differs[BB_SUPER_COPY_COUNT];           /* not equal to the quorum's bytes */
    uint64_t generation[BB_SUPER_COPY_COUNT];    /* of the readable ones */
    unsigned equal_count;
};

/* Reads all copies. BB_ERR_NOT_FORMATTED when no copy is a superblock, BB_ERR_DAMAGED when no two are
 * equal, BB_ERR_GEOMETRY when the device is not as large as at format, BB_ERR_VERSION. */
BB_MUST_USE int bb_super_load(struct bb_io *io, struct bb_super_copies *ret_copies);

/* Writes the quorum's bytes to the copies that differ, and flushes; nothing to do is fine. */
BB_MUST_USE int bb_super_heal(struct bb_io *io, struct bb_super_copies *copies);

/* Writes a new generation: copies 1-2, flush, 3-4, flush. All four must be equal beforehand (heal).
 * super->generation is raised here. */
BB_MUST_USE int bb_super_write(struct bb_io *io, struct bb_super *super);

#endif
