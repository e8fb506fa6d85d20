/* SPDX-License-Identifier: Apache-2.0
 * A simulated index device with the real LMDB of src/index on it: a file in memory whose writes and
 * flushes are seen before they happen, and held apart as a power cut may leave them.
 *
 * What LMDB asks of libc for this file (lmdbtap.c stands between the two) becomes a list of pages.
 * A page is on its way from the request on, visible when the request returns, durable after the
 * next fsync or fdatasync, or at once when it came over a descriptor with O_DSYNC. Pages are never
 * torn: LMDB changes less than a sector in place, and what it writes elsewhere nobody reads before
 * the flush.
 *
 * One thread. A power cut makes an image; an image becomes the device again with lmdbdev_load.
 */
#ifndef LMDBDEV_H
#define LMDBDEV_H

#include "../../src/io/sim_image.h"
#include "bb/device.h"
#include "memindex.h"

#include <sys/types.h>

#define LMDBDEV_SIZE (8ull << 20)

struct lmdbdev;

/* Formatted, no row, not open. NULL: there is no directory in memory. */
struct lmdbdev *lmdbdev_new(void);
void lmdbdev_free(struct lmdbdev *dev);

/* 0, or the error of bb_lmdb_open on what stands there. */
int lmdbdev_open(struct lmdbdev *dev);
/* Does nothing to a closed one. */
void lmdbdev_close(struct lmdbdev *dev);
/* Of an open one, for memindex_set_mirror. A wipe formats anew. */
struct memindex_mirror lmdbdev_mirror(struct lmdbdev *dev);

/* Called before each write and flush: those of a write are already in the list. NULL: nobody. */
void lmdbdev_on_event(struct lmdbdev *dev, void (*event)(void *context), void *context);
/* The n-th event from now (1: the next, 0: none) and all later ones do not happen: they fail. */
void lmdbdev_cut_at(struct lmdbdev *dev, uint64_t n);
bool lmdbdev_is_dead(const struct lmdbdev *dev);
/* Writes and flushes so far. */
uint64_t lmdbdev_events(const struct lmdbdev *dev);

/* Pages that a power cut may take, oldest first. */
size_t lmdbdev_undurable_count(const struct lmdbdev *dev);
typedef bool lmdbdev_keep_fn(void *context, size_t index);
/* What a power cut now leaves. The copy must not be initialised. */
void lmdbdev_power_cut(const struct lmdbdev *dev, lmdbdev_keep_fn *keep, void *context,
                       struct bb_image *ret_image);
/* What a killed process leaves: all that was written. */
void lmdbdev_visible(const struct lmdbdev *dev, struct bb_image *ret_image);
/* The device holds exactly this, durably, and lives; it must be closed. */
void lmdbdev_load(struct lmdbdev *dev, const struct bb_image *image);

/* For tools that open it themselves; while it is closed. */
const struct bb_device *lmdbdev_device(const struct lmdbdev *dev);
const char *lmdbdev_directory(const struct lmdbdev *dev);

/* Does nothing. Who calls it has lmdbtap.c in the program, also where another library defines the
 * same functions weakly, as the sanitizers do. */
void lmdbtap_link(void);

/* For lmdbtap.c: the device behind a descriptor, NULL for any other file. */
struct lmdbdev *lmdbdev_of(int fd);
/* True: the request may go on to the file; lmdbdev_wrote follows when it has. */
bool lmdbdev_will_write(struct lmdbdev *dev, const void *buf, size_t size, off_t offset);
void lmdbdev_wrote(struct lmdbdev *dev, int fd);
bool lmdbdev_flush(struct lmdbdev *dev);

#endif
