/* SPDX-License-Identifier: Apache-2.0
 * What workers ask of the engine: operations, and the messages that carry them over the queues
 * between a worker and the controller.
 *
 * Owner: an op belongs to the engine from bb_store_submit until config.reply, else to who asks.
 */
#ifndef BB_OP_H
#define BB_OP_H

#include "bb/index.h"

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

#endif
