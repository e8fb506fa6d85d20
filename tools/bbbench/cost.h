/* SPDX-License-Identifier: Apache-2.0
 * Processor time of this process, of the server's and of the machine; memory of the server's. The
 * kernel counts a process's ticks over all its threads, its io-wq workers included.
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

/* Time in which the CPUs of the machine did anything, from /proc/stat: what neither client nor
 * server is charged for (interrupts, kernel threads of a loop device) is in it, other programs too.
 */
BB_MUST_USE bool bb_cost_of_machine(uint64_t *ret_us);

/* Ticks of user, nice, system, irq and softirq out of the text of /proc/stat. */
BB_MUST_USE bool bb_cost_parse_machine(const char *text, uint64_t *ret_ticks);

/* RssAnon of /proc/PID/status, in bytes. */
BB_MUST_USE bool bb_cost_rss_anon(pid_t pid, uint64_t *ret_size);

#endif
