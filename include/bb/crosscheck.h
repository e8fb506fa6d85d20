/* SPDX-License-Identifier: Apache-2.0
 * Offline check of a pair: superblocks, journal, descriptor pages against the index both ways,
 * count and set hash, overlaps, and with `deep` the bytes of every block. What it can find is the
 * table of findings.h. Writes nothing. Blocking; one thread.
 *
 * Journal items are folded into both sides first, so a store that was not stopped is checked as it
 * will be after its recovery. Equal set hashes prove equal sides without comparing block by block;
 * only where they differ are both sides compared, a range of hashes at a time, in bounded memory.
 */
#ifndef BB_CROSSCHECK_H
#define BB_CROSSCHECK_H

#include "bb/findings.h"
#include "bb/recover.h"

struct bb_crosscheck_report {
    uint64_t errors, notes;
    uint64_t count[BB_FINDING_COUNT];
    uint64_t blocks, bytes, used_units, marked_blocks, open_units;
    uint64_t index_blocks;
    uint64_t hashed_blocks; /* deep */
    /* Both sides were read to their end, and which of them has the count and set hash that
     * checkpoint and journal say. */
    bool compared, index_right, pages_right;
    struct bb_recover_report recover; /* what the next start would do */
    struct bb_super super;
};

/* Each finding as it is made. */
typedef void bb_finding_fn(void *context, const struct bb_finding *finding);

struct bb_crosscheck_options {
    bb_finding_fn *found; /* may be NULL: every finding is counted; gets config->context */
    bool deep;
    int index_error; /* not 0: the index could not be opened, and why; config->index is not used */
};

/* 0 when the check came to its end, whatever it found; an error (NOT_FORMATTED, VERSION, GEOMETRY,
 * MEMORY, or of a device) with ret_explain when it could not. */
BB_MUST_USE int bb_crosscheck_run(const struct bb_recover_config *config,
                                  const struct bb_crosscheck_options *options,
                                  struct bb_crosscheck_report *ret_report,
                                  struct bb_explain *ret_explain);

#endif
