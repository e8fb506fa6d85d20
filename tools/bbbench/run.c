/* SPDX-License-Identifier: Apache-2.0
 * A phase starts its load threads and ends with their joining, so that nothing is shared while they
 * run. One arena, taken before the first connection, holds what all of them need. */
#include "bbbench/run.h"

#include "bb/err.h"
#include "bbbench/report.h"
#include "bbbench/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#define NS_PER_S ((uint64_t)1000000000)

struct worker {
    struct bb_load load;
    struct bb_phase phase;
    pthread_t thread;
};

struct run {
    const struct bb_run_config *config;
    struct bb_load_config load_config;
    struct bb_arena arena;
    struct worker *workers;
    uint32_t opened;
    struct bb_result result; /* of the current phase */
    struct bb_totals totals;
    bool failed;
};

/* Part `index` of `whole` cut into `count` nearly equal parts. */
static uint64_t part_of(uint64_t whole, uint32_t index, uint32_t count)
{
    return whole / count + (index < whole % count ? 1 : 0);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    bb_load_run(&worker->load, &worker->phase);
    return NULL;
}

static uint64_t acked_count(const struct run *run)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < run->opened; i++)
        count += run->workers[i].load.acked.count;
    return count;
}

/* Runs one phase on all threads and gathers the result. */
static void run_threads(struct run *run, enum bb_op op, uint64_t seconds, uint64_t requests,
                        uint64_t rate)
{
    const struct bb_run_config *config = run->config;
    struct bb_result *result = &run->result;
    uint64_t now_ns = bb_load_clock_ns();
    for (uint32_t i = 0; i < config->threads; i++) {
        struct worker *worker = &run->workers[i];
        worker->phase.op = op;
        worker->phase.deadline_ns = seconds > 0 ? now_ns + seconds * NS_PER_S : UINT64_MAX;
        worker->phase.request_max =
            requests > 0 ? part_of(requests, i, config->threads) : UINT64_MAX;
        worker->phase.interval_ns = rate > 0 ? NS_PER_S * config->threads / rate : 0;
        int error = pthread_create(&worker->thread, NULL, work, worker);
        BB_ASSERT(error == 0);
    }
    result->op = op;
    bb_tally_reset(&result->tally, now_ns);
    for (uint32_t i = 0; i < config->threads; i++) {
        pthread_join(run->workers[i].thread, NULL);
        bb_tally_merge(&result->tally, &run->workers[i].load.tally);
    }
    result->acked = acked_count(run);
    run->totals.operations += bb_tally_operations(&result->tally);
    run->totals.hashed += result->tally.hashed;
    run->totals.faults += bb_tally_faults(&result->tally);
    run->totals.violations += bb_tally_violations(&result->tally);
}

static struct bb_cost cost_since(const struct bb_cost *then, const struct bb_cost *now)
{
    return (struct bb_cost){now->user_us - then->user_us, now->system_us - then->system_us};
}

static void run_phase(struct run *run, enum bb_op op)
{
    const struct bb_run_config *config = run->config;
    struct bb_result *result = &run->result;
    struct bb_cost client_then;
    struct bb_cost client_now;
    struct bb_cost server_then;
    struct bb_cost server_now;
    uint64_t machine_then = 0;
    uint64_t machine_now = 0;
    bool has_machine = bb_cost_of_machine(&machine_then);
    result->has_server = config->pid != 0 && bb_cost_of_process(config->pid, &server_then);
    bb_cost_of_self(&client_then);
    run_threads(run, op, config->seconds, config->requests, config->rate);
    bb_cost_of_self(&client_now);
    has_machine = has_machine && bb_cost_of_machine(&machine_now);
    result->machine_us = has_machine ? machine_now - machine_then : 0;
    result->client = cost_since(&client_then, &client_now);
    result->has_server = result->has_server && bb_cost_of_process(config->pid, &server_now) &&
                         bb_cost_rss_anon(config->pid, &result->server_rss_anon);
    if (result->has_server)
        result->server = cost_since(&server_then, &server_now);
    if (config->json)
        bb_report_json(result);
    else
        bb_report_text(result);
    if (config->pid != 0 && !result->has_server)
        fprintf(stderr, "bbbench: --pid %ld: no such process, server cost is not known\n",
                (long)config->pid);
    if (bb_tally_operations(&result->tally) == 0) {
        fprintf(stderr, "bbbench: phase %s: no operation succeeded\n", bb_op_name(op));
        run->failed = true;
    }
}

/* Stores blocks until config->blocks are remembered. */
static void prefill(struct run *run)
{
    uint64_t have = acked_count(run);
    if (have >= run->config->blocks)
        return;
    run_threads(run, BB_OP_PUT, 0, run->config->blocks - have, 0);
    have = acked_count(run);
    if (have < run->config->blocks) {
        fprintf(stderr, "bbbench: --blocks: only %" PRIu64 " of %" PRIu64 " are stored\n", have,
                run->config->blocks);
        run->failed = true;
    }
}

static int open_run(struct run *run)
{
    const struct bb_run_config *config = run->config;
    uint32_t share = config->connections / config->threads + 1;
    size_t size = BB_BODY_BASE_SIZE + config->threads * sizeof(*run->workers) + 2 * 4096 +
                  config->threads * bb_load_memory(&run->load_config, share);
    int error = bb_arena_open(size, false, false, &run->arena);
    if (error != 0)
        return error;
    uint8_t *base = bb_arena_alloc(&run->arena, BB_BODY_BASE_SIZE, 4096);
    run->workers = bb_arena_alloc(&run->arena, config->threads * sizeof(*run->workers), 4096);
    BB_ASSERT(base != NULL);
    BB_ASSERT(run->workers != NULL);
    bb_body_init(&run->load_config.body, config->seed, base);
    for (uint32_t i = 0; i < config->threads && error == 0; i++) {
        uint32_t connections = (uint32_t)part_of(config->connections, i, config->threads);
        error = bb_load_open(&run->workers[i].load, &run->load_config, i, connections, &run->arena);
        run->opened++;
        if (error == 0)
            error =
                bb_load_adopt(&run->workers[i].load, part_of(config->stored, i, config->threads));
    }
    /* last: ten million blocks are hashed longer than a server waits for a request */
    for (uint32_t i = 0; i < config->threads && error == 0; i++)
        error = bb_load_connect(&run->workers[i].load);
    bb_arena_seal(&run->arena);
    return error;
}

static bool open_tls(struct run *run)
{
    const struct bb_run_config *config = run->config;
    const char *reason;
    if (!config->target.secure)
        return true;
    BB_ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* OpenSSL writes without MSG_NOSIGNAL */
    run->load_config.tls = bb_wire_context(config->ca, config->insecure, &reason);
    if (run->load_config.tls == NULL)
        fprintf(stderr, "bbbench: --ca %s: %s\n", config->ca != NULL ? config->ca : "", reason);
    return run->load_config.tls != NULL;
}

int bb_run(const struct bb_run_config *config)
{
    static struct run run; /* large: histograms */
    run.config = config;
    run.load_config.target = config->target;
    run.load_config.choices = config->choices != 0 ? config->choices : config->seed;
    run.load_config.size_min = config->size_min;
    run.load_config.size_max = config->size_max;
    run.load_config.batch = config->batch;
    run.load_config.verify = config->verify;
    run.load_config.path = config->path;
    run.result.config = &run.load_config;
    run.result.connections = config->connections;
    run.result.threads = config->threads;
    run.result.rate = config->rate;
    if (!open_tls(&run))
        return 1;
    int error = open_run(&run);
    if (error != 0) {
        const char *cure = error == -ECONNREFUSED ? ", start the server or correct --url" : "";
        fprintf(stderr, "bbbench: cannot open %" PRIu32 " connections to %s: %s%s\n",
                config->connections, config->target.host, bb_err_text(error), cure);
        return 1;
    }
    bool filled = false;
    for (uint32_t i = 0; i < config->op_count; i++) {
        if (bb_op_needs_blocks(config->ops[i]) && !filled) {
            prefill(&run);
            filled = true;
        }
        run_phase(&run, config->ops[i]);
    }
    run.totals.acked = acked_count(&run);
    run.totals.seed = config->seed;
    bb_report_totals(&run.totals, config->json);
    for (uint32_t i = 0; i < run.opened; i++)
        bb_load_close(&run.workers[i].load);
    bb_wire_context_close(run.load_config.tls);
    bb_arena_close(&run.arena);
    return run.failed || run.totals.faults > 0 ? 1 : 0;
}
