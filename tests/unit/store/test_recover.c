/* SPDX-License-Identifier: Apache-2.0
 * Recovery of stores written by hand (scribe.h): every crash that the protocol allows, and the
 * damage that it refuses.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/superblock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed_of_run(void)
{
    const char *text = getenv("BB_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 1;
    print_message("BB_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static uint64_t place(struct scribe *scribe, unsigned key)
{
    struct bb_random random;
    bb_random_seed(&random, key + 77);
    return scribe_place(scribe, bb_units_of(scribe_size(key)), &random);
}

static void put(struct scribe *scribe, unsigned key)
{
    scribe_put(scribe, key, place(scribe, key), true);
}

static void commit(struct scribe *scribe)
{
    assert_true(scribe_record(scribe));
    scribe_flush(scribe);
}

static int recover(struct scribe *scribe, struct bb_recovered *ret_recovered)
{
    struct bb_explain explain;
    int error = scribe_recover(scribe->sim, scribe->mem, ret_recovered, &explain);
    if (error != 0)
        print_message("  %s\n", explain.text);
    assert_true(error == 0 || explain.text[0] != '\0');
    return error;
}

static struct bb_recovered recover_ok(struct scribe *scribe)
{
    struct bb_recovered recovered;
    assert_int_equal(recover(scribe, &recovered), 0);
    scribe_check(scribe, scribe->sim, scribe->mem);
    return recovered;
}

static uint64_t ring_offset(const struct scribe *scribe, uint64_t position)
{
    return scribe->super.layout.journal_offset + position * BB_UNIT_SIZE;
}

static void flip(struct scribe *scribe, uint64_t offset)
{
    uint8_t byte;
    bb_sim_peek(scribe->sim, offset, &byte, 1);
    byte ^= 1;
    bb_sim_poke(scribe->sim, offset, &byte, 1);
}

static void cut_none(struct scribe *scribe)
{
    bb_sim_power_cut(scribe->sim, bb_sim_choose_none, NULL);
}

static void cut_all(struct scribe *scribe)
{
    bb_sim_power_cut(scribe->sim, bb_sim_choose_all, NULL);
}

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
    commit(scribe);
    scribe_delete(scribe, 3);
    put(scribe, 9);
    commit(scribe);
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
    commit(scribe);
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

static void lost_acknowledged_record_is_refused_with_its_number(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    commit(scribe);
    uint64_t position = scribe->last.position;
    put(scribe, 1);
    commit(scribe);
    cut_none(scribe);
    struct bb_sim *sound = bb_sim_clone(scribe->sim);
    flip(scribe, ring_offset(scribe, position) + 200);
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_hash before, after;
    bb_sim_digest(scribe->sim, &before);
    assert_int_equal(scribe_recover(scribe->sim, scribe->mem, &recovered, &explain),
                     BB_ERR_LOST_RECORD);
    assert_non_null(strstr(explain.text, "record 1 "));
    assert_non_null(strstr(explain.text, "record 2 "));
    assert_non_null(strstr(explain.text, "--accept-loss"));
    bb_sim_digest(scribe->sim, &after);
    assert_true(bb_hash_equal(&before, &after));
    /* the rebuild sees the same */
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain),
                     BB_ERR_LOST_RECORD);
    assert_int_equal(scribe_rebuild(sound, scribe->mem, &recovered, &explain), 0);
    bb_sim_close(sound);
    scribe_free(scribe);
}

static void clean_store_that_does_not_reach_its_mark_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    scribe_stop(scribe);
    uint64_t position = scribe->last.position;
    struct bb_sim *sim = bb_sim_clone(scribe->sim);
    struct memindex *mem = memindex_clone(scribe->mem);
    struct bb_recovered recovered = recover_ok(scribe);
    struct bb_explain explain;
    assert_true(recovered.report.was_clean);
    assert_false(recovered.super.clean);
    uint8_t byte = 1;
    bb_sim_poke(sim, ring_offset(scribe, position) + 30, &byte, 1);
    assert_int_equal(scribe_recover(sim, mem, &recovered, &explain), BB_ERR_LOST_RECORD);
    assert_non_null(strstr(explain.text, "clean stop"));
    bb_sim_close(sim);
    memindex_free(mem);
    scribe_free(scribe);
}

/* Two checkpoints; *ret_old is the index as it was after the first. */
static struct scribe *two_checkpoints(struct memindex **ret_old, struct bb_sim **ret_old_data)
{
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    commit(scribe);
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
    *ret_old = memindex_clone(scribe->mem);
    *ret_old_data = bb_sim_clone(scribe->sim);
    put(scribe, 1);
    commit(scribe);
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
    return scribe;
}

static void older_index_is_refused_as_such(void **state)
{
    (void)state;
    struct memindex *old;
    struct bb_sim *old_data;
    struct scribe *scribe = two_checkpoints(&old, &old_data);
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_recover(scribe->sim, old, &recovered, &explain), BB_ERR_STALE_INDEX);
    assert_non_null(strstr(explain.text, "--rebuild"));
    /* also after the epoch changed and nothing of the ring speaks of it any more */
    (void)recover_ok(scribe);
    assert_int_equal(scribe_recover(scribe->sim, old, &recovered, &explain), BB_ERR_STALE_INDEX);
    memindex_free(old);
    bb_sim_close(old_data);
    scribe_free(scribe);
}

static void older_data_device_is_refused_as_such(void **state)
{
    (void)state;
    struct memindex *old;
    struct bb_sim *old_data;
    struct scribe *scribe = two_checkpoints(&old, &old_data);
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_recover(old_data, scribe->mem, &recovered, &explain),
                     BB_ERR_STALE_DATA);
    assert_int_equal(scribe_rebuild(old_data, scribe->mem, &recovered, &explain), 0);
    assert_int_equal(scribe_recover(old_data, scribe->mem, &recovered, &explain), 0);
    memindex_free(old);
    bb_sim_close(old_data);
    scribe_free(scribe);
}

static void halves_of_different_stores_are_refused(void **state)
{
    (void)state;
    struct scribe *a = scribe_new(1, 0), *b = scribe_new(2, 0);
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_recover(a->sim, b->mem, &recovered, &explain), BB_ERR_FOREIGN);
    /* the same store, an index that was replaced */
    struct memindex *replaced = memindex_clone(a->mem);
    assert_int_equal(scribe_rebuild(a->sim, a->mem, &recovered, &explain), 0);
    assert_int_equal(scribe_recover(a->sim, replaced, &recovered, &explain), BB_ERR_FOREIGN);
    assert_int_equal(scribe_recover(a->sim, a->mem, &recovered, &explain), 0);
    memindex_free(replaced);
    scribe_free(a);
    scribe_free(b);
}

static void unacknowledged_block_without_its_data_is_dropped(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    commit(scribe);
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
    commit(scribe);
    scribe_checkpoint(scribe);
    scribe_mark(scribe, 5);
    commit(scribe);
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
    commit(scribe);
    scribe_mark(scribe, 5);
    commit(scribe);
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
    commit(scribe);
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
    commit(scribe);
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
    commit(scribe);
    cut_none(scribe);
    struct aim aim = {.offset = ring_offset(scribe, 200), .op = BB_IO_READ};
    bb_sim_set_fault(scribe->sim, fail_at, &aim);
    struct bb_recovered recovered = recover_ok(scribe);
    assert_int_equal(recovered.report.journal_unreadable_units, 1);
    scribe_free(scribe);
}

static void overlapping_extents_are_refused_by_name(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    scribe_put(scribe, 7, place(scribe, 7), true);
    commit(scribe);
    scribe_checkpoint(scribe);
    struct bb_item item = {
        .op = BB_ITEM_PUT, .size = 4096, .unit = scribe->unit[7] + 3, .hash = scribe_hash(0)};
    scribe_raw(scribe, &item);
    commit(scribe);
    put(scribe, 1);
    commit(scribe);
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_recover(scribe->sim, scribe->mem, &recovered, &explain),
                     BB_ERR_OVERLAP);
    char hex[BB_HASH_HEX_SIZE + 1] = {0};
    bb_hash_to_hex(&item.hash, hex);
    hex[16] = '\0';
    assert_non_null(strstr(explain.text, hex));
    scribe_free(scribe);
}

static void put_onto_an_occupied_unit_is_refused(void **state)
{
    (void)state;
    for (unsigned checkpoint = 0; checkpoint < 2; checkpoint++) {
        struct scribe *scribe = scribe_new(1, 0);
        put(scribe, 7);
        commit(scribe);
        if (checkpoint)
            scribe_checkpoint(scribe);
        struct bb_item item = {
            .op = BB_ITEM_PUT, .size = 4096, .unit = scribe->unit[7], .hash = scribe_hash(0)};
        scribe_raw(scribe, &item);
        commit(scribe);
        struct bb_recovered recovered;
        assert_int_equal(recover(scribe, &recovered), BB_ERR_OVERLAP);
        scribe_free(scribe);
    }
}

static void extent_outside_the_open_zones_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_zone zone = bb_layout_zone(&scribe->super.layout, 2);
    struct bb_item item = {
        .op = BB_ITEM_PUT, .size = 4096, .unit = zone.first_unit, .hash = scribe_hash(0)};
    scribe_raw(scribe, &item);
    commit(scribe);
    struct bb_recovered recovered;
    assert_int_equal(recover(scribe, &recovered), BB_ERR_DAMAGED);
    scribe_free(scribe);
}

static void delete_of_what_is_not_there_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    commit(scribe);
    scribe_delete(scribe, 0);
    commit(scribe);
    put(scribe, 1);
    commit(scribe);
    struct bb_item item = {
        .op = BB_ITEM_DELETE, .size = 4096, .unit = scribe->unit[0], .hash = scribe_hash(0)};
    scribe_raw(scribe, &item);
    commit(scribe);
    struct bb_recovered recovered;
    assert_int_equal(recover(scribe, &recovered), BB_ERR_DAMAGED);
    scribe_free(scribe);
}

static void index_with_a_missing_block_is_refused(void **state)
{
    (void)state;
    for (unsigned items = 0; items < 2; items++) {
        struct scribe *scribe = scribe_new(1, 0);
        put(scribe, 0);
        put(scribe, 1);
        commit(scribe);
        scribe_checkpoint(scribe);
        if (items)
            put(scribe, 2);
        commit(scribe);
        /* a fold that LMDB lost: entry and count are gone, the anchor stands */
        struct bb_index index = memindex_index(scribe->mem);
        struct bb_change change = {.hash = scribe_hash(1)};
        struct bb_index_fold fold = {.changes = &change, .count = 1};
        struct bb_set set;
        uint64_t room;
        assert_int_equal(index.ops->fold(index.context, &fold, &set, &room), 0);
        struct bb_recovered recovered;
        assert_int_equal(recover(scribe, &recovered), BB_ERR_SET_MISMATCH);
        assert_int_equal(recover(scribe, &recovered), BB_ERR_SET_MISMATCH);
        scribe_free(scribe);
    }
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
    commit(scribe);
    scribe_checkpoint(scribe);
    scribe_put(scribe, 2, zone.first_unit + 1, true);
    commit(scribe);
    scribe_checkpoint(scribe);
    scribe_put(scribe, 3, zone.first_unit + 256, true);
    commit(scribe);
    scribe_checkpoint(scribe);
    scribe_put(scribe, 4, zone.first_unit + 4, true);
    commit(scribe);
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
        commit(scribe);
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

/* ---- random histories against the naive model ---- */

static void random_step(struct scribe *scribe, struct bb_random *random)
{
    unsigned key = (unsigned)bb_random_below(random, 10);
    bool pending = false; /* operations on a key above D wait for it */
    for (unsigned i = 0; i < scribe->item_count; i++)
        if (scribe->items[i].key == key &&
            (i >= scribe->window_first || scribe->items[i].sequence > scribe->durable))
            pending = true;
    uint64_t dice = bb_random_below(random, 16);
    if (dice < 8) {
        uint64_t unit = scribe_place(scribe, bb_units_of(scribe_size(key)), random);
        if (pending)
            return;
        if (scribe->state[key] == SCRIBE_ABSENT)
            scribe_put(scribe, key, unit, true);
        else if (scribe->state[key] == SCRIBE_MARKED)
            scribe_heal(scribe, key, unit, true);
        else if (dice < 3)
            scribe_delete(scribe, key);
        else if (dice < 6)
            scribe_mark(scribe, key);
        return;
    }
    if (dice < 12)
        (void)scribe_record(scribe);
    else if (dice < 14)
        scribe_flush(scribe);
    else if (dice == 14)
        scribe_checkpoint_pages(scribe, bb_random_below(random, 2) == 0);
    else if (bb_random_below(random, 3) == 0) {
        scribe_checkpoint_pages(scribe, true);
        scribe_checkpoint_index(scribe, (unsigned)bb_random_below(random, 3));
    } else
        scribe_checkpoint(scribe);
}

/* A store that crashed at a random request with a random subset of its writes. */
static struct scribe *random_crash(struct bb_random *random)
{
    struct scribe *scribe =
        scribe_new(bb_random_next(random), 1 + (uint32_t)bb_random_below(random, 6));
    unsigned steps = 20 + (unsigned)bb_random_below(random, 80);
    bb_sim_cut_at(scribe->sim, 1 + bb_random_below(random, 160));
    for (unsigned i = 0; i < steps; i++)
        random_step(scribe, random);
    if (!bb_sim_is_dead(scribe->sim))
        bb_sim_cut_at(scribe->sim, 0);
    scribe_cut(scribe, random);
    return scribe;
}

static void random_crashes_lose_nothing_acknowledged(void **state)
{
    (void)state;
    struct bb_random random;
    uint64_t seed = seed_of_run(), dropped = 0, undone = 0, damaged = 0;
    for (unsigned round = 0; round < 400; round++) {
        bb_random_seed(&random, seed * 1000 + round);
        struct scribe *scribe = random_crash(&random);
        struct bb_sim *sim = bb_sim_clone(scribe->sim);
        struct memindex *mem = memindex_clone(scribe->mem);
        struct bb_recovered recovered;
        struct bb_explain explain;
        int error = recover(scribe, &recovered);
        if (error != 0)
            print_message("round %u\n", round);
        assert_int_equal(error, 0);
        scribe_check(scribe, scribe->sim, scribe->mem);
        dropped += recovered.report.dropped;
        undone += recovered.report.undone;
        damaged += recovered.report.slots_damaged;
        /* the rebuild of the crash image is the same store */
        assert_int_equal(scribe_rebuild(sim, mem, &recovered, &explain), 0);
        assert_int_equal(recovered.report.slots_unexcused, 0);
        struct bb_digest a = scribe_entries(scribe->mem), b = scribe_entries(mem);
        assert_memory_equal(&a, &b, sizeof(a));
        assert_int_equal(scribe_recover(sim, mem, &recovered, &explain), 0);
        bb_sim_close(sim);
        memindex_free(mem);
        scribe_free(scribe);
    }
    print_message("dropped %llu, undone %llu, torn slots %llu\n", (unsigned long long)dropped,
                  (unsigned long long)undone, (unsigned long long)damaged);
    assert_true(dropped > 0 && undone > 0);
}

/* The process dies, the machine lives on: what a start has seen must not vanish with the cache. */
static void start_after_a_kill_holds_in_a_power_cut(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, seed_of_run() + 16);
    for (unsigned round = 0; round < 100; round++) {
        struct scribe *scribe = scribe_new(bb_random_next(&random), 2);
        for (unsigned i = 0; i < 40; i++)
            random_step(scribe, &random);
        bb_sim_kill(scribe->sim);
        struct bb_recovered recovered;
        assert_int_equal(recover(scribe, &recovered), 0);
        struct bb_digest seen = scribe_entries(scribe->mem);
        cut_none(scribe);
        assert_int_equal(recover(scribe, &recovered), 0);
        scribe_check(scribe, scribe->sim, scribe->mem);
        struct bb_digest again = scribe_entries(scribe->mem);
        assert_memory_equal(&seen, &again, sizeof(seen));
        scribe_free(scribe);
    }
}

typedef int run_fn(struct bb_sim *sim, struct memindex *mem, struct bb_recovered *ret_recovered,
                   struct bb_explain *ret_explain);

/* Cuts `run` at every request and every fold, then recovers: always the same entries, unless the
 * cache still held something that a cut before the first flush takes away. */
static void cut_everywhere(const struct scribe *scribe, run_fn *run, struct bb_random *random)
{
    bool exact = bb_sim_undurable_count(scribe->sim) == 0;
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_sim *sim = bb_sim_clone(scribe->sim);
    struct memindex *mem = memindex_clone(scribe->mem);
    assert_int_equal(scribe_recover(sim, mem, &recovered, &explain), 0);
    struct bb_digest wanted = scribe_entries(mem);
    bb_sim_close(sim);
    memindex_free(mem);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        sim = bb_sim_clone(scribe->sim);
        mem = memindex_clone(scribe->mem);
        uint64_t fold = bb_random_below(random, 8);
        memindex_fail_fold(mem, fold, -EIO, bb_random_below(random, 2) == 0);
        bb_sim_cut_at(sim, n);
        done = run(sim, mem, &recovered, &explain) == 0;
        assert_true(done || explain.text[0] != '\0');
        done = done || (!bb_sim_is_dead(sim) && fold == 0);
        memindex_fail_fold(mem, 0, 0, false);
        bb_sim_power_cut(sim, bb_sim_choose_random, random);
        int error = scribe_recover(sim, mem, &recovered, &explain);
        if (run == scribe_rebuild && error != 0) {
            assert_true(error == BB_ERR_FOREIGN || error == BB_ERR_NOT_FORMATTED);
            assert_int_equal(scribe_rebuild(sim, mem, &recovered, &explain), 0);
            error = scribe_recover(sim, mem, &recovered, &explain);
        }
        assert_int_equal(error, 0);
        scribe_check(scribe, sim, mem);
        struct bb_digest found = scribe_entries(mem);
        if (exact)
            assert_memory_equal(&found, &wanted, sizeof(found));
        bb_sim_close(sim);
        memindex_free(mem);
    }
}

static void recovery_cut_anywhere_ends_in_the_same_state(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, seed_of_run() + 17);
    for (unsigned round = 0; round < 6; round++) {
        struct scribe *scribe = random_crash(&random);
        cut_everywhere(scribe, scribe_recover, &random);
        scribe_free(scribe);
    }
}

static void recovery_after_a_kill_cut_anywhere_loses_nothing_acknowledged(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, seed_of_run() + 19);
    for (unsigned round = 0; round < 12; round++) {
        struct scribe *scribe = scribe_new(bb_random_next(&random), 2);
        for (unsigned i = 0; i < 30; i++)
            random_step(scribe, &random);
        if (round % 2 == 0) { /* nothing but records without items in the cache */
            scribe_checkpoint(scribe);
            scribe_flush(scribe);
            scribe_checkpoint(scribe);
            (void)scribe_record(scribe);
        }
        bb_sim_kill(scribe->sim);
        cut_everywhere(scribe, round % 3 == 0 ? scribe_rebuild : scribe_recover, &random);
        scribe_free(scribe);
    }
}

static void rebuild_cut_anywhere_is_run_again(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, seed_of_run() + 18);
    for (unsigned round = 0; round < 6; round++) {
        struct scribe *scribe = random_crash(&random);
        cut_everywhere(scribe, scribe_rebuild, &random);
        scribe_free(scribe);
    }
}

/* The check of the random test must be able to fail. */
static void lost_block_is_noticed_by_the_harness(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    commit(scribe);
    cut_none(scribe);
    (void)recover_ok(scribe);
    struct bb_index_entry entry;
    struct bb_change change = {.hash = scribe_hash(0)};
    memindex_tamper(scribe->mem, &change);
    assert_int_equal(scribe_lookup(scribe->mem, 0, &entry), SCRIBE_ABSENT);
    assert_false(scribe->allowed[0] >> SCRIBE_ABSENT & 1);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_store_recovers_and_gets_a_new_epoch),
        cmocka_unit_test(acknowledged_blocks_are_rolled_forward),
        cmocka_unit_test(torn_tail_is_dropped),
        cmocka_unit_test(lost_acknowledged_record_is_refused_with_its_number),
        cmocka_unit_test(clean_store_that_does_not_reach_its_mark_is_refused),
        cmocka_unit_test(older_index_is_refused_as_such),
        cmocka_unit_test(older_data_device_is_refused_as_such),
        cmocka_unit_test(halves_of_different_stores_are_refused),
        cmocka_unit_test(unacknowledged_block_without_its_data_is_dropped),
        cmocka_unit_test(heal_without_its_data_is_undone),
        cmocka_unit_test(heal_with_its_data_holds),
        cmocka_unit_test(mark_above_the_watermark_is_kept),
        cmocka_unit_test(unreadable_block_above_the_watermark_is_kept_and_marked),
        cmocka_unit_test(unreadable_successor_is_an_error_and_no_torn_tail),
        cmocka_unit_test(unreadable_unit_elsewhere_in_the_ring_does_no_harm),
        cmocka_unit_test(overlapping_extents_are_refused_by_name),
        cmocka_unit_test(put_onto_an_occupied_unit_is_refused),
        cmocka_unit_test(extent_outside_the_open_zones_is_refused),
        cmocka_unit_test(delete_of_what_is_not_there_is_refused),
        cmocka_unit_test(index_with_a_missing_block_is_refused),
        cmocka_unit_test(bad_slots_of_a_mentioned_page_come_from_the_index),
        cmocka_unit_test(scratch_of_four_mib_takes_a_full_ring_in_passes),
        cmocka_unit_test(random_crashes_lose_nothing_acknowledged),
        cmocka_unit_test(start_after_a_kill_holds_in_a_power_cut),
        cmocka_unit_test(recovery_cut_anywhere_ends_in_the_same_state),
        cmocka_unit_test(rebuild_cut_anywhere_is_run_again),
        cmocka_unit_test(recovery_after_a_kill_cut_anywhere_loses_nothing_acknowledged),
        cmocka_unit_test(lost_block_is_noticed_by_the_harness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
