/* SPDX-License-Identifier: Apache-2.0
 * Power cuts at every event of a running rig: what is not flushed is lost, kept or torn in many
 * ways, and each image is started, started again, and rebuilt without its index.
 *
 * An event is a request submitted to the device (before it is queued), a fold of the index and a
 * reply. The
 * image is made from clones, so the rig goes on undisturbed and one run of a script sees all its
 * cuts. An image is checked once: it is known by the writes in it, the fold of the index and what
 * the oracle allows.
 *
 * What must hold: recovery succeeds; index and bytes are as the oracle allows; no extents overlap;
 * count and set hash agree; a second start finds the same and has nothing to do; a rebuild of the
 * image without its index gives the same blocks at the same units with the same marks, and so does
 * a rebuild after the recovery. For some images: the engine serves and goes on; recovery and
 * rebuild are cut at each of their own requests and folds; an older copy of the index is refused,
 * or leads to the same blocks.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include "rig.h"

struct explore_counts {
    uint64_t events, images, duplicates; /* duplicates: not checked again */
    uint64_t starts, rebuilds, engines, nested, dropped, kills;
    uint64_t copies, refused; /* starts with an older copy of the index, those that were refused */
};

struct explorer {
    struct rig *rig;
    struct rig crash; /* what is started from an image */
    bool on;
    bool muted; /* whatever `on` says: the step is not wanted, or something was found already */
    unsigned random_images; /* per event, beside the systematic ones */
    unsigned engine_every;  /* each n-th image also runs the engine */
    unsigned nested_every;  /* each n-th image is cut again in recovery and rebuild */
    bool nested_due;
    unsigned copy_every; /* each n-th image is also started with an older copy of the index */
    struct memindex *copy;
    uint32_t late_record; /* polls by which the next journal write is late, 0: as it comes */
    bool lose_record;     /* canary: the newest durable record is missing from every image */
    struct bb_random random;
    uint64_t life;     /* identity of the image that the rig was started from */
    uint64_t complete; /* sum over all writes of this life */
    uint64_t folds, replies;
    uint64_t *seen;
    size_t seen_mask, seen_count;
    struct explore_counts counts;
    uint64_t violations;
};

/* The rig is open and not running. One explorer at a time. */
void explore_open(struct explorer *explorer, struct rig *rig);
void explore_close(struct explorer *explorer);

/* Ends the rig's life with a power cut of random choice; the next rig_start goes on from there. */
void explore_crash(struct explorer *explorer);
/* To be called after a clean stop, before the next start. */
void explore_new_life(struct explorer *explorer);

#endif
