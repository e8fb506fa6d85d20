/* SPDX-License-Identifier: Apache-2.0
 * The engine: what the controller does. No threads, no clock, no allocation after open, no I/O but
 * through the tables it was given. The same object files run in the daemon and in the simulator.
 *
 * Requests come in as struct bb_op and go out through config.reply; everything else happens in
 * bb_store_turn and in completions. The commit protocol is in journal.h, the checkpoint in
 * checkpoint.h. Every read sees the state at the durable watermark D.
 *
 * Owner: one thread, the controller. Workers reach it through port.h.
 */
#ifndef BB_STORE_H
#define BB_STORE_H

#include "bb/arena.h"
#include "bb/buddy.h"
#include "bb/index.h"
#include "bb/io.h"
#include "bb/queue.h"
#include "bb/scrub.h"
#include "bb/trim.h"

enum bb_op_kind {
    BB_OP_RESERVE, /* size: wants a run of extents -> unit, run_count */
    BB_OP_PUT, /* hash, size, unit: data is on the device; commit it -> 0 or 1 (already stored) */
    BB_OP_DELETE, /* hash -> 0 when durable, -ENOENT */
    BB_OP_LOOKUP, /* hash -> 0 with unit, size (pinned when asked), -ENOENT, BB_ERR_CORRUPT */
    BB_OP_MARK,   /* hash, unit: bytes there are wrong; 0 when the mark is durable */
    BB_OP_EXISTS, /* exists.hashes -> exists.stored[i] */
    BB_OP_LIST,   /* list.after -> list.entries, list.count */
};

#define BB_OP_PIN 1u        /* LOOKUP: keep the extent until BB_MSG_UNPIN */
#define BB_OP_NO_REPLACE 2u /* PUT: BB_ERR_EXISTS when the block is stored already */

/* One request. Belongs to the engine from bb_store_submit until config.reply. */
struct bb_op {
    enum bb_op_kind kind;
    uint32_t flags;
    int result;
    uint32_t size; /* bytes */
    struct bb_hash hash;
    uint64_t unit;
    uint32_t order;     /* RESERVE: buddy order; PUT: order of the extent it was given */
    uint32_t run_count; /* RESERVE: extents wanted in, extents that follow each other out */
    union {
        struct {
            const struct bb_hash *hashes;
            uint8_t *stored; /* 1: stored and not marked corrupt */
            uint32_t count;
        } exists;
        struct {
            struct bb_hash after;
            bool from_start;
            struct bb_listed *entries;
            uint32_t count; /* capacity in, found out (may be 0 although there is more) */
            bool more;
            struct bb_hash next; /* with more: `after` of the next page */
        } list;
    };
    uint32_t port;       /* index of the worker that asked */
    struct bb_op *next;  /* whoever owns the op */
    uint64_t arrived_us; /* the host's, for its measurements */
    uint64_t sequence;   /* engine's */
    uint64_t generation; /* engine's: validity of the looked-up entry below */
    struct bb_index_entry entry;
    int entry_result;
};

/* What crosses the queues between worker and controller, in bb_message.word:
 * kind 4 bits | credits 10 bits | unit count 10 bits | unit 40 bits. */
enum bb_store_message_kind {
    BB_MSG_OP = 1,         /* pointer: the op; to the controller a request, to the worker a reply */
    BB_MSG_UNPIN = 2,      /* unit */
    BB_MSG_RELEASE = 3,    /* units unit..unit+count go back, with `credits` reservations; no write
                              to them is in flight */
    BB_MSG_QUARANTINE = 4, /* the same, but a write to them failed: unusable until restart */
    BB_MSG_RECALL = 5,     /* to the worker: give all pools back, then answer BB_MSG_RECALLED */
    BB_MSG_RECALLED = 6,
};

static inline uint64_t bb_message_word(enum bb_store_message_kind kind, uint32_t credits,
                                       uint32_t count, uint64_t unit)
{
    return (uint64_t)kind | (uint64_t)credits << 4 | (uint64_t)count << 14 | unit << 24;
}
static inline enum bb_store_message_kind bb_message_kind(uint64_t word)
{
    return (enum bb_store_message_kind)(word & 15);
}

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
    uint64_t puts, duplicates, deletes, heals, marks;
    struct bb_scrub_status scrub;
    struct bb_trim_status trim;
};

/* Bytes the engine wants for itself besides config.memory and the buddy allocator. */
BB_MUST_USE int bb_store_open(const struct bb_store_config *config, struct bb_store **ret_store);

/* The allocator has been filled from the index (fill.h) and `set` was counted on the way: writes
 * are accepted from here on. BB_ERR_SET_MISMATCH when it differs from the anchor: then reads only.
 */
BB_MUST_USE int bb_store_ready(struct bb_store *store, struct bb_buddy *buddy,
                               const struct bb_set *set);

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
