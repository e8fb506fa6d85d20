/* SPDX-License-Identifier: Apache-2.0
 * Free buddies of one chunk, found by folding words. Pure functions.
 */
#include "chunk.h"

#define WORD_ORDER 6 /* a word is a group of this order */

/* Bit i is set when i is a multiple of 2^order: where a group of that order may start. */
static const uint64_t group_start[WORD_ORDER + 1] = {
    UINT64_MAX,         0x5555555555555555, 0x1111111111111111, 0x0101010101010101,
    0x0001000100010001, 0x0000000100000001, 0x0000000000000001,
};

/* From the starts of the free groups of `order` < 6 in a word: replaces them by the starts of the
 * free groups of order + 1 and returns those that are not part of one. */
static inline uint64_t fold(uint64_t *groups, unsigned order)
{
    unsigned width = 1u << order;
    uint64_t parents = *groups & (*groups >> width) & group_start[order + 1];
    uint64_t maximal = *groups & ~(parents | (parents << width));
    *groups = parents;
    return maximal;
}

/* The three orders of at least a word, the same way: bit w of `words` says that word w is free. */
static inline void fold_words(unsigned words, unsigned maximal[3])
{
    unsigned pairs = words & (words >> 1) & 5u;
    unsigned whole = pairs & (pairs >> 2) & 1u;
    maximal[0] = words & ~(pairs | (pairs << 1));
    maximal[1] = pairs & ~(whole | (whole << 2));
    maximal[2] = whole;
}

static unsigned free_words(const struct bb_chunk *chunk)
{
    unsigned words = 0;
    for (unsigned w = 0; w < BB_CHUNK_WORDS; w++)
        words |= (unsigned)(chunk->used[w] == 0) << w;
    return words;
}

static inline unsigned ones(uint64_t word)
{
    word -= (word >> 1) & 0x5555555555555555;
    word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (unsigned)((word * 0x0101010101010101) >> 56);
}

/* Starts of the maximal free groups of order < 6 in a word of used bits. */
static inline uint64_t maximal_in_word(uint64_t used, unsigned order)
{
    uint64_t groups = ~used;
    for (unsigned k = 0; k < order; k++)
        groups &= groups >> (1u << k);
    groups &= group_start[order];
    return fold(&groups, order);
}

unsigned bb_chunk_first(const struct bb_chunk *chunk, unsigned order, bool *ret_more)
{
    BB_ASSERT(order <= BB_ORDER_MAX);
    if (order >= WORD_ORDER) {
        unsigned maximal[3];
        fold_words(free_words(chunk), maximal);
        unsigned found = maximal[order - WORD_ORDER];
        BB_ASSERT(found != 0);
        *ret_more = (found & (found - 1)) != 0;
        return (unsigned)__builtin_ctz(found) * 64;
    }

    unsigned w = 0;
    uint64_t found = maximal_in_word(chunk->used[0], order);
    while (found == 0) {
        BB_ASSERT(w + 1 < BB_CHUNK_WORDS);
        found = maximal_in_word(chunk->used[++w], order);
    }
    unsigned position = w * 64 + (unsigned)__builtin_ctzll(found);
    found &= found - 1;
    while (found == 0 && w + 1 < BB_CHUNK_WORDS)
        found = maximal_in_word(chunk->used[++w], order);
    *ret_more = found != 0;
    return position;
}

unsigned bb_chunk_orders(const struct bb_chunk *chunk)
{
    uint64_t groups[BB_CHUNK_WORDS];
    for (unsigned w = 0; w < BB_CHUNK_WORDS; w++)
        groups[w] = ~chunk->used[w];
    unsigned orders = 0;
    for (unsigned order = 0; order < WORD_ORDER; order++) {
        uint64_t maximal = 0;
        uint64_t larger = 0;
        for (unsigned w = 0; w < BB_CHUNK_WORDS; w++) {
            maximal |= fold(&groups[w], order);
            larger |= groups[w];
        }
        orders |= (unsigned)(maximal != 0) << order;
        if (larger == 0)
            return orders;
    }
    unsigned maximal[3];
    fold_words(free_words(chunk), maximal);
    for (unsigned k = 0; k < 3; k++)
        orders |= (unsigned)(maximal[k] != 0) << (WORD_ORDER + k);
    return orders;
}

void bb_chunk_count(const struct bb_chunk *chunk, uint8_t ret_count[BB_ORDER_COUNT])
{
    for (unsigned order = 0; order < BB_ORDER_COUNT; order++)
        ret_count[order] = 0;
    for (unsigned w = 0; w < BB_CHUNK_WORDS; w++) {
        uint64_t groups = ~chunk->used[w];
        for (unsigned order = 0; order < WORD_ORDER && groups != 0; order++)
            ret_count[order] = (uint8_t)(ret_count[order] + ones(fold(&groups, order)));
    }
    unsigned maximal[3];
    fold_words(free_words(chunk), maximal);
    for (unsigned k = 0; k < 3; k++)
        ret_count[WORD_ORDER + k] = (uint8_t)ones(maximal[k]);
}
