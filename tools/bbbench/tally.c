/* SPDX-License-Identifier: Apache-2.0
 * Names of operations and faults, and sums over threads. */
#include "bbbench/tally.h"

#include "bb/assert.h"

#include <string.h>

const char *bb_op_name(enum bb_op op)
{
    static const char *const names[] = {
#define BB_OP_TEXT(name, text, needs_blocks) text,
        BB_OPS(BB_OP_TEXT)
#undef BB_OP_TEXT
    };
    BB_ASSERT(op < BB_OP_COUNT);
    return names[op];
}

bool bb_op_needs_blocks(enum bb_op op)
{
    static const bool needs[] = {
#define BB_OP_NEEDS(name, text, needs_blocks) needs_blocks,
        BB_OPS(BB_OP_NEEDS)
#undef BB_OP_NEEDS
    };
    BB_ASSERT(op < BB_OP_COUNT);
    return needs[op];
}

const char *bb_fault_name(enum bb_fault fault)
{
    static const char *const names[] = {
#define BB_FAULT_TEXT(name, text, violation) text,
        BB_FAULTS(BB_FAULT_TEXT)
#undef BB_FAULT_TEXT
    };
    BB_ASSERT(fault < BB_FAULT_COUNT);
    return names[fault];
}

bool bb_fault_is_violation(enum bb_fault fault)
{
    static const bool violations[] = {
#define BB_FAULT_VIOLATION(name, text, violation) violation,
        BB_FAULTS(BB_FAULT_VIOLATION)
#undef BB_FAULT_VIOLATION
    };
    BB_ASSERT(fault < BB_FAULT_COUNT);
    return violations[fault];
}

void bb_tally_reset(struct bb_tally *tally, uint64_t started_ns)
{
    memset(tally, 0, sizeof(*tally));
    tally->started_ns = started_ns;
    tally->ended_ns = started_ns;
}

void bb_tally_merge(struct bb_tally *into, const struct bb_tally *from)
{
    for (int i = 0; i < BB_OP_COUNT; i++) {
        bb_histogram_merge(&into->latency[i], &from->latency[i]);
        into->bytes[i] += from->bytes[i];
    }
    for (int i = 0; i < BB_FAULT_COUNT; i++)
        into->faults[i] += from->faults[i];
    for (int i = 0; i < BB_TALLY_STATUS_MAX; i++)
        into->statuses[i] += from->statuses[i];
    into->hashed += from->hashed;
    into->reconnects += from->reconnects;
    if (from->started_ns < into->started_ns)
        into->started_ns = from->started_ns;
    if (from->ended_ns > into->ended_ns)
        into->ended_ns = from->ended_ns;
}

uint64_t bb_tally_operations(const struct bb_tally *tally)
{
    uint64_t sum = 0;
    for (int i = 0; i < BB_OP_COUNT; i++)
        sum += tally->latency[i].count;
    return sum;
}

uint64_t bb_tally_bytes(const struct bb_tally *tally)
{
    uint64_t sum = 0;
    for (int i = 0; i < BB_OP_COUNT; i++)
        sum += tally->bytes[i];
    return sum;
}

uint64_t bb_tally_faults(const struct bb_tally *tally)
{
    uint64_t sum = 0;
    for (int i = 0; i < BB_FAULT_COUNT; i++)
        sum += tally->faults[i];
    return sum;
}

uint64_t bb_tally_violations(const struct bb_tally *tally)
{
    uint64_t sum = 0;
    for (int i = 0; i < BB_FAULT_COUNT; i++)
        if (bb_fault_is_violation((enum bb_fault)i))
            sum += tally->faults[i];
    return sum;
}
