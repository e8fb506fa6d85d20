/* SPDX-License-Identifier: Apache-2.0
 * Life of the rig: format, start, turn, stop. What operations do, and what they may find, is in
 * rig_ops.c. */
#include "rig.h"

#include "../../src/store/engine.h"

#include "bb/err.h"
#include "bb/fill.h"
#include "bb/superblock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_SIZE ((size_t)64 << 20)
#define NEVER UINT64_MAX

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static void make_ids(struct rig *rig)
{
    uint8_t *bytes = malloc(BB_BLOCK_SIZE_MAX);
    BB_ASSERT(bytes != NULL);
    struct bb_random random;
    bb_random_seed(&random, 7);
    for (uint32_t id = 0; id < rig->config.id_count; id++) {
        /* id 0 is the empty block, the others favour small ones */
        uint64_t size = bb_random_below(&random, rig->config.size_max + 1);
        if (bb_random_below(&random, 2) == 0) {
            size = size % 4097;
        }
        rig->sizes[id] = id == 0 ? 0 : (uint32_t)bb_max_u64(size, 8);
        if (rig->config.size_fixed != 0) {
            rig->sizes[id] = rig->config.size_fixed;
        }
        rig_content(rig, id, bytes);
        bb_hash_of(bytes, rig->sizes[id], &rig->hashes[id]);
        rig->allowed[id] = RIG_ABSENT;
    }
    free(bytes);
}

static void format(struct rig *rig)
{
    struct bb_super super = {.logical_sector = 512, .physical_sector = 4096, .epoch = 1};
    int result = bb_layout_make(rig->config.device_size, rig->config.journal_size,
                                rig->config.zone_size, &super.layout);
    BB_ASSERT(result == 0);
    memset(super.store.bytes, 0x5a, sizeof(super.store.bytes));
    memset(rig->index_uuid.bytes, 0xa5, sizeof(rig->index_uuid.bytes));
    super.index = rig->index_uuid;
    super.epoch_first_sequence = 1;
    uint8_t *unit = aligned_alloc(BB_UNIT_SIZE, BB_UNIT_SIZE);
    BB_ASSERT(unit != NULL);
    struct bb_record record = {.store = super.store, .epoch = 1};
    bb_record_encode(&record, 0, unit);
    bb_sim_poke(rig->sim, super.layout.journal_offset, unit, BB_UNIT_SIZE);
    super.anchor = (struct bb_anchor){.digest = record.digest};
    super.generation = 1;
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        bb_super_encode(&super, copy, (struct bb_disk_super *)(void *)unit);
        bb_sim_poke(rig->sim, bb_layout_super_offset(rig->config.device_size, copy), unit,
                    BB_UNIT_SIZE);
    }
    free(unit);
    struct bb_index_state state = {
        .store = super.store, .index = super.index, .anchor = super.anchor, .epoch = super.epoch};
    memindex_put_state(rig->mem, &state);
}

void rig_open(struct rig *rig, const struct rig_config *config)
{
    memset(rig, 0, sizeof(*rig));
    rig->config = *config;
    struct rig_config *c = &rig->config;
    c->device_size = or_default(c->device_size, 40 * BB_MIB);
    c->journal_size = or_default(c->journal_size, BB_MIB);
    c->zone_size = or_default(c->zone_size, 4 * BB_MIB);
    c->memory = or_default(c->memory, BB_MIB);
    c->slice_max = (uint32_t)or_default(c->slice_max, 64);
    c->port_count = (uint32_t)or_default(c->port_count, 1);
    c->id_count = (uint32_t)or_default(c->id_count, 64);
    c->size_max = (uint32_t)or_default(c->size_max, 20000);
    BB_ASSERT(c->port_count <= RIG_PORT_MAX);
    BB_ASSERT(c->id_count <= RIG_ID_MAX);
    bb_random_seed(&rig->random, c->seed);
    struct bb_sim_config sim = {.size = c->device_size,
                                .seed = c->seed,
                                .in_order = c->in_order,
                                .no_discard = c->no_discard};
    rig->sim = bb_sim_open(&sim);
    struct memindex_config mem = {.capacity = c->index_capacity,
                                  .slice_max = c->slice_max,
                                  .seed = c->seed + 1,
                                  .fault_percent = c->fault_percent};
    rig->mem = memindex_new(&mem);
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        rig->ops[i].rig = rig;
        rig->ops[i].buf = aligned_alloc(BB_UNIT_SIZE, BB_BLOCK_SIZE_MAX);
        BB_ASSERT(rig->ops[i].buf != NULL);
    }
    rig->scratch = aligned_alloc(BB_UNIT_SIZE, RIG_SCRATCH_SIZE);
    BB_ASSERT(rig->scratch != NULL);
    if (c->scrub.rate != 0) {
        int result = bb_hasher_open(&rig->hasher);
        BB_ASSERT(result == 0);
    }
    make_ids(rig);
    format(rig);
    rig->now_ms = 1000;
}

void rig_close(struct rig *rig)
{
    rig_drop(rig);
    bb_sim_close(rig->sim);
    memindex_free(rig->mem);
    free(rig->scratch);
    if (rig->config.scrub.rate != 0) {
        bb_hasher_close(&rig->hasher);
    }
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        free(rig->ops[i].buf);
    }
}

struct bb_store_status rig_status(const struct rig *rig)
{
    struct bb_store_status status;
    bb_store_get_status(rig->store, &status);
    return status;
}

uint64_t rig_ring_head(const struct rig *rig)
{
    const struct bb_ring_position *last = &rig->store->journal.last;
    return last->position + last->units;
}

bool rig_zone_is_opening(const struct rig *rig)
{
    return rig->store->zone.state != ZONE_IDLE;
}

bool rig_ring_is_full(const struct rig *rig)
{
    return rig->store->journal.stuck;
}

bool rig_record_is_written(const struct rig *rig)
{
    return rig->store->journal.state == JOURNAL_WRITING;
}

/* ---- messages ---- */

static void queue_push(struct rig_queue *queue, struct bb_message message)
{
    BB_ASSERT(queue->count < RIG_QUEUE_MAX);
    queue->messages[(queue->first + queue->count++) % RIG_QUEUE_MAX] = message;
}

static bool queue_pop(struct rig_queue *queue, struct bb_message *ret_message)
{
    if (queue->count == 0) {
        return false;
    }
    *ret_message = queue->messages[queue->first];
    queue->first = (queue->first + 1) % RIG_QUEUE_MAX;
    queue->count--;
    return true;
}

struct sender { /* what a port knows of the controller */
    struct rig *rig;
    struct rig_queue *queue;
};

static bool send_to_store(void *context, struct bb_message message)
{
    struct sender *sender = context;
    if (sender->rig->queue_full) {
        return false;
    }
    queue_push(sender->queue, message);
    return true;
}

static void reply(void *context, struct bb_op *op)
{
    struct rig *rig = context;
    queue_push(&rig->to_port[op->port], (struct bb_message){.word = BB_MSG_OP, .pointer = op});
}

static void recall(void *context, uint32_t port)
{
    struct rig *rig = context;
    queue_push(&rig->to_port[port], (struct bb_message){.word = BB_MSG_RECALL});
}

static void fatal(void *context, int error, const char *what)
{
    struct rig *rig = context;
    BB_ASSERT(rig->fatal == 0);
    rig->fatal = error;
    rig->fatal_what = what;
}

static void on_finding(void *context, const struct bb_scrub_finding *finding)
{
    struct rig *rig = context;
    rig->finding = *finding;
    rig->finding_count++;
}

static void job_done(void *context, struct bb_index_job *job)
{
    struct rig *rig = context;
    bb_store_job_done(rig->store, job);
}

/* ---- start and end ---- */

static void open_ports(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->config.port_count; i++) {
        rig->to_store[i].first = rig->to_store[i].count = 0;
        rig->to_port[i].first = rig->to_port[i].count = 0;
        struct sender *sender = bb_arena_alloc(&rig->arena, sizeof(*sender), 8);
        *sender = (struct sender){.rig = rig, .queue = &rig->to_store[i]};
        struct bb_port_config port = {.index = i,
                                      .io = bb_sim_io(rig->sim),
                                      .arena = &rig->arena,
                                      .context = sender,
                                      .send = send_to_store,
                                      .pending_max = RIG_QUEUE_MAX};
        int result = bb_port_open(&port, &rig->ports[i]);
        BB_ASSERT(result == 0);
    }
}

static size_t buddy_size(const struct rig *rig)
{
    const struct bb_layout *layout = &rig->recovered.super.layout;
    return bb_buddy_memory(layout->zone_count, bb_layout_zone_units_max(layout));
}

static int fill(struct rig *rig)
{
    struct bb_index index = memindex_index(rig->mem);
    if (rig->read_only) {
        bb_replay_index(&rig->replay, &index);
    }
    const struct bb_layout *layout = &rig->recovered.super.layout;
    uint64_t zone_units = bb_layout_zone_units_max(layout);
    size_t size = buddy_size(rig);
    rig->buddy =
        bb_buddy_init(bb_arena_alloc(&rig->arena, size, 64), size, layout->zone_count, zone_units);
    struct bb_filled filled;
    int result = bb_fill(&index, &rig->recovered.super, rig->buddy, &filled, &rig->explain);
    return result == 0 ? bb_store_ready(rig->store, rig->buddy, &filled) : result;
}

static int start_engine(struct rig *rig)
{
    struct bb_index index = memindex_index(rig->mem);
    struct bb_store_config config = {
        .io = bb_sim_io(rig->sim),
        .index = rig->index_port != NULL ? *rig->index_port : memindex_port(rig->mem),
        .slice_max = index.slice_max,
        .index_room = index.ops->room(index.context),
        .super = rig->recovered.super,
        .last = rig->recovered.last,
        .arena = &rig->arena,
        .memory = rig->config.memory,
        .trim_idle_ms = rig->config.trim_idle_ms,
        .trim_age_ms = 1,
        .replayed = rig->read_only ? &rig->replay.delta : NULL,
        .op_max = 4096,
        .port_count = rig->config.port_count,
        .context = rig,
        .reply = reply,
        .recall = recall,
        .fatal = fatal,
    };
    struct bb_index_state state;
    int result = index.ops->state(index.context, &state);
    BB_ASSERT(result == 0);
    config.scrub = rig->config.scrub;
    config.scrub.hasher = config.scrub.rate != 0 ? &rig->hasher : NULL;
    config.scrub.found = on_finding;
    config.scrub_row = state.scrub;
    result = bb_store_open(&config, &rig->store);
    BB_ASSERT(result == 0);
    memindex_on_done(rig->mem, job_done, rig);
    open_ports(rig);
    rig->fold_count = memindex_fold_count(rig->mem);
    rig->wake_ms = NEVER;
    rig->woken = true;
    return fill(rig);
}

int rig_recover(struct rig *rig)
{
    BB_ASSERT(!rig->running);
    struct bb_index index = memindex_index(rig->mem);
    struct bb_recover_config config = {.io = bb_sim_io(rig->sim),
                                       .index = &index,
                                       .scratch = rig->scratch,
                                       .scratch_size = RIG_SCRATCH_SIZE};
    return bb_recover(&config, &rig->recovered, &rig->explain);
}

int rig_rebuild(struct rig *rig)
{
    BB_ASSERT(!rig->running);
    struct bb_index index = memindex_index(rig->mem);
    struct bb_index_state state = {.index = rig->index_uuid};
    memset(state.store.bytes, 0x5a, sizeof(state.store.bytes));
    rig->rebuilds++;
    memcpy(state.index.bytes, &rig->rebuilds, sizeof(rig->rebuilds));
    memindex_put_state(rig->mem, &state);
    struct bb_recover_config config = {.io = bb_sim_io(rig->sim),
                                       .index = &index,
                                       .scratch = rig->scratch,
                                       .scratch_size = RIG_SCRATCH_SIZE};
    int result = bb_rebuild(&config, &state.index, &rig->recovered, &rig->explain);
    if (result == 0) {
        rig->index_uuid = state.index;
    }
    return result;
}

int rig_start(struct rig *rig)
{
    int result = rig_recover(rig);
    if (result != 0) {
        return result;
    }
    result = bb_arena_open(ARENA_SIZE + buddy_size(rig), false, false, &rig->arena);
    BB_ASSERT(result == 0);
    rig->fatal = 0;
    rig->running = true;
    return start_engine(rig);
}

int rig_start_read_only(struct rig *rig)
{
    BB_ASSERT(!rig->running);
    struct bb_index index = memindex_index(rig->mem);
    struct bb_recover_config config = {.io = bb_sim_io(rig->sim),
                                       .index = &index,
                                       .scratch = rig->scratch,
                                       .scratch_size = RIG_SCRATCH_SIZE,
                                       .no_flush = true};
    size_t map_size =
        bb_buddy_memory((uint32_t)(rig->config.device_size / rig->config.zone_size) + 1,
                        rig->config.zone_size / BB_UNIT_SIZE);
    int result = bb_arena_open(ARENA_SIZE + map_size, false, false, &rig->arena);
    BB_ASSERT(result == 0);
    rig->fatal = 0;
    rig->running = rig->read_only = true;
    result = bb_replay_run(&config, &rig->arena, rig->config.memory, &rig->replay, &rig->recovered,
                           &rig->explain);
    return result == 0 ? start_engine(rig) : result;
}

uint64_t rig_written(const struct rig *rig)
{
    const struct bb_sim_counts *counts = bb_sim_get_counts(rig->sim);
    uint64_t written = memindex_fold_count(rig->mem);
    for (unsigned class = 0; class < BB_IO_CLASS_COUNT; class ++) {
        const size_t op_count = sizeof(counts->submitted[class]) / sizeof(uint64_t);
        for (size_t op = 0; op < op_count; op++) {
            written += op != BB_IO_READ ? counts->submitted[class][op] : 0;
        }
    }
    return written;
}

void rig_drop(struct rig *rig)
{
    rig->read_only = false;
    if (rig->running) {
        bb_arena_close(&rig->arena);
        rig->running = false;
        rig->store = NULL;
    }
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        rig->ops[i].busy = false;
    }
    memset(rig->unit, 0, sizeof(rig->unit));
}

int rig_stop(struct rig *rig)
{
    if (!rig_settle(rig)) {
        return BB_ERR_CANCELLED;
    }
    bb_store_stop(rig->store);
    rig->woken = true;
    unsigned idle = 0;
    while (!bb_store_is_stopped(rig->store)) {
        if (bb_sim_is_dead(rig->sim) || rig->fatal != 0) {
            return BB_ERR_CANCELLED;
        }
        idle = rig_turn(rig) ? 0 : idle + 1;
        BB_ASSERT(idle < 100); /* a stop that waits for a timer is a bug */
    }
    rig_drop(rig);
    return 0;
}

/* ---- turning ---- */

static bool to_store(struct rig *rig)
{
    bool moved = false;
    struct bb_message message;
    for (uint32_t i = 0; i < rig->config.port_count; i++) {
        moved |= bb_port_turn(rig->ports[i]) && !rig->queue_full;
        while (queue_pop(&rig->to_store[i], &message)) {
            moved = true;
            if (bb_message_kind(message.word) == BB_MSG_OP) {
                bb_store_submit(rig->store, message.pointer);
            } else {
                bb_store_message(rig->store, message.word);
            }
        }
    }
    return moved;
}

static bool to_ports(struct rig *rig)
{
    bool moved = false;
    struct bb_message message;
    for (uint32_t i = 0; i < rig->config.port_count; i++) {
        while (queue_pop(&rig->to_port[i], &message)) {
            moved = true;
            bb_port_message(rig->ports[i], message);
        }
    }
    return moved;
}

bool rig_turn(struct rig *rig)
{
    if (rig->config.trims && bb_random_below(&rig->random, 4) == 0) {
        rig->now_ms++;
    }
    int polled = bb_io_poll(bb_sim_io(rig->sim), false);
    if (polled < 0) {
        return false;
    }
    bool moved = polled > 0;
    moved |= to_store(rig);
    unsigned steps =
        rig->index_steps != 0 ? rig->index_steps : 1 + (unsigned)bb_random_below(&rig->random, 4);
    moved |= !rig->index_paused && memindex_run(rig->mem, steps) > 0;
    if (moved || rig->woken || rig->now_ms >= rig->wake_ms) {
        rig->woken = false;
        int wait_ms = bb_store_turn(rig->store, rig->now_ms);
        rig->wake_ms = wait_ms < 0 ? NEVER : rig->now_ms + (uint64_t)wait_ms;
    }
    moved |= to_ports(rig);
    if (rig->after_turn != NULL) {
        rig->after_turn(rig->turn_context);
    }
    return moved || bb_sim_io(rig->sim)->in_flight > 0 || memindex_pending(rig->mem) > 0;
}

static bool any_busy(const struct rig *rig)
{
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        if (rig->ops[i].busy) {
            return true;
        }
    }
    return false;
}

/* Nothing moves, and yet somebody waits. */
static void stalled(struct rig *rig)
{
    if (rig->wake_ms == NEVER) {
        rig_violation(rig, 0, 0, "an operation is never woken");
    } else if (!rig_status(rig).window_held) {
        rig_violation(rig, 0, 0, "an operation waits for a timer");
    }
    rig->woken = true;
    if (rig->wake_ms != NEVER && rig->wake_ms > rig->now_ms) {
        rig->now_ms = rig->wake_ms;
    }
}

static bool settle(struct rig *rig, const bool *done)
{
    unsigned idle = 0, stalls = 0;
    while (done != NULL ? !*done : any_busy(rig)) {
        if (bb_sim_is_dead(rig->sim) || rig->fatal != 0) {
            return false;
        }
        idle = rig_turn(rig) ? 0 : idle + 1;
        if (idle > 3) {
            stalled(rig);
            idle = 0;
            BB_ASSERT(++stalls < 100);
        }
    }
    return true;
}

bool rig_settle(struct rig *rig)
{
    return settle(rig, NULL);
}

bool rig_wait(struct rig *rig, const bool *done)
{
    return settle(rig, done);
}

bool rig_idle(struct rig *rig, uint64_t ms)
{
    uint64_t end = rig->now_ms + ms;
    for (;;) {
        unsigned still = 0;
        while (still < 3) {
            if (bb_sim_is_dead(rig->sim) || rig->fatal != 0) {
                return false;
            }
            still = rig_turn(rig) ? 0 : still + 1;
        }
        if (rig->now_ms >= end) {
            return true;
        }
        rig->now_ms += bb_min_u64(end - rig->now_ms, 25);
    }
}

bool rig_checkpoint(struct rig *rig)
{
    uint64_t before = rig_status(rig).checkpoints;
    bb_store_checkpoint(rig->store);
    rig->woken = true;
    unsigned idle = 0;
    while (rig_status(rig).checkpoints == before && idle < 5) {
        if (bb_sim_is_dead(rig->sim) || rig->fatal != 0) {
            return false;
        }
        idle = rig_turn(rig) ? 0 : idle + 1;
    }
    return rig_idle(rig, 0);
}
