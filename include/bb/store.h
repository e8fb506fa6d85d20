/* SPDX-License-Identifier: Apache-2.0
 * The engine: what the controller does. No threads, no clock, no allocation after open, no I/O but
 * through the tables it was given. The same object files run in the daemon and in the simulator.
 *
 * Requests come in as struct bb_op and go out through config.reply; everything else happens in
 * bb_store_turn and in completions. The commit protocol is at the head of
 * src/store/journal.c, the checkpoint in checkpoint.c. Every read sees the state at the durable
 * watermark D.
 *
 * Owner: one thread, the controller. Workers reach it through port.h.
 */
#ifndef BB_STORE_H
#define BB_STORE_H

#include "bb/arena.h"
#include "bb/buddy.h"
#include "bb/index.h"
#include "bb/io.h"
#include "bb/op.h"
#include "bb/queue.h"
#include "bb/scrub.h"
#include "bb/trim.h"

/* Where the ring stands: what recovery or format hands over. */
struct bb_ring_position {
    uint64_t sequence;       /* of the last record */
    uint64_t position;       /* its ring unit */
    uint32_t units;          /* its length */
    struct bb_digest digest; /* its digest */
};

struct bb_store_config {
    struct bb_io *io;
    struct bb_index_port index;
    uint32_t slice_max;
    uint64_t index_room;
    struct bb_super super;
    struct bb_ring_position last; /* equals the anchor: recovery ended with a checkpoint */
    struct bb_arena *arena;
    size_t memory; /* bytes for delta and checkpoint together */
    /* Not NULL: the engine only reads. It has this delta, as bb_replay_run made it, in an arena of
     * the caller's, submits no I/O and no fold, and refuses what would need one with NOT_READY; a
     * MARK is remembered while there is room. A stop is immediate. `memory` is not used. */
    const struct bb_delta *replayed;
    uint64_t trim_idle_ms; /* 0: no idle trim */
    uint64_t trim_age_ms;  /* of a pass that is asked for, BB_TRIM_AGE_MS in the daemon */
    uint32_t op_max;       /* ops in flight at most, over all ports */
    uint32_t port_count;
    struct bb_scrub_config scrub;  /* all zero: none */
    struct bb_scrub_row scrub_row; /* from the index's row */
    void *context;
    void (*reply)(void *context, struct bb_op *op);
    void (*recall)(void *context, uint32_t port);
    /* These ops, linked by next, are in the record that is on its way now; only to be looked at.
     * May be NULL. */
    void (*windowed)(void *context, const struct bb_op *ops);
    /* Writes of blocks that are on their way, of all ports; NULL: those of `io`. */
    uint32_t (*data_writes)(void *context);
    /* A discard failed, and the pass of trim is over. May be NULL. */
    void (*trim_failed)(void *context, int error);
    /* Called once: the store acknowledges nothing any more; what failed and why. */
    void (*fatal)(void *context, int error, const char *what);
};

struct bb_store;

struct bb_store_status {
    bool writable, stopped;
    int fatal;
    uint64_t block_count, used_units, total_units, free_units, quarantined_units;
    uint64_t padding_bytes; /* in used_units, behind the bytes of blocks */
    int largest_order;
    uint32_t zone_count, open_zone_count;
    uint64_t sequence, durable, epoch;
    uint64_t journal_units, journal_used_units;
    uint64_t delta_items, delta_max, index_room;
    bool checkpoint_running;
    uint64_t checkpoints, checkpoint_items, checkpoint_last_ms;
    uint64_t checkpoint_age_ms; /* since the newest one ended; since the start before the first */
    uint64_t free_by_order[BB_ORDER_COUNT]; /* free extents that are not part of a larger one */
    uint64_t windows, window_items, flushes;
    bool window_held; /* the open window waits a fraction of a flush for writers just answered */
    uint64_t puts, duplicates, deletes, heals, marks;
    struct bb_scrub_status scrub;
    struct bb_trim_status trim;
};

/* Bytes the engine wants for itself besides config.memory and the buddy allocator. */
BB_MUST_USE int bb_store_open(const struct bb_store_config *config, struct bb_store **ret_store);

struct bb_filled;
/* The allocator has been filled from the index (fill.h) which counted `filled` on the way: writes
 * are accepted from here on. BB_ERR_SET_MISMATCH when its set differs from the anchor: then reads
 * only.
 */
BB_MUST_USE int bb_store_ready(struct bb_store *store, struct bb_buddy *buddy,
                               const struct bb_filled *filled);

/* A request arrives. reply may be called before this returns. */
void bb_store_submit(struct bb_store *store, struct bb_op *op);
/* A message without an op: UNPIN, RELEASE, QUARANTINE, RECALLED. */
void bb_store_message(struct bb_store *store, uint64_t word);
/* An index job is answered. */
void bb_store_job_done(struct bb_store *store, struct bb_index_job *job);

/* Once per loop turn, after messages and completions: builds the window, starts what is due.
 * Returns the milliseconds until it wants to be called again, -1 for "when something happens". */
int bb_store_turn(struct bb_store *store, uint64_t now_ms);

/* Clean stop: no write may come any more; drains, checkpoints, marks the superblocks clean. */
void bb_store_stop(struct bb_store *store);
bool bb_store_is_stopped(const struct bb_store *store);
/* Starts a checkpoint at the next turn, whatever its triggers say. */
void bb_store_checkpoint(struct bb_store *store);

void bb_store_get_status(const struct bb_store *store, struct bb_store_status *ret_status);
/* The allocator, to be looked at between turns; NULL until bb_store_ready. What it has given out
 * and what is quarantined counts as used there, whether a block lies in it yet or not. */
const struct bb_buddy *bb_store_buddy(const struct bb_store *store);
/* Asserts the invariants that hold between turns. Slow; tests. */
void bb_store_verify(const struct bb_store *store);

#endif
