/* SPDX-License-Identifier: Apache-2.0
 * The arithmetic of the device: golden figures, and for many sizes a map of the device painted MiB
 * by MiB, on which nothing may be painted twice. */
#include "../base/unit.h"
#include "bb/bits.h"
#include "bb/err.h"
#include "bb/layout.h"

#include <string.h>

static struct bb_layout make(uint64_t device_size, uint64_t journal_size, uint64_t zone_size)
{
    struct bb_layout layout;
    assert_int_equal(bb_layout_make(device_size, journal_size, zone_size, &layout), 0);
    return layout;
}

static void a_full_zone_has_the_figures_of_the_format(void **state)
{
    (void)state;
    struct bb_layout layout = make(4 * BB_GIB, 32 * BB_MIB, BB_GIB);
    struct bb_zone zone = bb_layout_zone(&layout, 0);
    assert_int_equal(zone.slot_a_offset, 40 * BB_MIB);
    assert_int_equal(zone.first_unit * BB_UNIT_SIZE, 49 * BB_MIB);
    assert_int_equal(zone.unit_count, 257536);
    assert_int_equal(zone.slot_b_offset, (40 + 9 + 1006) * BB_MIB);
    assert_int_equal(zone.page_count, 2300);
    assert_int_equal(zone.first_page, 0);
    assert_int_equal(bb_layout_zone(&layout, 1).first_page, 2300);
    assert_int_equal(bb_layout_zone(&layout, 1).slot_a_offset, (40 + 1024) * BB_MIB);
    /* 4096 - 8 - 32 - 8 MiB are three zones and 976 MiB */
    assert_int_equal(layout.zone_count, 4);
    assert_int_equal(layout.last_zone_size, 976 * BB_MIB);
}

static void the_smallest_device_has_one_zone_of_four_mib(void **state)
{
    (void)state;
    assert_int_equal(BB_DEVICE_SIZE_MIN, 21 * BB_MIB);
    struct bb_layout layout = make(BB_DEVICE_SIZE_MIN, BB_MIB, BB_GIB);
    assert_int_equal(layout.zone_count, 1);
    struct bb_zone zone = bb_layout_zone(&layout, 0);
    assert_int_equal(zone.slot_a_offset, 9 * BB_MIB);
    assert_int_equal(zone.unit_count, 512);
    assert_int_equal(zone.page_count, 5);
    assert_int_equal(zone.slot_b_offset, 12 * BB_MIB);
}

static void a_device_without_a_zone_is_refused(void **state)
{
    (void)state;
    struct bb_layout layout = {.zone_count = 77};
    const uint64_t sizes[] = {0, 1, BB_MIB, 8 * BB_MIB, 16 * BB_MIB, BB_DEVICE_SIZE_MIN - 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        assert_int_equal(bb_layout_make(sizes[i], BB_MIB, BB_GIB, &layout), BB_ERR_GEOMETRY);
    assert_int_equal(bb_layout_make(BB_GIB, BB_GIB, BB_GIB, &layout), BB_ERR_GEOMETRY);
    assert_int_equal(bb_layout_make(BB_GIB, UINT64_MAX - BB_MIB + 1, BB_GIB, &layout),
                     BB_ERR_GEOMETRY);
    assert_int_equal(layout.zone_count, 77); /* untouched */
}

static void more_pages_than_their_number_can_say_are_refused(void **state)
{
    (void)state;
    struct bb_layout layout;
    const uint64_t tib = 1024 * BB_GIB;
    layout = make(1700 * tib, BB_JOURNAL_SIZE_MAX, BB_GIB);
    assert_true(bb_layout_pages(&layout, layout.zone_count) <= UINT32_MAX);
    uint64_t last = layout.tail_offset >> BB_UNIT_SHIFT;
    assert_true(last < (uint64_t)1 << 40); /* the index keeps units in 40 bits */
    assert_int_equal(bb_layout_make(2048 * tib, BB_JOURNAL_SIZE_MAX, BB_GIB, &layout),
                     BB_ERR_GEOMETRY);
    assert_int_equal(bb_layout_make(UINT64_MAX, BB_JOURNAL_SIZE_MAX, BB_GIB, &layout),
                     BB_ERR_GEOMETRY);
    assert_int_equal(bb_layout_make(UINT64_MAX, BB_JOURNAL_SIZE_MAX, (uint64_t)1 << 63, &layout),
                     BB_ERR_GEOMETRY);
    assert_int_equal(bb_layout_make(UINT64_MAX, BB_MIB, BB_ZONE_SIZE_MIN, &layout),
                     BB_ERR_GEOMETRY);
}

static void the_default_journal_is_a_128th_within_bounds(void **state)
{
    (void)state;
    assert_int_equal(bb_layout_journal_size(0), 8 * BB_MIB);
    assert_int_equal(bb_layout_journal_size(BB_GIB), 8 * BB_MIB);
    assert_int_equal(bb_layout_journal_size(2 * BB_GIB), 16 * BB_MIB);
    assert_int_equal(bb_layout_journal_size(2 * BB_GIB - 1), 15 * BB_MIB);
    assert_int_equal(bb_layout_journal_size(64 * BB_GIB), 512 * BB_MIB);
    assert_int_equal(bb_layout_journal_size(1024 * BB_GIB), 512 * BB_MIB);
    assert_int_equal(bb_layout_journal_size(UINT64_MAX), 512 * BB_MIB);
}

static void superblocks_stand_two_in_front_and_two_behind(void **state)
{
    (void)state;
    const uint64_t device_size = 100 * BB_MIB + 12345;
    assert_int_equal(bb_layout_super_offset(device_size, 1), 64 * BB_KIB);
    assert_int_equal(bb_layout_super_offset(device_size, 2), 4 * BB_MIB);
    assert_int_equal(bb_layout_super_offset(device_size, 3), 93 * BB_MIB);
    assert_int_equal(bb_layout_super_offset(device_size, 4), 97 * BB_MIB);
    /* of a device that cannot be one they lie behind its end, and nothing breaks */
    assert_true(bb_layout_super_offset(0, 3) >= 8 * BB_MIB);
    assert_true(bb_layout_super_offset(15 * BB_MIB, 4) + BB_UNIT_SIZE <= 16 * BB_MIB);
}

/* Paints [offset, offset + size) in whole MiB; nothing may be there yet. */
static void paint(uint8_t *map, uint64_t map_mib, uint64_t offset, uint64_t size, char colour)
{
    assert_true(bb_is_aligned(offset, BB_MIB));
    assert_true(bb_is_aligned(size, BB_MIB));
    assert_true((offset + size) / BB_MIB <= map_mib);
    for (uint64_t mib = offset / BB_MIB; mib < (offset + size) / BB_MIB; mib++) {
        assert_int_equal(map[mib], 0);
        map[mib] = (uint8_t)colour;
    }
}

/* Paints one zone, and checks that its slot areas are the smallest that suffice. */
static void zone_paint(const struct bb_zone *zone, uint8_t *map, uint64_t map_mib)
{
    uint64_t data_offset = zone->first_unit * BB_UNIT_SIZE;
    uint64_t area_size = data_offset - zone->slot_a_offset;
    uint64_t data_size = zone->unit_count * BB_UNIT_SIZE;
    paint(map, map_mib, zone->slot_a_offset, area_size, 'A');
    paint(map, map_mib, data_offset, data_size, 'D');
    paint(map, map_mib, zone->slot_b_offset, area_size, 'B');
    assert_int_equal(zone->slot_b_offset, data_offset + data_size);
    uint64_t area_units = area_size / BB_UNIT_SIZE;
    assert_true(area_units * BB_PAGE_ENTRY_COUNT >= zone->unit_count);
    /* one MiB less in each area gives two MiB more of data, which it could not describe */
    assert_true((area_units - 256) * BB_PAGE_ENTRY_COUNT < zone->unit_count + 512);
    assert_true((uint64_t)zone->page_count * BB_PAGE_ENTRY_COUNT >= zone->unit_count);
    assert_true((uint64_t)(zone->page_count - 1) * BB_PAGE_ENTRY_COUNT < zone->unit_count);
    assert_true(zone->page_count <= area_units);
}

static void layout_check(struct bb_layout layout)
{
    static uint8_t map[8192];
    uint64_t map_mib = layout.device_size / BB_MIB, units_max = 0;
    assert_true(map_mib <= sizeof(map));
    memset(map, 0, sizeof(map));

    paint(map, map_mib, 0, BB_HEAD_SIZE, 'H');
    paint(map, map_mib, layout.journal_offset, layout.journal_units * BB_UNIT_SIZE, 'J');
    paint(map, map_mib, layout.tail_offset, BB_TAIL_SIZE, 'T');
    uint64_t units = 0, pages = 0;
    for (uint32_t i = 0; i < layout.zone_count; i++) {
        struct bb_zone zone = bb_layout_zone(&layout, i);
        assert_int_equal(bb_layout_units(&layout, i), units);
        assert_int_equal(bb_layout_pages(&layout, i), pages);
        assert_int_equal(zone.first_page, pages);
        zone_paint(&zone, map, map_mib);
        units_max = bb_max_u64(units_max, zone.unit_count);
        units += zone.unit_count;
        pages += zone.page_count;
    }
    assert_int_equal(bb_layout_units(&layout, layout.zone_count), units);
    assert_int_equal(bb_layout_pages(&layout, layout.zone_count), pages);
    assert_int_equal(bb_layout_zone_units_max(&layout), units_max);

    uint64_t unused = 0;
    for (uint64_t mib = 0; mib < map_mib; mib++)
        unused += map[mib] == 0 ? 1 : 0;
    assert_true(unused * BB_MIB < BB_ZONE_SIZE_MIN);
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        uint64_t offset = bb_layout_super_offset(layout.device_size, copy);
        assert_int_equal(map[offset / BB_MIB], copy <= 2 ? 'H' : 'T');
    }
}

static void device_check(uint64_t device_size, uint64_t journal_size, uint64_t zone_size)
{
    layout_check(make(device_size, journal_size, zone_size));
}

static uint64_t random_zone_size(struct bb_random *random)
{
    return BB_ZONE_SIZE_MIN << bb_random_below(random, 9);
}

static void no_two_areas_overlap_and_nothing_is_wasted(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (uint64_t mib = 21; mib < 300; mib++) /* every size around the smallest zones */
        device_check(mib * BB_MIB + mib, BB_MIB, 64 * BB_MIB);
    for (int i = 0; i < 2000; i++) {
        uint64_t journal_size = (1 + bb_random_below(&random, 64)) * BB_MIB;
        uint64_t least = BB_DEVICE_SIZE_MIN + journal_size;
        uint64_t device_size = least + bb_random_below(&random, 8 * BB_GIB - least);
        device_check(device_size, journal_size, random_zone_size(&random));
    }
}

/* Walks every unit of the device and compares the maps with counting. */
static void maps_check(const struct bb_layout *layout)
{
    uint64_t end = layout->device_size / BB_UNIT_SIZE;
    uint64_t page = UINT64_MAX, seen = 0;
    uint32_t entry = 0;
    for (uint64_t unit = 0; unit < end; unit++) {
        if (!bb_layout_extent_ok(layout, layout->zone_count, unit, 1))
            continue;
        uint32_t index = bb_layout_zone_of(layout, unit);
        struct bb_zone zone = bb_layout_zone(layout, index);
        uint32_t got_entry = UINT32_MAX;
        uint64_t got_page = bb_layout_page_of(layout, unit, &got_entry);
        bool starts_page = unit == zone.first_unit || entry == BB_PAGE_ENTRY_COUNT - 1;
        page = starts_page ? page + 1 : page;
        entry = starts_page ? 0 : entry + 1;
        assert_int_equal(got_page, page);
        assert_int_equal(got_entry, entry);
        assert_int_equal(bb_layout_unit_of(layout, page, entry), unit);
        uint64_t rest = zone.unit_count - (unit - zone.first_unit);
        assert_true(bb_layout_extent_ok(layout, index + 1, unit, rest));
        assert_false(bb_layout_extent_ok(layout, index + 1, unit, rest + 1));
        assert_false(bb_layout_extent_ok(layout, index, unit, 1)); /* not open yet */
        seen++;
    }
    assert_int_equal(seen, bb_layout_units(layout, layout->zone_count));
    assert_int_equal(page + 1, bb_layout_pages(layout, layout->zone_count));
}

static void maps_of_units_and_pages_are_inverse(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (int i = 0; i < 20; i++) {
        uint64_t journal_size = (1 + bb_random_below(&random, 8)) * BB_MIB;
        uint64_t device_size =
            BB_DEVICE_SIZE_MIN + journal_size + bb_random_below(&random, 200 * BB_MIB);
        struct bb_layout layout = make(device_size, journal_size, random_zone_size(&random));
        maps_check(&layout);
    }
    struct bb_layout layout = make(1300 * BB_MIB, 8 * BB_MIB, BB_GIB); /* one full, one short */
    assert_int_equal(layout.zone_count, 2);
    maps_check(&layout);
}

static void entries_behind_the_end_of_a_zone_have_no_unit(void **state)
{
    (void)state;
    struct bb_layout layout = make(40 * BB_MIB, BB_MIB, BB_ZONE_SIZE_MIN);
    uint64_t without = 0, with = 0;
    for (uint64_t page = 0; page < bb_layout_pages(&layout, layout.zone_count); page++) {
        for (uint32_t entry = 0; entry < BB_PAGE_ENTRY_COUNT; entry++) {
            if (bb_layout_unit_of(&layout, page, entry) == UINT64_MAX)
                without++;
            else
                with++;
        }
    }
    assert_int_equal(with, bb_layout_units(&layout, layout.zone_count));
    assert_int_equal(without, layout.zone_count * (5 * BB_PAGE_ENTRY_COUNT - 512));
}

static void slots_of_a_page_lie_in_their_own_places(void **state)
{
    (void)state;
    static uint8_t used[200 * 256];
    memset(used, 0, sizeof(used));
    struct bb_layout layout = make(200 * BB_MIB, 8 * BB_MIB, 64 * BB_MIB);
    for (uint64_t page = 0; page < bb_layout_pages(&layout, layout.zone_count); page++) {
        uint32_t index = bb_layout_zone_of(&layout, bb_layout_unit_of(&layout, page, 0));
        struct bb_zone zone = bb_layout_zone(&layout, index);
        uint64_t a = bb_layout_slot_offset(&layout, page, 0);
        uint64_t b = bb_layout_slot_offset(&layout, page, 1);
        assert_true(a >= zone.slot_a_offset && a < zone.first_unit * BB_UNIT_SIZE);
        assert_true(b >= zone.slot_b_offset);
        assert_int_equal(b - zone.slot_b_offset, a - zone.slot_a_offset);
        assert_true(b + BB_UNIT_SIZE <= layout.tail_offset);
        assert_int_equal(used[a / BB_UNIT_SIZE]++, 0);
        assert_int_equal(used[b / BB_UNIT_SIZE]++, 0);
    }
}

static void extents_that_leave_the_data_are_refused(void **state)
{
    (void)state;
    struct bb_layout layout = make(200 * BB_MIB, 8 * BB_MIB, 64 * BB_MIB);
    struct bb_zone zone = bb_layout_zone(&layout, 1);
    uint32_t count = layout.zone_count;
    assert_true(bb_layout_extent_ok(&layout, count, zone.first_unit, zone.unit_count));
    assert_false(bb_layout_extent_ok(&layout, count, zone.first_unit, zone.unit_count + 1));
    assert_false(bb_layout_extent_ok(&layout, count, zone.first_unit, 0));
    assert_false(bb_layout_extent_ok(&layout, count, zone.first_unit, UINT64_MAX));
    assert_false(bb_layout_extent_ok(&layout, count, zone.first_unit - 1, 2));
    assert_false(bb_layout_extent_ok(&layout, count, 0, 1));
    assert_false(bb_layout_extent_ok(&layout, count, UINT64_MAX, 1));
    assert_false(bb_layout_extent_ok(&layout, count, UINT64_MAX, UINT64_MAX));
    assert_false(bb_layout_extent_ok(&layout, count, (uint64_t)1 << 52, 1));
    assert_false(bb_layout_extent_ok(&layout, 0, zone.first_unit, 1));
}

static void sizes_occupy_at_least_one_unit(void **state)
{
    (void)state;
    assert_int_equal(bb_units_of(0), 1);
    assert_int_equal(bb_units_of(1), 1);
    assert_int_equal(bb_units_of(4096), 1);
    assert_int_equal(bb_units_of(4097), 2);
    assert_int_equal(bb_units_of(BB_BLOCK_SIZE_MAX), 256);
}

/* Open zones are where they were, and nothing else is lost. */
static void growth_check(const struct bb_layout *old, const struct bb_layout *grown, uint32_t open)
{
    assert_true(grown->zone_count >= open);
    for (uint32_t i = 0; i < open; i++) {
        struct bb_zone before = bb_layout_zone(old, i), after = bb_layout_zone(grown, i);
        assert_int_equal(before.first_unit, after.first_unit);
        assert_int_equal(before.unit_count, after.unit_count);
        assert_int_equal(before.slot_a_offset, after.slot_a_offset);
        assert_int_equal(before.slot_b_offset, after.slot_b_offset);
        assert_int_equal(before.first_page, after.first_page);
        assert_int_equal(before.page_count, after.page_count);
    }
    assert_int_equal(grown->journal_units, old->journal_units);
    assert_int_equal(grown->zones_offset, old->zones_offset);
    bool same = grown->device_size == old->device_size;
    uint64_t units = bb_layout_units(old, old->zone_count);
    if (same)
        assert_memory_equal(old, grown, sizeof(*old));
    else
        assert_true(bb_layout_units(grown, grown->zone_count) > units);
}

static void growing_leaves_open_zones_alone_and_wastes_nothing(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    unsigned grown_count = 0, same_count = 0, short_most = 0;
    for (int i = 0; i < 400; i++) {
        uint64_t size = BB_DEVICE_SIZE_MIN + bb_random_below(&random, 100 * BB_MIB);
        struct bb_layout layout = make(size, BB_MIB, random_zone_size(&random));
        for (int step = 0; step < 12; step++) {
            static const uint64_t most[] = {8 * BB_KIB, 2 * BB_MIB, 20 * BB_MIB, 500 * BB_MIB};
            uint32_t open = layout.zone_count;
            if (bb_random_below(&random, 3) == 0)
                open = (uint32_t)bb_random_below(&random, layout.zone_count + 1ull);
            struct bb_layout next;
            size += bb_random_below(&random, most[bb_random_below(&random, 4)]);
            if (size >= 8 * BB_GIB)
                break;
            assert_int_equal(bb_layout_grow(&layout, open, size, &next), 0);
            growth_check(&layout, &next, open);
            bool same = next.device_size == layout.device_size;
            *(same ? &same_count : &grown_count) += 1;
            layout = next;
            layout_check(layout);
            short_most = layout.short_count > short_most ? layout.short_count : short_most;
        }
        if (i % 40 == 0)
            maps_check(&layout);
    }
    assert_true(grown_count > 1000 && same_count > 500 && short_most > 5);
}

static void a_growth_without_room_for_a_zone_changes_nothing(void **state)
{
    (void)state;
    /* 8 + 1 + 6 + 8 MiB: the last zone is short and open */
    struct bb_layout layout = make(23 * BB_MIB, BB_MIB, 8 * BB_MIB), grown;
    for (uint64_t more = 0; more < 4 * BB_MIB; more += BB_MIB / 2) {
        assert_int_equal(bb_layout_grow(&layout, 1, 23 * BB_MIB + more, &grown), 0);
        assert_memory_equal(&layout, &grown, sizeof(layout));
    }
    assert_int_equal(bb_layout_grow(&layout, 1, 27 * BB_MIB, &grown), 0);
    assert_int_equal(grown.zone_count, 2);
    assert_int_equal(grown.short_count, 1);
    assert_int_equal(grown.shorts[0].index, 0);
    assert_int_equal(grown.shorts[0].mib, 6);
    /* not open it just becomes longer */
    assert_int_equal(bb_layout_grow(&layout, 0, 24 * BB_MIB, &grown), 0);
    assert_int_equal(grown.zone_count, 1);
    assert_int_equal(grown.short_count, 0);
    assert_int_equal(grown.last_zone_size, 7 * BB_MIB);
    /* from 114 to 115 MiB the slots take two MiB more */
    layout = make(131 * BB_MIB, BB_MIB, BB_GIB);
    assert_int_equal(layout.last_zone_size, 114 * BB_MIB);
    assert_int_equal(bb_layout_grow(&layout, 0, 132 * BB_MIB, &grown), 0);
    assert_memory_equal(&layout, &grown, sizeof(layout));
    assert_int_equal(bb_layout_grow(&layout, 0, 134 * BB_MIB, &grown), 0);
    assert_int_equal(grown.last_zone_size, 117 * BB_MIB);
}

static void short_zones_are_limited_in_number(void **state)
{
    (void)state;
    uint64_t size = 23 * BB_MIB;
    struct bb_layout layout = make(size, BB_MIB, 8 * BB_MIB), grown;
    for (unsigned i = 0; i < BB_SHORT_ZONES_MAX; i++) {
        size += 6 * BB_MIB;
        assert_int_equal(bb_layout_grow(&layout, layout.zone_count, size, &grown), 0);
        assert_int_equal(grown.short_count, i + 1);
        layout = grown;
        layout_check(layout);
    }
    maps_check(&layout);
    size += 6 * BB_MIB;
    assert_int_equal(bb_layout_grow(&layout, layout.zone_count, size, &grown), BB_ERR_GEOMETRY);
    assert_int_equal(bb_layout_grow(&layout, layout.zone_count - 1, size, &grown), 0);
    assert_int_equal(grown.zone_count, layout.zone_count + 1);
}

static void short_zones_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct bb_short_zone wrong[][3] = {
        {{0, 3}},         {{0, 0}}, {{0, 8}},          {{0, UINT32_MAX}}, {{1, 4}, {1, 4}},
        {{2, 4}, {1, 4}}, {{7, 4}}, {{UINT32_MAX, 4}}, {{0, 4}, {99, 4}}, {{0, 7}, {1, 4}, {1, 7}},
        {{5, 7}},
    };
    struct bb_layout layout = {.zone_count = 77};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint32_t count = wrong[i][1].mib == 0 ? 1 : wrong[i][2].mib == 0 ? 2 : 3;
        /* six zones of 8 MiB */
        assert_int_equal(
            bb_layout_make_grown(65 * BB_MIB, BB_MIB, 8 * BB_MIB, wrong[i], count, &layout),
            BB_ERR_GEOMETRY);
    }
    assert_int_equal(layout.zone_count, 77); /* untouched */
    static const struct bb_short_zone right[] = {{0, 4}, {4, 7}};
    assert_int_equal(bb_layout_make_grown(65 * BB_MIB, BB_MIB, 8 * BB_MIB, right, 2, &layout), 0);
    layout_check(layout);
}

static void ask_for_missing_zone(void *argument)
{
    const struct bb_layout *layout = argument;
    (void)bb_layout_zone(layout, layout->zone_count);
}

static void ask_for_missing_page(void *argument)
{
    const struct bb_layout *layout = argument;
    (void)bb_layout_slot_offset(layout, bb_layout_pages(layout, layout->zone_count), 0);
}

static void asking_for_what_does_not_exist_aborts(void **state)
{
    (void)state;
    struct bb_layout layout = make(200 * BB_MIB, 8 * BB_MIB, 64 * BB_MIB);
    assert_true(unit_aborts(ask_for_missing_zone, &layout));
    assert_true(unit_aborts(ask_for_missing_page, &layout));
}

static void speed_is_printed(void **state)
{
    (void)state;
    enum { ROUNDS = 1000000 };
    struct bb_layout layout = make(100 * BB_GIB, 512 * BB_MIB, BB_GIB);
    uint64_t step = (layout.tail_offset >> BB_UNIT_SHIFT) / ROUNDS, found = 0;
    double start = unit_seconds();
    for (uint64_t i = 0; i < ROUNDS; i++)
        found += bb_layout_extent_ok(&layout, layout.zone_count, i * step, 1) ? 1 : 0;
    print_message("extent_ok: %.1f ns (%" PRIu64 " inside)\n",
                  (unit_seconds() - start) / ROUNDS * 1e9, found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_zone_has_the_figures_of_the_format),
        cmocka_unit_test(the_smallest_device_has_one_zone_of_four_mib),
        cmocka_unit_test(a_device_without_a_zone_is_refused),
        cmocka_unit_test(more_pages_than_their_number_can_say_are_refused),
        cmocka_unit_test(the_default_journal_is_a_128th_within_bounds),
        cmocka_unit_test(superblocks_stand_two_in_front_and_two_behind),
        cmocka_unit_test(no_two_areas_overlap_and_nothing_is_wasted),
        cmocka_unit_test(maps_of_units_and_pages_are_inverse),
        cmocka_unit_test(entries_behind_the_end_of_a_zone_have_no_unit),
        cmocka_unit_test(slots_of_a_page_lie_in_their_own_places),
        cmocka_unit_test(extents_that_leave_the_data_are_refused),
        cmocka_unit_test(sizes_occupy_at_least_one_unit),
        cmocka_unit_test(asking_for_what_does_not_exist_aborts),
        cmocka_unit_test(speed_is_printed),
        cmocka_unit_test(growing_leaves_open_zones_alone_and_wastes_nothing),
        cmocka_unit_test(a_growth_without_room_for_a_zone_changes_nothing),
        cmocka_unit_test(short_zones_are_limited_in_number),
        cmocka_unit_test(short_zones_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
