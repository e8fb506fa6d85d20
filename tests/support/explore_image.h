/* SPDX-License-Identifier: Apache-2.0
 * What the files of the explorer share (explore.h).
 *
 *   explore.c        events, and which images they give     explore_image.c  images
 *   explore_check.c  what must hold of an image             explore_nested.c cuts of recoveries
 *   explore_blank.c  cuts of a rebuild onto a blank device
 *   explore_read.c   the start that only reads
 */
#ifndef EXPLORE_IMAGE_H
#define EXPLORE_IMAGE_H

#include "explore.h"

/* Both devices as a crash left them. The index is the one or the other. */
struct image {
    struct bb_sim *sim;
    struct memindex *mem;  /* NULL: */
    struct bb_image pages; /* of LMDB's device */
};

void image_drop(struct image *image);
/* By the bytes of both devices; of the data device alone. */
uint64_t image_identity(const struct image *image);
uint64_t image_data_identity(const struct image *image);

/* What the crash rig is now, when nothing is on its way. */
void image_of_crash(const struct explorer *explorer, struct image *ret_image);
/* The crash rig becomes a copy. False: its index cannot be opened, a violation. */
bool crash_is(struct explorer *explorer, const struct image *image);
/* The power fails for the crash rig, in the middle of what it did, and comes back. how: 0 nothing
 * undurable is kept, 1 all, 2 any. */
bool crash_cut(struct explorer *explorer, unsigned how);
/* The same without a word when it cannot be opened: the error. */
int crash_load(struct explorer *explorer, struct bb_sim *sim, const struct bb_image *pages);
/* LMDB's file is closed; the crash rig needs crash_is before it is used again. */
void crash_close(struct explorer *explorer);

void complain(struct explorer *explorer, const char *what, int result);
/* Recovery of what `crash` is now; digest of the blocks. */
bool crash_start(struct explorer *explorer, const char *what, struct bb_hash *ret_content);
void same(struct explorer *explorer, const char *what, const struct bb_hash *wanted,
          const struct bb_hash *found);
/* The index is lost; crash is rebuilt, and now and then started. */
void crash_rebuild(struct explorer *explorer, const char *what, const struct bb_hash *wanted);

void check_image(struct explorer *explorer, const struct image *image);
/* The same bytes as before, other answers allowed. */
void check_answers(struct explorer *explorer, const struct image *image);
/* The process dies and the machine lives: what the next start finds in the cache, and may have
 * shown to somebody, is there after a power cut too. */
void check_kill(struct explorer *explorer);

/* The start of --read-only: the same blocks, and nothing is written. */
void check_read_only(struct explorer *explorer, const struct image *image,
                     const struct bb_hash *wanted);

void nested_recovery(struct explorer *explorer, const struct image *image,
                     const struct bb_hash *wanted);
void nested_rebuild(struct explorer *explorer, const struct image *image,
                    const struct bb_hash *wanted);
/* With LMDB: bbfsck's own rebuild onto a blank device, cut at each write to that, and run again. */
void nested_blank(struct explorer *explorer, const struct image *image,
                  const struct bb_hash *wanted);

#endif
