/* SPDX-License-Identifier: Apache-2.0
 * What becomes of blocks above the watermark, in both maps and in the set.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/verdicts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct scribe *scribe;
    struct bb_verdict array[3];
    struct bb_verdicts verdicts;
    struct bb_mention mentions_array[8];
    struct bb_mentions mentions;
    uint8_t *buf;
    uint64_t unit;
};

static void open_fixture(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->scribe = scribe_new(1, 0);
    fixture->buf = aligned_alloc(BB_UNIT_SIZE, BB_BLOCK_SIZE_MAX);
    fixture->unit = bb_layout_zone(&fixture->scribe->super.layout, 0).first_unit;
    bb_verdicts_init(&fixture->verdicts, fixture->array, sizeof(fixture->array));
    bb_mentions_init(&fixture->mentions, fixture->mentions_array, sizeof(fixture->mentions_array),
                     &fixture->scribe->super.layout);
}

static void close_fixture(struct fixture *fixture)
{
    scribe_free(fixture->scribe);
    free(fixture->buf);
}

/* PUT of a key whose bytes are there or are not. */
static struct bb_final put_of(struct fixture *fixture, unsigned key, uint64_t unit, bool there)
{
    uint8_t *bytes = calloc(1, BB_BLOCK_SIZE_MAX);
    if (there) {
        scribe_bytes(key, bytes);
        bb_sim_poke(fixture->scribe->sim, unit * BB_UNIT_SIZE, bytes, scribe_size(key));
    }
    free(bytes);
    return (struct bb_final){.last = {.hash = scribe_hash(key),
                                      .unit = unit,
                                      .order = 5ull << 11,
                                      .size = scribe_size(key),
                                      .op = BB_ITEM_PUT},
                             .present = true};
}

static int judge(struct fixture *fixture, const struct bb_final *final)
{
    return bb_verdicts_judge(&fixture->verdicts, fixture->scribe->io, final, fixture->buf);
}

static void match_leaves_no_verdict(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    for (unsigned key = 0; key < 8; key++) { /* all sizes, the empty block too */
        struct bb_final final = put_of(&fixture, key, fixture.unit + 20 * key, true);
        assert_int_equal(judge(&fixture, &final), 0);
        assert_int_equal(fixture.verdicts.count, 0);
    }
    assert_int_equal(fixture.verdicts.rehashed, 8);
    close_fixture(&fixture);
}

static void padding_is_not_hashed(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    struct bb_final final = put_of(&fixture, 3, fixture.unit, true);
    uint8_t byte = 9;
    bb_sim_poke(fixture.scribe->sim, fixture.unit * BB_UNIT_SIZE + scribe_size(3), &byte, 1);
    assert_int_equal(judge(&fixture, &final), 0);
    assert_int_equal(fixture.verdicts.count, 0);
    close_fixture(&fixture);
}

static void mismatch_drops_hash_and_unit(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    struct bb_final final = put_of(&fixture, 4, fixture.unit, false), by_unit = final;
    struct bb_contradiction contradiction;
    assert_int_equal(judge(&fixture, &final), 0);
    assert_int_equal(fixture.verdicts.dropped, 1);
    bb_verdicts_apply_to_hash(&fixture.verdicts, &final);
    assert_false(final.present);
    bb_mentions_begin(&fixture.mentions, BB_BY_UNIT, 0, UINT64_MAX);
    assert_int_equal(bb_mentions_add(&fixture.mentions, &by_unit.last), 0);
    assert_int_equal(bb_verdicts_apply_to_unit(&fixture.verdicts, &fixture.mentions, 0, 1, &by_unit,
                                               &contradiction),
                     0);
    assert_false(by_unit.present);
    /* another block, and another PUT of the same, are left alone */
    struct bb_final other = put_of(&fixture, 0, fixture.unit + 5, false);
    bb_verdicts_apply_to_hash(&fixture.verdicts, &other);
    assert_true(other.present);
    close_fixture(&fixture);
}

static void heal_without_bytes_gives_the_old_extent_back_marked(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    struct bb_final final = put_of(&fixture, 4, fixture.unit + 8, false);
    final.has_pair = true;
    final.pair_unit = fixture.unit;
    final.pair_size = scribe_size(4);
    struct bb_mention freed = final.last;
    freed.op = BB_ITEM_DELETE;
    freed.unit = fixture.unit;
    struct bb_set set = {.count = 0}, wanted = {.count = 0};
    bb_set_add(&set, &final.last.hash, final.last.unit, final.last.size);
    bb_set_add(&wanted, &final.last.hash, fixture.unit, final.last.size);
    assert_int_equal(judge(&fixture, &final), 0);
    assert_int_equal(fixture.verdicts.undone_count, 1);
    bb_verdicts_apply_to_hash(&fixture.verdicts, &final);
    assert_true(final.present && final.corrupt);
    assert_int_equal(final.last.unit, fixture.unit);
    assert_int_equal(bb_verdicts_apply_to_set(&fixture.verdicts, &set), 0);
    assert_true(bb_set_equal(&set, &wanted));

    struct bb_final by_unit = {.last = freed};
    struct bb_contradiction contradiction;
    bb_mentions_begin(&fixture.mentions, BB_BY_UNIT, 0, UINT64_MAX);
    assert_int_equal(bb_mentions_add(&fixture.mentions, &freed), 0);
    assert_int_equal(bb_verdicts_apply_to_unit(&fixture.verdicts, &fixture.mentions, 0, 1, &by_unit,
                                               &contradiction),
                     0);
    assert_true(by_unit.present && by_unit.corrupt);
    /* somebody took the old extent meanwhile: both cannot have it */
    struct bb_mention taker = {
        .hash = scribe_hash(0), .unit = fixture.unit, .order = 6ull << 11, .op = BB_ITEM_PUT};
    by_unit = (struct bb_final){.last = taker, .present = true};
    assert_int_equal(bb_mentions_add(&fixture.mentions, &taker), 0);
    assert_int_equal(bb_verdicts_apply_to_unit(&fixture.verdicts, &fixture.mentions, 0, 2, &by_unit,
                                               &contradiction),
                     BB_ERR_OVERLAP);
    close_fixture(&fixture);
}

struct device_fault {
    int error;
};

static struct bb_sim_fault fail_data(void *context, const struct bb_io_request *request,
                                     uint64_t number)
{
    const struct device_fault *fault = context;
    (void)number;
    if (request->class == BB_IO_DATA)
        return (struct bb_sim_fault){
            .kind = BB_SIM_FAIL, .error = fault->error, .applied = BB_SIM_NOT};
    return (struct bb_sim_fault){.kind = BB_SIM_PASS};
}

static void read_error_keeps_and_marks(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    struct device_fault fault = {.error = -EIO};
    struct bb_final final = put_of(&fixture, 4, fixture.unit, true);
    struct bb_set set = {.count = 0};
    bb_sim_set_fault(fixture.scribe->sim, fail_data, &fault);
    assert_int_equal(judge(&fixture, &final), 0);
    assert_int_equal(fixture.verdicts.unreadable, 1);
    bb_verdicts_apply_to_hash(&fixture.verdicts, &final);
    assert_true(final.present && final.corrupt);
    assert_int_equal(bb_verdicts_apply_to_set(&fixture.verdicts, &set), 0);
    assert_int_equal(set.count, 0);
    fault.error = -ENODEV; /* the device is gone: no statement about the block */
    fixture.verdicts.count = 0;
    assert_int_equal(judge(&fixture, &final), -ENODEV);
    close_fixture(&fixture);
}

static void more_verdicts_than_fit_are_an_error(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    struct bb_final finals[4];
    for (unsigned key = 0; key < 4; key++)
        finals[key] = put_of(&fixture, 10 + key, fixture.unit, false);
    for (unsigned i = 0; i < 4; i++) /* ascending, as the judge wants them */
        for (unsigned j = i + 1; j < 4; j++)
            if (bb_hash_compare(&finals[j].last.hash, &finals[i].last.hash) < 0) {
                struct bb_final swap = finals[i];
                finals[i] = finals[j];
                finals[j] = swap;
            }
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(judge(&fixture, &finals[i]), 0);
    assert_int_equal(judge(&fixture, &finals[3]), BB_ERR_MEMORY);
    for (unsigned i = 0; i < 3; i++)
        assert_non_null(bb_verdicts_find(&fixture.verdicts, &finals[i].last.hash));
    assert_null(bb_verdicts_find(&fixture.verdicts, &finals[3].last.hash));
    struct bb_set set = {.count = 1};
    assert_int_equal(bb_verdicts_apply_to_set(&fixture.verdicts, &set), BB_ERR_DAMAGED);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match_leaves_no_verdict),
        cmocka_unit_test(padding_is_not_hashed),
        cmocka_unit_test(mismatch_drops_hash_and_unit),
        cmocka_unit_test(heal_without_bytes_gives_the_old_extent_back_marked),
        cmocka_unit_test(read_error_keeps_and_marks),
        cmocka_unit_test(more_verdicts_than_fit_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
