/* SPDX-License-Identifier: Apache-2.0
 * Latencies in a log-linear histogram (the idea of HdrHistogram, Gil Tene): every power of two is
 * cut into 64 equal buckets, so that a reported value is within 1 % of the recorded one.
 *
 * Values are nanoseconds. Pure; a histogram belongs to one thread until it is merged.
 */
#ifndef BB_BENCH_HISTOGRAM_H
#define BB_BENCH_HISTOGRAM_H

#include <stdint.h>

#define BB_HISTOGRAM_SUB_BITS 6
#define BB_HISTOGRAM_SUB (1u << BB_HISTOGRAM_SUB_BITS)
/* Values from 2^BB_HISTOGRAM_VALUE_BITS (18 minutes) up are recorded in the last bucket. */
#define BB_HISTOGRAM_VALUE_BITS 40
#define BB_HISTOGRAM_BUCKETS                                                                       \
    ((BB_HISTOGRAM_VALUE_BITS - BB_HISTOGRAM_SUB_BITS + 1) * BB_HISTOGRAM_SUB)

struct bb_histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max; /* exact */
    uint64_t buckets[BB_HISTOGRAM_BUCKETS];
};

void bb_histogram_init(struct bb_histogram *histogram);
void bb_histogram_record(struct bb_histogram *histogram, uint64_t value);
void bb_histogram_merge(struct bb_histogram *into, const struct bb_histogram *from);

/* The smallest value that at least `share` (0 < share <= 1) of the records do not exceed, to within
 * 1 % and never above max; 0 when nothing was recorded. */
uint64_t bb_histogram_quantile(const struct bb_histogram *histogram, double share);

#endif
