/* SPDX-License-Identifier: Apache-2.0
 * A device or file that bbformat is about to lay out: opened and claimed, or not made yet.
 */
#ifndef BB_TARGET_H
#define BB_TARGET_H

#include "bb/format_devices.h"
#include "bb/signature.h"

struct target {
    const char *role; /* "data" or "index" */
    const char *path;
    struct bb_device device; /* fd -1 while absent: size and sectors as they will be */
    struct bb_signatures signatures;
    bool absent;  /* a file that is made by target_create */
    bool created; /* it was */
    bool sparse;  /* a file with holes */
};

void target_init(struct target *target);
bool target_exists(const char *path);
/* Both paths lead to one device or file, or would. */
bool target_same(const char *a, const char *b);
/* Claims what exists and looks at it. `size` not 0: what exists must have it, what does not exist
 * will get it. Writes nothing. */
BB_MUST_USE int target_open(struct target *target, const char *role, const char *path,
                            uint64_t size, const struct bb_format_options *options,
                            struct bb_explain *explain);
/* Makes the file if it is absent, preallocated. */
BB_MUST_USE int target_create(struct target *target, struct bb_explain *explain);
/* With `failed` a file that was made here is removed. */
void target_close(struct target *target, bool failed);

#endif
