/* SPDX-License-Identifier: Apache-2.0
 * Milliseconds since some fixed moment, never backwards, in steps of a kernel tick. For deadlines
 * in the daemon; the engine gets its time handed in.
 */
#ifndef BB_CLOCK_H
#define BB_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t bb_clock_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Exact, in microseconds: for measuring, not for deadlines. About 20 ns a call. */
static inline uint64_t bb_clock_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

#endif
