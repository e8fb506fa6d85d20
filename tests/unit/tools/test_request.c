/* SPDX-License-Identifier: Apache-2.0
 * The verdicts of the verifier: each kind of wrong answer is planted once and must be called what
 * it is, and the right answers must pass. No sockets: requests are read from conn->iov, replies fed
 * in. */
#include "bbbench/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNS 2
#define SIZE 4096
#define BATCH 50
#define TEXT_MAX 16384

static uint8_t base[BB_BODY_BASE_SIZE];
static struct bb_load_config config;
static struct bb_load load;
static struct bb_conn conns[CONNS];
static uint64_t reading[CONNS];
static char lists[2 * CONNS][BATCH * (BB_HASH_HEX_SIZE + 1)];

static int prepare(void **state)
{
    (void)state;
    memset(&load, 0, sizeof(load));
    memset(conns, 0, sizeof(conns));
    memset(reading, 0, sizeof(reading));
    config.size_min = SIZE;
    config.size_max = SIZE;
    config.batch = BATCH;
    config.verify = true;
    load.config = &config;
    load.conns = conns;
    load.conn_count = CONNS;
    load.reading = reading;
    load.suffix_len = snprintf(load.suffix, sizeof(load.suffix), " HTTP/1.1\r\nHost: h\r\n");
    load.reported = UINT32_MAX / 2; /* planted faults are not printed */
    bb_random_seed(&load.random, 1);
    for (size_t i = 0; i < CONNS; i++) {
        conns[i].list = lists[2 * i];
        conns[i].expect = lists[2 * i + 1];
        if (bb_hasher_open(&conns[i].hasher) != 0)
            return -1;
    }
    return bb_acked_open(&load.acked);
}

static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONNS; i++)
        bb_hasher_close(&conns[i].hasher);
    bb_acked_close(&load.acked);
    return 0;
}

/* The body that a recipe stands for. */
static void body_of(const struct bb_acked_block *block, char *ret_bytes)
{
    struct bb_body_parts parts;
    bb_body_parts(&config.body, block->counter, block->size, &parts);
    memcpy(ret_bytes, parts.stamp, parts.stamp_size);
    memcpy(ret_bytes + parts.stamp_size, parts.slice, parts.slice_size);
}

static void hash_line(const struct bb_conn *conn, char ret_line[static BB_HASH_HEX_SIZE + 1])
{
    static char bytes[BB_BLOCK_SIZE_MAX];
    struct bb_hash hash;
    body_of(&conn->block, bytes);
    bb_hash_of(bytes, conn->block.size, &hash);
    bb_hash_to_hex(&hash, ret_line);
    ret_line[BB_HASH_HEX_SIZE] = '\n';
}

static void build(struct bb_conn *conn, enum bb_op op)
{
    load.phase.op = op;
    assert_true(bb_request_build(&load, conn));
}

/* Gives the reply {status, body} of announced length; returns the fault it was called, or
 * BB_FAULT_COUNT. */
static enum bb_fault answer(struct bb_conn *conn, unsigned status, const char *text, size_t len,
                            size_t announced)
{
    char head[128];
    const char *body;
    size_t body_len;
    struct bb_tally then = load.tally;
    int head_len = snprintf(head, sizeof(head), "HTTP/1.1 %u X\r\nContent-Length: %zu\r\n\r\n",
                            status, announced);
    bb_reply_feed(&conn->reply, head, (size_t)head_len, &body, &body_len);
    for (size_t at = 0; at < len; at += 1000) { /* in pieces */
        size_t piece = len - at < 1000 ? len - at : 1000;
        bb_reply_feed(&conn->reply, text + at, piece, &body, &body_len);
        bb_request_take(conn, body, body_len);
    }
    bb_request_judge(&load, conn, 1);
    for (int i = 0; i < BB_FAULT_COUNT; i++)
        if (load.tally.faults[i] != then.faults[i])
            return (enum bb_fault)i;
    assert_int_equal(bb_tally_operations(&load.tally), bb_tally_operations(&then) + 1);
    return BB_FAULT_COUNT;
}

static void put(struct bb_conn *conn)
{
    char line[BB_HASH_HEX_SIZE + 1];
    build(conn, BB_OP_PUT);
    hash_line(conn, line);
    assert_int_equal(answer(conn, 201, line, sizeof(line), sizeof(line)), BB_FAULT_COUNT);
}

static void put_sends_the_body_that_its_recipe_names(void **state)
{
    (void)state;
    static char sent[TEXT_MAX];
    static char expected[SIZE];
    static const char head[] = "PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 4096\r\n\r\n";
    build(&conns[0], BB_OP_PUT);
    size_t len = 0;
    for (int i = 0; i < conns[0].iov_count; i++) {
        memcpy(sent + len, conns[0].iov[i].iov_base, conns[0].iov[i].iov_len);
        len += conns[0].iov[i].iov_len;
    }
    body_of(&conns[0].block, expected);
    assert_int_equal(len, strlen(head) + SIZE);
    assert_memory_equal(sent, head, strlen(head));
    assert_memory_equal(sent + strlen(head), expected, SIZE);
}

static void acknowledged_block_is_remembered_and_read_back(void **state)
{
    (void)state;
    static char bytes[SIZE];
    put(&conns[0]);
    assert_int_equal(load.acked.count, 1);
    build(&conns[0], BB_OP_GET);
    body_of(&load.acked.blocks[0], bytes);
    assert_int_equal(answer(&conns[0], 200, bytes, SIZE, SIZE), BB_FAULT_COUNT);
    build(&conns[0], BB_OP_HEAD);
    assert_int_equal(answer(&conns[0], 200, NULL, 0, SIZE), BB_FAULT_COUNT);
    assert_int_equal(load.tally.hashed, 2);
    assert_int_equal(bb_tally_bytes(&load.tally), 2 * SIZE);
}

static void put_answered_with_another_hash_is_a_violation(void **state)
{
    (void)state;
    char line[BB_HASH_HEX_SIZE + 1];
    build(&conns[0], BB_OP_PUT);
    hash_line(&conns[0], line);
    line[63] = line[63] == '0' ? '1' : '0';
    assert_int_equal(answer(&conns[0], 201, line, sizeof(line), sizeof(line)), BB_FAULT_WRONG_HASH);
    assert_int_equal(load.acked.count, 0);
}

static void put_answered_without_a_hash_line_is_a_bad_reply(void **state)
{
    (void)state;
    char line[BB_HASH_HEX_SIZE + 1];
    build(&conns[0], BB_OP_PUT);
    hash_line(&conns[0], line);
    assert_int_equal(answer(&conns[0], 201, line, 64, 64), BB_FAULT_BAD_REPLY);
    build(&conns[0], BB_OP_PUT);
    hash_line(&conns[0], line);
    line[0] = 'A';
    assert_int_equal(answer(&conns[0], 201, line, 65, 65), BB_FAULT_BAD_REPLY);
    build(&conns[0], BB_OP_PUT);
    assert_int_equal(answer(&conns[0], 201, NULL, 0, 0), BB_FAULT_BAD_REPLY);
    assert_int_equal(load.acked.count, 0);
}

static void lost_block_is_a_violation_for_every_operation_on_it(void **state)
{
    (void)state;
    static const enum bb_op ops[] = {BB_OP_GET, BB_OP_HEAD, BB_OP_DELETE};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        put(&conns[0]);
        build(&conns[0], ops[i]);
        size_t len = ops[i] == BB_OP_HEAD ? 0 : 3;
        assert_int_equal(answer(&conns[0], 404, "no\n", len, 3), BB_FAULT_NOT_FOUND);
    }
    assert_int_equal(bb_tally_violations(&load.tally), 3);
    assert_int_equal(load.tally.statuses[404], 3);
}

static void flipped_bit_anywhere_in_a_block_is_a_violation(void **state)
{
    (void)state;
    static char bytes[SIZE];
    static const size_t places[] = {0, 15, 16, 2048, SIZE - 1};
    put(&conns[0]);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        build(&conns[0], BB_OP_GET);
        body_of(&conns[0].block, bytes);
        bytes[places[i]] = (char)(bytes[places[i]] ^ 0x10);
        assert_int_equal(answer(&conns[0], 200, bytes, SIZE, SIZE), BB_FAULT_WRONG_HASH);
    }
}

static void another_block_is_noticed_without_hashing(void **state)
{
    (void)state;
    static char bytes[SIZE];
    config.verify = false;
    load.issued = 1;
    put(&conns[0]);
    build(&conns[0], BB_OP_GET);
    assert_false(conns[0].checked);
    struct bb_acked_block other = conns[0].block;
    other.counter++;
    body_of(&other, bytes);
    assert_int_equal(answer(&conns[0], 200, bytes, SIZE, SIZE), BB_FAULT_WRONG_HASH);
}

static void wrong_length_is_a_violation(void **state)
{
    (void)state;
    static char bytes[SIZE];
    put(&conns[0]);
    build(&conns[0], BB_OP_GET);
    body_of(&conns[0].block, bytes);
    assert_int_equal(answer(&conns[0], 200, bytes, SIZE - 1, SIZE - 1), BB_FAULT_WRONG_LENGTH);
    build(&conns[0], BB_OP_HEAD);
    assert_int_equal(answer(&conns[0], 200, NULL, 0, SIZE + 1), BB_FAULT_WRONG_LENGTH);
}

static void stored_body_put_again_must_be_known(void **state)
{
    (void)state;
    char line[BB_HASH_HEX_SIZE + 1];
    put(&conns[0]);
    build(&conns[0], BB_OP_DUP);
    hash_line(&conns[0], line);
    assert_int_equal(answer(&conns[0], 200, line, 65, 65), BB_FAULT_COUNT);
    build(&conns[0], BB_OP_DUP);
    assert_int_equal(answer(&conns[0], 201, line, 65, 65), BB_FAULT_NOT_FOUND);
    build(&conns[0], BB_OP_DUP);
    line[5] = line[5] == '0' ? '1' : '0';
    assert_int_equal(answer(&conns[0], 200, line, 65, 65), BB_FAULT_WRONG_HASH);
    assert_int_equal(load.acked.count, 1);
}

static void absent_block_must_not_be_found(void **state)
{
    (void)state;
    build(&conns[0], BB_OP_ABSENT);
    assert_int_equal(answer(&conns[0], 404, "no\n", 3, 3), BB_FAULT_COUNT);
    build(&conns[0], BB_OP_ABSENT);
    assert_int_equal(answer(&conns[0], 200, "yes", 3, 3), BB_FAULT_FOUND_ABSENT);
}

static void list_of_missing_must_be_the_absent_ones_in_order(void **state)
{
    (void)state;
    static char text[TEXT_MAX];
    struct bb_conn *conn =
        &conns[CONNS - 1]; /* its buffer is the last: the sanitizer sees its end */
    put(conn);
    for (int plant = 0; plant < 4; plant++) {
        build(conn, BB_OP_MISSING);
        size_t len = conn->expect_len;
        assert_true(len >= 2 * 65 && len < BATCH * 65); /* some stored, some absent */
        memcpy(text, conn->expect, len);
        size_t given = plant == 1 ? len - 65 : plant == 2 ? (BATCH + 1) * 65 : len;
        if (plant == 3) {
            memcpy(text, conn->expect + 65, 65);
            memcpy(text + 65, conn->expect, 65);
        }
        enum bb_fault expected = plant == 0 ? BB_FAULT_COUNT : BB_FAULT_WRONG_LIST;
        assert_int_equal(answer(conn, 200, text, given, given), expected);
    }
}

static void other_statuses_are_errors_but_no_violations(void **state)
{
    (void)state;
    static const unsigned statuses[] = {206, 301, 400, 500, 503, 507, 999};
    put(&conns[0]);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        build(&conns[0], BB_OP_GET);
        assert_int_equal(answer(&conns[0], statuses[i], "x\n", 2, 2), BB_FAULT_STATUS);
        build(&conns[0], BB_OP_PUT);
        assert_int_equal(answer(&conns[0], statuses[i], "x\n", 2, 2), BB_FAULT_STATUS);
    }
    assert_int_equal(bb_tally_violations(&load.tally), 0);
    assert_int_equal(load.tally.statuses[507], 2);
    assert_int_equal(load.tally.statuses[0], 2); /* beyond the table */
    assert_int_equal(load.acked.count, 1);
}

static void deleted_block_is_forgotten_when_the_request_goes_out(void **state)
{
    (void)state;
    put(&conns[0]);
    build(&conns[0], BB_OP_DELETE);
    assert_int_equal(load.acked.count, 0);
    bb_request_fail(&load, &conns[0], BB_FAULT_LOST);
    assert_int_equal(load.tally.faults[BB_FAULT_LOST], 1);
    assert_false(bb_request_build(&load, &conns[0])); /* nothing left to delete */
}

/* Two connections, one block: while the first reads it the mix never deletes it. */
static void mix_never_deletes_a_block_that_is_being_read(void **state)
{
    (void)state;
    unsigned deletes_while_read = 0;
    unsigned deletes = 0;
    put(&conns[0]);
    struct bb_acked_block only = load.acked.blocks[0];
    for (int i = 0; i < 2000; i++) {
        do {
            if (load.acked.count == 0)
                assert_int_equal(bb_acked_add(&load.acked, &only), 0);
            build(&conns[0], BB_OP_MIX);
        } while (conns[0].op != BB_OP_GET);
        build(&conns[1], BB_OP_MIX);
        deletes_while_read += conns[1].op == BB_OP_DELETE;
        bb_request_fail(&load, &conns[0], BB_FAULT_LOST);
        bb_request_fail(&load, &conns[1], BB_FAULT_LOST);
        build(&conns[1], BB_OP_MIX);
        deletes += conns[1].op == BB_OP_DELETE;
        bb_request_fail(&load, &conns[1], BB_FAULT_LOST);
    }
    assert_int_equal(deletes_while_read, 0);
    assert_true(deletes > 20);
}

/* The empty body repeats: the second 200 must not promise the block twice. */
static void repeated_short_body_is_remembered_once(void **state)
{
    (void)state;
    char line[BB_HASH_HEX_SIZE + 1];
    config.size_min = 0;
    config.size_max = 0;
    put(&conns[0]);
    build(&conns[0], BB_OP_PUT);
    hash_line(&conns[0], line);
    assert_int_equal(answer(&conns[0], 200, line, 65, 65), BB_FAULT_COUNT);
    assert_int_equal(load.acked.count, 1);
}

static void plain_reply_must_always_have_the_same_bytes(void **state)
{
    (void)state;
    static const char head[] = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
    config.path = "/x";
    build(&conns[0], BB_OP_PLAIN);
    assert_int_equal(conns[0].iov_count, 1);
    assert_int_equal(conns[0].iov[0].iov_len, strlen(head));
    assert_memory_equal(conns[0].iov[0].iov_base, head, strlen(head));
    assert_int_equal(answer(&conns[0], 200, "same", 4, 4), BB_FAULT_COUNT);
    build(&conns[1], BB_OP_PLAIN);
    assert_int_equal(answer(&conns[1], 200, "same", 4, 4), BB_FAULT_COUNT);
    build(&conns[0], BB_OP_PLAIN);
    assert_int_equal(answer(&conns[0], 200, "sane", 4, 4), BB_FAULT_WRONG_HASH);
    build(&conns[0], BB_OP_PLAIN);
    assert_int_equal(answer(&conns[0], 204, NULL, 0, 0), BB_FAULT_COUNT);
    build(&conns[0], BB_OP_PLAIN);
    assert_int_equal(answer(&conns[0], 404, "no\n", 3, 3), BB_FAULT_STATUS);
    assert_int_equal(bb_tally_bytes(&load.tally), 8);
}

static void upload_puts_a_new_body_to_a_new_path(void **state)
{
    (void)state;
    char first[64];
    config.path = "/put/";
    build(&conns[0], BB_OP_UPLOAD);
    memcpy(first, conns[0].iov[0].iov_base, sizeof(first));
    assert_memory_equal(first, "PUT /put/", 9);
    assert_memory_equal(first + 25, " HTTP/1.1\r\n", 11);
    assert_int_equal(answer(&conns[0], 201, NULL, 0, 0), BB_FAULT_COUNT);
    build(&conns[0], BB_OP_UPLOAD);
    assert_memory_not_equal(first, conns[0].iov[0].iov_base, 25);
    assert_int_equal(answer(&conns[0], 204, NULL, 0, 0), BB_FAULT_COUNT);
    build(&conns[0], BB_OP_UPLOAD);
    assert_int_equal(answer(&conns[0], 507, "x\n", 2, 2), BB_FAULT_STATUS);
    assert_int_equal(load.acked.count, 0);
}

/* What an earlier run began with is regenerated, and new bodies are others. */
static void adopted_blocks_are_those_that_a_run_with_the_same_seed_stores(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    struct bb_acked_block stored[COUNT];
    for (int i = 0; i < COUNT; i++)
        put(&conns[0]);
    memcpy(stored, load.acked.blocks, sizeof(stored));
    load.acked.count = 0;
    load.counter = 0;
    assert_int_equal(bb_load_adopt(&load, COUNT), 0);
    assert_int_equal(load.acked.count, COUNT);
    assert_memory_equal(load.acked.blocks, stored, sizeof(stored));
    put(&conns[0]);
    assert_int_equal(load.acked.blocks[COUNT].counter, COUNT);
}

#define VERDICT(test) cmocka_unit_test_setup_teardown(test, prepare, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VERDICT(put_sends_the_body_that_its_recipe_names),
        VERDICT(acknowledged_block_is_remembered_and_read_back),
        VERDICT(put_answered_with_another_hash_is_a_violation),
        VERDICT(put_answered_without_a_hash_line_is_a_bad_reply),
        VERDICT(lost_block_is_a_violation_for_every_operation_on_it),
        VERDICT(flipped_bit_anywhere_in_a_block_is_a_violation),
        VERDICT(another_block_is_noticed_without_hashing),
        VERDICT(wrong_length_is_a_violation),
        VERDICT(stored_body_put_again_must_be_known),
        VERDICT(absent_block_must_not_be_found),
        VERDICT(list_of_missing_must_be_the_absent_ones_in_order),
        VERDICT(other_statuses_are_errors_but_no_violations),
        VERDICT(deleted_block_is_forgotten_when_the_request_goes_out),
        VERDICT(mix_never_deletes_a_block_that_is_being_read),
        VERDICT(repeated_short_body_is_remembered_once),
        VERDICT(plain_reply_must_always_have_the_same_bytes),
        VERDICT(upload_puts_a_new_body_to_a_new_path),
        VERDICT(adopted_blocks_are_those_that_a_run_with_the_same_seed_stores),
    };
    bb_body_init(&config.body, 7, base);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
