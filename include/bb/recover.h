/* SPDX-License-Identifier: Apache-2.0
 * From two devices as a crash left them to a store that can be served: storage.md's recovery steps
 * 2 to 6, and the rebuild of a lost index from the data device alone. Blocking, over bb_io and the
 * index table; the same code in bbd, bbfsck and the simulator.
 *
 * Nothing is written before everything was checked. A crash at any step is covered by running it
 * again. Memory: at most `memory` bytes from `malloc`-free scratch handed in by the caller.
 */
#ifndef BB_RECOVER_H
#define BB_RECOVER_H

#include "bb/index.h"
#include "bb/io.h"
#include "bb/scan.h"
#include "bb/store.h"

#define BB_RECOVER_NAMED_MAX 8

struct bb_unit_range {
    uint64_t first, count;
};

struct bb_recover_report {
    uint64_t records, items;    /* rolled forward */
    uint64_t rehashed, dropped; /* live items above D */
    uint64_t undone;     /* of the dropped: heals, whose block keeps its old extent, marked */
    uint64_t unreadable; /* kept and marked */
    uint64_t pages_written;
    uint64_t slots_damaged;   /* descriptor slots found bad, excused by an item */
    uint64_t slots_unexcused; /* bad without an item that mentions the page */
    uint64_t pages_lost;      /* both slots bad, or the newest one */
    uint64_t units_lost;      /* unallocatable from here on: see bb_rebuild */
    uint64_t journal_unreadable_units;
    uint64_t super_copies_healed;
    uint64_t blocks;   /* in the store afterwards */
    bool set_unproven; /* rebuild: a lost page keeps count and set hash from adding up */
    /* rebuild with accept_loss: these records are missing */
    bool given_up;
    uint64_t gap_first, gap_last;
    uint64_t salvaged, not_salvaged; /* items of records behind them */
    uint64_t passes;
    uint64_t first_sequence, last_sequence, durable, epoch;
    bool was_clean;
    struct bb_hash dropped_first[BB_RECOVER_NAMED_MAX];    /* for the log */
    struct bb_unit_range lost_first[BB_RECOVER_NAMED_MAX]; /* units of lost pages */
};

struct bb_recovered {
    struct bb_super super;        /* as written: new epoch, clean mark cleared */
    struct bb_ring_position last; /* = the anchor */
    struct bb_recover_report report;
};

/* What a repair may do and a start may not; all zero for a start. */
struct bb_repair_rules {
    /* Every descriptor page is looked at and the damaged ones are written. The anchor's record may
     * be missing: see bb_scan. */
    bool on;
    /* Rebuild: what a lost record, or an older data device, takes with it is given up. */
    bool accept_loss;
    /* One bit per descriptor page, or NULL: pages whose entries are taken from the index. */
    const uint64_t *distrusted;
};

struct bb_recover_config {
    struct bb_io *io;
    struct bb_index *index;
    void *scratch;       /* 4096 aligned working memory */
    size_t scratch_size; /* at least BB_RECOVER_SCRATCH_MIN */
    /* may be NULL; seldom called, for a person who waits */
    void (*progress)(void *context, const char *step, uint64_t done, uint64_t total);
    void *context;
    struct bb_repair_rules repair;
    /* Nothing is flushed before the first read. What is found may be lost in a power cut later: for
     * who acknowledges nothing. */
    bool no_flush;
};
#define BB_RECOVER_SCRATCH_MIN ((size_t)4 << 20)

/* What went wrong, as a sentence for a person: what was found, and the cure. */
struct bb_explain {
    char text[320];
};

/* Recovery of a pair. Errors: NOT_FORMATTED, FOREIGN, STALE_INDEX, STALE_DATA, LOST_RECORD,
 * OVERLAP, SET_MISMATCH, DAMAGED, GEOMETRY, VERSION, MEMORY, INDEX_FULL, or of the devices. The
 * caller has synced the index device. ret_recovered is untouched on failure, ret_explain is set. */
BB_MUST_USE int bb_recover(const struct bb_recover_config *config,
                           struct bb_recovered *ret_recovered, struct bb_explain *ret_explain);

/* Steps 2 to 5 only, nothing written: what recovery would find. For bbfsck. */
BB_MUST_USE int bb_recover_check(const struct bb_recover_config *config,
                                 struct bb_recovered *ret_recovered,
                                 struct bb_explain *ret_explain);

/* The same, and then what the items behind the index's checkpoint make of each hash that they
 * mention, ascending; `recovered` is the result already: the found super with the anchor that
 * recovery would write. Nothing is written. Not 0 from `visit` ends it and is returned. */
typedef int bb_recover_change_fn(void *context, const struct bb_recovered *recovered,
                                 const struct bb_change *change);
BB_MUST_USE int bb_recover_replay(const struct bb_recover_config *config,
                                  bb_recover_change_fn *visit, void *context,
                                  struct bb_recovered *ret_recovered,
                                  struct bb_explain *ret_explain);

/* Rebuilds the index from the data device. config->index is fresh: no entries, and a state row with
 * this store's UUID, `index_uuid`, an empty set and an anchor of zeros, which stands in no ring; so
 * a rebuild that was cut is no index. `index_uuid` becomes the pair's with the superblocks, which
 * are written last. Afterwards bb_recover on the pair succeeds.
 *
 * A descriptor page whose newest slot is lost takes the names of its blocks with it, but for those
 * that the older slot names and whose bytes are there (also one that was deleted since and not
 * overwritten). Its units that no other block covers stay unallocatable: each gets a placeholder,
 * an entry of one unit that is marked corrupt and named by bb_rebuild_placeholder, in page and
 * index alike. Deleting a placeholder gives the unit back.
 *
 * Reads the ring once, and the descriptor pages once while all slots are sound and 56 bytes per
 * block, and 56 per item behind the anchor, fit into the scratch; else once more for every share of
 * the blocks that does. */
BB_MUST_USE int bb_rebuild(const struct bb_recover_config *config, const struct bb_uuid *index_uuid,
                           struct bb_recovered *ret_recovered, struct bb_explain *ret_explain);

/* As bb_rebuild with an index that is made in the middle, so that one reading of the device serves
 * the check and the rebuild: `prepare` is called when everything was checked and nothing is written
 * yet. It gets what bb_rebuild_check would find; not 0, with a sentence, ends the rebuild. From its
 * return on config->index is used. */
typedef int bb_rebuild_prepare_fn(void *context, const struct bb_recovered *found,
                                  struct bb_explain *ret_explain);
BB_MUST_USE int bb_rebuild_prepared(const struct bb_recover_config *config,
                                    const struct bb_uuid *index_uuid,
                                    bb_rebuild_prepare_fn *prepare, void *context,
                                    struct bb_recovered *ret_recovered,
                                    struct bb_explain *ret_explain);

/* What bb_rebuild would find, nothing written; config->index is not used. */
BB_MUST_USE int bb_rebuild_check(const struct bb_recover_config *config,
                                 struct bb_recovered *ret_recovered,
                                 struct bb_explain *ret_explain);

/* Name of the placeholder for a unit of this store. */
void bb_rebuild_placeholder(const struct bb_uuid *store, uint64_t unit, struct bb_hash *ret_hash);

#endif
