/* SPDX-License-Identifier: Apache-2.0
 * The ring: sockets, cancel, wake, refusals by the kernel, and the data device through it on a
 * temporary file. Nothing here sleeps; a test waits for the event that it needs.
 */
#include "../../../src/io/ring_internal.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/random.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define UNIT 4096u
#define FILE_SIZE (64 * BB_MIB)
#define ARENA_SIZE (8 * BB_MIB)

struct world {
    struct bb_ring *ring;
    struct bb_device device;
    uint8_t *arena;
};

static struct world world;

static struct bb_ring *open_ring(const struct bb_ring_config *config)
{
    struct bb_ring *ring = NULL;
    const char *reason = NULL;
    int error = bb_ring_open(config, &ring, &reason);
    if (error != 0)
        fail_msg("no ring: %s (%s)", bb_err_text(error), reason);
    return ring;
}

static struct bb_ring_config config_of(unsigned cap)
{
    return (struct bb_ring_config){.entries = 64,
                                   .device = &world.device,
                                   .device_in_flight_max = cap,
                                   .arena = world.arena,
                                   .arena_size = ARENA_SIZE};
}

static int set_up_sockets(void **state)
{
    (void)state;
    world = (struct world){.ring = open_ring(&(struct bb_ring_config){.entries = 64})};
    return 0;
}

static int tear_down_sockets(void **state)
{
    (void)state;
    bb_ring_close(world.ring);
    return 0;
}

/* ---- Sockets ---- */

struct outcome {
    struct bb_event event;
    int result;
    unsigned count;
    bool more;
};

static void note(struct bb_event *event, int result, bool more)
{
    struct outcome *outcome = BB_CONTAINER(event, struct outcome, event);
    outcome->result = result;
    outcome->more = more;
    outcome->count++;
}

/* Turns until the outcome has come `count` times. */
static void wait_for(struct outcome *outcome, unsigned count)
{
    while (outcome->count < count)
        assert_true(bb_ring_turn(world.ring, 5000, NULL, NULL) > 0);
}

static void make_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void bytes_go_through_both_ways(void **state)
{
    (void)state;
    int pair[2];
    char in[16] = "";
    struct outcome recv = {.event.done = note}, send = {.event.done = note};
    make_pair(pair);
    bb_ring_recv(world.ring, pair[0], in, sizeof(in), &recv.event);
    assert_int_equal(bb_ring_turn(world.ring, 0, NULL, NULL), 0);
    struct iovec parts[2] = {{"buddy ", 6}, {"blocks", 6}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    bb_ring_send(world.ring, pair[1], &message, &send.event);
    wait_for(&recv, 1);
    wait_for(&send, 1);
    assert_int_equal(send.result, 12);
    assert_int_equal(recv.result, 12);
    assert_false(recv.more);
    assert_memory_equal(in, "buddy blocks", 12);
    close(pair[1]);
    bb_ring_recv(world.ring, pair[0], in, sizeof(in), &recv.event);
    wait_for(&recv, 2);
    assert_int_equal(recv.result, 0); /* the peer has finished */
    close(pair[0]);
}

static void send_to_a_closed_peer_is_an_error_not_a_signal(void **state)
{
    (void)state;
    int pair[2];
    struct outcome send = {.event.done = note};
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    make_pair(pair);
    close(pair[1]);
    bb_ring_send(world.ring, pair[0], &message, &send.event);
    wait_for(&send, 1);
    assert_int_equal(send.result, -EPIPE);
    close(pair[0]);
}

static int listen_on_loopback(struct sockaddr_in *ret_address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(*ret_address);
    *ret_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)ret_address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, &size), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static void one_accept_serves_many_connections_until_cancelled(void **state)
{
    (void)state;
    struct sockaddr_in address;
    int listener = listen_on_loopback(&address);
    struct outcome accepted = {.event.done = note};
    bb_ring_accept(world.ring, listener, &accepted.event);
    for (unsigned i = 1; i <= 5; i++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
        wait_for(&accepted, i);
        assert_true(accepted.result >= 0);
        assert_true(accepted.more);
        assert_int_equal(fcntl(accepted.result, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        close(accepted.result);
        close(client);
    }
    bb_ring_cancel(world.ring, &accepted.event);
    wait_for(&accepted, 6);
    assert_int_equal(accepted.result, -ECANCELED);
    assert_false(accepted.more);
    close(listener);
}

static void cancelled_receive_ends_once(void **state)
{
    (void)state;
    int pair[2];
    char in[4];
    struct outcome recv = {.event.done = note};
    make_pair(pair);
    bb_ring_recv(world.ring, pair[0], in, sizeof(in), &recv.event);
    bb_ring_cancel(world.ring, &recv.event);
    wait_for(&recv, 1);
    assert_int_equal(recv.result, -ECANCELED);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(bb_ring_turn(world.ring, 0, NULL, NULL), 0);
    assert_int_equal(recv.count, 1);
    close(pair[0]);
    close(pair[1]);
}

/* Lets the kernel report `result` for an operation that seems to be pending on the event: another
 * ring posts it. Under CPU pressure the real one ends so, which cannot be had on demand. */
static void inject(struct bb_event *event, int result)
{
    struct io_uring other;
    struct io_uring_cqe *cqe;
    assert_int_equal(io_uring_queue_init(2, &other, 0), 0);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&other);
    io_uring_prep_msg_ring(sqe, world.ring->uring.ring_fd, (unsigned)result, (uintptr_t)event, 0);
    world.ring->others_in_flight++;
    assert_int_equal(io_uring_submit_and_wait(&other, 1), 1);
    assert_int_equal(io_uring_peek_cqe(&other, &cqe), 0);
    assert_int_equal(cqe->res, 0);
    io_uring_queue_exit(&other);
}

static void receive_given_up_by_the_kernel_is_repeated(void **state)
{
    (void)state;
    int pair[2];
    char in[4];
    make_pair(pair);
    struct outcome recv = {
        .event = {.done = note, .fd = pair[0], .op = BB_RING_RECV, .what = in, .size = sizeof(in)}};
    inject(&recv.event, -EAGAIN);
    assert_int_equal(bb_ring_turn(world.ring, 5000, NULL, NULL), 0);
    assert_int_equal(bb_ring_get_stats(world.ring)->retries, 1);
    assert_int_equal(bb_ring_turn(world.ring, 0, NULL, NULL), 0);
    assert_int_equal(write(pair[1], "abc", 3), 3);
    wait_for(&recv, 1);
    assert_int_equal(recv.result, 3);
    assert_memory_equal(in, "abc", 3);
    close(pair[0]);
    close(pair[1]);
}

static void send_given_up_by_the_kernel_is_repeated(void **state)
{
    (void)state;
    int pair[2];
    char in[4];
    struct iovec part = {"abc", 3};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    make_pair(pair);
    struct outcome send = {
        .event = {.done = note, .fd = pair[0], .op = BB_RING_SEND, .what = &message}};
    inject(&send.event, -EAGAIN);
    assert_int_equal(bb_ring_turn(world.ring, 5000, NULL, NULL), 0);
    assert_int_equal(bb_ring_get_stats(world.ring)->retries, 1);
    wait_for(&send, 1);
    assert_int_equal(send.result, 3);
    assert_int_equal(read(pair[1], in, sizeof(in)), 3);
    close(pair[0]);
    close(pair[1]);
}

static void cancelled_operation_is_not_repeated(void **state)
{
    (void)state;
    struct outcome recv = {.event = {.done = note, .op = BB_RING_RECV, .fd = -1}};
    inject(&recv.event, -EAGAIN); /* on its way when the owner cancels */
    bb_ring_cancel(world.ring, &recv.event);
    wait_for(&recv, 1);
    assert_int_equal(recv.result, -ECANCELED);
    assert_int_equal(bb_ring_get_stats(world.ring)->retries, 0);
}

static void other_errors_are_passed_on(void **state)
{
    (void)state;
    struct outcome recv = {.event = {.done = note, .op = BB_RING_RECV, .fd = -1}};
    struct outcome accepted = {.event = {.done = note, .op = BB_RING_ACCEPT, .fd = -1}};
    inject(&recv.event, -ECONNRESET);
    inject(&accepted.event, -EAGAIN);
    wait_for(&recv, 1);
    wait_for(&accepted, 1);
    assert_int_equal(recv.result, -ECONNRESET);
    assert_int_equal(accepted.result, -EAGAIN);
}

struct chain {
    struct outcome outcome;
    int fd;
    char in[8];
    unsigned left;
};

static void again(struct bb_event *event, int result, bool more)
{
    struct chain *chain = BB_CONTAINER(event, struct chain, outcome.event);
    note(event, result, more);
    if (result > 0 && --chain->left > 0)
        bb_ring_recv(world.ring, chain->fd, chain->in, 1, event);
}

static void done_function_may_submit_more_than_the_ring_holds(void **state)
{
    (void)state;
    static struct chain chains[200]; /* three times the submission entries */
    int pair[2];
    make_pair(pair);
    for (unsigned i = 0; i < 200; i++) {
        chains[i] = (struct chain){.outcome.event.done = again, .fd = pair[0], .left = 3};
        bb_ring_recv(world.ring, pair[0], chains[i].in, 1, &chains[i].outcome.event);
    }
    char bytes[600] = {0};
    assert_int_equal(write(pair[1], bytes, sizeof(bytes)), sizeof(bytes));
    unsigned total = 0;
    while (total < 600) {
        int run = bb_ring_turn(world.ring, 5000, NULL, NULL);
        assert_true(run > 0);
        total += (unsigned)run;
    }
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(chains[i].outcome.count, 3);
    close(pair[0]);
    close(pair[1]);
}

static void close_waits_for_what_is_pending(void **state)
{
    (void)state;
    int pair[2];
    char *in = malloc(16);
    struct outcome recv = {.event.done = note};
    struct bb_ring *ring = open_ring(&(struct bb_ring_config){.entries = 8});
    make_pair(pair);
    bb_ring_recv(ring, pair[0], in, 16, &recv.event);
    assert_int_equal(bb_ring_turn(ring, 0, NULL, NULL), 0);
    bb_ring_close(ring);
    assert_int_equal(write(pair[1], "late", 4), 4);
    assert_int_equal(read(pair[0], in, 16), 4); /* nobody took the bytes away */
    assert_int_equal(recv.count, 0);
    free(in);
    close(pair[0]);
    close(pair[1]);
}

/* ---- Waiting and waking ---- */

static bool say_yes(void *context)
{
    ++*(unsigned *)context;
    return true;
}

static void work_at_hand_keeps_the_owner_from_sleeping(void **state)
{
    (void)state;
    unsigned asked = 0;
    assert_int_equal(bb_ring_turn(world.ring, -1, say_yes, &asked), 0);
    assert_int_equal(asked, 1);
    assert_int_equal(bb_ring_turn(world.ring, 0, say_yes, &asked), 0);
    assert_int_equal(asked, 1); /* it was not going to sleep */
}

static void turn_ends_at_its_time(void **state)
{
    (void)state;
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(bb_ring_turn(world.ring, 30, NULL, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long ns =
        (long long)(after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
    assert_true(ns >= 29 * 1000000ll);
}

static sem_t about_to_park;

static bool post_semaphore(void *context)
{
    (void)context;
    sem_post(&about_to_park);
    return false;
}

static void *wake_when_parked(void *ring)
{
    sem_wait(&about_to_park);
    bb_ring_wake(ring);
    return NULL;
}

static void another_thread_wakes_a_parked_owner(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(sem_init(&about_to_park, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, wake_when_parked, world.ring), 0);
    assert_int_equal(bb_ring_turn(world.ring, -1, post_semaphore, NULL), 0);
    assert_int_equal(bb_ring_get_stats(world.ring)->wakes, 1);
    pthread_join(thread, NULL);
    sem_destroy(&about_to_park);
}

static void wake_of_a_running_owner_costs_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        bb_ring_wake(world.ring);
    assert_int_equal(bb_ring_turn(world.ring, 0, NULL, NULL), 0);
    assert_int_equal(bb_ring_get_stats(world.ring)->wakes, 0);
}

#define MESSAGES 20000u

static atomic_uint published, seen;

static void *produce(void *ring)
{
    for (unsigned i = 1; i <= MESSAGES; i++) {
        atomic_store_explicit(&published, i, memory_order_release);
        bb_ring_wake(ring);
        /* One message at a time, so that the owner runs dry and parks between any two. */
        while (atomic_load_explicit(&seen, memory_order_acquire) < i)
            sched_yield();
    }
    return NULL;
}

static bool something_new(void *context)
{
    (void)context;
    return atomic_load_explicit(&published, memory_order_acquire) !=
           atomic_load_explicit(&seen, memory_order_relaxed);
}

static void no_wake_is_lost(void **state)
{
    (void)state;
    pthread_t thread;
    atomic_store(&published, 0);
    atomic_store(&seen, 0);
    assert_int_equal(pthread_create(&thread, NULL, produce, world.ring), 0);
    while (atomic_load(&seen) < MESSAGES) {
        uint64_t cqes = bb_ring_get_stats(world.ring)->cqes;
        assert_true(bb_ring_turn(world.ring, 10000, something_new, NULL) >= 0);
        /* A turn ends by work found or by a wake; ten seconds in vain are a lost one. */
        assert_true(something_new(NULL) || bb_ring_get_stats(world.ring)->cqes > cqes);
        unsigned now = atomic_load_explicit(&published, memory_order_acquire);
        atomic_store_explicit(&seen, now, memory_order_release);
    }
    pthread_join(thread, NULL);
}

/* ---- Refusals ---- */

/* Whether, with io_uring_setup answering `error`, opening gives a reason with that word in it. */
static bool refusal_names(int error, const char *word)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {.len = 4, .filter = filter};
        struct bb_ring *ring = NULL;
        const char *reason = NULL;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
            _exit(77);
        int result = bb_ring_open(&(struct bb_ring_config){.entries = 8}, &ring, &reason);
        _exit(result == BB_ERR_KERNEL && !ring && reason && strstr(reason, word) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: no seccomp filters here\n");
        skip();
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void refusal_of_the_kernel_has_cause_and_cure(void **state)
{
    (void)state;
    assert_true(refusal_names(EPERM, "allow"));
    assert_true(refusal_names(ENOSYS, "seccomp"));
    assert_true(refusal_names(ENOMEM, "LimitMEMLOCK"));
    assert_true(refusal_names(EMFILE, "LimitNOFILE"));
    assert_true(refusal_names(EINVAL, "6.1"));
    assert_false(refusal_names(EPERM, "no such word")); /* canary */
}

/* ---- The data device ---- */

static int set_up_device(void **state)
{
    (void)state;
    char path[] = "/var/tmp/bb-ring-XXXXXX";
    world = (struct world){0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)FILE_SIZE), 0);
    close(fd);
    assert_int_equal(bb_device_open(path, BB_DEVICE_EXCLUSIVE, 0, NULL, &world.device), 0);
    unlink(path);
    world.arena =
        mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(world.arena, MAP_FAILED);
    return 0;
}

static int tear_down_device(void **state)
{
    (void)state;
    bb_device_close(&world.device);
    munmap(world.arena, ARENA_SIZE);
    return 0;
}

static void round_trip(const struct bb_ring_config *config, uint8_t *buf)
{
    struct bb_ring *ring = open_ring(config);
    struct bb_io *io = bb_ring_io(ring);
    assert_int_equal(io->device_size, FILE_SIZE);
    struct bb_random random;
    const uint32_t sizes[] = {UNIT, 3 * UNIT, 260 * 1024, BB_MIB};
    uint8_t *want = malloc(BB_MIB);
    bb_random_seed(&random, 7);
    for (size_t i = 0; i < 4; i++) {
        uint64_t offset = i * 2 * BB_MIB + UNIT;
        bb_random_fill(&random, want, sizes[i]);
        memcpy(buf, want, sizes[i]);
        assert_int_equal(bb_io_write(io, BB_IO_DATA, offset, buf, sizes[i]), 0);
        assert_int_equal(bb_io_flush(io), 0);
        memset(buf, 0, sizes[i]);
        assert_int_equal(bb_io_read(io, BB_IO_DATA, offset, buf, sizes[i]), 0);
        assert_memory_equal(buf, want, sizes[i]);
        memset(buf, 0, sizes[i]); /* and it is on the device, not in some buffer of ours */
        assert_int_equal(bb_device_read(&world.device, offset, buf, sizes[i]), 0);
        assert_memory_equal(buf, want, sizes[i]);
    }
    assert_int_equal(io->in_flight, 0);
    free(want);
    bb_ring_close(ring);
}

static void blocks_come_back_from_registered_and_plain_buffers(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    uint8_t *plain = aligned_alloc(UNIT, BB_MIB);
    round_trip(&config, world.arena + UNIT);
    round_trip(&config, plain);
    config.arena = NULL;
    round_trip(&config, world.arena);
    config = config_of(64);
    config.only_6_1 = true;
    round_trip(&config, world.arena);
    round_trip(&config, plain);
    config = config_of(1); /* a request of four pieces goes out all the same */
    round_trip(&config, world.arena);
    free(plain);
}

static void registration_is_reported(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    assert_true(bb_ring_get_stats(ring)->buffers_registered);
    assert_true(bb_ring_get_stats(ring)->defer_taskrun);
    bb_ring_close(ring);
    config.arena = (void *)(uintptr_t)UNIT; /* nothing is mapped there: refused, and no error */
    ring = open_ring(&config);
    assert_false(bb_ring_get_stats(ring)->buffers_registered);
    bb_ring_close(ring);
    ring = open_ring(&(struct bb_ring_config){.entries = 8});
    assert_null(bb_ring_io(ring));
    bb_ring_close(ring);
}

static struct bb_io_request requests[40];
static unsigned order[40], order_count;

static void note_order(struct bb_io_request *request)
{
    order[order_count++] = (unsigned)(request - requests);
}

static void requests_beyond_the_cap_wait_in_order(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(1);
    struct bb_ring *ring = open_ring(&config);
    struct bb_io *io = bb_ring_io(ring);
    order_count = 0;
    uint64_t before = bb_ring_get_stats(ring)->sqes;
    for (unsigned i = 0; i < 40; i++) {
        bb_io_prepare(&requests[i], BB_IO_WRITE, BB_IO_DATA, i * UNIT, world.arena + i * UNIT, UNIT,
                      note_order);
        bb_io_submit(io, &requests[i]);
    }
    assert_int_equal(bb_ring_get_stats(ring)->sqes - before, 1);
    assert_int_equal(io->in_flight, 40);
    while (io->in_flight > 0)
        assert_true(bb_io_poll(io, true) > 0);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(order[i], i); /* one at a time: no other order is possible */
    bb_ring_close(ring);
}

static void cap_counts_pieces(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(6);
    struct bb_ring *ring = open_ring(&config);
    struct bb_io *io = bb_ring_io(ring);
    world.device.piece_max = 64 * 1024;
    order_count = 0;
    uint64_t before = bb_ring_get_stats(ring)->sqes;
    const uint32_t pieces[] = {4, 3, 1}; /* 4 go out, 3 more do not fit, 1 keeps its place behind */
    for (unsigned i = 0; i < 3; i++) {
        bb_io_prepare(&requests[i], BB_IO_READ, BB_IO_DATA, i * BB_MIB, world.arena + i * BB_MIB,
                      pieces[i] * 64 * 1024, note_order);
        bb_io_submit(io, &requests[i]);
    }
    assert_int_equal(bb_ring_get_stats(ring)->sqes - before, 4);
    while (io->in_flight > 0)
        assert_true(bb_io_poll(io, true) > 0);
    assert_int_equal(bb_ring_get_stats(ring)->sqes - before, 8);
    assert_int_equal(order_count, 3);
    bb_ring_close(ring);
}

static void short_and_failed_pieces_spoil_the_request(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    struct bb_io *io = bb_ring_io(ring);
    world.device.piece_max = 64 * 1024;
    assert_int_equal(ftruncate(world.device.fd, (off_t)BB_MIB), 0); /* shrinks under our feet */
    assert_int_equal(bb_io_read(io, BB_IO_DATA, 0, world.arena, BB_MIB), 0);
    assert_int_equal(bb_io_read(io, BB_IO_DATA, UNIT, world.arena, BB_MIB), BB_ERR_SHORT_IO);
    assert_int_equal(bb_io_read(io, BB_IO_DATA, BB_MIB, world.arena, UNIT), BB_ERR_SHORT_IO);
    bb_ring_close(ring);

    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", world.device.fd);
    int fd = world.device.fd;
    world.device.fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(world.device.fd >= 0);
    ring = open_ring(&config);
    assert_int_equal(bb_io_write(bb_ring_io(ring), BB_IO_DATA, 0, world.arena, BB_MIB), -EBADF);
    bb_ring_close(ring);
    close(world.device.fd);
    world.device.fd = fd;
}

static struct bb_io *chained_io;
static unsigned chained;

static void read_inside(struct bb_io_request *request)
{
    assert_int_equal(request->result, 0);
    assert_int_equal(bb_io_read(chained_io, BB_IO_DATA, 0, world.arena + BB_MIB, UNIT), 0);
    chained++;
}

static void done_function_may_wait_for_another_request(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    chained_io = bb_ring_io(ring);
    chained = 0;
    for (unsigned i = 0; i < 20; i++) {
        bb_io_prepare(&requests[i], BB_IO_WRITE, BB_IO_DATA, (1 + i) * UNIT, world.arena + i * UNIT,
                      UNIT, read_inside);
        bb_io_submit(chained_io, &requests[i]);
    }
    while (chained_io->in_flight > 0)
        assert_true(bb_io_poll(chained_io, true) >= 0);
    assert_int_equal(chained, 20);
    bb_ring_close(ring);
}

static void poll_without_requests_returns_at_once(void **state)
{
    (void)state;
    struct bb_ring_config config = config_of(64);
    struct bb_ring *ring = open_ring(&config);
    assert_int_equal(bb_io_poll(bb_ring_io(ring), true), 0);
    bb_ring_close(ring);
}

static void closed_device_can_be_opened_at_once(void **state)
{
    (void)state;
    char path[] = "/var/tmp/bb-ring-XXXXXX";
    close(mkstemp(path));
    assert_int_equal(truncate(path, (off_t)BB_MIB), 0);
    for (unsigned i = 0; i < 20; i++) {
        struct bb_device device;
        assert_int_equal(bb_device_open(path, BB_DEVICE_EXCLUSIVE, 0, NULL, &device), 0);
        struct bb_ring_config config = config_of(64);
        config.device = &device;
        struct bb_ring *ring = open_ring(&config);
        assert_int_equal(bb_io_write(bb_ring_io(ring), BB_IO_DATA, 0, world.arena, UNIT), 0);
        assert_int_equal(bb_io_flush(bb_ring_io(ring)), 0);
        bb_ring_close(ring);
        bb_device_close(&device);
    }
    unlink(path);
}

#define SOCKET_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_sockets, tear_down_sockets)
#define DEVICE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_device, tear_down_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOCKET_TEST(bytes_go_through_both_ways),
        SOCKET_TEST(send_to_a_closed_peer_is_an_error_not_a_signal),
        SOCKET_TEST(one_accept_serves_many_connections_until_cancelled),
        SOCKET_TEST(cancelled_receive_ends_once),
        SOCKET_TEST(receive_given_up_by_the_kernel_is_repeated),
        SOCKET_TEST(send_given_up_by_the_kernel_is_repeated),
        SOCKET_TEST(cancelled_operation_is_not_repeated),
        SOCKET_TEST(other_errors_are_passed_on),
        SOCKET_TEST(done_function_may_submit_more_than_the_ring_holds),
        SOCKET_TEST(close_waits_for_what_is_pending),
        SOCKET_TEST(work_at_hand_keeps_the_owner_from_sleeping),
        SOCKET_TEST(turn_ends_at_its_time),
        SOCKET_TEST(another_thread_wakes_a_parked_owner),
        SOCKET_TEST(wake_of_a_running_owner_costs_nothing),
        SOCKET_TEST(no_wake_is_lost),
        cmocka_unit_test(refusal_of_the_kernel_has_cause_and_cure),
        DEVICE_TEST(blocks_come_back_from_registered_and_plain_buffers),
        DEVICE_TEST(registration_is_reported),
        DEVICE_TEST(requests_beyond_the_cap_wait_in_order),
        DEVICE_TEST(cap_counts_pieces),
        DEVICE_TEST(short_and_failed_pieces_spoil_the_request),
        DEVICE_TEST(done_function_may_wait_for_another_request),
        DEVICE_TEST(poll_without_requests_returns_at_once),
        DEVICE_TEST(closed_device_can_be_opened_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
