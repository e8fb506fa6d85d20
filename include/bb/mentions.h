/* SPDX-License-Identifier: Apache-2.0
 * What the journal says about a hash, or about a unit: every item behind the anchor, sorted by hash
 * or by unit, folded to the one that decides. The last item that mentions a hash, or a unit,
 * decides.
 *
 * The items need not fit into memory: when the array is full, what is overtaken by later items is
 * left out, and where that gains too little the range of keys is narrowed, so that a caller walks
 * over all of them in as many passes as it takes. A key is the first
 * eight bytes of the hash (big-endian, so keys ascend with hashes), or the descriptor page of the
 * unit. Pure but for the reading of the ring; one thread.
 */
#ifndef BB_MENTIONS_H
#define BB_MENTIONS_H

#include "bb/scan.h"

enum bb_mentions_by { BB_BY_HASH, BB_BY_UNIT };

struct bb_mention {
    struct bb_hash hash;
    uint64_t unit;
    uint64_t order; /* sequence << 11 | index in the record */
    uint32_t size;  /* bytes of the block */
    uint32_t op;    /* enum bb_item_op, and BB_MENTION_AFTER_GAP */
};

/* Items between this one and the one before it were left out; they had been checked. */
#define BB_MENTION_AFTER_GAP 0x80000000u

BB_STATIC_ASSERT(sizeof(struct bb_mention) == 56);

struct bb_mentions {
    struct bb_mention *array;
    size_t capacity;
    size_t count;
    enum bb_mentions_by by;
    const struct bb_layout *layout;
    uint64_t low, high; /* keys loaded, inclusive */
    bool loaded;
    bool condense;       /* leave out what is overtaken when the array is full */
    uint64_t keep_above; /* items of later records are always kept: those that verdicts are about */
};

/* What the items say in the end about one hash, or one unit. */
struct bb_final {
    struct bb_mention last; /* op without the flag */
    bool present;           /* last is PUT or MARK */
    bool corrupt;           /* last is MARK */
    bool first_put;         /* nothing stood there before the items */
    bool has_pair;          /* last is the PUT of a heal pair; then */
    uint64_t pair_unit;     /* the extent that its DELETE freed */
    uint32_t pair_size;
};

/* Two items that cannot both have been written. */
struct bb_contradiction {
    struct bb_mention first, second;
};

static inline enum bb_item_op bb_mention_op(const struct bb_mention *mention)
{
    return (enum bb_item_op)(mention->op & ~BB_MENTION_AFTER_GAP);
}

static inline uint64_t bb_mention_sequence(const struct bb_mention *mention)
{
    return mention->order >> 11;
}

uint64_t bb_mentions_hash_key(const struct bb_hash *hash);

/* The array gets the memory; nothing is loaded. */
void bb_mentions_init(struct bb_mentions *mentions, void *memory, size_t size,
                      const struct bb_layout *layout);

/* Loads and sorts the items with keys from `low` on; *ret_high is the last key that fitted, at most
 * `high`. Nothing is read when the same range is loaded already. Every item's unit must be a data
 * unit. BB_ERR_MEMORY when what counts of a single key does not fit; else as bb_scan_journal. */
BB_MUST_USE int bb_mentions_load(struct bb_mentions *mentions, const struct bb_scan *scan,
                                 const struct bb_anchor *anchor, enum bb_mentions_by by,
                                 uint64_t low, uint64_t high, uint64_t *ret_high);

/* Appends one for the other users of the array (rebuild: blocks from descriptor pages), narrowing
 * mentions->high as load does; then sort. begin sets the range. */
void bb_mentions_begin(struct bb_mentions *mentions, enum bb_mentions_by by, uint64_t low,
                       uint64_t high);
BB_MUST_USE int bb_mentions_add(struct bb_mentions *mentions, const struct bb_mention *mention);
void bb_mentions_sort(struct bb_mentions *mentions);

/* End of the run of equal hashes, or units, that starts at `first` < count. */
size_t bb_mentions_run(const struct bb_mentions *mentions, size_t first);

/* Folds the run [first, end). BB_ERR_OVERLAP (two blocks on one unit) or BB_ERR_DAMAGED (an item
 * about a block that is not there) when the items contradict each other. */
BB_MUST_USE int bb_mentions_fold(const struct bb_mentions *mentions, size_t first, size_t end,
                                 struct bb_final *ret_final,
                                 struct bb_contradiction *ret_contradiction);

#endif
