/* SPDX-License-Identifier: Apache-2.0
 * Growing a store (grow.h) over the simulated device: several times in a row, what is refused, and
 * what is left behind. test_growcut.c cuts it.
 */
#include "growths.h"
#include "pace.h"

/* ---- several growths ---- */

static uint32_t grow_and_fill(struct rig *rig, uint64_t size, uint32_t end)
{
    struct bb_grow_report report;
    struct bb_layout before = layout_of(rig->sim);
    enlarge(rig, size, true);
    start(rig); /* nobody has grown it yet */
    assert_int_equal(rig_check(rig), 0);
    stop(rig);
    if (grow(rig, false, &report) != 0)
        fail_msg("grow: %s", rig->explain.text);
    struct bb_layout after = layout_of(rig->sim);
    assert_int_equal(report.grown, after.device_size != before.device_size);
    uint64_t more = bb_layout_units(&after, after.zone_count);
    assert_true(report.grown == (more > bb_layout_units(&before, before.zone_count)));
    assert_clean(rig);
    start(rig);
    assert_int_equal(rig_check(rig), 0);
    uint32_t now = fill_up(rig, end, rig->config.id_count);
    assert_true(rig_status(rig).total_units == more);
    assert_true(!report.grown || now > end);
    assert_int_equal(rig_check(rig), 0);
    stop(rig);
    assert_clean(rig);
    return now;
}

static void many_growths_in_a_row_lose_nothing_and_use_everything(void **state)
{
    (void)state;
    static struct rig rig;
    static const uint64_t steps[] = {BB_UNIT_SIZE, BB_MIB - BB_UNIT_SIZE,
                                     3 * BB_MIB,   5 * BB_MIB + 512 * 9,
                                     4 * BB_MIB,   7 * BB_MIB + BB_UNIT_SIZE,
                                     8 * BB_MIB,   2 * BB_MIB,
                                     20 * BB_MIB,  BB_MIB / 2,
                                     4 * BB_MIB,   33 * BB_MIB + 17 * BB_UNIT_SIZE};
    struct rig_config config = {.seed = 3,
                                .device_size = 31 * BB_MIB,
                                .zone_size = 8 * BB_MIB,
                                .id_count = 4000,
                                .size_max = BB_BLOCK_SIZE_MAX,
                                .in_order = true};
    rig_open(&rig, &config);
    start(&rig);
    uint32_t end = fill_up(&rig, 0, config.id_count);
    stop(&rig);
    uint64_t size = config.device_size;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        size += bb_align_up(steps[i], BB_UNIT_SIZE);
        end = grow_and_fill(&rig, size, end);
    }
    end = grow_and_fill(&rig, (pace_is_quick() ? 3 : 10) * size, end);
    struct bb_layout layout = layout_of(rig.sim);
    print_message("%llu MiB, %u zones, %u of them short, %u blocks\n",
                  (unsigned long long)(layout.device_size / BB_MIB), layout.zone_count,
                  layout.short_count, end);
    assert_true(layout.short_count >= 4);
    memindex_wipe(rig.mem);
    assert_int_equal(rig_rebuild(&rig), 0);
    start(&rig);
    assert_int_equal(rig_check(&rig), 0);
    rig_close(&rig);
}

/* ---- refusals ---- */

static void a_store_that_was_not_stopped_is_refused(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    struct bb_hash before, after;
    open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
    start(&rig);
    assert_int_equal(rig_do(&rig, RIG_PUT, 50), 0);
    rig_drop(&rig);
    bb_sim_power_cut(rig.sim, bb_sim_choose_all, NULL);
    enlarge(&rig, 60 * BB_MIB, false);
    bb_sim_digest(rig.sim, &before);
    assert_int_equal(grow(&rig, false, &report), BB_ERR_REFUSED);
    assert_non_null(strstr(rig.explain.text, "not stopped cleanly"));
    bb_sim_digest(rig.sim, &after);
    assert_true(bb_hash_equal(&before, &after));
    close_store(&rig);
}

static void a_damaged_store_is_refused(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    uint8_t byte = 0xa5;
    open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
    struct bb_layout layout = layout_of(rig.sim);
    bb_sim_poke(rig.sim, bb_layout_slot_offset(&layout, 0, 0) + 100, &byte, 1);
    enlarge(&rig, 60 * BB_MIB, false);
    assert_int_equal(grow(&rig, false, &report), BB_ERR_REFUSED);
    assert_non_null(strstr(rig.explain.text, "--repair"));
    close_store(&rig);
}

static void a_smaller_device_is_refused(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
    enlarge(&rig, 33 * BB_MIB - BB_UNIT_SIZE, false);
    assert_int_equal(grow(&rig, false, &report), BB_ERR_GEOMETRY);
    assert_int_equal(rig_start(&rig), BB_ERR_GEOMETRY);
    close_store(&rig);
}

static void a_damaged_superblock_copy_is_healed_on_the_way(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    for (unsigned copy_number = 1; copy_number <= BB_SUPER_COPY_COUNT; copy_number++) {
        uint8_t byte = 0xa5;
        open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
        bb_sim_poke(rig.sim, bb_layout_super_offset(33 * BB_MIB, copy_number) + 900, &byte, 1);
        enlarge(&rig, 60 * BB_MIB, false);
        assert_int_equal(grow(&rig, false, &report), 0);
        assert_true(report.grown);
        assert_int_equal(report.healed, 1);
        assert_clean(&rig);
        assert_int_equal(layout_of(rig.sim).device_size, 60 * BB_MIB);
        close_store(&rig);
    }
}

/* ---- what is left behind ---- */

static void the_old_tail_is_no_superblock_any_more(void **state)
{
    (void)state;
    static struct rig rig;
    static const uint64_t more[] = {4 * BB_MIB, 5 * BB_MIB, 7 * BB_MIB, 20 * BB_MIB};
    struct bb_grow_report report;
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        uint64_t size = 33 * BB_MIB;
        open_store(&rig, size, 4 * BB_MIB, false);
        enlarge(&rig, size + more[i], true);
        assert_int_equal(grow(&rig, false, &report), 0);
        for (unsigned number = 3; number <= BB_SUPER_COPY_COUNT; number++) {
            struct bb_disk_super disk;
            struct bb_super super;
            uint64_t offset = bb_layout_super_offset(size, number);
            bb_sim_peek(rig.sim, offset, &disk, sizeof(disk));
            if (offset != bb_layout_super_offset(size + more[i], 3))
                assert_true(bb_is_zero(&disk, sizeof(disk)));
            assert_int_not_equal(bb_super_decode(&disk, offset, number, &super), 0);
        }
        /* and the new tail is zero but for its copies */
        static uint8_t tail[BB_TAIL_SIZE];
        bb_sim_peek(rig.sim, size + more[i] - BB_TAIL_SIZE, tail, sizeof(tail));
        memset(tail + BB_MIB, 0, BB_UNIT_SIZE);
        memset(tail + 5 * BB_MIB, 0, BB_UNIT_SIZE);
        assert_true(bb_is_zero(tail, sizeof(tail)));
        close_store(&rig);
    }
}

/* Every superblock that was being written is left with neither content. */
static void spoil_supers(const struct bb_sim *at_cut, struct bb_sim *image)
{
    for (size_t i = 0; i < bb_sim_undurable_count(at_cut); i++) {
        struct bb_sim_write write = bb_sim_undurable(at_cut, i);
        uint8_t byte = 0xa5;
        if (write.class == BB_IO_SUPER)
            bb_sim_poke(image, write.offset + 300, &byte, 1);
    }
}

/* As long as nobody has grown it, only the head says where the tail is. */
static void on_a_larger_device_one_head_copy_can_always_be_read(void **state)
{
    (void)state;
    static struct rig rig;
    uint64_t spoilt = 0;
    open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
    enlarge(&rig, 60 * BB_MIB, false);
    for (uint64_t n = 1;; n++) {
        copy_is(&rig, rig.sim);
        bb_sim_cut_at(copy.sim, n);
        int error = rig_start(&copy);
        for (uint32_t id = 40; error == 0 && id < 60; id++) /* until a zone is opened */
            (void)rig_submit(&copy, RIG_PUT, id);
        if (error == 0)
            error = rig_stop(&copy);
        rig_drop(&copy);
        if (error == 0)
            break;
        struct bb_sim *image = bb_sim_clone(copy.sim);
        bb_sim_power_cut(image, bb_sim_choose_none, NULL);
        spoil_supers(copy.sim, image);
        struct bb_super_copies copies;
        assert_int_equal(bb_super_load(bb_sim_io(image), &copies), 0);
        spoilt += copies.equal_count < BB_SUPER_COPY_COUNT;
        /* a start that heals them is cut as well */
        for (uint64_t k = 1; k <= 8 && copies.equal_count < BB_SUPER_COPY_COUNT; k++) {
            struct bb_sim *again = bb_sim_clone(image), *cut_again;
            struct bb_super_copies healing = copies;
            bb_sim_cut_at(again, k);
            int error_again = bb_super_heal(bb_sim_io(again), &healing);
            assert_true(error_again == 0 || error_again == BB_ERR_CANCELLED);
            cut_again = bb_sim_clone(again);
            bb_sim_power_cut(cut_again, bb_sim_choose_none, NULL);
            spoil_supers(again, cut_again);
            (void)layout_of(cut_again);
            bb_sim_close(cut_again);
            bb_sim_close(again);
        }
        bb_sim_close(image);
    }
    assert_true(spoilt > 10);
    close_store(&rig);
}

/* Somebody puts the device's image from before back, without the end: what stands there is newer,
 * and not this store's. */
static void an_image_from_before_does_not_see_the_new_tail(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    uint64_t size = 33 * BB_MIB;
    open_store(&rig, size, 4 * BB_MIB, false);
    copy_is(&rig, rig.sim);
    struct bb_sim *before = bb_sim_clone(rig.sim);
    enlarge(&rig, 60 * BB_MIB, false);
    assert_int_equal(grow(&rig, false, &report), 0);
    start(&rig);
    stop(&rig);
    static uint8_t bytes[33 << 20];
    bb_sim_peek(before, 0, bytes, size);
    bb_sim_poke(rig.sim, 0, bytes, size);
    bb_sim_close(before);
    assert_int_equal(layout_of(rig.sim).device_size, size);
    replace(&rig, bb_sim_clone(rig.sim), memindex_clone(copy.mem));
    start(&rig);
    assert_int_equal(rig_check(&rig), 0);
    stop(&rig);
    assert_int_equal(grow(&rig, false, &report), 0);
    assert_clean(&rig);
    close_store(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_growths_in_a_row_lose_nothing_and_use_everything),
        cmocka_unit_test(a_store_that_was_not_stopped_is_refused),
        cmocka_unit_test(a_damaged_store_is_refused),
        cmocka_unit_test(a_smaller_device_is_refused),
        cmocka_unit_test(a_damaged_superblock_copy_is_healed_on_the_way),
        cmocka_unit_test(the_old_tail_is_no_superblock_any_more),
        cmocka_unit_test(on_a_larger_device_one_head_copy_can_always_be_read),
        cmocka_unit_test(an_image_from_before_does_not_see_the_new_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
