/* SPDX-License-Identifier: Apache-2.0
 * Everything that bbfsck can find, in one table: a number that never changes its meaning (1xx
 * superblocks, 2xx journal, 3xx descriptors, 4xx index, 5xx blocks), a name for programs, how bad
 * it is, a sentence, and what --repair does about it.
 *
 * A note is what a crash leaves behind, or one copy of several: the next start repairs it, nobody
 * has to do anything. Everything else is an error. What is printed is more exact than the sentence
 * of the table: it names device, place and cure.
 */
#ifndef BB_FINDINGS_H
#define BB_FINDINGS_H

#include "bb/hash.h"

#include <stdbool.h>
#include <stdint.h>

enum bb_severity { BB_NOTE, BB_ERROR };

enum bb_cure {
    BB_CURE_START,   /* recovery, which every start does, repairs it */
    BB_CURE_COPY,    /* another copy proves what belongs there: it is written again */
    BB_CURE_REBUILD, /* a new index is written from the data device */
    BB_CURE_MARK,    /* the block is marked corrupt in both maps; a PUT of it heals it */
    BB_CURE_ACCEPT,  /* only with --accept-loss: something acknowledged is given up */
    BB_CURE_NONE,    /* a person must look */
};

/* x(number, NAME, name, severity, cure, sentence, what --repair does) */
/* clang-format off */
#define BB_FINDINGS(x)                                                                             \
    x(101, SUPER_DAMAGED, "superblock-copy-damaged", NOTE, START,                                  \
      "a copy of the superblock is damaged",                                                       \
      "writes it again from the others")                                                           \
    x(102, SUPER_OLDER, "superblock-copy-older", NOTE, START,                                      \
      "a copy of the superblock is of another generation",                                         \
      "writes it again from the others")                                                           \
    x(103, SUPER_LOST, "superblock-quorum-lost", ERROR, COPY,                                      \
      "no two copies of the superblock agree",                                                     \
      "writes the newest readable copy to all places if the journal knows no later epoch")         \
    x(201, NOT_STOPPED, "not-stopped", NOTE, START,                                                \
      "the journal holds records behind the newest checkpoint",                                    \
      "rolls them forward")                                                                        \
    x(202, TAIL_TORN, "journal-tail-torn", NOTE, START,                                            \
      "the last record of the journal was never written completely nor acknowledged",              \
      "leaves it behind")                                                                          \
    x(203, DROPPED, "unacknowledged-dropped", NOTE, START,                                         \
      "blocks that were never acknowledged have other bytes than their names say",                 \
      "drops them")                                                                                \
    x(204, RECORD_LOST, "journal-record-lost", ERROR, ACCEPT,                                      \
      "a journal record is corrupt although it was acknowledged",                                  \
      "with --accept-loss gives up that record and keeps what can be proven behind it")            \
    x(205, MARK_NOT_REACHED, "clean-mark-not-reached", ERROR, ACCEPT,                              \
      "the journal ends before the record that the clean stop names",                              \
      "with --accept-loss gives up the records that are missing")                                  \
    x(206, ANCHOR_MISSING, "anchor-record-missing", ERROR, COPY,                                   \
      "the record where the newest checkpoint ended is not in the journal",                        \
      "goes on from the record that follows it, or writes one in its place")                       \
    x(207, JOURNAL_UNREADABLE, "journal-unreadable", ERROR, NONE,                                  \
      "units of the journal cannot be read",                                                       \
      "nothing: the device has to be replaced")                                                    \
    x(208, JOURNAL_IMPOSSIBLE, "journal-impossible", ERROR, NONE,                                  \
      "items of the journal contradict each other, or what stands on the device",                  \
      "nothing")                                                                                   \
    x(301, SLOT_TORN, "descriptor-slot-torn", NOTE, START,                                         \
      "a slot of a descriptor page was torn by a cut",                                             \
      "writes it again")                                                                           \
    x(302, SLOT_DAMAGED, "descriptor-slot-damaged", ERROR, COPY,                                   \
      "a slot of a descriptor page is damaged",                                                    \
      "writes it again from the index")                                                            \
    x(303, PAGE_LOST, "descriptor-page-lost", ERROR, COPY,                                         \
      "both slots of a descriptor page are damaged",                                               \
      "writes them again from the index")                                                          \
    x(304, ENTRY_IMPOSSIBLE, "descriptor-impossible", ERROR, COPY,                                 \
      "a descriptor holds what cannot be",                                                         \
      "writes its page again from the index")                                                      \
    x(305, OVERLAP, "overlap", ERROR, COPY,                                                        \
      "two blocks claim the same unit",                                                            \
      "writes the descriptors again from the index if its count and set hash are right")           \
    x(306, TWICE, "twice-in-descriptors", ERROR, COPY,                                             \
      "descriptors name a block at two places",                                                    \
      "writes their pages again from the index")                                                   \
    x(307, NOT_IN_PAGES, "not-in-descriptors", ERROR, COPY,                                        \
      "no descriptor names a block of the index",                                                  \
      "takes the side whose count and set hash are right")                                         \
    x(308, PAGES_SET, "descriptor-set-wrong", ERROR, COPY,                                         \
      "count or set hash of the descriptors is wrong",                                             \
      "writes what differs again from the index if that one is right")                             \
    x(401, INDEX_MISSING, "index-missing", ERROR, REBUILD,                                         \
      "there is no index",                                                                         \
      "writes one from the data device")                                                           \
    x(402, INDEX_DAMAGED, "index-damaged", ERROR, REBUILD,                                         \
      "the index cannot be read",                                                                  \
      "writes a new one from the data device")                                                     \
    x(403, INDEX_FOREIGN, "index-foreign", ERROR, NONE,                                            \
      "the index belongs to another store",                                                        \
      "nothing: the right one has to be attached, or another device named to --rebuild")           \
    x(404, INDEX_REPLACED, "index-replaced", ERROR, REBUILD,                                       \
      "the index is not the one that belongs to the data device",                                  \
      "writes a new one from the data device")                                                     \
    x(405, INDEX_OLDER, "index-older", ERROR, REBUILD,                                             \
      "the index is the older half",                                                               \
      "writes a new one from the data device")                                                     \
    x(406, DATA_OLDER, "data-older", ERROR, ACCEPT,                                                \
      "the data device is the older half",                                                         \
      "with --accept-loss writes a new index from it, which gives up what only the index "         \
      "knows")                                                                                     \
    x(407, NOT_IN_INDEX, "not-in-index", ERROR, REBUILD,                                           \
      "a block of the descriptors is not in the index",                                            \
      "takes the side whose count and set hash are right")                                         \
    x(408, DIFFERENT, "different", ERROR, REBUILD,                                                 \
      "descriptor and index name different places or sizes for a block",                           \
      "takes the side whose count and set hash are right")                                         \
    x(409, INDEX_SET, "index-set-wrong", ERROR, REBUILD,                                           \
      "count or set hash of the index is wrong",                                                   \
      "writes a new one from the data device if that one is right")                                \
    x(410, INDEX_IMPOSSIBLE, "index-impossible", ERROR, REBUILD,                                   \
      "a block of the index lies outside the data units",                                          \
      "writes a new one from the data device")                                                     \
    x(411, MARK_DIFFERS, "mark-differs", ERROR, MARK,                                              \
      "a block is marked corrupt in one of descriptors and index",                                 \
      "marks it in both")                                                                          \
    x(501, BYTES_WRONG, "bytes-wrong", ERROR, MARK,                                                \
      "the bytes of a block do not match its name",                                                \
      "marks it corrupt")                                                                          \
    x(502, BLOCK_UNREADABLE, "block-unreadable", ERROR, MARK,                                      \
      "the bytes of a block cannot be read",                                                       \
      "marks it corrupt")
/* clang-format on */

enum bb_finding_kind {
#define BB_FINDING_ENUM(number, name, json, severity, cure, sentence, repair) BB_FINDING_##name,
    BB_FINDINGS(BB_FINDING_ENUM)
#undef BB_FINDING_ENUM
        BB_FINDING_COUNT
};

struct bb_finding_info {
    unsigned number;
    const char *name;
    enum bb_severity severity;
    enum bb_cure cure;
    const char *sentence, *repair;
};

/* The row of the table. */
const struct bb_finding_info *bb_finding_info(enum bb_finding_kind kind);

/* One thing found. Unit, size and hash say where, for a repair; the text says it to a person. */
struct bb_finding {
    enum bb_finding_kind kind;
    bool has_unit; /* unit and other_unit (UINT64_MAX: none) are data units */
    bool has_block;
    uint64_t unit, other_unit;
    struct bb_hash hash;
    uint32_t size;
    char text[320]; /* what, where, cure */
};

#endif
