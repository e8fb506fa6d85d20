/* SPDX-License-Identifier: Apache-2.0
 * What the daemon can do right now, as every thread sees it: from recovery over reads and writes to
 * the end. Readiness, the 503 of a starting or stopping server and their progress come from here.
 *
 *   RECOVERING -> READING -> READY -> DRAINING -> STOPPING -> LEAVING
 *
 * Written by the start-up thread, then by the main thread; FATAL is a flag of its own, set by the
 * controller. Read by all threads; all fields are atomic.
 */
#ifndef BB_PHASE_H
#define BB_PHASE_H

#include "bb/assert.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bb_phase {
    BB_PHASE_RECOVERING, /* nothing but health and status is answered */
    BB_PHASE_READING,    /* reads are served, the allocator is being filled */
    BB_PHASE_READY,      /* reads and writes, or what there is with --read-only */
    BB_PHASE_DRAINING,   /* what runs may finish, no new writes */
    BB_PHASE_STOPPING,   /* connections end, the engine stops */
    BB_PHASE_LEAVING,    /* threads return */
};

struct bb_board {
    _Atomic int phase;
    _Atomic(const char *) step;      /* static text: what start-up is doing */
    _Atomic uint64_t done, total;    /* of that step; total 0: unknown */
    _Atomic(const char *) read_only; /* static text: why writes will not be accepted, or NULL */
    _Atomic bool fatal;
    _Atomic unsigned
        beat; /* counted up by the main thread; every loop repeats it once it has seen it */
    uint64_t started_ms; /* bb_clock_ms at start; constant */
};

enum bb_need { BB_NEED_READ, BB_NEED_WRITE };

void bb_board_init(struct bb_board *board, uint64_t now_ms);
enum bb_phase bb_board_phase(const struct bb_board *board);
void bb_board_set_phase(struct bb_board *board, enum bb_phase phase);
void bb_board_progress(struct bb_board *board, const char *step, uint64_t done, uint64_t total);

/* Whether a new request of this kind may be served now. */
bool bb_board_allows(const struct bb_board *board, enum bb_need need);
/* Whether /readyz says 200: all that this server was started for is served. */
bool bb_board_ready(const struct bb_board *board);

#define BB_BOARD_TEXT_MAX 200u
/* One line without newline: "recovering: journal 12 of 40". Bytes written without the terminator.
 */
size_t bb_board_text(const struct bb_board *board, char ret_text[static BB_BOARD_TEXT_MAX]);
/* One word for /status: "recovering", "reading", "ready", "read-only", "draining", "failed". */
const char *bb_board_word(const struct bb_board *board);

#endif
