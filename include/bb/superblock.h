/* SPDX-License-Identifier: Apache-2.0
 * The four superblock copies as one value: quorum, repair, update. Blocking, over bb_io; for
 * format, recovery and the offline tools (the running engine updates them with events of its own).
 *
 * The newest generation with two equal copies counts; a lone newer copy is a torn update. So an
 * update that was cut in its first pair is undone at the next start, one that reached the second
 * pair is completed. On a device that is larger than the store a flush stands between copies 1 and
 * 2, too: one of them always says where 3 and 4 are. Any thread; one at a time.
 */
#ifndef BB_SUPERBLOCK_H
#define BB_SUPERBLOCK_H

#include "bb/codec.h"
#include "bb/io.h"

struct bb_super_copies {
    struct bb_super super;                    /* the quorum's */
    int error[BB_SUPER_COPY_COUNT];           /* 0, or why that copy was not readable */
    bool differs[BB_SUPER_COPY_COUNT];        /* not equal to the quorum's bytes */
    uint64_t generation[BB_SUPER_COPY_COUNT]; /* of the readable ones */
    unsigned equal_count;
};

/* Reads all copies; where copies 3 and 4 are follows from the size that a head copy says, and from
 * the device's size if none can be read. In this order: 0 when two are equal and the device is at
 * least as large and has the logical sectors as at format; BB_ERR_GEOMETRY when it is not; a read
 * error when a copy could not be read; BB_ERR_VERSION when one is newer than this program;
 * BB_ERR_NOT_FORMATTED when there is no copy, or only what a cut format leaves behind (first
 * generation, no two equal); else BB_ERR_DAMAGED. ret_copies is filled in every case, super only
 * when two copies are equal. */
BB_MUST_USE int bb_super_load(struct bb_io *io, struct bb_super_copies *ret_copies);

/* Writes the quorum's bytes to the copies that differ, and flushes; nothing to do is fine. After 0
 * all four are equal. */
BB_MUST_USE int bb_super_heal(struct bb_io *io, struct bb_super_copies *copies);

/* Writes a new generation: copies 1-2, flush, 3-4, flush. All four must be equal beforehand (heal),
 * or wiped (format). super->generation is raised here. After an error the device decides: load. */
BB_MUST_USE int bb_super_write(struct bb_io *io, struct bb_super *super);

/* For a repair, when no two copies are equal: the newest readable one becomes copies->super and is
 * written to the other three places, its own untouched, and flushed. Only what speaks of a finished
 * change is ever written to a copy, so going forward with the newest is safe; that it is not too
 * old is the caller's to prove. choose only reads: BB_ERR_DAMAGED when none is readable,
 * BB_ERR_GEOMETRY as in load. */
BB_MUST_USE int bb_super_choose_newest(struct bb_io *io, struct bb_super_copies *copies);
BB_MUST_USE int bb_super_adopt(struct bb_io *io, struct bb_super_copies *copies);

/* Writes a new generation for a larger layout (bb_layout_grow, with more units), whose tail is
 * elsewhere. All four must be equal beforehand. Cut anywhere the store is what it was, or has grown
 * and the next start heals it. super becomes the new one. After an error: load. */
BB_MUST_USE int bb_super_grow(struct bb_io *io, struct bb_super *super,
                              const struct bb_layout *layout);

/* Zeroes all four places for a device of this size, and flushes. */
BB_MUST_USE int bb_super_wipe(struct bb_io *io);

#endif
