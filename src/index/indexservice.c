/* SPDX-License-Identifier: Apache-2.0
 * Service threads of the index. Channel 0 is the checkpointer, the others look up.
 *
 *   controller --jobs--> channel thread --answers--> controller
 *
 * `waiting` counts jobs that were pushed and not yet finished by the thread. Who moves it from 0 to
 * 1 writes the eventfd, on which the thread sleeps; so a busy thread costs no system call.
 * Everything but the atomics and the queues belongs to the controller, reader and scratch to their
 * thread.
 */
#include "bb/indexservice.h"

#include "bb/err.h"
#include "bb/queue.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LOOKUP_THREADS_MAX 4u
#define CHANNELS_MAX (1 + LOOKUP_THREADS_MAX)
#define COLD_MS 1000u /* after a major fault, lookups are left to the threads for so long */

enum { MESSAGE_JOB, MESSAGE_STOP };

struct channel {
    struct bb_index_service *service;
    struct bb_queue jobs;
    struct bb_queue answers;
    _Atomic uint32_t waiting;
    int wake_fd;
    bool running;
    pthread_t thread;
    struct bb_lmdb_reader *reader; /* NULL for the checkpointer */
    uint64_t load;                 /* hashes asked for and not yet answered; controller's */
};

struct bb_index_service {
    struct bb_index index;
    struct bb_lmdb_reader *reader; /* controller's */
    uint32_t job_max;
    void (*on_done)(void *context);
    void *context;
    unsigned channel_count;
    uint32_t in_flight;
    bool owned;
    pthread_t owner;
    bool looked_up; /* since the faults were last counted */
    long faults;
    uint64_t cold_until_ms; /* 0: lookups are tried */
    struct channel channels[CHANNELS_MAX];
};

/* ---- Channel threads ---- */

static void run_lookup(struct channel *channel, struct bb_index_job *job)
{
    struct bb_lmdb_reader *reader = channel->reader;
    int rc = bb_lmdb_reader_refresh(reader);
    for (uint32_t i = 0; i < job->count && rc == 0; i++) {
        rc = bb_lmdb_reader_lookup(reader, &job->hashes[i], &job->entries[i]);
        if (rc == -ENOENT) {
            job->entries[i].unit = UINT64_MAX;
            rc = 0;
        }
    }
    bb_lmdb_reader_rest(reader); /* an idle thread must not keep pages from being reused */
    job->result = rc;
}

struct lister {
    struct bb_index_job *job;
    uint32_t count;
};

static int list_one(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct lister *lister = context;
    struct bb_listed *listed = &lister->job->listed[lister->count++];
    listed->hash = *hash;
    listed->size = entry->size;
    listed->flags = (uint32_t)entry->flags;
    return lister->count == lister->job->count;
}

static void run_list(struct channel *channel, struct bb_index_job *job)
{
    const struct bb_index *index = &channel->service->index;
    struct lister lister = {.job = job};
    int rc = 0;
    if (job->count > 0)
        rc = index->ops->scan(index->context, job->from_start ? NULL : &job->after, NULL, list_one,
                              &lister);
    job->count = lister.count;
    job->result = rc < 0 ? rc : 0;
}

static void run_job(struct channel *channel, struct bb_index_job *job)
{
    const struct bb_index *index = &channel->service->index;
    switch (job->kind) {
    case BB_JOB_LOOKUP:
        run_lookup(channel, job);
        break;
    case BB_JOB_LIST:
        run_list(channel, job);
        break;
    case BB_JOB_FOLD:
        job->result = index->ops->fold(index->context, &job->fold, &job->set, &job->room);
        break;
    default:
        BB_ASSERT(false);
    }
}

static void sleep_until_woken(int fd)
{
    uint64_t count;
    ssize_t got;
    do {
        got = read(fd, &count, sizeof(count));
    } while (got < 0 && errno == EINTR);
    BB_ASSERT(got == sizeof(count));
}

static void *channel_main(void *argument)
{
    struct channel *channel = argument;
    struct bb_index_service *service = channel->service;
    for (;;) {
        sleep_until_woken(channel->wake_fd);
        do {
            struct bb_message message;
            bool popped = bb_queue_pop(&channel->jobs, &message);
            BB_ASSERT(popped);
            if (message.word == MESSAGE_STOP)
                return NULL;
            run_job(channel, message.pointer);
            bool pushed = bb_queue_push(&channel->answers, message);
            BB_ASSERT(pushed);
            service->on_done(service->context);
        } while (atomic_fetch_sub(&channel->waiting, 1) != 1);
    }
}

/* ---- Controller ---- */

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static long count_faults(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_majflt : 0;
}

static void assert_owner(struct bb_index_service *service)
{
    if (!service->owned) {
        service->owner = pthread_self();
        service->owned = true;
        service->faults = count_faults(); /* those before do not count */
    }
    BB_ASSERT(pthread_equal(service->owner, pthread_self()));
}

static void send(struct channel *channel, struct bb_message message)
{
    bool pushed = bb_queue_push(&channel->jobs, message);
    BB_ASSERT(pushed);
    if (atomic_fetch_add(&channel->waiting, 1) != 0)
        return;
    uint64_t one = 1;
    ssize_t put = write(channel->wake_fd, &one, sizeof(one));
    BB_ASSERT(put == sizeof(one));
}

static int port_lookup(void *context, const struct bb_hash *hash, struct bb_index_entry *ret_entry)
{
    struct bb_index_service *service = context;
    assert_owner(service);
    if (service->cold_until_ms != 0) {
        if (now_ms() < service->cold_until_ms)
            return BB_ERR_WOULD_FAULT;
        service->cold_until_ms = 0;
        service->faults = count_faults(); /* what others did meanwhile does not count */
    }
    service->looked_up = true;
    return bb_lmdb_reader_lookup(service->reader, hash, ret_entry);
}

static uint64_t load_of(const struct bb_index_job *job)
{
    return 1 + (uint64_t)job->count;
}

static void port_submit(void *context, struct bb_index_job *job)
{
    struct bb_index_service *service = context;
    assert_owner(service);
    BB_ASSERT(service->in_flight < service->job_max);
    unsigned at = 0;
    if (job->kind != BB_JOB_FOLD) {
        at = 1;
        for (unsigned i = 2; i < service->channel_count; i++)
            if (service->channels[i].load < service->channels[at].load)
                at = i;
    }
    /* A list returns another count than it was sent with: its load travels beside it. */
    uint64_t load = load_of(job);
    service->channels[at].load += load;
    service->in_flight++;
    send(&service->channels[at],
         (struct bb_message){.word = MESSAGE_JOB | load << 1, .pointer = job});
}

static void port_refresh(void *context)
{
    struct bb_index_service *service = context;
    assert_owner(service);
    int rc = bb_lmdb_reader_refresh(service->reader);
    BB_ASSERT(rc == 0); /* renewing the transaction of an open environment has no other answer */
}

static void notice_faults(struct bb_index_service *service)
{
    if (!service->looked_up)
        return;
    service->looked_up = false;
    long faults = count_faults();
    if (faults > service->faults)
        service->cold_until_ms = now_ms() + COLD_MS;
    service->faults = faults;
}

unsigned bb_index_service_poll(struct bb_index_service *service,
                               void (*done)(void *context, struct bb_index_job *job), void *context)
{
    unsigned count = 0;
    assert_owner(service);
    notice_faults(service);
    for (unsigned i = 0; i < service->channel_count; i++) {
        struct channel *channel = &service->channels[i];
        struct bb_message message;
        while (bb_queue_pop(&channel->answers, &message)) {
            BB_ASSERT(service->in_flight > 0);
            BB_ASSERT(channel->load >= message.word >> 1);
            service->in_flight--;
            channel->load -= message.word >> 1;
            count++;
            done(context, message.pointer);
        }
    }
    return count;
}

bool bb_index_service_is_cold(const struct bb_index_service *service)
{
    return service->cold_until_ms != 0 && now_ms() < service->cold_until_ms;
}

void bb_index_service_port(struct bb_index_service *service, struct bb_index_port *ret_port)
{
    service->owned = false;
    ret_port->context = service;
    ret_port->lookup = port_lookup;
    ret_port->submit = port_submit;
    ret_port->refresh = port_refresh;
}

/* ---- Start and stop ---- */

/* Signals are for the main thread; those of the processor (SIGBUS from the map) cannot be put off.
 */
static int start_thread(struct channel *channel, unsigned number)
{
    sigset_t all, before;
    char name[16];
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGBUS);
    (void)sigdelset(&all, SIGSEGV);
    (void)sigdelset(&all, SIGILL);
    (void)sigdelset(&all, SIGFPE);
    (void)sigdelset(&all, SIGABRT);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = -pthread_create(&channel->thread, NULL, channel_main, channel);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc < 0)
        return rc;
    channel->running = true;
    if (number == 0)
        (void)snprintf(name, sizeof(name), "bb-checkpoint");
    else
        (void)snprintf(name, sizeof(name), "bb-lookup-%hhu", (unsigned char)(number - 1));
    (void)pthread_setname_np(channel->thread, name);
    return 0;
}

static int start_channel(struct bb_index_service *service, unsigned number,
                         const struct bb_index_service_config *config)
{
    struct channel *channel = &service->channels[number];
    channel->service = service;
    channel->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (channel->wake_fd < 0)
        return -errno;
    service->channel_count = number + 1;
    int rc = bb_queue_init(&channel->jobs, config->arena, config->job_max);
    if (rc == 0)
        rc = bb_queue_init(&channel->answers, config->arena, config->job_max);
    if (rc == 0 && number > 0)
        rc = bb_lmdb_reader_open(config->lmdb, &channel->reader);
    if (rc < 0)
        return rc;
    if (channel->reader != NULL)
        bb_lmdb_reader_rest(channel->reader);
    return start_thread(channel, number);
}

int bb_index_service_start(const struct bb_index_service_config *config,
                           struct bb_index_service **ret_service)
{
    BB_ASSERT(config->lookup_threads >= 1 && config->lookup_threads <= LOOKUP_THREADS_MAX);
    BB_ASSERT(config->on_done != NULL);
    struct bb_index_service *service =
        bb_arena_alloc(config->arena, sizeof(*service), _Alignof(struct bb_index_service));
    if (service == NULL)
        return -ENOMEM;
    bb_lmdb_index(config->lmdb, &service->index);
    bb_lmdb_rest(config->lmdb); /* from here on lookups go through the port */
    service->job_max = config->job_max;
    service->on_done = config->on_done;
    service->context = config->context;
    int rc = bb_lmdb_reader_open(config->lmdb, &service->reader);
    for (unsigned i = 0; i <= config->lookup_threads && rc == 0; i++)
        rc = start_channel(service, i, config);
    if (rc < 0) {
        bb_index_service_stop(service);
        return rc;
    }
    *ret_service = service;
    return 0;
}

void bb_index_service_stop(struct bb_index_service *service)
{
    BB_ASSERT(service->in_flight == 0);
    for (unsigned i = 0; i < service->channel_count; i++) {
        struct channel *channel = &service->channels[i];
        if (channel->running) {
            send(channel, (struct bb_message){.word = MESSAGE_STOP});
            int rc = pthread_join(channel->thread, NULL);
            BB_ASSERT(rc == 0);
        }
        if (channel->reader != NULL)
            bb_lmdb_reader_close(channel->reader);
        (void)close(channel->wake_fd);
    }
    if (service->reader != NULL)
        bb_lmdb_reader_close(service->reader);
    service->channel_count = 0;
}
