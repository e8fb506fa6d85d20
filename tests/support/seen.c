/* SPDX-License-Identifier: Apache-2.0
 * Open addressing; at most half full (seen.h). */
#include "seen.h"

#include "bb/assert.h"

#include <stdlib.h>

#define FIRST ((size_t)1 << 16)

static bool add(struct seen *seen, uint64_t identity)
{
    size_t at = identity & seen->mask;
    while (seen->slots[at] != 0 && seen->slots[at] != identity) {
        at = (at + 1) & seen->mask;
    }
    bool found = seen->slots[at] != 0;
    seen->slots[at] = identity;
    seen->count += !found;
    return found;
}

bool seen_before(struct seen *seen, uint64_t identity)
{
    if (seen->slots == NULL || seen->count * 2 > seen->mask) {
        struct seen old = *seen;
        size_t size = old.slots == NULL ? FIRST : 2 * (old.mask + 1);
        *seen = (struct seen){.slots = calloc(size, sizeof(uint64_t)), .mask = size - 1};
        BB_ASSERT(seen->slots != NULL);
        for (size_t i = 0; old.slots != NULL && i <= old.mask; i++) {
            if (old.slots[i] != 0) {
                (void)add(seen, old.slots[i]);
            }
        }
        free(old.slots);
    }
    return add(seen, identity | (identity == 0));
}

void seen_free(struct seen *seen)
{
    free(seen->slots);
    *seen = (struct seen){0};
}
