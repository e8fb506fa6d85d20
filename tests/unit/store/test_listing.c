/* SPDX-License-Identifier: Apache-2.0
 * EXISTS and LIST against the oracle, at rest and under churn; answers of the index that come late.
 */
#include "bench.h"

#include <string.h>

#define IDS 300

static const struct rig_config plain = {.seed = 1, .id_count = IDS, .size_max = 3000};

/* ---- LIST ---- */

struct page {
    struct call call;
    struct bb_listed entries[BB_LIST_MAX];
};
static struct page page;

static void list_page(const struct bb_hash *after, uint32_t limit)
{
    call_open(&page.call, 0);
    struct bb_op *op = &page.call.request.op;
    op->list.from_start = after == NULL;
    if (after != NULL)
        op->list.after = *after;
    op->list.entries = page.entries;
    op->list.count = limit;
    bb_port_list(page.call.port, &page.call.request);
}

struct walk {
    unsigned seen[IDS];
    bool touched[IDS];
    struct bb_hash last;
    bool started, finished;
};

static uint32_t id_of(const struct bb_hash *hash)
{
    for (uint32_t id = 0; id < IDS; id++)
        if (bb_hash_equal(&rig.hashes[id], hash))
            return id;
    fail_msg("listed a hash that was never stored");
    return 0;
}

static void take_page(struct walk *walk, uint32_t limit)
{
    const struct bb_op *op = &page.call.request.op;
    assert_int_equal(page.call.request.result, 0);
    assert_true(op->list.count <= limit);
    for (uint32_t i = 0; i < op->list.count; i++) {
        const struct bb_listed *listed = &page.entries[i];
        uint32_t id = id_of(&listed->hash);
        assert_int_equal(listed->size, rig.sizes[id]);
        assert_true(!walk->started || bb_hash_compare(&walk->last, &listed->hash) < 0);
        walk->last = listed->hash;
        walk->started = true;
        walk->seen[id]++;
    }
    walk->finished = !op->list.more;
    if (op->list.more) { /* the next page starts behind everything of this one */
        assert_true(!walk->started || bb_hash_compare(&walk->last, &op->list.next) <= 0);
        walk->last = op->list.next;
        walk->started = true;
    }
}

static void check_walk(const struct walk *walk)
{
    for (uint32_t id = 0; id < IDS; id++) {
        assert_true(walk->seen[id] <= 1);
        if (!walk->touched[id] && (rig.allowed[id] & RIG_ABSENT) == 0)
            assert_int_equal(walk->seen[id], 1);
        if (!walk->touched[id] && rig.allowed[id] == RIG_ABSENT)
            assert_int_equal(walk->seen[id], 0);
    }
}

static struct walk walk_at_rest(uint32_t limit)
{
    struct walk walk = {.started = false};
    struct bb_hash after;
    while (!walk.finished) {
        after = walk.last;
        list_page(walk.started ? &after : NULL, limit);
        (void)call_wait(&page.call);
        take_page(&walk, limit);
    }
    return walk;
}

static void check_all_limits(void)
{
    const uint32_t limits[] = {1, 2, 3, 10, 99, 100, 101, IDS, BB_LIST_MAX};
    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct walk walk = walk_at_rest(limits[i]);
        check_walk(&walk);
    }
}

static void an_empty_store_lists_nothing(void **state)
{
    (void)state;
    bench_open(&plain);
    list_page(NULL, 10);
    assert_int_equal(call_wait(&page.call), 0);
    assert_int_equal(page.call.request.op.list.count, 0);
    assert_false(page.call.request.op.list.more);
    bench_close();
}

static void a_walk_finds_what_delta_and_index_hold_together(void **state)
{
    (void)state;
    bench_open(&plain);
    for (uint32_t id = 0; id < 100; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    check_all_limits(); /* all in the delta */
    assert_true(rig_checkpoint(&rig));
    check_all_limits(); /* all in the index */
    for (uint32_t id = 50; id < 80; id++)
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
    for (uint32_t id = 100; id < 200; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    for (uint32_t id = 60; id < 70; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    check_all_limits(); /* both, and the delta contradicts the index */
    for (uint32_t id = 0; id < 200; id++)
        if (rig.allowed[id] == RIG_PRESENT)
            assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
    check_all_limits(); /* the index holds only what the delta has deleted */
    bench_close();
}

static void a_page_may_be_empty_although_there_is_more(void **state)
{
    (void)state;
    bench_open(&plain);
    for (uint32_t id = 0; id < 50; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
    struct walk walk = walk_at_rest(50);
    struct bb_hash largest = walk.last;
    for (uint32_t id = 0; id < 50; id++)
        if (!bb_hash_equal(&rig.hashes[id], &largest))
            assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
    list_page(NULL, 10);
    assert_int_equal(call_wait(&page.call), 0);
    assert_int_equal(page.call.request.op.list.count, 0);
    assert_true(page.call.request.op.list.more);
    check_all_limits();
    bench_close();
}

/* Operations, checkpoints and a walk at the same time. */
static void churn(struct walk *walk)
{
    uint32_t id = (uint32_t)bb_random_below(&rig.random, IDS);
    enum rig_kind kind = bb_random_below(&rig.random, 2) == 0 ? RIG_PUT : RIG_DELETE;
    if (bb_random_below(&rig.random, 2) == 0 && rig_submit(&rig, kind, id) != NULL)
        walk->touched[id] = true;
    if (bb_random_below(&rig.random, 60) == 0)
        bb_store_checkpoint(rig.store);
    (void)rig_turn(&rig);
}

static void under_churn_what_stays_appears_exactly_once(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (unsigned round = 0; round < 6; round++) {
        struct rig_config config = plain;
        config.seed = bb_random_next(&random);
        config.slice_max = 16;
        bench_open(&config);
        for (uint32_t id = 0; id < IDS; id += 2)
            assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        for (unsigned n = 0; n < 60; n++) {
            struct walk walk = {.started = false};
            for (unsigned i = 0; i < RIG_OP_MAX; i++)
                if (rig.ops[i].busy)
                    walk.touched[rig.ops[i].id] = true;
            uint32_t limit = 1 + (uint32_t)bb_random_below(&random, 80);
            while (!walk.finished) {
                struct bb_hash after = walk.last;
                list_page(walk.started ? &after : NULL, limit);
                while (!page.call.done)
                    churn(&walk);
                take_page(&walk, limit);
            }
            check_walk(&walk);
        }
        assert_true(rig_settle(&rig));
        bench_verify_balance();
        bench_close();
    }
}

/* ---- EXISTS ---- */

static struct bb_hash asked[BB_EXISTS_MAX];
static uint8_t stored[BB_EXISTS_MAX];

static void ask_exists(struct call *call, uint32_t count)
{
    memset(stored, 7, sizeof(stored));
    call_open(call, 0);
    call->request.op.exists.hashes = asked;
    call->request.op.exists.stored = stored;
    call->request.op.exists.count = count;
    bb_port_exists(call->port, &call->request);
}

static void exists_answers_for_every_hash_in_order(void **state)
{
    (void)state;
    bench_open(&plain);
    for (uint32_t id = 0; id < 100; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
    for (uint32_t id = 0; id < 30; id++)
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
    for (uint32_t id = 100; id < 150; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    const uint32_t counts[] = {0, 1, 255, 256, 257, 512, 3000, BB_EXISTS_MAX};
    for (unsigned n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
        for (uint32_t i = 0; i < counts[n]; i++) /* some of them twice */
            asked[i] = rig.hashes[bb_random_below(&rig.random, IDS)];
        static struct call call;
        ask_exists(&call, counts[n]);
        assert_int_equal(call_wait(&call), 0);
        for (uint32_t i = 0; i < counts[n]; i++)
            assert_int_equal(stored[i], rig.allowed[id_of(&asked[i])] == RIG_PRESENT);
        if (counts[n] < BB_EXISTS_MAX)
            assert_int_equal(stored[counts[n]], 7);
    }
    bench_close();
}

static void exists_says_no_for_a_block_that_is_marked_corrupt(void **state)
{
    (void)state;
    bench_open(&plain);
    for (uint32_t id = 1; id < 4; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
    assert_true(rig_rot(&rig, 2));
    assert_int_equal(rig_do(&rig, RIG_GET, 2), 0);
    assert_int_equal(rig.allowed[2], RIG_MARKED);
    static struct call call;
    memcpy(asked, &rig.hashes[1], 3 * sizeof(asked[0]));
    for (unsigned round = 0; round < 2; round++) { /* the mark in the delta, then in the index */
        ask_exists(&call, 3);
        assert_int_equal(call_wait(&call), 0);
        assert_int_equal(stored[0], 1);
        assert_int_equal(stored[1], 0);
        assert_int_equal(stored[2], 1);
        assert_true(rig_checkpoint(&rig));
    }
    bench_close();
}

/* ---- answers that come late ---- */

static struct bb_index_job *late_jobs[8];
static unsigned late_count;
static bool hold_lookups, hold_exists;

static int late_lookup(void *context, const struct bb_hash *hash, struct bb_index_entry *ret_entry)
{
    (void)context;
    (void)hash;
    (void)ret_entry;
    return BB_ERR_WOULD_FAULT;
}

static void late_submit(void *context, struct bb_index_job *job)
{
    (void)context;
    struct bb_index_port port = memindex_port(rig.mem);
    bool hold = job == &rig.store->listing.exists_job ? hold_exists || hold_lookups : hold_lookups;
    if (job->kind != BB_JOB_LOOKUP || !hold) {
        port.submit(port.context, job);
        return;
    }
    assert_true(late_count < 8);
    struct bb_index index = memindex_index(rig.mem);
    for (uint32_t i = 0; i < job->count; i++) /* read now, told later */
        if (index.ops->lookup(index.context, &job->hashes[i], &job->entries[i]) != 0)
            job->entries[i].unit = UINT64_MAX;
    job->result = 0;
    late_jobs[late_count++] = job;
}

static void late_refresh(void *context)
{
    (void)context;
    struct bb_index_port port = memindex_port(rig.mem);
    port.refresh(port.context);
}

static const struct bb_index_port late_port = {
    .lookup = late_lookup, .submit = late_submit, .refresh = late_refresh};

static void tell_late(void)
{
    hold_lookups = false;
    unsigned count = late_count;
    late_count = 0; /* an answer may lead to the next question */
    for (unsigned i = 0; i < count; i++)
        bb_store_job_done(rig.store, late_jobs[i]);
    rig.woken = true;
}

static void open_late(void)
{
    rig_open(&rig, &plain);
    rig.index_port = &late_port;
    hold_lookups = hold_exists = false;
    assert_int_equal(rig_start(&rig), 0);
}

/* The index needs a turn for every 128 hashes and a checkpoint ends every ten turns or so: asked
 * for all at once, the answer would always be too old. */
static void exists_ends_while_checkpoints_follow_each_other(void **state)
{
    (void)state;
    open_late();
    for (uint32_t i = 0; i < BB_EXISTS_MAX; i++)
        asked[i] = rig.hashes[i % IDS];
    static struct call call;
    struct walk ignored = {.started = false};
    ask_exists(&call, BB_EXISTS_MAX);
    hold_exists = true;
    unsigned busy_turns = 0;
    for (unsigned turn = 0; turn < 20000 && !call.done; turn++) {
        bb_store_checkpoint(rig.store);
        churn(&ignored);
        if (late_count > 0 && busy_turns++ >= late_jobs[0]->count / 128) {
            busy_turns = 0;
            tell_late();
        }
    }
    hold_exists = false;
    assert_true(call.done);
    assert_int_equal(call.request.result, 0);
    assert_true(rig_status(&rig).checkpoints > 10);
    assert_true(rig_settle(&rig));
    bench_close();
}

static void a_late_answer_does_not_bring_back_what_was_deleted(void **state)
{
    (void)state;
    open_late();
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
    assert_true(rig_checkpoint(&rig));
    static struct call lookup, exists;
    hold_lookups = true;
    call_lookup(&lookup, 1, BB_OP_PIN);
    asked[0] = rig.hashes[1];
    ask_exists(&exists, 1);
    bench_turns(5);
    assert_int_equal(late_count, 2);
    hold_lookups = false;
    assert_int_equal(rig_do(&rig, RIG_DELETE, 1), 0);
    assert_true(rig_checkpoint(&rig));
    assert_int_equal(rig_status(&rig).delta_items, 0);
    tell_late();
    assert_int_equal(call_wait(&lookup), -ENOENT);
    assert_int_equal(call_wait(&exists), 0);
    assert_int_equal(stored[0], 0);
    bench_close();
}

static void a_late_answer_does_not_hide_what_was_stored(void **state)
{
    (void)state;
    open_late();
    static struct call lookup, remove, put;
    hold_lookups = true;
    call_lookup(&lookup, 1, 0);
    bench_turns(5);
    hold_lookups = false;
    assert_int_equal(rig_do(&rig, RIG_PUT, 1), 0);
    assert_true(rig_checkpoint(&rig));
    hold_lookups = true;
    call_delete(&remove, 2); /* that block is stored before its answer comes */
    bench_turns(5);
    hold_lookups = false;
    call_put(&put, 2, bench_buffer());
    assert_int_equal(call_wait(&put), 0);
    tell_late();
    assert_int_equal(call_wait(&lookup), 0);
    assert_int_equal(call_wait(&remove), 0);
    assert_int_equal(bench_lookup(2), -ENOENT);
    free(put.request.buf);
    bench_close();
}

static void an_error_of_the_index_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    open_late();
    static struct call lookup, remove, put;
    hold_lookups = true;
    call_lookup(&lookup, 1, BB_OP_PIN);
    call_delete(&remove, 2);
    call_put(&put, 3, bench_buffer());
    bench_turns(30);
    for (unsigned i = 0; i < late_count; i++)
        late_jobs[i]->result = -EIO;
    tell_late();
    assert_int_equal(call_wait(&lookup), -EIO);
    assert_int_equal(call_wait(&remove), -EIO);
    assert_int_equal(call_wait(&put), -EIO);
    assert_true(rig_idle(&rig, 0));
    bench_verify_balance();
    free(put.request.buf);
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_lists_nothing),
        cmocka_unit_test(a_walk_finds_what_delta_and_index_hold_together),
        cmocka_unit_test(a_page_may_be_empty_although_there_is_more),
        cmocka_unit_test(under_churn_what_stays_appears_exactly_once),
        cmocka_unit_test(exists_answers_for_every_hash_in_order),
        cmocka_unit_test(exists_says_no_for_a_block_that_is_marked_corrupt),
        cmocka_unit_test(exists_ends_while_checkpoints_follow_each_other),
        cmocka_unit_test(a_late_answer_does_not_bring_back_what_was_deleted),
        cmocka_unit_test(a_late_answer_does_not_hide_what_was_stored),
        cmocka_unit_test(an_error_of_the_index_is_told_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
