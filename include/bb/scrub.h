/* SPDX-License-Identifier: Apache-2.0
 * Online scrub: the running engine reads everything it holds again, a little at a time, page by
 * page of the descriptors.
 *
 * Of a page both slots are read and every entry is compared with the index; both are states of the
 * same anchor whenever no checkpoint runs, and only then are they compared. A difference counts
 * when a second look finds it too. Then each block that the page names is looked up as a reader
 * would, pinned, read and hashed. What lies in the index and in no page shows at the end of a pass:
 * count and set hash of all entries, kept up to date by the checkpoints that come over pages
 * already seen, must be those of the anchor.
 *
 * Repaired is what another copy proves: a page is written anew from the index where slots are
 * damaged or entries differ, unless the map of free space speaks for the entry. Blocks whose bytes
 * are wrong are marked, as a GET would. Everything else is only reported; bbfsck decides.
 *
 * A pass takes `days`; a hurried one goes as fast as `rate` and `share` allow, which bound both.
 * Where it stands lies in the index's row (index.h) and is lost with it. Owner: the controller.
 */
#ifndef BB_SCRUB_H
#define BB_SCRUB_H

#include "bb/index.h"

struct bb_store;

/* What is found. x(NAME, name, text) */
#define BB_SCRUB_KINDS(x)                                                                          \
    x(DATA, "data", "bytes of a block do not match its name")                                      \
        x(READ, "read", "a block cannot be read")                                                  \
            x(SLOT, "slot", "a slot of a descriptor page is damaged")                              \
                x(ENTRY, "entry", "a descriptor page and the index differ")                        \
                    x(SET_DIFFERS, "set", "the index holds what no descriptor page names")

enum bb_scrub_kind {
#define BB_SCRUB_ENUM(name, ...) BB_SCRUB_##name,
    BB_SCRUB_KINDS(BB_SCRUB_ENUM)
#undef BB_SCRUB_ENUM
        BB_SCRUB_KIND_COUNT
};

enum bb_scrub_outcome { BB_SCRUB_REPAIRED, BB_SCRUB_MARKED, BB_SCRUB_LEFT, BB_SCRUB_OUTCOME_COUNT };

struct bb_scrub_finding {
    enum bb_scrub_kind kind;
    enum bb_scrub_outcome outcome;
    uint64_t page;       /* of the descriptors */
    uint64_t unit;       /* DATA, READ: of the block */
    struct bb_hash hash; /* likewise */
};

struct bb_scrub_config {
    uint32_t days;    /* that a pass takes; 0: none begins by itself */
    uint64_t rate;    /* bytes per second at most; 0: no scrub at all */
    uint32_t share;   /* percent of the time that it waits for the device at most, 1 to 100 */
    uint64_t unix_ms; /* wall clock when the engine's clock stood at 0 */
    struct bb_hasher *hasher; /* the host's; NULL: no scrub at all */
    /* Something was found and dealt with. May be NULL. */
    void (*found)(void *context, const struct bb_scrub_finding *finding);
};

struct bb_scrub_status {
    bool enabled;                           /* rate is not 0 */
    bool paused, hurried, running;          /* running: a pass is not complete */
    uint64_t page, page_count;              /* where it stands, of all pages of open zones */
    struct bb_scrub_row row;                /* with what it stands on */
    uint64_t findings[BB_SCRUB_KIND_COUNT]; /* since the start of the engine */
    uint64_t outcomes[BB_SCRUB_OUTCOME_COUNT];
    uint64_t blocks, bytes; /* hashed since then */
    uint64_t looks_again;   /* first looks that a second one did not confirm */
    uint64_t rate;          /* bytes per second that it aims at now */
};

/* A pass goes on, or begins, as fast as rate and share allow; until it is complete. */
void bb_scrub_start(struct bb_store *store);
/* Nothing is read until bb_scrub_start, over restarts too. */
void bb_scrub_pause(struct bb_store *store);
void bb_scrub_get_status(const struct bb_store *store, struct bb_scrub_status *ret_status);
const char *bb_scrub_kind_name(enum bb_scrub_kind kind);
const char *bb_scrub_kind_text(enum bb_scrub_kind kind);

#endif
