/* SPDX-License-Identifier: Apache-2.0
 * The report of a run: text lines that must outlive the power cut on another machine or disk.
 *
 *     bbpowertest run=<32 hex digits> slots=<n> depth=<n>
 *     acknowledged=<n>          after each flush: records 0 to n - 1 are on the medium, so it says
 *
 * The line is handed over before the next record is written. Its reader takes the last whole line;
 * what the cut left of a line is ignored.
 */
#ifndef BB_POWER_REPORT_H
#define BB_POWER_REPORT_H

#include "bbpowertest/plan.h"

struct bb_power_report {
    int fd;
};

/* `to`: NULL for standard output, HOST:PORT for a TCP connection, else a file to append to. Prints
 * the reason to stderr. */
BB_MUST_USE int bb_power_report_open(struct bb_power_report *report, const char *to);
void bb_power_report_close(struct bb_power_report *report);
/* -errno when the reader has gone: the run must end, its acknowledgements would reach nobody. */
BB_MUST_USE int bb_power_report_begin(struct bb_power_report *report,
                                      const struct bb_power_plan *plan);
BB_MUST_USE int bb_power_report_acknowledge(struct bb_power_report *report, uint64_t records);

/* Reads the last run of a report ("-": standard input). BB_ERR_USAGE when there is none. */
BB_MUST_USE int bb_power_report_read(const char *path, struct bb_power_plan *ret_plan,
                                     uint64_t *ret_acknowledged);

#endif
