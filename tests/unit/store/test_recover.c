/* SPDX-License-Identifier: Apache-2.0
 * Recovery of stores written by hand: every crash that the protocol allows, and damage that it
 * mends.
 */
#include "starts.h"

#include <errno.h>

static void fresh_store_recovers_and_gets_a_new_epoch(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.super.epoch, 2);
    assert_int_equal(recovered.super.epoch_first_sequence, 1);
    assert_int_equal(recovered.last.sequence, 0);
    assert_int_equal(recovered.last.units, 1);
    recovered = recover_ok(scribe);
    assert_int_equal(recovered.super.epoch, 3);
    scribe_free(scribe);
}

static void acknowledged_blocks_are_rolled_forward(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 3);
    for (unsigned key = 0; key < 8; key++)
        put(scribe, key);
    scribe_commit(scribe);
    scribe_delete(scribe, 3);
    put(scribe, 9);
    scribe_commit(scribe);
    cut_none(scribe);
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.report.records, 2);
    assert_int_equal(recovered.report.items, 10);
    assert_int_equal(recovered.report.blocks, 8);
    assert_int_equal(recovered.report.dropped, 0);
    assert_int_equal(recovered.last.sequence, 2);
    struct bb_index_entry entry;
    assert_int_equal(scribe_lookup(scribe->mem, 3, &entry), SCRIBE_ABSENT);
    assert_int_equal(scribe_lookup(scribe->mem, 9, &entry), SCRIBE_PRESENT);
    scribe_free(scribe);
}

static void torn_tail_is_dropped(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    scribe_commit(scribe);
    put(scribe, 1);
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    flip(scribe, ring_offset(scribe, scribe->last.position) + 100);
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.report.records, 1);
    struct bb_index_entry entry;
    assert_int_equal(scribe_lookup(scribe->mem, 0, &entry), SCRIBE_PRESENT);
    assert_int_equal(scribe_lookup(scribe->mem, 1, &entry), SCRIBE_ABSENT);
    scribe_free(scribe);
}

static void unacknowledged_block_without_its_data_is_dropped(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    scribe_commit(scribe);
    scribe_put(scribe, 1, place(scribe, 1), true);
    scribe_put(scribe, 4, place(scribe, 4), false); /* its data never came */
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.report.rehashed, 2);
    assert_int_equal(recovered.report.dropped, 1);
    struct bb_hash hash = scribe_hash(4);
    assert_true(bb_hash_equal(&recovered.report.dropped_first[0], &hash));
    assert_int_equal(recovered.last.sequence, 2);
    struct bb_index_entry entry;
    assert_int_equal(scribe_lookup(scribe->mem, 1, &entry), SCRIBE_PRESENT);
    assert_int_equal(scribe_lookup(scribe->mem, 4, &entry), SCRIBE_ABSENT);
    scribe_free(scribe);
}

static void heal_without_its_data_is_undone(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 5);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_mark(scribe, 5);
    scribe_commit(scribe);
    uint64_t old_unit = scribe->unit[5];
    scribe_heal(scribe, 5, place(scribe, 5), false);
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.report.undone, 1);
    struct bb_index_entry entry;
    assert_int_equal(scribe_lookup(scribe->mem, 5, &entry), SCRIBE_MARKED);
    assert_int_equal(entry.unit, old_unit);
    scribe_free(scribe);
}

static void heal_with_its_data_holds(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 5);
    scribe_commit(scribe);
    scribe_mark(scribe, 5);
    scribe_commit(scribe);
    uint64_t unit = place(scribe, 5);
    scribe_heal(scribe, 5, unit, true);
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    (void)recover_ok(scribe);
    struct bb_index_entry entry;
    assert_int_equal(scribe_lookup(scribe->mem, 5, &entry), SCRIBE_PRESENT);
    assert_int_equal(entry.unit, unit);
    scribe_free(scribe);
}

static void mark_above_the_watermark_is_kept(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 6);
    scribe_commit(scribe);
    flip(scribe, scribe->unit[6] * BB_UNIT_SIZE);
    scribe_mark(scribe, 6);
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.report.rehashed, 0);
    struct bb_index_entry entry;
    assert_int_equal(scribe_lookup(scribe->mem, 6, &entry), SCRIBE_MARKED);
    scribe_free(scribe);
}

struct aim {
    uint64_t offset;
    uint64_t skip; /* matching requests let through */
    enum bb_io_op op;
};

static struct bb_sim_fault fail_at(void *context, const struct bb_io_request *request,
                                   uint64_t number)
{
    struct aim *aim = context;
    (void)number;
    if (request->op != aim->op || request->offset > aim->offset ||
        request->offset + request->size <= aim->offset)
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    if (aim->skip > 0) {
        aim->skip--;
        return (struct bb_sim_fault){.kind = BB_SIM_PASS};
    }
    return (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = -EIO, .applied = BB_SIM_NOT};
}

static void unreadable_block_above_the_watermark_is_kept_and_marked(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 2);
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    struct aim aim = {.offset = scribe->unit[2] * BB_UNIT_SIZE, .op = BB_IO_READ};
    bb_sim_set_fault(scribe->sim, fail_at, &aim);
    scribe->allowed[2] = 1u << SCRIBE_MARKED;
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.report.unreadable, 1);
    scribe_free(scribe);
}

static void unreadable_successor_is_an_error_and_no_torn_tail(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 2);
    scribe_commit(scribe);
    cut_none(scribe);
    struct aim aim = {.offset = ring_offset(scribe, scribe->last.position), .op = BB_IO_READ};
    bb_sim_set_fault(scribe->sim, fail_at, &aim);
    struct bb_recovered recovered;
    assert_int_equal(recover(scribe, &recovered), -EIO);
    bb_sim_set_fault(scribe->sim, NULL, NULL);
    (void)recover_ok(scribe);
    scribe_free(scribe);
}

static void unreadable_unit_elsewhere_in_the_ring_does_no_harm(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 2);
    scribe_commit(scribe);
    cut_none(scribe);
    struct aim aim = {.offset = ring_offset(scribe, 200), .op = BB_IO_READ};
    bb_sim_set_fault(scribe->sim, fail_at, &aim);
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.report.journal_unreadable_units, 1);
    scribe_free(scribe);
}

static uint64_t slot_of(const struct scribe *scribe, unsigned key, unsigned slot)
{
    uint32_t entry;
    return bb_layout_slot_offset(
        &scribe->super.layout, bb_layout_page_of(&scribe->super.layout, scribe->unit[key], &entry),
        slot);
}

/* Key 1 shares the page of key 0. Pages were written at several checkpoints. */
static struct scribe *shared_page(void)
{
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_zone zone = bb_layout_zone(&scribe->super.layout, 0);
    scribe_put(scribe, 0, zone.first_unit, true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_put(scribe, 2, zone.first_unit + 1, true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_put(scribe, 3, zone.first_unit + 256, true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_put(scribe, 4, zone.first_unit + 4, true);
    scribe_commit(scribe);
    return scribe;
}

static void bad_slots_of_a_mentioned_page_come_from_the_index(void **state)
{
    (void)state;
    for (unsigned bad = 1; bad <= 3; bad++) {
        struct scribe *scribe = shared_page();
        for (unsigned slot = 0; slot < 2; slot++)
            if (bad >> slot & 1)
                flip(scribe, slot_of(scribe, 0, slot) + 1000);
        struct bb_recovered recovered = recover_ok(scribe);
        assert_int_equal(recovered.report.slots_damaged, bad == 3 ? 2 : 1);
        scribe_free(scribe);
    }
}

static void scratch_of_four_mib_takes_a_full_ring_in_passes(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new_with_ring(1, 500, 8);
    struct bb_zone zone = bb_layout_zone(&scribe->super.layout, 0);
    uint64_t count = 0, name = 0;
    struct bb_item item = {.op = BB_ITEM_DELETE, .size = 1};
    for (unsigned round = 0; round < 61; round++) {
        for (unsigned i = 0; i < BB_RECORD_ITEMS_MAX && round < 60; i++, count++) {
            if (item.op == BB_ITEM_PUT && name > 400) { /* 400 stay, the others come and go */
                item.op = BB_ITEM_DELETE;
            } else {
                item.op = BB_ITEM_PUT;
                item.unit = zone.first_unit + (name < 400 ? name : 400 + name % 112);
                bb_hash_of(&name, sizeof(name), &item.hash);
                name++;
            }
            scribe_raw(scribe, &item);
        }
        scribe_commit(scribe);
        scribe->item_count = 0;
        scribe->window_first = 0;
    }
    assert_true(count > 80000);
    struct bb_index index = memindex_index(scribe->mem);
    struct bb_explain explain;
    struct bb_recovered recovered;
    size_t size = BB_RECOVER_SCRATCH_MIN;
    struct bb_recover_config config = {.io = scribe->io,
                                       .index = &index,
                                       .scratch = aligned_alloc(BB_UNIT_SIZE, size),
                                       .scratch_size = size};
    assert_int_equal(bb_recover(&config, &recovered, &explain), 0);
    assert_int_equal(recovered.report.items, count);
    assert_in_range(recovered.report.blocks, 400, 401);
    assert_int_equal(memindex_count(scribe->mem), recovered.report.blocks);
    assert_true(recovered.report.passes > 4);
    free(config.scratch);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_store_recovers_and_gets_a_new_epoch),
        cmocka_unit_test(acknowledged_blocks_are_rolled_forward),
        cmocka_unit_test(torn_tail_is_dropped),
        cmocka_unit_test(unacknowledged_block_without_its_data_is_dropped),
        cmocka_unit_test(heal_without_its_data_is_undone),
        cmocka_unit_test(heal_with_its_data_holds),
        cmocka_unit_test(mark_above_the_watermark_is_kept),
        cmocka_unit_test(unreadable_block_above_the_watermark_is_kept_and_marked),
        cmocka_unit_test(unreadable_successor_is_an_error_and_no_torn_tail),
        cmocka_unit_test(unreadable_unit_elsewhere_in_the_ring_does_no_harm),
        cmocka_unit_test(bad_slots_of_a_mentioned_page_come_from_the_index),
        cmocka_unit_test(scratch_of_four_mib_takes_a_full_ring_in_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
