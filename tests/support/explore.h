/* SPDX-License-Identifier: Apache-2.0
 * Power cuts at every event of a running rig: what is not flushed is lost, kept or torn in many
 * ways, and each image is started, started again, checked by bbfsck and rebuilt without its index.
 *
 * An event is a write or flush submitted to the data device (before it is queued), a fold of the
 * index (with LMDB: each of its writes and flushes, before it happens) and a reply. The image is
 * made from clones, so the rig goes on undisturbed and one run of a script sees all its cuts. An
 * image is one thing by the digests of both devices: it counts and is checked once. When the same
 * bytes come again and the oracle allows something else, they are started again and compared.
 *
 * What must hold: recovery succeeds; index and bytes are as the oracle allows; no extents overlap
 * and the allocator is their complement; count and set hash agree; bbfsck finds no error, before
 * and after; a second start finds the same and has nothing to do; a rebuild of the image without
 * its index gives the same blocks at the same units with the same marks, and so does a rebuild
 * after the recovery. For some images: the engine serves and goes on; recovery and rebuild are cut
 * at each of their own requests, folds and writes of LMDB; an older copy of the index is refused,
 * or leads to the same blocks; a start that only reads shows the same and writes nothing. And for
 * each event: kill -9, a start, and a power cut behind it.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include "lmdbdev.h"
#include "rig.h"
#include "seen.h"

struct explore_counts {
    uint64_t events, images, duplicates; /* duplicates: not counted again */
    uint64_t starts, rebuilds, engines, nested, dropped, kills, checks; /* checks: by bbfsck */
    uint64_t copies, refused; /* starts with an older copy of the index, those that were refused */
    uint64_t readings;        /* starts that only read */
};

struct explorer {
    struct rig *rig;
    struct rig crash; /* what is started from an image */
    bool on;
    bool muted; /* whatever `on` says: the step is not wanted, or something was found already */
    unsigned all_up_to;     /* so many undurable writes: all their subsets, each of 5 fates */
    unsigned random_images; /* per event with more, beside the systematic ones */
    unsigned event_every;   /* each n-th event, by chance */
    unsigned engine_every;  /* each n-th image also runs the engine */
    unsigned nested_every;  /* each n-th image is cut again in recovery and rebuild */
    bool nested_due;
    unsigned copy_every;   /* each n-th image is also started with an older copy of the index */
    unsigned second_every; /* each n-th image is started twice and rebuilt */
    unsigned read_every;   /* each n-th image is also started to be read only */
    unsigned fsck_every;   /* each n-th image is checked before its start; each is after it */
    struct memindex *copy;
    uint32_t late_record; /* polls by which the next journal write is late, 0: as it comes */
    bool lose_record;     /* canary: the newest durable record is missing from every image */
    bool lose_page;       /* canary: so is the newest durable page of the index */
    struct bb_random random;
    uint64_t folds, replies;
    uint64_t life;     /* number of the image that the rig was started from */
    uint64_t complete; /* sum over all writes of this life */
    struct seen choices, images, answers, states, rebuilt;
    struct lmdbdev *live, *device; /* of the rig and of what is started; NULL: index in memory */
    struct explore_counts counts;
    uint64_t violations;
};

/* The rig is open and not running. One explorer at a time. */
void explore_open(struct explorer *explorer, struct rig *rig);
/* From here on the index is LMDB, beside the map in memory; before the first start. False: there is
 * no place for its file. */
bool explore_with_lmdb(struct explorer *explorer);
void explore_close(struct explorer *explorer);

/* A store that stands still, to go on from several times: what was seen and counted stays. */
struct explore_base {
    struct bb_sim *sim;
    struct memindex *mem;
    struct bb_image pages; /* of LMDB, if there is one */
    bool has_pages;
    uint8_t allowed[RIG_ID_MAX];
    struct bb_uuid index_uuid;
    uint64_t now_ms;
};
void explore_save(const struct explorer *explorer, struct explore_base *ret_base);
/* Everything by chance goes by the seed. The rig is dropped if it runs. */
void explore_restore(struct explorer *explorer, const struct explore_base *base, uint64_t seed);
void explore_base_drop(struct explore_base *base);

void explore_add_counts(const struct explore_counts *counts, struct explore_counts *sum);
/* One line for people. */
void explore_print_counts(const struct explore_counts *counts);
/* The last line of a program, as the ledger takes it. */
void explore_print_sum(const char *program, uint64_t first_seed, uint64_t last_seed,
                       const struct explore_counts *counts, uint64_t violations);

/* Ends the rig's life with a power cut of random choice; the next rig_start goes on from there. */
void explore_crash(struct explorer *explorer);
/* To be called after a clean stop, before the next start. */
void explore_new_life(struct explorer *explorer);

#endif
