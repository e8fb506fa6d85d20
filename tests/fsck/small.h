/* SPDX-License-Identifier: Apache-2.0
 * A small store in which everything occurs, to be damaged somewhere: blocks of eight sizes in the
 * checkpoint, behind it, deleted before and behind it, marked, healed. And what must hold of it
 * however it was damaged:
 *
 *   a recovery, rebuild or repair ends, with a store or with a sentence;
 *   a store that opens serves no block that is not allowed, and every block that must be there;
 *   after --repair --accept-loss every block is there whose bytes are sound and that a sound
 *   descriptor or journal record names.
 *
 * One thread. A violation is printed with the case and counted.
 */
#ifndef SMALL_H
#define SMALL_H

#include "scene.h"

#define SMALL_SNAPSHOTS 2
#define SMALL_NAMED_MAX 8

/* Units [first, first + count) of the data device are not what they were. */
struct small_range {
    uint64_t first, count;
};

struct small {
    struct scribe *scribe;
    struct bb_sim *older[SMALL_SNAPSHOTS]; /* the data device as it was before */
    /* units whose loss takes away a name of the key: journal units behind the anchor */
    struct small_range records[SCRIBE_KEYS][SMALL_NAMED_MAX];
    unsigned record_count[SCRIBE_KEYS];
    const char *what; /* the case at hand, for whoever reads of a violation */
    uint64_t cases, violations, opened, refused, rebuilt, repaired, accepted, left;
};

void small_open(struct small *small, bool stopped);
void small_close(struct small *small);

/* All that must hold of the image, which is the caller's. sealed: some structure lies under a right
 * digest, so only that nothing crashes, hangs or goes without a sentence can be asked. */
void small_judge(struct small *small, const struct scene *image, const struct small_range *damaged,
                 bool sealed);

/* Names the case when the program crashes or one case takes longer than a minute. */
void small_watch(struct small *small);

#endif
