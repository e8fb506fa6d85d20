/* SPDX-License-Identifier: Apache-2.0
 * Offline check of a pair: superblocks, journal, descriptor pages against the index both ways,
 * count and set hash, overlaps. What a crash leaves behind and the next start repairs is a note;
 * everything else is an error. Writes nothing. Blocking; one thread.
 *
 * Journal items are folded into both sides first, so a store that was not stopped is checked as it
 * will be after its recovery. Equal set hashes prove equal sides without comparing block by block;
 * only where they differ are both sides compared, a range of hashes at a time, in bounded memory.
 */
#ifndef BB_CROSSCHECK_H
#define BB_CROSSCHECK_H

#include "bb/recover.h"

/* x(NAME, json name, is an error) */
#define BB_FINDINGS(x)                                                                             \
    x(SUPER_COPY, "superblock-copy", false) x(REFUSED, "start-refused", true)                      \
        x(JOURNAL_UNREADABLE, "journal-unreadable", true) x(ROLL_FORWARD, "not-stopped", false) x( \
            DROPPED, "unacknowledged-dropped", false) x(SLOT_TORN, "descriptor-slot-torn", false)  \
            x(SLOT_DAMAGED, "descriptor-slot-damaged", true)                                       \
                x(PAGE_LOST, "descriptor-page-lost", true) x(IMPOSSIBLE, "impossible-entry", true) \
                    x(OVERLAP, "overlap", true) x(NOT_IN_INDEX, "not-in-index", true)              \
                        x(NOT_IN_PAGES, "not-in-descriptors", true)                                \
                            x(DIFFERENT, "different", true) x(TWICE, "twice-in-descriptors", true) \
                                x(SET_WRONG, "count-or-set-hash", true)                            \
                                    x(INDEX_DAMAGED, "index-damaged", true)

enum bb_finding_kind {
#define BB_FINDING_ENUM(name, json, error) BB_FINDING_##name,
    BB_FINDINGS(BB_FINDING_ENUM)
#undef BB_FINDING_ENUM
        BB_FINDING_COUNT
};

struct bb_finding {
    enum bb_finding_kind kind;
    bool is_error;
    const char *name; /* the json name */
    char text[320];   /* the sentence: what, found, cure */
};

struct bb_crosscheck_report {
    uint64_t errors, notes;
    uint64_t count[BB_FINDING_COUNT];
    uint64_t blocks, bytes, used_units, marked_blocks, open_units;
    uint64_t index_blocks;
    struct bb_recover_report recover; /* what the next start would do */
    struct bb_super super;
};

/* Each finding as it is made; every one is counted, also when this is NULL. */
typedef void bb_finding_fn(void *context, const struct bb_finding *finding);

/* 0 when the check came to its end, whatever it found; an error (NOT_FORMATTED, VERSION, GEOMETRY,
 * MEMORY, or of a device) with ret_explain when it could not. config->context is passed to progress
 * and found. */
BB_MUST_USE int bb_crosscheck_run(const struct bb_recover_config *config, bb_finding_fn *found,
                                  struct bb_crosscheck_report *ret_report,
                                  struct bb_explain *ret_explain);

#endif
