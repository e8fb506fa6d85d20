/* SPDX-License-Identifier: Apache-2.0
 * Least-significant-digit radix sort, 11 bits at a time, stable: entries with the same key keep
 * their order, which is the order of the journal. Pure. About 1 ms for 100,000 entries, so the
 * controller can afford it between two windows. */
#include "engine.h"

#define DIGIT_BITS 11u
#define DIGITS (1u << DIGIT_BITS)

void sort_entries(struct sort_entry *entries, struct sort_entry *spare, uint32_t count)
{
    struct sort_entry *from = entries, *to = spare;
    for (unsigned shift = 0; shift < 32; shift += DIGIT_BITS) {
        uint32_t starts[DIGITS] = {0};
        for (uint32_t i = 0; i < count; i++) {
            starts[(from[i].key >> shift) & (DIGITS - 1)]++;
        }
        uint32_t sum = 0;
        for (uint32_t d = 0; d < DIGITS; d++) {
            uint32_t here = starts[d];
            starts[d] = sum;
            sum += here;
        }
        BB_ASSERT(sum == count);
        for (uint32_t i = 0; i < count; i++) {
            to[starts[(from[i].key >> shift) & (DIGITS - 1)]++] = from[i];
        }
        struct sort_entry *swap = from;
        from = to;
        to = swap;
    }
    /* three passes: the result stands in `spare` */
    memcpy(entries, spare, (size_t)count * sizeof(*entries));
}
