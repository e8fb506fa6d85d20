/* SPDX-License-Identifier: Apache-2.0
 * Who has to go when buffers run out: those that hold one and are slow, whatever the size of what
 * waits, and never who holds none. Connections are made here, their machine does not run. */
#include "bb/clock.h"
#include "bb/conn.h"
#include "bb/worker.h"

#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define POOL_SIZE ((size_t)2 << 20)
#define LATER_MS 1000u /* nobody is called slow before half of it */

struct fixture {
    struct bb_shared shared;
    struct bb_worker worker;
    struct bb_conn idle, slow, waiting;
    int clients[3];
};
static struct fixture fixture;
static const struct bb_listener listener = {.local = true, .loopback = true};

static void add(struct bb_conn *conn, int *ret_client)
{
    struct bb_worker *worker = &fixture.worker;
    int sockets[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    *ret_client = sockets[1];
    void *area = bb_arena_alloc(&worker->arena, BB_HTTP_HEAD_MAX, BB_UNIT_SIZE);
    assert_non_null(area);
    assert_int_equal(bb_conn_init(conn, worker, area), 0);
    conn->next = worker->live;
    if (worker->live != NULL)
        worker->live->previous = conn;
    worker->live = conn;
    worker->live_count++;
    bb_conn_start(conn, sockets[0], &listener);
}

static int open_fixture(void **state)
{
    (void)state;
    static struct bb_config config;
    struct bb_worker *worker = &fixture.worker;
    const struct bb_ring_config ring = {.entries = 64};
    const char *reason;
    memset(&fixture, 0, sizeof(fixture));
    bb_config_init(&config);
    bb_limits_set(&fixture.shared.limits, &config);
    worker->shared = &fixture.shared;
    worker->thread = pthread_self();
    worker->check_at_ms = UINT64_MAX;
    if (bb_hash_init() != 0 || bb_ring_open(&ring, &worker->ring, &reason) != 0 ||
        bb_arena_open(POOL_SIZE + (1u << 20), false, false, &worker->arena) != 0)
        return -1;
    return bb_buffers_init(&worker->buffers, &worker->arena,
                           bb_arena_alloc(&worker->arena, POOL_SIZE, BB_UNIT_SIZE), POOL_SIZE);
}

static int close_fixture(void **state)
{
    (void)state;
    bb_ring_close(fixture.worker.ring);
    struct bb_conn *conns[] = {&fixture.idle, &fixture.slow, &fixture.waiting};
    for (int i = 0; i < 3; i++) {
        if (conns[i]->worker == NULL)
            continue;
        bb_hasher_close(&conns[i]->hasher);
        (void)close(conns[i]->fd);
        (void)close(fixture.clients[i]);
    }
    bb_arena_close(&fixture.worker.arena);
    return 0;
}

/* All three: an idle one, one that holds a buffer and sends nothing, one that waits for `size`. */
static void fill(size_t size)
{
    struct bb_worker *worker = &fixture.worker;
    add(&fixture.idle, &fixture.clients[0]);
    fixture.idle.since_ms -= LATER_MS; /* slower than anybody */
    add(&fixture.slow, &fixture.clients[1]);
    add(&fixture.waiting, &fixture.clients[2]);
    assert_true(bb_worker_want_buffer(worker, &fixture.slow, BB_UNIT_SIZE));
    bb_conn_watch(&fixture.slow, BB_CONN_BODY, LATER_MS * 10);
    while (bb_buffers_get(&worker->buffers, 1) != NULL)
        ;
    assert_false(bb_worker_want_buffer(worker, &fixture.waiting, size));
}

static void check_who_goes(size_t size)
{
    fill(size);
    bb_slow_check(&fixture.worker, bb_clock_ms() + LATER_MS);
    assert_true(fixture.slow.shed);
    assert_int_equal(fixture.idle.state, BB_CONN_HEAD);
    assert_false(fixture.idle.expired);
    assert_int_equal(fixture.waiting.state, BB_CONN_BUFFER);
}

static void a_slow_body_goes_for_a_small_block(void **state)
{
    (void)state;
    check_who_goes(4096);
}

static void a_slow_body_goes_for_an_empty_block(void **state)
{
    (void)state;
    check_who_goes(0);
}

static void a_smaller_buffer_is_better_than_none(void **state)
{
    (void)state;
    check_who_goes(BB_BLOCK_SIZE_MAX);
}

static void nobody_goes_before_somebody_has_waited(void **state)
{
    (void)state;
    fill(0);
    bb_slow_check(&fixture.worker, bb_clock_ms());
    assert_false(fixture.slow.shed);
    assert_int_equal(fixture.idle.state, BB_CONN_HEAD);
}

static void who_leaves_the_queue_lets_the_next_one_try(void **state)
{
    (void)state;
    fill(BB_BLOCK_SIZE_MAX);
    fixture.worker.buffers_freed = false;
    bb_worker_forget_waiting(&fixture.worker, &fixture.waiting);
    assert_null(fixture.worker.waiting_large.head);
    assert_true(fixture.worker.buffers_freed);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        CASE(a_slow_body_goes_for_a_small_block),
        CASE(a_slow_body_goes_for_an_empty_block),
        CASE(a_smaller_buffer_is_better_than_none),
        CASE(nobody_goes_before_somebody_has_waited),
        CASE(who_leaves_the_queue_lets_the_next_one_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
