/* SPDX-License-Identifier: Apache-2.0
 * The recovered state unit by unit: descriptor pages of the open zones with the journal's items
 * folded in, in ascending order. Looks for overlaps on the way and, when asked, writes the pages.
 * After bb_recovery_judge. Blocking; one thread.
 *
 * In an open zone an invalid slot is damage unless an item behind the anchor mentions the page.
 * Which of the sources a page gets its entries from when its newest slot may be lost is the
 * caller's rule.
 */
#ifndef BB_WALK_H
#define BB_WALK_H

#include "bb/recovery.h"

enum bb_walk_source {
    /* From a good index: entries of those units, then the items (recovery). */
    BB_WALK_INDEX,
    /* From the slot that is left; a page without one gets placeholders (rebuild). */
    BB_WALK_PLACEHOLDERS,
    /* As before, and of a slot that may be the older one only those blocks count whose bytes are
     * there; the rest of its units get placeholders (rebuild that did not add up). */
    BB_WALK_DISTRUST,
    /* From the slot that is left; a page without one has no entries (check). */
    BB_WALK_REPORT,
};

struct bb_block {
    struct bb_hash hash;
    uint64_t unit;
    uint32_t size;
    bool corrupt;
};

struct bb_walk {
    struct bb_recovery *recovery;
    enum bb_walk_source source;
    bool all;   /* every page of the open zones; else those that items mention */
    bool write; /* write what the items mention and what was damaged */
    /* Every live block, ascending by unit; may be NULL. Not 0 stops and is returned. */
    int (*visit)(void *context, const struct bb_block *block);
    /* A bad slot of a page; may be NULL. `mentioned`: an item excuses it. */
    void (*damage)(void *context, const struct bb_page *page, bool mentioned);
    /* Two blocks on one unit, or an entry that cannot be (second is NULL); NULL: refuse at the
     * first. 0 goes on. */
    int (*clash)(void *context, const struct bb_block *first, const struct bb_block *second);
    void *context;
    uint64_t damaged_count; /* out: pages with a bad slot that no item excuses, or lost */
};

/* BB_ERR_OVERLAP, BB_ERR_DAMAGED, BB_ERR_MEMORY or an error of a device, with the sentence in the
 * recovery's explain; or what a callback returned. With write the caller flushes afterwards. */
BB_MUST_USE int bb_walk_run(struct bb_walk *walk);

#endif
