/* SPDX-License-Identifier: Apache-2.0
 * The map hash -> extent as it stands in the index device, behind a small table of functions, so
 * that the engine runs the same over LMDB (lmdbindex.h) and over a map in memory in the simulator.
 *
 * A fold is one durable transaction: all of its changes and the state row, or nothing. Lookups and
 * scans see the newest fold that finished before the last refresh of the same reader.
 */
#ifndef BB_INDEX_H
#define BB_INDEX_H

#include "bb/codec.h"

#define BB_INDEX_CORRUPT 1ull     /* stored bytes are known not to match the name */
#define BB_INDEX_SLICE_MAX 16000u /* keys of one transaction (LMDB 0.9.24 leaks when it spills) */

struct bb_index_entry {
    uint64_t unit;  /* first unit, 40 bits */
    uint32_t size;  /* bytes, 24 bits */
    uint64_t flags; /* BB_INDEX_CORRUPT, others zero */
};

/* What shall hold for one hash after a fold. */
struct bb_change {
    struct bb_hash hash;
    uint64_t unit;
    uint32_t size;
    bool present; /* false: the hash is not in the map, unit and size mean nothing */
    bool corrupt;
};

/* Where the online scrub (scrub.h) stands. All zero: nothing is known. */
struct bb_scrub_row {
    uint64_t page;          /* next one to be looked at */
    uint64_t set_page;      /* entries of the pages below are in `set` */
    struct bb_set set;      /* count and sum only */
    struct bb_set of;       /* the whole index then: `set` means something beside that only */
    uint64_t passes;        /* completed */
    uint64_t pass_began_s;  /* Unix time; 0: no pass */
    uint64_t pass_findings; /* in this pass */
    uint64_t last_ended_s;  /* newest complete pass */
    uint64_t last_clean_s;  /* newest one without findings */
    uint64_t blocks, bytes; /* hashed in this pass */
    uint64_t flags;         /* BB_SCRUB_PAUSED, BB_SCRUB_HURRIED */
};
#define BB_SCRUB_PAUSED 1u
#define BB_SCRUB_HURRIED 2u
#define BB_SCRUB_SET 4u   /* `set` is kept */
#define BB_SCRUB_DOUBT 8u /* it was not that of the index: looks for what no page names */

/* The one row of the state database. */
struct bb_index_state {
    struct bb_uuid store;
    struct bb_uuid index;
    struct bb_anchor anchor; /* of the newest complete checkpoint */
    struct bb_set set;       /* what the map holds now */
    /* Of the newest start that ended with this index: a data device whose superblock is of an
     * earlier epoch is an old copy. */
    uint64_t epoch;
    struct bb_scrub_row scrub; /* where the scrub stands */
};

struct bb_index_fold {
    const struct bb_change *changes; /* ascending by hash, no duplicates */
    uint32_t count;                  /* at most slice_max */
    const struct bb_anchor *anchor;  /* set in the same transaction; NULL when more slices follow */
    uint64_t epoch;                  /* set in the same transaction; 0: stays as it is */
    const struct bb_scrub_row *scrub; /* likewise; NULL: stays as it is */
};

/* Called for each entry in hash order; a value other than 0 stops the scan and is returned. */
typedef int bb_index_visit_fn(void *context, const struct bb_hash *hash,
                              const struct bb_index_entry *entry);

struct bb_index_ops {
    /* The state row of the newest fold. */
    int (*state)(void *index, struct bb_index_state *ret_state);
    /* 0, -ENOENT, or an error. May read the device: see struct bb_index_port for who may call. */
    int (*lookup)(void *index, const struct bb_hash *hash, struct bb_index_entry *ret_entry);
    /* One transaction; *ret_set is what the map holds afterwards, *ret_room as from room(). Any
     * error but BB_ERR_INDEX_FULL (nothing changed) is fatal for the store. */
    int (*fold)(void *index, const struct bb_index_fold *fold, struct bb_set *ret_set,
                uint64_t *ret_room);
    /* All entries with hash > after (NULL: from the start) and, when `below` is given, hash <
     * below, in one snapshot of its own. */
    int (*scan)(void *index, const struct bb_hash *after, const struct bb_hash *below,
                bb_index_visit_fn *visit, void *context);
    /* Lookups see the newest fold from here on. */
    void (*refresh)(void *index);
    /* Records that can certainly still be added, three times the largest transaction kept free. */
    uint64_t (*room)(void *index);
};

struct bb_index {
    const struct bb_index_ops *ops;
    void *context;      /* first argument of the functions */
    uint32_t slice_max; /* keys of one fold, <= BB_INDEX_SLICE_MAX, less on small devices */
};

/* ---- The index as the running engine sees it: answers at once or later. ---- */

enum bb_index_job_kind { BB_JOB_LOOKUP, BB_JOB_LIST, BB_JOB_FOLD };

struct bb_listed {
    struct bb_hash hash;
    uint32_t size;
    uint32_t flags; /* BB_INDEX_CORRUPT */
};

/* One question that may touch the index device. Belongs to the index from submit until the engine
 * is told with bb_store_job_done. */
struct bb_index_job {
    enum bb_index_job_kind kind;
    int result;
    struct bb_index_job *next; /* owner's */
    void *owner;
    /* LOOKUP: entries[i].unit is UINT64_MAX where hashes[i] is absent */
    const struct bb_hash *hashes;
    struct bb_index_entry *entries;
    uint32_t count; /* LOOKUP: how many; LIST: capacity in, number found out */
    /* LIST: entries with hash > after, in order */
    struct bb_hash after;
    bool from_start;
    struct bb_listed *listed;
    /* FOLD */
    struct bb_index_fold fold;
    struct bb_set set;
    uint64_t room;
};

struct bb_index_port {
    void *context;
    /* Never blocks: 0, -ENOENT, BB_ERR_WOULD_FAULT (then submit a LOOKUP), or an error. */
    int (*lookup)(void *context, const struct bb_hash *hash, struct bb_index_entry *ret_entry);
    void (*submit)(void *context, struct bb_index_job *job);
    /* From here on lookup sees every fold whose job is done. */
    void (*refresh)(void *context);
};

#endif
