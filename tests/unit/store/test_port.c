/* SPDX-License-Identifier: Apache-2.0
 * A worker's port with a controller made of a list of messages: pools, recall, messages held back,
 * failed writes.
 */
#include "bench.h"

#define SENT_MAX 4096

static struct bb_arena arena;
static struct bb_sim *sim;
static struct bb_port *port;
static struct bb_message sent[SENT_MAX];
static unsigned sent_count, queue_room;

static bool take_message(void *context, struct bb_message message)
{
    (void)context;
    if (queue_room == 0)
        return false;
    queue_room--;
    assert_true(sent_count < SENT_MAX);
    sent[sent_count++] = message;
    return true;
}

static void open_port(uint32_t pending_max)
{
    struct bb_sim_config config = {.size = 64 << 20, .seed = 1, .in_order = true};
    sim = bb_sim_open(&config);
    assert_int_equal(bb_arena_open(4 << 20, false, false, &arena), 0);
    struct bb_port_config port_config = {.index = 3,
                                         .io = bb_sim_io(sim),
                                         .arena = &arena,
                                         .send = take_message,
                                         .pending_max = pending_max};
    assert_int_equal(bb_port_open(&port_config, &port), 0);
    sent_count = 0;
    queue_room = SENT_MAX;
}

static void close_port(void)
{
    bb_sim_close(sim);
    bb_arena_close(&arena);
}

/* ---- what was sent ---- */

static struct bb_op *sent_op(unsigned index)
{
    assert_true(index < sent_count);
    assert_int_equal(bb_message_kind(sent[index].word), BB_MSG_OP);
    return sent[index].pointer;
}

static void assert_sent(unsigned index, enum bb_store_message_kind kind, uint32_t credits,
                        uint32_t count, uint64_t unit)
{
    assert_true(index < sent_count);
    assert_int_equal(sent[index].word, bb_message_word(kind, credits, count, unit));
}

static void answer(struct bb_op *op, int result)
{
    op->result = result;
    op->next = NULL;
    bb_port_message(port, (struct bb_message){.word = BB_MSG_OP, .pointer = op});
}

static void grant(struct bb_op *op, uint64_t unit, uint32_t count)
{
    assert_int_equal(op->kind, BB_OP_RESERVE);
    assert_true(count <= op->run_count);
    op->unit = unit;
    op->run_count = count;
    answer(op, 0);
}

static void recall(void)
{
    bb_port_message(port, (struct bb_message){.word = BB_MSG_RECALL});
}

/* ---- requests ---- */

static void reserve(struct call *call, uint32_t size)
{
    *call = (struct call){.port = port, .request = {.done = call_done}};
    call->request.op.size = size;
    bb_port_reserve(port, &call->request);
}

static void a_reservation_asks_for_a_run_and_is_done_in_the_next_turn(void **state)
{
    (void)state;
    open_port(300);
    static struct call call;
    reserve(&call, 5000);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent_op(0)->order, 1);
    assert_int_equal(sent_op(0)->run_count, 32);
    assert_int_equal(sent_op(0)->port, 3);
    grant(sent_op(0), 1000, 32);
    assert_false(call.done); /* never from inside a call */
    (void)bb_port_turn(port);
    assert_true(call.done);
    assert_int_equal(call.request.result, 0);
    assert_int_equal(call.request.op.unit, 1000);
    assert_int_equal(bench_pooled_units(port), 62);
    close_port();
}

static void reservations_follow_each_other_on_the_device(void **state)
{
    (void)state;
    open_port(300);
    static struct call calls[40];
    for (unsigned i = 0; i < 40; i++)
        reserve(&calls[i], 4096);
    assert_int_equal(sent_count, 1); /* one question for all of them */
    assert_int_equal(sent_op(0)->run_count, 64);
    grant(sent_op(0), 512, 64);
    (void)bb_port_turn(port);
    for (unsigned i = 0; i < 40; i++) {
        assert_true(calls[i].done);
        assert_int_equal(calls[i].request.op.unit, 512 + i);
    }
    close_port();
}

static void the_next_run_is_asked_for_before_the_first_ends(void **state)
{
    (void)state;
    open_port(300);
    static struct call calls[64];
    reserve(&calls[0], 1);
    grant(sent_op(0), 512, 64);
    for (unsigned i = 1; i < 64; i++) {
        reserve(&calls[i], 1);
        assert_int_equal(sent_count, 64 - (i + 1) <= 16 ? 2 : 1);
    }
    grant(sent_op(1), 2048, 10); /* fewer than asked for */
    (void)bb_port_turn(port);
    static struct call more[11];
    for (unsigned i = 0; i < 11; i++)
        reserve(&more[i], 1);
    (void)bb_port_turn(port);
    assert_true(more[9].done);
    assert_int_equal(more[9].request.op.unit, 2057);
    assert_false(more[10].done);
    assert_int_equal(sent_count, 3);
    close_port();
}

static void more_waiting_requests_than_a_run_ask_for_as_many(void **state)
{
    (void)state;
    open_port(300);
    static struct call calls[20];
    for (unsigned i = 0; i < 20; i++)
        reserve(&calls[i], BB_BLOCK_SIZE_MAX);
    assert_int_equal(sent_op(0)->run_count, 1);
    grant(sent_op(0), 1024, 1);
    assert_int_equal(sent_op(1)->run_count, 19);
    grant(sent_op(1), 4096, 7);
    assert_int_equal(sent_op(2)->run_count, 12);
    (void)bb_port_turn(port);
    assert_true(calls[7].done && !calls[8].done);
    assert_int_equal(calls[7].request.op.unit, 4096 + 6 * 256);
    close_port();
}

static void a_refusal_ends_all_that_wait_for_that_size(void **state)
{
    (void)state;
    open_port(300);
    static struct call small[3], large[2], again;
    for (unsigned i = 0; i < 3; i++)
        reserve(&small[i], 1);
    for (unsigned i = 0; i < 2; i++)
        reserve(&large[i], 100000);
    answer(sent_op(1), BB_ERR_NO_SPACE);
    (void)bb_port_turn(port);
    assert_int_equal(large[0].request.result, BB_ERR_NO_SPACE);
    assert_true(large[1].done && !small[0].done);
    reserve(&again, 100000); /* asks anew */
    assert_int_equal(sent_count, 3);
    close_port();
}

static void a_recall_gives_everything_back_and_says_so_last(void **state)
{
    (void)state;
    open_port(300);
    static struct call calls[3];
    reserve(&calls[0], 1);
    reserve(&calls[1], 10000);
    reserve(&calls[2], BB_BLOCK_SIZE_MAX);
    grant(sent_op(0), 512, 64);
    grant(sent_op(1), 1024, 16);
    grant(sent_op(2), 2048, 1);
    (void)bb_port_turn(port);
    assert_true(calls[0].done && calls[1].done && calls[2].done);
    unsigned before = sent_count;
    recall();
    assert_sent(before, BB_MSG_RELEASE, 63, 63, 513);
    assert_sent(before + 1, BB_MSG_RELEASE, 15, 60, 1028);
    assert_sent(before + 2, BB_MSG_RECALLED, 0, 0, 0);
    assert_int_equal(sent_count, before + 3);
    assert_int_equal(bench_pooled_units(port), 0);
    recall(); /* nothing left, but always answered */
    assert_sent(before + 3, BB_MSG_RECALLED, 0, 0, 0);
    close_port();
}

static void a_run_that_is_granted_after_a_recall_serves_who_waits(void **state)
{
    (void)state;
    open_port(300);
    static struct call call;
    reserve(&call, 1);
    recall(); /* the question is still with the controller */
    assert_sent(1, BB_MSG_RECALLED, 0, 0, 0);
    grant(sent_op(0), 512, 2);
    (void)bb_port_turn(port);
    assert_true(call.done);
    assert_int_equal(bench_pooled_units(port), 1);
    close_port();
}

static void what_finds_the_queue_full_is_sent_later_in_order(void **state)
{
    (void)state;
    open_port(300);
    static struct call calls[100];
    queue_room = 10;
    for (unsigned i = 0; i < 100; i++) {
        calls[i] = (struct call){.port = port, .request = {.done = call_done}};
        calls[i].request.op.unit = i;
        if (i % 2 == 0)
            bb_port_delete(port, &calls[i].request);
        else
            bb_port_unpin(port, &calls[i].request);
    }
    assert_int_equal(sent_count, 10);
    for (unsigned turn = 0; turn < 9; turn++) {
        assert_true(bb_port_turn(port)); /* something still waits */
        assert_int_equal(sent_count, 10 * (turn + 1));
        queue_room = 10;
    }
    assert_false(bb_port_turn(port));
    for (unsigned i = 0; i < 100; i++) {
        if (i % 2 == 0)
            assert_ptr_equal(sent_op(i), &calls[i].request.op);
        else
            assert_sent(i, BB_MSG_UNPIN, 0, 0, i);
    }
    close_port();
}

static void hold_one_more(void *unused)
{
    (void)unused;
    static struct call call;
    bb_port_unpin(port, &call.request);
}

static void holding_back_more_than_agreed_is_a_bug(void **state)
{
    (void)state;
    open_port(3);
    queue_room = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_false(unit_aborts(hold_one_more, NULL));
        hold_one_more(NULL);
    }
    assert_true(unit_aborts(hold_one_more, NULL));
    close_port();
}

/* ---- data ---- */

static void put(struct call *call, uint8_t *buf, uint32_t reserved, uint32_t size)
{
    reserve(call, reserved);
    if (!call->done && bench_pooled_units(port) == 0)
        grant(sent_op(sent_count - 1), 1024, 1);
    (void)bb_port_turn(port);
    assert_true(call->done);
    call->done = false;
    call->request.buf = buf;
    call->request.op.size = size;
    memset(buf, 0x77, BB_BLOCK_SIZE_MAX);
    sent_count = 0;
    bb_port_put(port, &call->request);
}

static void a_block_is_padded_with_zeros_and_committed_after_its_write(void **state)
{
    (void)state;
    open_port(300);
    static struct call call;
    uint8_t *buf = bench_buffer(), *seen = bench_buffer();
    const uint32_t sizes[] = {0, 1, 4095, 4096, 4097, 8191, 30000, 32768};
    for (unsigned i = 0; i < 8; i++) {
        uint32_t size = sizes[i], all = bb_units_of(size) * BB_UNIT_SIZE;
        put(&call, buf, 32768, size);
        assert_int_equal(sent_count, 0);
        while (sent_count == 0)
            (void)bb_io_poll(bb_sim_io(sim), true);
        struct bb_op *op = sent_op(0);
        assert_int_equal(op->kind, BB_OP_PUT);
        assert_int_equal(op->order, 3); /* as reserved; the rest is the controller's to free */
        bb_sim_peek(sim, op->unit * BB_UNIT_SIZE, seen, all);
        for (uint32_t at = 0; at < all; at++)
            assert_int_equal(seen[at], at < size ? 0x77 : 0);
        assert_false(call.done);
        answer(op, i % 2);
        assert_true(call.done);
        assert_int_equal(call.request.result, i % 2);
    }
    free(buf);
    free(seen);
    close_port();
}

static void a_failed_write_is_quarantined_and_never_committed(void **state)
{
    (void)state;
    const struct {
        struct bb_sim_fault fault;
        int result;
    } cases[] = {
        {{.kind = BB_SIM_FAIL, .error = -EIO, .applied = BB_SIM_FULLY}, BB_ERR_IO},
        {{.kind = BB_SIM_FAIL, .error = -ENOSPC}, BB_ERR_NO_SPACE},
        {{.kind = BB_SIM_SHORT}, BB_ERR_IO},
    };
    uint8_t *buf = bench_buffer();
    for (unsigned i = 0; i < 3; i++) {
        open_port(300);
        struct plan plan = {
            .class = BB_IO_DATA, .op = BB_IO_WRITE, .countdown = 1, .fault = cases[i].fault};
        bb_sim_set_fault(sim, plan_fault, &plan);
        static struct call call;
        put(&call, buf, 9000, 9000);
        while (!call.done)
            (void)bb_io_poll(bb_sim_io(sim), true);
        assert_int_equal(call.request.result, cases[i].result);
        assert_int_equal(sent_count, 1);
        assert_sent(0, BB_MSG_QUARANTINE, 1, 4, 1024);
        close_port();
    }
    free(buf);
}

static void a_released_reservation_goes_back_whole(void **state)
{
    (void)state;
    open_port(300);
    static struct call call;
    reserve(&call, 9000);
    grant(sent_op(0), 1024, 2);
    (void)bb_port_turn(port);
    call.request.op.size = 1; /* the body turned out smaller */
    bb_port_release(port, &call.request);
    assert_sent(sent_count - 1, BB_MSG_RELEASE, 1, 4, 1024);
    close_port();
}

static void a_read_tells_its_error(void **state)
{
    (void)state;
    open_port(300);
    struct plan plan = {.class = BB_IO_DATA,
                        .op = BB_IO_READ,
                        .countdown = 1,
                        .fault = {.kind = BB_SIM_FAIL, .error = -EIO}};
    bb_sim_set_fault(sim, plan_fault, &plan);
    static struct call call;
    call = (struct call){.port = port, .request = {.done = call_done}};
    call.request.op.unit = 2000;
    call.request.op.size = 5000;
    call.request.buf = bench_buffer();
    bb_port_read(port, &call.request);
    while (!call.done)
        (void)bb_io_poll(bb_sim_io(sim), true);
    assert_int_equal(call.request.result, -EIO);
    free(call.request.buf);
    close_port();
}

static void every_question_carries_its_flags_and_its_port(void **state)
{
    (void)state;
    open_port(300);
    static struct call calls[5];
    void (*const ask[])(struct bb_port *, struct bb_request *) = {
        bb_port_lookup, bb_port_mark, bb_port_delete, bb_port_exists, bb_port_list};
    const enum bb_op_kind kinds[] = {BB_OP_LOOKUP, BB_OP_MARK, BB_OP_DELETE, BB_OP_EXISTS,
                                     BB_OP_LIST};
    for (unsigned i = 0; i < 5; i++) {
        calls[i] = (struct call){.port = port,
                                 .request = {.done = call_done, .flags = BB_OP_PIN * (i == 0)}};
        ask[i](port, &calls[i].request);
        assert_int_equal(sent_op(i)->kind, kinds[i]);
        assert_int_equal(sent_op(i)->flags, i == 0 ? BB_OP_PIN : 0);
        assert_int_equal(sent_op(i)->port, 3);
        answer(sent_op(i), -ENOENT);
        assert_true(calls[i].done);
        assert_int_equal(calls[i].request.result, -ENOENT);
    }
    close_port();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reservation_asks_for_a_run_and_is_done_in_the_next_turn),
        cmocka_unit_test(reservations_follow_each_other_on_the_device),
        cmocka_unit_test(the_next_run_is_asked_for_before_the_first_ends),
        cmocka_unit_test(more_waiting_requests_than_a_run_ask_for_as_many),
        cmocka_unit_test(a_refusal_ends_all_that_wait_for_that_size),
        cmocka_unit_test(a_recall_gives_everything_back_and_says_so_last),
        cmocka_unit_test(a_run_that_is_granted_after_a_recall_serves_who_waits),
        cmocka_unit_test(what_finds_the_queue_full_is_sent_later_in_order),
        cmocka_unit_test(holding_back_more_than_agreed_is_a_bug),
        cmocka_unit_test(a_block_is_padded_with_zeros_and_committed_after_its_write),
        cmocka_unit_test(a_failed_write_is_quarantined_and_never_committed),
        cmocka_unit_test(a_released_reservation_goes_back_whole),
        cmocka_unit_test(a_read_tells_its_error),
        cmocka_unit_test(every_question_carries_its_flags_and_its_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
