/* SPDX-License-Identifier: Apache-2.0
 * Recovery at its bounds: memory that holds less than it must judge, more lost than a report names,
 * devices too small for anything.
 */
#include "starts.h"

#include "bb/recovery.h"
#include "bb/superblock.h"

#include <errno.h>

static void errors_of_the_medium_are_told_from_those_of_the_device(void **state)
{
    static const int medium[] = {-EIO, -EILSEQ, -ENODATA, -EREMOTEIO, BB_ERR_IO, BB_ERR_SHORT_IO};
    static const int others[] = {0, -ENXIO, -ENODEV, -ETIMEDOUT, -ENOSPC, BB_ERR_CANCELLED};
    (void)state;
    for (unsigned i = 0; i < sizeof(medium) / sizeof(medium[0]); i++) {
        assert_true(bb_scan_is_medium_error(medium[i]));
        assert_false(bb_scan_is_medium_error(others[i]));
    }
}

/* A ring with `count` blocks above D, none of which has its data. */
static struct scribe *never_written(unsigned count)
{
    struct scribe *scribe = scribe_new(1, 2);
    uint64_t unit = bb_layout_unit_of(&scribe->super.layout, 0, 0);
    for (unsigned i = 0; i < count; i++) {
        struct bb_item item = {.op = BB_ITEM_PUT, .size = 100, .unit = unit + i};
        bb_hash_of(&i, sizeof(i), &item.hash);
        scribe_raw(scribe, &item);
    }
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    return scribe;
}

struct opened {
    struct bb_recover_config config;
    struct bb_index index;
    struct bb_explain explain;
    struct bb_recovery recovery;
    void *scratch;
};

/* Everything up to the verdicts. */
static void scan(struct scribe *scribe, struct opened *opened)
{
    opened->scratch = aligned_alloc(BB_UNIT_SIZE, BB_RECOVER_SCRATCH_MIN);
    opened->index = memindex_index(scribe->mem);
    opened->config = (struct bb_recover_config){.io = scribe->io,
                                                .index = &opened->index,
                                                .scratch = opened->scratch,
                                                .scratch_size = BB_RECOVER_SCRATCH_MIN};
    struct bb_recovery *recovery = &opened->recovery;
    assert_int_equal(bb_recovery_open(recovery, &opened->config, &opened->explain), 0);
    assert_int_equal(bb_recovery_super(recovery), 0);
    assert_int_equal(bb_recovery_survey(recovery), 0);
    assert_int_equal(bb_recovery_scan(recovery, &scribe->anchor), 0);
}

static void more_drops_than_memory_holds_are_refused(void **state)
{
    (void)state;
    struct scribe *scribe = never_written(40);
    struct opened opened;
    scan(scribe, &opened);
    opened.recovery.verdicts.capacity = 39;
    assert_int_equal(bb_recovery_judge(&opened.recovery), BB_ERR_MEMORY);
    assert_non_null(strstr(opened.explain.text, "memory"));
    free(opened.scratch);
    scribe_free(scribe);
}

static void more_drops_than_a_report_names_are_counted(void **state)
{
    (void)state;
    struct scribe *scribe = never_written(40);
    struct opened opened;
    scan(scribe, &opened);
    assert_int_equal(bb_recovery_judge(&opened.recovery), 0);
    assert_int_equal(opened.recovery.report.dropped, 40);
    assert_int_equal(opened.recovery.expected.count, 0);
    free(opened.scratch);
    scribe_free(scribe);
}

static void items_of_one_name_that_exceed_the_memory_are_refused(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 2);
    uint64_t unit = bb_layout_unit_of(&scribe->super.layout, 0, 0);
    for (unsigned i = 0; i < 20; i++) {
        struct bb_item item = {
            .op = i % 2 == 0 ? BB_ITEM_PUT : BB_ITEM_DELETE, .size = 100, .unit = unit};
        bb_hash_of(&unit, sizeof(unit), &item.hash);
        scribe_raw(scribe, &item);
    }
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    struct opened opened;
    scan(scribe, &opened);
    opened.recovery.mentions.capacity = 10;
    assert_int_equal(bb_recovery_judge(&opened.recovery), BB_ERR_MEMORY);
    assert_non_null(strstr(opened.explain.text, "memory"));
    free(opened.scratch);
    scribe_free(scribe);
}

static void a_device_that_is_too_small_for_superblocks_has_none(void **state)
{
    (void)state;
    struct bb_sim_config config = {.size = BB_MIB, .seed = 1};
    struct bb_sim *sim = bb_sim_open(&config);
    struct bb_super_copies copies;
    assert_int_equal(bb_super_load(bb_sim_io(sim), &copies), BB_ERR_NOT_FORMATTED);
    assert_int_equal(bb_super_choose_newest(bb_sim_io(sim), &copies), BB_ERR_DAMAGED);
    bb_sim_close(sim);
}

static void another_sector_size_than_at_format_is_refused(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 2);
    struct bb_super_copies copies;
    scribe->io->logical_sector = 4096;
    assert_int_equal(bb_super_load(scribe->io, &copies), BB_ERR_GEOMETRY);
    assert_int_equal(bb_super_choose_newest(scribe->io, &copies), BB_ERR_GEOMETRY);
    scribe->io->logical_sector = 512;
    assert_int_equal(bb_super_load(scribe->io, &copies), 0);
    scribe_free(scribe);
}

static struct bb_sim_fault fail_writes(void *context, const struct bb_io_request *request,
                                       uint64_t number)
{
    (void)context;
    (void)number;
    return (struct bb_sim_fault){.kind = request->op == BB_IO_WRITE ? BB_SIM_FAIL : BB_SIM_PASS,
                                 .error = -EIO};
}

static void superblocks_that_cannot_be_wiped_are_an_error(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 2);
    struct bb_super_copies copies;
    bb_sim_set_fault(scribe->sim, fail_writes, NULL);
    assert_int_equal(bb_super_wipe(scribe->io), -EIO);
    bb_sim_set_fault(scribe->sim, NULL, NULL);
    assert_int_equal(bb_super_load(scribe->io, &copies), 0);
    assert_int_equal(bb_super_wipe(scribe->io), 0);
    assert_int_equal(bb_super_load(scribe->io, &copies), BB_ERR_NOT_FORMATTED);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_the_medium_are_told_from_those_of_the_device),
        cmocka_unit_test(more_drops_than_memory_holds_are_refused),
        cmocka_unit_test(more_drops_than_a_report_names_are_counted),
        cmocka_unit_test(items_of_one_name_that_exceed_the_memory_are_refused),
        cmocka_unit_test(a_device_that_is_too_small_for_superblocks_has_none),
        cmocka_unit_test(another_sector_size_than_at_format_is_refused),
        cmocka_unit_test(superblocks_that_cannot_be_wiped_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
