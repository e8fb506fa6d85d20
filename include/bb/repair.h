/* SPDX-License-Identifier: Apache-2.0
 * `bbfsck --repair`: check, the one step that the worst finding asks for, check again, until
 * nothing is left that can be repaired. What each finding gets is in the table of findings.h.
 *
 * There are four steps. Superblocks: the newest readable copy to all places. Recovery, which
 * every start does, here with every descriptor page looked at: damaged ones, and those that differ
 * from an index whose count and set hash are right, are written from that index. Rebuild: a new
 * index from the data device. Marks: a journal record with MARK items, rolled forward by recovery.
 * Each may be cut anywhere and is then run again. Blocking; one thread.
 */
#ifndef BB_REPAIR_H
#define BB_REPAIR_H

#include "bb/crosscheck.h"

/* The index as the repair needs it: opened for writing, and rebuilt, with config->repair as the
 * repair has set it. After open returned 0 config->index is valid until close; it returns why not
 * else. rebuild is called while it is closed. */
struct bb_repair_index {
    int (*open)(void *context);
    void (*close)(void *context);
    int (*rebuild)(void *context, struct bb_recovered *ret_recovered,
                   struct bb_explain *ret_explain);
    void *context;
};

struct bb_repair_options {
    bool accept_loss;
    bool deep;
    bool index_lost;      /* reading it crashes: it is not opened before it was rebuilt */
    bb_finding_fn *found; /* findings of the first check; may be NULL */
    bb_finding_fn *left;  /* what is left in the end; may be NULL */
};

struct bb_repair_report {
    struct bb_crosscheck_report before, after;
    uint64_t supers, recoveries, rebuilds; /* steps taken */
    uint64_t marked;                       /* blocks */
    struct bb_recovered rebuilt;           /* of the last rebuild */
    bool stuck; /* a step failed, or changed nothing: `explain` says why */
};

/* 0 when it came to its end, whatever is left; an error of a device, or as from bb_crosscheck_run,
 * when it did not. */
BB_MUST_USE int bb_repair_run(struct bb_recover_config *config, const struct bb_repair_index *index,
                              const struct bb_repair_options *options,
                              struct bb_repair_report *ret_report, struct bb_explain *ret_explain);

#endif
