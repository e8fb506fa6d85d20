/* SPDX-License-Identifier: Apache-2.0
 * Operations of the rig and their oracle: per id the set of states that may be true. An operation
 * adds what it may lead to when it starts, and leaves one state when it is acknowledged. */
#include "rig.h"

#include "../../src/store/engine.h"

#include "bb/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rig_content(const struct rig *rig, uint32_t id, uint8_t *ret_bytes)
{
    struct bb_random random;
    bb_random_seed(&random, id + 1);
    bb_random_fill(&random, ret_bytes, rig->sizes[id]);
}

void rig_violation(struct rig *rig, uint32_t id, int result, const char *what)
{
    if (rig->violations++ < 20 && !rig->config.quiet) {
        fprintf(stderr, "seed %llu: id %u, result %d (%s), allowed %u: %s\n",
                (unsigned long long)rig->config.seed, id, result, bb_err_text(result),
                rig->allowed[id], what);
    }
}

static void violation(struct rig_op *op, const char *what)
{
    if (!op->rig->config.quiet) {
        fprintf(stderr, "kind %d, allowed at start %u: ", (int)op->kind, op->allowed_at_start);
    }
    rig_violation(op->rig, op->id, op->request.result, what);
}

static void op_end(struct rig_op *op)
{
    op->busy = false;
    op->rig->acked++;
}

/* From here on the id may be in one of `states`; who is under way may still find it so. */
static void allow(struct rig *rig, uint32_t id, unsigned states)
{
    rig->allowed[id] = (uint8_t)states;
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        if (rig->ops[i].busy && rig->ops[i].id == id) {
            rig->ops[i].allowed_since |= (uint8_t)states;
        }
    }
}

/* The id was in one of `states` at some time since the start of the read. It still is, and stays
 * so, unless somebody was about to change it. */
static void observe(struct rig_op *op, unsigned states, const char *what)
{
    struct rig *rig = op->rig;
    if ((op->allowed_since & states) == 0) {
        violation(op, what);
        allow(rig, op->id, states);
        return;
    }
    bool undone = states == RIG_ABSENT ? op->saw_put : op->saw_delete;
    if (!undone && (rig->allowed[op->id] & states) != 0) {
        allow(rig, op->id, rig->allowed[op->id] & states);
    }
}

static void found_at(struct rig_op *op)
{
    struct rig *rig = op->rig;
    if (!op->saw_delete && rig->unit[op->id] != op->request.op.unit) {
        rig->unit[op->id] = op->request.op.unit;
        rig->seen_at[op->id] = rig_status(rig).durable;
    }
}

/* Refused before anything could have happened. */
static bool is_refusal(const struct rig *rig, int result)
{
    return result == BB_ERR_NO_SPACE || result == BB_ERR_INDEX_FULL || result == BB_ERR_NOT_READY ||
           result == BB_ERR_BUSY || (rig->config.io_errors && result == BB_ERR_IO);
}

static void put_done(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    struct rig *rig = op->rig;
    if (request->result == 0) {
        if ((op->allowed_at_start & (RIG_ABSENT | RIG_MARKED)) == 0) {
            violation(op, "PUT created what was there");
        }
        allow(rig, op->id, RIG_PRESENT);
        found_at(op);
    } else if (request->result == 1) {
        observe(op, RIG_PRESENT | RIG_ROTTEN, "PUT found what was not there");
    } else if (is_refusal(rig, request->result)) {
        if (!op->saw_put) {
            allow(rig, op->id, op->allowed_at_start);
        }
    } else if (request->result != BB_ERR_FATAL) {
        violation(op, "PUT failed");
    }
    op_end(op);
}

static void put_reserved(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    if (request->result != 0) {
        put_done(request);
        return;
    }
    rig_content(op->rig, op->id, op->buf);
    request->buf = op->buf;
    request->done = put_done;
    bb_port_put(op->rig->ports[op->port], request);
    if (op->rig->config.canary_early == 1) {
        allow(op->rig, op->id, RIG_PRESENT);
    }
}

static void abort_reserved(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    if (request->result == 0) {
        bb_port_release(op->rig->ports[op->port], request);
    } else if (request->result != BB_ERR_FATAL && !is_refusal(op->rig, request->result)) {
        violation(op, "reservation failed");
    }
    op_end(op);
}

static void delete_done(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    struct rig *rig = op->rig;
    unsigned before = op->allowed_at_start;
    if (request->result == 0 || request->result == -ENOENT) {
        unsigned needed = request->result == 0 ? RIG_PRESENT | RIG_ROTTEN | RIG_MARKED : RIG_ABSENT;
        if ((before & needed) == 0) {
            violation(op, "DELETE saw another state");
        }
        allow(rig, op->id, RIG_ABSENT);
    } else if (is_refusal(rig, request->result)) {
        allow(rig, op->id, before);
    } else if (request->result != BB_ERR_FATAL) {
        violation(op, "DELETE failed");
    }
    op_end(op);
}

static void mark_done(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    if (request->result == 0) {
        allow(op->rig, op->id, RIG_MARKED);
    } else if (is_refusal(op->rig, request->result)) {
        allow(op->rig, op->id, RIG_ROTTEN);
    } else if (request->result != BB_ERR_FATAL) {
        violation(op, "MARK failed");
    }
    op_end(op);
}

static void get_read(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    struct rig *rig = op->rig;
    bb_port_unpin(rig->ports[op->port], request);
    if (request->result != 0) {
        if (!rig->config.io_errors) {
            violation(op, "GET could not read");
        }
        op_end(op);
        return;
    }
    struct bb_hash hash;
    bb_hash_of(op->buf, request->op.size, &hash);
    if (bb_hash_equal(&hash, &rig->hashes[op->id])) {
        observe(op, RIG_PRESENT, "GET read what cannot be");
        found_at(op);
        op_end(op);
        return;
    }
    if ((op->allowed_since & RIG_ROTTEN) == 0) {
        violation(op, "GET read wrong bytes");
        op_end(op);
        return;
    }
    allow(rig, op->id, RIG_ROTTEN | RIG_MARKED);
    request->done = mark_done;
    bb_port_mark(rig->ports[op->port], request);
}

static void get_found(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    if (request->result == 0 && op->kind == RIG_GET) {
        if ((op->allowed_since & (RIG_PRESENT | RIG_ROTTEN)) == 0) {
            violation(op, "GET found what is not there");
        }
        request->buf = op->buf;
        request->done = get_read;
        bb_port_read(op->rig->ports[op->port], request);
        return;
    }
    if (request->result == 0) {
        observe(op, RIG_PRESENT | RIG_ROTTEN, "HEAD found what is not there");
    } else if (request->result == BB_ERR_CORRUPT) {
        observe(op, RIG_MARKED, "read found a mark that cannot be");
    } else if (request->result == -ENOENT) {
        observe(op, RIG_ABSENT, "read did not find what is there");
    } else {
        violation(op, "read failed");
    }
    op_end(op);
}

static void op_start(struct rig *rig, struct rig_op *op)
{
    struct bb_port *port = rig->ports[op->port];
    unsigned allowed = rig->allowed[op->id];
    switch (op->kind) {
    case RIG_PUT:
        if ((allowed & (RIG_ABSENT | RIG_MARKED)) != 0) {
            allow(rig, op->id, allowed | RIG_PRESENT);
            rig->unit[op->id] = 0;
        }
        op->request.done = put_reserved;
        bb_port_reserve(port, &op->request);
        break;
    case RIG_DELETE:
        allow(rig, op->id, rig->config.canary_early == 2 ? RIG_ABSENT : allowed | RIG_ABSENT);
        rig->unit[op->id] = 0;
        op->request.done = delete_done;
        bb_port_delete(port, &op->request);
        break;
    case RIG_ABORT:
        op->request.done = abort_reserved;
        bb_port_reserve(port, &op->request);
        break;
    default:
        op->request.done = get_found;
        op->request.flags = op->kind == RIG_GET ? BB_OP_PIN : 0;
        bb_port_lookup(port, &op->request);
        break;
    }
}

/* Which operations on one id may overlap so that the oracle can still tell right from wrong. */
static bool may_meet(const struct rig *rig, enum rig_kind kind, const struct rig_op *other)
{
    if ((rig->allowed[other->id] & (RIG_ROTTEN | RIG_MARKED)) != 0) {
        return false;
    }
    bool changes = kind == RIG_PUT || kind == RIG_DELETE;
    bool other_changes = other->kind == RIG_PUT || other->kind == RIG_DELETE;
    return !changes || !other_changes || (kind == RIG_PUT && other->kind == RIG_PUT);
}

/* A free slot; NULL: none, or the id is busy. */
static struct rig_op *choose_op(struct rig *rig, enum rig_kind kind, uint32_t id)
{
    struct rig_op *op = NULL;
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        if (!rig->ops[i].busy) {
            op = &rig->ops[i];
        } else if (rig->ops[i].id == id && !may_meet(rig, kind, &rig->ops[i])) {
            return NULL;
        }
    }
    return op;
}

/* The new one and those under way on its id learn of each other. */
static void meet(struct rig *rig, struct rig_op *op)
{
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        struct rig_op *other = &rig->ops[i];
        if (other == op || !other->busy || other->id != op->id) {
            continue;
        }
        op->saw_put |= other->kind == RIG_PUT;
        op->saw_delete |= other->kind == RIG_DELETE;
        other->saw_put |= op->kind == RIG_PUT;
        other->saw_delete |= op->kind == RIG_DELETE;
    }
}

struct rig_op *rig_submit(struct rig *rig, enum rig_kind kind, uint32_t id)
{
    BB_ASSERT(id < rig->config.id_count);
    struct rig_op *op = choose_op(rig, kind, id);
    if (op == NULL) {
        return NULL;
    }
    op->busy = true;
    op->kind = kind;
    op->id = id;
    op->port = (uint32_t)bb_random_below(&rig->random, rig->config.port_count);
    op->allowed_at_start = op->allowed_since = rig->allowed[id];
    op->saw_put = op->saw_delete = false;
    meet(rig, op);
    memset(&op->request, 0, sizeof(op->request));
    op->request.op.hash = rig->hashes[id];
    op->request.op.size = rig->sizes[id];
    rig->op_count++;
    op_start(rig, op);
    return op;
}

int rig_do(struct rig *rig, enum rig_kind kind, uint32_t id)
{
    struct rig_op *op = rig_submit(rig, kind, id);
    BB_ASSERT(op != NULL);
    return rig_settle(rig) ? op->request.result : BB_ERR_CANCELLED;
}

/* ---- checking ---- */

uint64_t rig_check(struct rig *rig)
{
    uint64_t before = rig->violations;
    for (uint32_t id = 0; id < rig->config.id_count; id++) {
        while (rig_submit(rig, RIG_GET, id) == NULL) {
            if (!rig_settle(rig)) {
                return rig->violations - before;
            }
        }
    }
    if (rig_settle(rig)) {
        bb_store_verify(rig->store);
    }
    return rig->violations - before;
}

bool rig_balance(struct rig *rig)
{
    struct bb_store_status status = rig_status(rig);
    uint64_t units = status.used_units + status.quarantined_units + rig->store->trim.held.count;
    uint64_t credits = 0;
    units += bb_buddy_free_units(rig->buddy);
    for (uint32_t port = 0; port < rig->config.port_count; port++) {
        for (unsigned order = 0; order < BB_ORDER_COUNT; order++) {
            uint64_t pooled = bb_port_pooled_extents(rig->ports[port], order);
            credits += pooled;
            units += pooled << order;
        }
    }
    bb_store_verify(rig->store);
    if (units == bb_buddy_total_units(rig->buddy) && credits == rig->store->reserve.credits) {
        return true;
    }
    fprintf(stderr,
            "units %llu of %llu, credits in pools %llu of %llu: ", (unsigned long long)units,
            (unsigned long long)bb_buddy_total_units(rig->buddy), (unsigned long long)credits,
            (unsigned long long)rig->store->reserve.credits);
    rig_violation(rig, 0, 0, "units or credits leak");
    return false;
}

static unsigned state_of(struct rig *rig, uint32_t id, void *buf)
{
    struct bb_index index = memindex_index(rig->mem);
    struct bb_index_entry entry;
    int result = index.ops->lookup(index.context, &rig->hashes[id], &entry);
    if (result == -ENOENT) {
        return RIG_ABSENT;
    }
    BB_ASSERT(result == 0);
    if ((entry.flags & BB_INDEX_CORRUPT) != 0) {
        return RIG_MARKED;
    }
    if (entry.size != rig->sizes[id]) {
        return 0;
    }
    struct bb_hash hash;
    bb_sim_peek(rig->sim, entry.unit * BB_UNIT_SIZE, buf, entry.size);
    bb_hash_of(buf, entry.size, &hash);
    return bb_hash_equal(&hash, &rig->hashes[id]) ? RIG_PRESENT : RIG_ROTTEN;
}

uint64_t rig_check_index(struct rig *rig)
{
    uint64_t before = rig->violations, found = 0;
    for (uint32_t id = 0; id < rig->config.id_count; id++) {
        unsigned state = state_of(rig, id, rig->ops[0].buf);
        found += state != RIG_ABSENT;
        if ((state & rig->allowed[id]) == 0) {
            if (!rig->config.quiet) {
                fprintf(stderr, "state %u: ", state);
            }
            rig_violation(rig, id, 0, "not as the oracle allows");
        }
    }
    if (found != memindex_count(rig->mem)) {
        rig_violation(rig, 0, 0, "the index holds blocks that were never stored");
    }
    return rig->violations - before;
}

int rig_trim(struct rig *rig)
{
    BB_ASSERT(rig->config.trims);
    rig->woken = true;
    return bb_store_trim_start(rig->store);
}

bool rig_rot(struct rig *rig, uint32_t id)
{
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        if (rig->ops[i].busy && rig->ops[i].id == id) {
            return false;
        }
    }
    /* a durable record behind the one that was D carries that D: its items are not re-hashed */
    if (rig->allowed[id] != RIG_PRESENT || rig->unit[id] == 0 || rig->sizes[id] == 0 ||
        (rig_status(rig).durable <= rig->seen_at[id] &&
         rig->seen_at[id] > rig->recovered.last.sequence)) {
        return false;
    }
    uint8_t byte;
    uint64_t offset = rig->unit[id] * BB_UNIT_SIZE + rig->sizes[id] / 2;
    bb_sim_peek(rig->sim, offset, &byte, 1);
    byte ^= 0x10;
    bb_sim_poke(rig->sim, offset, &byte, 1);
    allow(rig, id, RIG_ROTTEN);
    rig->unit[id] = 0;
    return true;
}
