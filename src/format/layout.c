/* SPDX-License-Identifier: Apache-2.0
 * Everything follows from device, journal and zone size. All areas are whole MiB. Every zone but
 * the last and the short ones that growing left has zone_size bytes, hence the same number of
 * pages: between two short zones page and unit numbers map by division.
 *
 *   zone   | slots A: s MiB | data: m - 2s MiB | slots B: s MiB |     s = ceil(m / 114), because
 *          256 pages per MiB, 112 entries per page: 112 * 256 * s >= 256 * (m - 2s) */
#include "bb/layout.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"

#include <string.h>

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

static uint64_t short_size(const struct bb_short_zone *zone)
{
    return zone->mib * BB_MIB;
}

static uint64_t zone_size_of(const struct bb_layout *layout, uint32_t index)
{
    BB_ASSERT(index < layout->zone_count);
    if (index == layout->zone_count - 1)
        return layout->last_zone_size;
    for (uint32_t i = 0; i < layout->short_count; i++)
        if (layout->shorts[i].index == index)
            return short_size(&layout->shorts[i]);
    return layout->zone_size;
}

/* What a zone of `size` bytes has of something. */
typedef uint64_t measure_fn(uint64_t size);

static uint64_t zone_bytes(uint64_t size)
{
    return size;
}

/* What the zones before `index` have of it together. */
static inline uint64_t sum_before(const struct bb_layout *layout, uint32_t index,
                                  measure_fn *measure)
{
    uint64_t full = measure(layout->zone_size), sum = index * full;
    for (uint32_t i = 0; i < layout->short_count && layout->shorts[i].index < index; i++)
        sum -= full - measure(short_size(&layout->shorts[i]));
    return sum;
}

/* The zone that has number `at` of it, counted over all zones; zone_count or more: behind the last.
 */
static inline uint64_t zone_with(const struct bb_layout *layout, uint64_t at, measure_fn *measure)
{
    uint64_t full = measure(layout->zone_size), begin = 0, first = 0; /* behind a short zone */
    for (uint32_t i = 0; i < layout->short_count; i++) {
        const struct bb_short_zone *zone = &layout->shorts[i];
        uint64_t end = begin + (zone->index - first) * full + measure(short_size(zone));
        if (at < end)
            break;
        begin = end;
        first = zone->index + 1ull;
    }
    return first + (at - begin) / full;
}

static uint64_t zone_offset_of(const struct bb_layout *layout, uint32_t index)
{
    return layout->zones_offset + sum_before(layout, index, zone_bytes);
}

uint64_t bb_layout_journal_size(uint64_t device_size)
{
    uint64_t size = bb_align_down(device_size / 128, BB_MIB);
    return bb_min_u64(bb_max_u64(size, BB_JOURNAL_SIZE_MIN), BB_JOURNAL_SIZE_MAX);
}

/* Zones that end with the last short one, and their bytes; false: they cannot be. */
static bool shorts_ok(const struct bb_layout *layout, uint64_t space, uint64_t *ret_count,
                      uint64_t *ret_size)
{
    uint64_t count = 0, size = 0;
    for (uint32_t i = 0; i < layout->short_count; i++) {
        const struct bb_short_zone *zone = &layout->shorts[i];
        if (zone->index < count || short_size(zone) < BB_ZONE_SIZE_MIN ||
            short_size(zone) >= layout->zone_size)
            return false;
        uint64_t full_count = zone->index - count;
        if (full_count > space / layout->zone_size)
            return false;
        size += full_count * layout->zone_size + short_size(zone);
        if (size > space)
            return false;
        count = zone->index + 1ull;
    }
    *ret_count = count;
    *ret_size = size;
    return true;
}

int bb_layout_make_grown(uint64_t device_size, uint64_t journal_size, uint64_t zone_size,
                         const struct bb_short_zone *shorts, uint32_t short_count,
                         struct bb_layout *ret_layout)
{
    BB_ASSERT(journal_size > 0 && bb_is_aligned(journal_size, BB_MIB));
    BB_ASSERT(bb_is_power_of_two(zone_size) && zone_size >= BB_ZONE_SIZE_MIN);

    uint64_t tail_offset = tail_offset_of(device_size);
    uint64_t space = tail_offset - BB_HEAD_SIZE; /* of ring and zones */
    if (journal_size > space || short_count > BB_SHORT_ZONES_MAX)
        return BB_ERR_GEOMETRY;
    space -= journal_size;
    struct bb_layout layout = {
        .device_size = device_size,
        .journal_offset = BB_HEAD_SIZE,
        .journal_units = journal_size / BB_UNIT_SIZE,
        .zones_offset = BB_HEAD_SIZE + journal_size,
        .zone_size = zone_size,
        .tail_offset = tail_offset,
        .short_count = short_count,
    };
    if (short_count > 0)
        memcpy(layout.shorts, shorts, short_count * sizeof(*shorts));
    uint64_t front_count, front_size;
    if (!shorts_ok(&layout, space, &front_count, &front_size))
        return BB_ERR_GEOMETRY;
    space -= front_size;
    if (space < BB_ZONE_SIZE_MIN)
        return BB_ERR_GEOMETRY;
    uint64_t full_count = space / zone_size, rest = space % zone_size;
    bool has_short = rest >= BB_ZONE_SIZE_MIN;
    uint64_t zone_count = front_count + full_count + (has_short ? 1 : 0);
    BB_ASSERT(zone_count > front_count);
    /* A page describes at least 512 / 5 units, so the product stays far below 2^64; and a zone has
     * at least five pages, so the count of zones fits 32 bits when that of the pages does. Short
     * zones count as full ones here. */
    if ((front_count + full_count) * zone_pages(zone_size) + (has_short ? zone_pages(rest) : 0) >
        UINT32_MAX)
        return BB_ERR_GEOMETRY;
    layout.last_zone_size = has_short ? rest : zone_size;
    layout.zone_count = (uint32_t)zone_count;
    *ret_layout = layout;
    return 0;
}

int bb_layout_make(uint64_t device_size, uint64_t journal_size, uint64_t zone_size,
                   struct bb_layout *ret_layout)
{
    return bb_layout_make_grown(device_size, journal_size, zone_size, NULL, 0, ret_layout);
}

int bb_layout_grow(const struct bb_layout *old, uint32_t open_zone_count, uint64_t device_size,
                   struct bb_layout *ret_layout)
{
    struct bb_short_zone shorts[BB_SHORT_ZONES_MAX + 1];
    struct bb_layout grown;
    uint32_t count = old->short_count;
    BB_ASSERT(device_size >= old->device_size);
    BB_ASSERT(open_zone_count <= old->zone_count);
    memcpy(shorts, old->shorts, count * sizeof(shorts[0]));
    bool stays = open_zone_count == old->zone_count && old->last_zone_size < old->zone_size;
    if (stays && !bb_planted(GROW_OPEN_ZONE))
        shorts[count++] = (struct bb_short_zone){.index = old->zone_count - 1,
                                                 .mib = (uint32_t)(old->last_zone_size / BB_MIB)};
    uint64_t tail_offset = tail_offset_of(device_size);
    uint64_t zones_end = zone_offset_of(old, old->zone_count - 1) + old->last_zone_size;
    if (tail_offset == old->tail_offset || (stays && tail_offset - zones_end < BB_ZONE_SIZE_MIN)) {
        *ret_layout = *old;
        return 0;
    }
    int error = bb_layout_make_grown(device_size, old->journal_units * BB_UNIT_SIZE, old->zone_size,
                                     shorts, count, &grown);
    if (error != 0)
        return error;
    /* a zone that needs a MiB more for its slots can be the smaller one */
    bool more = bb_layout_units(&grown, grown.zone_count) > bb_layout_units(old, old->zone_count);
    *ret_layout = more ? grown : *old;
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
        .first_page = sum_before(layout, index, zone_pages),
        .page_count = (uint32_t)page_count,
    };
}

uint64_t bb_layout_units(const struct bb_layout *layout, uint32_t zone_count)
{
    BB_ASSERT(zone_count <= layout->zone_count);
    if (zone_count == 0)
        return 0;
    return sum_before(layout, zone_count - 1, zone_data_units) +
           zone_data_units(zone_size_of(layout, zone_count - 1));
}

uint64_t bb_layout_zone_units_max(const struct bb_layout *layout)
{
    BB_ASSERT(layout->zone_count > 0);
    uint64_t size = layout->last_zone_size;
    if (layout->zone_count - 1 > layout->short_count)
        size = layout->zone_size;
    for (uint32_t i = 0; i < layout->short_count; i++)
        size = bb_max_u64(size, short_size(&layout->shorts[i]));
    return zone_data_units(size);
}

/* Zone whose bytes hold `unit`; false before the first and behind the last zone. */
static bool zone_find(const struct bb_layout *layout, uint64_t unit, uint32_t *ret_index)
{
    if (unit < layout->zones_offset >> BB_UNIT_SHIFT ||
        unit >= layout->tail_offset >> BB_UNIT_SHIFT)
        return false;
    uint64_t index = zone_with(layout, (unit << BB_UNIT_SHIFT) - layout->zones_offset, zone_bytes);
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
    uint64_t index = zone_with(layout, page, zone_pages);
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
    return sum_before(layout, zone_count - 1, zone_pages) +
           zone_pages(zone_size_of(layout, zone_count - 1));
}
