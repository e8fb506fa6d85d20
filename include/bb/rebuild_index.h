/* SPDX-License-Identifier: Apache-2.0
 * `bbfsck --rebuild`: a new index for a data device, on the old index device or on another one.
 * First everything is read and checked, and the question put; only then is the index device
 * overwritten. Cut short, it is run again. Afterwards an older index is refused: the new one has
 * its own UUID. Blocking; one thread.
 */
#ifndef BB_REBUILD_INDEX_H
#define BB_REBUILD_INDEX_H

#include "bb/pair.h"

struct bb_rebuild_options {
    /* Whether to go on, after a sentence that says what is overwritten; NULL: always. */
    bool (*confirm)(void *context, const char *question);
    void (*progress)(void *context, const char *step, uint64_t done, uint64_t total);
    void *context;
};

/* Working memory for a rebuild when none is named: a quarter of what the machine, or the control
 * group, has, between BB_PAIR_MEMORY_DEFAULT and 4 GiB. It is used as far as there are blocks. */
uint64_t bb_rebuild_index_memory(void);

/* On an open pair whose index is not opened. BB_ERR_REFUSED for an INDEX with a foreign signature
 * or the index of another store; BB_ERR_CANCELLED when confirm says no; BB_ERR_INDEX_FULL when it
 * is too small; else as bb_rebuild. */
BB_MUST_USE int bb_rebuild_index(struct bb_pair *pair, const struct bb_rebuild_options *options,
                                 struct bb_recovered *ret_recovered,
                                 struct bb_explain *ret_explain);

#endif
