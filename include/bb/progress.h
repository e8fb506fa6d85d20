/* SPDX-License-Identifier: Apache-2.0
 * A bar on standard error for what takes longer than a second, if that is a terminal; else nothing.
 * One thread at a time.
 *
 *   [=========>                    ]  31 % hashing blocks, 12 s
 */
#ifndef BB_PROGRESS_H
#define BB_PROGRESS_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BB_PROGRESS_AFTER_MS 1000u /* nothing is drawn before */
#define BB_PROGRESS_EVERY_MS 200u
#define BB_PROGRESS_LINE_MAX 160u

struct bb_progress {
    bool terminal;
    bool drawn; /* a bar stands there */
    uint64_t began_ms, drawn_ms;
};

void bb_progress_init(struct bb_progress *progress);
/* `step` is a static text; total 0: nobody knows how much there is to do. */
void bb_progress_show(struct bb_progress *progress, const char *step, uint64_t done,
                      uint64_t total);
/* Takes the bar away, before something else is written and at the end. */
void bb_progress_clear(struct bb_progress *progress);

/* The line that is drawn; terminated; returns ret. Pure. */
char *bb_progress_line(const char *step, uint64_t done, uint64_t total, uint64_t seconds, char *ret,
                       size_t ret_size);

#endif
