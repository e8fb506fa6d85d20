/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the simulated device share: requests with a buffer of their own. Included once
 * per test program.
 */
#ifndef IO_JOBS_H
#define IO_JOBS_H

#include "../base/unit.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/sim.h"

#include <errno.h>
#include <string.h>

#define UNIT 4096u
#define SECTOR 512u

/* A request with its own buffer of up to four units. */
struct job {
    struct bb_io_request request;
    bool done;
    uint8_t *buf;
};

static inline struct bb_sim *open_sim(bool in_order, uint64_t seed)
{
    return bb_sim_open(
        &(struct bb_sim_config){.size = 40 * BB_MIB, .seed = seed, .in_order = in_order});
}

static inline void job_done(struct bb_io_request *request)
{
    BB_CONTAINER(request, struct job, request)->done = true;
}

static inline void job_init(struct job *job)
{
    job->buf = aligned_alloc(UNIT, 4 * UNIT);
    assert_non_null(job->buf);
    job->done = false;
}

static inline void job_fini(struct job *job)
{
    free(job->buf);
}

static inline void start_write(struct bb_sim *sim, struct job *job, uint64_t unit, uint32_t units,
                               uint8_t value)
{
    job->done = false;
    memset(job->buf, value, (size_t)units * UNIT);
    bb_io_prepare(&job->request, BB_IO_WRITE, BB_IO_DATA, unit * UNIT, job->buf, units * UNIT,
                  job_done);
    bb_io_submit(bb_sim_io(sim), &job->request);
}

static inline void start_flush(struct bb_sim *sim, struct job *job)
{
    job->done = false;
    bb_io_prepare(&job->request, BB_IO_FLUSH, BB_IO_BARRIER, 0, NULL, 0, job_done);
    bb_io_submit(bb_sim_io(sim), &job->request);
}

static inline int drain(struct bb_sim *sim)
{
    int result = 0;
    while (bb_sim_io(sim)->in_flight > 0 && result >= 0)
        result = bb_io_poll(bb_sim_io(sim), true);
    return result;
}

static inline void write_now(struct bb_sim *sim, uint64_t unit, uint32_t units, uint8_t value)
{
    struct job job;
    job_init(&job);
    start_write(sim, &job, unit, units, value);
    assert_true(drain(sim) >= 0);
    assert_int_equal(job.request.result, 0);
    job_fini(&job);
}

static inline uint8_t first_byte(struct bb_sim *sim, uint64_t offset)
{
    uint8_t byte;
    bb_sim_peek(sim, offset, &byte, 1);
    return byte;
}

#endif
