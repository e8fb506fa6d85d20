/* SPDX-License-Identifier: Apache-2.0
 * Everything that stands on the data device, byte by byte. This header is the normative text.
 *
 *   0 .. 8 MiB    head: superblock copy 1 at 64 KiB, copy 2 at 4 MiB, else zero
 *   8 MiB ..      journal ring
 *   ..            zones: descriptor slots A, data units, descriptor slots B
 *   last 8 MiB    tail: superblock copy 3 at 1 MiB, copy 4 at 5 MiB into it, else zero
 *
 * Rules: little-endian, fixed widths, no padding, reserved bytes are zero and checked. A unit is
 * 4096 bytes; a unit number is a byte offset on the data device divided by 4096. Every metadata
 * unit carries magic, version, store UUID, its own position, a sequence or generation, and a
 * digest: the first 128 bits of SHA-256 over the whole structure with the digest field zero.
 *
 * Generations, epochs and sequences stay below 2^63: a larger one is damage, so that adding one to
 * what a device says never overflows.
 *
 * Version history: 1 first format.
 */
#ifndef BB_FORMAT_H
#define BB_FORMAT_H

#include "bb/assert.h"
#include "bb/hash.h"
#include "bb/le.h"

#include <stddef.h>

#define BB_UNIT_SIZE 4096u
#define BB_UNIT_SHIFT 12
#define BB_BLOCK_SIZE_MAX (1u << 20)
#define BB_BLOCK_UNITS_MAX (BB_BLOCK_SIZE_MAX / BB_UNIT_SIZE)
#define BB_FORMAT_VERSION 1u

#define BB_HEAD_SIZE (8u << 20)
#define BB_TAIL_SIZE (8u << 20)
#define BB_SUPER_COPY_COUNT 4
#define BB_COUNTER_MAX (UINT64_MAX >> 1) /* generations, epochs, sequences */

struct bb_uuid {
    uint8_t bytes[16];
};

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

/* {sequence, position, digest of the record that ends the newest complete checkpoint; entry count
 * and set hash there}. All zero: the anchor carried by record 0, which is itself the first anchor.
 */
struct bb_disk_anchor {
    struct bb_le64 sequence;
    struct bb_le64 position; /* ring unit where that record starts */
    struct bb_digest digest; /* of that record */
    struct bb_le64 count;
    struct bb_digest set_hash;
};

#define BB_SUPER_MAGIC "BBSUPER\n"
/* Bits of must_understand. */
#define BB_SUPER_SHORT_ZONES 1ull /* set exactly if there is one */
#define BB_SHORT_ZONES_MAX 32u

/* A zone before the last that is shorter than zone_size: it was the last one, and open, when the
 * device grew. */
struct bb_disk_short_zone {
    struct bb_le32 index;
    struct bb_le32 mib; /* its size; 0: unused row */
};

#define BB_SUPER_CLEAN 1u /* state: stopped cleanly, clean_sequence is valid */

struct bb_disk_super {
    uint8_t magic[8];
    struct bb_le32 version;
    struct bb_le32 copy;   /* 1..4 */
    struct bb_uuid store;  /* this store */
    struct bb_uuid index;  /* the index that belongs to it */
    struct bb_le64 offset; /* own byte offset on the device */
    struct bb_le64 generation;
    struct bb_le64 must_understand; /* feature words */
    struct bb_le64 may_ignore;
    struct bb_le64 device_size; /* bytes at format, or when it grew */
    struct bb_le32 logical_sector;
    struct bb_le32 physical_sector;
    struct bb_le64 journal_offset; /* bytes */
    struct bb_le64 journal_units;
    struct bb_le64 zones_offset; /* bytes */
    struct bb_le64 zone_size;    /* bytes, of all but the last zone and the short ones */
    struct bb_le32 zone_count;
    struct bb_le32 open_zone_count;
    struct bb_le64 epoch;
    struct bb_le64 epoch_first_sequence;
    struct bb_le32 state; /* BB_SUPER_CLEAN or 0 */
    struct bb_le32 reserved_state;
    struct bb_le64 clean_sequence;
    struct bb_disk_anchor anchor; /* where this epoch starts */
    uint8_t label[32];            /* UTF-8, zero padded */
    struct bb_digest digest;
    struct bb_disk_short_zone shorts[BB_SHORT_ZONES_MAX]; /* ascending, then zero */
    uint8_t reserved[4096 - 528];
};

#define BB_RECORD_MAGIC "BBRECORD"
#define BB_RECORD_UNITS_MAX 16u

struct bb_disk_record {
    uint8_t magic[8];
    struct bb_le32 version;
    struct bb_le32 units; /* length of the record, 1..16 */
    struct bb_uuid store;
    struct bb_le64 epoch;
    struct bb_le64 sequence;
    struct bb_le64 position;   /* own first ring unit */
    struct bb_le64 durable;    /* watermark D when the record was built */
    struct bb_digest previous; /* digest of the record before */
    struct bb_disk_anchor anchor;
    struct bb_le32 item_count;
    struct bb_le32 reserved;
    struct bb_digest digest; /* of all units of the record */
};

enum bb_item_op { BB_ITEM_PUT = 1, BB_ITEM_DELETE = 2, BB_ITEM_MARK = 3 };

struct bb_disk_item {
    uint8_t op;
    uint8_t flags; /* zero */
    struct bb_le16 reserved;
    struct bb_le32 size; /* bytes of the block */
    struct bb_le64 unit; /* first unit of its extent */
    struct bb_hash hash;
};

#define BB_RECORD_ITEMS_MAX                                                                        \
    ((BB_RECORD_UNITS_MAX * BB_UNIT_SIZE - sizeof(struct bb_disk_record)) /                        \
     sizeof(struct bb_disk_item))

#define BB_PAGE_MAGIC "BBDESCR\n"
#define BB_PAGE_ENTRY_COUNT 112u

#define BB_ENTRY_SIZE_MASK 0x00ffffffu
#define BB_ENTRY_PRESENT 0x80000000u
#define BB_ENTRY_CORRUPT 0x40000000u

struct bb_disk_entry {
    struct bb_hash hash;
    struct bb_le32 size_flags; /* all zero: no block starts at this unit */
};

struct bb_disk_page {
    uint8_t magic[8];
    struct bb_le32 version;
    struct bb_le32 page; /* number of the page, counted over all zones */
    struct bb_uuid store;
    struct bb_le64 generation; /* the newer of the two slots has the larger one */
    struct bb_le64 covered;    /* sequence up to which items are folded in */
    struct bb_digest digest;
    struct bb_disk_entry entries[BB_PAGE_ENTRY_COUNT];
};

#pragma GCC diagnostic pop

BB_STATIC_ASSERT(sizeof(struct bb_disk_anchor) == 56);
BB_STATIC_ASSERT(sizeof(struct bb_disk_super) == 4096);
BB_STATIC_ASSERT(offsetof(struct bb_disk_super, anchor) == 168);
BB_STATIC_ASSERT(offsetof(struct bb_disk_super, shorts) == 272);
BB_STATIC_ASSERT(offsetof(struct bb_disk_super, reserved) == 528);
BB_STATIC_ASSERT(sizeof(struct bb_disk_record) == 160);
BB_STATIC_ASSERT(offsetof(struct bb_disk_record, digest) == 144);
BB_STATIC_ASSERT(sizeof(struct bb_disk_item) == 48);
BB_STATIC_ASSERT(BB_RECORD_ITEMS_MAX == 1362);
BB_STATIC_ASSERT(sizeof(struct bb_disk_entry) == 36);
BB_STATIC_ASSERT(sizeof(struct bb_disk_page) == 4096);
BB_STATIC_ASSERT(offsetof(struct bb_disk_page, entries) == 64);

#endif
