/* SPDX-License-Identifier: Apache-2.0
 * What a start refuses: halves that do not belong together, records that are gone, extents that
 * cannot be.
 */
#include "starts.h"

static void lost_acknowledged_record_is_refused_with_its_number(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    scribe_commit(scribe);
    uint64_t position = scribe->last.position;
    put(scribe, 1);
    scribe_commit(scribe);
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
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
    *ret_old = memindex_clone(scribe->mem);
    *ret_old_data = bb_sim_clone(scribe->sim);
    put(scribe, 1);
    scribe_commit(scribe);
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

static void overlapping_extents_are_refused_by_name(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    scribe_put(scribe, 7, place(scribe, 7), true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    struct bb_item item = {
        .op = BB_ITEM_PUT, .size = 4096, .unit = scribe->unit[7] + 3, .hash = scribe_hash(0)};
    scribe_raw(scribe, &item);
    scribe_commit(scribe);
    put(scribe, 1);
    scribe_commit(scribe);
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

static void end_with_refused_item(struct scribe *scribe, const struct bb_item *item, int error)
{
    scribe_raw(scribe, item);
    scribe_commit(scribe);
    struct bb_recovered recovered;
    assert_int_equal(recover(scribe, &recovered), error);
    scribe_free(scribe);
}

static void put_onto_an_occupied_unit_is_refused(void **state)
{
    (void)state;
    for (unsigned checkpoint = 0; checkpoint < 2; checkpoint++) {
        struct scribe *scribe = scribe_new(1, 0);
        put(scribe, 7);
        scribe_commit(scribe);
        if (checkpoint)
            scribe_checkpoint(scribe);
        struct bb_item item = {
            .op = BB_ITEM_PUT, .size = 4096, .unit = scribe->unit[7], .hash = scribe_hash(0)};
        end_with_refused_item(scribe, &item, BB_ERR_OVERLAP);
    }
}

static void extent_outside_the_open_zones_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_zone zone = bb_layout_zone(&scribe->super.layout, 2);
    struct bb_item item = {
        .op = BB_ITEM_PUT, .size = 4096, .unit = zone.first_unit, .hash = scribe_hash(0)};
    end_with_refused_item(scribe, &item, BB_ERR_DAMAGED);
}

static void delete_of_what_is_not_there_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    scribe_commit(scribe);
    scribe_delete(scribe, 0);
    scribe_commit(scribe);
    put(scribe, 1);
    scribe_commit(scribe);
    struct bb_item item = {
        .op = BB_ITEM_DELETE, .size = 4096, .unit = scribe->unit[0], .hash = scribe_hash(0)};
    end_with_refused_item(scribe, &item, BB_ERR_DAMAGED);
}

static void index_with_a_missing_block_is_refused(void **state)
{
    (void)state;
    for (unsigned items = 0; items < 2; items++) {
        struct scribe *scribe = scribe_new(1, 0);
        put(scribe, 0);
        put(scribe, 1);
        scribe_commit(scribe);
        scribe_checkpoint(scribe);
        if (items)
            put(scribe, 2);
        scribe_commit(scribe);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_acknowledged_record_is_refused_with_its_number),
        cmocka_unit_test(clean_store_that_does_not_reach_its_mark_is_refused),
        cmocka_unit_test(older_index_is_refused_as_such),
        cmocka_unit_test(older_data_device_is_refused_as_such),
        cmocka_unit_test(halves_of_different_stores_are_refused),
        cmocka_unit_test(overlapping_extents_are_refused_by_name),
        cmocka_unit_test(put_onto_an_occupied_unit_is_refused),
        cmocka_unit_test(extent_outside_the_open_zones_is_refused),
        cmocka_unit_test(delete_of_what_is_not_there_is_refused),
        cmocka_unit_test(index_with_a_missing_block_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
