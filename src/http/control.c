/* SPDX-License-Identifier: Apache-2.0
 * Controller's host. Everything in struct bb_control below `ring` belongs to the attached thread;
 * commands cross as one atomic pointer, and the thread that gave one waits on a semaphore: start
 * and stop are the only places where a thread waits for another.
 *
 * A queue to a worker never fills: it is as deep as the requests a worker can have out plus one
 * recall, and every message in it answers one of those.
 */
#include "bb/control.h"

#include "bb/clock.h"
#include "bb/err.h"
#include "bb/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>

#define MESSAGES_PER_TURN 512u

enum command_kind { COMMAND_OPEN, COMMAND_READY, COMMAND_STOP };

struct command {
    enum command_kind kind;
    struct bb_store_config *config;
    struct bb_index_service *service;
    struct bb_buddy *buddy;
    const struct bb_filled *filled;
    int result;
    sem_t done;
};

struct bb_control {
    struct bb_control_config config;
    struct bb_link *links;
    _Atomic(struct bb_ring *) ring;
    _Atomic(struct command *) command;
    _Atomic bool answered; /* the index service has an answer that was not fetched yet */
    _Atomic unsigned beat;
    _Atomic uint64_t free_units;
    _Atomic int largest_order;

    struct bb_control_measured measured;
    pthread_t owner;
    struct bb_store *store;
    struct bb_index_service *service;
    struct command *stopping;
    bool failed;
    bool closed; /* stopped: the engine has had its last turn */
};

int bb_control_open(const struct bb_control_config *config, struct bb_control **ret_control)
{
    BB_ASSERT(config->link_count > 0);
    struct bb_control *control =
        bb_arena_alloc(config->arena, sizeof(*control), _Alignof(struct bb_control));
    size_t links_size = config->link_count * sizeof(struct bb_link);
    struct bb_link *links = bb_arena_alloc(config->arena, links_size, _Alignof(struct bb_link));
    if (control == NULL || links == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < config->link_count; i++) {
        int error = bb_queue_init(&links[i].to_control, config->arena, config->link_capacity);
        if (error == 0)
            error = bb_queue_init(&links[i].to_worker, config->arena, config->link_capacity);
        if (error != 0)
            return error;
    }
    control->config = *config;
    control->links = links;
    atomic_init(&control->largest_order, -1);
    *ret_control = control;
    return 0;
}

struct bb_link *bb_control_link(struct bb_control *control, unsigned index)
{
    BB_ASSERT(index < control->config.link_count);
    return &control->links[index];
}

void bb_control_attach(struct bb_control *control, struct bb_ring *ring)
{
    BB_ASSERT(atomic_load(&control->ring) == NULL);
    control->owner = pthread_self();
    atomic_store_explicit(&control->ring, ring, memory_order_release);
}

void bb_control_wake(struct bb_control *control)
{
    struct bb_ring *ring = atomic_load_explicit(&control->ring, memory_order_acquire);
    if (ring != NULL)
        bb_ring_wake(ring);
}

unsigned bb_control_beat(const struct bb_control *control)
{
    return atomic_load(&control->beat);
}

void bb_control_answered(void *context)
{
    struct bb_control *control = context;
    atomic_store_explicit(&control->answered, true, memory_order_release);
    bb_control_wake(control);
}

/* ---- towards the workers ---- */

static void push(struct bb_control *control, uint32_t port, struct bb_message message)
{
    BB_ASSERT(port < control->config.link_count);
    struct bb_link *link = &control->links[port];
    bool pushed = bb_queue_push(&link->to_worker, message);
    BB_ASSERT(pushed);
    link->wake = true;
}

static void note_space(struct bb_control *control)
{
    struct bb_store_status status;
    bb_store_get_status(control->store, &status);
    atomic_store_explicit(&control->free_units, status.free_units, memory_order_relaxed);
    atomic_store_explicit(&control->largest_order, status.largest_order, memory_order_relaxed);
}

static void reply(void *context, struct bb_op *op)
{
    struct bb_control *control = context;
    if (op->result == BB_ERR_NO_SPACE && control->store != NULL)
        note_space(control);
    push(control, op->port, (struct bb_message){bb_message_word(BB_MSG_OP, 0, 0, 0), op});
}

static void recall(void *context, uint32_t port)
{
    push(context, port, (struct bb_message){bb_message_word(BB_MSG_RECALL, 0, 0, 0), NULL});
}

static void windowed(void *context, const struct bb_op *ops)
{
    struct bb_control *control = context;
    uint64_t now_us = bb_clock_us();
    uint64_t count = 0;
    for (const struct bb_op *op = ops; op != NULL; op = op->next, count++)
        if (op->arrived_us != 0) /* not one of the engine's own */
            bb_buckets_add(&control->measured.window_wait,
                           now_us > op->arrived_us ? now_us - op->arrived_us : 0);
    bb_buckets_add(&control->measured.window_items, count);
}

static void found(void *context, const struct bb_scrub_finding *finding)
{
    static const char *const outcomes[BB_SCRUB_OUTCOME_COUNT] = {
        [BB_SCRUB_REPAIRED] = "written anew",
        [BB_SCRUB_MARKED] = "marked: store it again",
        [BB_SCRUB_LEFT] = "left as it is: stop the server and run bbfsck"};
    static const struct bb_hash none;
    char hex[BB_HASH_HEX_SIZE];
    (void)context;
    bb_hash_to_hex(&finding->hash, hex);
    bool named = !bb_hash_equal(&finding->hash, &none);
    bb_log(BB_LOG_WARNING, "scrub: %s%s%.*s, page %" PRIu64 ", unit %" PRIu64 ", %s",
           bb_scrub_kind_text(finding->kind), named ? ": " : "", named ? BB_HASH_HEX_SIZE : 0, hex,
           finding->page, finding->unit, outcomes[finding->outcome]);
}

static uint32_t data_writes(void *context)
{
    struct bb_control *control = context;
    struct bb_ring *own = atomic_load_explicit(&control->ring, memory_order_relaxed);
    uint32_t count = bb_ring_io(own)->data_writes;
    for (unsigned i = 0; i < control->config.link_count; i++) {
        struct bb_link *link = &control->links[i];
        if (atomic_load_explicit(&link->ring, memory_order_relaxed) != own)
            count += atomic_load_explicit(&link->data_writes, memory_order_relaxed);
    }
    return count;
}

static void trim_failed(void *context, int error)
{
    (void)context;
    bb_log(BB_LOG_WARNING,
           "trim: a discard of the data device failed: %s; there will be no other until bbctl trim "
           "says so",
           bb_err_text(error));
}

static void fatal(void *context, int error, const char *what)
{
    struct bb_control *control = context;
    BB_ASSERT(!control->failed);
    control->failed = true;
    control->config.on_fatal(control->config.context, error, what);
}

static void wake_workers(struct bb_control *control)
{
    struct bb_ring *own = atomic_load_explicit(&control->ring, memory_order_relaxed);
    for (unsigned i = 0; i < control->config.link_count; i++) {
        struct bb_link *link = &control->links[i];
        if (!link->wake)
            continue;
        link->wake = false;
        struct bb_ring *ring = atomic_load_explicit(&link->ring, memory_order_acquire);
        if (ring != NULL && ring != own)
            bb_ring_wake(ring);
    }
}

/* ---- commands ---- */

static int carry_out_open(struct bb_control *control, const struct command *command)
{
    struct bb_store_config *config = command->config;
    control->service = command->service;
    config->io = bb_ring_io(atomic_load(&control->ring));
    bb_index_service_port(command->service, &config->index);
    config->port_count = control->config.link_count;
    config->op_max = control->config.op_max;
    config->context = control;
    config->reply = reply;
    config->recall = recall;
    config->windowed = windowed;
    config->trim_failed = trim_failed;
    config->scrub.found = found;
    config->data_writes = data_writes;
    config->fatal = fatal;
    return bb_store_open(config, &control->store);
}

static void carry_out(struct bb_control *control, struct command *command)
{
    switch (command->kind) {
    case COMMAND_OPEN:
        command->result = carry_out_open(control, command);
        break;
    case COMMAND_READY:
        command->result = bb_store_ready(control->store, command->buddy, command->filled);
        break;
    case COMMAND_STOP:
        if (control->store != NULL && !control->failed) {
            bb_store_stop(control->store);
            control->stopping = command;
            return;
        }
        command->result = 0;
        break;
    }
    BB_ASSERT(sem_post(&command->done) == 0);
}

static void finish_stop(struct bb_control *control)
{
    struct command *command = control->stopping;
    if (command == NULL || (!bb_store_is_stopped(control->store) && !control->failed))
        return;
    control->stopping = NULL;
    control->closed = true;
    command->result = control->failed ? BB_ERR_FATAL : 0;
    BB_ASSERT(sem_post(&command->done) == 0);
}

static int give(struct bb_control *control, struct command *command)
{
    BB_ASSERT(sem_init(&command->done, 0, 0) == 0);
    struct command *before =
        atomic_exchange_explicit(&control->command, command, memory_order_acq_rel);
    BB_ASSERT(before == NULL);
    bb_control_wake(control);
    while (sem_wait(&command->done) != 0)
        BB_ASSERT(errno == EINTR);
    (void)sem_destroy(&command->done);
    return command->result;
}

int bb_control_open_store(struct bb_control *control, struct bb_store_config *config,
                          struct bb_index_service *service)
{
    struct command command = {.kind = COMMAND_OPEN, .config = config, .service = service};
    return give(control, &command);
}

int bb_control_ready(struct bb_control *control, struct bb_buddy *buddy,
                     const struct bb_filled *filled)
{
    struct command command = {.kind = COMMAND_READY, .buddy = buddy, .filled = filled};
    return give(control, &command);
}

void bb_control_stop(struct bb_control *control)
{
    struct command command = {.kind = COMMAND_STOP};
    (void)give(control, &command);
}

/* ---- the turn ---- */

/* Cost: a few microseconds for the status, up to 100 for a piece of the map. */
static void answer(struct bb_control *control, struct bb_status_request *request)
{
    request->result = 0;
    if (request->question == BB_QUESTION_TRIM_START)
        request->result = bb_store_trim_start(control->store);
    else if (request->question == BB_QUESTION_TRIM_STOP)
        bb_store_trim_stop(control->store);
    if (request->question == BB_QUESTION_SCRUB_START)
        bb_scrub_start(control->store);
    else if (request->question == BB_QUESTION_SCRUB_PAUSE)
        bb_scrub_pause(control->store);
    bb_store_get_status(control->store, &request->status);
    if (request->question != BB_QUESTION_ZONES && request->question != BB_QUESTION_CHUNKS)
        return;
    const struct bb_buddy *buddy = bb_store_buddy(control->store);
    uint32_t zone_count = buddy != NULL ? bb_buddy_zone_count(buddy) : 0;
    uint32_t end = zone_count;
    if (request->question == BB_QUESTION_CHUNKS) {
        bool open = request->zone < zone_count;
        end = open ? bb_buddy_zone(buddy, request->zone).chunk_count : 0;
        request->chunk_count = end;
    }
    uint32_t left = request->first < end ? end - request->first : 0;
    request->count = request->count < left ? request->count : left;
    bool by_zone = request->question == BB_QUESTION_ZONES;
    BB_ASSERT(request->count <= (by_zone ? BB_MAP_ZONES_MAX : BB_MAP_CHUNKS_MAX));
    for (uint32_t i = 0; i < request->count; i++) {
        if (by_zone)
            request->zones[i] = bb_buddy_zone(buddy, request->first + i);
        else
            request->chunks[i] = bb_buddy_chunk(buddy, request->zone, request->first + i);
    }
}

static void take(struct bb_control *control, unsigned port, struct bb_message message)
{
    if ((message.word & 15) == BB_MSG_STATUS) {
        struct bb_status_request *request = message.pointer;
        answer(control, request);
        push(control, port, message);
    } else if (bb_message_kind(message.word) == BB_MSG_OP) {
        struct bb_op *op = message.pointer;
        BB_ASSERT(op->port == port);
        op->arrived_us = bb_ring_now_us(atomic_load_explicit(&control->ring, memory_order_relaxed));
        bb_store_submit(control->store, op);
    } else {
        bb_store_message(control->store, message.word);
    }
}

static void drain_links(struct bb_control *control)
{
    for (unsigned i = 0; i < control->config.link_count; i++) {
        struct bb_message message;
        for (unsigned n = 0; n < MESSAGES_PER_TURN; n++) {
            if (!bb_queue_pop(&control->links[i].to_control, &message))
                break;
            take(control, i, message);
        }
    }
}

static void job_done(void *context, struct bb_index_job *job)
{
    struct bb_control *control = context;
    bb_store_job_done(control->store, job);
}

int bb_control_turn(struct bb_control *control, uint64_t now_ms)
{
    BB_ASSERT(pthread_equal(control->owner, pthread_self()));
    atomic_store(&control->beat, atomic_load(&control->config.board->beat));
    struct command *command =
        atomic_exchange_explicit(&control->command, NULL, memory_order_acq_rel);
    if (command != NULL)
        carry_out(control, command);
    if (control->store == NULL || control->closed)
        return -1;
    drain_links(control);
    /* cleared before the look, so that an answer pushed after it is seen next time */
    atomic_store_explicit(&control->answered, false, memory_order_seq_cst);
    (void)bb_index_service_poll(control->service, job_done, control);
    int wait_ms = bb_store_turn(control->store, now_ms);
    finish_stop(control);
    wake_workers(control);
    return wait_ms;
}

bool bb_control_has_work(void *context)
{
    struct bb_control *control = context;
    if (atomic_load_explicit(&control->command, memory_order_acquire) != NULL)
        return true;
    if (bb_board_phase(control->config.board) == BB_PHASE_LEAVING)
        return true;
    if (atomic_load(&control->config.board->beat) != atomic_load(&control->beat))
        return true;
    if (control->store == NULL || control->closed)
        return false;
    if (atomic_load_explicit(&control->answered, memory_order_acquire))
        return true;
    for (unsigned i = 0; i < control->config.link_count; i++)
        if (!bb_queue_is_empty(&control->links[i].to_control))
            return true;
    return false;
}

void bb_control_run(struct bb_control *control)
{
    struct bb_ring *ring = atomic_load(&control->ring);
    int wait_ms = 0;
    while (bb_board_phase(control->config.board) != BB_PHASE_LEAVING) {
        int result = bb_ring_turn(ring, wait_ms, bb_control_has_work, control);
        if (result < 0 && !control->failed)
            fatal(control, result, "the ring of the controller");
        wait_ms = bb_control_turn(control, bb_clock_ms());
    }
}

const struct bb_control_measured *bb_control_measured(const struct bb_control *control)
{
    return &control->measured;
}

const struct bb_ring *bb_control_ring(const struct bb_control *control)
{
    return atomic_load_explicit(&control->ring, memory_order_acquire);
}

uint64_t bb_control_free_units(const struct bb_control *control)
{
    return atomic_load_explicit(&control->free_units, memory_order_relaxed);
}

int bb_control_largest_order(const struct bb_control *control)
{
    return atomic_load_explicit(&control->largest_order, memory_order_relaxed);
}
