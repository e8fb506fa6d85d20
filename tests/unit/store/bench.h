/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the engine share: a running rig, requests of their own beside the rig's, and
 * faults at chosen requests. Included once per test program.
 */
#ifndef STORE_BENCH_H
#define STORE_BENCH_H

#include "../base/unit.h"

#include "../../../src/store/engine.h"
#include "rig.h"

#include "bb/err.h"

#include <errno.h>

static struct rig rig;

static inline void bench_open(const struct rig_config *config)
{
    rig_open(&rig, config);
    assert_int_equal(rig_start(&rig), 0);
}

/* What the pools of a port hold. */
static inline uint64_t bench_pooled_units(const struct bb_port *port)
{
    uint64_t units = 0;
    for (unsigned order = 0; order < BB_ORDER_COUNT; order++)
        units += bb_port_pooled_extents(port, order) << order;
    return units;
}

static inline void bench_verify_balance(void)
{
    assert_true(rig_balance(&rig));
}

static inline void bench_close(void)
{
    assert_int_equal(rig.violations, 0);
    rig_close(&rig);
}

/* ---- requests of the test's own ---- */

struct call {
    struct bb_request request; /* first */
    bool done;
    struct bb_port *port;
};

static inline void call_done(struct bb_request *request)
{
    struct call *call = (struct call *)request;
    assert_false(call->done);
    call->done = true;
}

static inline void call_reserved(struct bb_request *request)
{
    struct call *call = (struct call *)request;
    if (request->result != 0) {
        call_done(request);
        return;
    }
    request->done = call_done;
    bb_port_put(call->port, request);
}

static inline void call_open(struct call *call, unsigned port)
{
    *call = (struct call){.port = rig.ports[port], .request = {.done = call_done}};
}

static inline void call_id(struct call *call, uint32_t id)
{
    call_open(call, 0);
    call->request.op.hash = rig.hashes[id];
    call->request.op.size = rig.sizes[id];
}

/* A block of the rig by its id, outside of the rig's oracle. buf is filled. */
static inline void call_put(struct call *call, uint32_t id, void *buf)
{
    call_id(call, id);
    rig_content(&rig, id, buf);
    call->request.buf = buf;
    call->request.done = call_reserved;
    bb_port_reserve(call->port, &call->request);
}

static inline void call_delete(struct call *call, uint32_t id)
{
    call_id(call, id);
    bb_port_delete(call->port, &call->request);
}

static inline void call_lookup(struct call *call, uint32_t id, uint32_t flags)
{
    call_id(call, id);
    call->request.flags = flags;
    bb_port_lookup(call->port, &call->request);
}

static inline int call_wait(struct call *call)
{
    assert_true(rig_wait(&rig, &call->done));
    return call->request.result;
}

static inline int bench_lookup(uint32_t id)
{
    struct call call;
    call_lookup(&call, id, 0);
    return call_wait(&call);
}

/* Turns until nothing moves but what a fault holds back. */
static inline void bench_turns(unsigned count)
{
    while (count-- > 0)
        (void)rig_turn(&rig);
}

static inline void *bench_buffer(void)
{
    void *buf = aligned_alloc(BB_UNIT_SIZE, BB_BLOCK_SIZE_MAX);
    assert_non_null(buf);
    return buf;
}

/* ---- faults: at the n-th request of a class and op from now ---- */

struct plan {
    enum bb_io_class class;
    enum bb_io_op op;
    uint64_t countdown; /* 1: the next one; 0: never */
    struct bb_sim_fault fault;
    bool forever; /* all later ones too */
    uint64_t hits;
};

static inline struct bb_sim_fault plan_fault(void *context, const struct bb_io_request *request,
                                             uint64_t number)
{
    struct plan *plan = context;
    (void)number;
    if (plan->countdown == 0 || request->class != plan->class || request->op != plan->op)
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    if (plan->countdown > 1) {
        plan->countdown--;
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    }
    plan->countdown = plan->forever;
    plan->hits++;
    return plan->fault;
}

static inline struct plan plan_fail(enum bb_io_class class, enum bb_io_op op, int error)
{
    return (struct plan){
        .class = class, .op = op, .countdown = 1, .fault = {.kind = BB_SIM_FAIL, .error = error}};
}

static inline void bench_plan(struct plan *plan)
{
    bb_sim_set_fault(rig.sim, plan == NULL ? NULL : plan_fault, plan);
}

#endif
