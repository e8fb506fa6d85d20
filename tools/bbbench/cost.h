/* SPDX-License-Identifier: Apache-2.0
 * Processor time and memory of this process and of the server's. The kernel counts a process's
 * ticks over all its threads, its io-wq workers included.
 */
#ifndef BB_BENCH_COST_H
#define BB_BENCH_COST_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bb_cost {
    uint64_t user_us;
    uint64_t system_us;
};

void bb_cost_of_self(struct bb_cost *ret_cost);

/* From /proc/PID/stat, in clock ticks of 10 ms. False when there is no such process. */
BB_MUST_USE bool bb_cost_of_process(pid_t pid, struct bb_cost *ret_cost);

/* Ticks of user and system time out of the text of /proc/PID/stat (any program name in it). */
BB_MUST_USE bool bb_cost_parse_stat(const char *text, uint64_t *ret_user, uint64_t *ret_system);

/* RssAnon of /proc/PID/status, in bytes. */
BB_MUST_USE bool bb_cost_rss_anon(pid_t pid, uint64_t *ret_size);

#endif
