/* SPDX-License-Identifier: Apache-2.0
 * Small arithmetic: alignment, powers of two, minimum and maximum, all-zero ranges. Pure.
 */
#ifndef BB_BITS_H
#define BB_BITS_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BB_KIB ((uint64_t)1 << 10)
#define BB_MIB ((uint64_t)1 << 20)
#define BB_GIB ((uint64_t)1 << 30)

static inline bool bb_is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* `value` rounded down to a multiple of `alignment`, a power of two. */
static inline uint64_t bb_align_down(uint64_t value, uint64_t alignment)
{
    BB_ASSERT(bb_is_power_of_two(alignment));
    return value & ~(alignment - 1);
}

/* `value` rounded up to a multiple of `alignment`, a power of two; the sum must not overflow. */
static inline uint64_t bb_align_up(uint64_t value, uint64_t alignment)
{
    BB_ASSERT(value <= UINT64_MAX - (alignment - 1));
    return bb_align_down(value + alignment - 1, alignment);
}

static inline bool bb_is_aligned(uint64_t value, uint64_t alignment)
{
    return bb_align_down(value, alignment) == value;
}

static inline uint64_t bb_div_ceil(uint64_t value, uint64_t divisor)
{
    BB_ASSERT(divisor != 0);
    return value / divisor + (value % divisor != 0);
}

/* Floor of the base-2 logarithm; value > 0. */
static inline unsigned bb_log2_floor(uint64_t value)
{
    BB_ASSERT(value != 0);
    return 63u - (unsigned)__builtin_clzll(value);
}

/* Smallest k with 2^k >= value; value > 0. */
static inline unsigned bb_log2_ceil(uint64_t value)
{
    return value == 1 ? 0 : bb_log2_floor(value - 1) + 1;
}

static inline uint64_t bb_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t bb_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Whether all `size` bytes are zero; size > 0. */
static inline bool bb_is_zero(const void *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)data;
    BB_ASSERT(size > 0);
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

#endif
