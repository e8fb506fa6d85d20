/* SPDX-License-Identifier: Apache-2.0
 * Laying out a data and an index device. Refuses what is mounted, held, read-only or overlapping
 * always; foreign signatures, an existing store and a non-zero head unless forced; a whole disk
 * unless that is said.
 *
 * A cut at any point leaves "not formatted": old superblocks go first, new ones come last, in
 * pairs. Blocking; one thread.
 */
#ifndef BB_FORMAT_DEVICES_H
#define BB_FORMAT_DEVICES_H

#include "bb/codec.h"
#include "bb/recover.h"

struct bb_format_options {
    const char *data_path, *index_path;
    uint64_t data_size;    /* not 0: make a preallocated file of that size, or demand it */
    uint64_t index_size;   /* the same; 0 for a file that does not exist: 2.5 % of the data */
    uint64_t journal_size; /* 0: the default */
    uint64_t zone_size;    /* 0: the default; for tests */
    const char *label;     /* NULL: none */
    bool force;            /* overrides signatures and a non-zero head, nothing else */
    bool whole_disk;       /* a whole disk may be used */
    bool dry_run;          /* checks and says everything, writes nothing */
    bool discard;
    unsigned wait_ms;                             /* for a device that is held */
    void (*say)(void *context, const char *line); /* what was found, what is done; may be NULL */
    /* What is begun, the done-th of `total` steps; may be NULL. */
    void (*progress)(void *context, const char *step, uint64_t done, uint64_t total);
    void *context;                         /* of say and progress */
    void (*on_wait)(const char *sentence); /* may be NULL */
};

struct bb_format_result {
    struct bb_super super;
    uint64_t unit_count;    /* data units, of 4096 bytes */
    uint64_t index_records; /* that the index device has room for, about */
};

/* BB_ERR_REFUSED, BB_ERR_HELD, BB_ERR_USAGE (sizes that make no sense), BB_ERR_GEOMETRY (too
 * small), -EROFS or another error of a device; ret_explain says what was found and the cure. */
BB_MUST_USE int bb_format_devices(const struct bb_format_options *options,
                                  struct bb_format_result *ret_result,
                                  struct bb_explain *ret_explain);

#endif
