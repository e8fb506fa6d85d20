/* SPDX-License-Identifier: Apache-2.0
 * Allocation and freeing over all zones. Owner: whoever owns the struct bb_buddy.
 *
 * Chunks of 256 units are numbered through: zone z has chunks (z << chunk_shift) and up, so the
 * bits, the summary and the zones are plain arrays. Invariants outside a call, once loaded:
 *   - bit k of chunk c in the summary = chunk c has a maximal free group of order k
 *   - free_count[k] = number of those groups
 *   - units past the end of a zone, inside its last chunk, are marked as used
 * While loading, claims set bits only; the zones they touched are stale until bb_buddy_ready.
 */
#include "chunk.h"
#include "summary.h"

#include <errno.h>

#define NO_STRIDE 63 /* shift that turns every distance into zone 0 */

struct zone {
    uint64_t first_unit;
    uint64_t unit_count; /* zero: not added */
    uint64_t free_units;
    bool stale; /* summary and counts do not know its claims yet */
};

struct bb_buddy {
    struct bb_summary summary;
    struct bb_chunk *chunks;
    struct zone *zones;
    uint64_t zone_units; /* maximum of one zone */
    uint64_t free_units;
    uint64_t total_units;
    uint64_t free_count[BB_ORDER_COUNT];
    uint32_t zone_max;
    uint32_t zone_count;   /* added */
    unsigned chunk_shift;  /* log2 of the chunk numbers of a zone */
    unsigned stride_shift; /* log2 of the distance between zones, where that is a power of two */
    bool loading;
};

/* Where the parts lie in the caller's memory. */
struct plan {
    uint64_t chunk_count;
    unsigned chunk_shift;
    size_t zones_offset;
    size_t nodes_offset;
    size_t chunks_offset;
    size_t size;
};

/* A range of units that was found inside a zone. */
struct place {
    uint64_t chunk;
    unsigned position; /* in that chunk */
    uint32_t zone;
};

static struct plan plan_make(uint32_t zone_count, uint64_t zone_units)
{
    BB_ASSERT(zone_count >= 1);
    BB_ASSERT(zone_units >= 1);
    BB_ASSERT(zone_units <= (uint64_t)1 << 36);
    struct plan plan = {0};
    plan.chunk_shift = bb_log2_ceil(bb_div_ceil(zone_units, BB_CHUNK_UNITS));
    plan.chunk_count = (uint64_t)zone_count << plan.chunk_shift;
    plan.zones_offset = bb_align_up(sizeof(struct bb_buddy), 64);
    uint64_t zones_size = bb_align_up(zone_count * sizeof(struct zone), 64);
    plan.nodes_offset = plan.zones_offset + zones_size;
    uint64_t nodes_size = bb_summary_nodes(plan.chunk_count) * sizeof(struct bb_summary_node);
    plan.chunks_offset = plan.nodes_offset + bb_align_up(nodes_size, 64);
    plan.size = plan.chunks_offset + plan.chunk_count * sizeof(struct bb_chunk);
    return plan;
}

size_t bb_buddy_memory(uint32_t zone_count, uint64_t zone_units)
{
    return plan_make(zone_count, zone_units).size;
}

struct bb_buddy *bb_buddy_init(void *memory, size_t memory_size, uint32_t zone_count,
                               uint64_t zone_units)
{
    BB_ASSERT(bb_is_aligned((uintptr_t)memory, 64));
    struct plan plan = plan_make(zone_count, zone_units);
    BB_ASSERT(memory_size >= plan.size);

    char *base = memory;
    struct bb_buddy *buddy = memory;
    buddy->zones = (void *)(base + plan.zones_offset);
    buddy->chunks = (void *)(base + plan.chunks_offset);
    buddy->zone_units = zone_units;
    buddy->zone_max = zone_count;
    buddy->chunk_shift = plan.chunk_shift;
    buddy->stride_shift = NO_STRIDE;
    buddy->loading = true;
    bb_summary_init(&buddy->summary, (void *)(base + plan.nodes_offset), plan.chunk_count);
    return buddy;
}

/* Brings summary and counts of a chunk in line with its bits; `counted` is what the counts hold of
 * it so far. */
static void chunk_recount(struct bb_buddy *buddy, uint64_t chunk,
                          const uint8_t counted[BB_ORDER_COUNT])
{
    uint8_t count[BB_ORDER_COUNT];
    bb_chunk_count(&buddy->chunks[chunk], count);
    for (unsigned order = 0; order < BB_ORDER_COUNT; order++) {
        BB_ASSERT(buddy->free_count[order] >= counted[order]);
        buddy->free_count[order] += count[order];
        buddy->free_count[order] -= counted[order];
        if (count[order] != 0 && counted[order] == 0)
            bb_summary_set(&buddy->summary, order, chunk);
        else if (count[order] == 0 && counted[order] != 0)
            bb_summary_clear(&buddy->summary, order, chunk);
    }
}

void bb_buddy_add_zone(struct bb_buddy *buddy, uint64_t first_unit, uint64_t unit_count)
{
    BB_ASSERT(buddy->zone_count < buddy->zone_max);
    BB_ASSERT(bb_is_aligned(first_unit, BB_CHUNK_UNITS));
    BB_ASSERT(unit_count >= 1);
    BB_ASSERT(unit_count <= buddy->zone_units);
    BB_ASSERT(first_unit <= UINT64_MAX - unit_count);
    if (buddy->zone_count > 0) {
        const struct zone *last = &buddy->zones[buddy->zone_count - 1];
        BB_ASSERT(first_unit >= last->first_unit + last->unit_count);
        uint64_t stride = first_unit - last->first_unit;
        if (buddy->zone_count == 1 && bb_is_power_of_two(stride))
            buddy->stride_shift = bb_log2_floor(stride);
    }

    static const uint8_t uncounted[BB_ORDER_COUNT];
    uint64_t first_chunk = (uint64_t)buddy->zone_count << buddy->chunk_shift;
    uint64_t chunk_count = bb_div_ceil(unit_count, BB_CHUNK_UNITS);
    unsigned tail = unit_count % BB_CHUNK_UNITS;
    if (tail != 0)
        bb_chunk_set(&buddy->chunks[first_chunk + chunk_count - 1], tail, BB_CHUNK_UNITS - tail);
    for (uint64_t i = 0; i < chunk_count; i++)
        chunk_recount(buddy, first_chunk + i, uncounted);

    struct zone *zone = &buddy->zones[buddy->zone_count++];
    zone->first_unit = first_unit;
    zone->unit_count = unit_count;
    zone->free_units = unit_count;
    buddy->free_units += unit_count;
    buddy->total_units += unit_count;
}

/* The last zone that starts at or below `unit`, 0 when there is none. */
static uint32_t zone_search(const struct bb_buddy *buddy, uint64_t unit)
{
    uint32_t low = 0;
    uint32_t high = buddy->zone_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (buddy->zones[middle].first_unit <= unit)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool zone_holds(const struct zone *zone, uint64_t unit, uint64_t count)
{
    uint64_t offset = unit - zone->first_unit; /* wraps to a huge one below the zone */
    return offset < zone->unit_count && count <= zone->unit_count - offset;
}

/* Finds a range in the open zones; false when it is empty or not inside one of them. On a device
 * the zones stand at equal distances, so that the first guess is right. */
static bool locate(const struct bb_buddy *buddy, uint64_t unit, uint64_t count,
                   struct place *ret_place)
{
    if (buddy->zone_count == 0 || count == 0)
        return false;
    uint64_t guess = (unit - buddy->zones[0].first_unit) >> buddy->stride_shift;
    uint32_t z = guess < buddy->zone_count ? (uint32_t)guess : buddy->zone_count - 1;
    if (!zone_holds(&buddy->zones[z], unit, count)) {
        z = zone_search(buddy, unit);
        if (!zone_holds(&buddy->zones[z], unit, count))
            return false;
    }
    uint64_t offset = unit - buddy->zones[z].first_unit;
    ret_place->chunk = ((uint64_t)z << buddy->chunk_shift) + (offset >> BB_CHUNK_SHIFT);
    ret_place->position = (unsigned)(offset % BB_CHUNK_UNITS);
    ret_place->zone = z;
    return true;
}

static uint64_t unit_at(const struct bb_buddy *buddy, uint64_t chunk, unsigned position)
{
    uint64_t zone = chunk >> buddy->chunk_shift;
    BB_ASSERT(zone < buddy->zone_count);
    uint64_t in_zone = chunk - (zone << buddy->chunk_shift);
    return buddy->zones[zone].first_unit + (in_zone << BB_CHUNK_SHIFT) + position;
}

/* How many of `count` units from `position` on share its chunk. */
static unsigned chunk_share(unsigned position, uint64_t count)
{
    return (unsigned)bb_min_u64(BB_CHUNK_UNITS - position, count);
}

void bb_buddy_ready(struct bb_buddy *buddy)
{
    buddy->loading = false;
    for (uint32_t z = 0; z < buddy->zone_count; z++) {
        struct zone *zone = &buddy->zones[z];
        if (!zone->stale)
            continue;
        uint64_t first = (uint64_t)z << buddy->chunk_shift;
        uint64_t count = bb_div_ceil(zone->unit_count, BB_CHUNK_UNITS);
        /* Nothing but add_zone wrote the summary of a stale zone, so it still counts all as free.
         */
        for (uint64_t i = 0; i < count; i++) {
            uint64_t length = bb_min_u64(zone->unit_count - i * BB_CHUNK_UNITS, BB_CHUNK_UNITS);
            uint8_t counted[BB_ORDER_COUNT];
            for (unsigned order = 0; order < BB_ORDER_COUNT; order++)
                counted[order] = (uint8_t)(length >> order & 1);
            chunk_recount(buddy, first + i, counted);
        }
        zone->stale = false;
    }
}

/* Takes the first `count` units of the lowest free buddy of exactly `order`, which must exist. */
static uint64_t take(struct bb_buddy *buddy, unsigned order, unsigned count)
{
    BB_ASSERT(count >= 1);
    BB_ASSERT(count <= 1u << order);
    uint64_t chunk = bb_summary_first(&buddy->summary, order);
    bool more;
    unsigned position = bb_chunk_first(&buddy->chunks[chunk], order, &more);
    bb_chunk_set(&buddy->chunks[chunk], position, count);
    buddy->zones[chunk >> buddy->chunk_shift].free_units -= count;
    buddy->free_units -= count;
    buddy->free_count[order]--;
    if (!more)
        bb_summary_clear(&buddy->summary, order, chunk);

    /* What remains ends at the end of the buddy: one free buddy for each set bit of its length. */
    for (unsigned rest = (1u << order) - count; rest != 0; rest &= rest - 1) {
        unsigned part = (unsigned)__builtin_ctz(rest);
        buddy->free_count[part]++;
        bb_summary_set(&buddy->summary, part, chunk);
    }
    return unit_at(buddy, chunk, position);
}

int bb_buddy_allocate(struct bb_buddy *buddy, unsigned order, uint64_t *ret_unit)
{
    BB_ASSERT(order <= BB_ORDER_MAX);
    if (buddy->loading)
        bb_buddy_ready(buddy);
    for (unsigned from = order; from < BB_ORDER_COUNT; from++) {
        if (buddy->free_count[from] != 0) {
            *ret_unit = take(buddy, from, 1u << order);
            return 0;
        }
    }
    return -ENOSPC;
}

int bb_buddy_allocate_run(struct bb_buddy *buddy, unsigned order, unsigned count,
                          uint64_t *ret_unit, unsigned *ret_count)
{
    BB_ASSERT(order <= BB_ORDER_MAX);
    BB_ASSERT(count >= 1);
    BB_ASSERT(count <= BB_CHUNK_UNITS);
    if (buddy->loading)
        bb_buddy_ready(buddy);
    unsigned wanted = order + bb_log2_ceil(count);
    if (wanted > BB_ORDER_MAX)
        wanted = BB_ORDER_MAX;
    for (unsigned whole = wanted + 1; whole-- > order;) {
        for (unsigned from = whole; from < BB_ORDER_COUNT; from++) {
            if (buddy->free_count[from] == 0)
                continue;
            unsigned room = 1u << (whole - order);
            unsigned got = count < room ? count : room;
            *ret_unit = take(buddy, from, got << order);
            *ret_count = got;
            return 0;
        }
    }
    return -ENOSPC;
}

static bool any_used(const struct bb_buddy *buddy, struct place place, uint64_t count)
{
    while (count > 0) {
        unsigned share = chunk_share(place.position, count);
        if (!bb_chunk_all_free(&buddy->chunks[place.chunk], place.position, share))
            return true;
        count -= share;
        place.chunk++;
        place.position = 0;
    }
    return false;
}

static bool all_used(const struct bb_buddy *buddy, struct place place, uint64_t count)
{
    while (count > 0) {
        unsigned share = chunk_share(place.position, count);
        if (!bb_chunk_all_used(&buddy->chunks[place.chunk], place.position, share))
            return false;
        count -= share;
        place.chunk++;
        place.position = 0;
    }
    return true;
}

int bb_buddy_claim(struct bb_buddy *buddy, uint64_t unit, uint64_t count)
{
    struct place place;
    if (count > BB_CHUNK_UNITS || !locate(buddy, unit, count, &place))
        return -ERANGE;
    if (any_used(buddy, place, count))
        return -EEXIST;
    buddy->zones[place.zone].free_units -= count;
    buddy->free_units -= count;
    if (buddy->loading)
        buddy->zones[place.zone].stale = true;
    while (count > 0) {
        unsigned share = chunk_share(place.position, count);
        struct bb_chunk *chunk = &buddy->chunks[place.chunk];
        uint8_t counted[BB_ORDER_COUNT];
        if (!buddy->loading)
            bb_chunk_count(chunk, counted);
        bb_chunk_set(chunk, place.position, share);
        if (!buddy->loading)
            chunk_recount(buddy, place.chunk, counted);
        count -= share;
        place.chunk++;
        place.position = 0;
    }
    return 0;
}

/* Counts a freed group of 2^order units and merges it with its free neighbours; returns its final
 * order. *lost collects the orders that lost a neighbour to the merge. */
static unsigned merge(struct bb_buddy *buddy, const struct bb_chunk *chunk, unsigned position,
                      unsigned order, unsigned *lost)
{
    BB_ASSERT(position % (1u << order) == 0);
    while (order < BB_ORDER_MAX &&
           bb_chunk_all_free(chunk, position ^ (1u << order), 1u << order)) {
        buddy->free_count[order]--;
        *lost |= 1u << order;
        position &= ~(1u << order);
        order++;
    }
    buddy->free_count[order]++;
    return order;
}

/* Frees a range of used units of one chunk, as the aligned groups that it consists of. */
static void chunk_free(struct bb_buddy *buddy, uint64_t index, unsigned position, unsigned count)
{
    struct bb_chunk *chunk = &buddy->chunks[index];
    unsigned lost = 0;
    unsigned won = 0;
    while (count > 0) {
        unsigned order = bb_log2_floor(count);
        unsigned aligned = (unsigned)__builtin_ctz(position | BB_CHUNK_UNITS);
        if (aligned < order)
            order = aligned;
        bb_chunk_clear(chunk, position, 1u << order);
        won |= 1u << merge(buddy, chunk, position, order, &lost);
        position += 1u << order;
        count -= 1u << order;
    }

    unsigned orders = lost == 0 ? won : bb_chunk_orders(chunk);
    for (unsigned rest = lost & ~orders; rest != 0; rest &= rest - 1)
        bb_summary_clear(&buddy->summary, (unsigned)__builtin_ctz(rest), index);
    for (unsigned rest = won & orders; rest != 0; rest &= rest - 1)
        bb_summary_set(&buddy->summary, (unsigned)__builtin_ctz(rest), index);
}

int bb_buddy_free(struct bb_buddy *buddy, uint64_t unit, uint64_t count)
{
    struct place place;
    if (!locate(buddy, unit, count, &place))
        return -ERANGE;
    if (!all_used(buddy, place, count))
        return -EINVAL;
    if (buddy->loading)
        bb_buddy_ready(buddy);
    buddy->zones[place.zone].free_units += count;
    buddy->free_units += count;
    while (count > 0) {
        unsigned share = chunk_share(place.position, count);
        chunk_free(buddy, place.chunk, place.position, share);
        count -= share;
        place.chunk++;
        place.position = 0;
    }
    BB_ASSERT(buddy->free_units <= buddy->total_units);
    return 0;
}

uint64_t bb_buddy_free_units(const struct bb_buddy *buddy)
{
    return buddy->free_units;
}

uint64_t bb_buddy_total_units(const struct bb_buddy *buddy)
{
    return buddy->total_units;
}

uint64_t bb_buddy_free_count(const struct bb_buddy *buddy, unsigned order)
{
    BB_ASSERT(order <= BB_ORDER_MAX);
    return buddy->free_count[order];
}

int bb_buddy_largest_order(const struct bb_buddy *buddy)
{
    for (int order = BB_ORDER_MAX; order >= 0; order--) {
        if (buddy->free_count[order] != 0)
            return order;
    }
    return -1;
}

uint32_t bb_buddy_zone_count(const struct bb_buddy *buddy)
{
    return buddy->zone_count;
}

struct bb_buddy_zone bb_buddy_zone(const struct bb_buddy *buddy, uint32_t zone)
{
    BB_ASSERT(zone < buddy->zone_count);
    const struct zone *from = &buddy->zones[zone];
    struct bb_buddy_zone found = {.units = from->unit_count, .free_units = from->free_units};
    found.chunk_count = (uint32_t)bb_div_ceil(from->unit_count, BB_CHUNK_UNITS);
    uint64_t first = (uint64_t)zone << buddy->chunk_shift;
    if (!from->stale)
        found.free_chunks =
            bb_summary_count(&buddy->summary, BB_ORDER_MAX, first, found.chunk_count);
    return found;
}

struct bb_buddy_chunk bb_buddy_chunk(const struct bb_buddy *buddy, uint32_t zone, uint32_t chunk)
{
    BB_ASSERT(zone < buddy->zone_count);
    uint64_t before = (uint64_t)chunk << BB_CHUNK_SHIFT;
    BB_ASSERT(before < buddy->zones[zone].unit_count);
    const struct bb_chunk *bits = &buddy->chunks[((uint64_t)zone << buddy->chunk_shift) + chunk];
    struct bb_buddy_chunk found = {
        .units = (uint16_t)chunk_share(0, buddy->zones[zone].unit_count - before)};
    for (unsigned i = 0; i < BB_CHUNK_WORDS; i++)
        found.free_units += (uint16_t)__builtin_popcountll(~bits->used[i]);
    unsigned orders = bb_chunk_orders(bits);
    found.largest_order = (int8_t)(orders == 0 ? -1 : (int)bb_log2_floor(orders));
    return found;
}

/* The first position from `position` on whose bit is `used`; BB_CHUNK_UNITS when there is none. */
static uint32_t find_bit(const struct bb_chunk *chunk, uint32_t position, bool used)
{
    while (position < BB_CHUNK_UNITS) {
        uint64_t word = chunk->used[position / 64];
        uint64_t wanted = (used ? word : ~word) >> position % 64;
        if (wanted != 0)
            return position + (uint32_t)__builtin_ctzll(wanted);
        position += 64 - position % 64;
    }
    return BB_CHUNK_UNITS;
}

uint32_t bb_buddy_free_run(const struct bb_buddy *buddy, uint32_t zone, uint32_t chunk,
                           uint32_t position, uint32_t *ret_position)
{
    BB_ASSERT(zone < buddy->zone_count);
    BB_ASSERT((uint64_t)chunk << BB_CHUNK_SHIFT < buddy->zones[zone].unit_count);
    const struct bb_chunk *bits = &buddy->chunks[((uint64_t)zone << buddy->chunk_shift) + chunk];
    uint32_t first = find_bit(bits, position, false);
    *ret_position = first;
    return find_bit(bits, first, true) - first;
}

bool bb_buddy_is_used(const struct bb_buddy *buddy, uint64_t unit, uint64_t count)
{
    struct place place;
    return locate(buddy, unit, count, &place) && all_used(buddy, place, count);
}

/* Compares the summary of a chunk with its bits, adds to *free_units and count. */
static void chunk_verify(const struct bb_buddy *buddy, uint64_t chunk, bool stale,
                         uint64_t count[BB_ORDER_COUNT], uint64_t *free_units)
{
    uint8_t found[BB_ORDER_COUNT];
    bb_chunk_count(&buddy->chunks[chunk], found);
    unsigned orders = 0;
    for (unsigned order = 0; order < BB_ORDER_COUNT; order++) {
        count[order] += found[order];
        *free_units += (uint64_t)found[order] << order;
        orders |= (unsigned)(found[order] != 0) << order;
        if (!stale)
            BB_ASSERT(bb_summary_has(&buddy->summary, order, chunk) == (found[order] != 0));
    }
    BB_ASSERT(bb_chunk_orders(&buddy->chunks[chunk]) == orders);
}

void bb_buddy_verify(const struct bb_buddy *buddy)
{
    uint64_t count[BB_ORDER_COUNT] = {0};
    uint64_t free_units = 0;
    uint64_t total_units = 0;
    bool stale = false;
    for (uint32_t z = 0; z < buddy->zone_count; z++) {
        const struct zone *zone = &buddy->zones[z];
        BB_ASSERT(buddy->loading || !zone->stale);
        uint64_t first = (uint64_t)z << buddy->chunk_shift;
        uint64_t chunk_count = bb_div_ceil(zone->unit_count, BB_CHUNK_UNITS);
        uint64_t before = free_units;
        for (uint64_t i = 0; i < chunk_count; i++)
            chunk_verify(buddy, first + i, zone->stale, count, &free_units);
        BB_ASSERT(free_units - before == zone->free_units);
        unsigned tail = zone->unit_count % BB_CHUNK_UNITS;
        if (tail != 0)
            BB_ASSERT(bb_chunk_all_used(&buddy->chunks[first + chunk_count - 1], tail,
                                        BB_CHUNK_UNITS - tail));
        stale = stale || zone->stale;
        total_units += zone->unit_count;
    }
    BB_ASSERT(free_units == buddy->free_units);
    BB_ASSERT(total_units == buddy->total_units);
    for (unsigned order = 0; order < BB_ORDER_COUNT && !stale; order++)
        BB_ASSERT(count[order] == buddy->free_count[order]);
    bb_summary_verify(&buddy->summary, (uint64_t)buddy->zone_count << buddy->chunk_shift);
}
