/* SPDX-License-Identifier: Apache-2.0
 * Histograms cheap enough for every operation: one count per power of two. Written by one thread,
 * read by any; a reader may see the sum of one sample more or less than the counts.
 */
#ifndef BB_BUCKETS_H
#define BB_BUCKETS_H

#include <stdatomic.h>
#include <stdint.h>

#define BB_BUCKETS_SHIFT 3u  /* the first bucket holds values up to 2^3 */
#define BB_BUCKETS_COUNT 21u /* the last bounded one holds values up to 2^23 */

struct bb_buckets {
    _Atomic uint64_t counts[BB_BUCKETS_COUNT + 1]; /* the last one: everything above */
    _Atomic uint64_t sum;
};

/* Largest value of a bounded bucket. */
static inline uint64_t bb_buckets_bound(unsigned bucket)
{
    return (uint64_t)1 << (bucket + BB_BUCKETS_SHIFT);
}

static inline unsigned bb_buckets_find(uint64_t value)
{
    uint64_t above = value == 0 ? 0 : (value - 1) >> BB_BUCKETS_SHIFT;
    unsigned bucket = above == 0 ? 0 : 64u - (unsigned)__builtin_clzll(above);
    return bucket < BB_BUCKETS_COUNT ? bucket : BB_BUCKETS_COUNT;
}

static inline void bb_buckets_add(struct bb_buckets *buckets, uint64_t value)
{
    /* one writer: no locked instruction needed */
    _Atomic uint64_t *count = &buckets->counts[bb_buckets_find(value)];
    uint64_t before = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, before + 1, memory_order_relaxed);
    before = atomic_load_explicit(&buckets->sum, memory_order_relaxed);
    atomic_store_explicit(&buckets->sum, before + value, memory_order_relaxed);
}

#endif
