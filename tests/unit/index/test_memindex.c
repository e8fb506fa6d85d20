/* SPDX-License-Identifier: Apache-2.0
 * The map in memory of the simulator: the same contract as LMDB's, and what a crash harness relies
 * on: clones, planned failures, jobs in a seeded order.
 */
#include "fixture.h"

#include "memindex.h"

static struct memindex *make(const struct memindex_config *config)
{
    struct bb_index_state row = fixture_state();
    struct memindex *mem = memindex_new(config);
    struct bb_index index = memindex_index(mem);
    struct bb_index_state none;
    assert_int_equal(index.ops->state(index.context, &none), BB_ERR_NOT_FORMATTED);
    memindex_put_state(mem, &row);
    return mem;
}

static void folds_lookups_and_scans_agree_with_a_naive_model(void **state)
{
    (void)state;
    struct bb_random random;
    struct model model;
    struct memindex_config config = {.slice_max = 300};
    fixture_seed(&random);
    struct memindex *mem = make(&config);
    struct bb_index index = memindex_index(mem);
    model_make(&model, &random, 3000);
    model_run(&model, &index, &random, 100);
    assert_int_equal(memindex_count(mem), model_set(&model).count);
    model_free(&model);
    memindex_free(mem);
}

static int fold_one(struct memindex *mem, uint8_t name, uint64_t unit, struct bb_set *ret_set)
{
    struct bb_index index = memindex_index(mem);
    struct bb_change change = {.present = unit != 0, .unit = unit, .size = 1};
    struct bb_index_fold fold = {.changes = &change, .count = 1};
    uint64_t room;
    memset(&change.hash, name, sizeof(change.hash));
    return index.ops->fold(index.context, &fold, ret_set, &room);
}

static int look(struct memindex *mem, uint8_t name, uint64_t *ret_unit)
{
    struct bb_index index = memindex_index(mem);
    struct bb_index_entry entry;
    struct bb_hash hash;
    memset(&hash, name, sizeof(hash));
    index.ops->refresh(index.context);
    int rc = index.ops->lookup(index.context, &hash, &entry);
    if (rc == 0)
        *ret_unit = entry.unit;
    return rc;
}

static void a_clone_lives_on_by_itself(void **state)
{
    (void)state;
    struct memindex_config config = {.seed = 1};
    struct memindex *mem = make(&config);
    struct bb_set set;
    struct bb_digest before, after, clone_digest;
    uint64_t unit;
    assert_int_equal(fold_one(mem, 1, 10, &set), 0);
    memindex_digest(mem, &before);
    struct memindex *clone = memindex_clone(mem);
    memindex_digest(clone, &clone_digest);
    assert_true(bb_digest_equal(&before, &clone_digest));
    assert_int_equal(fold_one(mem, 1, 11, &set), 0);
    memindex_digest(mem, &after);
    assert_false(bb_digest_equal(&before, &after));
    assert_int_equal(look(clone, 1, &unit), 0);
    assert_int_equal(unit, 10);
    memindex_wipe(clone);
    assert_int_equal(look(clone, 1, &unit), -ENOENT);
    assert_int_equal(fold_one(clone, 1, 12, &set), BB_ERR_NOT_FORMATTED);
    assert_int_equal(look(mem, 1, &unit), 0);
    assert_int_equal(unit, 11);
    memindex_free(mem);
    memindex_free(clone);
}

static void the_kth_fold_fails_with_or_without_effect(void **state)
{
    (void)state;
    struct memindex_config config = {.seed = 1};
    struct memindex *mem = make(&config);
    struct bb_set set;
    uint64_t unit;
    memindex_fail_fold(mem, 2, -EIO, false);
    assert_int_equal(fold_one(mem, 1, 10, &set), 0);
    assert_int_equal(fold_one(mem, 2, 10, &set), -EIO);
    assert_int_equal(look(mem, 2, &unit), -ENOENT);
    assert_int_equal(fold_one(mem, 2, 11, &set), 0);
    memindex_fail_fold(mem, 1, BB_ERR_FATAL, true);
    assert_int_equal(fold_one(mem, 2, 12, &set), BB_ERR_FATAL);
    assert_int_equal(look(mem, 2, &unit), 0);
    assert_int_equal(unit, 12);
    assert_int_equal(memindex_fold_count(mem), 4);
    memindex_free(mem);
}

static void a_full_index_refuses_more_and_takes_deletes(void **state)
{
    (void)state;
    struct memindex_config config = {.capacity = 2};
    struct memindex *mem = make(&config);
    struct bb_index index = memindex_index(mem);
    struct bb_set set = {.count = 99};
    assert_int_equal(fold_one(mem, 1, 10, &set), 0);
    assert_int_equal(index.ops->room(index.context), 1);
    assert_int_equal(fold_one(mem, 2, 10, &set), 0);
    assert_int_equal(index.ops->room(index.context), 0);
    assert_int_equal(fold_one(mem, 3, 10, &set), BB_ERR_INDEX_FULL);
    assert_int_equal(set.count, 2);
    assert_int_equal(fold_one(mem, 2, 11, &set), 0);
    assert_int_equal(fold_one(mem, 1, 0, &set), 0);
    assert_int_equal(fold_one(mem, 3, 10, &set), 0);
    assert_int_equal(memindex_count(mem), 2);
    memindex_free(mem);
}

static void tampering_changes_the_map_but_not_the_set(void **state)
{
    (void)state;
    struct memindex_config config = {.seed = 1};
    struct memindex *mem = make(&config);
    struct bb_index index = memindex_index(mem);
    struct bb_index_state before, after;
    struct bb_change change = {.present = true, .unit = 5};
    uint64_t unit;
    assert_int_equal(index.ops->state(index.context, &before), 0);
    memset(&change.hash, 9, sizeof(change.hash));
    memindex_tamper(mem, &change);
    assert_int_equal(look(mem, 9, &unit), 0);
    assert_int_equal(index.ops->state(index.context, &after), 0);
    assert_memory_equal(&before, &after, sizeof(before));
    memindex_free(mem);
}

/* ---- Port ---- */

#define JOB_COUNT 12u

struct order {
    struct bb_index_job jobs[JOB_COUNT];
    unsigned sequence[JOB_COUNT];
    unsigned count;
};

static void on_done(void *context, struct bb_index_job *job)
{
    struct order *order = context;
    assert_int_equal(job->result, 0);
    order->sequence[order->count++] = (unsigned)(job - order->jobs);
}

/* Even jobs are folds, odd ones lookups of the same hash. Returns the order of the answers. */
static struct order run_jobs(uint64_t seed, unsigned *ret_old_answers)
{
    static struct bb_change changes[JOB_COUNT];
    static struct bb_index_entry entries[JOB_COUNT];
    struct memindex_config config = {.seed = seed};
    struct memindex *mem = make(&config);
    struct bb_index_port port = memindex_port(mem);
    static struct order order;
    memset(&order, 0, sizeof(order));
    memset(changes, 0, sizeof(changes));
    memindex_on_done(mem, on_done, &order);
    for (unsigned i = 0; i < JOB_COUNT; i++) {
        struct bb_index_job *job = &order.jobs[i];
        changes[i] = (struct bb_change){.present = true, .unit = i};
        if (i % 2 == 0)
            *job = (struct bb_index_job){.kind = BB_JOB_FOLD,
                                         .fold = {.changes = &changes[i], .count = 1}};
        else
            *job = (struct bb_index_job){.kind = BB_JOB_LOOKUP,
                                         .hashes = &changes[0].hash,
                                         .entries = &entries[i],
                                         .count = 1};
        port.submit(port.context, job);
    }
    assert_int_equal(memindex_pending(mem), JOB_COUNT);
    assert_int_equal(memindex_run(mem, 3), 3);
    while (memindex_run(mem, 5) != 0)
        continue;
    assert_int_equal(memindex_pending(mem), 0);
    assert_int_equal(order.count, JOB_COUNT);
    *ret_old_answers = 0;
    for (unsigned i = 1; i < JOB_COUNT; i += 2)
        *ret_old_answers += entries[i].unit != JOB_COUNT - 2;
    memindex_free(mem);
    return order;
}

static void jobs_finish_in_a_seeded_order_folds_among_themselves_in_turn(void **state)
{
    (void)state;
    struct bb_random random;
    unsigned old = 0, different = 0, out_of_order = 0;
    uint64_t seed = fixture_seed(&random);
    for (unsigned round = 0; round < 50; round++) {
        unsigned old_answers, again;
        struct order first = run_jobs(seed + round, &old_answers);
        struct order second = run_jobs(seed + round, &again);
        assert_memory_equal(first.sequence, second.sequence, sizeof(first.sequence));
        assert_int_equal(old_answers, again);
        struct order other = run_jobs(seed + round + 1, &again);
        different += memcmp(first.sequence, other.sequence, sizeof(first.sequence)) != 0;
        old += old_answers;
        unsigned last_fold = 0;
        for (unsigned i = 0; i < JOB_COUNT; i++) {
            if (first.sequence[i] % 2 != 0)
                continue;
            assert_true(first.sequence[i] >= last_fold);
            last_fold = first.sequence[i];
        }
        for (unsigned i = 0; i < JOB_COUNT; i++)
            out_of_order += first.sequence[i] != i;
    }
    assert_true(different > 40);
    assert_true(old > 0);
    assert_true(out_of_order > 0);
}

static void count_done(void *context, struct bb_index_job *job)
{
    (void)job;
    ++*(unsigned *)context;
}

static void a_fold_may_be_on_the_device_before_its_submitter_hears(void **state)
{
    (void)state;
    struct memindex_config config = {.seed = 3};
    struct memindex *mem = make(&config);
    struct bb_index_port port = memindex_port(mem);
    struct bb_change change = {.present = true, .unit = 5};
    struct bb_index_job job = {.kind = BB_JOB_FOLD, .fold = {.changes = &change, .count = 1}};
    unsigned done = 0;
    memindex_on_done(mem, count_done, &done);
    port.submit(port.context, &job);
    assert_int_equal(memindex_run(mem, 1), 1);
    assert_int_equal(done, 0);
    struct memindex *clone = memindex_clone(mem); /* a crash in between */
    assert_int_equal(memindex_count(clone), 1);
    assert_int_equal(memindex_pending(clone), 0);
    assert_int_equal(memindex_run(mem, 1), 1);
    assert_int_equal(done, 1);
    memindex_free(clone);
    memindex_free(mem);
}

static void the_share_of_lookups_asked_for_would_fault(void **state)
{
    (void)state;
    struct memindex_config config = {.seed = 3, .fault_percent = 30};
    struct memindex *mem = make(&config);
    struct bb_index_port port = memindex_port(mem);
    struct bb_hash hash;
    struct bb_index_entry entry;
    unsigned faults = 0;
    memset(&hash, 0, sizeof(hash));
    for (unsigned i = 0; i < 1000; i++) {
        int rc = port.lookup(port.context, &hash, &entry);
        assert_true(rc == -ENOENT || rc == BB_ERR_WOULD_FAULT);
        faults += rc == BB_ERR_WOULD_FAULT;
    }
    assert_in_range(faults, 200, 400);
    memindex_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_lookups_and_scans_agree_with_a_naive_model),
        cmocka_unit_test(a_clone_lives_on_by_itself),
        cmocka_unit_test(the_kth_fold_fails_with_or_without_effect),
        cmocka_unit_test(a_full_index_refuses_more_and_takes_deletes),
        cmocka_unit_test(tampering_changes_the_map_but_not_the_set),
        cmocka_unit_test(jobs_finish_in_a_seeded_order_folds_among_themselves_in_turn),
        cmocka_unit_test(a_fold_may_be_on_the_device_before_its_submitter_hears),
        cmocka_unit_test(the_share_of_lookups_asked_for_would_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
