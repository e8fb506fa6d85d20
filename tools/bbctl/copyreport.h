/* SPDX-License-Identifier: Apache-2.0
 * What bbctl copy says: a line that moves while it works, and the sum at the end, as a table or as
 * one JSON object. One thread.
 */
#ifndef BB_CTL_COPYREPORT_H
#define BB_CTL_COPYREPORT_H

#include "bbctl/copypump.h"

#include <stdio.h>

struct bb_copy_progress {
    bool shown;          /* there is a terminal that wants to see it */
    bool drawn;          /* the line is there and has to be wiped */
    uint64_t begin_us;   /* of the copy */
    uint64_t last_us;    /* of the last drawing */
    uint64_t last_bytes; /* until then */
    double begin_part;   /* of all names that were left out at the start */
    double rate;         /* bytes per second, lately */
};

struct bb_copy_sum {
    const struct bb_copy_store *source, *target;
    bool dry_run, verify, remove, complete;
    uint64_t listed;                 /* names at the source */
    uint64_t missing, missing_bytes; /* of these, at the target */
    uint64_t surplus;                /* names at the target that the source lacks */
    struct bb_copy_tally tally;
    const struct bb_copy_found *found;
    uint32_t found_count;
    double seconds;
    const char *error; /* NULL: none */
    const char *after; /* where to go on, NULL: from the start */
};

/* begin NULL: from the first name on. */
void bb_copy_progress_begin(struct bb_copy_progress *progress, bool shown,
                            const struct bb_hash *begin);
/* Draws the line anew, when the last time was long enough ago. `at` is a name near which the work
 * is; what: in one word. */
void bb_copy_progress_draw(struct bb_copy_progress *progress, const char *what,
                           const struct bb_copy_tally *tally, const struct bb_hash *at);
/* Wipes it, before anything else is printed. */
void bb_copy_progress_wipe(struct bb_copy_progress *progress);

/* The sum on standard output; what was found, one line each, on standard error or in the object. */
void bb_copy_sum_print(const struct bb_copy_sum *sum, bool json);

#endif
