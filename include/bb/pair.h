/* SPDX-License-Identifier: Apache-2.0
 * Both devices of a store opened for an offline tool, with memory and a runtime directory: what
 * bbfsck and its like need before recover.h and crosscheck.h can be called. One thread.
 */
#ifndef BB_PAIR_H
#define BB_PAIR_H

#include "bb/arena.h"
#include "bb/device.h"
#include "bb/lmdbindex.h"
#include "bb/recover.h"
#include "bb/rundir.h"
#include "bb/syncio.h"

#define BB_PAIR_MEMORY_DEFAULT ((uint64_t)64 << 20)

struct bb_pair_options {
    const char *data_path, *index_path;
    uint64_t memory; /* bytes, at least BB_RECOVER_SCRATCH_MIN */
    unsigned wait_ms;
    bool may_read_only;                    /* a read-only device will do: nothing is written */
    void (*on_wait)(const char *sentence); /* may be NULL */
};

struct bb_pair {
    struct bb_device data, index; /* fd -1: not open */
    struct bb_syncio sync;
    struct bb_arena arena;
    struct bb_rundir rundir;
    struct bb_lmdb *lmdb; /* NULL until bb_pair_open_index */
    struct bb_index table;
    struct bb_recover_config config; /* io, index and scratch are set */
};

/* Claims and syncs both devices, checks that they do not overlap, takes the memory. close in every
 * case. */
BB_MUST_USE int bb_pair_open(struct bb_pair *pair, const struct bb_pair_options *options,
                             struct bb_explain *explain);
BB_MUST_USE int bb_pair_open_index(struct bb_pair *pair, bool read_only,
                                   struct bb_explain *explain);
void bb_pair_close_index(struct bb_pair *pair);
void bb_pair_close(struct bb_pair *pair);

#endif
