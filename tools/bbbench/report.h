/* SPDX-License-Identifier: Apache-2.0
 * What a phase came to, as text for people or as one JSON object per line with stable keys.
 */
#ifndef BB_BENCH_REPORT_H
#define BB_BENCH_REPORT_H

#include "bbbench/cost.h"
#include "bbbench/load.h"

struct bb_result {
    enum bb_op op;
    uint32_t connections;
    uint32_t threads;
    uint64_t rate; /* intended requests per second; 0: closed loop */
    const struct bb_load_config *config;
    struct bb_cost client; /* spent during the phase */
    uint64_t machine_us;   /* by everything on this machine; 0: not known */
    bool has_server;       /* the next two were read */
    struct bb_cost server;
    uint64_t server_rss_anon;
    uint64_t acked; /* blocks remembered at the end */
    struct bb_tally tally;
};

void bb_report_text(const struct bb_result *result);

/* {"phase":NAME, ...}: rates per second, latencies in microseconds, processor time in microseconds
 * per operation (server_*: null without --pid; machine: 0 when not known). "kinds" appears for mix
 * alone. */
void bb_report_json(const struct bb_result *result);

/* Last line: sums over the whole run. */
struct bb_totals {
    uint64_t operations;
    uint64_t hashed;
    uint64_t faults;
    uint64_t violations;
    uint64_t acked;
    uint64_t seed;
};
void bb_report_totals(const struct bb_totals *totals, bool json);

#endif
