/* SPDX-License-Identifier: Apache-2.0
 * Planted bugs and kill points, only in the build with -DBB_PLANT=ON that tests/plants makes for
 * itself. In every other build both are constants and leave no code.
 *
 * A plant breaks one rule of the store in one place, to prove that a harness would see it:
 * bb_planted(NAME) is true if the environment's BB_PLANT, read before main, names it (several with
 * commas). tests/plants/table says which harness must catch which plant.
 *
 * At a kill point the process dies by SIGKILL if the environment's BB_KILL_POINT is NAME, or
 * NAME:n for the n-th passage. tests/plants/kills.py passes all of them.
 */
#ifndef BB_PLANT_H
#define BB_PLANT_H

#include <stdbool.h>

/* x(NAME, the rule that it breaks) */
/* clang-format off */
#define BB_PLANTS(x)                                                                               \
    /* commit */                                                                                   \
    x(ITEM_BEFORE_DATA, "an item enters a record only after its data write completed")             \
    x(SHORT_WRITE_ACCEPTED, "a short data write is a failed one")                                  \
    x(SHORT_RECORD_ACCEPTED, "a short journal write is fatal")                                     \
    x(FAILED_EXTENT_REUSED, "the extent of a failed data write is quarantined")                    \
    x(PIECES_IN_FLIGHT, "an extent comes back when every write to it was reaped")                  \
    x(ACK_BEFORE_FLUSH, "replies go out for sequences <= D, for nothing else")                     \
    x(FLUSH_BEFORE_COMPLETION, "the flush is submitted when the record's completion was reaped")   \
    x(D_COUNTS_ISSUED, "a flush covers what had completed before it was submitted")                \
    x(D_COUNTS_ITSELF, "a record carries the D of the moment it was built")                        \
    x(FLUSH_TRIED_AGAIN, "a failed flush is fatal and not tried again")                            \
    x(READ_AT_WRITE, "a read sees the state at D")                                                 \
    x(NO_WAIT, "an operation on a hash with an item above D waits")                                \
    x(DUPLICATE_EARLY, "a duplicate is acknowledged when the original is <= D")                    \
    x(REUSE_EARLY, "a deleted extent is allocatable when its DELETE is <= D")                      \
    x(PIN_MISSING, "a deleted extent is allocatable when no read has it pinned")                   \
    x(NO_IDLE_RECORD, "idle for 50 ms: a record carries the newest D")                             \
    x(IDLE_SHARES_NUMBER, "a sequence number names one record, an idle one too")                   \
    x(HEAL_IN_TWO_RECORDS, "DELETE and PUT of a heal stand in one record")                         \
    /* ring */                                                                                     \
    x(ANCHOR_OVERWRITTEN, "the anchor's record is not overwritten")                                \
    x(RING_FREED_EARLY, "ring space is free after a record with the new anchor is <= D")           \
    x(NO_RESERVE, "the ring's last room is kept for the record that frees it")                     \
    x(CARRY_AT_START, "records carry the anchor of a complete checkpoint")                         \
    /* checkpoint */                                                                               \
    x(INDEX_FIRST, "descriptor pages, flush, then the index")                                      \
    x(PAGES_BY_HASH, "descriptors get the final state per unit, not per hash")                     \
    x(NO_PAGE_FLUSH, "a flush stands between descriptor pages and the index")                      \
    x(PAST_D, "a checkpoint takes items <= D only")                                                \
    x(SLOT_IN_PLACE, "a page is written to the older of its two slots")                            \
    x(PAGES_CHANGED_ONLY, "every page that an item mentions is written, changed or not")           \
    x(ANCHOR_IN_FIRST_SLICE, "only the last slice sets the anchor")                                \
    x(DELTA_DROPPED_EARLY, "the delta is dropped when the read transaction has the last slice")    \
    /* trim */                                                                                     \
    x(TRIM_NOT_TAKEN, "an extent is out of the allocator while it is discarded")                   \
    x(TRIM_BACK_EARLY, "it comes back when the discard has completed")                             \
    x(TRIM_EARLY, "an extent is discarded when its DELETE is <= D")                                \
    x(TRIM_PINNED, "an extent is discarded when no read has it pinned")                            \
    x(TRIM_UNFOLDED, "an extent is discarded when its DELETE is folded")                           \
    x(TRIM_YOUNG, "an extent is discarded when it was free for long")                              \
    /* zones and superblocks */                                                                    \
    x(ZONE_NOT_FLUSHED, "pages of a new zone are flushed before the count is raised")              \
    x(ZONE_USED_EARLY, "a zone is used when the superblocks say that it is open")                  \
    x(SUPER_ONE_COPY, "a superblock has four copies")                                              \
    x(SUPER_ONE_PAIR, "a superblock is written as copies 1-2, flush, 3-4, flush")                  \
    x(SUPER_LONE_COPY, "a lone newer superblock copy does not count")                              \
    x(SUPER_NOT_HEALED, "a new generation is written when all four copies are equal")              \
    x(CLEAN_KEPT, "a start clears the clean mark")                                                 \
    x(CLEAN_IGNORED, "after a clean stop the scan must reach the mark")                            \
    x(FORMAT_SUPER_EARLY, "format writes the superblocks last")                                    \
    x(GROW_HEAD_FIRST, "growing: the new tail stands before a head copy names it")                 \
    x(GROW_NOT_FLUSHED, "growing: new tail, flush, copy 1, flush, copy 2, flush")                  \
    x(GROW_HEADS_AT_ONCE, "growing: copy 1 is durable before copy 2 is written")                   \
    x(GROW_OLD_TAIL_KEPT, "growing: the old tail copies are zeroed")                               \
    x(GROW_OPEN_ZONE, "growing: an open zone never changes")                                       \
    /* scrub */                                                                                    \
    x(SCRUB_NO_PIN, "the scrub reads under a pin")                                                 \
    x(SCRUB_ONE_LOOK, "a finding is what two looks agree on")                                      \
    x(SCRUB_NOT_STILL, "page and index are compared between checkpoints only")                     \
    x(SCRUB_SET_FORGETS, "the set of a pass follows the checkpoints")                              \
    x(SCRUB_MARK_BLIND, "a mark names the extent that was read")                                   \
    x(SCRUB_MEND_IN_PLACE, "the scrub writes a page to the older or bad slot")                     \
    x(SCRUB_DROPS_ALL, "an entry that free space speaks for is left to bbfsck")                    \
    /* start */                                                                                    \
    x(NO_FSYNC, "a start flushes the device before it reads")                                      \
    x(POSITION_UNCHECKED, "a record, page or superblock names its own position")                   \
    x(UUID_UNCHECKED, "a record or page names its store")                                          \
    x(PAIR_UNCHECKED, "data and index device name each other")                                     \
    x(CHAIN_UNCHECKED, "a record continues the chain of digests")                                  \
    x(OLD_EPOCH_ACCEPTED, "a scan accepts records of exactly the superblock's epoch")              \
    x(NO_LOOK_AHEAD, "a valid record with D >= the gap proves a loss")                             \
    x(INDEX_OF_ANY_AGE, "the row's anchor is as new as the epoch and any carried anchor")          \
    x(INDEX_AS_OLD_AS_EPOCH, "the row's anchor is as new as any carried anchor")                   \
    x(DATA_OF_ANY_EPOCH, "the index is never of a later epoch than the superblocks")               \
    x(SET_UNCHECKED, "count and set hash are compared")                                            \
    x(NO_REHASH, "recovery re-hashes live items above D")                                          \
    x(DROP_SKIPPED, "a dropped PUT counts as DELETE of its hash and of its unit")                  \
    x(HEAL_DROPPED, "a dropped heal gives the hash its old unit and mark back")                    \
    x(MARK_REHASHED, "MARK items are never re-hashed")                                             \
    x(DAMAGE_EXCUSED, "a bad slot of a page that no item mentions is damage")                      \
    x(OVERLAP_ACCEPTED, "an overlap is refused")                                                   \
    x(RECOVER_INDEX_FIRST, "recovery: descriptor pages, flush, then the index")                    \
    x(RECOVER_NO_PAGE_FLUSH, "recovery: a flush stands between pages and index")                   \
    x(RECOVER_SLOT_IN_PLACE, "recovery writes a page to the older of its two slots")               \
    x(EPOCH_KEPT, "a start ends with a new epoch")                                                 \
    x(EPOCH_FIRST, "the epoch changes after the recovery checkpoint")                              \
    x(EPOCH_WITHOUT_ANCHOR, "the superblock carries the anchor of the epoch's start")              \
    /* reading only */                                                                             \
    x(REPLAY_WRITES, "a start that only reads writes nothing")                                     \
    x(REPLAY_UNJUDGED, "it drops what recovery drops")                                             \
    /* rebuild */                                                                                  \
    x(REBUILD_NO_REHASH, "a rebuild re-hashes live items above D")                                 \
    x(REBUILD_NO_PAGES, "a rebuild writes every mentioned page before the row")                    \
    x(REBUILD_OLD_ANCHOR, "the anchor of a rebuilt row is the last accepted record")               \
    /* bytes */                                                                                    \
    x(BIG_ENDIAN, "fields on disk are little-endian")                                              \
    x(PADDING_UNDIGESTED, "a digest covers the whole unit")

/* x(NAME, where it stands) */
#define BB_KILL_POINTS(x)                                                                          \
    x(DATA_WRITTEN, "commit: a block is written, its commit not yet asked for")                    \
    x(ITEM_APPENDED, "commit: an item has joined the window")                                      \
    x(RECORD_SUBMITTED, "commit: a record is on its way")                                          \
    x(RECORD_WRITTEN, "commit: a record is written, not flushed")                                  \
    x(RECORD_FLUSHED, "commit: a record is durable, nobody has been told")                         \
    x(REPLIED, "commit: the replies of a window are out")                                          \
    x(CHECKPOINT_BEGUN, "checkpoint: its items are chosen")                                        \
    x(PAGE_SUBMITTED, "descriptor write: a page is on its way")                                    \
    x(PAGE_WRITTEN, "descriptor write: a page is written")                                         \
    x(PAGES_WRITTEN, "checkpoint: all pages are written, none is flushed")                         \
    x(PAGES_FLUSHED, "checkpoint: the pages are durable, the index knows nothing")                 \
    x(SLICE_FOLDED, "checkpoint: a slice is in the index")                                         \
    x(CHECKPOINT_ENDED, "checkpoint: the delta is dropped, no record carries the anchor")          \
    x(ZONE_SUBMITTED, "zone opening: pages are on their way")                                      \
    x(ZONE_WRITTEN, "zone opening: all pages are written, none is flushed")                        \
    x(ZONE_FLUSHED, "zone opening: the pages are durable, the count is the old one")               \
    x(ZONE_OPENED, "zone opening: the count is durable, the zone not used")                        \
    x(SUPER_SUBMITTED, "superblock of the running engine: a pair is on its way")                   \
    x(SUPER_FLUSHED, "superblock of the running engine: a pair is durable")                        \
    x(START_CHECKED, "start: all is checked, nothing written")                                     \
    x(START_PAGES_WRITTEN, "start: pages are written, not flushed")                                \
    x(START_PAGES_FLUSHED, "start: pages are durable, the index is the old one")                   \
    x(START_FOLDED, "start: a slice is in the index")                                              \
    x(START_ANCHORED, "start: the index has the new anchor, the epoch is the old one")             \
    x(EPOCH_COPY_WRITTEN, "epoch change: a superblock copy is written")                            \
    x(EPOCH_PAIR_FLUSHED, "epoch change: a pair of copies is durable")                             \
    x(EPOCH_CHANGED, "epoch change: the superblocks have it, the index not yet")                   \
    x(EPOCH_TOLD, "epoch change: over, nothing served yet")                                        \
    x(STOP_MARKED, "clean stop: the mark is durable")
/* clang-format on */

#ifdef BB_PLANT
#define BB_PLANT_ENUM(name, rule) BB_PLANT_##name,
enum bb_plant { BB_PLANTS(BB_PLANT_ENUM) BB_PLANT_COUNT };
extern bool bb_plants[BB_PLANT_COUNT]; /* read-only after start */
#define bb_planted(name) (bb_plants[BB_PLANT_##name])

#define BB_KILL_ENUM(name, where) BB_KILL_##name,
enum bb_kill_point { BB_KILL_POINTS(BB_KILL_ENUM) BB_KILL_COUNT };
void bb_kill_point(enum bb_kill_point point); /* any thread */
#define BB_KILL_POINT(name) bb_kill_point(BB_KILL_##name)
#else
#define bb_planted(name) false
#define BB_KILL_POINT(name) ((void)0)
#endif

#endif
