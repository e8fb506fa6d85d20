/* SPDX-License-Identifier: Apache-2.0
 * How much memory the control group of this process may have, version 1 or 2: beyond it the kernel
 * ends the process without a word. Start-up only.
 */
#ifndef BB_MEMLIMIT_H
#define BB_MEMLIMIT_H

#include <stdint.h>

/* Bytes; UINT64_MAX where nothing is limited or nothing is known. The least of the group's own
 * limit and those above it. `root` stands before /proc and /sys: "" but in tests. */
uint64_t bb_memlimit_find(const char *root);

#endif
