/* SPDX-License-Identifier: Apache-2.0
 * The planned fault of faults.h, and what each completion must then be. */
#include "faults.h"

#include "bb/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct faults faults;

static const char *const way_names[] = {"EIO, not applied",
                                        "EIO, partly applied",
                                        "EIO, applied",
                                        "ENOSPC",
                                        "short",
                                        "cancelled",
                                        "never",
                                        "late"};
static const char *const span_names[] = {"once", "six", "for ever", "for ever of its sort"};

void faults_complain(const char *what, int result)
{
    if (faults.violations++ < 20 && !faults.rig.config.quiet) {
        fprintf(stderr,
                "errors: seed %llu, %s %llu, %s, %s; first struck: class %d, op %d%s: %s: %s %s\n",
                (unsigned long long)faults.rig.config.seed,
                faults.plan.in_index ? "fold" : "request", (unsigned long long)faults.plan.at,
                way_names[faults.plan.way], span_names[faults.plan.span], (int)faults.plan.class,
                (int)faults.plan.op, faults.plan.in_start ? ", of a start" : "", what,
                result == 0 ? "" : bb_err_text(result), faults.rig.explain.text);
    }
}

/* ---- faults ---- */

bool faults_is_failure(enum way way)
{
    return way < NEVER;
}

int faults_error(enum way way, enum bb_io_op op)
{
    switch (way) {
    case NOSPACE:
        return -ENOSPC;
    case CANCELLED:
        return -ECANCELED;
    case SHORT:
        return op == BB_IO_FLUSH ? -EIO : BB_ERR_SHORT_IO;
    default:
        return -EIO;
    }
}

static bool hits(const struct bb_io_request *request)
{
    if (faults.plan.at == 0 || faults.plan.in_index || faults.plan.count < faults.plan.at) {
        return false;
    }
    switch (faults.plan.span) {
    case ONCE:
        return faults.plan.count == faults.plan.at;
    case SIX:
        return faults.plan.count < faults.plan.at + 6;
    case FOR_EVER:
        return true;
    default:
        return faults.plan.struck == 0 ||
               (request->class == faults.plan.class && request->op == faults.plan.op);
    }
}

/* What the store must make of it. */
static void note(const struct bb_io_request *request)
{
    if (faults.plan.struck++ == 0) {
        faults.plan.class = request->class;
        faults.plan.op = request->op;
    }
    if (!faults.rig.running) {
        faults.plan.in_start = true;
        faults.plan.start_changed |= request->op != BB_IO_READ && faults.plan.way != LATE;
        faults.plan.start_reads +=
            request->class == BB_IO_DATA && faults_is_failure(faults.plan.way);
    } else if (request->class == BB_IO_DATA) {
        const struct rig_op *op = (const void *)BB_CONTAINER(request, struct bb_request, io);
        size_t at = (size_t)(op - faults.rig.ops);
        BB_ASSERT(at < RIG_OP_MAX);
        int error = faults_error(faults.plan.way, request->op);
        if (faults.plan.way == NEVER) {
            faults.ops[at].stuck = true;
        } else if (faults_is_failure(faults.plan.way) && request->op == BB_IO_READ) {
            faults.ops[at].expected = error;
        } else if (faults_is_failure(faults.plan.way)) {
            faults.ops[at].expected = error == -ENOSPC ? BB_ERR_NO_SPACE : BB_ERR_IO;
            faults.plan.lost_units += (uint64_t)1 << op->request.op.order;
        }
    } else {
        faults.plan.ends |= faults_is_failure(faults.plan.way);
        faults.plan.commit_stuck |= faults.plan.way == NEVER &&
                                    (request->class == BB_IO_JOURNAL || request->op == BB_IO_FLUSH);
    }
    faults.plan.stuck |= faults.plan.way == NEVER && faults.rig.running;
    faults.plan.flush_failed |= request->op == BB_IO_FLUSH && faults_is_failure(faults.plan.way);
}

/* A start waits for each request: when one never completes, its process ends there. */
static void die_in_start(void)
{
    if (!faults.rig.running && faults.plan.way == NEVER && !faults.plan.lie &&
        !faults.plan.in_index && faults.plan.count + 1 == faults.plan.at) {
        bb_sim_cut_at(faults.rig.sim, 1);
    }
}

struct bb_sim_fault faults_strike(void *context, const struct bb_io_request *request,
                                  uint64_t number)
{
    (void)context;
    (void)number;
    faults.plan.count++;
    if (request->op == BB_IO_FLUSH && faults.plan.flush_failed) {
        faults_complain("a flush after one that failed", 0);
    }
    die_in_start();
    if (!hits(request)) {
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    }
    note(request);
    if (faults.plan.lie) {
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    }
    switch (faults.plan.way) {
    case NEVER:
        return (struct bb_sim_fault){.kind = BB_SIM_HANG};
    case LATE:
        return (struct bb_sim_fault){.kind = BB_SIM_LATE, .polls = 25};
    case SHORT:
        if (request->op != BB_IO_FLUSH) {
            return (struct bb_sim_fault){.kind = BB_SIM_SHORT};
        }
        break;
    default:
        break;
    }
    enum bb_sim_applied applied = faults.plan.way == PARTLY  ? BB_SIM_PARTLY
                                  : faults.plan.way == FULLY ? BB_SIM_FULLY
                                                             : BB_SIM_NOT;
    return (struct bb_sim_fault){.kind = BB_SIM_FAIL,
                                 .error = faults_error(faults.plan.way, request->op),
                                 .applied = applied};
}

/* Folds that never end or end late; those that fail are memindex's. */
static void index_turn(void)
{
    if (faults.plan.at == 0 || !faults.plan.in_index || faults_is_failure(faults.plan.way) ||
        faults.plan.lie || memindex_fold_count(faults.rig.mem) != faults.plan.at - 1) {
        faults.rig.index_paused = false;
        return;
    }
    faults.rig.index_paused = faults.plan.way == NEVER || faults.plan.index_turns < 25;
    if (memindex_pending(faults.rig.mem) > 0) {
        faults.plan.struck = 1;
        faults.plan.index_turns++;
        faults.plan.stuck |= faults.plan.way == NEVER;
    }
}

/* ---- the script's verbs; all return when the store fails or something is stuck ---- */

static bool is_write(enum rig_kind kind)
{
    return kind == RIG_PUT || kind == RIG_DELETE;
}

static void op_ended(size_t at)
{
    int result = faults.rig.ops[at].request.result;
    bool done = result == 0 || result == 1;
    faults.ops[at].tracked = false;
    if (faults.ops[at].expected != 0) {
        if (result != faults.ops[at].expected) {
            faults_complain("a failed transfer ended an operation in another way", result);
        }
        faults.ops[at].expected = 0;
        faults.failed_transfers++;
    } else if (!done && result != -ENOENT && result != BB_ERR_CORRUPT &&
               (result != BB_ERR_FATAL || faults.rig.fatal == 0)) {
        faults_complain("an operation failed whose transfers did not", result);
    }
    /* in the turn itself answers may be on their way that were given before */
    if (is_write(faults.rig.ops[at].kind) && done && faults.plan.fatal_turns > 0) {
        faults_complain("acknowledged after the end", 0);
    }
    if (is_write(faults.rig.ops[at].kind) && result == 0 && faults.plan.commit_stuck_turns > 0) {
        faults_complain("acknowledged without its record and flush", 0);
    }
}

bool faults_turn(void)
{
    if (faults.plan.over) {
        return false;
    }
    index_turn();
    bool moved = rig_turn(&faults.rig);
    for (size_t i = 0; i < RIG_OP_MAX; i++) {
        if (faults.ops[i].tracked && !faults.rig.ops[i].busy) {
            op_ended(i);
        }
    }
    faults.plan.fatal_turns += faults.rig.fatal != 0;
    faults.plan.commit_stuck_turns += faults.plan.commit_stuck;
    faults.plan.stuck_turns += faults.plan.stuck;
    faults.plan.over =
        faults.rig.fatal != 0 || faults.plan.stuck_turns > 120 || bb_sim_is_dead(faults.rig.sim);
    return moved;
}

bool faults_any_waits(void)
{
    for (size_t i = 0; i < RIG_OP_MAX; i++) {
        if (faults.rig.ops[i].busy && !faults.ops[i].stuck) {
            return true;
        }
    }
    return false;
}

struct rig_op *faults_submit(enum rig_kind kind, uint32_t id)
{
    struct rig_op *op = rig_submit(&faults.rig, kind, id);
    if (op != NULL) {
        size_t at = (size_t)(op - faults.rig.ops);
        faults.ops[at].tracked = true;
        faults.ops[at].stuck = false;
        faults.ops[at].expected = 0;
    }
    return op;
}

void faults_settle(void)
{
    for (unsigned idle = 0; faults_any_waits() && !faults.plan.over;) {
        idle = faults_turn() ? 0 : idle + 1;
        if (idle > 3 && !faults.plan.over) {
            faults_complain("an operation is never woken", 0);
            faults.plan.over = true;
        }
    }
}

void faults_some(enum rig_kind kind, uint32_t from, uint32_t to)
{
    for (uint32_t id = from; id < to && !faults.plan.over; id++) {
        (void)faults_submit(kind, id);
        (void)faults_turn();
    }
    faults_settle();
}

void faults_idle(uint64_t ms)
{
    for (uint64_t end = faults.rig.now_ms + ms; !faults.plan.over && faults.rig.now_ms < end;) {
        faults.rig.now_ms += bb_min_u64(end - faults.rig.now_ms, ms > 1000 ? 250 : 25);
        for (unsigned still = 0; still < 3 && !faults.plan.over;) {
            still = faults_turn() ? 0 : still + 1;
        }
    }
}

void faults_checkpoint(void)
{
    if (faults.plan.over) {
        return;
    }
    uint64_t before = rig_status(&faults.rig).checkpoints;
    bb_store_checkpoint(faults.rig.store);
    faults.rig.woken = true;
    for (unsigned still = 0;
         still < 5 && !faults.plan.over && rig_status(&faults.rig).checkpoints == before;) {
        still = faults_turn() ? 0 : still + 1;
    }
}

/* A recovery keeps and marks what it could not read again, and nothing else. */
static void allow_marks(void)
{
    struct bb_index index = memindex_index(faults.rig.mem);
    for (uint32_t id = 0; id < faults.rig.config.id_count; id++) {
        struct bb_index_entry entry;
        if (index.ops->lookup(index.context, &faults.rig.hashes[id], &entry) == 0 &&
            (entry.flags & BB_INDEX_CORRUPT) != 0 && (faults.rig.allowed[id] & RIG_MARKED) == 0 &&
            faults.plan.start_reads > 0) {
            faults.rig.allowed[id] |= RIG_MARKED;
            faults.plan.start_reads--;
        }
    }
}

int faults_start(void)
{
    faults.plan.flush_failed = false;
    faults.plan.lost_units = 0;
    die_in_start();
    int result = rig_start(&faults.rig);
    faults.plan.over |= result != 0;
    if (faults.plan.start_reads > 0 && result == 0) {
        allow_marks();
    }
    if (bb_sim_is_dead(faults.rig.sim)) {
        faults.plan.struck = 1;
        faults.plan.in_start = true;
    }
    return result;
}

/* A clean stop; false when the script is over. */
bool faults_stop(void)
{
    faults_settle();
    if (faults.plan.over || faults.plan.stuck) { /* a stop ends when everything has come back */
        faults.plan.over = true;
        return false;
    }
    bb_store_stop(faults.rig.store);
    faults.rig.woken = true;
    for (unsigned still = 0; !bb_store_is_stopped(faults.rig.store) && !faults.plan.over;) {
        still = faults_turn() ? 0 : still + 1;
        BB_ASSERT(still < 100);
    }
    if (faults.plan.over || faults.plan.stuck) {
        faults.plan.over = true;
        return false;
    }
    rig_drop(&faults.rig);
    return true;
}
