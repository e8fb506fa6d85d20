/* SPDX-License-Identifier: Apache-2.0
 * A growing set of 64-bit identities, for what was tried before. Memory from malloc. One thread. */
#ifndef SEEN_H
#define SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen {
    uint64_t *slots; /* 0: free */
    size_t mask, count;
};

/* An all-zero set is empty. True when it was there; now it is. */
bool seen_before(struct seen *seen, uint64_t identity);
void seen_free(struct seen *seen);

/* Spreads: for identities of several parts. */
static inline uint64_t seen_mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ b * 0x9e3779b97f4a7c15ull) + 0x632be59bd9b4e019ull; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

#endif
