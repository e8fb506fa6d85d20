/* SPDX-License-Identifier: Apache-2.0
 * Arithmetic of the data device: where the journal, the zones, the descriptor slots and the data
 * units are. Pure functions over numbers; all offsets of the system come from here.
 *
 * A zone of Z units holds two areas of descriptor slots, each a multiple of 1 MiB and the smallest
 * one whose pages (112 entries each) cover the data units between them. For 1 GiB: 9 MiB, 257,536
 * units, 9 MiB. A last zone below 4 MiB is unused.
 *
 * A zone that is open never changes. So when a device has grown behind an open last zone that is
 * short, that zone stays as it is, between others, and is named in the layout; the zones behind it
 * follow without a gap. Unit numbers are places on the device and never change either.
 */
#ifndef BB_LAYOUT_H
#define BB_LAYOUT_H

#include "bb/format.h"

#include <stdbool.h>

#define BB_ZONE_SIZE_DEFAULT (1ull << 30)
#define BB_ZONE_SIZE_MIN (4ull << 20)
#define BB_JOURNAL_SIZE_MIN (8ull << 20)
#define BB_JOURNAL_SIZE_MAX (512ull << 20)
/* Smallest device: head, the smallest ring (1 MiB, for tests), one zone, tail. */
#define BB_DEVICE_SIZE_MIN (BB_HEAD_SIZE + (1ull << 20) + BB_ZONE_SIZE_MIN + BB_TAIL_SIZE)
#define BB_INDEX_BYTES_PER_BLOCK 85u /* measured: LMDB, random 32-byte keys, 16-byte values */

/* A zone other than the last that is shorter than the others. */
struct bb_short_zone {
    uint32_t index;
    uint32_t mib; /* its size, 4 MiB or more and less than that of a full zone */
};

struct bb_layout {
    uint64_t device_size;    /* bytes, exact */
    uint64_t journal_offset; /* bytes */
    uint64_t journal_units;  /* ring length */
    uint64_t zones_offset;   /* bytes */
    uint64_t zone_size;      /* bytes, of all but the last and the short ones */
    uint64_t last_zone_size; /* bytes, multiple of 1 MiB */
    uint64_t tail_offset;    /* bytes */
    uint32_t zone_count;
    uint32_t short_count;                            /* 0 unless the store has grown */
    struct bb_short_zone shorts[BB_SHORT_ZONES_MAX]; /* ascending */
};

struct bb_zone {
    uint64_t first_unit;    /* first data unit, as a unit of the device; 1 MiB aligned */
    uint64_t unit_count;    /* data units */
    uint64_t slot_a_offset; /* bytes */
    uint64_t slot_b_offset; /* bytes */
    uint64_t first_page;    /* pages are counted over all zones */
    uint32_t page_count;
};

/* Default ring for a device: device/128 within 8..512 MiB, multiple of 1 MiB. */
uint64_t bb_layout_journal_size(uint64_t device_size);

/* Lays out a device of `device_size` bytes. journal_size is a multiple of 1 MiB and at least 1 MiB,
 * zone_size a power of two and at least 4 MiB. BB_ERR_GEOMETRY when no zone fits, or when the pages
 * would not fit the 32-bit page number (above 1.7 PiB). */
BB_MUST_USE int bb_layout_make(uint64_t device_size, uint64_t journal_size, uint64_t zone_size,
                               struct bb_layout *ret_layout);

/* The same with short zones, which may come from a device: each must be one, and have a zone behind
 * it, else BB_ERR_GEOMETRY. */
BB_MUST_USE int bb_layout_make_grown(uint64_t device_size, uint64_t journal_size,
                                     uint64_t zone_size, const struct bb_short_zone *shorts,
                                     uint32_t short_count, struct bb_layout *ret_layout);

/* The layout of a store whose device now has device_size bytes, at least as many as before, and
 * whose first open_zone_count zones stay as they are. *ret_layout is `old` when that gives no unit
 * more. BB_ERR_GEOMETRY when there are too many short zones or pages. */
BB_MUST_USE int bb_layout_grow(const struct bb_layout *old, uint32_t open_zone_count,
                               uint64_t device_size, struct bb_layout *ret_layout);

/* Byte offset of superblock copy 1..4. Some lie behind the end of a device below 16 MiB. */
uint64_t bb_layout_super_offset(uint64_t device_size, unsigned copy);

/* Zone `index` < zone_count. */
struct bb_zone bb_layout_zone(const struct bb_layout *layout, uint32_t index);

/* Data units of the largest zone. */
uint64_t bb_layout_zone_units_max(const struct bb_layout *layout);

/* Data units of the first `zone_count` zones together. */
uint64_t bb_layout_units(const struct bb_layout *layout, uint32_t zone_count);

/* Whether units [unit, unit + count) lie in the data area of one of the first zone_count zones. */
bool bb_layout_extent_ok(const struct bb_layout *layout, uint32_t zone_count, uint64_t unit,
                         uint64_t count);

/* Zone of a data unit; the unit must satisfy bb_layout_extent_ok. */
uint32_t bb_layout_zone_of(const struct bb_layout *layout, uint64_t unit);

/* Descriptor page that holds the entry of `unit` (a valid data unit); *ret_entry is its slot in the
 * page, 0..111. */
uint64_t bb_layout_page_of(const struct bb_layout *layout, uint64_t unit, uint32_t *ret_entry);

/* Data unit of entry `entry` of page `page`; UINT64_MAX when the page has fewer entries. */
uint64_t bb_layout_unit_of(const struct bb_layout *layout, uint64_t page, uint32_t entry);

/* Byte offset of slot 0 (A) or 1 (B) of a page. */
uint64_t bb_layout_slot_offset(const struct bb_layout *layout, uint64_t page, unsigned slot);

/* Pages of the first `zone_count` zones together. */
uint64_t bb_layout_pages(const struct bb_layout *layout, uint32_t zone_count);

/* Units that `size` bytes occupy: at least one. */
static inline uint32_t bb_units_of(uint64_t size)
{
    return size == 0 ? 1 : (uint32_t)((size + BB_UNIT_SIZE - 1) / BB_UNIT_SIZE);
}

#endif
