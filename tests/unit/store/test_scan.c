/* SPDX-License-Identifier: Apache-2.0
 * Reading the journal back: the chain, the ring's end, proof behind a gap.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/scan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct reading {
    struct bb_scan scan;
    struct bb_survey survey;
    struct bb_scan_result result;
    uint64_t items;
    uint64_t last_order;
};

static int read_back(struct scribe *scribe, const struct bb_anchor *anchor, struct reading *reading)
{
    *reading = (struct reading){.scan = {.io = scribe->io,
                                         .super = &scribe->super,
                                         .buf = aligned_alloc(BB_UNIT_SIZE, BB_SCAN_BUFFER_SIZE)}};
    int error = bb_scan_survey(&reading->scan, &reading->survey);
    if (error == 0)
        error =
            bb_scan_journal(&reading->scan, &reading->survey, anchor, NULL, NULL, &reading->result);
    free(reading->scan.buf);
    return error;
}

/* A window of `count` items that take `count` units of the first zone. */
static void wide_window(struct scribe *scribe, unsigned count, uint64_t name)
{
    struct bb_zone zone = bb_layout_zone(&scribe->super.layout, 0);
    for (unsigned i = 0; i < count; i++, name++) {
        struct bb_item item = {.op = i % 2 == 0 ? BB_ITEM_PUT : BB_ITEM_DELETE,
                               .size = 1,
                               .unit = zone.first_unit + i / 2 % 400};
        uint64_t of = name / 2;
        bb_hash_of(&of, sizeof(of), &item.hash);
        scribe_raw(scribe, &item);
    }
    scribe_commit(scribe);
    scribe->item_count = 0;
    scribe->window_first = 0;
}

static void chain_is_followed_around_the_ring(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct reading reading;
    for (unsigned round = 0; round < 120; round++) {
        /* records of 1 to 16 units; the ring has 256, so some are skipped at its end */
        wide_window(scribe, (round * 37 % 16) * 84 + 2, round * 5000);
        scribe_checkpoint(scribe);
        wide_window(scribe, 2, round * 5000 + 4000);
        assert_int_equal(read_back(scribe, &scribe->anchor, &reading), 0);
        assert_int_equal(reading.result.last.sequence, scribe->last.sequence);
        assert_int_equal(reading.result.last.position, scribe->last.position);
        assert_int_equal(reading.result.last.units, scribe->last.units);
        assert_int_equal(reading.result.record_count, 2);
        assert_int_equal(reading.result.item_count, 2);
        assert_int_equal(reading.result.durable, scribe->last.sequence - 2); /* one flush */
        assert_int_equal(reading.survey.newest_sequence, scribe->last.sequence);
        assert_int_equal(reading.survey.carried.sequence, scribe->anchor.sequence);
    }
    assert_true(scribe->last.sequence > 300);
    scribe_free(scribe);
}

static void record_zero_is_the_first_anchor(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct reading reading;
    assert_int_equal(read_back(scribe, &scribe->anchor, &reading), 0);
    assert_true(reading.survey.found);
    assert_int_equal(reading.survey.carried.sequence, 0);
    assert_true(bb_digest_equal(&reading.survey.carried.digest, &scribe->last.digest));
    assert_int_equal(reading.result.record_count, 0);
    assert_int_equal(reading.result.last.units, 1);
    scribe_free(scribe);
}

static void other_epoch_ends_the_chain_but_not_at_the_anchor(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct reading reading;
    wide_window(scribe, 2, 0);
    struct bb_anchor anchor = scribe->anchor;
    scribe->super.epoch = 2;
    assert_int_equal(read_back(scribe, &anchor, &reading), 0);
    assert_int_equal(reading.result.record_count, 0); /* record 1 is of epoch 1 */
    assert_false(reading.survey.found);
    assert_int_equal(reading.survey.last_sequence, 1);
    /* a record of the new epoch behind it is not reached, and proves nothing below its D */
    scribe->durable = 0;
    assert_true(scribe_record(scribe));
    assert_int_equal(read_back(scribe, &anchor, &reading), 0);
    assert_int_equal(reading.result.record_count, 0);
    scribe->durable = 1;
    assert_true(scribe_record(scribe));
    assert_int_equal(read_back(scribe, &anchor, &reading), BB_ERR_LOST_RECORD);
    assert_int_equal(reading.result.lost_sequence, 1);
    assert_int_equal(reading.result.proof_sequence, 3);
    scribe_free(scribe);
}

/* Sequence, place and epoch are right, and yet it followed another record. */
static void record_of_another_history_is_not_taken(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct reading reading;
    struct bb_anchor anchor = scribe->anchor;
    wide_window(scribe, 2, 0);
    scribe->last.digest.bytes[3] ^= 1;
    assert_true(scribe_record(scribe));
    assert_int_equal(read_back(scribe, &anchor, &reading), 0);
    assert_int_equal(reading.result.record_count, 1);
    assert_int_equal(reading.result.last.sequence, 1);
    scribe_free(scribe);
}

static void gap_without_proof_is_a_torn_tail(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct reading reading;
    wide_window(scribe, 2, 0);
    uint64_t durable = scribe->durable;
    assert_true(scribe_record(scribe));
    uint64_t position = scribe->last.position;
    assert_true(scribe_record(scribe)); /* D is still that of record 1 */
    assert_int_equal(durable, 1);
    uint8_t byte = 7;
    bb_sim_poke(scribe->sim, scribe->super.layout.journal_offset + position * BB_UNIT_SIZE + 4000,
                &byte, 1);
    assert_int_equal(read_back(scribe, &scribe->anchor, &reading), 0);
    assert_int_equal(reading.result.last.sequence, 1);
    assert_int_equal(reading.survey.newest_sequence, 3);
    scribe_flush(scribe);
    assert_true(scribe_record(scribe)); /* carries D = 3 */
    assert_int_equal(read_back(scribe, &scribe->anchor, &reading), BB_ERR_LOST_RECORD);
    assert_int_equal(reading.result.lost_sequence, 2);
    assert_int_equal(reading.result.proof_sequence, 4);
    scribe_free(scribe);
}

static void damaged_or_foreign_anchor_is_not_found(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct reading reading;
    wide_window(scribe, 2, 0);
    struct bb_anchor anchor = scribe->anchor;
    anchor.digest.bytes[3] ^= 1;
    assert_int_equal(read_back(scribe, &anchor, &reading), BB_ERR_FOREIGN);
    anchor = scribe->anchor;
    anchor.position = 5;
    assert_int_equal(read_back(scribe, &anchor, &reading), BB_ERR_FOREIGN);
    anchor.position = UINT64_MAX;
    assert_int_equal(read_back(scribe, &anchor, &reading), BB_ERR_FOREIGN);
    anchor = scribe->anchor;
    anchor.sequence = 1;
    assert_int_equal(read_back(scribe, &anchor, &reading), BB_ERR_FOREIGN);
    assert_int_equal(read_back(scribe, &scribe->anchor, &reading), 0);
    scribe_free(scribe);
}

static int see_item(void *context, uint64_t sequence, uint32_t index, const struct bb_item *item)
{
    struct reading *reading = context;
    uint64_t order = sequence << 11 | index;
    (void)item;
    assert_true(reading->items == 0 || order > reading->last_order);
    reading->last_order = order;
    return ++reading->items == 100 ? 42 : 0;
}

static void visitor_sees_items_in_order_and_may_stop(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct reading reading;
    for (unsigned round = 0; round < 10; round++)
        wide_window(scribe, 30, round * 100);
    assert_int_equal(read_back(scribe, &scribe->anchor, &reading), 0);
    assert_int_equal(reading.result.item_count, 300);
    assert_int_equal(reading.result.set.count, 0);
    reading.scan.buf = aligned_alloc(BB_UNIT_SIZE, BB_SCAN_BUFFER_SIZE);
    assert_int_equal(
        bb_scan_journal(&reading.scan, NULL, &scribe->anchor, see_item, &reading, &reading.result),
        42);
    assert_int_equal(reading.items, 100);
    free(reading.scan.buf);
    scribe_free(scribe);
}

static void count_below_zero_is_damage(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct reading reading;
    struct bb_zone zone = bb_layout_zone(&scribe->super.layout, 0);
    struct bb_item item = {.op = BB_ITEM_DELETE, .size = 1, .unit = zone.first_unit};
    scribe_raw(scribe, &item);
    scribe_commit(scribe);
    assert_int_equal(read_back(scribe, &scribe->anchor, &reading), BB_ERR_DAMAGED);
    assert_true(reading.result.bad_found);
    assert_int_equal(reading.result.bad_sequence, 1);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_is_followed_around_the_ring),
        cmocka_unit_test(record_zero_is_the_first_anchor),
        cmocka_unit_test(other_epoch_ends_the_chain_but_not_at_the_anchor),
        cmocka_unit_test(record_of_another_history_is_not_taken),
        cmocka_unit_test(gap_without_proof_is_a_torn_tail),
        cmocka_unit_test(damaged_or_foreign_anchor_is_not_found),
        cmocka_unit_test(visitor_sees_items_in_order_and_may_stop),
        cmocka_unit_test(count_below_zero_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
