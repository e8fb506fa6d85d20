/* SPDX-License-Identifier: Apache-2.0
 * `bbfsck --grow`: a store takes the rest of a data device that became larger. Zones come at the
 * end and the tail moves there; journal, open zones and blocks stay where they are, and the index
 * is not written. Blocking; one thread.
 *
 * Only a store that checks clean and leaves a start nothing to recover grows. What a growth that
 * was cut leaves behind is allowed and healed. bb_super_grow has the order of the writes.
 */
#ifndef BB_GROW_H
#define BB_GROW_H

#include "bb/crosscheck.h"

struct bb_grow_options {
    bb_finding_fn *found; /* of the check, may be NULL; gets config->context */
    int index_error;      /* as in bb_crosscheck_options */
    bool dry_run;         /* checks and says what would be, writes nothing */
};

struct bb_grow_report {
    struct bb_layout before, after; /* equal: there is nothing to take */
    uint64_t device_size;
    bool grown;                        /* written; after a dry run false */
    unsigned healed;                   /* superblock copies, as a cut growth leaves them */
    struct bb_crosscheck_report check; /* of a store that grows; else zero */
};

/* 0, or with ret_explain: BB_ERR_REFUSED for a store that has to be repaired or started first; what
 * bb_super_load, bb_crosscheck_run and bb_layout_grow say; an error of the device, after which it
 * is run again. */
BB_MUST_USE int bb_grow_run(const struct bb_recover_config *config,
                            const struct bb_grow_options *options,
                            struct bb_grow_report *ret_report, struct bb_explain *ret_explain);

#endif
