/* SPDX-License-Identifier: Apache-2.0
 * Sets of chunk numbers as trees of 64-bit words.
 */
#include "summary.h"

uint64_t bb_summary_nodes(uint64_t chunk_count)
{
    BB_ASSERT(chunk_count >= 1);
    uint64_t total = 0;
    uint64_t nodes = chunk_count;
    do {
        nodes = bb_div_ceil(nodes, 64);
        total += nodes;
    } while (nodes > 1);
    return total;
}

void bb_summary_init(struct bb_summary *summary, struct bb_summary_node *nodes,
                     uint64_t chunk_count)
{
    BB_ASSERT(chunk_count >= 1);
    BB_ASSERT(chunk_count <= (uint64_t)1 << (6 * BB_SUMMARY_LEVEL_MAX));
    summary->level_count = 0;
    uint64_t count = chunk_count;
    do {
        count = bb_div_ceil(count, 64);
        summary->levels[summary->level_count++] = nodes;
        nodes += count;
    } while (count > 1);
}

void bb_summary_set(struct bb_summary *summary, unsigned order, uint64_t chunk)
{
    BB_ASSERT(order < BB_ORDER_COUNT);
    for (unsigned level = 0; level < summary->level_count; level++) {
        uint64_t *word = &summary->levels[level][chunk / 64].members[order];
        uint64_t before = *word;
        *word = before | (uint64_t)1 << (chunk % 64);
        if (before != 0)
            return;
        chunk /= 64;
    }
}

void bb_summary_clear(struct bb_summary *summary, unsigned order, uint64_t chunk)
{
    BB_ASSERT(order < BB_ORDER_COUNT);
    for (unsigned level = 0; level < summary->level_count; level++) {
        uint64_t *word = &summary->levels[level][chunk / 64].members[order];
        *word &= ~((uint64_t)1 << (chunk % 64));
        if (*word != 0)
            return;
        chunk /= 64;
    }
}

uint32_t bb_summary_count(const struct bb_summary *summary, unsigned order, uint64_t first,
                          uint32_t count)
{
    uint32_t found = 0;
    while (count > 0) {
        unsigned position = (unsigned)(first % 64);
        unsigned share = (unsigned)bb_min_u64(64 - position, count);
        uint64_t word = summary->levels[0][first / 64].members[order] >> position;
        found += (uint32_t)__builtin_popcountll(word & UINT64_MAX >> (64 - share));
        first += share;
        count -= share;
    }
    return found;
}

uint64_t bb_summary_first(const struct bb_summary *summary, unsigned order)
{
    BB_ASSERT(order < BB_ORDER_COUNT);
    uint64_t index = 0;
    for (unsigned level = summary->level_count; level-- > 0;) {
        uint64_t word = summary->levels[level][index].members[order];
        BB_ASSERT(word != 0);
        index = index * 64 + (unsigned)__builtin_ctzll(word);
    }
    return index;
}

void bb_summary_verify(const struct bb_summary *summary, uint64_t chunk_count)
{
    uint64_t count = bb_div_ceil(chunk_count, 64);
    for (unsigned level = 1; level < summary->level_count; level++) {
        for (uint64_t i = 0; i < count; i++) {
            for (unsigned order = 0; order < BB_ORDER_COUNT; order++) {
                uint64_t word = summary->levels[level][i / 64].members[order];
                bool said = (word >> (i % 64) & 1) != 0;
                BB_ASSERT(said == (summary->levels[level - 1][i].members[order] != 0));
            }
        }
        count = bb_div_ceil(count, 64);
    }
}
