/* SPDX-License-Identifier: Apache-2.0
 * When a commit window goes out: not without the data that is on its way, and not much later.
 */
#include "bench.h"

static const struct rig_config plain = {.seed = 1};

static void blocks_that_arrive_together_are_committed_together(void **state)
{
    (void)state;
    enum { ROUNDS = 20, TOGETHER = 16 };
    bench_open(&plain);
    assert_int_equal(rig_do(&rig, RIG_PUT, 63), 0);
    uint64_t before = rig_status(&rig).windows;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint32_t id = 0; id < TOGETHER; id++)
            (void)rig_submit(&rig, round % 2 == 0 ? RIG_PUT : RIG_DELETE, id);
        assert_true(rig_settle(&rig));
    }
    /* Their writes end in any order over some turns; without waiting there are 65 windows. */
    uint64_t windows = rig_status(&rig).windows - before;
    assert_in_range(windows, ROUNDS, 2 * ROUNDS);
    bench_verify_balance();
    bench_close();
}

static void a_single_writer_waits_for_nobody(void **state)
{
    (void)state;
    bench_open(&plain);
    for (uint32_t id = 0; id < 20; id++) { /* a wait for a timer would be a violation */
        uint64_t now_ms = rig.now_ms;
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
        assert_int_equal(rig.now_ms, now_ms);
    }
    bench_close();
}

static void data_that_never_arrives_holds_a_window_for_some_milliseconds(void **state)
{
    (void)state;
    struct rig_config config = {.seed = 1, .io_errors = true};
    bench_open(&config);
    assert_int_equal(rig_do(&rig, RIG_PUT, 9), 0);
    struct plan plan = {
        .class = BB_IO_DATA, .op = BB_IO_WRITE, .countdown = 1, .fault = {.kind = BB_SIM_HANG}};
    bench_plan(&plan);
    static struct call stuck, other;
    call_put(&stuck, 1, bench_buffer());
    bench_turns(20);
    assert_int_equal(plan.hits, 1);
    call_put(&other, 2, bench_buffer());
    bench_turns(100); /* no time passes: the loop waits for it at most a millisecond each turn */
    assert_false(other.done);
    for (unsigned ms = 0; ms < 20 && !other.done; ms++) {
        rig.now_ms++;
        bench_turns(10);
    }
    assert_true(other.done);
    assert_int_equal(other.request.result, 0);
    assert_false(stuck.done);
    rig_drop(&rig);
    free(stuck.request.buf);
    free(other.request.buf);
    rig_close(&rig);
}

static struct bb_sim_fault slow_flush(void *context, const struct bb_io_request *request,
                                      uint64_t number)
{
    (void)context;
    (void)number;
    return (struct bb_sim_fault){.kind = request->op == BB_IO_FLUSH ? BB_SIM_LATE : BB_SIM_PASS,
                                 .polls = 60};
}

/* Writers of which each asks again as soon as it is answered, one after the other; a flush takes 60
 * turns, each a millisecond. They end up in one window, and it is not taken for idleness when
 * nothing but the flush happens for 60 ms. */
static void writers_share_one_slow_flush(void **state)
{
    (void)state;
    enum { WRITERS = 12, WARM = 10, ROUNDS = 30, MS_MAX = 20000 };
    static struct call calls[WRITERS];
    static void *buffers[WRITERS];
    unsigned done = 0, asked[WRITERS] = {0};
    uint64_t began_ms = 0, flushes = 0;
    bench_open(&plain);
    bb_sim_set_fault(rig.sim, slow_flush, NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        buffers[i] = bench_buffer();
    for (unsigned ms = 0; ms < MS_MAX && done < WRITERS * (WARM + ROUNDS); ms++) {
        unsigned i = ms % WRITERS; /* one of them comes back in each millisecond */
        if (asked[i] == 0 || calls[i].done) {
            done += calls[i].done;
            if (asked[i]++ % 2 == 0)
                call_put(&calls[i], i, buffers[i]);
            else
                call_delete(&calls[i], i);
        }
        if (done == WRITERS * WARM && began_ms == 0) {
            began_ms = rig.now_ms;
            flushes = rig_status(&rig).flushes;
        }
        rig.now_ms++;
        bench_turns(1);
    }
    assert_true(done >= WRITERS * (WARM + ROUNDS));
    assert_in_range(rig_status(&rig).flushes - flushes, ROUNDS - 2, ROUNDS + ROUNDS / 2);
    bb_sim_set_fault(rig.sim, NULL, NULL);
    for (unsigned i = 0; i < WRITERS; i++) {
        for (unsigned ms = 0; ms < MS_MAX && !calls[i].done; ms++) {
            rig.now_ms++;
            bench_turns(1);
        }
        assert_true(calls[i].done);
        free(buffers[i]);
    }
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_that_arrive_together_are_committed_together),
        cmocka_unit_test(a_single_writer_waits_for_nobody),
        cmocka_unit_test(data_that_never_arrives_holds_a_window_for_some_milliseconds),
        cmocka_unit_test(writers_share_one_slow_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
