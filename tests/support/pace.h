/* SPDX-License-Identifier: Apache-2.0
 * How much a random harness does: BB_PACE as tests/run gives it. The sanitizers' runs are quick.
 */
#ifndef BB_TEST_PACE_H
#define BB_TEST_PACE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool pace_is_quick(void)
{
    const char *pace = getenv("BB_PACE");
    return pace != NULL && strcmp(pace, "quick") == 0;
}

#endif
