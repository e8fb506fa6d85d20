/* SPDX-License-Identifier: Apache-2.0
 * Operations, faults and what one thread counts of them during one phase.
 *
 * A fault that is a violation says that the store broke its promise: an acknowledged block is gone,
 * or its bytes, length or listing are wrong. The others may be the machine's doing. Either kind
 * makes the program end with 1.
 */
#ifndef BB_BENCH_TALLY_H
#define BB_BENCH_TALLY_H

#include "bbbench/histogram.h"

#include <stdbool.h>

/* x(NAME, name in --ops and in the report, needs acknowledged blocks) */
#define BB_OPS(x)                                                                                  \
    x(PUT, "put", false) x(GET, "get", true) x(DELETE, "delete", true) x(HEAD, "head", true)       \
        x(MISSING, "missing", true) x(DUP, "dup", true) x(ABSENT, "absent", false)                 \
            x(MIX, "mix", true) x(PLAIN, "plain", false) x(UPLOAD, "upload", false)

enum bb_op {
#define BB_OP_ENUM(name, text, needs_blocks) BB_OP_##name,
    BB_OPS(BB_OP_ENUM)
#undef BB_OP_ENUM
        BB_OP_COUNT
};

/* x(NAME, name in the report, is a violation) */
#define BB_FAULTS(x)                                                                               \
    x(CONNECT, "connect", false)             /* connection refused or not made in time */          \
        x(LOST, "lost", false)               /* closed or reset before a byte of the reply */      \
        x(SHORT_REPLY, "short_reply", false) /* closed or reset inside the reply */                \
        x(TIMEOUT, "timeout", false)         /* no complete reply in time */                       \
        x(BAD_REPLY, "bad_reply", false) /* not HTTP, or not the body that the contract names */   \
        x(STATUS, "status", false)       /* a status that was not expected */                      \
        x(NOT_FOUND, "not_found", true)  /* an acknowledged block is not stored */                 \
        x(FOUND_ABSENT, "found_absent", true) /* a block that nobody stored is */                  \
        x(WRONG_LENGTH, "wrong_length", true) /* of an acknowledged block */                       \
        x(WRONG_HASH, "wrong_hash", true)     /* the name is not the SHA-256 of the bytes */       \
        x(WRONG_LIST, "wrong_list", true) /* `missing` names other hashes than the absent ones */

enum bb_fault {
#define BB_FAULT_ENUM(name, text, violation) BB_FAULT_##name,
    BB_FAULTS(BB_FAULT_ENUM)
#undef BB_FAULT_ENUM
        BB_FAULT_COUNT
};

#define BB_TALLY_STATUS_MAX 600

struct bb_tally {
    struct bb_histogram latency[BB_OP_COUNT]; /* of operations that went as expected */
    uint64_t bytes[BB_OP_COUNT];              /* of block bodies, either direction */
    uint64_t hashed;                          /* bodies hashed and compared with their name */
    uint64_t faults[BB_FAULT_COUNT];
    uint64_t statuses[BB_TALLY_STATUS_MAX]; /* of replies that were not expected */
    uint64_t reconnects;
    uint64_t started_ns;
    uint64_t ended_ns; /* last reply */
};

void bb_tally_reset(struct bb_tally *tally, uint64_t started_ns);
void bb_tally_merge(struct bb_tally *into, const struct bb_tally *from);
uint64_t bb_tally_operations(const struct bb_tally *tally);
uint64_t bb_tally_bytes(const struct bb_tally *tally);
uint64_t bb_tally_faults(const struct bb_tally *tally);
uint64_t bb_tally_violations(const struct bb_tally *tally);

const char *bb_op_name(enum bb_op op);
bool bb_op_needs_blocks(enum bb_op op);
const char *bb_fault_name(enum bb_fault fault);
bool bb_fault_is_violation(enum bb_fault fault);

#endif
