/* SPDX-License-Identifier: Apache-2.0
 * Engine, ports, simulated device and index in one thread, with an oracle. */
#include "rig.h"

#include "bb/err.h"
#include "bb/fill.h"
#include "bb/superblock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_SIZE ((size_t)64 << 20)
#define SCRATCH_SIZE ((size_t)8 << 20)

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static void content(const struct rig *rig, uint32_t id, uint8_t *ret_bytes)
{
    struct bb_random random;
    bb_random_seed(&random, id + 1);
    bb_random_fill(&random, ret_bytes, rig->sizes[id]);
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
        content(rig, id, bytes);
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
        .store = super.store, .index = super.index, .anchor = super.anchor};
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
    struct bb_sim_config sim = {.size = c->device_size, .seed = c->seed, .in_order = c->in_order};
    rig->sim = bb_sim_open(&sim);
    struct memindex_config mem = {
        .slice_max = c->slice_max, .seed = c->seed + 1, .fault_percent = c->fault_percent};
    rig->mem = memindex_new(&mem);
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        rig->ops[i].rig = rig;
        rig->ops[i].buf = aligned_alloc(BB_UNIT_SIZE, BB_BLOCK_SIZE_MAX);
        BB_ASSERT(rig->ops[i].buf != NULL);
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
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        free(rig->ops[i].buf);
    }
}

/* ---- messages ---- */

static void queue_push(struct rig_queue *queue, struct bb_message message)
{
    BB_ASSERT(queue->count < 4096);
    queue->messages[(queue->first + queue->count++) % 4096] = message;
}

static bool queue_pop(struct rig_queue *queue, struct bb_message *ret_message)
{
    if (queue->count == 0) {
        return false;
    }
    *ret_message = queue->messages[queue->first];
    queue->first = (queue->first + 1) % 4096;
    queue->count--;
    return true;
}

static bool send_to_store(void *context, struct bb_message message)
{
    queue_push(context, message);
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
    (void)what;
    BB_ASSERT(rig->fatal == 0);
    rig->fatal = error;
}

static void job_done(void *context, struct bb_index_job *job)
{
    struct rig *rig = context;
    bb_store_job_done(rig->store, job);
}

/* ---- start and end ---- */

static int start_engine(struct rig *rig)
{
    struct bb_index index = memindex_index(rig->mem);
    struct bb_store_config config = {
        .io = bb_sim_io(rig->sim),
        .index = memindex_port(rig->mem),
        .slice_max = index.slice_max,
        .index_room = index.ops->room(index.context),
        .super = rig->recovered.super,
        .last = rig->recovered.last,
        .arena = &rig->arena,
        .memory = rig->config.memory,
        .op_max = RIG_OP_MAX * 2,
        .port_count = rig->config.port_count,
        .context = rig,
        .reply = reply,
        .recall = recall,
        .fatal = fatal,
    };
    int result = bb_store_open(&config, &rig->store);
    BB_ASSERT(result == 0);
    memindex_on_done(rig->mem, job_done, rig);
    for (uint32_t i = 0; i < rig->config.port_count; i++) {
        rig->to_store[i] = (struct rig_queue){.first = 0};
        rig->to_port[i] = (struct rig_queue){.first = 0};
        struct bb_port_config port = {.index = i,
                                      .io = bb_sim_io(rig->sim),
                                      .arena = &rig->arena,
                                      .context = &rig->to_store[i],
                                      .send = send_to_store,
                                      .pending_max = 256};
        result = bb_port_open(&port, &rig->ports[i]);
        BB_ASSERT(result == 0);
    }
    const struct bb_layout *layout = &rig->recovered.super.layout;
    uint64_t zone_units = bb_layout_zone(layout, 0).unit_count;
    size_t size = bb_buddy_memory(layout->zone_count, zone_units);
    rig->buddy =
        bb_buddy_init(bb_arena_alloc(&rig->arena, size, 64), size, layout->zone_count, zone_units);
    struct bb_set set;
    result = bb_fill(&index, &rig->recovered.super, rig->buddy, &set, &rig->explain);
    if (result == 0) {
        result = bb_store_ready(rig->store, rig->buddy, &set);
    }
    return result;
}

int rig_start(struct rig *rig)
{
    BB_ASSERT(!rig->running);
    void *scratch = aligned_alloc(BB_UNIT_SIZE, SCRATCH_SIZE);
    BB_ASSERT(scratch != NULL);
    struct bb_index index = memindex_index(rig->mem);
    struct bb_recover_config config = {.io = bb_sim_io(rig->sim),
                                       .index = &index,
                                       .scratch = scratch,
                                       .scratch_size = SCRATCH_SIZE};
    rig->explain.text[0] = 0;
    int result = bb_io_flush(config.io);
    if (result == 0) {
        result = bb_recover(&config, &rig->recovered, &rig->explain);
    }
    free(scratch);
    if (result != 0) {
        return result;
    }
    result = bb_arena_open(ARENA_SIZE, false, false, &rig->arena);
    BB_ASSERT(result == 0);
    rig->fatal = 0;
    rig->running = true;
    return start_engine(rig);
}

void rig_drop(struct rig *rig)
{
    if (rig->running) {
        bb_arena_close(&rig->arena);
        rig->running = false;
        rig->store = NULL;
    }
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        rig->ops[i].busy = false;
    }
    memset(rig->inflight_puts, 0, sizeof(rig->inflight_puts));
    memset(rig->inflight_deletes, 0, sizeof(rig->inflight_deletes));
}

int rig_stop(struct rig *rig)
{
    if (!rig_settle(rig)) {
        return BB_ERR_CANCELLED;
    }
    bb_store_stop(rig->store);
    for (unsigned turns = 0; !bb_store_is_stopped(rig->store); turns++) {
        BB_ASSERT(turns < 1000000);
        if (bb_sim_is_dead(rig->sim) || rig->fatal != 0) {
            return BB_ERR_CANCELLED;
        }
        (void)rig_turn(rig);
    }
    rig_drop(rig);
    return 0;
}

/* ---- operations ---- */

static void violation(struct rig *rig, const struct rig_op *op, const char *what)
{
    rig->violations++;
    fprintf(stderr, "seed %llu: id %u, kind %d, result %d (%s), allowed %u: %s\n",
            (unsigned long long)rig->config.seed, op->id, (int)op->kind, op->request.result,
            bb_err_text(op->request.result), rig->allowed[op->id], what);
}

static void op_end(struct rig_op *op)
{
    op->busy = false;
    op->rig->acked++;
}

static void put_done(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    struct rig *rig = op->rig;
    rig->inflight_puts[op->id]--;
    if (request->result >= 0) {
        rig->allowed[op->id] = RIG_PRESENT;
    } else if (request->result != BB_ERR_NO_SPACE && request->result != BB_ERR_FATAL &&
               request->result != BB_ERR_NOT_READY && request->result != BB_ERR_INDEX_FULL) {
        violation(rig, op, "PUT failed");
    }
    op_end(op);
}

static void put_reserved(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    if (request->result != 0) {
        put_done(request);
        return;
    }
    content(op->rig, op->id, op->buf);
    request->buf = op->buf;
    request->done = put_done;
    bb_port_put(op->rig->ports[op->port], request);
}

static void delete_done(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    struct rig *rig = op->rig;
    rig->inflight_deletes[op->id]--;
    if (request->result == 0 || request->result == -ENOENT) {
        if (request->result == 0 ? op->allowed_at_start == RIG_ABSENT
                                 : op->allowed_at_start == RIG_PRESENT) {
            violation(rig, op, "DELETE saw another state");
        }
        rig->allowed[op->id] = RIG_ABSENT;
    } else if (request->result != BB_ERR_FATAL && request->result != BB_ERR_NOT_READY) {
        violation(rig, op, "DELETE failed");
    }
    op_end(op);
}

static void get_read(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    struct rig *rig = op->rig;
    bb_port_unpin(rig->ports[op->port], request);
    struct bb_hash hash;
    bb_hash_of(op->buf, request->op.size, &hash);
    if (request->result != 0 || !bb_hash_equal(&hash, &rig->hashes[op->id])) {
        violation(rig, op, "GET read wrong bytes");
    }
    op_end(op);
}

static void get_found(struct bb_request *request)
{
    struct rig_op *op = (struct rig_op *)request;
    struct rig *rig = op->rig;
    uint8_t seen = request->result == 0 || request->result == BB_ERR_CORRUPT ? RIG_PRESENT
                   : request->result == -ENOENT                              ? RIG_ABSENT
                                                                             : 0;
    if (seen == 0 || (op->allowed_at_start & seen) == 0) {
        violation(rig, op, "read saw another state");
    } else if (rig->inflight_puts[op->id] + rig->inflight_deletes[op->id] == 0) {
        rig->allowed[op->id] = seen; /* observed: it stays */
    }
    if (request->result != 0 || op->kind == RIG_HEAD) {
        op_end(op);
        return;
    }
    request->buf = op->buf;
    request->done = get_read;
    bb_port_read(rig->ports[op->port], request);
}

static void op_start(struct rig *rig, struct rig_op *op)
{
    struct bb_port *port = rig->ports[op->port];
    switch (op->kind) {
    case RIG_PUT:
        rig->inflight_puts[op->id]++;
        rig->allowed[op->id] |= RIG_PRESENT;
        op->request.done = put_reserved;
        bb_port_reserve(port, &op->request);
        break;
    case RIG_DELETE:
        rig->inflight_deletes[op->id]++;
        rig->allowed[op->id] |= RIG_ABSENT;
        op->request.done = delete_done;
        bb_port_delete(port, &op->request);
        break;
    default:
        op->request.done = get_found;
        op->request.flags = op->kind == RIG_GET ? BB_OP_PIN : 0;
        bb_port_lookup(port, &op->request);
        break;
    }
}

struct rig_op *rig_submit(struct rig *rig, enum rig_kind kind, uint32_t id)
{
    BB_ASSERT(id < rig->config.id_count);
    struct rig_op *op = NULL;
    for (unsigned i = 0; i < RIG_OP_MAX; i++) {
        if (!rig->ops[i].busy) {
            op = &rig->ops[i];
        } else if (rig->ops[i].id == id) {
            return NULL; /* one at a time per id keeps the oracle exact */
        }
    }
    if (op == NULL) {
        return NULL;
    }
    op->busy = true;
    op->kind = kind;
    op->id = id;
    op->port = (uint32_t)bb_random_below(&rig->random, rig->config.port_count);
    op->allowed_at_start = rig->allowed[id];
    memset(&op->request, 0, sizeof(op->request));
    op->request.op.hash = rig->hashes[id];
    op->request.op.size = rig->sizes[id];
    rig->op_count++;
    op_start(rig, op);
    return op;
}

/* ---- turning ---- */

bool rig_turn(struct rig *rig)
{
    bool moved = false;
    int polled = bb_io_poll(bb_sim_io(rig->sim), false);
    if (polled < 0) {
        return false;
    }
    moved = polled > 0;
    struct bb_message message;
    for (uint32_t i = 0; i < rig->config.port_count; i++) {
        moved |= bb_port_turn(rig->ports[i]);
        while (queue_pop(&rig->to_store[i], &message)) {
            moved = true;
            if (bb_message_kind(message.word) == BB_MSG_OP) {
                bb_store_submit(rig->store, message.pointer);
            } else {
                bb_store_message(rig->store, message.word);
            }
        }
    }
    moved |= memindex_run(rig->mem, 1 + (unsigned)bb_random_below(&rig->random, 4)) > 0;
    (void)bb_store_turn(rig->store, rig->now_ms);
    for (uint32_t i = 0; i < rig->config.port_count; i++) {
        while (queue_pop(&rig->to_port[i], &message)) {
            moved = true;
            bb_port_message(rig->ports[i], message);
        }
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

bool rig_settle(struct rig *rig)
{
    unsigned idle = 0;
    while (any_busy(rig)) {
        if (bb_sim_is_dead(rig->sim) || rig->fatal != 0) {
            return false;
        }
        idle = rig_turn(rig) ? 0 : idle + 1;
        rig->now_ms += idle > 0;
        BB_ASSERT(idle < 20000); /* an operation that never ends is a bug */
    }
    return true;
}

bool rig_idle(struct rig *rig, uint64_t ms)
{
    uint64_t end = rig->now_ms + ms;
    while (rig->now_ms < end) {
        unsigned still = 0;
        while (still < 3) {
            if (bb_sim_is_dead(rig->sim) || rig->fatal != 0) {
                return false;
            }
            still = rig_turn(rig) ? 0 : still + 1;
        }
        rig->now_ms += bb_min_u64(end - rig->now_ms, 25);
    }
    return true;
}

uint64_t rig_check(struct rig *rig)
{
    uint64_t before = rig->violations;
    for (uint32_t id = 0; id < rig->config.id_count; id++) {
        while (rig_submit(rig, RIG_GET, id) == NULL) {
            if (!rig_settle(rig)) {
                return rig->violations - before;
            }
        }
    }
    if (rig_settle(rig)) {
        bb_store_verify(rig->store);
    }
    return rig->violations - before;
}

bool rig_rot(struct rig *rig, uint32_t id)
{
    struct bb_index index = memindex_index(rig->mem);
    struct bb_index_entry entry;
    if (index.ops->lookup(index.context, &rig->hashes[id], &entry) != 0 || entry.size == 0) {
        return false;
    }
    uint8_t byte;
    uint64_t offset = entry.unit * BB_UNIT_SIZE + entry.size / 2;
    bb_sim_peek(rig->sim, offset, &byte, 1);
    byte ^= 0x10;
    bb_sim_poke(rig->sim, offset, &byte, 1);
    return true;
}
