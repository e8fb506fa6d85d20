/* SPDX-License-Identifier: Apache-2.0
 * Log-linear buckets. Bucket i below 64 holds the value i alone; above, the top seven bits of the
 * value (a leading one and six more) and its magnitude name the bucket. */
#include "bbbench/histogram.h"

#include "bb/assert.h"

#include <math.h>
#include <string.h>

static unsigned bucket_of(uint64_t value)
{
    if (value < BB_HISTOGRAM_SUB)
        return (unsigned)value;
    if (value >> BB_HISTOGRAM_VALUE_BITS != 0)
        return BB_HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - BB_HISTOGRAM_SUB_BITS;
    unsigned sub = (unsigned)(value >> shift) - BB_HISTOGRAM_SUB;
    return (shift + 1) * BB_HISTOGRAM_SUB + sub;
}

/* Middle of a bucket: half a bucket, at most 0.8 %, from every value in it. */
static uint64_t value_of(unsigned bucket)
{
    if (bucket < BB_HISTOGRAM_SUB)
        return bucket;
    unsigned shift = bucket / BB_HISTOGRAM_SUB - 1;
    uint64_t low = (uint64_t)(BB_HISTOGRAM_SUB + bucket % BB_HISTOGRAM_SUB) << shift;
    return low + (((uint64_t)1 << shift) >> 1);
}

void bb_histogram_init(struct bb_histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

void bb_histogram_record(struct bb_histogram *histogram, uint64_t value)
{
    unsigned bucket = bucket_of(value);
    BB_ASSERT(bucket < BB_HISTOGRAM_BUCKETS);
    histogram->buckets[bucket]++;
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max)
        histogram->max = value;
}

void bb_histogram_merge(struct bb_histogram *into, const struct bb_histogram *from)
{
    BB_ASSERT(into != from);
    for (unsigned i = 0; i < BB_HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t bb_histogram_quantile(const struct bb_histogram *histogram, double share)
{
    BB_ASSERT(share > 0);
    BB_ASSERT(share <= 1);
    uint64_t rank = (uint64_t)ceil(share * (double)histogram->count);
    uint64_t seen = 0;
    for (unsigned i = 0; i < BB_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            uint64_t value = i == BB_HISTOGRAM_BUCKETS - 1 ? histogram->max : value_of(i);
            return value < histogram->max ? value : histogram->max;
        }
    }
    return 0;
}
