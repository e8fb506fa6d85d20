/* SPDX-License-Identifier: Apache-2.0
 * Blocks above the watermark whose bytes were looked at: they were never acknowledged, so their
 * data may not have reached the device. A match keeps the block and leaves no trace here;
 * everything else is a verdict, which changes both final maps, that of the hashes and that of the
 * units.
 *
 * Verdicts stand in ascending order of hash, one per hash at most. One thread.
 */
#ifndef BB_VERDICTS_H
#define BB_VERDICTS_H

#include "bb/mentions.h"

enum bb_verdict_kind {
    BB_VERDICT_DROPPED = 1, /* counts as a DELETE of its hash and of its unit */
    BB_VERDICT_UNDONE,      /* PUT of a heal pair: the hash keeps its old extent and its mark */
    BB_VERDICT_UNREADABLE,  /* read error: kept and marked */
};

struct bb_verdict {
    struct bb_hash hash;
    uint64_t unit;      /* where the PUT said it is */
    uint64_t sequence;  /* of the PUT */
    uint64_t pair_unit; /* UNDONE: where it was */
    uint32_t size;
    uint32_t pair_size;
    uint32_t kind; /* enum bb_verdict_kind */
    uint32_t reserved;
};

struct bb_verdicts {
    struct bb_verdict *array;
    size_t capacity, count;
    size_t undone_count;
    uint64_t rehashed, dropped, unreadable;
};

void bb_verdicts_init(struct bb_verdicts *verdicts, void *memory, size_t size);

/* Reads the block that `final` (by hash, a PUT above D) says is there into `buf` (1 MiB, 4096
 * aligned) and judges it; hashes must come in ascending order. BB_ERR_MEMORY when the array is
 * full; errors of the device other than of the medium. */
BB_MUST_USE int bb_verdicts_judge(struct bb_verdicts *verdicts, struct bb_io *io,
                                  const struct bb_final *final, void *buf);

/* The verdict on a hash, NULL when there is none. */
const struct bb_verdict *bb_verdicts_find(const struct bb_verdicts *verdicts,
                                          const struct bb_hash *hash);

/* Changes the final state of a hash as its verdict says. */
void bb_verdicts_apply_to_hash(const struct bb_verdicts *verdicts, struct bb_final *final);

/* The same for the final state of a unit. BB_ERR_OVERLAP when an undone heal wants a unit back that
 * another block took (the run [first, end) of mentions is that of the unit). */
BB_MUST_USE int bb_verdicts_apply_to_unit(const struct bb_verdicts *verdicts,
                                          const struct bb_mentions *mentions, size_t first,
                                          size_t end, struct bb_final *final,
                                          struct bb_contradiction *ret_contradiction);

/* The set that remains of anchor plus items. BB_ERR_DAMAGED when the count says they are not in it.
 */
BB_MUST_USE int bb_verdicts_apply_to_set(const struct bb_verdicts *verdicts, struct bb_set *set);

#endif
