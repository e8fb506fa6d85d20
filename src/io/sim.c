/* SPDX-License-Identifier: Apache-2.0
 * The simulated device (sim.h). Owner: the thread that drives the engine under test.
 *
 *   submit --> flights --complete--> undurable (visible) --flush--> durable
 *
 * Two images: what reads see and what a power cut leaves. A write is copied into a version at
 * submit; the version moves along the arrows above and is shared with clones. Versions stand in the
 * order of completion, and a flush makes a prefix of them durable: those that had completed when it
 * was submitted. A flight without a request never completes (hung, or the owner is dead).
 */
#include "bb/sim.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "sim_version.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POISON 0xdb /* what a failed read leaves in the buffer */
#define DISCARD_MAX (8u << 20)

/* A completed write in the cache. Not in the version: clones share that and go on differently. */
struct cached {
    struct bb_version *version;
    uint64_t completed; /* place in the order of completions */
    uint32_t size;      /* bytes that arrived, from the front; multiple of a sector */
};

struct flight {
    struct bb_io_request *request; /* NULL: never completes */
    struct bb_version *version;    /* of a write or discard */
    enum bb_io_op op;
    uint64_t offset;
    uint32_t size;
    uint64_t number;
    uint64_t covers; /* of a flush: completions before its submission */
    struct bb_sim_fault fault;
};

struct bb_sim {
    struct bb_io io;
    struct bb_sim_config config;
    struct bb_random random;
    struct bb_image visible, durable;
    struct cached *undurable;
    size_t undurable_count, undurable_max;
    struct flight *flights;
    size_t flight_count, flight_max;
    uint64_t completions;
    uint64_t submitted;
    uint64_t cut_number; /* submission that kills the device, 0 none */
    bool dead;
    unsigned poll_depth;
    bb_sim_fault_fn fault;
    void *fault_context;
    struct bb_sim_counts counts;
};

static void *must(void *memory)
{
    BB_ASSERT(memory != NULL);
    return memory;
}

/* Room for one more element; doubles. */
static void *grow(void *array, size_t count, size_t *max, size_t element_size)
{
    if (count < *max)
        return array;
    *max = *max ? 2 * *max : 64;
    return must(realloc(array, *max * element_size));
}

/* ---- The cache ---- */

static const struct bb_sim_fate complete_fate = {.part = BB_SIM_COMPLETE};
static const struct bb_sim_fate absent_fate = {.part = BB_SIM_ABSENT};

/* The write is done as far as it got: visible, and undurable. Takes the reference over. */
static void version_complete(struct bb_sim *sim, struct bb_version *version, uint32_t size,
                             struct bb_sim_fate visible)
{
    bb_version_apply(version, size, visible, &sim->visible);
    sim->undurable =
        grow(sim->undurable, sim->undurable_count, &sim->undurable_max, sizeof(struct cached));
    sim->undurable[sim->undurable_count++] =
        (struct cached){.version = version, .completed = ++sim->completions, .size = size};
}

static void make_durable(struct bb_sim *sim, uint64_t covers)
{
    size_t count = 0;
    while (count < sim->undurable_count && sim->undurable[count].completed <= covers) {
        const struct cached *cached = &sim->undurable[count++];
        bb_version_apply(cached->version, cached->size, complete_fate, &sim->durable);
        bb_version_drop(cached->version);
    }
    sim->undurable_count -= count;
    if (count > 0)
        memmove(sim->undurable, sim->undurable + count,
                sim->undurable_count * sizeof(struct cached));
}

/* ---- Submit and poll ---- */

static bool flights_conflict(const struct flight *flight, const struct bb_io_request *request)
{
    if (flight->op == BB_IO_FLUSH || request->op == BB_IO_FLUSH)
        return false;
    if (flight->op == BB_IO_READ && request->op == BB_IO_READ)
        return false;
    return request->offset < flight->offset + flight->size &&
           flight->offset < request->offset + request->size;
}

/* The engine is gone: keep what may still reach the medium, forget whom to tell. */
static void die(struct bb_sim *sim)
{
    size_t kept = 0;
    for (size_t i = 0; i < sim->flight_count; i++) {
        sim->flights[i].request = NULL;
        if (sim->flights[i].version)
            sim->flights[kept++] = sim->flights[i];
    }
    sim->flight_count = kept;
    sim->dead = true;
}

static void submit(struct bb_io *io, struct bb_io_request *request)
{
    struct bb_sim *sim = BB_CONTAINER(io, struct bb_sim, io);
    if (sim->dead)
        return;
    for (size_t i = 0; !sim->config.allow_overlap && i < sim->flight_count; i++)
        BB_ASSERT(!flights_conflict(&sim->flights[i], request));
    sim->submitted++;
    sim->counts.submitted[request->class][request->op]++;
    bool cut = sim->submitted == sim->cut_number;

    struct flight flight = {.request = request,
                            .op = request->op,
                            .offset = request->offset,
                            .size = request->size,
                            .number = sim->submitted,
                            .covers = sim->completions};
    if (sim->fault && !cut)
        flight.fault = sim->fault(sim->fault_context, request, sim->submitted);
    BB_ASSERT(flight.fault.kind != BB_SIM_FAIL || flight.fault.error < 0);
    if (flight.fault.kind == BB_SIM_HANG)
        flight.request = NULL;
    if (request->op == BB_IO_WRITE)
        flight.version = bb_version_make(request, sim->submitted);
    else if (request->op == BB_IO_DISCARD && io->discard_max > 0)
        flight.version = bb_version_discard(request, sim->submitted, &sim->random);
    sim->flights = grow(sim->flights, sim->flight_count, &sim->flight_max, sizeof(flight));
    sim->flights[sim->flight_count++] = flight;
    if (cut)
        die(sim);
}

static uint32_t random_prefix(struct bb_sim *sim, uint32_t size)
{
    return (uint32_t)bb_random_below(&sim->random, size / BB_VERSION_SECTOR) * BB_VERSION_SECTOR;
}

/* What a completing request does to the device and its buffer. */
static int32_t execute(struct bb_sim *sim, const struct flight *flight)
{
    const struct bb_sim_fault *fault = &flight->fault;
    int32_t result = 0;
    enum bb_sim_applied applied = BB_SIM_FULLY;
    if (fault->kind == BB_SIM_FAIL) {
        result = fault->error;
        applied = fault->applied;
    } else if (fault->kind == BB_SIM_SHORT && flight->op != BB_IO_FLUSH) {
        result = BB_ERR_SHORT_IO;
        applied = BB_SIM_PARTLY;
    }
    uint32_t size = flight->size;
    if (applied == BB_SIM_PARTLY && size > 0)
        size = random_prefix(sim, size);
    else if (applied == BB_SIM_NOT)
        size = 0;

    switch (flight->op) {
    case BB_IO_READ:
        if (result < 0)
            memset(flight->request->buf, POISON, flight->size);
        bb_image_read(&sim->visible, flight->offset, flight->request->buf, size);
        break;
    case BB_IO_WRITE:
        BB_ASSERT(bb_version_equals(flight->version, flight->request->buf));
        if (size > 0)
            version_complete(sim, flight->version, size, complete_fate);
        else
            bb_version_drop(flight->version);
        break;
    case BB_IO_DISCARD:
        if (!flight->version)
            return -EOPNOTSUPP;
        if (size > 0)
            version_complete(sim, flight->version, size,
                             bb_random_below(&sim->random, 2) == 0 ? complete_fate : absent_fate);
        else
            bb_version_drop(flight->version);
        break;
    case BB_IO_OP_COUNT:
        BB_ASSERT(false);
        break;
    case BB_IO_FLUSH:
        if (applied == BB_SIM_FULLY)
            make_durable(sim, flight->covers);
        break;
    }
    return result;
}

static void finish(struct bb_sim *sim, size_t index)
{
    struct flight flight = sim->flights[index];
    BB_ASSERT(flight.request != NULL);
    sim->flight_count--;
    memmove(&sim->flights[index], &sim->flights[index + 1],
            (sim->flight_count - index) * sizeof(flight));
    int32_t result = execute(sim, &flight);
    sim->counts.completed[flight.request->class][flight.op]++;
    sim->counts.failed += result < 0;
    bb_io_finish(&sim->io, flight.request, result);
}

static bool is_late(const struct flight *flight)
{
    return flight->fault.kind == BB_SIM_LATE && flight->fault.polls > 0;
}

static bool is_ready(const struct flight *flight, uint64_t number_max)
{
    return flight->request && !is_late(flight) && flight->number <= number_max;
}

/* One poll passes: number of requests that may complete in it; late ones come closer. */
static size_t age(struct bb_sim *sim, bool *ret_late)
{
    size_t ready = 0;
    *ret_late = false;
    for (size_t i = 0; i < sim->flight_count; i++) {
        ready += is_ready(&sim->flights[i], sim->submitted);
        if (sim->flights[i].request && is_late(&sim->flights[i])) {
            sim->flights[i].fault.polls--;
            *ret_late = true;
        }
    }
    return ready;
}

/* Completes one ready request: the oldest, or any. False if there is none. */
static bool finish_one(struct bb_sim *sim, uint64_t number_max)
{
    size_t ready = 0;
    for (size_t i = 0; i < sim->flight_count; i++)
        ready += is_ready(&sim->flights[i], number_max);
    if (ready == 0)
        return false;
    size_t skip = sim->config.in_order ? 0 : bb_random_below(&sim->random, ready);
    for (size_t i = 0; i < sim->flight_count; i++) {
        if (!is_ready(&sim->flights[i], number_max))
            continue;
        if (skip-- == 0) {
            finish(sim, i);
            break;
        }
    }
    return true;
}

/* A done function may submit, poll, and so kill the device: what was ready is looked up anew each
 * time, and what was submitted meanwhile waits for the next poll. */
static int poll(struct bb_io *io, bool wait)
{
    struct bb_sim *sim = BB_CONTAINER(io, struct bb_sim, io);
    if (sim->dead)
        return BB_ERR_CANCELLED;
    bool late;
    size_t ready = age(sim, &late);
    while (wait && ready == 0 && late)
        ready = age(sim, &late);
    if (ready == 0)
        return wait && io->in_flight > 0 ? -ETIMEDOUT : 0;

    size_t batch = sim->config.in_order ? ready : 1 + bb_random_below(&sim->random, ready);
    uint64_t number_max = sim->submitted;
    int run = 0;
    sim->poll_depth++;
    while (batch-- > 0 && !sim->dead && finish_one(sim, number_max))
        run++;
    sim->poll_depth--;
    return sim->dead ? BB_ERR_CANCELLED : run;
}

static const struct bb_io_ops sim_ops = {.submit = submit, .poll = poll};

/* ---- Life ---- */

struct bb_sim *bb_sim_open(const struct bb_sim_config *config)
{
    BB_ASSERT(config->size > 0);
    BB_ASSERT(bb_is_aligned(config->size, BB_IMAGE_UNIT_SIZE));
    struct bb_sim *sim = must(calloc(1, sizeof(*sim)));
    sim->config = *config;
    sim->io = (struct bb_io){
        .ops = &sim_ops,
        .device_size = config->size,
        .logical_sector = config->logical_sector ? config->logical_sector : 512,
        .physical_sector = config->physical_sector ? config->physical_sector : 4096,
        .discard_granularity = config->discard_granularity ? config->discard_granularity : 4096,
        .discard_max = config->no_discard ? 0 : DISCARD_MAX,
    };
    bb_random_seed(&sim->random, config->seed);
    bb_image_init(&sim->visible, config->size);
    bb_image_init(&sim->durable, config->size);
    return sim;
}

static void forget(struct bb_sim *sim)
{
    for (size_t i = 0; i < sim->flight_count; i++)
        bb_version_drop(sim->flights[i].version);
    sim->flight_count = 0;
}

static void forget_cache(struct bb_sim *sim)
{
    for (size_t i = 0; i < sim->undurable_count; i++)
        bb_version_drop(sim->undurable[i].version);
    sim->undurable_count = 0;
}

void bb_sim_close(struct bb_sim *sim)
{
    if (!sim)
        return;
    BB_ASSERT(sim->poll_depth == 0);
    forget(sim);
    forget_cache(sim);
    bb_image_fini(&sim->visible);
    bb_image_fini(&sim->durable);
    free(sim->undurable);
    free(sim->flights);
    free(sim);
}

struct bb_sim *bb_sim_clone(const struct bb_sim *sim)
{
    struct bb_sim *clone = must(malloc(sizeof(*clone)));
    *clone = *sim;
    clone->io.in_flight = 0;
    clone->io.data_writes = 0;
    clone->poll_depth = 0;
    clone->cut_number = 0;
    clone->fault = NULL;
    clone->fault_context = NULL;
    bb_image_copy(&sim->visible, &clone->visible);
    bb_image_copy(&sim->durable, &clone->durable);

    clone->undurable_max = sim->undurable_count;
    clone->undurable = NULL;
    if (sim->undurable_count > 0)
        clone->undurable = must(malloc(sim->undurable_count * sizeof(struct cached)));
    for (size_t i = 0; i < sim->undurable_count; i++) {
        clone->undurable[i] = sim->undurable[i];
        bb_version_share(clone->undurable[i].version);
    }

    clone->flights = NULL;
    clone->flight_count = clone->flight_max = 0;
    for (size_t i = 0; i < sim->flight_count; i++) {
        struct flight flight = sim->flights[i];
        if (!flight.version)
            continue;
        flight.request = NULL;
        bb_version_share(flight.version);
        clone->flights =
            grow(clone->flights, clone->flight_count, &clone->flight_max, sizeof(flight));
        clone->flights[clone->flight_count++] = flight;
    }
    return clone;
}

void bb_sim_reseed(struct bb_sim *sim, uint64_t seed)
{
    bb_random_seed(&sim->random, seed);
}

struct bb_io *bb_sim_io(struct bb_sim *sim)
{
    return &sim->io;
}

void bb_sim_cut_at(struct bb_sim *sim, uint64_t n)
{
    BB_ASSERT(!sim->dead);
    sim->cut_number = n ? sim->submitted + n : 0;
}

bool bb_sim_is_dead(const struct bb_sim *sim)
{
    return sim->dead;
}

void bb_sim_set_fault(struct bb_sim *sim, bb_sim_fault_fn fault, void *context)
{
    sim->fault = fault;
    sim->fault_context = context;
}

/* ---- Power cut and kill ---- */

size_t bb_sim_undurable_count(const struct bb_sim *sim)
{
    size_t count = sim->undurable_count;
    for (size_t i = 0; i < sim->flight_count; i++)
        count += sim->flights[i].version != NULL;
    return count;
}

/* The index-th version and its description: first the cache, then what is in flight. */
static const struct bb_version *nth_version(const struct bb_sim *sim, size_t index,
                                            struct bb_sim_write *ret_write)
{
    struct cached found = {0};
    if (index < sim->undurable_count) {
        found = sim->undurable[index];
    } else {
        size_t skip = index - sim->undurable_count;
        for (size_t i = 0; i < sim->flight_count && !found.version; i++)
            if (sim->flights[i].version && skip-- == 0)
                found = (struct cached){.version = sim->flights[i].version,
                                        .size = sim->flights[i].size};
    }
    BB_ASSERT(found.version != NULL);
    *ret_write = (struct bb_sim_write){.index = index,
                                       .count = bb_sim_undurable_count(sim),
                                       .class = found.version->class,
                                       .offset = found.version->offset,
                                       .size = found.size,
                                       .number = found.version->number,
                                       .in_flight = index >= sim->undurable_count};
    return found.version;
}

struct bb_sim_write bb_sim_undurable(const struct bb_sim *sim, size_t index)
{
    struct bb_sim_write write;
    nth_version(sim, index, &write);
    return write;
}

static void restart(struct bb_sim *sim)
{
    forget(sim);
    sim->dead = false;
    sim->cut_number = 0;
    sim->submitted = 0;
    sim->io.in_flight = 0;
    sim->io.data_writes = 0;
    sim->counts = (struct bb_sim_counts){0};
}

void bb_sim_power_cut(struct bb_sim *sim, bb_sim_chooser chooser, void *context)
{
    BB_ASSERT(sim->poll_depth == 0);
    size_t count = bb_sim_undurable_count(sim);
    for (size_t i = 0; i < count; i++) {
        struct bb_sim_write write;
        const struct bb_version *version = nth_version(sim, i, &write);
        struct bb_sim_fate fate = chooser(context, &write);
        BB_ASSERT(fate.part == BB_SIM_ALTERNATE || fate.sectors <= write.size / BB_VERSION_SECTOR);
        bb_version_apply(version, write.size, fate, &sim->durable);
    }
    forget_cache(sim);
    bb_image_fini(&sim->visible);
    bb_image_copy(&sim->durable, &sim->visible);
    restart(sim);
}

void bb_sim_kill(struct bb_sim *sim)
{
    BB_ASSERT(sim->poll_depth == 0);
    for (size_t i = 0; i < sim->flight_count; i++) {
        struct bb_version *version = sim->flights[i].version;
        if (!version || bb_random_below(&sim->random, 2) == 0)
            continue;
        sim->flights[i].version = NULL;
        version_complete(sim, version, sim->flights[i].size, complete_fate);
    }
    restart(sim);
}

/* ---- Looking and damaging ---- */

void bb_sim_peek(const struct bb_sim *sim, uint64_t offset, void *buf, size_t size)
{
    BB_ASSERT(size <= sim->config.size);
    BB_ASSERT(offset <= sim->config.size - size);
    bb_image_read(&sim->visible, offset, buf, size);
}

void bb_sim_poke(struct bb_sim *sim, uint64_t offset, const void *buf, size_t size)
{
    BB_ASSERT(size <= sim->config.size);
    BB_ASSERT(offset <= sim->config.size - size);
    bb_image_write(&sim->visible, offset, buf, size);
    bb_image_write(&sim->durable, offset, buf, size);
}

void bb_sim_digest(struct bb_sim *sim, struct bb_hash *ret_digest)
{
    bb_image_digest(&sim->durable, ret_digest);
}

const struct bb_sim_counts *bb_sim_get_counts(const struct bb_sim *sim)
{
    return &sim->counts;
}

uint64_t bb_sim_submitted(const struct bb_sim *sim)
{
    return sim->submitted;
}
