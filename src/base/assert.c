/* SPDX-License-Identifier: Apache-2.0
 * The end of a program that found itself wrong: one line, a core dump, no cleanup. */
#include "bb/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void bb_panic(const char *file, int line, const char *condition)
{
    char text[512];
    int len =
        snprintf(text, sizeof(text), "<2>%s:%d: assertion failed: %s\n", file, line, condition);
    if (len > 0) {
        size_t size = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
        (void)!write(STDERR_FILENO, text, size); /* nothing to do if even this fails */
    }
    abort();
}
