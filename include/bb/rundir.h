/* SPDX-License-Identifier: Apache-2.0
 * A private directory for the time of one run of an offline tool: LMDB wants a symlink and a lock
 * file somewhere. Below /run, or below $TMPDIR or /tmp where that is not ours to write. Its name
 * carries our process id, so that what a killed tool left goes with the next run.
 */
#ifndef BB_RUNDIR_H
#define BB_RUNDIR_H

#include "bb/assert.h"

struct bb_rundir {
    char path[128]; /* empty: none */
};

BB_MUST_USE int bb_rundir_make(struct bb_rundir *rundir);
/* Removes the directory with the files in it (of a process that died); nothing to do without one.
 */
void bb_rundir_remove(struct bb_rundir *rundir);

#endif
