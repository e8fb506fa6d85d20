/* SPDX-License-Identifier: Apache-2.0
 * The index as a sorted map in memory, for the simulator: struct bb_index and struct bb_index_port
 * without a device. One thread. Allocates with malloc and stops the test when there is none.
 *
 * A fold makes a new immutable version (reference counted), so that it is atomic, a clone costs
 * nothing, and a reader keeps the version it saw until it refreshes: like a read transaction of
 * LMDB.
 *
 * Jobs of the port wait in a queue until memindex_run. It takes one step at a time in a seeded
 * order: executes the oldest fold or any lookup or list, or hands an executed job to the done
 * function. So a fold may be durable, and visible after a refresh, before its submitter hears of
 * it.
 */
#ifndef MEMINDEX_H
#define MEMINDEX_H

#include "bb/index.h"

struct memindex;

struct memindex_config {
    uint64_t capacity;      /* records it holds; 0: no limit */
    uint32_t slice_max;     /* 0: BB_INDEX_SLICE_MAX */
    uint64_t seed;          /* order of the jobs, choice of the lookups that would fault */
    unsigned fault_percent; /* share of the port's lookups answered with BB_ERR_WOULD_FAULT */
};

typedef void memindex_done_fn(void *context, struct bb_index_job *job);

/* Formatted, without a state row: state() is BB_ERR_NOT_FORMATTED until memindex_put_state. */
struct memindex *memindex_new(const struct memindex_config *config);
/* What a crash now leaves on the device, as a device of its own: no jobs, no planned faults, the
 * newest version visible. Capacity and slices stay; seed and fault_percent are those of `mem`. */
struct memindex *memindex_clone(const struct memindex *mem);
/* Jobs still waiting are forgotten: a crash. */
void memindex_free(struct memindex *mem);
/* The process dies, the device stays as it is: nobody waits for an answer any more. */
void memindex_forget_jobs(struct memindex *mem);

/* As bb_lmdb_invalidate and bb_lmdb_format: no rows, no state row. */
void memindex_wipe(struct memindex *mem);
/* As bb_lmdb_put_state. */
void memindex_put_state(struct memindex *mem, const struct bb_index_state *state);
/* Damage for tests of the checks: sets or removes an entry without touching count and set hash. */
void memindex_tamper(struct memindex *mem, const struct bb_change *change);

/* Identity of the newest version: state row, entries and flags. Equal digest, equal index. */
void memindex_digest(struct memindex *mem, struct bb_digest *ret_digest);
uint64_t memindex_count(const struct memindex *mem);
/* Folds executed so far, failed ones included. */
uint64_t memindex_fold_count(const struct memindex *mem);

/* The k-th fold from now (1 = the next) returns `error`. With `applied` it has happened all the
 * same: a commit whose answer was lost. k = 0 takes the plan back. */
void memindex_fail_fold(struct memindex *mem, uint64_t k, int error, bool applied);

/* A real index that gets everything this one gets; the answers must be the same, else the test is
 * stopped. It has to hold the same when it is set. What it refuses does not happen here either. */
struct memindex_mirror {
    const struct bb_index *index;
    void *context;
    int (*wipe)(void *context);
    int (*put_state)(void *context, const struct bb_index_state *state);
};
/* NULL: none. A clone has none. */
void memindex_set_mirror(struct memindex *mem, const struct memindex_mirror *mirror);
/* Becomes a copy of the other index: 0, or the error of its state row or scan. */
int memindex_load(struct memindex *mem, const struct bb_index *index);

struct bb_index memindex_index(struct memindex *mem);

struct bb_index_port memindex_port(struct memindex *mem);
void memindex_on_done(struct memindex *mem, memindex_done_fn *done, void *context);
/* At most max steps; number of steps taken, 0 when there is nothing to do. done may submit. */
unsigned memindex_run(struct memindex *mem, unsigned max);
/* Jobs submitted and not yet handed to done. */
unsigned memindex_pending(const struct memindex *mem);

#endif
