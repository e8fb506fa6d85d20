/* SPDX-License-Identifier: Apache-2.0
 * A worker's side of the store: pools of reserved extents and the data transfers. Owner: the
 * worker.
 *
 * Per order a pool has two runs of extents that follow each other on the device: one is used up,
 * the next is asked for before the first ends, so that a PUT hardly ever waits for the controller.
 *
 *   PUT:  reserve (from a pool) -> put: WRITE --complete--> commit op --reply--> done
 *                                          --failed--> QUARANTINE, done with the error
 */
#include "bb/port.h"

#include "bb/bits.h"
#include "bb/buddy.h"
#include "bb/err.h"
#include "bb/plant.h"

#include <errno.h>

#define RUN_WANTED 64u /* extents of a run: 64 give 98 % of what merging can give (measured) */

struct run {
    uint64_t unit;
    uint32_t left; /* extents */
};

struct pool {
    struct run current, next;
    struct bb_op grant; /* in flight while asked */
    struct bb_request *head, *tail;
    uint32_t waiting;
    bool asked;
};

struct bb_port {
    struct bb_port_config config;
    struct pool pools[BB_ORDER_COUNT];
    struct bb_message *held; /* ring of messages that found the queue full */
    uint32_t held_first, held_count;
    struct bb_request *ready_head, *ready_tail; /* done runs in the next turn */
};

int bb_port_open(const struct bb_port_config *config, struct bb_port **ret_port)
{
    BB_ASSERT(config->pending_max > 0);
    struct bb_port *port = bb_arena_alloc(config->arena, sizeof(*port), 64);
    if (port == NULL) {
        return BB_ERR_MEMORY;
    }
    port->config = *config;
    port->held = bb_arena_alloc(config->arena, config->pending_max * sizeof(struct bb_message), 64);
    if (port->held == NULL) {
        return BB_ERR_MEMORY;
    }
    *ret_port = port;
    return 0;
}

static void port_send(struct bb_port *port, struct bb_message message)
{
    if (port->held_count == 0 && port->config.send(port->config.context, message)) {
        return;
    }
    BB_ASSERT(port->held_count < port->config.pending_max);
    port->held[(port->held_first + port->held_count++) % port->config.pending_max] = message;
}

static void send_word(struct bb_port *port, enum bb_store_message_kind kind, uint32_t credits,
                      uint32_t count, uint64_t unit)
{
    port_send(port, (struct bb_message){.word = bb_message_word(kind, credits, count, unit)});
}

static void send_op(struct bb_port *port, struct bb_op *op)
{
    op->port = port->config.index;
    port_send(port, (struct bb_message){.word = BB_MSG_OP, .pointer = op});
}

/* ---- pools ---- */

static void ready_push(struct bb_port *port, struct bb_request *request, int result)
{
    request->result = result;
    request->op.next = NULL;
    if (port->ready_tail != NULL) {
        port->ready_tail->op.next = &request->op;
    } else {
        port->ready_head = request;
    }
    port->ready_tail = request;
}

static void pool_ask(struct bb_port *port, struct pool *pool)
{
    unsigned order = (unsigned)(pool - port->pools);
    if (pool->asked || pool->next.left > 0) {
        return;
    }
    pool->asked = true;
    pool->grant.kind = BB_OP_RESERVE;
    pool->grant.order = order;
    pool->grant.run_count = (uint32_t)bb_max_u64(RUN_WANTED >> order, 1);
    pool->grant.run_count =
        (uint32_t)bb_min_u64(bb_max_u64(pool->grant.run_count, pool->waiting), 256);
    send_op(port, &pool->grant);
}

static bool pool_take(struct pool *pool, unsigned order, uint64_t *ret_unit)
{
    if (pool->current.left == 0) {
        pool->current = pool->next;
        pool->next.left = 0;
    }
    if (pool->current.left == 0) {
        return false;
    }
    *ret_unit = pool->current.unit;
    pool->current.unit += (uint64_t)1 << order;
    pool->current.left--;
    return true;
}

static void pool_serve(struct bb_port *port, struct pool *pool)
{
    unsigned order = (unsigned)(pool - port->pools);
    while (pool->head != NULL) {
        struct bb_request *request = pool->head;
        if (!pool_take(pool, order, &request->op.unit)) {
            pool_ask(port, pool);
            return;
        }
        pool->head = (struct bb_request *)(void *)request->op.next;
        if (pool->head == NULL) {
            pool->tail = NULL;
        }
        pool->waiting--;
        ready_push(port, request, 0);
    }
}

static void pool_granted(struct bb_port *port, struct pool *pool)
{
    BB_ASSERT(pool->asked);
    pool->asked = false;
    if (pool->grant.result == 0) {
        BB_ASSERT(pool->next.left == 0);
        pool->next = (struct run){.unit = pool->grant.unit, .left = pool->grant.run_count};
        pool_serve(port, pool);
        return;
    }
    while (pool->head != NULL) { /* the controller tried everything for even one extent */
        struct bb_request *request = pool->head;
        pool->head = (struct bb_request *)(void *)request->op.next;
        ready_push(port, request, pool->grant.result);
    }
    pool->tail = NULL;
    pool->waiting = 0;
}

void bb_port_reserve(struct bb_port *port, struct bb_request *request)
{
    BB_ASSERT(request->op.size <= BB_BLOCK_SIZE_MAX);
    unsigned order = bb_log2_ceil(bb_units_of(request->op.size));
    struct pool *pool = &port->pools[order];
    request->op.order = order;
    request->op.next = NULL;
    if (pool->tail != NULL) {
        pool->tail->op.next = &request->op;
    } else {
        pool->head = request;
    }
    pool->tail = request;
    pool->waiting++;
    pool_serve(port, pool);
    if (pool->current.left + pool->next.left <= (RUN_WANTED >> order) / 4) {
        pool_ask(port, pool);
    }
}

static void run_return(struct bb_port *port, struct run *run, unsigned order)
{
    while (run->left > 0) { /* a message carries at most 512 units */
        uint32_t part = (uint32_t)bb_min_u64(run->left, (uint32_t)256 >> order);
        send_word(port, BB_MSG_RELEASE, part, part << order, run->unit);
        run->unit += (uint64_t)part << order;
        run->left -= part;
    }
}

static void pools_recall(struct bb_port *port)
{
    for (unsigned order = 0; order < BB_ORDER_COUNT; order++) {
        run_return(port, &port->pools[order].current, order);
        run_return(port, &port->pools[order].next, order);
    }
    send_word(port, BB_MSG_RECALLED, 0, 0, 0);
}

uint64_t bb_port_pooled_extents(const struct bb_port *port, unsigned order)
{
    BB_ASSERT(order < BB_ORDER_COUNT);
    return (uint64_t)port->pools[order].current.left + port->pools[order].next.left;
}

/* ---- requests ---- */

void bb_port_release(struct bb_port *port, struct bb_request *request)
{
    send_word(port, BB_MSG_RELEASE, 1, (uint32_t)1 << request->op.order, request->op.unit);
}

/* Planted: write and commit run at the same time, the later one ends the PUT. */
static void put_join(struct bb_request *request)
{
    request->flags ^= 1u << 31;
    if ((request->flags & 1u << 31) == 0) {
        request->result = request->op.result;
        request->done(request);
    }
}

static void put_written(struct bb_io_request *io)
{
    struct bb_request *request = BB_CONTAINER(io, struct bb_request, io);
    struct bb_port *port = request->port;
    if (bb_planted(ITEM_BEFORE_DATA)) {
        put_join(request);
        return;
    }
    if (io->result != 0 && !(bb_planted(SHORT_WRITE_ACCEPTED) && io->result == BB_ERR_SHORT_IO)) {
        send_word(port, bb_planted(FAILED_EXTENT_REUSED) ? BB_MSG_RELEASE : BB_MSG_QUARANTINE, 1,
                  (uint32_t)1 << request->op.order, request->op.unit);
        request->result = io->result == -ENOSPC ? BB_ERR_NO_SPACE : BB_ERR_IO;
        request->done(request);
        return;
    }
    BB_KILL_POINT(DATA_WRITTEN);
    request->op.kind = BB_OP_PUT;
    request->op.flags = request->flags;
    send_op(port, &request->op);
}

void bb_port_put(struct bb_port *port, struct bb_request *request)
{
    uint32_t units = bb_units_of(request->op.size);
    BB_ASSERT(units <= (uint32_t)1 << request->op.order);
    uint32_t size = units * BB_UNIT_SIZE;
    memset((uint8_t *)request->buf + request->op.size, 0, size - request->op.size);
    request->port = port;
    bb_io_prepare(&request->io, BB_IO_WRITE, BB_IO_DATA, request->op.unit * BB_UNIT_SIZE,
                  request->buf, size, put_written);
    bb_io_submit(port->config.io, &request->io);
    if (bb_planted(ITEM_BEFORE_DATA)) {
        request->op.kind = BB_OP_PUT;
        request->op.flags = request->flags;
        send_op(port, &request->op);
    }
}

static void read_done(struct bb_io_request *io)
{
    struct bb_request *request = BB_CONTAINER(io, struct bb_request, io);
    request->result = io->result;
    request->done(request);
}

void bb_port_read(struct bb_port *port, struct bb_request *request)
{
    bb_io_prepare(&request->io, BB_IO_READ, BB_IO_DATA, request->op.unit * BB_UNIT_SIZE,
                  request->buf, bb_units_of(request->op.size) * BB_UNIT_SIZE, read_done);
    bb_io_submit(port->config.io, &request->io);
}

static void ask(struct bb_port *port, struct bb_request *request, enum bb_op_kind kind)
{
    request->op.kind = kind;
    request->op.flags = request->flags;
    send_op(port, &request->op);
}

void bb_port_lookup(struct bb_port *port, struct bb_request *request)
{
    ask(port, request, BB_OP_LOOKUP);
}

void bb_port_unpin(struct bb_port *port, struct bb_request *request)
{
    send_word(port, BB_MSG_UNPIN, 0, 0, request->op.unit);
}

void bb_port_mark(struct bb_port *port, struct bb_request *request)
{
    ask(port, request, BB_OP_MARK);
}

void bb_port_delete(struct bb_port *port, struct bb_request *request)
{
    ask(port, request, BB_OP_DELETE);
}

void bb_port_exists(struct bb_port *port, struct bb_request *request)
{
    ask(port, request, BB_OP_EXISTS);
}

void bb_port_list(struct bb_port *port, struct bb_request *request)
{
    ask(port, request, BB_OP_LIST);
}

void bb_port_message(struct bb_port *port, struct bb_message message)
{
    if (bb_message_kind(message.word) == BB_MSG_RECALL) {
        pools_recall(port);
        return;
    }
    BB_ASSERT(bb_message_kind(message.word) == BB_MSG_OP);
    struct bb_op *op = message.pointer;
    if (op->kind == BB_OP_RESERVE) {
        pool_granted(port, BB_CONTAINER(op, struct pool, grant));
        return;
    }
    struct bb_request *request = BB_CONTAINER(op, struct bb_request, op);
    if (bb_planted(ITEM_BEFORE_DATA) && op->kind == BB_OP_PUT) {
        put_join(request);
        return;
    }
    request->result = op->result;
    request->done(request);
}

bool bb_port_turn(struct bb_port *port)
{
    struct bb_request *ready = port->ready_head;
    port->ready_head = port->ready_tail = NULL;
    while (ready != NULL) {
        struct bb_request *request = ready;
        ready = (struct bb_request *)(void *)request->op.next;
        request->op.next = NULL;
        request->done(request);
    }
    while (port->held_count > 0 &&
           port->config.send(port->config.context, port->held[port->held_first])) {
        port->held_first = (port->held_first + 1) % port->config.pending_max;
        port->held_count--;
    }
    return port->held_count > 0 || port->ready_head != NULL;
}
