/* SPDX-License-Identifier: Apache-2.0
 * Reading the journal back: from an anchor to the first record that does not continue the chain,
 * and the proof, from the whole ring, that nothing acknowledged is missing there. Shared by
 * recovery, rebuild and check. Blocking, over bb_io; writes nothing.
 *
 * A ring unit that cannot be read is no record. Only where the chain would go on does it stop the
 * scan with the read error: what stood there may have been acknowledged. Owner: the caller's
 * thread.
 */
#ifndef BB_SCAN_H
#define BB_SCAN_H

#include "bb/codec.h"
#include "bb/io.h"
#include "bb/store.h"

#define BB_SCAN_BUFFER_SIZE ((size_t)256 << 10)

struct bb_scan {
    struct bb_io *io;
    const struct bb_super *super;
    void *buf; /* BB_SCAN_BUFFER_SIZE bytes, 4096 aligned */
    /* For repairs only. bridge: the anchor's record may be missing; the one that names its digest
     * as its predecessor proves as well that this ring goes on from there. accept_loss: a proven
     * gap, or one that cannot be read, ends the scan like a torn tail. */
    bool bridge, accept_loss;
};

/* What the whole ring says, without an anchor. "Of the epoch" is: exactly the superblock's. */
struct bb_survey {
    bool found;                /* there is a valid record of the epoch */
    uint64_t newest_sequence;  /* of the epoch's valid records */
    struct bb_anchor carried;  /* newest anchor that one of them carries */
    uint64_t durable;          /* highest watermark D of them */
    uint64_t durable_sequence; /* and the record that carries it */
    uint64_t last_sequence;    /* newest valid record of this store of any epoch */
    uint64_t newest_epoch;     /* of all valid records */
    uint64_t unreadable_units;
};

struct bb_scan_result {
    struct bb_anchor anchor;      /* where it started */
    struct bb_ring_position last; /* last accepted record; the anchor's own when there is none */
    uint64_t durable;             /* D: highest watermark of the accepted records, or the anchor */
    uint64_t record_count;        /* accepted, without the anchor's record */
    uint64_t item_count;
    struct bb_set set;       /* anchor plus items */
    bool given_up;           /* with accept_loss: there is a gap */
    uint64_t lost_sequence;  /* then, and with BB_ERR_LOST_RECORD: first missing record */
    uint64_t proof_sequence; /* and the record that proves it, or the clean mark */
    bool anchor_missing;     /* with bridge: the anchor's record is not there; */
    bool bridge_missing;     /* nor is one that follows it: last.units is 0 */
    uint64_t stop_position;  /* ring unit where the next record would stand */
    bool bad_found;          /* with BB_ERR_DAMAGED: an item that cannot be, and its record */
    struct bb_item bad;
    uint64_t bad_sequence;
};

/* Called for every item of the accepted records in order; not 0 stops and is returned. index counts
 * within the record. */
typedef int bb_scan_item_fn(void *context, uint64_t sequence, uint32_t index,
                            const struct bb_item *item);

/* The anchor that a record carries: record 0 carries none and is itself the first one. */
struct bb_anchor bb_scan_anchor_of(const struct bb_record *record);

/* Reads every valid record of the ring. Errors of the device other than of the medium are returned.
 */
BB_MUST_USE int bb_scan_survey(const struct bb_scan *scan, struct bb_survey *ret_survey);

/* Scans from `anchor`, whose record may be of an earlier epoch: it is named by its digest.
 * BB_ERR_FOREIGN when that record does not stand at its place with that digest; BB_ERR_LOST_RECORD
 * when the survey, or the mark of a clean stop, proves that the record behind the last accepted one
 * was acknowledged; BB_ERR_DAMAGED for an
 * item outside the open zones or beyond the count; a read error. ret_result is
 * filled as far as the scan came.
 * visit NULL: the set is computed, and the proof demanded. With visit (a later pass, the same ring)
 * neither: ret_result->set stays the anchor's. survey may be NULL then. */
BB_MUST_USE int bb_scan_journal(const struct bb_scan *scan, const struct bb_survey *survey,
                                const struct bb_anchor *anchor, bb_scan_item_fn *visit,
                                void *context, struct bb_scan_result *ret_result);

/* What stands behind a gap: the items of every valid record of the epoch with a sequence above
 * `above`, ascending, also across further gaps. *ret_first is the first such record, 0: none. visit
 * must leave the scan's buffer alone. */
BB_MUST_USE int bb_scan_behind(const struct bb_scan *scan, uint64_t above, bb_scan_item_fn *visit,
                               void *context, uint64_t *ret_first);

/* Whether an error says that the medium, not the device or the program, failed. */
bool bb_scan_is_medium_error(int error);

#endif
