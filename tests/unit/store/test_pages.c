/* SPDX-License-Identifier: Apache-2.0
 * Batches of descriptor pages: which slot counts, which one is written.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/pages.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct scribe *scribe;
    struct bb_pages *pages;
    void *memory;
};

static void open_fixture(struct fixture *fixture)
{
    fixture->scribe = scribe_new(1, 0);
    fixture->pages = malloc(sizeof(*fixture->pages));
    fixture->memory = aligned_alloc(BB_UNIT_SIZE, BB_PAGES_SLOTS_SIZE);
    bb_pages_init(fixture->pages, fixture->scribe->io, &fixture->scribe->super, fixture->memory);
}

static void close_fixture(struct fixture *fixture)
{
    scribe_free(fixture->scribe);
    free(fixture->pages);
    free(fixture->memory);
}

static uint64_t slot_offset(const struct fixture *fixture, uint64_t page, unsigned slot)
{
    return bb_layout_slot_offset(&fixture->scribe->super.layout, page, slot);
}

/* generation 0: garbage. */
static void put_slot(struct fixture *fixture, uint64_t page, unsigned slot, uint64_t generation,
                     uint64_t covered)
{
    struct bb_disk_page content;
    struct bb_page_header header = {.page = page, .generation = generation, .covered = covered};
    bb_page_init(&content);
    bb_page_seal(&content, &fixture->scribe->super.store, &header);
    if (generation == 0)
        content.digest.bytes[0] ^= 1;
    bb_sim_poke(fixture->scribe->sim, slot_offset(fixture, page, slot), &content, sizeof(content));
}

static struct bb_page *read_one(struct fixture *fixture, uint64_t page, uint64_t anchor)
{
    bb_pages_begin(fixture->pages);
    bb_pages_add(fixture->pages, page);
    assert_int_equal(bb_pages_read(fixture->pages, anchor), 0);
    return &fixture->pages->page[0];
}

struct choice {
    uint64_t generation[2], covered[2];
    int newest;
    enum bb_page_trust trust;
};

static void newest_slot_counts_and_a_lone_one_must_prove_it(void **state)
{
    (void)state;
    static const struct choice choices[] = {
        {{1, 2}, {0, 0}, 1, BB_PAGE_NEWEST},  {{3, 2}, {7, 5}, 0, BB_PAGE_NEWEST},
        {{2, 2}, {0, 0}, 1, BB_PAGE_NEWEST},  {{3, 0}, {10, 0}, 0, BB_PAGE_NEWEST},
        {{3, 0}, {9, 0}, 0, BB_PAGE_SINGLE},  {{0, 4}, {0, 9}, 1, BB_PAGE_SINGLE},
        {{0, 4}, {0, 11}, 1, BB_PAGE_NEWEST}, {{0, 0}, {0, 0}, 0, BB_PAGE_LOST},
    };
    struct fixture fixture;
    open_fixture(&fixture);
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        for (unsigned slot = 0; slot < 2; slot++)
            put_slot(&fixture, 3, slot, choices[i].generation[slot], choices[i].covered[slot]);
        const struct bb_page *page = read_one(&fixture, 3, 10);
        assert_int_equal(page->trust, choices[i].trust);
        assert_int_equal(page->newest, choices[i].newest);
        assert_int_equal(page->generation, choices[i].generation[page->newest]);
    }
    close_fixture(&fixture);
}

static void page_of_another_place_or_store_is_bad(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    struct bb_disk_page content;
    bb_sim_peek(fixture.scribe->sim, slot_offset(&fixture, 4, 0), &content, sizeof(content));
    bb_sim_poke(fixture.scribe->sim, slot_offset(&fixture, 3, 0), &content, sizeof(content));
    assert_true(read_one(&fixture, 3, 0)->bad[0]);
    fixture.scribe->super.store.bytes[0] ^= 1;
    put_slot(&fixture, 3, 1, 9, 0);
    fixture.scribe->super.store.bytes[0] ^= 1;
    assert_int_equal(read_one(&fixture, 3, 0)->trust, BB_PAGE_LOST);
    close_fixture(&fixture);
}

static void older_slot_is_written_and_the_newest_left_alone(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    struct bb_disk_page before, after;
    struct bb_entry entry = {.size = 77}, found;
    for (unsigned round = 0; round < 6; round++) {
        struct bb_page *page = read_one(&fixture, 2, 0);
        unsigned newest = (unsigned)page->newest;
        uint64_t generation = page->generation;
        bb_sim_peek(fixture.scribe->sim, slot_offset(&fixture, 2, newest), &before, sizeof(before));
        bb_hash_of(&round, sizeof(round), &entry.hash);
        bb_entry_set(bb_page_entries(page), 9, &entry);
        page->write = true;
        assert_int_equal(bb_pages_write(fixture.pages, 100 + round), 0);
        bb_sim_peek(fixture.scribe->sim, slot_offset(&fixture, 2, newest), &after, sizeof(after));
        assert_memory_equal(&before, &after, sizeof(before));
        page = read_one(&fixture, 2, 0);
        assert_int_equal(page->newest, 1 - newest);
        assert_int_equal(page->generation, generation + 1);
        assert_int_equal(page->covered, 100 + round);
        assert_int_equal(bb_entry_get(bb_page_entries(page), 9, &found), 1);
        assert_true(bb_hash_equal(&found.hash, &entry.hash));
    }
    close_fixture(&fixture);
}

static void bad_slot_is_the_one_that_is_written(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    for (unsigned bad = 0; bad < 3; bad++) {
        for (unsigned slot = 0; slot < 2; slot++)
            put_slot(&fixture, 0, slot, bad == 2 || bad == slot ? 0 : 5, 0);
        struct bb_page *page = read_one(&fixture, 0, 0);
        if (page->trust == BB_PAGE_LOST)
            bb_page_init(bb_page_entries(page));
        page->write = true;
        assert_int_equal(bb_pages_write(fixture.pages, 6), 0);
        page = read_one(&fixture, 0, 0);
        assert_false(page->bad[0] || page->bad[1]);
        assert_int_equal(page->trust, BB_PAGE_NEWEST);
        assert_int_equal(page->covered, 6);
    }
    close_fixture(&fixture);
}

static void neighbours_share_a_request(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    uint64_t total = bb_layout_pages(&fixture.scribe->super.layout, 2);
    uint64_t before = bb_sim_submitted(fixture.scribe->sim);
    bb_pages_begin(fixture.pages);
    for (uint64_t page = 0; page < total; page++)
        bb_pages_add(fixture.pages, page);
    assert_int_equal(bb_pages_read(fixture.pages, 0), 0);
    assert_int_equal(fixture.pages->count, 10);
    assert_int_equal(bb_sim_submitted(fixture.scribe->sim) - before, 4); /* two zones, two slots */
    for (uint32_t i = 0; i < fixture.pages->count; i++)
        assert_int_equal(fixture.pages->page[i].trust, BB_PAGE_NEWEST);
    close_fixture(&fixture);
}

static struct bb_sim_fault fail_over(void *context, const struct bb_io_request *request,
                                     uint64_t number)
{
    uint64_t offset = *(const uint64_t *)context;
    (void)number;
    if (offset >= request->offset && offset < request->offset + request->size)
        return (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = -EIO, .applied = BB_SIM_NOT};
    return (struct bb_sim_fault){.kind = BB_SIM_PASS};
}

static void unreadable_slot_is_bad_and_its_neighbours_are_not(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    uint64_t offset = slot_offset(&fixture, 3, 1);
    bb_sim_set_fault(fixture.scribe->sim, fail_over, &offset);
    bb_pages_begin(fixture.pages);
    for (uint64_t page = 1; page < 5; page++)
        bb_pages_add(fixture.pages, page);
    assert_int_equal(bb_pages_read(fixture.pages, 0), 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_false(fixture.pages->page[i].bad[0]);
        assert_int_equal(fixture.pages->page[i].bad[1], fixture.pages->page[i].number == 3);
    }
    fixture.pages->page[2].write = true;
    assert_int_equal(bb_pages_write(fixture.pages, 1), -EIO);
    close_fixture(&fixture);
}

/* All reads fail, and so does the last write: the other slot stays as it was. */
static struct bb_sim_fault
fail_reads_and_second_write(void *context, const struct bb_io_request *request, uint64_t number)
{
    unsigned *writes = context;
    (void)number;
    bool fails = request->op == BB_IO_READ || ++*writes == 2;
    return (struct bb_sim_fault){.kind = fails ? BB_SIM_FAIL : BB_SIM_PASS, .error = -EIO};
}

static void lost_page_outranks_slots_that_come_back(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    unsigned writes = 0;
    put_slot(&fixture, 3, 0, 9, 40);
    put_slot(&fixture, 3, 1, 8, 30);
    bb_sim_set_fault(fixture.scribe->sim, fail_reads_and_second_write, &writes);
    struct bb_page *page = read_one(&fixture, 3, 35);
    assert_int_equal(page->trust, BB_PAGE_LOST);
    bb_page_init(bb_page_entries(page));
    page->write = true;
    assert_int_equal(bb_pages_write(fixture.pages, 50), -EIO);
    assert_int_equal(writes, 2);
    bb_sim_set_fault(fixture.scribe->sim, NULL, NULL);
    page = read_one(&fixture, 3, 35);
    assert_int_equal(page->trust, BB_PAGE_NEWEST);
    assert_int_equal(page->covered, 50);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_slot_counts_and_a_lone_one_must_prove_it),
        cmocka_unit_test(page_of_another_place_or_store_is_bad),
        cmocka_unit_test(older_slot_is_written_and_the_newest_left_alone),
        cmocka_unit_test(bad_slot_is_the_one_that_is_written),
        cmocka_unit_test(neighbours_share_a_request),
        cmocka_unit_test(unreadable_slot_is_bad_and_its_neighbours_are_not),
        cmocka_unit_test(lost_page_outranks_slots_that_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
