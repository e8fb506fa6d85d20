/* SPDX-License-Identifier: Apache-2.0
 * Threads: started in one go, each reports once; stopped in the order of phase.h. Waiting here is
 * done by looking every few milliseconds: it is start and stop, and the workers shall not have to
 * know who waits. Owner: the main thread; `failing` is anybody's.
 */
#include "bb/server.h"

#include "bb/bits.h"
#include "bb/clock.h"
#include "bb/err.h"
#include "bb/log.h"
#include "bb/tls.h"

#include <errno.h>
#include <time.h>

#define CONTROL_RING_ENTRIES 256u
#define CONTROL_IN_FLIGHT 16u
#define ARENA_EXTRA ((size_t)1 << 20)
#define LOOK_NS 5000000
#define LAST_WORDS_MS 1000u
#define RELOAD_WAIT_MS 2000u

/* What a reload replaces: one of two, the other may still be in use. */
struct replaceable {
    struct bb_tokens tokens;
    struct ssl_ctx_st *tls;
    char settings_page[BB_CONFIG_PAGE_MAX];
};

struct bb_server {
    struct bb_server_config config;
    struct bb_shared shared;
    struct bb_arena arena; /* this, the workers, the queues */
    pthread_t control_thread;
    sem_t started;
    int control_error;
    const char *control_reason;
    atomic_flag failing;
    struct replaceable replaceable[2];
    unsigned current; /* of replaceable */
};

static void pause_shortly(void)
{
    const struct timespec time = {.tv_nsec = LOOK_NS};
    (void)nanosleep(&time, NULL); /* waking early is harmless */
}

static void fatal(void *context, int error, const char *what)
{
    struct bb_server *server = context;
    if (atomic_flag_test_and_set(&server->failing))
        return;
    atomic_store_explicit(&server->shared.board.fatal, true, memory_order_release);
    bb_log(BB_LOG_ERROR,
           "fatal: %s: %s (data device %s, index device %s); nothing more is acknowledged, restart "
           "to verify",
           what, bb_err_text(error), server->shared.data->path, server->shared.index->path);
    server->config.on_fatal(server->config.context);
}

static void *control_main(void *argument)
{
    struct bb_server *server = argument;
    struct bb_ring *ring = NULL;
    (void)pthread_setname_np(pthread_self(), "bb-control");
    struct bb_ring_config config = {
        .entries = CONTROL_RING_ENTRIES,
        .device = server->config.data,
        .device_in_flight_max = CONTROL_IN_FLIGHT,
        .discards = true,
        .only_6_1 = server->config.only_6_1,
    };
    server->control_error = bb_ring_open(&config, &ring, &server->control_reason);
    bool failed = server->control_error != 0;
    if (!failed)
        bb_control_attach(server->shared.control, ring);
    BB_ASSERT(sem_post(&server->started) == 0);
    if (failed)
        return NULL;
    bb_control_run(server->shared.control);
    (void)pthread_barrier_wait(&server->shared.leaving);
    bb_ring_close(ring);
    return NULL;
}

/* Messages per queue: requests, answers, unpins and releases, several for each connection. */
static uint32_t link_capacity(const struct bb_budget *budget)
{
    unsigned per_worker = (unsigned)bb_div_ceil(budget->connections, budget->workers);
    return 1u << bb_log2_ceil(4u * per_worker + 1024u);
}

static int open_control(struct bb_server *server)
{
    const struct bb_budget *budget = &server->config.budget;
    struct bb_control_config config = {
        .arena = &server->arena,
        .link_count = budget->workers,
        .link_capacity = link_capacity(budget),
        .op_max = budget->connections + 64 * budget->workers,
        .board = &server->shared.board,
        .on_fatal = fatal,
        .context = server,
    };
    return bb_control_open(&config, &server->shared.control);
}

static void publish(struct bb_server *server, const struct bb_config *settings,
                    const struct bb_tokens *tokens, struct ssl_ctx_st *tls)
{
    static struct bb_config defaults;
    struct bb_shared *shared = &server->shared;
    struct replaceable *next = &server->replaceable[1 - server->current];
    if (settings == NULL) {
        bb_config_init(&defaults);
        settings = &defaults;
    }
    if (tokens != NULL)
        next->tokens = *tokens;
    bb_tls_context_close(next->tls);
    next->tls = tls;
    (void)bb_config_json(settings, next->settings_page);
    bb_limits_set(&shared->limits, settings);
    atomic_store(&shared->gate.append_only, bb_config_number(settings, BB_OPTION_APPEND_ONLY) != 0);
    atomic_store_explicit(&shared->gate.tokens, tokens != NULL ? &next->tokens : NULL,
                          memory_order_release);
    atomic_store_explicit(&shared->settings_page, next->settings_page, memory_order_release);
    atomic_store_explicit(&shared->tls, tls, memory_order_release);
    server->current = 1 - server->current;
}

static int init_shared(struct bb_server *server)
{
    const struct bb_server_config *config = &server->config;
    struct bb_shared *shared = &server->shared;
    bb_board_init(&shared->board, bb_clock_ms());
    shared->gate.auth_none = config->auth_none;
    shared->gate.read_only =
        config->settings != NULL && bb_config_number(config->settings, BB_OPTION_READ_ONLY) != 0;
    shared->gate.hosts = config->hosts;
    shared->gate.host_count = config->host_count;
    publish(server, config->settings, config->tokens, config->tls);
    shared->budget = config->budget;
    shared->data = config->data;
    shared->index = config->index;
    shared->controller_inline = config->controller_inline;
    shared->only_6_1 = config->only_6_1;
    shared->listeners = config->listeners;
    shared->listener_count = config->listener_count;
    shared->worker_count = config->budget.workers;
    shared->buffers_registered = true;
    shared->on_fatal = fatal;
    shared->context = server;
    unsigned threads = shared->worker_count + (shared->controller_inline ? 0 : 1);
    int error = pthread_barrier_init(&shared->leaving, NULL, threads + 1);
    if (error != 0)
        return -error;
    error = open_control(server);
    if (error != 0)
        return error;
    shared->workers =
        bb_arena_alloc(&server->arena, shared->worker_count * sizeof(struct bb_worker),
                       _Alignof(struct bb_worker));
    if (shared->workers == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < shared->worker_count && error == 0; i++)
        error = bb_worker_init(&shared->workers[i], shared, i);
    return error;
}

static int start_threads(struct bb_server *server, const char **ret_reason)
{
    struct bb_shared *shared = &server->shared;
    unsigned count = 0;
    int error = 0;
    if (!shared->controller_inline) {
        error = -pthread_create(&server->control_thread, NULL, control_main, server);
        count += error == 0;
    }
    for (unsigned i = 0; i < shared->worker_count && error == 0; i++) {
        error = bb_worker_start(&shared->workers[i], &server->started);
        count += error == 0;
    }
    for (unsigned i = 0; i < count; i++)
        while (sem_wait(&server->started) != 0)
            BB_ASSERT(errno == EINTR);
    if (error == 0 && server->control_error != 0) {
        error = server->control_error;
        *ret_reason = server->control_reason;
    }
    for (unsigned i = 0; i < shared->worker_count && error == 0; i++) {
        const struct bb_worker *worker = &shared->workers[i];
        error = worker->start_error;
        *ret_reason = worker->start_reason;
        if (error == 0 && !worker->buffers_registered)
            shared->buffers_registered = false;
    }
    return error;
}

int bb_server_start(const struct bb_server_config *config, struct bb_server **ret_server,
                    const char **ret_reason)
{
    BB_ASSERT(config->budget.workers > 0 && config->budget.workers <= BB_WORKER_MAX);
    BB_ASSERT(config->listener_count <= BB_LISTENER_MAX);
    *ret_reason = NULL;
    const struct bb_budget *budget = &config->budget;
    struct bb_arena arena;
    size_t queues = (size_t)budget->workers * link_capacity(budget) * 2 * sizeof(struct bb_message);
    size_t size = sizeof(struct bb_server) + budget->workers * sizeof(struct bb_worker) + queues;
    int error = bb_arena_open(size + ARENA_EXTRA, false, false, &arena);
    if (error != 0)
        return error;
    struct bb_server *server = bb_arena_alloc(&arena, sizeof(*server), _Alignof(struct bb_server));
    BB_ASSERT(server != NULL);
    server->arena = arena;
    server->config = *config;
    atomic_flag_clear(&server->failing);
    BB_ASSERT(sem_init(&server->started, 0, 0) == 0);
    error = init_shared(server);
    if (error == 0)
        error = start_threads(server, ret_reason);
    if (error == 0)
        *ret_server = server;
    return error;
}

struct bb_shared *bb_server_shared(struct bb_server *server)
{
    return &server->shared;
}

void bb_server_set_phase(struct bb_server *server, enum bb_phase phase)
{
    bb_board_set_phase(&server->shared.board, phase);
    for (unsigned i = 0; i < server->shared.worker_count; i++)
        bb_worker_wake(&server->shared.workers[i]);
    bb_control_wake(server->shared.control);
}

void bb_server_beat(struct bb_server *server)
{
    atomic_fetch_add(&server->shared.board.beat, 1);
    for (unsigned i = 0; i < server->shared.worker_count; i++)
        bb_worker_wake(&server->shared.workers[i]);
    bb_control_wake(server->shared.control);
}

bool bb_server_beating(const struct bb_server *server)
{
    unsigned beat = atomic_load(&server->shared.board.beat);
    for (unsigned i = 0; i < server->shared.worker_count; i++)
        if (atomic_load(&server->shared.workers[i].beat) != beat)
            return false;
    return bb_control_beat(server->shared.control) == beat;
}

bool bb_server_reload(struct bb_server *server, const struct bb_config *settings,
                      const struct bb_tokens *tokens, struct ssl_ctx_st *tls)
{
    uint64_t end_ms = bb_clock_ms() + RELOAD_WAIT_MS;
    /* whoever began with what is now the other one must be through with it */
    bb_server_beat(server);
    while (!bb_server_beating(server)) {
        if (bb_clock_ms() >= end_ms)
            return false;
        pause_shortly();
    }
    publish(server, settings, tokens, tls);
    return true;
}

static unsigned sum_running(const struct bb_server *server)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < server->shared.worker_count; i++)
        sum += atomic_load_explicit(&server->shared.workers[i].running, memory_order_acquire);
    return sum;
}

static unsigned sum_open(const struct bb_server *server)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < server->shared.worker_count; i++)
        sum += atomic_load_explicit(&server->shared.workers[i].open, memory_order_acquire);
    return sum;
}

void bb_server_drain(struct bb_server *server)
{
    unsigned drain_ms = BB_LIMIT(&server->shared.limits, drain_ms);
    uint64_t end_ms = bb_clock_ms() + drain_ms;
    bb_server_set_phase(server, BB_PHASE_DRAINING);
    while (sum_running(server) > 0 && bb_clock_ms() < end_ms &&
           !atomic_load(&server->shared.board.fatal))
        pause_shortly();
    unsigned left = sum_running(server);
    if (left > 0)
        bb_log(BB_LOG_WARNING, "stop: %u requests did not end within %u ms", left, drain_ms);
}

void bb_server_hang_up(struct bb_server *server)
{
    bb_server_set_phase(server, BB_PHASE_STOPPING);
    while (sum_open(server) > 0 && !atomic_load(&server->shared.board.fatal))
        pause_shortly();
}

void bb_server_last_words(struct bb_server *server)
{
    uint64_t end_ms = bb_clock_ms() + LAST_WORDS_MS;
    while (sum_running(server) > 0 && bb_clock_ms() < end_ms)
        pause_shortly();
}

void bb_server_close(struct bb_server *server)
{
    struct bb_shared *shared = &server->shared;
    bb_server_set_phase(server, BB_PHASE_LEAVING);
    (void)pthread_barrier_wait(&shared->leaving);
    for (unsigned i = 0; i < shared->worker_count; i++)
        bb_worker_join(&shared->workers[i]);
    if (!shared->controller_inline)
        BB_ASSERT(pthread_join(server->control_thread, NULL) == 0);
    for (unsigned i = 0; i < shared->worker_count; i++)
        bb_worker_fini(&shared->workers[i]);
    for (unsigned i = 0; i < 2; i++)
        bb_tls_context_close(server->replaceable[i].tls);
    (void)pthread_barrier_destroy(&shared->leaving);
    (void)sem_destroy(&server->started);
    struct bb_arena arena = server->arena; /* which the server itself stands in */
    bb_arena_close(&arena);
}
