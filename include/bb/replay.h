/* SPDX-License-Identifier: Apache-2.0
 * A store as recovery would leave it, without writing anything: what the journal holds behind the
 * index's checkpoint is folded into a delta in memory, and that lies over the index. For a server
 * that must not touch its devices (struct bb_store_config, `replayed`).
 *
 * Memory: BB_REPLAY_ITEM_COST bytes per hash that the journal mentions behind the checkpoint. The
 * engine's own delta takes more for each, so a store that ran with some amount of memory can be
 * replayed with the same.
 */
#ifndef BB_REPLAY_H
#define BB_REPLAY_H

#include "bb/delta.h"
#include "bb/recover.h"

#define BB_REPLAY_ITEM_COST ((size_t)72)

struct bb_replay {
    struct bb_index under;
    struct bb_delta
        delta; /* one item per hash, ascending; all with the number of the last record */
    struct bb_anchor anchor; /* of the state with them */
    uint64_t wanted;         /* how many there are: after BB_ERR_MEMORY more than were taken */
};

/* Recovery's checks (bb_recover_check, the same errors and sentences), then the replay, with at
 * most `memory` bytes of the arena for the delta. Nothing is written and nothing is flushed, given
 * config->no_flush. ret_recovered->super has the epoch and the clean mark that were found, and the
 * replay's anchor. BB_ERR_MEMORY without a sentence when the delta does not hold it all. */
BB_MUST_USE int bb_replay_run(const struct bb_recover_config *config, struct bb_arena *arena,
                              size_t memory, struct bb_replay *ret_replay,
                              struct bb_recovered *ret_recovered, struct bb_explain *ret_explain);

/* The index with the delta over it, for lookups and scans; it is never folded. What is appended to
 * a copy of the delta later does not show. `replay` stays where it is. */
void bb_replay_index(struct bb_replay *replay, struct bb_index *ret_index);

#endif
