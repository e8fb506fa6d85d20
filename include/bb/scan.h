/* SPDX-License-Identifier: Apache-2.0
 * Reading the journal back: from an anchor to the first record that does not continue the chain, then
 * ahead through the rest of the ring for proof that something acknowledged is missing. Shared by
 * recovery, rebuild and check. Blocking, over bb_io.
 */
#ifndef BB_SCAN_H
#define BB_SCAN_H

#include "bb/codec.h"
#include "bb/io.h"
#include "bb/store.h"

struct bb_scan_result {
    struct bb_anchor anchor;       /* where it started */
    struct bb_ring_position last;  /* last accepted record; the anchor's own when there is none */
    uint64_t durable;              /* D: highest watermark of the accepted records, or the anchor */
    uint64_t record_count;         /* accepted, without the anchor's record */
    uint64_t item_count;
    struct bb_set set;             /* anchor plus items */
    uint64_t lost_sequence;        /* with BB_ERR_LOST_RECORD: first missing record */
    uint64_t proof_sequence;       /* and the record that proves it */
    uint64_t newest_anchor;        /* newest anchor sequence carried by a valid record of the epoch */
    struct bb_anchor carried;      /* that anchor, whole; for rebuild */
    bool carried_found;
};

/* Called for every item of the accepted records in order; not 0 stops and is returned. */
typedef int bb_scan_item_fn(void *context, uint64_t sequence, uint32_t index,
                            const struct bb_item *item);

/* Looks at the whole ring: newest anchor carried by any valid record of this epoch. */
BB_MUST_USE int bb_scan_newest_anchor(struct bb_io *io, const struct bb_super *super,
                                      struct bb_scan_result *ret_result);

/* Scans from `anchor`. BB_ERR_FOREIGN when the anchor's record does not stand in the ring with its
 * digest; BB_ERR_LOST_RECORD; BB_ERR_DAMAGED when a clean store does not reach its mark. visit may be
 * NULL. May be called several times: passes within a memory budget. */
BB_MUST_USE int bb_scan_journal(struct bb_io *io, const struct bb_super *super,
                                const struct bb_anchor *anchor, bb_scan_item_fn *visit,
                                void *context, struct bb_scan_result *ret_result);

#endif
