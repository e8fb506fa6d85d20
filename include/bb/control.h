/* SPDX-License-Identifier: Apache-2.0
 * The controller's host: it carries messages between the workers' queues and the engine, lets the
 * index service answer, gives the engine its turn and wakes whoever got something. It runs either
 * inside the loop of worker 0 or in a thread of its own; the code is the same.
 *
 * Owner: the thread that called bb_control_attach. The commands are for one other thread at a time
 * (start-up, later main) and block it until they are carried out; bb_control_wake and the readings
 * at the end are for any thread.
 */
#ifndef BB_CONTROL_H
#define BB_CONTROL_H

#include "bb/indexservice.h"
#include "bb/phase.h"
#include "bb/ring.h"
#include "bb/store.h"

struct bb_control;

/* One worker's pair of queues. The worker pushes to_control and pops to_worker. */
struct bb_link {
    struct bb_queue to_control;
    struct bb_queue to_worker;
    _Atomic(struct bb_ring *) ring; /* the worker's, set once by it */
    _Atomic uint32_t data_writes;   /* the worker's that are on their way, as of its latest turn */
    bool wake;                      /* controller's: something was pushed since the last wake */
};

/* Besides the messages of store.h: pointer is a struct bb_status_request, filled and sent back. */
#define BB_MSG_STATUS 15u

/* What is asked in one turn of the controller: 256 zones or the chunks of one zone of 1 GiB. */
#define BB_MAP_ZONES_MAX 256u
#define BB_MAP_CHUNKS_MAX 1024u

enum bb_question {
    BB_QUESTION_STATUS,
    BB_QUESTION_ZONES,
    BB_QUESTION_CHUNKS,
    BB_QUESTION_TRIM_START, /* no question: carried out, -> result */
    BB_QUESTION_TRIM_STOP,
    BB_QUESTION_SCRUB_START, /* no question: carried out, and the status then */
    BB_QUESTION_SCRUB_PAUSE,
};

struct bb_status_request {
    struct bb_store_status status; /* filled for every question */
    void *owner;
    enum bb_question question;
    int result;           /* TRIM_START: as bb_store_trim_start */
    uint32_t zone;        /* CHUNKS: whose; none are found in one that is not open */
    uint32_t first;       /* zone or chunk to begin with */
    uint32_t count;       /* wanted in, found out */
    uint32_t chunk_count; /* CHUNKS: of the zone */
    union {
        struct bb_buddy_zone zones[BB_MAP_ZONES_MAX];
        struct bb_buddy_chunk chunks[BB_MAP_CHUNKS_MAX];
    };
};

/* Written by the controller, read by any thread. */
struct bb_control_measured {
    struct bb_buckets window_wait; /* microseconds from an op's arrival to its record's departure */
    struct bb_buckets window_items; /* ops per record */
};

struct bb_control_config {
    struct bb_arena *arena;
    unsigned link_count;
    uint32_t link_capacity; /* messages per queue, power of two, more than a worker can have out */
    uint32_t op_max;        /* requests of all workers together */
    struct bb_board *board;
    /* Called by the controller's thread when the store has stopped for good. */
    void (*on_fatal)(void *context, int error, const char *what);
    void *context;
};

BB_MUST_USE int bb_control_open(const struct bb_control_config *config,
                                struct bb_control **ret_control);
/* What open_store brought to life ends with the process or with bb_control_stop; frees nothing. */
struct bb_link *bb_control_link(struct bb_control *control, unsigned index);

/* The calling thread is the owner from here on and `ring` is its ring. */
void bb_control_attach(struct bb_control *control, struct bb_ring *ring);
/* One turn, after the ring's. Milliseconds until it wants to be called again, -1: when something
 * happens. */
int bb_control_turn(struct bb_control *control, uint64_t now_ms);
/* Whether a turn would find something to do; for bb_ring_turn. */
bool bb_control_has_work(void *control);
/* Loop of an own thread, until the board says LEAVING. */
void bb_control_run(struct bb_control *control);

void bb_control_wake(struct bb_control *control);
/* The board's beat, as its loop has last seen it. */
unsigned bb_control_beat(const struct bb_control *control);
/* The index service's on_done: context is the controller. */
void bb_control_answered(void *control);

/* Opens the engine on the controller's ring. io, index port, op_max, port_count, context and the
 * callbacks of `config` are set here; service outlives the engine. */
BB_MUST_USE int bb_control_open_store(struct bb_control *control, struct bb_store_config *config,
                                      struct bb_index_service *service);
BB_MUST_USE int bb_control_ready(struct bb_control *control, struct bb_buddy *buddy,
                                 const struct bb_filled *filled);
/* Clean stop of the engine; returns when it has stopped or failed, after which the engine and the
 * index service are not touched any more. No worker has a request out. */
void bb_control_stop(struct bb_control *control);

const struct bb_control_measured *bb_control_measured(const struct bb_control *control);
/* The ring it lives on, NULL before it runs; for its measurements. */
const struct bb_ring *bb_control_ring(const struct bb_control *control);
/* What the last refusal for want of space found: for the text of a 507. */
uint64_t bb_control_free_units(const struct bb_control *control);
int bb_control_largest_order(const struct bb_control *control);

#endif
