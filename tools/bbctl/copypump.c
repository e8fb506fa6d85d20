/* SPDX-License-Identifier: Apache-2.0
 * The threads of bbctl copy; copypump.h says what for.
 *
 * Shared state is under pump->lock; the entry that a thread took is its own until it counts it. A
 * thread that fails keeps its entry undone, records why if it is the first, and nobody takes
 * another one.
 */
#include "bbctl/copypump.h"

#include "bb/clock.h"
#include "bb/err.h"
#include "bbctl/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIES 2 /* of a body that does not match its name: a wire may have spoilt it */

struct worker {
    struct bb_copy_pump *pump;
    pthread_t thread;
    struct bb_copy_peer source, target;
};

struct bb_copy_pump {
    struct bb_copy_orders orders;
    atomic_bool *stop;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    struct bb_copy_page *page; /* NULL: nothing to do */
    bool remove;
    bool quit;
    unsigned busy;       /* threads with an entry */
    uint64_t free_at_us; /* with a limited rate: when the next body may begin */
    struct bb_copy_tally tally;
    struct bb_copy_failure failure;
    uint32_t found_count;
    struct bb_copy_found found[BB_COPY_FINDINGS_MAX];
    unsigned worker_count;
    struct worker workers[BB_COPY_CONNECTIONS_MAX];
};

/* What became of one entry; the failure is separate. */
struct outcome {
    struct bb_copy_tally add;
    bool failed;
    struct bb_copy_failure failure;
};

static void find(struct bb_copy_pump *pump, const struct bb_copy_entry *entry,
                 enum bb_copy_finding finding, struct outcome *outcome)
{
    outcome->add.findings[finding]++;
    pthread_mutex_lock(&pump->lock);
    if (pump->found_count < BB_COPY_FINDINGS_MAX)
        pump->found[pump->found_count++] = (struct bb_copy_found){entry->hash, finding};
    pthread_mutex_unlock(&pump->lock);
}

static void fail(const struct bb_copy_store *store, const struct bb_copy_entry *entry,
                 const char *why, struct outcome *outcome)
{
    char hex[BB_HASH_HEX_SIZE + 1] = "";
    bb_hash_to_hex(&entry->hash, hex);
    outcome->failed = true;
    outcome->failure.code = BB_CTL_FAILED;
    (void)snprintf(outcome->failure.text, sizeof(outcome->failure.text), "the %s %s: %s: %s",
                   store->role, store->where, hex, why);
}

/* What one side has under a name. */
enum reading { READ_GOOD, READ_ABSENT, READ_CORRUPT, READ_FAILED };

/* Reads a block into peer->reply and compares it with its name. */
static enum reading read_block(struct bb_copy_peer *peer, const struct bb_hash *hash,
                               struct outcome *outcome)
{
    for (int attempt = 0; attempt < TRIES; attempt++) {
        struct bb_hash found;
        outcome->failed = !bb_copy_peer_ask_block(peer, "GET", hash, NULL, 0, &outcome->failure);
        if (outcome->failed)
            return READ_FAILED;
        if (peer->reply.status == 404)
            return READ_ABSENT;
        if (peer->reply.status == 500)
            return READ_CORRUPT;
        if (peer->reply.status != 200) {
            outcome->failed = !bb_copy_peer_refused(peer, &outcome->failure);
            return READ_FAILED;
        }
        bb_hash_of(peer->reply.body, peer->reply.len, &found);
        if (bb_hash_equal(&found, hash))
            return READ_GOOD;
    }
    return READ_CORRUPT;
}

/* Waits for this body's turn when the rate is limited. */
static void pace(struct bb_copy_pump *pump, uint32_t size)
{
    if (pump->orders.bytes_per_second == 0)
        return;
    pthread_mutex_lock(&pump->lock);
    uint64_t now = bb_clock_us();
    uint64_t begin = pump->free_at_us > now ? pump->free_at_us : now;
    pump->free_at_us = begin + (uint64_t)size * 1000000 / pump->orders.bytes_per_second;
    pthread_mutex_unlock(&pump->lock);
    while (begin > now && !atomic_load(pump->stop)) {
        uint64_t nap = begin - now < 200000 ? begin - now : 200000;
        const struct timespec wait = {.tv_nsec = (long)nap * 1000};
        (void)nanosleep(&wait, NULL);
        now = bb_clock_us();
    }
}

/* True when the target has the block now; else it failed, or the source has it no more. */
static bool copy_block(struct worker *worker, const struct bb_copy_entry *entry,
                       struct outcome *outcome)
{
    struct bb_copy_peer *source = &worker->source, *target = &worker->target;
    struct bb_hash named;
    pace(worker->pump, entry->size);
    switch (read_block(source, &entry->hash, outcome)) {
    case READ_GOOD:
        break;
    case READ_ABSENT:
        outcome->add.vanished++;
        return false;
    case READ_CORRUPT:
        find(worker->pump, entry, BB_COPY_SOURCE_CORRUPT, outcome);
        return false;
    case READ_FAILED:
        return false;
    }
    size_t size = source->reply.len;
    outcome->failed = !bb_copy_peer_ask_block(target, "PUT", &entry->hash, source->reply.body, size,
                                              &outcome->failure);
    if (outcome->failed)
        return false;
    if (target->reply.status != 200 && target->reply.status != 201) {
        outcome->failed = !bb_copy_peer_refused(target, &outcome->failure);
        return false;
    }
    if (target->reply.len < BB_HASH_HEX_SIZE ||
        !bb_hash_from_hex(target->reply.body, BB_HASH_HEX_SIZE, &named) ||
        !bb_hash_equal(&named, &entry->hash)) {
        fail(target->store, entry, "it acknowledges another hash", outcome);
        return false;
    }
    if (target->reply.status == 201) {
        outcome->add.copied++;
        outcome->add.copied_bytes += size;
    } else {
        outcome->add.present++;
    }
    return true;
}

/* Reads a block back that the target has, and gives it a good copy when it is not good there. */
static void verify_block(struct worker *worker, const struct bb_copy_entry *entry,
                         struct outcome *outcome)
{
    enum reading reading = read_block(&worker->target, &entry->hash, outcome);
    bool damaged = reading == READ_CORRUPT;
    if (damaged || reading == READ_ABSENT) {
        if (!copy_block(worker, entry, outcome)) {
            if (damaged && !outcome->failed)
                find(worker->pump, entry, BB_COPY_TARGET_CORRUPT, outcome);
            return;
        }
        reading = read_block(&worker->target, &entry->hash, outcome);
    }
    if (reading == READ_GOOD) {
        outcome->add.verified++;
        outcome->add.verified_bytes += worker->target.reply.len;
        if (damaged)
            find(worker->pump, entry, BB_COPY_TARGET_MENDED, outcome);
    } else if (reading == READ_ABSENT) {
        outcome->add.vanished++; /* somebody deletes at the target */
    } else if (reading == READ_CORRUPT) {
        find(worker->pump, entry, BB_COPY_TARGET_CORRUPT, outcome);
    }
}

/* Deletes at the target what the source says, asked for it alone, that it has not: a block that is
 * corrupt there is missing too, and must stay. */
static void remove_block(struct worker *worker, const struct bb_copy_entry *entry,
                         struct outcome *outcome)
{
    struct bb_copy_peer *source = &worker->source, *target = &worker->target;
    outcome->failed =
        !bb_copy_peer_ask_block(source, "HEAD", &entry->hash, NULL, 0, &outcome->failure);
    if (outcome->failed || source->reply.status == 200 || source->reply.status == 500)
        return;
    if (source->reply.status != 404) {
        outcome->failed = !bb_copy_peer_refused(source, &outcome->failure);
        return;
    }
    outcome->failed =
        !bb_copy_peer_ask_block(target, "DELETE", &entry->hash, NULL, 0, &outcome->failure);
    if (outcome->failed)
        return;
    if (target->reply.status == 204)
        outcome->add.deleted++;
    else if (target->reply.status != 404)
        outcome->failed = !bb_copy_peer_refused(target, &outcome->failure);
}

static void work_on(struct worker *worker, const struct bb_copy_entry *entry, bool remove,
                    struct outcome *ret_outcome)
{
    *ret_outcome = (struct outcome){.failed = false};
    if (remove) {
        remove_block(worker, entry, ret_outcome);
        return;
    }
    if (entry->missing && !copy_block(worker, entry, ret_outcome))
        return;
    if (worker->pump->orders.verify)
        verify_block(worker, entry, ret_outcome);
}

static void add(struct bb_copy_tally *tally, const struct bb_copy_tally *more)
{
    tally->copied += more->copied;
    tally->copied_bytes += more->copied_bytes;
    tally->present += more->present;
    tally->vanished += more->vanished;
    tally->verified += more->verified;
    tally->verified_bytes += more->verified_bytes;
    tally->deleted += more->deleted;
    for (int i = 0; i < BB_COPY_FINDING_COUNT; i++)
        tally->findings[i] += more->findings[i];
}

/* The next entry, NULL when there is nothing to do at the moment. Under the lock. */
static struct bb_copy_entry *take(struct bb_copy_pump *pump)
{
    if (pump->page == NULL || pump->failure.code != 0 || atomic_load(pump->stop))
        return NULL;
    return bb_copy_page_take(pump->page, pump->orders.verify && !pump->remove);
}

static void *run(void *context)
{
    struct worker *worker = context;
    struct bb_copy_pump *pump = worker->pump;
    pthread_mutex_lock(&pump->lock);
    while (!pump->quit) {
        struct outcome outcome;
        struct bb_copy_entry *entry = take(pump);
        if (entry == NULL) {
            if (pump->busy == 0) {
                pump->page = NULL;
                pthread_cond_signal(&pump->idle);
            }
            pthread_cond_wait(&pump->work, &pump->lock);
            continue;
        }
        bool remove = pump->remove;
        pump->busy++;
        pthread_mutex_unlock(&pump->lock);
        work_on(worker, entry, remove, &outcome);
        pthread_mutex_lock(&pump->lock);
        BB_ASSERT(pump->busy > 0);
        pump->busy--;
        add(&pump->tally, &outcome.add);
        entry->done = !outcome.failed;
        if (outcome.failed && pump->failure.code == 0)
            pump->failure = outcome.failure;
    }
    pthread_mutex_unlock(&pump->lock);
    return NULL;
}

struct bb_copy_pump *bb_copy_pump_start(const struct bb_copy_orders *orders, atomic_bool *stop)
{
    sigset_t all, before;
    BB_ASSERT(orders->connections > 0);
    BB_ASSERT(orders->connections <= BB_COPY_CONNECTIONS_MAX);
    struct bb_copy_pump *pump = calloc(1, sizeof(*pump));
    if (pump == NULL)
        return NULL;
    pump->orders = *orders;
    pump->stop = stop;
    pthread_mutex_init(&pump->lock, NULL);
    pthread_cond_init(&pump->work, NULL);
    pthread_cond_init(&pump->idle, NULL);
    sigfillset(&all); /* signals are for the thread that calls us */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < orders->connections; i++) {
        struct worker *worker = &pump->workers[i];
        worker->pump = pump;
        bb_copy_peer_init(&worker->source, orders->source, stop);
        bb_copy_peer_init(&worker->target, orders->target, stop);
        if (pthread_create(&worker->thread, NULL, run, worker) != 0)
            break;
        pump->worker_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pump->worker_count == 0) {
        bb_copy_pump_end(pump);
        return NULL;
    }
    return pump;
}

void bb_copy_pump_give(struct bb_copy_pump *pump, struct bb_copy_page *page, bool remove)
{
    pthread_mutex_lock(&pump->lock);
    BB_ASSERT(pump->page == NULL);
    pump->page = page;
    pump->remove = remove;
    pthread_cond_broadcast(&pump->work);
    pthread_mutex_unlock(&pump->lock);
}

bool bb_copy_pump_wait(struct bb_copy_pump *pump, unsigned ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&pump->lock);
    int error = 0;
    while (pump->page != NULL && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&pump->idle, &pump->lock, &until);
    bool idle = pump->page == NULL;
    pthread_mutex_unlock(&pump->lock);
    return idle;
}

struct bb_copy_tally bb_copy_pump_tally(struct bb_copy_pump *pump)
{
    pthread_mutex_lock(&pump->lock);
    struct bb_copy_tally tally = pump->tally;
    pthread_mutex_unlock(&pump->lock);
    return tally;
}

struct bb_copy_failure bb_copy_pump_failure(struct bb_copy_pump *pump)
{
    pthread_mutex_lock(&pump->lock);
    struct bb_copy_failure failure = pump->failure;
    pthread_mutex_unlock(&pump->lock);
    return failure;
}

const struct bb_copy_found *bb_copy_pump_findings(const struct bb_copy_pump *pump,
                                                  uint32_t *ret_count)
{
    *ret_count = pump->found_count;
    return pump->found;
}

void bb_copy_pump_end(struct bb_copy_pump *pump)
{
    if (pump == NULL)
        return;
    pthread_mutex_lock(&pump->lock);
    pump->quit = true;
    pthread_cond_broadcast(&pump->work);
    pthread_mutex_unlock(&pump->lock);
    for (unsigned i = 0; i < pump->worker_count; i++) {
        pthread_join(pump->workers[i].thread, NULL);
        bb_copy_peer_fini(&pump->workers[i].source);
        bb_copy_peer_fini(&pump->workers[i].target);
    }
    pthread_cond_destroy(&pump->idle);
    pthread_cond_destroy(&pump->work);
    pthread_mutex_destroy(&pump->lock);
    free(pump);
}
