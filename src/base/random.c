/* SPDX-License-Identifier: Apache-2.0
 * xoshiro256** 1.0 (Blackman and Vigna, public domain), seeded with SplitMix64 as its authors
 * advise. The sequence of a seed is part of the contract: tests repeat a run bit for bit. */
#include "bb/random.h"

#include "bb/assert.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static uint64_t rotate_left(uint64_t value, unsigned count)
{
    return value << count | value >> (64 - count);
}

void bb_random_seed(struct bb_random *random, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15;
        uint64_t mixed = seed;
        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
        random->state[i] = mixed ^ mixed >> 31;
    }
}

uint64_t bb_random_next(struct bb_random *random)
{
    uint64_t *state = random->state;
    BB_ASSERT((state[0] | state[1] | state[2] | state[3]) != 0); /* seeded */
    uint64_t result = rotate_left(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return result;
}

/* Lemire, "Fast random integer generation in an interval", 2019. */
uint64_t bb_random_below(struct bb_random *random, uint64_t bound)
{
    BB_ASSERT(bound > 0);
    unsigned __int128 product = (unsigned __int128)bb_random_next(random) * bound;
    if ((uint64_t)product < bound) {
        uint64_t threshold = (UINT64_MAX - bound + 1) % bound;
        while ((uint64_t)product < threshold)
            product = (unsigned __int128)bb_random_next(random) * bound;
    }
    uint64_t value = (uint64_t)(product >> 64);
    BB_ASSERT(value < bound);
    return value;
}

void bb_random_fill(struct bb_random *random, void *buf, size_t size)
{
    uint8_t *out = buf;
    while (size > 0) {
        uint64_t value = bb_random_next(random);
        size_t part = size < sizeof(value) ? size : sizeof(value);
        memcpy(out, &value, part);
        out += part;
        size -= part;
    }
}

void bb_random_from_kernel(void *buf, size_t size)
{
    uint8_t *out = buf;
    while (size > 0) {
        ssize_t got = getrandom(out, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        BB_ASSERT(got > 0);
        out += got;
        size -= (size_t)got;
    }
}
