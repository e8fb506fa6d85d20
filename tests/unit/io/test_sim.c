/* SPDX-License-Identifier: Apache-2.0
 * The simulated device: what a flush covers, what a cut may leave, death, clones.
 */
#include "jobs.h"

static void cut_none(struct bb_sim *sim)
{
    bb_sim_power_cut(sim, bb_sim_choose_none, NULL);
}

static void completed_write_is_visible_but_not_durable(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    write_now(sim, 5, 1, 0xaa);
    assert_int_equal(first_byte(sim, 5 * UNIT), 0xaa);
    assert_int_equal(bb_sim_undurable_count(sim), 1);
    cut_none(sim);
    assert_int_equal(first_byte(sim, 5 * UNIT), 0);
    bb_sim_close(sim);
}

static void flush_submitted_after_completion_makes_durable(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    write_now(sim, 5, 2, 0xaa);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
    assert_int_equal(bb_sim_undurable_count(sim), 0);
    cut_none(sim);
    assert_int_equal(first_byte(sim, 6 * UNIT + 4095), 0xaa);
    bb_sim_close(sim);
}

static void flush_submitted_before_completion_covers_nothing(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    struct job write, flush;
    job_init(&write);
    job_init(&flush);
    start_write(sim, &write, 5, 1, 0xaa);
    start_flush(sim, &flush);
    assert_true(drain(sim) >= 0);
    assert_true(write.done && flush.done);
    assert_int_equal(bb_sim_undurable_count(sim), 1);
    cut_none(sim);
    assert_int_equal(first_byte(sim, 5 * UNIT), 0);
    job_fini(&write);
    job_fini(&flush);
    bb_sim_close(sim);
}

static struct bb_sim_fault late_flush(void *polls, const struct bb_io_request *request,
                                      uint64_t number)
{
    (void)number;
    if (request->op != BB_IO_FLUSH)
        return (struct bb_sim_fault){0};
    return (struct bb_sim_fault){.kind = BB_SIM_LATE, .polls = *(uint32_t *)polls};
}

static void write_completed_during_a_flush_is_not_covered_by_it(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    struct job flush;
    uint32_t polls = 3;
    job_init(&flush);
    write_now(sim, 5, 1, 0xaa);
    bb_sim_set_fault(sim, late_flush, &polls);
    start_flush(sim, &flush);
    struct job write;
    job_init(&write);
    start_write(sim, &write, 6, 1, 0xbb);
    assert_int_equal(bb_io_poll(bb_sim_io(sim), false), 1);
    assert_true(write.done && !flush.done);
    assert_int_equal(bb_io_poll(bb_sim_io(sim), false), 0);
    assert_int_equal(bb_io_poll(bb_sim_io(sim), true), 1);
    assert_true(flush.done);
    assert_int_equal(bb_sim_undurable_count(sim), 1);
    cut_none(sim);
    assert_int_equal(first_byte(sim, 5 * UNIT), 0xaa);
    assert_int_equal(first_byte(sim, 6 * UNIT), 0);
    job_fini(&write);
    job_fini(&flush);
    bb_sim_close(sim);
}

static void cut_leaves_any_version_of_an_overwritten_unit(void **state)
{
    (void)state;
    bool seen[4] = {false};
    for (uint64_t code = 0; code < 5 * 5; code++) {
        struct bb_sim *sim = open_sim(true, 1);
        write_now(sim, 5, 1, 1);
        assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
        write_now(sim, 5, 1, 2);
        write_now(sim, 5, 1, 3);
        bb_sim_power_cut(sim, bb_sim_choose_code, &code);
        uint8_t unit[UNIT];
        bb_sim_peek(sim, 5 * UNIT, unit, UNIT);
        for (size_t s = 0; s < UNIT; s += SECTOR) {
            assert_in_range(unit[s], 1, 3);
            seen[unit[s]] = true;
            for (size_t i = 1; i < SECTOR; i++) /* a sector is never torn */
                assert_int_equal(unit[s + i], unit[s]);
        }
        bb_sim_close(sim);
    }
    assert_true(seen[1] && seen[2] && seen[3]);
}

static struct bb_sim_fate choose_fixed(void *fate, const struct bb_sim_write *write)
{
    (void)write;
    return *(struct bb_sim_fate *)fate;
}

static void torn_write_keeps_the_sectors_told(void **state)
{
    (void)state;
    const struct {
        struct bb_sim_fate fate;
        const char *kept; /* 16 sectors */
    } cases[] = {
        {{BB_SIM_PREFIX, 5}, "xxxxx..........."},    {{BB_SIM_PREFIX, 9}, "xxxxxxxxx......."},
        {{BB_SIM_SUFFIX, 3}, ".............xxx"},    {{BB_SIM_SUFFIX, 8}, "........xxxxxxxx"},
        {{BB_SIM_ALTERNATE, 0}, "x.x.x.x.x.x.x.x."}, {{BB_SIM_ALTERNATE, 1}, ".x.x.x.x.x.x.x.x"},
        {{BB_SIM_ABSENT, 0}, "................"},    {{BB_SIM_COMPLETE, 0}, "xxxxxxxxxxxxxxxx"},
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct bb_sim *sim = open_sim(true, 1);
        struct bb_sim_fate fate = cases[c].fate;
        write_now(sim, 511, 2, 'x'); /* over the border of a node */
        bb_sim_power_cut(sim, choose_fixed, &fate);
        for (uint32_t s = 0; s < 16; s++) {
            uint8_t want = cases[c].kept[s] == 'x' ? 'x' : 0;
            assert_int_equal(first_byte(sim, 511 * UNIT + s * SECTOR), want);
            assert_int_equal(first_byte(sim, 511 * UNIT + s * SECTOR + SECTOR - 1), want);
        }
        bb_sim_close(sim);
    }
}

static void each_one_missing_leaves_the_others(void **state)
{
    (void)state;
    for (size_t missing = 0; missing < 3; missing++) {
        struct bb_sim *sim = open_sim(true, 1);
        for (uint64_t unit = 0; unit < 3; unit++)
            write_now(sim, unit, 1, 7);
        bb_sim_power_cut(sim, bb_sim_choose_all_but, &missing);
        for (uint64_t unit = 0; unit < 3; unit++)
            assert_int_equal(first_byte(sim, unit * UNIT), unit == missing ? 0 : 7);
        bb_sim_close(sim);
    }
}

static void write_of_zeros_can_be_torn_too(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    write_now(sim, 9, 1, 0xff);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
    write_now(sim, 9, 1, 0);
    struct bb_sim_fate fate = {BB_SIM_PREFIX, 4};
    bb_sim_power_cut(sim, choose_fixed, &fate);
    assert_int_equal(first_byte(sim, 9 * UNIT + 4 * SECTOR - 1), 0);
    assert_int_equal(first_byte(sim, 9 * UNIT + 4 * SECTOR), 0xff);
    bb_sim_close(sim);
}

static void cut_at_kills_at_the_nth_request(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    struct job jobs[3];
    write_now(sim, 1, 1, 0x11);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
    bb_sim_cut_at(sim, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_false(bb_sim_is_dead(sim));
        job_init(&jobs[i]);
        start_write(sim, &jobs[i], 10 + i, 1, 0x22);
    }
    assert_true(bb_sim_is_dead(sim));
    assert_int_equal(bb_io_poll(bb_sim_io(sim), true), BB_ERR_CANCELLED);
    assert_int_equal(bb_io_read(bb_sim_io(sim), BB_IO_DATA, 0, jobs[0].buf, UNIT),
                     BB_ERR_CANCELLED);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), BB_ERR_CANCELLED);
    assert_int_equal(bb_sim_submitted(sim), 5);
    for (unsigned i = 0; i < 3; i++) {
        assert_false(jobs[i].done);
        job_fini(&jobs[i]); /* the buffers are gone before the image is made */
    }
    assert_int_equal(bb_sim_undurable_count(sim), 3);
    assert_true(bb_sim_undurable(sim, 2).in_flight);
    assert_int_equal(bb_sim_undurable(sim, 2).number, 5);
    bb_sim_power_cut(sim, bb_sim_choose_all, NULL);
    assert_false(bb_sim_is_dead(sim));
    assert_int_equal(bb_sim_submitted(sim), 0);
    assert_int_equal(first_byte(sim, 1 * UNIT), 0x11);
    assert_int_equal(first_byte(sim, 12 * UNIT), 0x22);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
    bb_sim_close(sim);
}

static void flush_that_dies_in_flight_makes_nothing_durable(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    write_now(sim, 1, 1, 0x11);
    bb_sim_cut_at(sim, 1);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), BB_ERR_CANCELLED);
    assert_int_equal(bb_sim_undurable_count(sim), 1);
    cut_none(sim);
    assert_int_equal(first_byte(sim, UNIT), 0);
    bb_sim_close(sim);
}

static void kill_keeps_the_cache_visible_and_undurable(void **state)
{
    (void)state;
    unsigned applied = 0;
    for (uint64_t seed = 0; seed < 64; seed++) {
        struct bb_sim *sim = open_sim(true, seed);
        struct job job;
        job_init(&job);
        write_now(sim, 1, 1, 0x11);
        start_write(sim, &job, 2, 1, 0x22);
        bb_sim_kill(sim);
        assert_int_equal(bb_sim_io(sim)->in_flight, 0);
        assert_int_equal(bb_io_poll(bb_sim_io(sim), true), 0);
        assert_false(job.done);
        assert_int_equal(first_byte(sim, UNIT), 0x11);
        bool hit = first_byte(sim, 2 * UNIT) == 0x22;
        applied += hit;
        assert_int_equal(bb_sim_undurable_count(sim), 1 + hit);
        if (seed % 2) { /* the next process syncs first, as recovery does */
            assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
            cut_none(sim);
            assert_int_equal(first_byte(sim, UNIT), 0x11);
            assert_int_equal(first_byte(sim, 2 * UNIT), hit ? 0x22 : 0);
        } else {
            cut_none(sim);
            assert_int_equal(first_byte(sim, UNIT), 0);
            assert_int_equal(first_byte(sim, 2 * UNIT), 0);
        }
        job_fini(&job);
        bb_sim_close(sim);
    }
    assert_in_range(applied, 8, 56);
}

static void clone_goes_its_own_way(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    struct job job;
    job_init(&job);
    write_now(sim, 1, 1, 0x11);
    start_write(sim, &job, 2, 1, 0x22);
    struct bb_sim *clone = bb_sim_clone(sim);
    assert_int_equal(bb_sim_undurable_count(clone), 2);
    assert_int_equal(bb_io_poll(bb_sim_io(clone), true), 0);
    bb_sim_power_cut(clone, bb_sim_choose_all, NULL);
    assert_int_equal(first_byte(clone, 2 * UNIT), 0x22);
    write_now(clone, 1, 1, 0x33);

    assert_int_equal(first_byte(sim, 2 * UNIT), 0);
    assert_true(drain(sim) >= 0);
    assert_true(job.done);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
    cut_none(sim);
    assert_int_equal(first_byte(sim, UNIT), 0x11);
    assert_int_equal(first_byte(sim, 2 * UNIT), 0x22);
    assert_int_equal(first_byte(clone, UNIT), 0x33);
    bb_sim_close(sim);
    assert_int_equal(first_byte(clone, 2 * UNIT), 0x22);
    bb_sim_close(clone);
    job_fini(&job);
}

static void life_after_a_cut_does_not_reach_back(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    write_now(sim, 1, 1, 0x11);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
    cut_none(sim); /* visible and durable are one image now */
    write_now(sim, 1, 1, 0x22);
    write_now(sim, 2, 1, 0x22);
    cut_none(sim);
    assert_int_equal(first_byte(sim, UNIT), 0x11);
    assert_int_equal(first_byte(sim, 2 * UNIT), 0);
    struct bb_sim *clone = bb_sim_clone(sim);
    write_now(clone, 1, 1, 0x33);
    assert_int_equal(bb_io_flush(bb_sim_io(clone)), 0);
    bb_sim_poke(clone, 3 * UNIT, "damage", 6);
    assert_int_equal(first_byte(sim, UNIT), 0x11);
    assert_int_equal(first_byte(sim, 3 * UNIT), 0);
    cut_none(sim);
    assert_int_equal(first_byte(sim, UNIT), 0x11);
    cut_none(clone);
    assert_int_equal(first_byte(clone, UNIT), 0x33);
    assert_int_equal(first_byte(clone, 3 * UNIT), 'd');
    bb_sim_close(clone);
    bb_sim_close(sim);
}

static void digest_is_of_the_durable_bytes_alone(void **state)
{
    (void)state;
    struct bb_sim *a = open_sim(true, 1), *b = open_sim(false, 2);
    struct bb_hash of_a, of_b;
    uint8_t bytes[3] = {1, 2, 3}, zero[3] = {0};
    bb_sim_digest(a, &of_a);
    bb_sim_digest(b, &of_b);
    assert_true(bb_hash_equal(&of_a, &of_b));
    write_now(a, 700, 2, 0x55);
    bb_sim_digest(a, &of_a);
    assert_true(bb_hash_equal(&of_a, &of_b)); /* only visible */
    assert_int_equal(bb_io_flush(bb_sim_io(a)), 0);
    bb_sim_digest(a, &of_a);
    assert_false(bb_hash_equal(&of_a, &of_b));
    uint8_t same[2 * UNIT];
    memset(same, 0x55, sizeof(same));
    bb_sim_poke(b, 700 * UNIT, same, sizeof(same));
    bb_sim_digest(b, &of_b);
    assert_true(bb_hash_equal(&of_a, &of_b)); /* another way to the same bytes */
    bb_sim_poke(b, 4 * UNIT - 2, bytes, 3);
    bb_sim_digest(b, &of_b);
    assert_false(bb_hash_equal(&of_a, &of_b));
    bb_sim_poke(b, 4 * UNIT - 2, zero, 3);
    bb_sim_digest(b, &of_b);
    assert_true(bb_hash_equal(&of_a, &of_b)); /* zeros written are zeros never written */
    bb_sim_close(a);
    bb_sim_close(b);
}

static void reordering_explores_orders_and_splits(void **state)
{
    (void)state;
    bool later_first = false, partial = false, all_at_once = false;
    for (uint64_t seed = 0; seed < 32; seed++) {
        struct bb_sim *sim = open_sim(false, seed);
        struct job a, b;
        job_init(&a);
        job_init(&b);
        start_write(sim, &a, 1, 1, 1);
        start_write(sim, &b, 2, 1, 2);
        int run = bb_io_poll(bb_sim_io(sim), false);
        assert_in_range(run, 1, 2);
        partial |= run == 1;
        all_at_once |= run == 2;
        later_first |= b.done && !a.done;
        assert_true(drain(sim) >= 0);
        assert_true(a.done && b.done);
        job_fini(&a);
        job_fini(&b);
        bb_sim_close(sim);
    }
    assert_true(later_first && partial && all_at_once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completed_write_is_visible_but_not_durable),
        cmocka_unit_test(flush_submitted_after_completion_makes_durable),
        cmocka_unit_test(flush_submitted_before_completion_covers_nothing),
        cmocka_unit_test(write_completed_during_a_flush_is_not_covered_by_it),
        cmocka_unit_test(cut_leaves_any_version_of_an_overwritten_unit),
        cmocka_unit_test(torn_write_keeps_the_sectors_told),
        cmocka_unit_test(each_one_missing_leaves_the_others),
        cmocka_unit_test(write_of_zeros_can_be_torn_too),
        cmocka_unit_test(cut_at_kills_at_the_nth_request),
        cmocka_unit_test(flush_that_dies_in_flight_makes_nothing_durable),
        cmocka_unit_test(kill_keeps_the_cache_visible_and_undurable),
        cmocka_unit_test(clone_goes_its_own_way),
        cmocka_unit_test(life_after_a_cut_does_not_reach_back),
        cmocka_unit_test(digest_is_of_the_durable_bytes_alone),
        cmocka_unit_test(reordering_explores_orders_and_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
