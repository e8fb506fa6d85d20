/* SPDX-License-Identifier: Apache-2.0
 * Encode and decode what format.h declares. Pure functions over bytes: no I/O, no allocation.
 *
 * decode checks everything that the bytes alone can say (magic, version, reserved zeros, ranges,
 * digest) plus identity where it is passed in; it returns an error and leaves its output untouched.
 * Whatever is wrong with a record, item, page or entry is BB_ERR_DAMAGED: the superblock's version
 * speaks for the whole store.
 * encode asserts its input, sets the digest and writes every byte of the unit.
 */
#ifndef BB_CODEC_H
#define BB_CODEC_H

#include "bb/format.h"
#include "bb/layout.h"

#include <stdbool.h>

struct bb_anchor {
    uint64_t sequence;
    uint64_t position;
    struct bb_digest digest;
    struct bb_set set;
};

struct bb_super {
    struct bb_uuid store;
    struct bb_uuid index;
    uint64_t generation;
    uint64_t must_understand;
    uint64_t may_ignore;
    struct bb_layout layout; /* from device size, journal and zone geometry */
    uint32_t logical_sector;
    uint32_t physical_sector;
    uint32_t open_zone_count;
    uint64_t epoch;
    uint64_t epoch_first_sequence;
    bool clean;
    uint64_t clean_sequence; /* valid when clean, else 0 */
    struct bb_anchor anchor;
    char label[33]; /* terminated */
};

struct bb_record {
    struct bb_uuid store;
    uint64_t epoch;
    uint64_t sequence;
    uint64_t position;
    uint32_t units;
    uint32_t item_count;
    uint64_t durable;
    struct bb_digest previous;
    struct bb_anchor anchor;
    struct bb_digest digest;
};

struct bb_item {
    enum bb_item_op op;
    uint32_t size;
    uint64_t unit;
    struct bb_hash hash;
};

struct bb_page_header {
    uint64_t page;
    uint64_t generation;
    uint64_t covered;
};

void bb_anchor_encode(const struct bb_anchor *anchor, struct bb_disk_anchor *ret_disk);
void bb_anchor_decode(const struct bb_disk_anchor *disk, struct bb_anchor *ret_anchor);

/* Superblock copy 1..4 at its place. decode: BB_ERR_NOT_FORMATTED (no magic), BB_ERR_VERSION
 * (version or must-understand feature), BB_ERR_DAMAGED (digest, place, copy number, geometry). */
void bb_super_encode(const struct bb_super *super, unsigned copy, struct bb_disk_super *ret_disk);
BB_MUST_USE int bb_super_decode(const struct bb_disk_super *disk, uint64_t offset, unsigned copy,
                                struct bb_super *ret_super);
/* Equal in everything but copy number and place. */
bool bb_super_equal(const struct bb_super *a, const struct bb_super *b);

/* Units a record of item_count items needs. */
uint32_t bb_record_units(uint32_t item_count);

/* Header fields of `record` except units, item_count and digest are taken from it. The items have
 * already been put behind the header with bb_item_encode; padding is zeroed here. `buf` holds
 * bb_record_units(item_count) units. Sets record->units, item_count and digest. */
void bb_record_encode(struct bb_record *record, uint32_t item_count, void *buf);
/* The item at `index` of a record in `buf`. */
void bb_item_encode(const struct bb_item *item, void *buf, uint32_t index);
/* BB_ERR_DAMAGED for an item whose op, size or reserved bytes are wrong. */
BB_MUST_USE int bb_item_decode(const void *buf, uint32_t index, struct bb_item *ret_item);

/* Looks at the first unit only: magic, version, units and count plausible. Digest not checked. */
BB_MUST_USE int bb_record_peek(const void *unit, struct bb_record *ret_record);
/* Whole record of `units` units in `buf`: store UUID, own position, digest, padding, items. */
BB_MUST_USE int bb_record_decode(const void *buf, uint32_t units, const struct bb_uuid *store,
                                 uint64_t position, struct bb_record *ret_record);

/* Descriptor page. The entries are edited in place; seal writes header and digest. */
void bb_page_init(struct bb_disk_page *page);
void bb_page_seal(struct bb_disk_page *page, const struct bb_uuid *store,
                  const struct bb_page_header *header);
BB_MUST_USE int bb_page_check(const struct bb_disk_page *page, const struct bb_uuid *store,
                              uint64_t page_number, struct bb_page_header *ret_header);

struct bb_entry {
    struct bb_hash hash;
    uint32_t size;
    bool corrupt;
};
void bb_entry_set(struct bb_disk_page *page, uint32_t index, const struct bb_entry *entry);
void bb_entry_clear(struct bb_disk_page *page, uint32_t index);
/* 1 and *ret_entry: a block starts here; 0: none; BB_ERR_DAMAGED: neither (size above 1 MiB,
 * unknown flag, hash without PRESENT). */
BB_MUST_USE int bb_entry_get(const struct bb_disk_page *page, uint32_t index,
                             struct bb_entry *ret_entry);

#endif
