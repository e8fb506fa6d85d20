/* SPDX-License-Identifier: Apache-2.0
 * The simulated device: what a flush covers, what a cut may leave, death, faults, clones, and a
 * random run against a naive model of one byte per sector.
 */
#include "bb/sim.h"

#include "bb/bits.h"
#include "bb/err.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define UNIT 4096u
#define SECTOR 512u

/* A request with its own buffer of up to four units. */
struct job {
    struct bb_io_request request;
    bool done;
    uint8_t *buf;
};

static struct bb_sim *open_sim(bool in_order, uint64_t seed)
{
    return bb_sim_open(
        &(struct bb_sim_config){.size = 40 * BB_MIB, .seed = seed, .in_order = in_order});
}

static void job_done(struct bb_io_request *request)
{
    BB_CONTAINER(request, struct job, request)->done = true;
}

static void job_init(struct job *job)
{
    job->buf = aligned_alloc(UNIT, 4 * UNIT);
    assert_non_null(job->buf);
    job->done = false;
}

static void job_fini(struct job *job)
{
    free(job->buf);
}

static void start_write(struct bb_sim *sim, struct job *job, uint64_t unit, uint32_t units,
                        uint8_t value)
{
    job->done = false;
    memset(job->buf, value, (size_t)units * UNIT);
    bb_io_prepare(&job->request, BB_IO_WRITE, BB_IO_DATA, unit * UNIT, job->buf, units * UNIT,
                  job_done);
    bb_io_submit(bb_sim_io(sim), &job->request);
}

static void start_flush(struct bb_sim *sim, struct job *job)
{
    job->done = false;
    bb_io_prepare(&job->request, BB_IO_FLUSH, BB_IO_BARRIER, 0, NULL, 0, job_done);
    bb_io_submit(bb_sim_io(sim), &job->request);
}

static int drain(struct bb_sim *sim)
{
    int result = 0;
    while (bb_sim_io(sim)->in_flight > 0 && result >= 0)
        result = bb_io_poll(bb_sim_io(sim), true);
    return result;
}

static void write_now(struct bb_sim *sim, uint64_t unit, uint32_t units, uint8_t value)
{
    struct job job;
    job_init(&job);
    start_write(sim, &job, unit, units, value);
    assert_true(drain(sim) >= 0);
    assert_int_equal(job.request.result, 0);
    job_fini(&job);
}

static uint8_t first_byte(struct bb_sim *sim, uint64_t offset)
{
    uint8_t byte;
    bb_sim_peek(sim, offset, &byte, 1);
    return byte;
}

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

/* ---- Bugs of an engine that the device must stop ---- */

/* Runs `wrong` in a child; true if it aborted. */
static bool aborts(void (*wrong)(struct bb_sim *sim))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        struct bb_sim *sim = open_sim(true, 1);
        wrong(sim);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
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
    assert_true(aborts(two_writes));
    assert_true(aborts(read_under_write));
    assert_true(aborts(changed_buffer));
    assert_true(aborts(past_the_end));
    assert_false(aborts(neighbours)); /* canary of aborts() */
}

/* ---- Random runs against a naive model ---- */

#define MODEL_UNITS 12u
#define MODEL_SECTORS (MODEL_UNITS * 8)
#define MODEL_VERSIONS 64u

/* Per sector: every value that a cut may leave, oldest first; [0] is durable. */
struct model {
    uint8_t values[MODEL_SECTORS][MODEL_VERSIONS];
    uint64_t order[MODEL_SECTORS][MODEL_VERSIONS]; /* of completion; 0 durable, ~0 in flight */
    unsigned count[MODEL_SECTORS];
    uint64_t completions;
};

struct actor {
    struct bb_sim *sim;
    struct model *model;
    struct job jobs[6];
    bool busy[6];
    uint64_t covers[6];
    uint8_t next_value;
    bool believe_flush; /* canary: takes a failed flush for a good one */
};

static void model_begin(struct model *model, uint64_t sector, uint8_t value)
{
    assert_true(model->count[sector] < MODEL_VERSIONS);
    model->values[sector][model->count[sector]] = value;
    model->order[sector][model->count[sector]++] = UINT64_MAX;
}

static void model_flushed(struct model *model, uint64_t covers)
{
    for (unsigned s = 0; s < MODEL_SECTORS; s++) {
        unsigned keep = 0;
        for (unsigned v = 0; v < model->count[s]; v++)
            if (model->order[s][v] <= covers)
                keep = v;
        model->count[s] -= keep;
        memmove(model->values[s], model->values[s] + keep, model->count[s]);
        memmove(model->order[s], model->order[s] + keep,
                model->count[s] * sizeof(model->order[s][0]));
    }
}

static bool model_allows(const struct model *model, struct bb_sim *sim)
{
    for (unsigned s = 0; s < MODEL_SECTORS; s++) {
        uint8_t bytes[SECTOR];
        bool found = false;
        bb_sim_peek(sim, (uint64_t)s * SECTOR, bytes, sizeof(bytes));
        for (unsigned v = 0; v < model->count[s]; v++)
            found |= model->values[s][v] == bytes[0];
        for (unsigned i = 1; i < SECTOR; i++)
            found &= bytes[i] == bytes[0];
        if (!found)
            return false;
    }
    return true;
}

/* Takes in what has completed since the last look. In which order it did does not matter: writes in
 * flight together do not overlap, and no flush in flight covers them. */
static void actor_reap(struct actor *actor)
{
    for (unsigned j = 0; j < 6; j++) {
        struct bb_io_request *request = &actor->jobs[j].request;
        if (!actor->busy[j] || !actor->jobs[j].done)
            continue;
        actor->busy[j] = false;
        if (request->op == BB_IO_FLUSH) {
            if (request->result == 0 || actor->believe_flush)
                model_flushed(actor->model, actor->covers[j]);
            continue;
        }
        actor->model->completions++;
        for (uint64_t s = request->offset / SECTOR; s < (request->offset + request->size) / SECTOR;
             s++)
            actor->model->order[s][actor->model->count[s] - 1] = actor->model->completions;
    }
}

static bool actor_overlaps(const struct actor *actor, uint64_t unit, uint32_t units)
{
    for (unsigned j = 0; j < 6; j++) {
        const struct bb_io_request *request = &actor->jobs[j].request;
        if (actor->busy[j] && request->op == BB_IO_WRITE &&
            unit * UNIT < request->offset + request->size &&
            request->offset < (unit + units) * UNIT)
            return true;
    }
    return false;
}

static void actor_step(struct actor *actor, struct bb_random *random)
{
    unsigned j = (unsigned)bb_random_below(random, 6);
    uint64_t draw = bb_random_below(random, 10);
    if (draw < 4) {
        assert_true(bb_io_poll(bb_sim_io(actor->sim), true) >= 0);
        actor_reap(actor);
    } else if (actor->busy[j]) {
        return;
    } else if (draw < 5) {
        actor->busy[j] = true;
        actor->covers[j] = actor->model->completions;
        start_flush(actor->sim, &actor->jobs[j]);
    } else {
        uint32_t units = 1 + (uint32_t)bb_random_below(random, 3);
        uint64_t unit = bb_random_below(random, MODEL_UNITS - units + 1);
        if (actor_overlaps(actor, unit, units))
            return;
        actor->busy[j] = true;
        uint8_t value = ++actor->next_value;
        for (uint64_t s = unit * 8; s < (unit + units) * 8; s++)
            model_begin(actor->model, s, value);
        start_write(actor->sim, &actor->jobs[j], unit, units, value);
    }
}

static struct bb_sim_fault fail_flushes(void *context, const struct bb_io_request *request,
                                        uint64_t number)
{
    (void)context;
    (void)number;
    if (request->op == BB_IO_FLUSH)
        return (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = -EIO};
    return (struct bb_sim_fault){0};
}

/* One life of at most 40 steps, then several cuts of it. False if an image is not allowed. */
static bool random_life(uint64_t seed, bool canary, struct bb_hash *ret_digest)
{
    struct bb_random random;
    static struct model model;
    struct actor actor = {.sim = open_sim(false, seed), .model = &model, .believe_flush = canary};
    bb_random_seed(&random, seed);
    memset(&model, 0, sizeof(model));
    for (unsigned s = 0; s < MODEL_SECTORS; s++)
        model.count[s] = 1;
    for (unsigned j = 0; j < 6; j++)
        job_init(&actor.jobs[j]);
    if (canary)
        bb_sim_set_fault(actor.sim, fail_flushes, NULL);
    for (uint64_t steps = bb_random_below(&random, 40); steps > 0; steps--)
        actor_step(&actor, &random);

    bool allowed = true;
    for (unsigned i = 0; i < 4; i++) {
        struct bb_sim *image = bb_sim_clone(actor.sim);
        bb_sim_power_cut(image, i == 0 ? bb_sim_choose_none : bb_sim_choose_random, &random);
        allowed &= model_allows(&model, image);
        bb_sim_digest(image, ret_digest);
        bb_sim_close(image);
    }
    bb_sim_power_cut(actor.sim, bb_sim_choose_all, NULL);
    for (unsigned s = 0; s < MODEL_SECTORS; s++)
        allowed &= first_byte(actor.sim, s * SECTOR) == model.values[s][model.count[s] - 1];
    bb_sim_close(actor.sim);
    for (unsigned j = 0; j < 6; j++)
        job_fini(&actor.jobs[j]);
    return allowed;
}

static uint64_t first_seed(void)
{
    const char *text = getenv("BB_SEED");
    uint64_t seed = 0;
    if (text)
        seed = strtoull(text, NULL, 10);
    else
        bb_random_from_kernel(&seed, sizeof(seed));
    print_message("BB_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void every_crash_image_is_one_the_model_allows(void **state)
{
    (void)state;
    uint64_t seed = first_seed();
    struct bb_hash digest;
    for (uint64_t i = 0; i < 2000; i++)
        if (!random_life(seed + i, false, &digest))
            fail_msg("BB_SEED=%llu gives an image the model forbids",
                     (unsigned long long)(seed + i));
}

static void canary_a_flush_believed_but_failed_is_found(void **state)
{
    (void)state;
    struct bb_hash digest;
    unsigned found = 0;
    for (uint64_t seed = 0; seed < 200; seed++)
        found += !random_life(seed, true, &digest);
    assert_true(found > 20);
}

static void same_seed_gives_the_same_bytes(void **state)
{
    (void)state;
    struct bb_hash first, second, other;
    unsigned different = 0;
    for (uint64_t seed = 100; seed < 150; seed++) {
        assert_true(random_life(seed, false, &first));
        assert_true(random_life(seed, false, &second));
        assert_true(bb_hash_equal(&first, &second));
        assert_true(random_life(seed + 1, false, &other));
        different += !bb_hash_equal(&first, &other);
    }
    assert_true(different > 25);
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
        cmocka_unit_test(failed_write_is_applied_as_told),
        cmocka_unit_test(failed_flush_makes_nothing_durable),
        cmocka_unit_test(short_transfer_is_reported),
        cmocka_unit_test(hung_request_never_completes_and_its_write_may_land),
        cmocka_unit_test(reordering_explores_orders_and_splits),
        cmocka_unit_test(bugs_of_the_engine_are_assertions),
        cmocka_unit_test(every_crash_image_is_one_the_model_allows),
        cmocka_unit_test(canary_a_flush_believed_but_failed_is_found),
        cmocka_unit_test(same_seed_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
