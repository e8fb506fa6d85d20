/* SPDX-License-Identifier: Apache-2.0
 * Everything follows from device, journal and zone size. All areas are whole MiB. Every zone but
 * the last has zone_size bytes, hence the same number of pages: page and unit numbers map by
 * division.
 *
 *   zone   | slots A: s MiB | data: m - 2s MiB | slots B: s MiB |     s = ceil(m / 114), because
 *          256 pages per MiB, 112 entries per page: 112 * 256 * s >= 256 * (m - 2s) */
#include "bb/layout.h"

#include "bb/bits.h"
#include "bb/err.h"

#define UNITS_PER_MIB (BB_MIB / BB_UNIT_SIZE)

/* MiB of one slot area in a zone of zone_mib MiB. */
static uint64_t slot_area_mib(uint64_t zone_mib)
{
    return bb_div_ceil(zone_mib, BB_PAGE_ENTRY_COUNT + 2);
}

static uint64_t zone_data_units(uint64_t zone_size)
{
    uint64_t zone_mib = zone_size / BB_MIB;
    return (zone_mib - 2 * slot_area_mib(zone_mib)) * UNITS_PER_MIB;
}

static uint64_t zone_pages(uint64_t zone_size)
{
    return bb_div_ceil(zone_data_units(zone_size), BB_PAGE_ENTRY_COUNT);
}

static uint64_t tail_offset_of(uint64_t device_size)
{
    uint64_t end = bb_align_down(device_size, BB_MIB);
    return bb_max_u64(end, BB_HEAD_SIZE + BB_TAIL_SIZE) - BB_TAIL_SIZE;
}

static uint64_t zone_size_of(const struct bb_layout *layout, uint32_t index)
{
    BB_ASSERT(index < layout->zone_count);
    return index == layout->zone_count - 1 ? layout->last_zone_size : layout->zone_size;
}

static uint64_t zone_offset_of(const struct bb_layout *layout, uint32_t index)
{
    return layout->zones_offset + index * layout->zone_size;
}

uint64_t bb_layout_journal_size(uint64_t device_size)
{
    uint64_t size = bb_align_down(device_size / 128, BB_MIB);
    return bb_min_u64(bb_max_u64(size, BB_JOURNAL_SIZE_MIN), BB_JOURNAL_SIZE_MAX);
}

int bb_layout_make(uint64_t device_size, uint64_t journal_size, uint64_t zone_size,
                   struct bb_layout *ret_layout)
{
    BB_ASSERT(journal_size > 0 && bb_is_aligned(journal_size, BB_MIB));
    BB_ASSERT(bb_is_power_of_two(zone_size) && zone_size >= BB_ZONE_SIZE_MIN);

    uint64_t tail_offset = tail_offset_of(device_size);
    uint64_t space = tail_offset - BB_HEAD_SIZE; /* of ring and zones */
    if (journal_size > space || space - journal_size < BB_ZONE_SIZE_MIN)
        return BB_ERR_GEOMETRY;
    space -= journal_size;
    uint64_t full_count = space / zone_size;
    uint64_t rest = space % zone_size;
    bool has_short = rest >= BB_ZONE_SIZE_MIN;
    uint64_t zone_count = full_count + (has_short ? 1 : 0);
    BB_ASSERT(zone_count > 0);
    /* A page describes at least 512 / 5 units, so the product stays far below 2^64; and a zone has
     * at least five pages, so the count of zones fits 32 bits when that of the pages does. */
    if (full_count * zone_pages(zone_size) + (has_short ? zone_pages(rest) : 0) > UINT32_MAX)
        return BB_ERR_GEOMETRY;

    *ret_layout = (struct bb_layout){
        .device_size = device_size,
        .journal_offset = BB_HEAD_SIZE,
        .journal_units = journal_size / BB_UNIT_SIZE,
        .zones_offset = BB_HEAD_SIZE + journal_size,
        .zone_size = zone_size,
        .last_zone_size = has_short ? rest : zone_size,
        .tail_offset = tail_offset,
        .zone_count = (uint32_t)zone_count,
    };
    return 0;
}

uint64_t bb_layout_super_offset(uint64_t device_size, unsigned copy)
{
    BB_ASSERT(copy >= 1 && copy <= BB_SUPER_COPY_COUNT);
    switch (copy) {
    case 1:
        return 64 * BB_KIB;
    case 2:
        return 4 * BB_MIB;
    case 3:
        return tail_offset_of(device_size) + BB_MIB;
    default:
        return tail_offset_of(device_size) + 5 * BB_MIB;
    }
}

struct bb_zone bb_layout_zone(const struct bb_layout *layout, uint32_t index)
{
    uint64_t offset = zone_offset_of(layout, index);
    uint64_t size = zone_size_of(layout, index);
    uint64_t area_size = slot_area_mib(size / BB_MIB) * BB_MIB;
    uint64_t page_count = zone_pages(size);
    BB_ASSERT(offset + size <= layout->tail_offset);
    BB_ASSERT(page_count * BB_UNIT_SIZE <= area_size);
    return (struct bb_zone){
        .first_unit = (offset + area_size) >> BB_UNIT_SHIFT,
        .unit_count = zone_data_units(size),
        .slot_a_offset = offset,
        .slot_b_offset = offset + size - area_size,
        .first_page = index * zone_pages(layout->zone_size),
        .page_count = (uint32_t)page_count,
    };
}

uint64_t bb_layout_units(const struct bb_layout *layout, uint32_t zone_count)
{
    BB_ASSERT(zone_count <= layout->zone_count);
    if (zone_count == 0)
        return 0;
    return (zone_count - 1) * zone_data_units(layout->zone_size) +
           zone_data_units(zone_size_of(layout, zone_count - 1));
}

/* Zone whose bytes hold `unit`; false before the first and behind the last zone. */
static bool zone_find(const struct bb_layout *layout, uint64_t unit, uint32_t *ret_index)
{
    if (unit < layout->zones_offset >> BB_UNIT_SHIFT ||
        unit >= layout->tail_offset >> BB_UNIT_SHIFT)
        return false;
    uint64_t index = ((unit << BB_UNIT_SHIFT) - layout->zones_offset) / layout->zone_size;
    if (index >= layout->zone_count)
        return false;
    *ret_index = (uint32_t)index;
    return true;
}

bool bb_layout_extent_ok(const struct bb_layout *layout, uint32_t zone_count, uint64_t unit,
                         uint64_t count)
{
    BB_ASSERT(zone_count <= layout->zone_count);
    uint32_t index;
    if (count == 0 || !zone_find(layout, unit, &index) || index >= zone_count)
        return false;
    struct bb_zone zone = bb_layout_zone(layout, index);
    if (unit < zone.first_unit || unit - zone.first_unit >= zone.unit_count)
        return false;
    return count <= zone.unit_count - (unit - zone.first_unit);
}

uint32_t bb_layout_zone_of(const struct bb_layout *layout, uint64_t unit)
{
    uint32_t index;
    BB_ASSERT(bb_layout_extent_ok(layout, layout->zone_count, unit, 1));
    BB_ASSERT(zone_find(layout, unit, &index));
    return index;
}

uint64_t bb_layout_page_of(const struct bb_layout *layout, uint64_t unit, uint32_t *ret_entry)
{
    uint32_t index;
    BB_ASSERT(zone_find(layout, unit, &index));
    struct bb_zone zone = bb_layout_zone(layout, index);
    BB_ASSERT(unit >= zone.first_unit && unit - zone.first_unit < zone.unit_count);
    uint64_t slot = unit - zone.first_unit;
    *ret_entry = (uint32_t)(slot % BB_PAGE_ENTRY_COUNT);
    return zone.first_page + slot / BB_PAGE_ENTRY_COUNT;
}

/* Zone of a page, which must exist. */
static struct bb_zone zone_of_page(const struct bb_layout *layout, uint64_t page)
{
    uint64_t index = page / zone_pages(layout->zone_size);
    BB_ASSERT(index < layout->zone_count);
    struct bb_zone zone = bb_layout_zone(layout, (uint32_t)index);
    BB_ASSERT(page - zone.first_page < zone.page_count);
    return zone;
}

uint64_t bb_layout_unit_of(const struct bb_layout *layout, uint64_t page, uint32_t entry)
{
    BB_ASSERT(entry < BB_PAGE_ENTRY_COUNT);
    struct bb_zone zone = zone_of_page(layout, page);
    uint64_t slot = (page - zone.first_page) * BB_PAGE_ENTRY_COUNT + entry;
    return slot < zone.unit_count ? zone.first_unit + slot : UINT64_MAX;
}

uint64_t bb_layout_slot_offset(const struct bb_layout *layout, uint64_t page, unsigned slot)
{
    BB_ASSERT(slot <= 1);
    struct bb_zone zone = zone_of_page(layout, page);
    uint64_t area_offset = slot == 0 ? zone.slot_a_offset : zone.slot_b_offset;
    return area_offset + (page - zone.first_page) * BB_UNIT_SIZE;
}

uint64_t bb_layout_pages(const struct bb_layout *layout, uint32_t zone_count)
{
    BB_ASSERT(zone_count <= layout->zone_count);
    if (zone_count == 0)
        return 0;
    return (zone_count - 1) * zone_pages(layout->zone_size) +
           zone_pages(zone_size_of(layout, zone_count - 1));
}
