/* SPDX-License-Identifier: Apache-2.0
 * Recovery and rebuild of random histories against the naive model of scribe.h, with cuts at every
 * step of their own. BB_SEED repeats a random run.
 */
#include "starts.h"

#include "bb/superblock.h"

#include <errno.h>

static void random_step(struct scribe *scribe, struct bb_random *random)
{
    unsigned key = (unsigned)bb_random_below(random, 10);
    bool pending = false; /* operations on a key above D wait for it */
    for (unsigned i = 0; i < scribe->item_count; i++)
        if (scribe->items[i].key == key &&
            (i >= scribe->window_first || scribe->items[i].sequence > scribe->durable))
            pending = true;
    uint64_t dice = bb_random_below(random, 16);
    if (dice < 8) {
        uint64_t unit = scribe_place(scribe, bb_units_of(scribe_size(key)), random);
        if (pending)
            return;
        if (scribe->state[key] == SCRIBE_ABSENT)
            scribe_put(scribe, key, unit, true);
        else if (scribe->state[key] == SCRIBE_MARKED)
            scribe_heal(scribe, key, unit, true);
        else if (dice < 3)
            scribe_delete(scribe, key);
        else if (dice < 6)
            scribe_mark(scribe, key);
        return;
    }
    if (dice < 12)
        (void)scribe_record(scribe);
    else if (dice < 14)
        scribe_flush(scribe);
    else if (dice == 14)
        scribe_checkpoint_pages(scribe, bb_random_below(random, 2) == 0);
    else if (bb_random_below(random, 3) == 0) {
        scribe_checkpoint_pages(scribe, true);
        scribe_checkpoint_index(scribe, (unsigned)bb_random_below(random, 3));
    } else
        scribe_checkpoint(scribe);
}

/* A store that crashed at a random request with a random subset of its writes. */
static struct scribe *random_crash(struct bb_random *random)
{
    struct scribe *scribe =
        scribe_new(bb_random_next(random), 1 + (uint32_t)bb_random_below(random, 6));
    unsigned steps = 20 + (unsigned)bb_random_below(random, 80);
    bb_sim_cut_at(scribe->sim, 1 + bb_random_below(random, 160));
    for (unsigned i = 0; i < steps; i++)
        random_step(scribe, random);
    if (!bb_sim_is_dead(scribe->sim))
        bb_sim_cut_at(scribe->sim, 0);
    scribe_cut(scribe, random);
    return scribe;
}

static void random_crashes_lose_nothing_acknowledged(void **state)
{
    (void)state;
    struct bb_random random;
    uint64_t seed = unit_seed_value(), dropped = 0, undone = 0, damaged = 0;
    for (unsigned round = 0; round < 400 || (undone == 0 && round < 4000); round++) {
        bb_random_seed(&random, seed * 1000 + round);
        struct scribe *scribe = random_crash(&random);
        struct bb_sim *sim = bb_sim_clone(scribe->sim);
        struct memindex *mem = memindex_clone(scribe->mem);
        struct bb_recovered recovered;
        struct bb_explain explain;
        int error = recover(scribe, &recovered);
        if (error != 0)
            print_message("round %u\n", round);
        assert_int_equal(error, 0);
        scribe_check(scribe, scribe->sim, scribe->mem);
        dropped += recovered.report.dropped;
        undone += recovered.report.undone;
        damaged += recovered.report.slots_damaged;
        /* the rebuild of the crash image is the same store */
        assert_int_equal(scribe_rebuild(sim, mem, &recovered, &explain), 0);
        assert_int_equal(recovered.report.slots_unexcused, 0);
        struct bb_digest a = scribe_entries(scribe->mem), b = scribe_entries(mem);
        assert_memory_equal(&a, &b, sizeof(a));
        assert_int_equal(scribe_recover(sim, mem, &recovered, &explain), 0);
        bb_sim_close(sim);
        memindex_free(mem);
        scribe_free(scribe);
    }
    print_message("dropped %llu, undone %llu, torn slots %llu\n", (unsigned long long)dropped,
                  (unsigned long long)undone, (unsigned long long)damaged);
    assert_true(dropped > 0 && undone > 0);
}

/* The process dies, the machine lives on: what a start has seen must not vanish with the cache. */
static void start_after_a_kill_holds_in_a_power_cut(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, unit_seed_value() + 16);
    for (unsigned round = 0; round < 100; round++) {
        struct scribe *scribe = scribe_new(bb_random_next(&random), 2);
        for (unsigned i = 0; i < 40; i++)
            random_step(scribe, &random);
        bb_sim_kill(scribe->sim);
        struct bb_recovered recovered;
        assert_int_equal(recover(scribe, &recovered), 0);
        struct bb_digest seen = scribe_entries(scribe->mem);
        cut_none(scribe);
        assert_int_equal(recover(scribe, &recovered), 0);
        scribe_check(scribe, scribe->sim, scribe->mem);
        struct bb_digest again = scribe_entries(scribe->mem);
        assert_memory_equal(&seen, &again, sizeof(seen));
        scribe_free(scribe);
    }
}

typedef int run_fn(struct bb_sim *sim, struct memindex *mem, struct bb_recovered *ret_recovered,
                   struct bb_explain *ret_explain);

/* Cuts `run` at every request and every fold, then recovers: always the same entries, unless the
 * cache still held something that a cut before the first flush takes away. */
static void cut_everywhere(const struct scribe *scribe, run_fn *run, struct bb_random *random)
{
    bool exact = bb_sim_undurable_count(scribe->sim) == 0;
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_sim *sim = bb_sim_clone(scribe->sim);
    struct memindex *mem = memindex_clone(scribe->mem);
    assert_int_equal(scribe_recover(sim, mem, &recovered, &explain), 0);
    struct bb_digest wanted = scribe_entries(mem);
    bb_sim_close(sim);
    memindex_free(mem);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        sim = bb_sim_clone(scribe->sim);
        mem = memindex_clone(scribe->mem);
        uint64_t fold = bb_random_below(random, 8);
        memindex_fail_fold(mem, fold, -EIO, bb_random_below(random, 2) == 0);
        bb_sim_cut_at(sim, n);
        done = run(sim, mem, &recovered, &explain) == 0;
        assert_true(done || explain.text[0] != '\0');
        done = done || (!bb_sim_is_dead(sim) && fold == 0);
        memindex_fail_fold(mem, 0, 0, false);
        bb_sim_power_cut(sim, bb_sim_choose_random, random);
        int error = scribe_recover(sim, mem, &recovered, &explain);
        if (run == scribe_rebuild && error != 0) {
            assert_true(error == BB_ERR_FOREIGN || error == BB_ERR_NOT_FORMATTED);
            assert_int_equal(scribe_rebuild(sim, mem, &recovered, &explain), 0);
            error = scribe_recover(sim, mem, &recovered, &explain);
        }
        assert_int_equal(error, 0);
        scribe_check(scribe, sim, mem);
        struct bb_digest found = scribe_entries(mem);
        if (exact)
            assert_memory_equal(&found, &wanted, sizeof(found));
        bb_sim_close(sim);
        memindex_free(mem);
    }
}

static void recovery_cut_anywhere_ends_in_the_same_state(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, unit_seed_value() + 17);
    for (unsigned round = 0; round < 6; round++) {
        struct scribe *scribe = random_crash(&random);
        cut_everywhere(scribe, scribe_recover, &random);
        scribe_free(scribe);
    }
}

static void recovery_after_a_kill_cut_anywhere_loses_nothing_acknowledged(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, unit_seed_value() + 19);
    for (unsigned round = 0; round < 12; round++) {
        struct scribe *scribe = scribe_new(bb_random_next(&random), 2);
        for (unsigned i = 0; i < 30; i++)
            random_step(scribe, &random);
        if (round % 2 == 0) { /* nothing but records without items in the cache */
            scribe_checkpoint(scribe);
            scribe_flush(scribe);
            scribe_checkpoint(scribe);
            (void)scribe_record(scribe);
        }
        bb_sim_kill(scribe->sim);
        cut_everywhere(scribe, round % 3 == 0 ? scribe_rebuild : scribe_recover, &random);
        scribe_free(scribe);
    }
}

static void rebuild_cut_anywhere_is_run_again(void **state)
{
    (void)state;
    struct bb_random random;
    bb_random_seed(&random, unit_seed_value() + 18);
    for (unsigned round = 0; round < 6; round++) {
        struct scribe *scribe = random_crash(&random);
        cut_everywhere(scribe, scribe_rebuild, &random);
        scribe_free(scribe);
    }
}

/* The check of the random test must be able to fail. */
static void lost_block_is_noticed_by_the_harness(void **state)
{
    (void)state;
    struct scribe *scribe = scribe_new(1, 0);
    put(scribe, 0);
    scribe_commit(scribe);
    cut_none(scribe);
    (void)recover_ok(scribe);
    struct bb_index_entry entry;
    struct bb_change change = {.hash = scribe_hash(0)};
    memindex_tamper(scribe->mem, &change);
    assert_int_equal(scribe_lookup(scribe->mem, 0, &entry), SCRIBE_ABSENT);
    assert_false(scribe->allowed[0] >> SCRIBE_ABSENT & 1);
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_crashes_lose_nothing_acknowledged),
        cmocka_unit_test(start_after_a_kill_holds_in_a_power_cut),
        cmocka_unit_test(recovery_cut_anywhere_ends_in_the_same_state),
        cmocka_unit_test(rebuild_cut_anywhere_is_run_again),
        cmocka_unit_test(recovery_after_a_kill_cut_anywhere_loses_nothing_acknowledged),
        cmocka_unit_test(lost_block_is_noticed_by_the_harness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
