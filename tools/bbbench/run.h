/* SPDX-License-Identifier: Apache-2.0
 * A whole run: load threads, prefill, phases one after another, their results. Main thread.
 */
#ifndef BB_BENCH_RUN_H
#define BB_BENCH_RUN_H

#include "bbbench/load.h"

#include <sys/types.h>

#define BB_RUN_PHASES_MAX 32
#define BB_RUN_RATE_MAX 10000000

struct bb_run_config {
    struct bb_target target;
    uint32_t connections;
    uint32_t threads; /* <= connections */
    uint32_t size_min;
    uint32_t size_max;
    uint32_t batch;
    uint32_t op_count;
    enum bb_op ops[BB_RUN_PHASES_MAX];
    uint64_t seconds;  /* per phase; 0: no limit */
    uint64_t requests; /* per phase; 0: no limit */
    uint64_t rate;     /* requests per second of all threads, open loop; 0: closed loop */
    uint64_t blocks;   /* stored before the first phase that reads */
    uint64_t stored;   /* blocks that an earlier run with this seed has stored */
    const char *path;  /* of plain and upload */
    const char *ca;    /* https: certificates to trust; NULL: those of the system */
    bool insecure;     /* https: trust anybody */
    uint64_t seed;
    uint64_t choices; /* seed of the choices among blocks; 0: that of the bodies */
    pid_t pid;        /* of the server; 0: not given */
    bool verify;
    bool json;
};

/* Returns 0, or 1 when there was any fault or a phase found nothing to work on. */
BB_MUST_USE int bb_run(const struct bb_run_config *config);

#endif
