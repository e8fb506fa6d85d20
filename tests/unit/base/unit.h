/* SPDX-License-Identifier: Apache-2.0
 * What the unit tests share: the seed of a random test, a death in a child, a clock for printouts.
 * Included once per test program. */
#ifndef BB_UNIT_H
#define BB_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bb/random.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* BB_SEED, else a seed from the kernel; printed. */
static inline uint64_t unit_seed_value(void)
{
    const char *given = getenv("BB_SEED");
    uint64_t seed;
    bb_random_from_kernel(&seed, sizeof(seed));
    if (given != NULL)
        seed = strtoull(given, NULL, 0);
    print_message("BB_SEED=%" PRIu64 "\n", seed);
    return seed;
}

static inline void unit_seed(struct bb_random *random)
{
    bb_random_seed(random, unit_seed_value());
}

/* Whether function(argument) ends the process by abort, as a failed BB_ASSERT does. */
static inline bool unit_aborts(void (*function)(void *), void *argument)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)!freopen("/dev/null", "w", stderr);
        function(argument);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static inline double unit_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Lower-case hex of `size` bytes; ret holds 2 * size + 1 characters. */
static inline const char *unit_hex(const void *data, size_t size, char *ret)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
    return ret;
}

#endif
