/* SPDX-License-Identifier: Apache-2.0
 * An index that fails, or disagrees, while the engine runs: questions get its error, a fold that
 * does not add up ends the store.
 */
#include "bench.h"

#define IDS 40

/* The index port of the rig, with an error for jobs of one kind. */
struct faulty {
    struct bb_index_port port;
    enum bb_index_job_kind kind;
    int error;      /* 0: none */
    unsigned after; /* jobs of the kind that pass before */
};

static struct faulty faulty;

static int faulty_lookup(void *context, const struct bb_hash *hash,
                         struct bb_index_entry *ret_entry)
{
    (void)context;
    (void)hash;
    (void)ret_entry;
    return BB_ERR_WOULD_FAULT;
}

static void faulty_submit(void *context, struct bb_index_job *job)
{
    (void)context;
    if (faulty.error == 0 || job->kind != faulty.kind) {
        faulty.port.submit(faulty.port.context, job);
    } else if (faulty.after > 0) {
        faulty.after--;
        faulty.port.submit(faulty.port.context, job);
    } else {
        job->result = faulty.error;
        bb_store_job_done(rig.store, job);
    }
}

static void faulty_refresh(void *context)
{
    (void)context;
    faulty.port.refresh(faulty.port.context);
}

static const struct bb_index_port faulty_port = {
    .lookup = faulty_lookup, .submit = faulty_submit, .refresh = faulty_refresh};

static void open_with_blocks(void)
{
    static const struct rig_config config = {.seed = 1, .id_count = IDS, .size_max = 3000};
    faulty.error = 0;
    rig_open(&rig, &config);
    faulty.port = memindex_port(rig.mem);
    rig.index_port = &faulty_port;
    assert_int_equal(rig_start(&rig), 0);
    for (uint32_t id = 0; id < IDS; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
}

static int ask_list(void)
{
    static struct bb_listed entries[IDS];
    struct call call;
    call_open(&call, 0);
    call.request.op.list.from_start = true;
    call.request.op.list.entries = entries;
    call.request.op.list.count = IDS;
    bb_port_list(call.port, &call.request);
    return call_wait(&call);
}

static int ask_exists(uint32_t count)
{
    static struct bb_hash hashes[2 * BB_EXISTS_BATCH];
    static uint8_t stored[2 * BB_EXISTS_BATCH];
    struct call call;
    for (uint32_t i = 0; i < count; i++)
        hashes[i] = rig.hashes[i % IDS];
    call_open(&call, 0);
    call.request.op.exists.hashes = hashes;
    call.request.op.exists.stored = stored;
    call.request.op.exists.count = count;
    bb_port_exists(call.port, &call.request);
    int result = call_wait(&call);
    for (uint32_t i = 0; result == 0 && i < count; i++)
        assert_int_equal(stored[i], 1);
    return result;
}

static void an_error_of_the_index_answers_the_question_and_nothing_else(void **state)
{
    (void)state;
    open_with_blocks();
    assert_int_equal(bench_lookup(3), 0);
    assert_int_equal(ask_list(), 0);
    assert_int_equal(ask_exists(2 * BB_EXISTS_BATCH), 0);
    faulty.error = -EIO;
    faulty.kind = BB_JOB_LIST;
    assert_int_equal(ask_list(), -EIO);
    faulty.kind = BB_JOB_LOOKUP;
    assert_int_equal(bench_lookup(3), -EIO);
    assert_int_equal(ask_exists(IDS), -EIO);
    faulty.after = 1; /* the second batch fails */
    assert_int_equal(ask_exists(2 * BB_EXISTS_BATCH), -EIO);
    faulty.error = 0;
    assert_int_equal(bench_lookup(3), 0);
    assert_int_equal(ask_list(), 0);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

/* A crowd of questions that are not in memory: more than a batch takes, more than batches run. */
static void more_lookups_than_all_batches_hold_are_answered(void **state)
{
    (void)state;
    static struct call calls[BB_LOOKUP_BATCH * (BB_LOOKUP_JOBS + 2)];
    const unsigned count = sizeof(calls) / sizeof(calls[0]);
    open_with_blocks();
    for (unsigned i = 0; i < count; i++)
        call_lookup(&calls[i], i % IDS, 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(call_wait(&calls[i]), 0);
    bench_close();
}

static void a_fold_that_does_not_add_up_ends_the_store(void **state)
{
    (void)state;
    open_with_blocks();
    struct bb_index index = memindex_index(rig.mem);
    struct bb_index_state row;
    assert_int_equal(index.ops->state(index.context, &row), 0);
    row.set.count++;
    memindex_put_state(rig.mem, &row);
    assert_int_equal(rig_do(&rig, RIG_DELETE, 1), 0);
    bb_store_checkpoint(rig.store);
    rig.woken = true;
    for (unsigned turn = 0; turn < 200 && rig.fatal == 0; turn++)
        (void)rig_turn(&rig);
    assert_int_equal(rig.fatal, BB_ERR_SET_MISMATCH);
    struct bb_store_status status = rig_status(&rig);
    assert_int_equal(status.fatal, BB_ERR_SET_MISMATCH);
    bench_close();
}

/* The index runs out of pages in the middle of a checkpoint, whatever was foreseen: PUTs are
 * refused as when it is full, everything else goes on, and once it takes the items all is as
 * before. */
static void an_index_without_pages_refuses_puts_until_it_has_some(void **state)
{
    (void)state;
    open_with_blocks();
    for (uint32_t id = 0; id < 10; id++)
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
    uint64_t done = rig_status(&rig).checkpoints;
    memindex_fail_fold(rig.mem, 1, BB_ERR_INDEX_FULL, false);
    assert_true(rig_idle(&rig, BB_IDLE_CHECKPOINT_MS + 100));
    assert_int_equal(rig.fatal, 0);
    assert_int_equal(rig_status(&rig).checkpoints, done);
    assert_int_equal(rig_status(&rig).index_room, 0);
    struct call call;
    void *buf = bench_buffer();
    call_put(&call, 3, buf);
    assert_int_equal(call_wait(&call), BB_ERR_INDEX_FULL);
    assert_int_equal(rig_do(&rig, RIG_DELETE, 20), 0);
    assert_int_equal(bench_lookup(21), 0);
    assert_int_equal(bench_lookup(20), -ENOENT);
    rig.now_ms += BB_FULL_CHECKPOINT_MS;
    assert_true(rig_idle(&rig, 1));
    assert_int_equal(rig_status(&rig).checkpoints, done + 1);
    assert_int_equal(rig_do(&rig, RIG_PUT, 3), 0);
    assert_int_equal(rig_check(&rig), 0);
    free(buf);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

/* Everything the delta can take at half its size starts a checkpoint, though the ring is large and
 * nobody is idle. */
static void a_delta_that_is_half_full_starts_a_checkpoint(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 1,
                                .device_size = 96 * BB_MIB,
                                .journal_size = 32 * BB_MIB,
                                .memory = 600 << 10,
                                .id_count = 400,
                                .size_fixed = 500};
    bench_open(&config);
    rig.index_steps = 1;
    uint64_t capacity = rig_status(&rig).delta_max;
    for (uint64_t i = 0; i < 2 * capacity && rig_status(&rig).checkpoints == 0; i++)
        (void)rig_do(&rig, rig.allowed[i % 400] == RIG_ABSENT ? RIG_PUT : RIG_DELETE,
                     (uint32_t)(i % 400));
    struct bb_store_status status = rig_status(&rig);
    assert_true(status.checkpoints > 0);
    assert_true(status.journal_used_units < status.journal_units / 4 + capacity);
    assert_int_equal(rig_check(&rig), 0);
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_of_the_index_answers_the_question_and_nothing_else),
        cmocka_unit_test(more_lookups_than_all_batches_hold_are_answered),
        cmocka_unit_test(a_fold_that_does_not_add_up_ends_the_store),
        cmocka_unit_test(an_index_without_pages_refuses_puts_until_it_has_some),
        cmocka_unit_test(a_delta_that_is_half_full_starts_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
