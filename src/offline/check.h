/* SPDX-License-Identifier: Apache-2.0
 * What the parts of bbfsck's check share. Owner: the thread that checks.
 *
 *   startcheck.c  what the next start would say      crosscheck.c  both sides, compared
 *   deepcheck.c   the bytes of every block
 */
#ifndef OFFLINE_CHECK_H
#define OFFLINE_CHECK_H

#include "bb/crosscheck.h"
#include "bb/recovery.h"
#include "bb/walk.h"

/* What one side holds: all blocks, and the marked ones (marks are not in the set hash). */
struct check_side {
    struct bb_set all, marked;
};

struct check {
    struct bb_recovery recovery;
    const struct bb_recover_config *config;
    const struct bb_crosscheck_options *options;
    struct bb_crosscheck_report report;
    struct bb_index_state state;
    struct check_side pages, index;
    struct bb_set raw; /* what the index holds, without items */
    struct bb_mentions collected;
    size_t cursor;      /* in collected */
    uint64_t low, high; /* range of keys that is compared */
};

/* A block of the index, items folded in. */
typedef int check_index_visit_fn(struct check *check, const struct bb_block *block);

/* Counts a finding and hands it on. */
void check_find(struct check *check, enum bb_finding_kind kind, const char *text, ...)
    __attribute__((format(printf, 3, 4)));
/* The same about a block, or what claims to be one (NULL: none); other_unit: UINT64_MAX for none.
 */
void check_find_block(struct check *check, enum bb_finding_kind kind, const struct bb_block *block,
                      uint64_t other_unit, const char *text, ...)
    __attribute__((format(printf, 5, 6)));

/* Both 0: go on, 1: a finding makes the rest pointless, or an error. */
int check_superblocks(struct check *check, struct bb_explain *explain);
int check_start(struct check *check, struct bb_explain *explain);

/* Every block of the index with a key from `low` up to *high, ascending; *high shrinks to what the
 * memory for items allows. */
int check_each_index_block(struct check *check, uint64_t low, uint64_t *high,
                           check_index_visit_fn *visit, bool first_pass);

/* Reads and hashes every block that is not marked. */
int check_deep(struct check *check);

#endif
