/* SPDX-License-Identifier: Apache-2.0
 * After a journal record that was acknowledged is lost and given up: what the records behind it
 * still say. Their order and their digests hold, but not what the lost one changed, so the bytes
 * decide: a PUT counts when its block's bytes match its name, and then whatever a descriptor says
 * about the same units is older and goes; a DELETE or MARK counts when it names what stands there.
 * So no block is lost whose bytes are there and that a record or a descriptor names; but one whose
 * DELETE is lost may be back.
 *
 * Changes descriptor pages only, one item at a time, each durable before the next: a cut leaves
 * whole pages, and it is run again. Rebuild calls it, before the index is written from the pages.
 */
#ifndef BB_SALVAGE_H
#define BB_SALVAGE_H

#include "bb/recovery.h"

/* On a recovery whose scan was given up at a gap (found.given_up) and whose pages are written;
 * fills report.gap_*, salvaged and not_salvaged. Uses the work memory. */
BB_MUST_USE int bb_salvage(struct bb_recovery *recovery);

/* Of two places that descriptors name for one block, the one to drop: its entry is cleared. */
BB_MUST_USE int bb_salvage_one_of(struct bb_recovery *recovery, const struct bb_mention *first,
                                  const struct bb_mention *second);

#endif
