/* SPDX-License-Identifier: Apache-2.0
 * The online scrub: every kind of damage is found once, repaired or marked or reported, and nothing
 * is found where nothing is wrong, whatever goes on meanwhile.
 */
#include "bench.h"

#include "pace.h"

static const struct rig_config scrubbed = {
    .seed = 1, .size_fixed = 6000, .scrub = {.rate = 1u << 30, .share = 100}};

static struct bb_scrub_status scrub(void)
{
    struct bb_scrub_status status;
    bb_scrub_get_status(rig.store, &status);
    return status;
}

static uint64_t findings(void)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < BB_SCRUB_KIND_COUNT; i++)
        count += scrub().findings[i];
    return count;
}

static void let_it_run(uint64_t passes)
{
    unsigned still = 0;
    while (scrub().row.passes < passes) {
        still = rig_turn(&rig) ? 0 : still + 1;
        rig.now_ms += still > 3 ? 5 : 0;
        assert_true(still < 10000);
        assert_int_equal(rig.fatal, 0);
    }
}

/* One pass from the first page on. */
static void pass(void)
{
    let_it_run(scrub().running ? scrub().row.passes + 1 : scrub().row.passes);
    uint64_t before = scrub().row.passes;
    bb_scrub_start(rig.store);
    rig.woken = true;
    let_it_run(before + 1);
    assert_true(rig_idle(&rig, 100));
}

/* Ids 1 to 40 stored and folded. */
static void open_full(const struct rig_config *config)
{
    bench_open(config);
    for (uint32_t id = 1; id <= 40; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
    assert_true(rig_idle(&rig, 100));
}

static void assert_all_is_well(uint64_t blocks)
{
    uint64_t before = findings(), hashed = scrub().blocks;
    pass();
    assert_int_equal(findings(), before);
    assert_int_equal(scrub().blocks - hashed, blocks);
    assert_int_equal(scrub().row.pass_findings, 0);
    assert_int_equal(scrub().row.last_clean_s, scrub().row.last_ended_s);
    assert_int_equal(rig_check(&rig), 0);
    bench_verify_balance();
}

static void assert_found(enum bb_scrub_kind kind, enum bb_scrub_outcome outcome, uint64_t count)
{
    assert_int_equal(scrub().findings[kind], count);
    assert_int_equal(scrub().outcomes[outcome], count);
    assert_int_equal(findings(), count);
    assert_int_equal(rig.finding_count, count);
}

/* ---- damage ---- */

static uint64_t page_of(uint32_t id, uint32_t *ret_entry)
{
    assert_int_not_equal(rig.unit[id], 0);
    return bb_layout_page_of(&rig.recovered.super.layout, rig.unit[id], ret_entry);
}

static uint64_t slot_at(uint64_t page, unsigned slot)
{
    return bb_layout_slot_offset(&rig.recovered.super.layout, page, slot);
}

static void read_slot(uint64_t page, unsigned slot, struct bb_disk_page *ret_page)
{
    bb_sim_peek(rig.sim, slot_at(page, slot), ret_page, sizeof(*ret_page));
}

static unsigned newest_slot(uint64_t page, struct bb_page_header *ret_header)
{
    static struct bb_disk_page slot;
    struct bb_page_header header[2];
    for (unsigned i = 0; i < 2; i++) {
        read_slot(page, i, &slot);
        assert_int_equal(bb_page_check(&slot, &rig.recovered.super.store, page, &header[i]), 0);
    }
    unsigned newest = header[1].generation > header[0].generation;
    *ret_header = header[newest];
    return newest;
}

static void damage_slot(uint64_t page, unsigned slot)
{
    uint8_t byte;
    bb_sim_peek(rig.sim, slot_at(page, slot) + 2000, &byte, 1);
    byte ^= 1;
    bb_sim_poke(rig.sim, slot_at(page, slot) + 2000, &byte, 1);
}

/* Puts another entry, or none, into the newest slot of the page of `id`, properly sealed. */
static void forge(uint32_t id, const struct bb_entry *entry)
{
    static struct bb_disk_page page;
    struct bb_page_header header;
    uint32_t index;
    uint64_t number = page_of(id, &index);
    unsigned slot = newest_slot(number, &header);
    read_slot(number, slot, &page);
    if (entry != NULL)
        bb_entry_set(&page, index, entry);
    else
        bb_entry_clear(&page, index);
    bb_page_seal(&page, &rig.recovered.super.store, &header);
    bb_sim_poke(rig.sim, slot_at(number, slot), &page, sizeof(page));
}

static struct bb_entry entry_of(uint32_t id)
{
    return (struct bb_entry){.hash = rig.hashes[id], .size = rig.sizes[id]};
}

/* ---- tests ---- */

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
        memindex_wipe(rig.mem); /* the pages alone know everything */
        rig_drop(&rig);
        assert_int_equal(rig_rebuild(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_check(&rig), 0);
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

static struct bb_sim_fault late(void *unused, const struct bb_io_request *request, uint64_t number)
{
    (void)unused;
    (void)number;
    bool slow = request->class == BB_IO_DATA && request->op == BB_IO_READ;
    return (struct bb_sim_fault){.kind = slow ? BB_SIM_LATE : BB_SIM_PASS, .polls = 100};
}

/* Until the scrub reads a block, which takes long. */
static void start_and_meet_a_read(void)
{
    bb_sim_set_fault(rig.sim, late, NULL);
    bb_scrub_start(rig.store);
    rig.woken = true;
    for (unsigned i = 0; i < 10000 && rig.store->scrub.state != SCRUB_READ; i++) {
        if (!rig_turn(&rig))
            rig.now_ms += 5;
    }
    assert_int_equal(rig.store->scrub.state, SCRUB_READ);
    bb_sim_set_fault(rig.sim, NULL, NULL);
}

static void a_block_deleted_while_it_is_read_keeps_its_units(void **state)
{
    (void)state;
    open_full(&scrubbed);
    start_and_meet_a_read();
    uint64_t unit = rig.store->scrub.op.unit;
    uint32_t id = 1;
    while (rig.unit[id] != unit)
        id++;
    struct rig_op *delete = rig_submit(&rig, RIG_DELETE, id);
    assert_non_null(delete);
    for (unsigned i = 0; i < 200 && delete->busy; i++)
        (void)rig_turn(&rig);
    assert_false(delete->busy);
    assert_int_equal(rig.store->scrub.state, SCRUB_READ);
    assert_true(bb_buddy_is_used(rig.buddy, unit, 2));
    let_it_run(1);
    assert_int_equal(findings(), 0);
    assert_true(rig_idle(&rig, 0));
    assert_false(bb_buddy_is_used(rig.buddy, unit, 2));
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

/* Turns until another pass has ended, and jumps to where the engine wants its next turn. Number of
 * turns that it asked for by time. */
static uint64_t to_the_end_of_a_pass(void)
{
    uint64_t passes = scrub().row.passes, wakes = 0;
    unsigned still = 0;
    while (scrub().row.passes == passes) {
        still = rig_turn(&rig) ? 0 : still + 1;
        if (still > 2) {
            assert_true(rig.wake_ms != UINT64_MAX);
            rig.now_ms = bb_max_u64(rig.wake_ms, rig.now_ms);
            wakes++;
        }
    }
    return wakes;
}

/* Milliseconds that a pass over ids 1 to 40 takes at this pace. */
static uint64_t time_of_pass(uint32_t days, uint64_t rate, uint32_t share, uint64_t *ret_wakes)
{
    struct rig_config config = scrubbed;
    config.scrub = (struct bb_scrub_config){.days = days, .rate = rate, .share = share};
    open_full(&config);
    if (days != 0)
        (void)to_the_end_of_a_pass(); /* it began before the blocks came */
    else
        bb_scrub_start(rig.store);
    rig.woken = true;
    uint64_t began_ms = rig.now_ms;
    *ret_wakes = to_the_end_of_a_pass();
    uint64_t took_ms = rig.now_ms - began_ms;
    bench_close();
    return took_ms;
}

static void an_empty_store_lets_it_sleep(void **state)
{
    (void)state;
    struct rig_config config = scrubbed;
    config.scrub.days = 1;
    bench_open(&config);
    assert_int_equal(rig_status(&rig).open_zone_count, 0);
    (void)rig_turn(&rig); /* the first zone is not open yet: there is nothing to be read */
    assert_false(scrub().running);
    assert_true(rig_idle(&rig, 10000));
    assert_int_equal(rig_status(&rig).open_zone_count, 1);
    assert_int_equal(scrub().row.passes, 0);
    assert_true(scrub().running);
    assert_true(rig.wake_ms > rig.now_ms + 1000);
    bench_close();
}

/* 40 blocks of two units and the pages of one zone of 4 MiB. */
static void it_keeps_to_its_pace(void **state)
{
    (void)state;
    uint64_t wakes;
    uint64_t bytes = 40ull * 2 * BB_UNIT_SIZE;
    uint64_t at_rate = time_of_pass(0, 64u << 10, 100, &wakes);
    assert_in_range(at_rate, bytes * 1000 / (64 << 10), 12000);
    uint64_t hurried = time_of_pass(0, 8u << 20, 10, &wakes);
    assert_in_range(hurried, 30, 10000);
    uint64_t calm = time_of_pass(1, 8u << 20, 10, &wakes);
    assert_in_range(calm, 24ull * 3600 * 1000 / 2, 24ull * 3600 * 1000 * 3 / 2);
    assert_in_range(wakes, 40, 400); /* wakes for a whole day */
}

/* ---- beside everything else ---- */

static uint64_t rotten_ids(void)
{
    uint64_t count = 0;
    for (uint32_t id = 0; id < rig.config.id_count; id++)
        count += rig.allowed[id] == RIG_ROTTEN;
    return count;
}

static void one_random_step(struct bb_random *random)
{
    static const enum rig_kind kinds[] = {RIG_PUT,  RIG_PUT, RIG_PUT,    RIG_DELETE,
                                          RIG_HEAD, RIG_PUT, RIG_DELETE, RIG_ABORT};
    uint64_t dice = bb_random_below(random, 200);
    uint32_t id = (uint32_t)bb_random_below(random, rig.config.id_count);
    if (dice < 150)
        (void)rig_submit(&rig, kinds[bb_random_below(random, 8)], id);
    else if (dice < 153)
        bb_store_checkpoint(rig.store);
    else if (dice < 160)
        bb_scrub_start(rig.store);
    else if (dice == 160)
        bb_scrub_pause(rig.store);
    rig.woken |= dice >= 150;
    for (uint64_t turns = bb_random_below(random, 8); turns > 0; turns--) {
        (void)rig_turn(&rig);
        rig.now_ms += bb_random_below(random, 4) == 0;
    }
    if (bb_random_below(random, 600) == 0) {
        assert_true(rig_settle(&rig));
        rig_drop(&rig);
        if (bb_random_below(random, 2) == 0)
            bb_sim_power_cut(rig.sim, bb_sim_choose_random, random);
        else
            bb_sim_kill(rig.sim);
        memindex_forget_jobs(rig.mem);
        assert_int_equal(rig_start(&rig), 0);
    } else if (bb_random_below(random, 600) == 0) {
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig_start(&rig), 0);
    }
}

/* It rots, and is deleted and stored anew elsewhere while the scrub reads the rotten units. */
static void a_block_stored_anew_elsewhere_is_not_marked(void **state)
{
    (void)state;
    open_full(&scrubbed);
    start_and_meet_a_read();
    uint64_t unit = rig.store->scrub.op.unit;
    uint32_t id = 1;
    while (rig.unit[id] != unit)
        id++;
    static const uint8_t rot[64] = {1, 2, 3};
    bb_sim_poke(rig.sim, unit * BB_UNIT_SIZE, rot, sizeof(rot));
    static struct call calls[2];
    call_delete(&calls[0], id);
    for (unsigned i = 0; i < 100 && !calls[0].done; i++)
        (void)rig_turn(&rig);
    call_put(&calls[1], id, rig.ops[0].buf);
    for (unsigned i = 0; i < 100 && !calls[1].done; i++)
        (void)rig_turn(&rig);
    assert_true(calls[1].done);
    assert_int_equal(rig.store->scrub.op.unit, unit);
    assert_int_not_equal(rig.store->scrub.state, SCRUB_REST);
    let_it_run(1);
    assert_int_equal(findings(), 0);
    rig.unit[id] = 0;
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

static void nothing_is_found_where_nothing_is_wrong(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    uint64_t passes = 0, compared = 0;
    for (unsigned round = 0; round < (pace_is_quick() ? 2u : 8u); round++) {
        struct rig_config config = {.seed = bb_random_next(&random),
                                    .id_count = 300,
                                    .size_max = 9000,
                                    .memory = (size_t)1 << 20,
                                    .port_count = 2,
                                    .fault_percent = round % 2 == 0 ? 0 : 30,
                                    .slice_max = 16,
                                    .scrub = {.rate = 1u << 30, .share = 100, .days = 1}};
        bench_open(&config);
        for (unsigned step = 0; step < 4000; step++) {
            one_random_step(&random);
            assert_int_equal(rig.fatal, 0);
            assert_int_equal(rig.finding_count, 0);
        }
        assert_true(rig_settle(&rig));
        bb_scrub_start(rig.store);
        rig.woken = true;
        passes += scrub().row.passes;
        compared += (scrub().row.flags & BB_SCRUB_SET) != 0;
        pass();
        assert_int_equal(rig.finding_count, 0);
        assert_int_equal(rotten_ids(), 0);
        assert_int_equal(rig_check(&rig), 0);
        bench_verify_balance();
        bench_close();
    }
    print_message("%llu passes, the set was kept in %llu\n", (unsigned long long)passes,
                  (unsigned long long)compared);
    assert_true(passes > 0);
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
    memindex_wipe(rig.mem);
    rig_drop(&rig);
    assert_int_equal(rig_rebuild(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_check(&rig), 0);
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

/* Whatever the scrub and a checkpoint are just doing: nothing forgets to save where it stands. */
static void a_stop_at_any_moment_ends(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 150; turns++) {
        struct rig_config config = scrubbed;
        config.scrub.rate = turns % 2 == 0 ? config.scrub.rate : 4096;
        open_full(&config);
        bb_scrub_start(rig.store);
        rig.woken = true;
        for (uint32_t id = 41; id < 45; id++)
            (void)rig_submit(&rig, RIG_PUT, id);
        if (turns % 3 == 0)
            bb_store_checkpoint(rig.store);
        bench_turns(turns);
        assert_true(rig_settle(&rig));
        bb_scrub_pause(rig.store);
        bb_store_stop(rig.store);
        rig.woken = true;
        rig.index_paused = true; /* the row's save is on its way when the last checkpoint folds */
        bench_turns(turns % 50);
        rig.index_paused = false;
        assert_int_equal(rig_stop(&rig), 0); /* asserts that it ends */
        bench_close();
    }
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
        cmocka_unit_test(an_entry_in_free_space_is_dropped),
        cmocka_unit_test(an_entry_that_the_index_lost_is_left),
        cmocka_unit_test(a_block_deleted_while_it_is_read_keeps_its_units),
        cmocka_unit_test(a_block_stored_anew_elsewhere_is_not_marked),
        cmocka_unit_test(an_empty_store_lets_it_sleep),
        cmocka_unit_test(it_keeps_to_its_pace),
        cmocka_unit_test(a_stop_at_any_moment_ends),
        cmocka_unit_test(nothing_is_found_where_nothing_is_wrong),
        cmocka_unit_test(a_missing_entry_shows_in_the_set_and_is_put_back),
        cmocka_unit_test(a_block_that_nothing_names_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
