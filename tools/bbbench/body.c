/* SPDX-License-Identifier: Apache-2.0
 * Stamp and slice of a body, from its counter. */
#include "bbbench/body.h"

#include "bb/assert.h"
#include "bb/random.h"

#include <endian.h>
#include <string.h>

/* Fibonacci hashing: the high bits of the product depend on all bits of the counter. */
static size_t slice_offset(uint64_t counter)
{
    return (size_t)((counter * 0x9e3779b97f4a7c15u) >> 48) & (BB_BODY_SLIDE - 1);
}

void bb_body_init(struct bb_body *body, uint64_t seed, uint8_t *base)
{
    struct bb_random random;
    bb_random_seed(&random, seed);
    bb_random_fill(&random, base, BB_BODY_BASE_SIZE);
    body->seed = seed;
    body->base = base;
}

void bb_body_parts(const struct bb_body *body, uint64_t counter, uint32_t size,
                   struct bb_body_parts *ret_parts)
{
    BB_ASSERT(size <= BB_BLOCK_SIZE_MAX);
    uint64_t words[2] = {htole64(counter), htole64(body->seed)};
    BB_STATIC_ASSERT(sizeof(words) == BB_BODY_STAMP_SIZE);
    memcpy(ret_parts->stamp, words, sizeof(words));
    ret_parts->stamp_size = size < BB_BODY_STAMP_SIZE ? size : BB_BODY_STAMP_SIZE;
    ret_parts->slice = body->base + slice_offset(counter);
    ret_parts->slice_size = size - ret_parts->stamp_size;
}

void bb_body_hash(const struct bb_body_parts *parts, struct bb_hasher *hasher,
                  struct bb_hash *ret_hash)
{
    bb_hasher_begin(hasher);
    bb_hasher_update(hasher, parts->stamp, parts->stamp_size);
    bb_hasher_update(hasher, parts->slice, parts->slice_size);
    bb_hasher_end(hasher, ret_hash);
}
