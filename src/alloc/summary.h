/* SPDX-License-Identifier: Apache-2.0
 * Which chunks have a maximal free group of an order: one set of chunk numbers per order, with the
 * lowest member found in as many steps as there are levels (four for 16 TiB).
 *
 *   level 2                 [64 bits]              bit i: node i of the level below is not empty
 *   level 1          [64 bits] [64 bits] ..
 *   level 0    [64 bits] [64 bits] [64 bits] ..    bit i: chunk i is a member
 *
 * A node holds the words of all nine orders side by side, because one free touches several of them.
 * Zero bytes are the empty set, so memory of chunks never added is never touched. Private to
 * src/alloc.
 */
#ifndef BB_ALLOC_SUMMARY_H
#define BB_ALLOC_SUMMARY_H

#include "bb/buddy.h"

#define BB_SUMMARY_LEVEL_MAX 6

struct bb_summary_node {
    uint64_t members[BB_ORDER_COUNT];
};

struct bb_summary {
    struct bb_summary_node *levels[BB_SUMMARY_LEVEL_MAX];
    unsigned level_count;
};

/* Nodes of all levels for chunk_count >= 1 chunks; at most 2^36 chunks. */
uint64_t bb_summary_nodes(uint64_t chunk_count);

/* `nodes` is zeroed and holds bb_summary_nodes(chunk_count) nodes. */
void bb_summary_init(struct bb_summary *summary, struct bb_summary_node *nodes,
                     uint64_t chunk_count);

/* Adds and removes a chunk; both may be called when nothing changes. */
void bb_summary_set(struct bb_summary *summary, unsigned order, uint64_t chunk);
void bb_summary_clear(struct bb_summary *summary, unsigned order, uint64_t chunk);

/* How many of the chunks [first, first + count) are members. */
uint32_t bb_summary_count(const struct bb_summary *summary, unsigned order, uint64_t first,
                          uint32_t count);

/* The lowest chunk of an order that has one. */
uint64_t bb_summary_first(const struct bb_summary *summary, unsigned order);

/* Asserts that every level says what the level below holds; counts chunks are 0..chunk_count. */
void bb_summary_verify(const struct bb_summary *summary, uint64_t chunk_count);

static inline bool bb_summary_has(const struct bb_summary *summary, unsigned order, uint64_t chunk)
{
    return (summary->levels[0][chunk / 64].members[order] >> (chunk % 64) & 1) != 0;
}

#endif
