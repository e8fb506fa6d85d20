/* SPDX-License-Identifier: Apache-2.0
 * The inside of trim: its state in struct bb_store, and what the rest of the engine calls. What it
 * does, and why that is safe, is in bb/trim.h. Owner: the controller. Part of engine.h. */
#ifndef BB_STORE_TRIM_H
#define BB_STORE_TRIM_H

#include "bb/store.h"

enum trim_state { TRIM_OFF, TRIM_DUE, TRIM_AGING, TRIM_FOLDING, TRIM_PASSING };
struct trim_run {
    uint64_t unit, count;
};
struct trim {
    enum trim_state state;
    bool watching;              /* what is freed is noted; never again not */
    bool freed;                 /* something was, since the look */
    bool paused;                /* resume_ms is that behind the newest discard */
    uint64_t *young, *clean;    /* bit per chunk: freed since the look; discarded */
    uint64_t word_count;        /* of each */
    uint32_t zone_chunks;       /* chunk c of zone z is bit z * zone_chunks + c */
    uint32_t zone, chunk;       /* cursor */
    uint32_t position;          /* of it in the chunk, units */
    uint64_t looked_ms, age_ms; /* the look, and how long it waits */
    uint64_t looked_end;        /* delta position: the look's DELETEs are below it */
    uint64_t started_ms, resume_ms;
    struct trim_run held; /* being discarded; count 0: nothing is */
    struct bb_io_request request;
    struct bb_trim_status status;
};

int trim_open(struct bb_store *store);
void trim_ready(struct bb_store *store);
/* While watching: these units have become free. */
void trim_freed(struct bb_store *store, uint64_t unit, uint64_t count);
/* While not OFF. */
void trim_turn(struct bb_store *store);
/* Milliseconds until the next turn: wait_ms, or less. */
int trim_deadline(const struct bb_store *store, int wait_ms);
void trim_get_status(const struct bb_store *store, struct bb_trim_status *ret_status);
/* An extent is out of the allocator for a while. */
bool trim_holds(const struct bb_store *store);
/* For planted bugs: discards what is used. */
void trim_at_once(struct bb_store *store, uint64_t unit, uint64_t count);

#endif
