/* SPDX-License-Identifier: Apache-2.0
 * The parts that recovery, rebuild and check have in common: a context over the data device, opened
 * step by step. Everything here only reads. Callers use recover.h; crosscheck.c of the offline
 * tools uses this header as well. Blocking; one thread.
 *
 *   open -> super -> survey -> scan(anchor) -> judge -> walk (walk.h)
 */
#ifndef BB_RECOVERY_H
#define BB_RECOVERY_H

#include "bb/mentions.h"
#include "bb/pages.h"
#include "bb/recover.h"
#include "bb/superblock.h"
#include "bb/verdicts.h"

/* Shared by steps that do not overlap in time: a block to hash, slots of pages, changes to fold. */
#define BB_RECOVERY_WORK_SIZE ((size_t)1 << 20)

struct bb_recovery {
    const struct bb_recover_config *config;
    struct bb_explain *explain;
    struct bb_super_copies copies;
    struct bb_super super;
    struct bb_scan scan;
    struct bb_survey survey;
    struct bb_scan_result found;
    struct bb_set expected; /* what the items make of the anchor's set, without what was dropped */
    struct bb_verdicts verdicts;
    struct bb_mentions mentions;
    struct bb_pages *pages;
    void *work; /* BB_RECOVERY_WORK_SIZE, the pages' slots */
    struct bb_recover_report report;
};

/* Writes the sentence, cut to fit, and returns `error`. */
int bb_explain(struct bb_explain *explain, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sixteen hex digits of a hash, enough for a person to find it. */
struct bb_hash_name {
    char text[20];
};
struct bb_hash_name bb_hash_name(const struct bb_hash *hash);

/* Divides the scratch memory and flushes the data device: what an earlier process wrote and was not
 * flushed would otherwise be read and then lost. */
BB_MUST_USE int bb_recovery_open(struct bb_recovery *recovery,
                                 const struct bb_recover_config *config,
                                 struct bb_explain *explain);
/* Superblock by quorum. Heals nothing. */
BB_MUST_USE int bb_recovery_super(struct bb_recovery *recovery);
/* Reads the whole ring once. */
BB_MUST_USE int bb_recovery_survey(struct bb_recovery *recovery);
/* Chain from `anchor`, proof behind the gap, range of every item. */
BB_MUST_USE int bb_recovery_scan(struct bb_recovery *recovery, const struct bb_anchor *anchor);
/* Folds all items by hash, looking for contradictions, and re-hashes the live ones above D. */
BB_MUST_USE int bb_recovery_judge(struct bb_recovery *recovery);

/* Final state of every hash that the items mention, verdicts applied, ascending. Not 0 stops. */
typedef int bb_recovery_final_fn(void *context, const struct bb_final *final);
BB_MUST_USE int bb_recovery_each_hash(struct bb_recovery *recovery, bb_recovery_final_fn *visit,
                                      void *context);

/* The anchor that the recovered state gets: its last record, with `set`. */
struct bb_anchor bb_recovery_new_anchor(const struct bb_recovery *recovery,
                                        const struct bb_set *set);

/* Writes an empty record where the anchor's record is missing and none follows it. With the lost
 * one out of the way the next scan goes on from there. */
BB_MUST_USE int bb_recovery_bridge(struct bb_recovery *recovery);

/* The sentence for two items that cannot both have been written. */
int bb_recovery_contradicts(struct bb_recovery *recovery, int error,
                            const struct bb_contradiction *found);

void bb_recovery_progress(const struct bb_recovery *recovery, const char *step, uint64_t done,
                          uint64_t total);

#endif
