/* SPDX-License-Identifier: Apache-2.0
 * One line per event on stderr, with a priority prefix (<3>, <6>) when systemd's journal reads it.
 * Programs and threads log; library layers L0 to L4 return errors instead. Any thread; one write(2)
 * per line. Never pass a token or the bytes of a block.
 */
#ifndef BB_LOG_H
#define BB_LOG_H

enum bb_log_level { BB_LOG_ERROR = 3, BB_LOG_WARNING = 4, BB_LOG_INFO = 6, BB_LOG_DEBUG = 7 };

/* Lines above `level` are dropped (default BB_LOG_INFO). `program` is put before each line. */
void bb_log_init(const char *program, enum bb_log_level level);
/* Changes the level; any thread. */
void bb_log_set_level(enum bb_log_level level);
void bb_log(enum bb_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
