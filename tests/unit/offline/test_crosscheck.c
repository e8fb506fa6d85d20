/* SPDX-License-Identifier: Apache-2.0
 * bbfsck's check over stores written by hand: a whole store and what a crash leaves are clean, and
 * every kind of damage is found by its kind.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/crosscheck.h"
#include "bb/err.h"
#include "bb/superblock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t page_unit(const struct scribe *scribe, uint64_t page, uint32_t entry)
{
    return bb_layout_unit_of(&scribe->super.layout, page, entry);
}

/* Blocks 0, 4 and 7 in pages 0, 1 and 2; everything in the checkpoint, then a clean stop. */
static struct scribe *stopped_store(void)
{
    struct scribe *scribe = scribe_new(1, 2);
    scribe_put(scribe, 0, page_unit(scribe, 0, 3), true);
    scribe_put(scribe, 4, page_unit(scribe, 1, 30), true);
    scribe_put(scribe, 7, page_unit(scribe, 2, 10), true);
    scribe_commit(scribe);
    scribe_mark(scribe, 4);
    scribe_stop(scribe);
    return scribe;
}

struct findings {
    uint64_t seen[BB_FINDING_COUNT];
    struct bb_finding last[BB_FINDING_COUNT];
};

static void found(void *context, const struct bb_finding *finding)
{
    struct findings *findings = context;
    findings->seen[finding->kind]++;
    findings->last[finding->kind] = *finding;
    assert_true(finding->text[0] != '\0');
}

static int check_with(struct scribe *scribe, struct bb_index *index, struct findings *findings,
                      struct bb_crosscheck_report *report)
{
    *findings = (struct findings){.seen = {0}};
    struct bb_recover_config config = {.io = scribe->io,
                                       .index = index,
                                       .scratch =
                                           aligned_alloc(BB_UNIT_SIZE, BB_RECOVER_SCRATCH_MIN),
                                       .scratch_size = BB_RECOVER_SCRATCH_MIN,
                                       .context = findings};
    struct bb_explain explain;
    struct bb_hash before, after;
    struct bb_digest index_before, index_after;
    bb_sim_digest(scribe->sim, &before);
    memindex_digest(scribe->mem, &index_before);
    struct bb_crosscheck_options options = {.found = found, .deep = true};
    int error = bb_crosscheck_run(&config, &options, report, &explain);
    bb_sim_digest(scribe->sim, &after);
    memindex_digest(scribe->mem, &index_after);
    assert_true(bb_hash_equal(&before, &after)); /* it writes nothing */
    assert_true(bb_digest_equal(&index_before, &index_after));
    free(config.scratch);
    if (error == 0)
        for (unsigned kind = 0; kind < BB_FINDING_COUNT; kind++)
            assert_int_equal(findings->seen[kind], report->count[kind]);
    return error;
}

static struct bb_crosscheck_report check(struct scribe *scribe, struct findings *findings)
{
    struct bb_index index = memindex_index(scribe->mem);
    struct bb_crosscheck_report report;
    assert_int_equal(check_with(scribe, &index, findings, &report), 0);
    return report;
}

static void stopped_store_is_clean(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.errors, 0);
    assert_int_equal(report.blocks, 3);
    assert_int_equal(report.marked_blocks, 1);
    assert_int_equal(report.bytes, scribe_size(0) + scribe_size(4) + scribe_size(7));
    assert_int_equal(report.used_units, 1 + 2 + 18);
    assert_int_equal(report.open_units, 1024);
    assert_true(report.recover.was_clean);
    scribe_free(scribe);
}

static void store_that_was_not_stopped_is_clean_with_a_note(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct findings findings;
    scribe_put(scribe, 0, page_unit(scribe, 0, 3), true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_put(scribe, 1, page_unit(scribe, 0, 4), true);
    scribe_commit(scribe);
    scribe_put(scribe, 2, page_unit(scribe, 0, 5), false);
    assert_true(scribe_record(scribe));
    bb_sim_power_cut(scribe->sim, bb_sim_choose_all, NULL);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.errors, 0);
    assert_int_equal(report.count[BB_FINDING_NOT_STOPPED], 1);
    assert_int_equal(report.count[BB_FINDING_DROPPED], 1);
    assert_int_equal(report.blocks, 2);
    assert_int_equal(report.index_blocks, 2);
    scribe_free(scribe);
}

static void damaged_superblock_copy_is_a_note(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    uint8_t byte = 3;
    bb_sim_poke(scribe->sim, bb_layout_super_offset(scribe->io->device_size, 3) + 99, &byte, 1);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.errors, 0);
    assert_int_equal(report.count[BB_FINDING_SUPER_DAMAGED], 1);
    assert_non_null(strstr(findings.last[BB_FINDING_SUPER_DAMAGED].text, "copy 3"));
    scribe_free(scribe);
}

/* Newest slot of a page. */
static unsigned read_page(struct scribe *scribe, uint64_t number, struct bb_disk_page *page,
                          struct bb_page_header *header)
{
    unsigned newest = 0;
    header->generation = 0;
    for (unsigned slot = 0; slot < 2; slot++) {
        struct bb_disk_page content;
        struct bb_page_header of_slot;
        bb_sim_peek(scribe->sim, bb_layout_slot_offset(&scribe->super.layout, number, slot),
                    &content, sizeof(content));
        assert_int_equal(bb_page_check(&content, &scribe->super.store, number, &of_slot), 0);
        if (of_slot.generation >= header->generation) {
            *page = content;
            *header = of_slot;
            newest = slot;
        }
    }
    return newest;
}

static void reseal_page(struct scribe *scribe, uint64_t number, struct bb_disk_page *page,
                        const struct bb_page_header *header, unsigned slot)
{
    bb_page_seal(page, &scribe->super.store, header);
    bb_sim_poke(scribe->sim, bb_layout_slot_offset(&scribe->super.layout, number, slot), page,
                sizeof(*page));
}

static void set_entry(struct scribe *scribe, uint64_t number, uint32_t at, unsigned key)
{
    struct bb_disk_page page;
    struct bb_page_header header;
    unsigned slot = read_page(scribe, number, &page, &header);
    struct bb_entry entry = {.hash = scribe_hash(key), .size = scribe_size(key)};
    bb_entry_set(&page, at, &entry);
    reseal_page(scribe, number, &page, &header, slot);
}

static void damage_slot(struct scribe *scribe, uint64_t page, unsigned slot)
{
    uint8_t byte = 0x5a;
    bb_sim_poke(scribe->sim, bb_layout_slot_offset(&scribe->super.layout, page, slot) + 2000, &byte,
                1);
}

static void bad_slot_is_damage_unless_an_item_mentions_the_page(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    damage_slot(scribe, 3, 0);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.errors, 1);
    assert_int_equal(report.count[BB_FINDING_SLOT_DAMAGED], 1);
    scribe_free(scribe);

    scribe = scribe_new(1, 0);
    scribe_put(scribe, 0, page_unit(scribe, 3, 3), true);
    scribe_commit(scribe);
    damage_slot(scribe, 3, 0);
    report = check(scribe, &findings);
    assert_int_equal(report.errors, 0);
    assert_int_equal(report.count[BB_FINDING_SLOT_TORN], 1);
    scribe_free(scribe);
}

static void lost_page_is_named_and_its_blocks_are_those_the_index_has_alone(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    damage_slot(scribe, 1, 0);
    damage_slot(scribe, 1, 1);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.count[BB_FINDING_PAGE_LOST], 1);
    assert_int_equal(report.count[BB_FINDING_NOT_IN_PAGES], 1);
    assert_int_equal(report.count[BB_FINDING_PAGES_SET], 1);
    assert_int_equal(report.errors, 3);
    scribe_free(scribe);
}

static void impossible_entry_is_found(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct scribe *scribe = stopped_store();
        struct findings findings;
        struct bb_disk_page page;
        struct bb_page_header header;
        uint64_t number = kind == 2 ? 4 : 0; /* page 4 has 64 units only */
        unsigned slot = read_page(scribe, number, &page, &header);
        if (kind == 0)
            page.entries[50].size_flags = bb_le32_make(BB_ENTRY_PRESENT | 0x200000);
        if (kind == 1)
            page.entries[50].hash.bytes[0] = 1;
        reseal_page(scribe, number, &page, &header, slot);
        if (kind == 2)
            set_entry(scribe, 4, 63, 4); /* two units, one of them behind the zone */
        struct bb_crosscheck_report report = check(scribe, &findings);
        assert_true(report.count[BB_FINDING_ENTRY_IMPOSSIBLE] == 1);
        scribe_free(scribe);
    }
}

static void overlap_is_named_with_both_blocks(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    set_entry(scribe, 2, 20, 2); /* inside block 7 */
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.count[BB_FINDING_OVERLAP], 1);
    assert_int_equal(report.count[BB_FINDING_NOT_IN_INDEX], 1);
    scribe_free(scribe);
}

static void block_in_two_descriptors_is_found(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    set_entry(scribe, 3, 20, 0);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.count[BB_FINDING_TWICE], 1);
    assert_int_equal(report.count[BB_FINDING_NOT_IN_INDEX], 0);
    scribe_free(scribe);
}

static void tamper(struct scribe *scribe, unsigned key, bool present, uint64_t unit, bool corrupt)
{
    struct bb_change change = {.hash = scribe_hash(key),
                               .unit = unit,
                               .size = scribe_size(key),
                               .present = present,
                               .corrupt = corrupt};
    memindex_tamper(scribe->mem, &change);
}

static void index_is_compared_both_ways(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    tamper(scribe, 0, false, 0, false);
    tamper(scribe, 2, true, page_unit(scribe, 3, 0), false);
    tamper(scribe, 7, true, scribe->unit[7] + 30, false);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.count[BB_FINDING_NOT_IN_INDEX], 1);
    assert_int_equal(report.count[BB_FINDING_NOT_IN_PAGES], 1);
    assert_int_equal(report.count[BB_FINDING_DIFFERENT], 1);
    assert_true(report.count[BB_FINDING_INDEX_SET] > 0);
    scribe_free(scribe);
}

static void lost_mark_is_found_although_the_set_is_the_same(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    tamper(scribe, 4, true, scribe->unit[4], false);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.count[BB_FINDING_MARK_DIFFERS], 1);
    assert_int_equal(report.count[BB_FINDING_INDEX_SET], 0);
    assert_int_equal(report.errors, 1);
    scribe_free(scribe);
}

static void wrong_set_in_the_row_is_found(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    struct bb_index index = memindex_index(scribe->mem);
    struct bb_index_state row;
    assert_int_equal(index.ops->state(index.context, &row), 0);
    row.set.count++;
    memindex_put_state(scribe->mem, &row);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_true(report.count[BB_FINDING_INDEX_SET] > 0);
    assert_int_equal(report.count[BB_FINDING_NOT_IN_INDEX], 0);
    scribe_free(scribe);
}

static void foreign_and_stale_halves_are_findings(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store(), *other = scribe_new(2, 0);
    struct findings findings;
    struct bb_crosscheck_report report;
    struct bb_index index = memindex_index(other->mem);
    assert_int_equal(check_with(scribe, &index, &findings, &report), 0);
    assert_int_equal(report.count[BB_FINDING_INDEX_FOREIGN], 1);
    assert_int_equal(report.errors, 1);
    scribe_free(other);
    scribe_free(scribe);
}

static int broken_scan(void *context, const struct bb_hash *after, const struct bb_hash *below,
                       bb_index_visit_fn *visit, void *visit_context)
{
    (void)context;
    (void)after;
    (void)below;
    (void)visit;
    (void)visit_context;
    return BB_ERR_INDEX_DAMAGED;
}

static void index_that_cannot_be_read_is_a_finding(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    struct bb_crosscheck_report report;
    struct bb_index index = memindex_index(scribe->mem);
    struct bb_index_ops ops = *index.ops;
    ops.scan = broken_scan;
    index.ops = &ops;
    assert_int_equal(check_with(scribe, &index, &findings, &report), 0);
    assert_int_equal(report.count[BB_FINDING_INDEX_DAMAGED], 1);
    scribe_free(scribe);
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

static void unreadable_journal_is_a_finding(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    uint64_t offset = scribe->super.layout.journal_offset + 100 * BB_UNIT_SIZE;
    bb_sim_set_fault(scribe->sim, fail_over, &offset);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.count[BB_FINDING_JOURNAL_UNREADABLE], 1);
    scribe_free(scribe);
}

static void device_without_a_store_is_no_finding_but_an_error(void **state)
{
    (void)state;
    struct scribe *scribe = stopped_store();
    struct findings findings;
    struct bb_crosscheck_report report;
    struct bb_index index = memindex_index(scribe->mem);
    assert_int_equal(bb_super_wipe(scribe->io), 0);
    assert_int_equal(check_with(scribe, &index, &findings, &report), BB_ERR_NOT_FORMATTED);
    scribe_free(scribe);
}

/* More blocks and items than the memory holds: pages, index and items in several ranges. */
static void big_store_is_compared_in_ranges(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new_with_ring(1, 0, 8);
    struct findings findings;
    uint64_t first = bb_layout_zone(&scribe->super.layout, 0).first_unit;
    for (unsigned round = 0; round < 60; round++) { /* 81,720 items, room for 44,000 */
        struct bb_item item = {.size = 1};
        for (unsigned i = 0; i < BB_RECORD_ITEMS_MAX; i++) {
            uint64_t name = round * 681 + i / 2;
            item.op = i % 2 == 0 ? BB_ITEM_PUT : BB_ITEM_DELETE;
            item.unit = first + name % 512;
            bb_hash_of(&name, sizeof(name), &item.hash);
            scribe_raw(scribe, &item);
        }
        scribe_commit(scribe);
        scribe->item_count = 0;
        scribe->window_first = 0;
    }
    scribe_put(scribe, 0, first, true);
    scribe_put(scribe, 1, first + 1, true);
    scribe_commit(scribe);
    assert_true(scribe_record(scribe));
    bb_sim_power_cut(scribe->sim, bb_sim_choose_all, NULL);
    struct bb_crosscheck_report report = check(scribe, &findings);
    assert_int_equal(report.errors, 0);
    assert_int_equal(report.blocks, 2);
    assert_true(report.recover.passes > 1);
    tamper(scribe, 6, true, first + 9, false);
    report = check(scribe, &findings);
    assert_int_equal(report.count[BB_FINDING_NOT_IN_PAGES], 1);
    assert_int_equal(report.count[BB_FINDING_NOT_IN_INDEX], 0);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_store_is_clean),
        cmocka_unit_test(store_that_was_not_stopped_is_clean_with_a_note),
        cmocka_unit_test(damaged_superblock_copy_is_a_note),
        cmocka_unit_test(bad_slot_is_damage_unless_an_item_mentions_the_page),
        cmocka_unit_test(lost_page_is_named_and_its_blocks_are_those_the_index_has_alone),
        cmocka_unit_test(impossible_entry_is_found),
        cmocka_unit_test(overlap_is_named_with_both_blocks),
        cmocka_unit_test(block_in_two_descriptors_is_found),
        cmocka_unit_test(index_is_compared_both_ways),
        cmocka_unit_test(lost_mark_is_found_although_the_set_is_the_same),
        cmocka_unit_test(wrong_set_in_the_row_is_found),
        cmocka_unit_test(foreign_and_stale_halves_are_findings),
        cmocka_unit_test(index_that_cannot_be_read_is_a_finding),
        cmocka_unit_test(unreadable_journal_is_a_finding),
        cmocka_unit_test(device_without_a_store_is_no_finding_but_an_error),
        cmocka_unit_test(big_store_is_compared_in_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
