/* SPDX-License-Identifier: Apache-2.0
 * What records behind a lost one still say: blocks whose bytes are there stay, whatever the lost
 * record did to what stood in their place.
 */
#include "scribe.h"

#include "bb/err.h"
#include "bb/salvage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t unit_at(const struct scribe *scribe, uint64_t page, uint32_t entry)
{
    return bb_layout_unit_of(&scribe->super.layout, page, entry);
}

/* Blocks 0, 4 and 7 in the checkpoint. */
static struct scribe *checkpointed(void)
{
    struct scribe *scribe = scribe_new(1, 2);
    scribe_put(scribe, 0, unit_at(scribe, 0, 3), true);
    scribe_put(scribe, 4, unit_at(scribe, 1, 30), true);
    scribe_put(scribe, 7, unit_at(scribe, 2, 10), true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    return scribe;
}

/* Ends the record that will be lost. */
static uint64_t end_of_lost(struct scribe *scribe)
{
    scribe_commit(scribe);
    return scribe->last.position;
}

/* The record at `lost` is gone, the index as well. */
static struct bb_recover_report rebuild(struct scribe *scribe, uint64_t lost)
{
    uint8_t zero[64] = {0};
    scribe_commit(scribe);
    assert_true(scribe_record(scribe));
    bb_sim_power_cut(scribe->sim, bb_sim_choose_all, NULL);
    bb_sim_poke(scribe->sim, scribe->super.layout.journal_offset + lost * BB_UNIT_SIZE, zero,
                sizeof(zero));
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_rebuild(scribe->sim, scribe->mem, &recovered, &explain),
                     BB_ERR_LOST_RECORD);
    struct bb_index_state state;
    struct bb_index index = memindex_index(scribe->mem);
    assert_int_equal(index.ops->state(index.context, &state), 0);
    struct bb_recover_config config = {.io = scribe->io,
                                       .index = &index,
                                       .scratch =
                                           aligned_alloc(BB_UNIT_SIZE, BB_RECOVER_SCRATCH_MIN),
                                       .scratch_size = BB_RECOVER_SCRATCH_MIN,
                                       .repair = {.on = true, .accept_loss = true}};
    int error = bb_rebuild(&config, &state.index, &recovered, &explain);
    if (error != 0)
        fail_msg("%s", explain.text);
    assert_true(recovered.report.given_up);
    free(config.scratch);
    struct bb_recover_report report = recovered.report;
    assert_int_equal(scribe_recover(scribe->sim, scribe->mem, &recovered, &explain), 0);
    return report;
}

static void assert_state(struct scribe *scribe, unsigned key, enum scribe_state state)
{
    struct bb_index_entry entry;
    assert_int_equal(scribe_lookup(scribe->mem, key, &entry), state);
}

static void blocks_of_later_records_stay_and_the_gap_is_named(void **state)
{
    (void)state;
    struct scribe *scribe = checkpointed();
    scribe_put(scribe, 1, unit_at(scribe, 0, 10), true);
    uint64_t lost = end_of_lost(scribe), sequence = scribe->last.sequence;
    scribe_put(scribe, 3, unit_at(scribe, 0, 20), true);
    struct bb_recover_report report = rebuild(scribe, lost);
    assert_int_equal(report.gap_first, sequence);
    assert_int_equal(report.gap_last, sequence);
    assert_int_equal(report.salvaged, 1);
    assert_state(scribe, 3, SCRIBE_PRESENT);
    assert_state(scribe, 1, SCRIBE_ABSENT); /* only the lost record named it */
    assert_state(scribe, 0, SCRIBE_PRESENT);
    scribe_free(scribe);
}

static void block_over_one_whose_delete_is_lost_replaces_it(void **state)
{
    (void)state;
    struct scribe *scribe = checkpointed();
    scribe_delete(scribe, 7);
    uint64_t lost = end_of_lost(scribe);
    scribe_put(scribe, 3, unit_at(scribe, 2, 15), true); /* inside block 7 */
    (void)rebuild(scribe, lost);
    assert_state(scribe, 3, SCRIBE_PRESENT);
    assert_state(scribe, 7, SCRIBE_ABSENT);
    scribe_free(scribe);
}

static void block_that_moved_is_at_one_place(void **state)
{
    (void)state;
    struct bb_index_entry entry;
    struct scribe *scribe = checkpointed();
    scribe_delete(scribe, 4);
    uint64_t lost = end_of_lost(scribe);
    scribe_put(scribe, 4, unit_at(scribe, 3, 7), true);
    struct bb_recover_report report = rebuild(scribe, lost);
    assert_int_equal(report.blocks, 3);
    assert_int_equal(scribe_lookup(scribe->mem, 4, &entry), SCRIBE_PRESENT);
    assert_int_equal(memindex_count(scribe->mem), 3);
    scribe_free(scribe);
}

static void block_without_its_bytes_is_not_taken(void **state)
{
    (void)state;
    struct scribe *scribe = checkpointed();
    scribe_put(scribe, 1, unit_at(scribe, 0, 10), true);
    uint64_t lost = end_of_lost(scribe);
    scribe_put(scribe, 3, unit_at(scribe, 0, 3 + 1), false);
    struct bb_recover_report report = rebuild(scribe, lost);
    assert_int_equal(report.not_salvaged, 1);
    assert_state(scribe, 3, SCRIBE_ABSENT);
    assert_state(scribe, 0, SCRIBE_PRESENT);
    scribe_free(scribe);
}

static void later_delete_and_mark_hold(void **state)
{
    (void)state;
    struct scribe *scribe = checkpointed();
    scribe_put(scribe, 1, unit_at(scribe, 0, 10), true);
    uint64_t lost = end_of_lost(scribe);
    scribe_delete(scribe, 0);
    scribe_mark(scribe, 4);
    scribe_delete(scribe, 1); /* nothing names it any more */
    struct bb_recover_report report = rebuild(scribe, lost);
    assert_int_equal(report.salvaged, 2);
    assert_int_equal(report.not_salvaged, 1);
    assert_state(scribe, 0, SCRIBE_ABSENT);
    assert_state(scribe, 4, SCRIBE_MARKED);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_later_records_stay_and_the_gap_is_named),
        cmocka_unit_test(block_over_one_whose_delete_is_lost_replaces_it),
        cmocka_unit_test(block_that_moved_is_at_one_place),
        cmocka_unit_test(block_without_its_bytes_is_not_taken),
        cmocka_unit_test(later_delete_and_mark_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
