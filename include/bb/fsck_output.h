/* SPDX-License-Identifier: Apache-2.0
 * What bbfsck prints: findings as lines or as one JSON object, progress on a terminal. One thread.
 */
#ifndef BB_FSCK_OUTPUT_H
#define BB_FSCK_OUTPUT_H

#include "bb/grow.h"
#include "bb/progress.h"
#include "bb/repair.h"

#include <stdio.h>

/* Exit codes of fsck(8). */
enum bb_fsck_exit {
    BB_FSCK_CLEAN = 0,
    BB_FSCK_CORRECTED = 1, /* rebuilt, repaired or grown, nothing is left */
    BB_FSCK_ERRORS = 4,
    BB_FSCK_FAILED = 8,
    BB_FSCK_USAGE = 16,
};

#define BB_FSCK_FINDINGS_MAX 1000u /* printed; all are counted */

struct bb_fsck_output {
    FILE *out;
    bool json;
    struct bb_progress progress;
    void *findings; /* json array */
    void *left;     /* json array: what a repair left */
    uint64_t printed, left_off;
};

void bb_fsck_output_init(struct bb_fsck_output *output, FILE *out, bool json);
/* For struct bb_recover_config and bb_crosscheck_run; context is the output. */
void bb_fsck_output_progress(void *context, const char *step, uint64_t done, uint64_t total);
void bb_fsck_output_finding(void *context, const struct bb_finding *finding);

/* The last words, which also release what was collected; they return the exit code. */
int bb_fsck_output_checked(struct bb_fsck_output *output,
                           const struct bb_crosscheck_report *report);
int bb_fsck_output_rebuilt(struct bb_fsck_output *output, const struct bb_recovered *recovered);

/* What --repair could not do away with. */
void bb_fsck_output_left(void *context, const struct bb_finding *finding);
/* why: of a report that is stuck. */
int bb_fsck_output_repaired(struct bb_fsck_output *output, const struct bb_repair_report *report,
                            const char *why);

int bb_fsck_output_grown(struct bb_fsck_output *output, const struct bb_grow_report *report,
                         bool dry_run);

int bb_fsck_output_failed(struct bb_fsck_output *output, int error, const char *text);

#endif
