/* SPDX-License-Identifier: Apache-2.0
 * The simulated device: planned faults, and bugs of an engine that it must stop.
 */
#include "jobs.h"

struct plan {
    uint64_t number;
    struct bb_sim_fault fault;
};

static struct bb_sim_fault planned(void *context, const struct bb_io_request *request,
                                   uint64_t number)
{
    const struct plan *plan = context;
    (void)request;
    return number == plan->number ? plan->fault : (struct bb_sim_fault){0};
}

static void failed_write_is_applied_as_told(void **state)
{
    (void)state;
    const enum bb_sim_applied kinds[] = {BB_SIM_NOT, BB_SIM_PARTLY, BB_SIM_FULLY};
    for (size_t k = 0; k < 3; k++) {
        struct bb_sim *sim = open_sim(true, 12);
        struct plan plan = {1, {.kind = BB_SIM_FAIL, .error = -EIO, .applied = kinds[k]}};
        struct job job;
        job_init(&job);
        bb_sim_set_fault(sim, planned, &plan);
        start_write(sim, &job, 0, 4, 0x77);
        assert_int_equal(bb_io_poll(bb_sim_io(sim), true), 1);
        assert_int_equal(job.request.result, -EIO);
        unsigned sectors = 0;
        for (uint64_t offset = 0; offset < 4 * UNIT; offset += SECTOR)
            sectors += first_byte(sim, offset) == 0x77;
        if (kinds[k] == BB_SIM_NOT)
            assert_int_equal(sectors, 0);
        else if (kinds[k] == BB_SIM_FULLY)
            assert_int_equal(sectors, 32);
        else
            assert_in_range(sectors, 1, 31); /* with this seed; 0 is allowed in general */
        assert_int_equal(bb_sim_get_counts(sim)->failed, 1);
        job_fini(&job);
        bb_sim_close(sim);
    }
}

static void failed_flush_makes_nothing_durable(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    struct plan plan = {2, {.kind = BB_SIM_FAIL, .error = -EIO}};
    bb_sim_set_fault(sim, planned, &plan);
    write_now(sim, 1, 1, 0x11);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), -EIO);
    assert_int_equal(bb_sim_undurable_count(sim), 1);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
    assert_int_equal(bb_sim_undurable_count(sim), 0);
    bb_sim_close(sim);
}

static void short_transfer_is_reported(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    uint8_t *buf = aligned_alloc(UNIT, 2 * UNIT);
    memset(buf, 0, 2 * UNIT);
    struct plan plan = {1, {.kind = BB_SIM_SHORT}};
    bb_sim_set_fault(sim, planned, &plan);
    assert_int_equal(bb_io_read(bb_sim_io(sim), BB_IO_DATA, 0, buf, 2 * UNIT), BB_ERR_SHORT_IO);
    assert_int_not_equal(buf[2 * UNIT - 1], 0); /* the rest is garbage, not luckily right */
    plan.number = 2;
    assert_int_equal(bb_io_write(bb_sim_io(sim), BB_IO_DATA, 0, buf, 2 * UNIT), BB_ERR_SHORT_IO);
    free(buf);
    bb_sim_close(sim);
}

static void hung_request_never_completes_and_its_write_may_land(void **state)
{
    (void)state;
    struct bb_sim *sim = open_sim(true, 1);
    struct plan plan = {1, {.kind = BB_SIM_HANG}};
    struct job job;
    job_init(&job);
    bb_sim_set_fault(sim, planned, &plan);
    start_write(sim, &job, 3, 1, 0x33);
    assert_int_equal(bb_io_poll(bb_sim_io(sim), false), 0);
    assert_int_equal(bb_io_poll(bb_sim_io(sim), true), -ETIMEDOUT);
    assert_int_equal(bb_io_flush(bb_sim_io(sim)), 0);
    assert_int_equal(first_byte(sim, 3 * UNIT), 0);
    assert_int_equal(bb_sim_io(sim)->in_flight, 1);
    bb_sim_power_cut(sim, bb_sim_choose_all, NULL);
    assert_int_equal(first_byte(sim, 3 * UNIT), 0x33);
    assert_false(job.done);
    job_fini(&job);
    bb_sim_close(sim);
}

/* ---- Bugs of an engine that the device must stop ---- */

struct wrong {
    void (*run)(struct bb_sim *sim);
};

static void run_wrong(void *wrong)
{
    ((struct wrong *)wrong)->run(open_sim(true, 1));
}

static void two_writes(struct bb_sim *sim)
{
    static struct job a, b;
    job_init(&a);
    job_init(&b);
    start_write(sim, &a, 1, 2, 1);
    start_write(sim, &b, 2, 1, 2);
}

static void read_under_write(struct bb_sim *sim)
{
    static struct job a;
    job_init(&a);
    start_write(sim, &a, 1, 2, 1);
    uint8_t *buf = aligned_alloc(UNIT, UNIT);
    (void)!bb_io_read(bb_sim_io(sim), BB_IO_DATA, 2 * UNIT, buf, UNIT);
}

static void changed_buffer(struct bb_sim *sim)
{
    static struct job a;
    job_init(&a);
    start_write(sim, &a, 1, 2, 1);
    a.buf[UNIT + 77] ^= 1;
    bb_io_poll(bb_sim_io(sim), true);
}

static void past_the_end(struct bb_sim *sim)
{
    static struct job a;
    job_init(&a);
    start_write(sim, &a, 40 * BB_MIB / UNIT - 1, 2, 1);
}

static void neighbours(struct bb_sim *sim)
{
    static struct job a, b;
    job_init(&a);
    job_init(&b);
    start_write(sim, &a, 1, 2, 1);
    start_write(sim, &b, 3, 1, 2);
    bb_io_poll(bb_sim_io(sim), true);
}

static void bugs_of_the_engine_are_assertions(void **state)
{
    (void)state;
    assert_true(unit_aborts(run_wrong, &(struct wrong){two_writes}));
    assert_true(unit_aborts(run_wrong, &(struct wrong){read_under_write}));
    assert_true(unit_aborts(run_wrong, &(struct wrong){changed_buffer}));
    assert_true(unit_aborts(run_wrong, &(struct wrong){past_the_end}));
    assert_false(unit_aborts(run_wrong, &(struct wrong){neighbours})); /* canary of aborts() */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_write_is_applied_as_told),
        cmocka_unit_test(failed_flush_makes_nothing_durable),
        cmocka_unit_test(short_transfer_is_reported),
        cmocka_unit_test(hung_request_never_completes_and_its_write_may_land),
        cmocka_unit_test(bugs_of_the_engine_are_assertions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
