/* SPDX-License-Identifier: Apache-2.0
 * A worker's side of the store: reserve, write and commit a block; look up, read and unpin one;
 * delete, mark, list. Data moves between the worker's buffers and the device here; the engine only
 * sees hashes and extents.
 *
 * Every call takes a struct bb_request that belongs to the port until its done function runs. done
 * is called from bb_port_turn or from the worker's I/O completions, never from inside the call
 * itself. Owner: the worker's thread.
 *
 * A PUT:  reserve -> (body arrives, is hashed) -> put, or release when there is nothing to store.
 * A GET:  lookup with pin -> read -> unpin; the caller compares the hash and calls mark on
 * mismatch.
 */
#ifndef BB_PORT_H
#define BB_PORT_H

#include "bb/store.h"

struct bb_port;

struct bb_request {
    struct bb_op op; /* first: a reply finds its request; hash, size and lists are set in here */
    void (*done)(struct bb_request *request);
    int result;     /* 0, 1 (PUT: already stored) or a negative error */
    void *buf;      /* PUT, READ: 4096 aligned, op.size rounded up to 4096 */
    uint32_t flags; /* BB_OP_PIN, BB_OP_NO_REPLACE */
    struct bb_io_request io;
    struct bb_port *port; /* while a write is in flight */
};

struct bb_port_config {
    uint32_t index;   /* number of this worker */
    struct bb_io *io; /* the worker's data device */
    struct bb_arena *arena;
    /* Towards the controller. send returns false when the queue is full; the port tries again in
     * its next turn. */
    void *context;
    bool (*send)(void *context, struct bb_message message);
    uint32_t pending_max; /* messages the port may have to hold back: 2 x requests + 300 */
};

BB_MUST_USE int bb_port_open(const struct bb_port_config *config, struct bb_port **ret_port);

/* Room for a block of op.size bytes: extent, journal, index. BB_ERR_NO_SPACE, BB_ERR_INDEX_FULL,
 * BB_ERR_BUSY (others hold all reservations), BB_ERR_NOT_READY, BB_ERR_FATAL. */
void bb_port_reserve(struct bb_port *port, struct bb_request *request);
/* Gives a reservation back; no I/O of the request is in flight. No done. */
void bb_port_release(struct bb_port *port, struct bb_request *request);
/* After reserve: op.hash, op.size (not above the reserved size) and buf are set; pads with zeros,
 * writes, commits. result 0: stored and durable; 1: was stored already (durable); BB_ERR_EXISTS
 * with BB_OP_NO_REPLACE. Consumes the reservation in every case. */
void bb_port_put(struct bb_port *port, struct bb_request *request);

/* op.hash -> op.unit, op.size. -ENOENT; BB_ERR_CORRUPT when marked. With BB_OP_PIN and result 0 the
 * extent stays until bb_port_unpin. */
void bb_port_lookup(struct bb_port *port, struct bb_request *request);
/* Reads the pinned extent into buf. */
void bb_port_read(struct bb_port *port, struct bb_request *request);
/* No read of the extent is in flight. No done. */
void bb_port_unpin(struct bb_port *port, struct bb_request *request);
/* The bytes of op.unit do not hash to op.hash. Done when the mark is durable (or impossible). */
void bb_port_mark(struct bb_port *port, struct bb_request *request);

void bb_port_delete(struct bb_port *port, struct bb_request *request);
/* op.exists and op.list as in store.h. */
void bb_port_exists(struct bb_port *port, struct bb_request *request);
void bb_port_list(struct bb_port *port, struct bb_request *request);

/* A message from the controller arrived. */
void bb_port_message(struct bb_port *port, struct bb_message message);
/* Once per loop turn: runs what became ready and sends what was held back. True when something
 * still waits, so the loop must not block for long. */
bool bb_port_turn(struct bb_port *port);
/* Extents of one order that the pools of this port hold: what a balance of all units counts. */
uint64_t bb_port_pooled_extents(const struct bb_port *port, unsigned order);

#endif
