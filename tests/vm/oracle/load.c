/* SPDX-License-Identifier: Apache-2.0
 * The threads of the load (load.h). A thread owns its client, its slots and its generator; only
 * the counters and the two semaphores are shared.
 */
#include "load.h"

#include "client.h"
#include "fire.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BEFORE_MAX_S 240 /* for the operations before the moment; the machine is emulated */
#define AFTER_MAX_S 100  /* for the store to end after it */

struct worker {
    pthread_t thread;
    struct client client;
    struct slot *slots;
    uint64_t random;
    uint8_t body[LEDGER_BLOCK_MAX];
};

static struct worker workers[LEDGER_THREADS];
static struct ledger *ledger;
static uint64_t wanted;
static _Atomic uint64_t put_count, duplicate_count, delete_count, get_count, failed_count,
    busy_count, fault_count;
static _Atomic bool stopping, trouble_allowed, gone_early;
static sem_t reached, ended;

static void fault(const struct slot *slot, const char *what, int status)
{
    (void)printf("FAULT during load: %s, answer %d, block %s of %u bytes\n", what, status,
                 slot->name, slot->size);
    atomic_fetch_add(&fault_count, 1);
}

static void acknowledged(_Atomic uint64_t *counter)
{
    atomic_fetch_add(counter, 1);
    uint64_t before =
        atomic_load(&put_count) + atomic_load(&delete_count) + atomic_load(&duplicate_count);
    if (wanted != 0 && before >= wanted)
        (void)sem_post(&reached);
}

/* No success. Returns whether this connection goes on. */
static bool unanswered(struct slot *slot, int status, uint32_t before)
{
    bool allowed = atomic_load(&trouble_allowed);
    if (status == CLIENT_REFUSED) {
        slot->state = before;
        if (!allowed)
            atomic_store(&gone_early, true);
        return false;
    }
    atomic_fetch_add(&failed_count, 1);
    if (status == 503)
        atomic_fetch_add(&busy_count, 1);
    else if ((status != CLIENT_LOST && status != 500 && status != 507) || !allowed)
        fault(slot, status == CLIENT_HANGS ? "the store hangs" : "not expected", status);
    return status != CLIENT_HANGS;
}

static bool send_put(struct worker *worker, struct slot *slot)
{
    char path[32 + LEDGER_NAME_SIZE] = "/block";
    uint32_t before = slot->state;
    ledger_body(ledger, slot, worker->body);
    if (ledger_random(&worker->random) % 2 == 0)
        (void)snprintf(path, sizeof(path), "/block/%s", slot->name);
    slot->state = SLOT_IN_DOUBT;
    int status = client_request(&worker->client, "PUT", path, worker->body, slot->size);
    if (status != 200 && status != 201)
        return unanswered(slot, status, before);
    if (status == 201 && before == SLOT_PRESENT)
        fault(slot, "an acknowledged block is stored anew", status);
    if (status == 200 && before == SLOT_ABSENT)
        fault(slot, "an absent block is said to be stored", status);
    if (strncmp((const char *)worker->client.body, slot->name, LEDGER_NAME_SIZE) != 0)
        fault(slot, "PUT answers with another name", status);
    slot->state = SLOT_PRESENT;
    acknowledged(status == 201 ? &put_count : &duplicate_count);
    return true;
}

static bool send_delete(struct worker *worker, struct slot *slot)
{
    char path[32 + LEDGER_NAME_SIZE];
    uint32_t before = slot->state;
    (void)snprintf(path, sizeof(path), "/block/%s", slot->name);
    slot->state = SLOT_IN_DOUBT;
    int status = client_request(&worker->client, "DELETE", path, NULL, 0);
    if (status != 204 && status != 404)
        return unanswered(slot, status, before);
    if (status == 404 && before == SLOT_PRESENT)
        fault(slot, "an acknowledged block is not there to be deleted", status);
    slot->state = SLOT_ABSENT;
    acknowledged(&delete_count);
    return true;
}

static bool send_get(struct worker *worker, struct slot *slot)
{
    char path[32 + LEDGER_NAME_SIZE];
    (void)snprintf(path, sizeof(path), "/block/%s", slot->name);
    int status = client_request(&worker->client, "GET", path, NULL, 0);
    if (status != 200) {
        if (status == 404)
            fault(slot, "an acknowledged block is not there", status);
        return status == 404 || unanswered(slot, status, slot->state);
    }
    ledger_body(ledger, slot, worker->body);
    if (worker->client.body_size != slot->size ||
        memcmp(worker->client.body, worker->body, slot->size) != 0)
        fault(slot, "other bytes than acknowledged", status);
    atomic_fetch_add(&get_count, 1);
    return true;
}

static bool step(struct worker *worker)
{
    uint64_t random = ledger_random(&worker->random);
    struct slot *slot = &worker->slots[random % LEDGER_SLOTS_EACH];
    unsigned choice = (unsigned)(random >> 32) % 100;
    if (slot->state == SLOT_PRESENT)
        return choice < 45   ? send_delete(worker, slot)
               : choice < 70 ? send_put(worker, slot)
                             : send_get(worker, slot);
    if (slot->state == SLOT_IN_DOUBT && choice < 50)
        return send_delete(worker, slot);
    if (slot->state == SLOT_ABSENT && choice < 70)
        ledger_renew(ledger, slot, worker->body);
    return send_put(worker, slot);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&stopping) && step(worker))
        continue;
    client_close(&worker->client);
    (void)sem_post(&ended);
    if (!atomic_load(&stopping))
        (void)sem_post(&reached); /* who waits for operations must not wait in vain */
    return NULL;
}

/* Waits for `count` posts within so many seconds. */
static bool wait_for(sem_t *semaphore, unsigned count, unsigned seconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    while (count > 0) {
        if (sem_timedwait(semaphore, &until) == 0)
            count--;
        else if (errno != EINTR)
            return false;
    }
    return true;
}

static void start(void)
{
    if (sem_init(&reached, 0, 0) != 0 || sem_init(&ended, 0, 0) != 0)
        errx(2, "no semaphore");
    atomic_store(&trouble_allowed, wanted == 0);
    for (unsigned i = 0; i < LEDGER_THREADS; i++) {
        struct worker *worker = &workers[i];
        client_init(&worker->client);
        worker->slots = &ledger->slots[i * LEDGER_SLOTS_EACH];
        worker->random = ledger->seed ^ atomic_fetch_add(&ledger->next_number, 1);
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            errx(2, "no thread");
    }
}

static void report(void)
{
    (void)printf("load: %llu new, %llu duplicate, %llu deleted, all acknowledged; %llu read; %llu "
                 "without success, of these %llu answered 503\n",
                 (unsigned long long)put_count, (unsigned long long)duplicate_count,
                 (unsigned long long)delete_count, (unsigned long long)get_count,
                 (unsigned long long)failed_count, (unsigned long long)busy_count);
}

enum load_result load_run(struct ledger *known, uint64_t operations)
{
    ledger = known;
    wanted = operations;
    start();
    bool early = wanted != 0 && !wait_for(&reached, 1, BEFORE_MAX_S);
    early = early || atomic_load(&gone_early);
    if (!early && fire_armed()) {
        atomic_store(&trouble_allowed, true);
        fire_now();
        fire_wait();
    } else if (wanted != 0) {
        atomic_store(&stopping, true);
    }
    unsigned limit = wanted == 0 ? BEFORE_MAX_S : AFTER_MAX_S;
    bool survived = !wait_for(&ended, LEDGER_THREADS, limit);
    report();
    (void)fflush(stdout);
    if (atomic_load(&fault_count) > 0)
        return LOAD_FAULTS;
    return early ? LOAD_EARLY : survived ? LOAD_SURVIVED : LOAD_OK;
}
