/* SPDX-License-Identifier: Apache-2.0
 * One line per event on stderr, with a priority prefix (<3>, <6>) when systemd's journal reads it.
 * Programs and threads log; library layers L0 to L4 return errors instead. Any thread; one write(2)
 * per line. Never pass a token or the bytes of a block.
 */
#ifndef BB_LOG_H
#define BB_LOG_H

#include <stdint.h>

enum bb_log_level { BB_LOG_ERROR = 3, BB_LOG_WARNING = 4, BB_LOG_INFO = 6, BB_LOG_DEBUG = 7 };
/* Or'd to a level: the line is about one client and not kept. */
#define BB_LOG_PRIVATE 8u

/* Lines above `level` are dropped (default BB_LOG_INFO). `program` is put before each line. */
void bb_log_init(const char *program, enum bb_log_level level);
/* Changes the level; any thread. */
void bb_log_set_level(enum bb_log_level level);
void bb_log(unsigned level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The latest errors and warnings are kept, for those who do not see the log. */
#define BB_LOG_KEPT_MAX 16u
#define BB_LOG_KEPT_TEXT 240u
struct bb_log_kept {
    uint64_t number; /* from 1; a line is never kept under two */
    uint64_t at_ms;  /* bb_clock_ms */
    enum bb_log_level level;
    char text[BB_LOG_KEPT_TEXT]; /* cut, without program; terminated */
};
/* Copies those numbered above `after`, oldest first, into ret_kept; their number. Any thread. */
unsigned bb_log_kept(uint64_t after, struct bb_log_kept ret_kept[BB_LOG_KEPT_MAX]);

#endif
