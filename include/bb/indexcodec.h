/* SPDX-License-Identifier: Apache-2.0
 * Everything that we store in the index, byte by byte. This header is the normative text; the tree
 * around it is LMDB's (lmdbindex.h).
 *
 *   database "block": key sha256 (32 bytes), value struct bb_disk_index_value
 *   database "state": one row, key BB_INDEX_STATE_KEY, value struct bb_disk_index_state
 *
 * Little-endian, fixed widths, no padding; reserved bits are zero and checked. Pure functions.
 */
#ifndef BB_INDEXCODEC_H
#define BB_INDEXCODEC_H

#include "bb/format.h"
#include "bb/index.h"

#define BB_INDEX_BLOCK_NAME "block"
#define BB_INDEX_STATE_NAME "state"
#define BB_INDEX_STATE_KEY "row"
#define BB_INDEX_STATE_MAGIC "BBINDEX\n"
#define BB_INDEX_VERSION 3u /* 2: the row has an epoch; 3: and where the scrub stands */
#define BB_INDEX_VERSION_2 2u
#define BB_INDEX_UNIT_BITS 40
#define BB_INDEX_FLAGS_KNOWN BB_INDEX_CORRUPT

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

struct bb_disk_index_value {
    struct bb_le64 place; /* bits 0..39 first unit, bits 40..63 size in bytes */
    struct bb_le64 flags; /* BB_INDEX_CORRUPT; room for references */
};

struct bb_disk_scrub_row { /* scrub.h says what they mean */
    struct bb_le64 page;
    struct bb_le64 set_page;
    struct bb_le64 set_count;
    struct bb_digest set_hash;
    struct bb_le64 of_count;
    struct bb_digest of_hash;
    struct bb_le64 passes;
    struct bb_le64 pass_began;
    struct bb_le64 pass_findings;
    struct bb_le64 last_ended;
    struct bb_le64 last_clean;
    struct bb_le64 blocks;
    struct bb_le64 bytes;
    struct bb_le64 flags;
};

/* Version 2 had no `scrub`. */
struct bb_disk_index_state {
    uint8_t magic[8];
    struct bb_le32 version;
    struct bb_le32 reserved;
    struct bb_uuid store;
    struct bb_uuid index;
    struct bb_disk_anchor anchor; /* of the newest complete checkpoint */
    struct bb_le64 count;         /* what the map holds now */
    struct bb_digest set_hash;
    struct bb_le64 epoch;    /* of the newest start */
    struct bb_digest digest; /* of the row with this field zero */
    struct bb_disk_scrub_row scrub;
};

#pragma GCC diagnostic pop

BB_STATIC_ASSERT(sizeof(struct bb_disk_index_value) == 16);
BB_STATIC_ASSERT(sizeof(struct bb_disk_scrub_row) == 128);
BB_STATIC_ASSERT(sizeof(struct bb_disk_index_state) == 280);
BB_STATIC_ASSERT(offsetof(struct bb_disk_index_state, anchor) == 48);
BB_STATIC_ASSERT(offsetof(struct bb_disk_index_state, digest) == 136);
BB_STATIC_ASSERT(offsetof(struct bb_disk_index_state, scrub) == 152);

void bb_index_value_encode(const struct bb_index_entry *entry,
                           struct bb_disk_index_value *ret_value);
/* BB_ERR_INDEX_DAMAGED: wrong length, a size above 1 MiB, an unknown flag. */
BB_MUST_USE int bb_index_value_decode(const void *value, size_t size,
                                      struct bb_index_entry *ret_entry);

void bb_index_state_encode(const struct bb_index_state *state, struct bb_disk_index_state *ret_row);
/* BB_ERR_INDEX_DAMAGED: wrong length, magic, reserved bytes or digest; BB_ERR_VERSION: made by a
 * newer program. */
BB_MUST_USE int bb_index_state_decode(const void *row, size_t size,
                                      struct bb_index_state *ret_state);

#endif
