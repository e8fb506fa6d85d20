/* SPDX-License-Identifier: Apache-2.0
 * The epoch of the superblocks beside that of the index: which half may be behind the other.
 */
#include "scribe.h"

#include "bb/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct bb_recovered start(struct scribe *scribe)
{
    struct bb_recovered recovered;
    struct bb_explain explain;
    int error = scribe_recover(scribe->sim, scribe->mem, &recovered, &explain);
    if (error != 0)
        print_message("  %s\n", explain.text);
    assert_int_equal(error, 0);
    scribe_check(scribe, scribe->sim, scribe->mem);
    return recovered;
}

static uint64_t row_epoch(struct memindex *mem)
{
    struct bb_index index = memindex_index(mem);
    struct bb_index_state row;
    assert_int_equal(index.ops->state(index.context, &row), 0);
    return row.epoch;
}

/* A store with a block and its checkpoint, started once. */
static struct scribe *started_store(void)
{
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_random random;
    bb_random_seed(&random, 77);
    scribe_put(scribe, 0, scribe_place(scribe, bb_units_of(scribe_size(0)), &random), true);
    assert_true(scribe_record(scribe));
    scribe_flush(scribe);
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
    (void)start(scribe);
    return scribe;
}

static void a_start_tells_the_index_its_epoch(void **state)
{
    (void)state;
    struct scribe *scribe = started_store();
    assert_int_equal(row_epoch(scribe->mem), 2);
    struct bb_recovered recovered = start(scribe);
    assert_int_equal(recovered.super.epoch, 3);
    assert_int_equal(row_epoch(scribe->mem), 3);
    scribe_free(scribe);
}

/* What was acknowledged since that start is not on the copy, and no checkpoint has told the index.
 */
static void copy_of_the_data_device_from_before_a_start_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = started_store();
    struct bb_sim *copy = bb_sim_clone(scribe->sim);
    struct bb_recovered recovered;
    struct bb_explain explain;
    (void)start(scribe);
    assert_int_equal(scribe_recover(copy, scribe->mem, &recovered, &explain), BB_ERR_STALE_DATA);
    assert_non_null(strstr(explain.text, "older half"));
    assert_non_null(strstr(explain.text, "--rebuild"));
    /* the way out that it names */
    assert_int_equal(scribe_rebuild(copy, scribe->mem, &recovered, &explain), 0);
    assert_int_equal(scribe_recover(copy, scribe->mem, &recovered, &explain), 0);
    bb_sim_close(copy);
    scribe_free(scribe);
}

static void copy_of_the_data_device_from_after_the_start_is_taken(void **state)
{
    (void)state;
    struct scribe *scribe = started_store();
    struct bb_sim *copy = bb_sim_clone(scribe->sim);
    struct bb_recovered recovered;
    struct bb_explain explain;
    assert_int_equal(scribe_recover(copy, scribe->mem, &recovered, &explain), 0);
    bb_sim_close(copy);
    scribe_free(scribe);
}

static void index_from_before_a_start_that_changed_nothing_is_taken(void **state)
{
    (void)state;
    struct scribe *scribe = started_store();
    struct memindex *older = memindex_clone(scribe->mem);
    struct bb_recovered recovered;
    struct bb_explain explain;
    (void)start(scribe);
    assert_int_equal(scribe_recover(scribe->sim, older, &recovered, &explain), 0);
    assert_int_equal(row_epoch(older), recovered.super.epoch);
    memindex_free(older);
    scribe_free(scribe);
}

/* The commit of the epoch is the last thing that a start does, and may have happened or not. */
static void start_cut_between_the_superblocks_and_the_index_is_run_again(void **state)
{
    (void)state;
    for (unsigned applied = 0; applied < 2; applied++) {
        struct scribe *scribe = started_store();
        struct bb_recovered recovered;
        struct bb_explain explain;
        memindex_fail_fold(scribe->mem, 1, -EIO, applied == 1);
        assert_int_equal(scribe_recover(scribe->sim, scribe->mem, &recovered, &explain), -EIO);
        assert_int_equal(row_epoch(scribe->mem), 2 + applied);
        assert_int_equal(start(scribe).super.epoch, 4);
        assert_int_equal(row_epoch(scribe->mem), 4);
        scribe_free(scribe);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_tells_the_index_its_epoch),
        cmocka_unit_test(copy_of_the_data_device_from_before_a_start_is_refused),
        cmocka_unit_test(copy_of_the_data_device_from_after_the_start_is_taken),
        cmocka_unit_test(index_from_before_a_start_that_changed_nothing_is_taken),
        cmocka_unit_test(start_cut_between_the_superblocks_and_the_index_is_run_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
