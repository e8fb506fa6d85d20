/* SPDX-License-Identifier: Apache-2.0
 * One planned fault of the device or the index in a rig, the steps of a script that bears it, and
 * the first half of the judgement: what each operation must come to. One per program.
 *
 * After an error that ends the store, and some turns after something got stuck, `plan.over` is set
 * and all steps return at once.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "rig.h"

/* NOT, PARTLY, FULLY: EIO, so far applied. SHORT: EIO for a flush. */
enum way { NOT, PARTLY, FULLY, NOSPACE, SHORT, CANCELLED, NEVER, LATE, WAY_COUNT };
enum span { ONCE, SIX, FOR_EVER, ITS_SORT, SPAN_COUNT };

/* What shall go wrong in a run, and what came of it. */
struct fault_plan {
    uint64_t at; /* request or fold, 1 is the first; 0: none */
    enum way way;
    enum span span;
    bool in_index; /* a fold, not a request */
    bool lie;      /* canary: the device does well what the plan believes to fail */
    /* since the start of the run */
    uint64_t count; /* requests */
    uint64_t struck;
    enum bb_io_class class; /* of the first one struck */
    enum bb_io_op op;
    bool in_start, start_changed; /* struck a recovery; more than its reads */
    uint64_t start_reads;         /* of blocks, that a recovery could not read */
    bool ends;                    /* struck what ends the store */
    bool flush_failed;            /* of the engine that runs */
    bool stuck, commit_stuck;     /* something, a record or flush, never completes */
    uint64_t stuck_turns, fatal_turns, commit_stuck_turns, index_turns;
    uint64_t lost_units; /* of failed data writes of this engine */
    bool over;           /* the script has ended early */
};

struct faults {
    struct rig rig;
    struct fault_plan plan;
    struct {
        bool tracked, stuck;
        int expected; /* result of an operation whose transfer failed, 0: it did not */
    } ops[RIG_OP_MAX];
    uint64_t violations;
    uint64_t failed_transfers; /* that cost one operation */
};

extern struct faults faults;

/* Counts a violation and prints it with the plan. */
void faults_complain(const char *what, int result);
/* Whether a request comes back with an error, and with which. */
bool faults_is_failure(enum way way);
int faults_error(enum way way, enum bb_io_op op);
/* For bb_sim_set_fault. */
struct bb_sim_fault faults_strike(void *unused, const struct bb_io_request *request,
                                  uint64_t number);

/* rig_start, and what the plan allows it to have marked. */
int faults_start(void);
/* A clean stop; false when the script is over. */
bool faults_stop(void);
/* One turn, and what ended in it; false when nothing moved. */
bool faults_turn(void);
struct rig_op *faults_submit(enum rig_kind kind, uint32_t id);
/* Until nobody waits but those whose transfer is stuck. */
void faults_settle(void);
bool faults_any_waits(void);
/* The ids from..to-1, a turn after each, then settles. */
void faults_some(enum rig_kind kind, uint32_t from, uint32_t to);
/* Lets time pass. */
void faults_idle(uint64_t ms);
void faults_checkpoint(void);

#endif
