/* SPDX-License-Identifier: Apache-2.0
 * What happens to the store at one moment: files of the kernel that get a value (the power of
 * devices, say), each written by a thread of its own that is ready and waiting, and a process that
 * is killed.
 */
#ifndef FIRE_H
#define FIRE_H

#include <stdbool.h>

#define FIRE_MAX 4

/* words: "PATH=VALUE" each, or "--kill" and a pid. Opens the files and starts the threads. Ends the
 * program when that fails. */
void fire_arm(char **words, int word_count);
bool fire_armed(void);
/* All at once; fire_wait returns when the kernel has done it. */
void fire_now(void);
void fire_wait(void);

#endif
