/* SPDX-License-Identifier: Apache-2.0
 * The online scrub: every kind of damage is found once, repaired or marked or reported.
 */
#include "scrubs.h"

#include "pace.h"

static void a_sound_store_has_no_findings(void **state)
{
    (void)state;
    open_full(&scrubbed);
    assert_all_is_well(40);
    assert_int_equal(scrub().bytes, 40 * 6000);
    assert_int_equal(scrub().row.passes, 1);
    assert_int_equal(scrub().looks_again, 0);
    for (uint32_t id = 1; id <= 40; id += 2)
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
    assert_all_is_well(20);
    bench_close();
}

static void bit_rot_is_marked(void **state)
{
    (void)state;
    open_full(&scrubbed);
    uint64_t unit = rig.unit[7];
    assert_true(rig_rot(&rig, 7));
    pass();
    assert_found(BB_SCRUB_DATA, BB_SCRUB_MARKED, 1);
    assert_int_equal(rig.finding.unit, unit);
    assert_true(bb_hash_equal(&rig.finding.hash, &rig.hashes[7]));
    rig.allowed[7] = RIG_MARKED;
    assert_int_equal(rig_do(&rig, RIG_GET, 7), BB_ERR_CORRUPT);
    assert_int_equal(scrub().row.last_clean_s, 0);
    assert_all_is_well(39); /* what is marked is known */
    assert_int_equal(rig_do(&rig, RIG_PUT, 7), 0);
    assert_true(rig_checkpoint(&rig)); /* no page names it before */
    assert_all_is_well(40);
    bench_close();
}

static void an_unreadable_block_is_marked(void **state)
{
    (void)state;
    open_full(&scrubbed);
    struct plan plan = plan_fail(BB_IO_DATA, BB_IO_READ, -EIO);
    plan.forever = true;
    plan.countdown = 5;
    bench_plan(&plan);
    pass();
    bench_plan(NULL);
    assert_int_equal(scrub().findings[BB_SCRUB_READ], 36);
    assert_int_equal(scrub().outcomes[BB_SCRUB_MARKED], 36);
    for (uint32_t id = 1; id <= 40; id++)
        rig.allowed[id] = RIG_PRESENT | RIG_MARKED;
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void what_a_second_look_does_not_see_is_no_finding(void **state)
{
    (void)state;
    open_full(&scrubbed);
    struct plan data = plan_fail(BB_IO_DATA, BB_IO_READ, -EIO);
    bench_plan(&data);
    pass();
    assert_int_equal(data.hits, 1);
    assert_int_equal(scrub().looks_again, 1);
    struct plan page = plan_fail(BB_IO_DESCRIPTOR, BB_IO_READ, -EIO);
    bench_plan(&page);
    pass();
    assert_int_equal(page.hits, 1);
    assert_int_equal(scrub().looks_again, 2);
    bench_plan(NULL);
    assert_int_equal(findings(), 0);
    assert_all_is_well(40);
    bench_close();
}

static void a_damaged_slot_is_written_anew(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 3; which++) { /* older, newest, both */
        open_full(&scrubbed);
        assert_int_equal(rig_do(&rig, RIG_DELETE, 3), 0);
        assert_true(rig_checkpoint(&rig)); /* the older slot still names it */
        uint32_t index;
        struct bb_page_header header;
        uint64_t page = page_of(9, &index);
        unsigned newest = newest_slot(page, &header);
        if (which != 0)
            damage_slot(page, newest);
        if (which != 1)
            damage_slot(page, 1 - newest);
        pass();
        assert_found(BB_SCRUB_SLOT, BB_SCRUB_REPAIRED, which == 2 ? 2 : 1);
        assert_int_equal(rig.finding.page, page);
        uint64_t before = header.generation;
        (void)newest_slot(page, &header); /* both are good */
        assert_true(header.generation > before || which == 1);
        assert_all_is_well(39);
        assert_int_equal(rig_do(&rig, RIG_PUT, 3), 0); /* the page can be written again */
        assert_true(rig_checkpoint(&rig));
        rebuild_from_pages();
        bench_close();
    }
}

/* One slot of the page is bad; wherever the power goes while it is written anew, the pages alone
 * still know everything. */
static void a_mend_cut_anywhere_loses_nothing(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    bool dead = true;
    for (uint64_t n = 1; dead; n++) {
        open_full(&scrubbed);
        uint32_t index;
        struct bb_page_header header;
        uint64_t page = page_of(9, &index);
        damage_slot(page, 1 - newest_slot(page, &header));
        bb_sim_cut_at(rig.sim, n);
        bb_scrub_start(rig.store);
        rig.woken = true;
        for (unsigned i = 0; i < 300 && !bb_sim_is_dead(rig.sim) && scrub().row.passes == 0; i++) {
            if (!rig_turn(&rig))
                rig.now_ms += 5;
        }
        dead = bb_sim_is_dead(rig.sim);
        rig_drop(&rig);
        memindex_forget_jobs(rig.mem);
        bb_sim_power_cut(rig.sim, bb_sim_choose_random, &random);
        memindex_wipe(rig.mem);
        assert_int_equal(rig_rebuild(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_check(&rig), 0);
        bench_close();
    }
}

static void a_wrong_entry_is_put_right(void **state)
{
    (void)state;
    struct bb_entry wrong[4];
    for (unsigned i = 0; i < 4; i++) {
        open_full(&scrubbed);
        for (unsigned j = 0; j < 4; j++)
            wrong[j] = entry_of(9);
        wrong[0].hash.bytes[5] ^= 1; /* a name that does not exist */
        wrong[1].size--;
        wrong[2].corrupt = true;
        wrong[3] = entry_of(10); /* the name of another block */
        forge(9, &wrong[i]);
        pass();
        assert_found(BB_SCRUB_ENTRY, BB_SCRUB_REPAIRED, 1);
        assert_int_equal(rig.finding.unit, rig.unit[9]);
        assert_all_is_well(40);
        bench_close();
    }
}

/* The index still names a block whose units are free already: no reason to distrust the index. */
static void a_block_deleted_since_the_fold_is_no_obstacle(void **state)
{
    (void)state;
    uint32_t index;
    open_full(&scrubbed);
    assert_int_equal(page_of(9, &index), page_of(10, &index));
    struct bb_entry wrong = entry_of(9);
    wrong.hash.bytes[5] ^= 1;
    assert_int_equal(rig_do(&rig, RIG_DELETE, 10), 0);
    forge(9, &wrong);
    pass();
    assert_found(BB_SCRUB_ENTRY, BB_SCRUB_REPAIRED, 1);
    assert_true(rig_checkpoint(&rig));
    assert_all_is_well(39);
    bench_close();
}

static void an_entry_in_free_space_is_dropped(void **state)
{
    (void)state;
    open_full(&scrubbed);
    struct bb_entry gone = entry_of(9);
    uint64_t unit = rig.unit[9];
    assert_int_equal(rig_do(&rig, RIG_DELETE, 9), 0);
    assert_true(rig_checkpoint(&rig));
    rig.unit[9] = unit;
    forge(9, &gone);
    rig.unit[9] = 0;
    pass();
    assert_found(BB_SCRUB_ENTRY, BB_SCRUB_REPAIRED, 1);
    assert_int_equal(rig.finding.unit, unit);
    assert_all_is_well(39);
    bench_close();
}

static void an_entry_that_the_index_lost_is_left(void **state)
{
    (void)state;
    open_full(&scrubbed);
    struct bb_change lost = {.hash = rig.hashes[9]};
    uint32_t index;
    uint64_t page = page_of(9, &index);
    memindex_tamper(rig.mem, &lost);
    pass();
    assert_found(BB_SCRUB_ENTRY, BB_SCRUB_LEFT, 1);
    static struct bb_disk_page slot;
    struct bb_page_header header;
    struct bb_entry entry;
    read_slot(page, newest_slot(page, &header), &slot);
    assert_int_equal(bb_entry_get(&slot, index, &entry), 1); /* for a rebuild */
    assert_true(bb_hash_equal(&entry.hash, &rig.hashes[9]));
    rig.allowed[9] = RIG_ABSENT | RIG_PRESENT;
    memindex_wipe(rig.mem);
    rig_drop(&rig);
    assert_int_equal(rig_rebuild(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_do(&rig, RIG_GET, 9), 0);
    assert_all_is_well(40);
    bench_close();
}

static void a_missing_entry_shows_in_the_set_and_is_put_back(void **state)
{
    (void)state;
    open_full(&scrubbed);
    forge(9, NULL);
    pass();
    assert_found(BB_SCRUB_ENTRY, BB_SCRUB_REPAIRED, 1);
    assert_true(bb_hash_equal(&rig.finding.hash, &rig.hashes[9]));
    assert_all_is_well(40);
    rebuild_from_pages();
    bench_close();
}

static void a_block_that_nothing_names_is_told(void **state)
{
    (void)state;
    open_full(&scrubbed);
    struct bb_change lost = {.hash = rig.hashes[9]};
    forge(9, NULL);
    memindex_tamper(rig.mem, &lost);
    pass();
    assert_found(BB_SCRUB_SET_DIFFERS, BB_SCRUB_LEFT, 1);
    rig.allowed[9] = RIG_ABSENT;
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_has_no_findings),
        cmocka_unit_test(bit_rot_is_marked),
        cmocka_unit_test(an_unreadable_block_is_marked),
        cmocka_unit_test(what_a_second_look_does_not_see_is_no_finding),
        cmocka_unit_test(a_damaged_slot_is_written_anew),
        cmocka_unit_test(a_mend_cut_anywhere_loses_nothing),
        cmocka_unit_test(a_wrong_entry_is_put_right),
        cmocka_unit_test(a_block_deleted_since_the_fold_is_no_obstacle),
        cmocka_unit_test(an_entry_in_free_space_is_dropped),
        cmocka_unit_test(an_entry_that_the_index_lost_is_left),
        cmocka_unit_test(a_missing_entry_shows_in_the_set_and_is_put_back),
        cmocka_unit_test(a_block_that_nothing_names_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
