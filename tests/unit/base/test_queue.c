/* SPDX-License-Identifier: Apache-2.0
 * The queue against a naive model in one thread, and between two threads, where the payload behind
 * the pointer must be visible as well (the thread sanitizer watches that). */
#include "bb/queue.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

struct fixture {
    struct bb_arena arena;
    struct bb_queue queue;
};

static void setup(struct fixture *fixture, uint32_t capacity)
{
    assert_int_equal(bb_arena_open(1, false, false, &fixture->arena), 0);
    assert_int_equal(bb_queue_init(&fixture->queue, &fixture->arena, capacity), 0);
}

static void teardown(struct fixture *fixture)
{
    bb_arena_close(&fixture->arena);
}

static bool push_number(struct bb_queue *queue, uint64_t number)
{
    return bb_queue_push(queue, (struct bb_message){.word = number});
}

static void it_holds_exactly_its_capacity_in_order(void **state)
{
    (void)state;
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 2) {
        struct fixture fixture;
        struct bb_message message = {.word = 99};
        setup(&fixture, capacity);
        assert_true(bb_queue_is_empty(&fixture.queue));
        assert_false(bb_queue_pop(&fixture.queue, &message));
        assert_int_equal(message.word, 99);
        for (uint32_t i = 0; i < capacity; i++)
            assert_true(push_number(&fixture.queue, i));
        assert_false(push_number(&fixture.queue, capacity));
        assert_false(bb_queue_is_empty(&fixture.queue));
        for (uint32_t i = 0; i < capacity; i++) {
            assert_true(bb_queue_pop(&fixture.queue, &message));
            assert_int_equal(message.word, i);
        }
        assert_false(bb_queue_pop(&fixture.queue, &message));
        assert_true(bb_queue_is_empty(&fixture.queue));
        teardown(&fixture);
    }
}

/* `start` is where both indexes begin: near 2^32 they wrap during the run. */
static void run_against_model(struct bb_random *random, uint32_t start)
{
    struct fixture fixture;
    setup(&fixture, 16);
    atomic_store(&fixture.queue.head, start);
    atomic_store(&fixture.queue.tail, start);
    fixture.queue.tail_seen = start;
    fixture.queue.head_seen = start;
    uint64_t pushed = 0, popped = 0; /* the model: numbers popped .. pushed - 1 are inside */
    for (int i = 0; i < 20000; i++) {
        bool pushing = bb_random_below(random, 2) == 0;
        if (pushing) {
            assert_int_equal(push_number(&fixture.queue, pushed), pushed - popped < 16);
            pushed += pushed - popped < 16 ? 1 : 0;
        } else {
            struct bb_message message;
            bool got = bb_queue_pop(&fixture.queue, &message);
            assert_int_equal(got, pushed != popped);
            if (got)
                assert_int_equal(message.word, popped++);
        }
        assert_int_equal(bb_queue_is_empty(&fixture.queue), pushed == popped);
    }
    assert_true(pushed > 5000);
    teardown(&fixture);
}

static void it_behaves_as_a_list_does(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    run_against_model(&random, 0);
    run_against_model(&random, UINT32_MAX - 1000);
}

enum { TRANSFER_COUNT = 200000, PAYLOAD_COUNT = 4096 };

struct transfer {
    struct bb_queue there;
    struct bb_queue back; /* payloads return to the producer */
    uint64_t payloads[PAYLOAD_COUNT];
    uint64_t wrong;
};

static void *consume(void *argument)
{
    struct transfer *transfer = argument;
    for (uint64_t expected = 0; expected < TRANSFER_COUNT;) {
        struct bb_message message;
        if (!bb_queue_pop(&transfer->there, &message)) {
            sched_yield();
            continue;
        }
        uint64_t *payload = message.pointer;
        if (message.word != expected || *payload != ~expected)
            transfer->wrong++;
        *payload = 0;
        while (!bb_queue_push(&transfer->back, message))
            sched_yield();
        expected++;
    }
    return NULL;
}

static void two_threads_exchange_everything_in_order(void **state)
{
    (void)state;
    static struct transfer transfer;
    struct bb_arena arena;
    pthread_t consumer;
    assert_int_equal(bb_arena_open(1, false, false, &arena), 0);
    assert_int_equal(bb_queue_init(&transfer.there, &arena, 256), 0);
    assert_int_equal(bb_queue_init(&transfer.back, &arena, 64), 0);
    uint64_t *free_payloads[PAYLOAD_COUNT];
    uint32_t free_count = 0;
    for (; free_count < PAYLOAD_COUNT; free_count++)
        free_payloads[free_count] = &transfer.payloads[free_count];

    double start = unit_seconds();
    assert_int_equal(pthread_create(&consumer, NULL, consume, &transfer), 0);
    uint64_t sent = 0, returned = 0;
    while (returned < TRANSFER_COUNT) {
        struct bb_message message;
        bool moved = false;
        if (sent < TRANSFER_COUNT && free_count > 0) {
            uint64_t *payload = free_payloads[free_count - 1];
            *payload = ~sent;
            if (bb_queue_push(&transfer.there, (struct bb_message){sent, payload})) {
                free_count--;
                sent++;
                moved = true;
            }
        }
        if (bb_queue_pop(&transfer.back, &message)) {
            assert_int_equal(message.word, returned);
            assert_int_equal(*(uint64_t *)message.pointer, 0);
            free_payloads[free_count++] = message.pointer;
            returned++;
            moved = true;
        }
        if (!moved)
            sched_yield();
    }
    assert_int_equal(pthread_join(consumer, NULL), 0);
    assert_int_equal(transfer.wrong, 0);
    print_message("there and back: %.0f ns per message\n",
                  (unit_seconds() - start) / TRANSFER_COUNT * 1e9);
    bb_arena_close(&arena);
}

static void a_queue_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct bb_arena arena;
    struct bb_queue queue;
    assert_int_equal(bb_arena_open(1, false, false, &arena), 0);
    assert_int_equal(bb_queue_init(&queue, &arena, 1u << 20), -ENOMEM);
    assert_int_equal(bb_queue_init(&queue, &arena, 1u << 17), 0); /* exactly 2 MiB */
    bb_arena_close(&arena);
}

static void sides_do_not_share_a_cache_line(void **state)
{
    (void)state;
    assert_true(offsetof(struct bb_queue, tail) / 64 != offsetof(struct bb_queue, head) / 64);
    assert_true(offsetof(struct bb_queue, slots) / 64 != offsetof(struct bb_queue, tail) / 64);
    assert_int_equal(sizeof(struct bb_message), 16);
}

static void init_with_three(void *argument)
{
    struct bb_queue queue;
    (void)!bb_queue_init(&queue, argument, 3);
}

static void a_capacity_that_is_no_power_of_two_aborts(void **state)
{
    (void)state;
    struct bb_arena arena;
    assert_int_equal(bb_arena_open(1, false, false, &arena), 0);
    assert_true(unit_aborts(init_with_three, &arena));
    bb_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_exactly_its_capacity_in_order),
        cmocka_unit_test(it_behaves_as_a_list_does),
        cmocka_unit_test(two_threads_exchange_everything_in_order),
        cmocka_unit_test(a_queue_that_does_not_fit_is_refused),
        cmocka_unit_test(sides_do_not_share_a_cache_line),
        cmocka_unit_test(a_capacity_that_is_no_power_of_two_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
