/* SPDX-License-Identifier: Apache-2.0
 * The ring: sockets, cancel, wake, refusals by the kernel. Nothing here sleeps; a test waits for
 * the event that it needs.
 */
#include "rings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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
        assert_true(bb_ring_turn(world.ring, 60000, NULL, NULL) > 0);
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

#define SOCKET_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_sockets, tear_down_sockets)

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
