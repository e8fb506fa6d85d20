/* SPDX-License-Identifier: Apache-2.0
 * Randomness: the kernel's for identities, a seeded generator (xoshiro256**, Blackman and Vigna)
 * for tests and load. A struct bb_random belongs to one thread.
 */
#ifndef BB_RANDOM_H
#define BB_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct bb_random {
    uint64_t state[4];
};

void bb_random_seed(struct bb_random *random, uint64_t seed);
uint64_t bb_random_next(struct bb_random *random);
/* Uniform in [0, bound); bound > 0. */
uint64_t bb_random_below(struct bb_random *random, uint64_t bound);
void bb_random_fill(struct bb_random *random, void *buf, size_t size);

/* From getrandom(2); aborts if the kernel has none. */
void bb_random_from_kernel(void *buf, size_t size);

#endif
