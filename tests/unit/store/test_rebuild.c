/* SPDX-License-Identifier: Apache-2.0
 * The rebuild of an index from the data device: exact where the device is whole, and what it says
 * and keeps where it is not. (Cuts and random histories: test_recover.c.)
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/recovery.h"
#include "bb/superblock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t page_unit(const struct scribe *scribe, uint64_t page, uint32_t entry)
{
    return bb_layout_unit_of(&scribe->super.layout, page, entry);
}

static void damage_slot(struct scribe *scribe, uint64_t page, unsigned slot)
{
    uint8_t byte = 0x5a;
    bb_sim_poke(scribe->sim, bb_layout_slot_offset(&scribe->super.layout, page, slot) + 2000, &byte,
                1);
}

static unsigned newest_slot(struct scribe *scribe, uint64_t page)
{
    struct bb_disk_page content;
    struct bb_page_header header[2];
    for (unsigned slot = 0; slot < 2; slot++) {
        bb_sim_peek(scribe->sim, bb_layout_slot_offset(&scribe->super.layout, page, slot), &content,
                    sizeof(content));
        assert_int_equal(bb_page_check(&content, &scribe->super.store, page, &header[slot]), 0);
    }
    return header[0].generation > header[1].generation ? 0 : 1;
}

/* Keys 7, 0, 3 in page 0, key 7 (18 units) reaching into page 1, where key 4 is; 2 is in page 2.
 * All in a checkpoint; key 3 was there and is deleted in a second one. */
static struct scribe *pages_in_use(void)
{
    struct scribe *scribe = scribe_new(1, 2);
    scribe_put(scribe, 7, page_unit(scribe, 0, 100), true);
    scribe_put(scribe, 0, page_unit(scribe, 0, 3), true);
    scribe_put(scribe, 3, page_unit(scribe, 0, 8), true);
    scribe_put(scribe, 4, page_unit(scribe, 1, 30), true);
    scribe_put(scribe, 2, page_unit(scribe, 2, 0), true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
    scribe_delete(scribe, 3);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
    return scribe;
}

static void whole_device_gives_the_same_index_and_a_new_identity(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    struct memindex *old = memindex_clone(scribe->mem);
    struct bb_digest before = scribe_entries(scribe->mem);
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    struct bb_digest after = scribe_entries(scribe->mem);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_false(recovered.report.set_unproven);
    assert_int_equal(recovered.super.epoch, 2);
    assert_memory_not_equal(&recovered.super.index, &scribe->super.index,
                            sizeof(scribe->super.index));
    assert_int_equal(scribe_recover(scribe->sim, old, &recovered, &explain), BB_ERR_FOREIGN);
    assert_int_equal(scribe_recover(scribe->sim, scribe->mem, &recovered, &explain), 0);
    memindex_free(old);
    scribe_free(scribe);
}

static uint64_t pages_read(struct scribe *scribe)
{
    return bb_sim_get_counts(scribe->sim)->submitted[BB_IO_DESCRIPTOR][BB_IO_READ];
}

static uint64_t ring_reads(struct scribe *scribe)
{
    return bb_sim_get_counts(scribe->sim)->submitted[BB_IO_JOURNAL][BB_IO_READ];
}

/* The caller frees its scratch. */
static struct bb_recover_config config_of(const struct scribe *scribe)
{
    return (struct bb_recover_config){.io = scribe->io,
                                      .scratch =
                                          aligned_alloc(BB_UNIT_SIZE, BB_RECOVER_SCRATCH_MIN),
                                      .scratch_size = BB_RECOVER_SCRATCH_MIN};
}

/* What one reading of all pages takes, and of the ring and of what follows the anchor. */
static void whole_device_is_read_once(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    struct bb_recover_config config = config_of(scribe);
    struct bb_recovered recovered;
    struct bb_explain explain;
    uint64_t pages = pages_read(scribe), ring = ring_reads(scribe);
    assert_int_equal(bb_rebuild_check(&config, &recovered, &explain), 0);
    uint64_t once = pages_read(scribe) - pages, ring_once = ring_reads(scribe) - ring;
    assert_true(once > 0 && ring_once > 0);
    pages = pages_read(scribe);
    ring = ring_reads(scribe);
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    assert_int_equal(pages_read(scribe) - pages, once);
    assert_int_equal(ring_reads(scribe) - ring, ring_once);
    free(config.scratch);
    scribe_free(scribe);
}

/* Only a second reading can tell what the pages hold then. */
static void bad_slot_has_the_pages_read_again(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    struct bb_recovered recovered;
    struct bb_explain explain;
    uint64_t pages = pages_read(scribe);
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    uint64_t once = pages_read(scribe) - pages;
    damage_slot(scribe, 1, 1 - newest_slot(scribe, 1));
    pages = pages_read(scribe);
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    assert_true(pages_read(scribe) - pages > once);
    assert_int_equal(recovered.report.blocks, 4);
    scribe_free(scribe);
}

struct refusal {
    uint64_t blocks;
    unsigned calls;
};

static int refuse_found(void *context, const struct bb_recovered *found,
                        struct bb_explain *ret_explain)
{
    struct refusal *refusal = context;
    refusal->calls++;
    refusal->blocks = found->report.blocks;
    return bb_explain(ret_explain, BB_ERR_CANCELLED, "not today");
}

static void refusal_in_the_middle_leaves_the_device_alone(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    struct bb_recover_config config = config_of(scribe);
    struct refusal refusal = {.calls = 0};
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_hash before, after;
    bb_sim_digest(scribe->sim, &before);
    assert_int_equal(bb_rebuild_prepared(&config, &scribe->super.index, refuse_found, &refusal,
                                         &recovered, &explain),
                     BB_ERR_CANCELLED);
    bb_sim_digest(scribe->sim, &after);
    assert_true(bb_hash_equal(&before, &after));
    assert_int_equal(refusal.calls, 1);
    assert_int_equal(refusal.blocks, 4);
    assert_string_equal(explain.text, "not today");
    free(config.scratch);
    scribe_free(scribe);
}

#define MANY 60000u /* blocks: more than 4 MiB hold, less than twice as many */

static void seal_page(struct scribe *store, struct bb_disk_page *page, uint64_t number)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        struct bb_page_header header = {.page = number, .generation = 1 + slot, .covered = 1};
        bb_page_seal(page, &store->super.store, &header);
        uint64_t offset = bb_layout_slot_offset(&store->super.layout, number, slot);
        assert_int_equal(bb_io_write(store->io, BB_IO_DESCRIPTOR, offset, page, sizeof(*page)), 0);
    }
}

/* MANY blocks of one unit in the pages of one zone, counted in ret_set. */
static void fill_pages(struct scribe *store, struct bb_disk_page *page, struct bb_set *ret_set)
{
    uint64_t pages = bb_layout_pages(&store->super.layout, 1);
    uint64_t name = 0;
    for (uint64_t number = 0; number < pages; number++) {
        bb_page_init(page);
        for (uint32_t slot = 0; slot < BB_PAGE_ENTRY_COUNT && name < MANY; slot++, name++) {
            struct bb_entry entry = {.size = BB_UNIT_SIZE};
            bb_hash_of(&name, sizeof(name), &entry.hash);
            bb_entry_set(page, slot, &entry);
            bb_set_add(ret_set, &entry.hash, page_unit(store, number, slot), entry.size);
        }
        seal_page(store, page, number);
    }
    assert_int_equal(name, MANY);
}

/* Three records: the first one, the one that ends a checkpoint of `set`, and one that says so. */
static void write_ring(struct scribe *store, const struct bb_set *set, void *buf)
{
    struct bb_anchor anchor = {.sequence = 0};
    struct bb_digest previous = {.bytes = {0}};
    for (uint64_t sequence = 0; sequence < 3; sequence++) {
        struct bb_record record = {.store = store->super.store,
                                   .epoch = 1,
                                   .sequence = sequence,
                                   .position = sequence,
                                   .durable = sequence,
                                   .previous = previous,
                                   .anchor = anchor};
        bb_record_encode(&record, 0, buf);
        assert_int_equal(bb_io_write(store->io, BB_IO_JOURNAL,
                                     store->super.layout.journal_offset + sequence * BB_UNIT_SIZE,
                                     buf, BB_UNIT_SIZE),
                         0);
        previous = record.digest;
        anchor =
            (struct bb_anchor){.sequence = sequence, .position = sequence, .digest = record.digest};
        if (sequence == 0)
            store->super.anchor = anchor;
        else
            anchor.set = *set;
    }
}

static void more_blocks_than_memory_are_written_in_two_shares(void **state)
{
    (void)state;
    struct bb_sim_config sim = {.size = 400 * BB_MIB, .seed = 1, .in_order = true};
    struct memindex_config slices = {.slice_max = 1000};
    struct scribe *store = calloc(1, sizeof(*store)); /* of it sim, io, mem and super */
    void *buf = aligned_alloc(BB_UNIT_SIZE, BB_UNIT_SIZE);
    struct bb_set set = {.count = 0};
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_true(store != NULL && buf != NULL);
    store->sim = bb_sim_open(&sim);
    store->mem = memindex_new(&slices);
    store->io = bb_sim_io(store->sim);
    store->super = (struct bb_super){.store = {{1}},
                                     .index = {{2}},
                                     .epoch = 1,
                                     .open_zone_count = 1,
                                     .logical_sector = store->io->logical_sector,
                                     .physical_sector = store->io->physical_sector};
    assert_int_equal(
        bb_layout_make(sim.size, 8 * BB_MIB, BB_ZONE_SIZE_DEFAULT, &store->super.layout), 0);
    fill_pages(store, buf, &set);
    write_ring(store, &set, buf);
    store->super.epoch_first_sequence = 0;
    assert_int_equal(bb_super_write(store->io, &store->super), 0);
    assert_int_equal(scribe_rebuild(store->sim, store->mem, &recovered, &explain), 0);
    assert_int_equal(recovered.report.blocks, MANY);
    assert_int_equal(memindex_count(store->mem), MANY);
    /* one for the walk, two for the index */
    assert_int_equal(recovered.report.passes, 3);
    free(buf);
    scribe_free(store);
}

static void check_writes_nothing(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    damage_slot(scribe, 2, 1 - newest_slot(scribe, 2));
    struct bb_hash before, after;
    struct bb_recover_config config = config_of(scribe);
    struct bb_recovered recovered;
    struct bb_explain explain;
    bb_sim_digest(scribe->sim, &before);
    assert_int_equal(bb_rebuild_check(&config, &recovered, &explain), 0);
    bb_sim_digest(scribe->sim, &after);
    assert_true(bb_hash_equal(&before, &after));
    assert_int_equal(recovered.report.blocks, 4);
    assert_int_equal(recovered.report.slots_unexcused, 1);
    assert_int_equal(recovered.report.pages_lost, 0);
    free(config.scratch);
    scribe_free(scribe);
}

static void index_that_is_not_fresh_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    struct bb_index index = memindex_index(scribe->mem);
    struct bb_recover_config config = {.io = scribe->io,
                                       .index = &index,
                                       .scratch =
                                           aligned_alloc(BB_UNIT_SIZE, BB_RECOVER_SCRATCH_MIN),
                                       .scratch_size = BB_RECOVER_SCRATCH_MIN};
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_hash before, after;
    bb_sim_digest(scribe->sim, &before);
    assert_int_equal(bb_rebuild(&config, &scribe->super.index, &recovered, &explain),
                     BB_ERR_REFUSED);
    bb_sim_digest(scribe->sim, &after);
    assert_true(bb_hash_equal(&before, &after));
    free(config.scratch);
    scribe_free(scribe);
}

static void index_that_is_too_small_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    struct memindex_config small = {.capacity = 3};
    struct memindex *mem = memindex_new(&small);
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_hash before, after;
    bb_sim_digest(scribe->sim, &before);
    assert_int_equal(scribe_rebuild(scribe->sim, mem, &recovered, &explain), BB_ERR_INDEX_FULL);
    assert_non_null(strstr(explain.text, "4 blocks"));
    bb_sim_digest(scribe->sim, &after);
    assert_true(bb_hash_equal(&before, &after));
    memindex_free(mem);
    scribe_free(scribe);
}

static void older_slot_damaged_unexcused_is_exact_and_repaired(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    for (uint64_t page = 0; page < 3; page++)
        damage_slot(scribe, page, 1 - newest_slot(scribe, page));
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    assert_int_equal(recovered.report.slots_unexcused, 3);
    assert_int_equal(recovered.report.pages_written, 3);
    assert_false(recovered.report.set_unproven);
    scribe_check(scribe, scribe->sim, scribe->mem); /* its rebuild finds no damage any more */
    scribe_free(scribe);
}

static void lost_page_loses_its_blocks_and_nothing_else(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    for (unsigned slot = 0; slot < 2; slot++)
        damage_slot(scribe, 0, slot);
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_index_entry entry;
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    assert_int_equal(recovered.report.pages_lost, 1);
    assert_int_equal(recovered.report.units_lost, 112);
    assert_true(recovered.report.set_unproven);
    assert_int_equal(recovered.report.lost_first[0].first, page_unit(scribe, 0, 0));
    assert_int_equal(recovered.report.lost_first[0].count, 112);
    assert_int_equal(scribe_lookup(scribe->mem, 4, &entry), SCRIBE_PRESENT);
    assert_int_equal(scribe_lookup(scribe->mem, 2, &entry), SCRIBE_PRESENT);
    assert_int_equal(scribe_lookup(scribe->mem, 0, &entry), SCRIBE_ABSENT);
    assert_int_equal(scribe_lookup(scribe->mem, 3, &entry), SCRIBE_ABSENT); /* stays deleted */
    assert_int_equal(memindex_count(scribe->mem), 2 + 112);
    /* the placeholders keep their units: allocator, pages and index agree on them */
    scribe->allowed[0] = scribe->allowed[7] = 1u << SCRIBE_ABSENT;
    assert_int_equal(scribe_recover(scribe->sim, scribe->mem, &recovered, &explain), 0);
    scribe_check(scribe, scribe->sim, scribe->mem);
    scribe_free(scribe);
}

/* The newest slot gone: a block that the older one names is kept if its bytes are there, also one
 * that was deleted since. Without its bytes it is not. */
static void stale_slot_keeps_what_the_bytes_prove(void **state)
{
    (void)state;
    for (unsigned rotten = 0; rotten < 2; rotten++) {
        struct scribe *scribe = pages_in_use();
        uint8_t byte = 0x5a;
        damage_slot(scribe, 0, newest_slot(scribe, 0));
        if (rotten)
            bb_sim_poke(scribe->sim, scribe->unit[3] * BB_UNIT_SIZE + 100, &byte, 1);
        struct bb_recovered recovered;
        struct bb_explain explain;
        struct bb_index_entry entry;
        assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
        assert_int_equal(recovered.report.pages_lost, 1);
        assert_true(recovered.report.set_unproven);
        assert_true(recovered.report.units_lost > 0 && recovered.report.units_lost < 112);
        assert_int_equal(scribe_lookup(scribe->mem, 4, &entry), SCRIBE_PRESENT);
        assert_int_equal(scribe_lookup(scribe->mem, 2, &entry), SCRIBE_PRESENT);
        assert_int_equal(scribe_lookup(scribe->mem, 3, &entry),
                         rotten ? SCRIBE_ABSENT : SCRIBE_PRESENT);
        scribe->allowed[3] = 1u << (rotten ? SCRIBE_ABSENT : SCRIBE_PRESENT);
        assert_int_equal(scribe_recover(scribe->sim, scribe->mem, &recovered, &explain), 0);
        scribe_check(scribe, scribe->sim, scribe->mem);
        scribe_free(scribe);
    }
}

/* An extent from the page before covers the first units of the lost page. */
static void placeholders_spare_known_extents(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    damage_slot(scribe, 1, 0);
    damage_slot(scribe, 1, 1);
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_index_entry entry;
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    uint64_t covered = 100 + bb_units_of(scribe_size(7)) - 112;
    assert_int_equal(recovered.report.units_lost, 112 - covered);
    assert_int_equal(scribe_lookup(scribe->mem, 7, &entry), SCRIBE_PRESENT);
    assert_int_equal(scribe_lookup(scribe->mem, 4, &entry), SCRIBE_ABSENT);
    scribe->allowed[4] = 1u << SCRIBE_ABSENT;
    scribe_check(scribe, scribe->sim, scribe->mem);
    scribe_free(scribe);
}

static void placeholder_is_found_by_name_and_marked(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    damage_slot(scribe, 1, 0);
    damage_slot(scribe, 1, 1);
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    struct bb_index index = memindex_index(scribe->mem);
    struct bb_index_entry entry;
    struct bb_hash hash;
    uint64_t unit = page_unit(scribe, 1, 111);
    bb_rebuild_placeholder(&scribe->super.store, unit, &hash);
    index.ops->refresh(index.context);
    assert_int_equal(index.ops->lookup(index.context, &hash, &entry), 0);
    assert_int_equal(entry.unit, unit);
    assert_int_equal(entry.size, 4096);
    assert_int_equal(entry.flags, BB_INDEX_CORRUPT);
    scribe_free(scribe);
}

static void rebuild_with_a_lost_page_cut_anywhere_is_run_again(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    struct bb_random random;
    bb_random_seed(&random, 9);
    damage_slot(scribe, 0, 0);
    damage_slot(scribe, 0, 1);
    struct bb_sim *whole = bb_sim_clone(scribe->sim);
    struct memindex *mem = memindex_clone(scribe->mem);
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_rebuild(whole, mem, &recovered, &explain), 0);
    struct bb_digest wanted = scribe_entries(mem);
    int error = -1;
    for (uint64_t n = 1; error != 0; n++) {
        struct bb_sim *sim = bb_sim_clone(scribe->sim);
        bb_sim_cut_at(sim, n);
        error = scribe_rebuild(sim, mem, &recovered, &explain);
        bb_sim_power_cut(sim, bb_sim_choose_random, &random);
        if (scribe_rebuild(sim, mem, &recovered, &explain) != 0)
            fail_msg("cut %u: %s", (unsigned)n, explain.text);
        struct bb_digest found = scribe_entries(mem);
        assert_memory_equal(&found, &wanted, sizeof(found));
        bb_sim_close(sim);
    }
    bb_sim_close(whole);
    memindex_free(mem);
    scribe_free(scribe);
}

static void set_that_does_not_add_up_without_damage_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    /* a slot that was never written although the device said so: the older one is put back */
    struct bb_disk_page page;
    unsigned newest = newest_slot(scribe, 0);
    bb_sim_peek(scribe->sim, bb_layout_slot_offset(&scribe->super.layout, 0, 1 - newest), &page,
                sizeof(page));
    bb_sim_poke(scribe->sim, bb_layout_slot_offset(&scribe->super.layout, 0, newest), &page,
                sizeof(page));
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain),
                     BB_ERR_SET_MISMATCH);
    scribe_free(scribe);
}

static void marks_survive_a_rebuild(void **state)
{
    (void)state;
    struct scribe *scribe = pages_in_use();
    scribe_mark(scribe, 2);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_mark(scribe, 4);
    scribe_commit(scribe);
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_index_entry entry;
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain), 0);
    assert_int_equal(scribe_lookup(scribe->mem, 2, &entry), SCRIBE_MARKED);
    assert_int_equal(scribe_lookup(scribe->mem, 4, &entry), SCRIBE_MARKED);
    assert_int_equal(scribe_lookup(scribe->mem, 7, &entry), SCRIBE_PRESENT);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_device_gives_the_same_index_and_a_new_identity),
        cmocka_unit_test(whole_device_is_read_once),
        cmocka_unit_test(more_blocks_than_memory_are_written_in_two_shares),
        cmocka_unit_test(bad_slot_has_the_pages_read_again),
        cmocka_unit_test(refusal_in_the_middle_leaves_the_device_alone),
        cmocka_unit_test(check_writes_nothing),
        cmocka_unit_test(index_that_is_not_fresh_is_refused),
        cmocka_unit_test(index_that_is_too_small_is_refused_before_anything_is_written),
        cmocka_unit_test(older_slot_damaged_unexcused_is_exact_and_repaired),
        cmocka_unit_test(lost_page_loses_its_blocks_and_nothing_else),
        cmocka_unit_test(stale_slot_keeps_what_the_bytes_prove),
        cmocka_unit_test(placeholders_spare_known_extents),
        cmocka_unit_test(placeholder_is_found_by_name_and_marked),
        cmocka_unit_test(rebuild_with_a_lost_page_cut_anywhere_is_run_again),
        cmocka_unit_test(set_that_does_not_add_up_without_damage_is_refused),
        cmocka_unit_test(marks_survive_a_rebuild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
