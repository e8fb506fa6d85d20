/* SPDX-License-Identifier: Apache-2.0
 * Quorum of the superblock copies, over the simulated device.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/superblock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t offset_of(const struct scribe *scribe, unsigned copy)
{
    return bb_layout_super_offset(scribe->io->device_size, copy);
}

static void damage(struct scribe *scribe, unsigned copy)
{
    uint8_t byte = 0xa5;
    bb_sim_poke(scribe->sim, offset_of(scribe, copy) + 300, &byte, 1);
}

static void blank(struct scribe *scribe, unsigned copy)
{
    static const uint8_t zeros[BB_UNIT_SIZE];
    bb_sim_poke(scribe->sim, offset_of(scribe, copy), zeros, sizeof(zeros));
}

static void any_two_equal_copies_are_enough(void **state)
{
    (void)state;
    for (unsigned a = 1; a <= 4; a++) {
        for (unsigned b = a + 1; b <= 4; b++) {
            struct scribe *scribe = scribe_new(1, 0);
            struct bb_super_copies copies;
            for (unsigned copy = 1; copy <= 4; copy++)
                if (copy != a && copy != b)
                    damage(scribe, copy);
            assert_int_equal(bb_super_load(scribe->io, &copies), 0);
            assert_int_equal(copies.equal_count, 2);
            assert_int_equal(bb_super_heal(scribe->io, &copies), 0);
            assert_int_equal(bb_super_load(scribe->io, &copies), 0);
            assert_int_equal(copies.equal_count, 4);
            scribe_free(scribe);
        }
    }
}

static void lone_newer_copy_is_a_torn_update(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_super newer = scribe->super;
    newer.epoch = 9;
    bb_sim_cut_at(scribe->sim, 2); /* the second copy never comes */
    assert_int_not_equal(bb_super_write(scribe->io, &newer), 0);
    size_t second = 1;
    bb_sim_power_cut(scribe->sim, bb_sim_choose_all_but, &second);
    struct bb_super_copies copies;
    assert_int_equal(bb_super_load(scribe->io, &copies), 0);
    assert_int_equal(copies.super.epoch, 1);
    assert_int_equal(copies.equal_count, 3);
    assert_true(copies.differs[0] && copies.generation[0] > copies.generation[1]);
    scribe_free(scribe);
}

static void first_pair_of_an_update_counts(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_super newer = scribe->super;
    newer.epoch = 9;
    bb_sim_cut_at(scribe->sim, 4); /* 1, 2, flush, then nothing */
    assert_int_not_equal(bb_super_write(scribe->io, &newer), 0);
    bb_sim_power_cut(scribe->sim, bb_sim_choose_none, NULL);
    struct bb_super_copies copies;
    assert_int_equal(bb_super_load(scribe->io, &copies), 0);
    assert_int_equal(copies.super.epoch, 9);
    assert_true(copies.differs[2] && copies.differs[3]);
    scribe_free(scribe);
}

/* Updates cut anywhere, starts cut anywhere: the value never goes back behind what was durable. */
static void updates_and_starts_cut_anywhere_never_go_back(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, 5);
    for (unsigned round = 0; round < 300; round++) {
        struct scribe *scribe = scribe_new(round + 1, 0);
        struct bb_super super = scribe->super;
        uint64_t durable = super.epoch;
        for (unsigned step = 0; step < 6; step++) {
            struct bb_super_copies copies;
            assert_int_equal(bb_super_load(scribe->io, &copies), 0);
            assert_true(copies.super.epoch >= durable);
            durable = copies.super.epoch;
            bb_sim_cut_at(scribe->sim, 1 + bb_random_below(&random, 9));
            int error = bb_super_heal(scribe->io, &copies);
            super = copies.super;
            super.epoch++;
            if (error == 0)
                error = bb_super_write(scribe->io, &super);
            if (error == 0)
                durable = super.epoch;
            bb_sim_power_cut(scribe->sim, bb_sim_choose_random, &random);
        }
        scribe_free(scribe);
    }
}

static void cut_format_is_not_formatted(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_super_copies copies;
    struct bb_super super = scribe->super;
    super.generation = 0;
    for (size_t missing = 0; missing < 2; missing++) {
        assert_int_equal(bb_super_wipe(scribe->io), 0);
        assert_int_equal(bb_super_load(scribe->io, &copies), BB_ERR_NOT_FORMATTED);
        bb_sim_cut_at(scribe->sim, 3); /* at the flush of the first pair */
        struct bb_super fresh = super;
        assert_int_not_equal(bb_super_write(scribe->io, &fresh), 0);
        bb_sim_power_cut(scribe->sim, bb_sim_choose_all_but, &missing);
        assert_int_equal(bb_super_load(scribe->io, &copies), BB_ERR_NOT_FORMATTED);
    }
    scribe_free(scribe);
}

static void wiped_head_leaves_the_tail_copies(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_super_copies copies;
    blank(scribe, 1);
    blank(scribe, 2);
    assert_int_equal(bb_super_load(scribe->io, &copies), 0);
    damage(scribe, 3);
    struct bb_super newer = scribe->super;
    (void)newer;
    assert_int_equal(bb_super_load(scribe->io, &copies),
                     BB_ERR_NOT_FORMATTED); /* first generation */
    scribe_free(scribe);
}

static void no_two_equal_copies_of_a_used_store_are_damage(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_super_copies copies;
    assert_int_equal(bb_super_write(scribe->io, &scribe->super), 0);
    damage(scribe, 1);
    damage(scribe, 2);
    damage(scribe, 4);
    assert_int_equal(bb_super_load(scribe->io, &copies), BB_ERR_DAMAGED);
    damage(scribe, 3);
    assert_int_equal(bb_super_load(scribe->io, &copies), BB_ERR_DAMAGED);
    scribe_free(scribe);
}

/* The same bytes on a device of another size. */
static struct bb_sim *moved(const struct scribe *scribe, uint64_t size)
{
    struct bb_sim_config config = {.size = size, .in_order = true};
    struct bb_sim *other = bb_sim_open(&config);
    uint64_t bytes_size = bb_min_u64(scribe->io->device_size, size);
    uint8_t *bytes = malloc(bytes_size);
    bb_sim_peek(scribe->sim, 0, bytes, bytes_size);
    bb_sim_poke(other, 0, bytes, bytes_size);
    free(bytes);
    return other;
}

static void a_larger_device_is_fine_and_a_smaller_one_refused(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    uint64_t size = scribe->io->device_size;
    struct bb_super_copies copies;
    for (uint64_t more = BB_UNIT_SIZE; more <= 16 * BB_MIB; more *= 2) {
        struct bb_sim *larger = moved(scribe, size + more);
        assert_int_equal(bb_super_load(bb_sim_io(larger), &copies), 0);
        assert_int_equal(copies.super.layout.device_size, size);
        assert_int_equal(copies.equal_count, 4); /* the tail is where it was */
        assert_int_equal(bb_super_write(bb_sim_io(larger), &copies.super), 0);
        assert_int_equal(bb_super_load(bb_sim_io(larger), &copies), 0);
        assert_int_equal(copies.equal_count, 4);
        bb_sim_close(larger);
        struct bb_sim *smaller = moved(scribe, size - more);
        assert_int_equal(bb_super_load(bb_sim_io(smaller), &copies), BB_ERR_GEOMETRY);
        assert_int_equal(copies.super.layout.device_size, size);
        bb_sim_close(smaller);
    }
    scribe_free(scribe);
}

static struct bb_sim_fault fail_reads(void *context, const struct bb_io_request *request,
                                      uint64_t number)
{
    const uint64_t *offset = context;
    (void)number;
    if (request->op == BB_IO_READ && request->offset == *offset)
        return (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = -EIO, .applied = BB_SIM_NOT};
    return (struct bb_sim_fault){.kind = BB_SIM_PASS};
}

static void unreadable_copy_counts_as_missing(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_super_copies copies;
    uint64_t offset = offset_of(scribe, 2);
    bb_sim_set_fault(scribe->sim, fail_reads, &offset);
    assert_int_equal(bb_super_load(scribe->io, &copies), 0);
    assert_int_equal(copies.equal_count, 3);
    assert_int_equal(copies.error[1], -EIO);
    damage(scribe, 1);
    damage(scribe, 3);
    assert_int_equal(bb_super_load(scribe->io, &copies), -EIO);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_two_equal_copies_are_enough),
        cmocka_unit_test(lone_newer_copy_is_a_torn_update),
        cmocka_unit_test(first_pair_of_an_update_counts),
        cmocka_unit_test(updates_and_starts_cut_anywhere_never_go_back),
        cmocka_unit_test(cut_format_is_not_formatted),
        cmocka_unit_test(wiped_head_leaves_the_tail_copies),
        cmocka_unit_test(no_two_equal_copies_of_a_used_store_are_damage),
        cmocka_unit_test(a_larger_device_is_fine_and_a_smaller_one_refused),
        cmocka_unit_test(unreadable_copy_counts_as_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
