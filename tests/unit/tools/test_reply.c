/* SPDX-License-Identifier: Apache-2.0
 * The reply parser: what it reads, what it refuses, and that the way the bytes are split does not
 * matter. */
#include "bbbench/reply.h"

#include "bb/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_MAX 8192
#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

/* What came of feeding a stream. */
struct outcome {
    struct bb_reply reply;
    size_t used;
    char body[STREAM_MAX];
    size_t body_len;
};

/* Feeds pieces of piece_max bytes, or with `random` of 1 to piece_max, until the reply ends. */
static void feed(struct outcome *outcome, const char *data, size_t len, bool bodiless,
                 struct bb_random *random, size_t piece_max)
{
    /* Poisoned, so that begin must set all that counts. */
    memset(outcome, 0xa5, sizeof(*outcome));
    bb_reply_begin(&outcome->reply, bodiless);
    outcome->used = 0;
    outcome->body_len = 0;
    while (outcome->used < len &&
           (outcome->reply.state == BB_REPLY_HEAD || outcome->reply.state == BB_REPLY_BODY)) {
        size_t piece = random != NULL ? 1 + (size_t)bb_random_below(random, piece_max) : piece_max;
        if (piece > len - outcome->used)
            piece = len - outcome->used;
        /* A copy of its own size lets the sanitizer see reads beyond the piece. */
        char *copy = malloc(piece);
        assert_non_null(copy);
        memcpy(copy, data + outcome->used, piece);
        const char *body;
        size_t body_len;
        size_t used = bb_reply_feed(&outcome->reply, copy, piece, &body, &body_len);
        assert_true(used <= piece);
        assert_true(used == piece || outcome->reply.state == BB_REPLY_DONE ||
                    outcome->reply.state == BB_REPLY_BAD);
        assert_true((body == NULL) == (body_len == 0));
        if (body_len > 0) {
            assert_true(body >= copy && body + body_len <= copy + used);
            memcpy(outcome->body + outcome->body_len, body, body_len);
            outcome->body_len += body_len;
        }
        free(copy);
        outcome->used += used;
    }
}

static void feed_whole(struct outcome *outcome, const char *text)
{
    feed(outcome, text, strlen(text), false, NULL, strlen(text));
}

static void assert_bad(const char *text)
{
    static struct outcome outcome;
    feed_whole(&outcome, text);
    assert_int_equal(outcome.reply.state, BB_REPLY_BAD);
    feed(&outcome, text, strlen(text), false, NULL, 1);
    assert_int_equal(outcome.reply.state, BB_REPLY_BAD);
}

static void reply_with_a_body_is_read(void **state)
{
    (void)state;
    static struct outcome outcome;
    feed_whole(&outcome, "HTTP/1.1 201 Created\r\nServer: x\r\ncontent-LENGTH:\t 5 \r\n\r\nhello");
    assert_int_equal(outcome.reply.state, BB_REPLY_DONE);
    assert_int_equal(outcome.reply.status, 201);
    assert_int_equal(outcome.reply.content_length, 5);
    assert_false(outcome.reply.close);
    assert_int_equal(outcome.body_len, 5);
    assert_memory_equal(outcome.body, "hello", 5);
}

static void bytes_after_the_reply_are_left(void **state)
{
    (void)state;
    static struct outcome outcome;
    feed_whole(&outcome, OK_HEAD "helloHTTP/1.1");
    assert_int_equal(outcome.reply.state, BB_REPLY_DONE);
    assert_int_equal(outcome.used, strlen(OK_HEAD "hello"));
}

static void reply_without_body_ends_with_its_head(void **state)
{
    (void)state;
    static struct outcome outcome;
    feed_whole(&outcome, "HTTP/1.1 204 No Content\r\n\r\nX");
    assert_int_equal(outcome.reply.state, BB_REPLY_DONE);
    assert_int_equal(outcome.used, 27);
    feed_whole(&outcome, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nX");
    assert_int_equal(outcome.reply.state, BB_REPLY_DONE);
    assert_int_equal(outcome.body_len, 0);
    feed_whole(&outcome, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nX");
    assert_int_equal(outcome.reply.state, BB_REPLY_DONE);
    assert_int_equal(outcome.body_len, 0);
}

static void reply_to_head_announces_a_length_without_body(void **state)
{
    (void)state;
    static struct outcome outcome;
    feed(&outcome, OK_HEAD "hello", strlen(OK_HEAD) + 5, true, NULL, STREAM_MAX);
    assert_int_equal(outcome.reply.state, BB_REPLY_DONE);
    assert_int_equal(outcome.reply.content_length, 5);
    assert_int_equal(outcome.used, strlen(OK_HEAD));
}

static void interim_replies_are_skipped(void **state)
{
    (void)state;
    static struct outcome outcome;
    feed_whole(&outcome, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nContent-Length: 3\r\n"
                         "Connection: close\r\n\r\n" OK_HEAD "hello");
    assert_int_equal(outcome.reply.state, BB_REPLY_DONE);
    assert_int_equal(outcome.reply.status, 200);
    assert_int_equal(outcome.reply.content_length, 5);
    assert_false(outcome.reply.close);
}

static void closing_is_noticed(void **state)
{
    (void)state;
    static struct outcome outcome;
    feed_whole(&outcome, "HTTP/1.1 204 X\r\nConnection: Close\r\n\r\n");
    assert_true(outcome.reply.close);
    feed_whole(&outcome, "HTTP/1.0 204 X\r\n\r\n");
    assert_true(outcome.reply.close);
    feed_whole(&outcome, "HTTP/1.0 204 X\r\nConnection: keep-alive\r\n\r\n");
    assert_false(outcome.reply.close);
}

static void body_may_be_skipped_unseen(void **state)
{
    (void)state;
    static struct outcome outcome;
    feed_whole(&outcome, OK_HEAD "he");
    assert_int_equal(outcome.reply.state, BB_REPLY_BODY);
    bb_reply_skip(&outcome.reply, 2);
    assert_int_equal(outcome.reply.state, BB_REPLY_BODY);
    assert_int_equal(outcome.reply.body_left, 1);
    bb_reply_skip(&outcome.reply, 1);
    assert_int_equal(outcome.reply.state, BB_REPLY_DONE);
}

static void malformed_replies_are_refused(void **state)
{
    (void)state;
    assert_bad("\r\n" OK_HEAD);
    assert_bad("HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_bad("HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_bad("HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\n");
    assert_bad("HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\n");
    assert_bad("HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\n");
    assert_bad("HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n");
    assert_bad("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\n");
    assert_bad("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n");
    assert_bad("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n");
    assert_bad("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n");
    assert_bad("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n");
    assert_bad("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n");
    assert_bad("HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n");
}

static void replies_that_our_server_never_sends_are_refused(void **state)
{
    (void)state;
    assert_bad("HTTP/1.1 200 OK\r\n\r\n");
    assert_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_bad("HTTP/1.1 101 Switching\r\n\r\n");
}

static void head_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
    (void)state;
    static const char start[] = "HTTP/1.1 204 X\r\nX: ";
    static char head[BB_REPLY_HEAD_MAX + 2];
    static struct outcome outcome;
    for (size_t size = BB_REPLY_HEAD_MAX - 1; size <= BB_REPLY_HEAD_MAX + 1; size++) {
        memset(head, 'x', sizeof(head));
        memcpy(head, start, strlen(start));
        memcpy(head + size - 4, "\r\n\r\n", 4);
        enum bb_reply_state expected = size <= BB_REPLY_HEAD_MAX ? BB_REPLY_DONE : BB_REPLY_BAD;
        feed(&outcome, head, size, false, NULL, size);
        assert_int_equal(outcome.reply.state, expected);
        feed(&outcome, head, size, false, NULL, 1);
        assert_int_equal(outcome.reply.state, expected);
    }
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->reply.state, b->reply.state);
    if (a->reply.state == BB_REPLY_BAD)
        return;
    assert_int_equal(a->used, b->used);
    assert_int_equal(a->reply.status, b->reply.status);
    assert_int_equal(a->reply.close, b->reply.close);
    assert_true(a->reply.content_length == b->reply.content_length);
    assert_true(a->reply.body_left == b->reply.body_left);
    assert_int_equal(a->body_len, b->body_len);
    assert_memory_equal(a->body, b->body, a->body_len);
}

static size_t build_stream(struct bb_random *random, char *stream)
{
    static const char *const lines[] = {
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Connection: close\r\n",
        "content-type: text/plain\r\n",
        "Connection: keep-alive\r\n",
        "Content-Length: 17\r\n",
        "Transfer-Encoding: chunked\r\n",
    };
    size_t len =
        (size_t)snprintf(stream, STREAM_MAX, "%s",
                         bb_random_below(random, 4) == 0 ? "HTTP/1.1 100 Continue\r\n\r\n" : "");
    len += (size_t)snprintf(stream + len, STREAM_MAX - len, "HTTP/1.%u %u Text\r\n",
                            (unsigned)bb_random_below(random, 2),
                            200 + (unsigned)bb_random_below(random, 5));
    for (uint64_t i = bb_random_below(random, 5); i > 0; i--) {
        const char *line = lines[bb_random_below(random, i == 1 ? 6 : 4)];
        len += (size_t)snprintf(stream + len, STREAM_MAX - len, "%s", line);
    }
    if (bb_random_below(random, 8) != 0)
        len += (size_t)snprintf(stream + len, STREAM_MAX - len, "Content-Length: %u\r\n",
                                (unsigned)bb_random_below(random, 2000));
    len += (size_t)snprintf(stream + len, STREAM_MAX - len, "\r\n");
    size_t tail = (size_t)bb_random_below(random, 2500);
    bb_random_fill(random, stream + len, tail);
    return len + tail;
}

/* Valid, mutated and cut streams alike: whole, bytewise and in random pieces give the same. */
static void splitting_does_not_matter(void **state)
{
    (void)state;
    static char stream[STREAM_MAX];
    static struct outcome whole;
    static struct outcome pieces;
    struct bb_random random;
    const char *text = getenv("BB_SEED");
    uint64_t seed = 0;
    bb_random_from_kernel(&seed, sizeof(seed));
    if (text != NULL)
        seed = strtoull(text, NULL, 0);
    printf("BB_SEED=%llu\n", (unsigned long long)seed);
    bb_random_seed(&random, seed);
    unsigned ends[4] = {0};
    for (int round = 0; round < 1000; round++) {
        size_t len = build_stream(&random, stream);
        bool bodiless = bb_random_below(&random, 8) == 0;
        if (bb_random_below(&random, 3) == 0)
            stream[bb_random_below(&random, len < 80 ? len : 80)] =
                "\r\n :5x"[bb_random_below(&random, 6)];
        feed(&whole, stream, len, bodiless, NULL, len);
        feed(&pieces, stream, len, bodiless, NULL, 1);
        assert_same(&whole, &pieces);
        feed(&pieces, stream, len, bodiless, &random, 1 + bb_random_below(&random, 300));
        assert_same(&whole, &pieces);
        ends[whole.reply.state]++;
    }
    /* The generator must reach the ends that matter, or equality says nothing. */
    assert_true(ends[BB_REPLY_BODY] > 20);
    assert_true(ends[BB_REPLY_DONE] > 100);
    assert_true(ends[BB_REPLY_BAD] > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_with_a_body_is_read),
        cmocka_unit_test(bytes_after_the_reply_are_left),
        cmocka_unit_test(reply_without_body_ends_with_its_head),
        cmocka_unit_test(reply_to_head_announces_a_length_without_body),
        cmocka_unit_test(interim_replies_are_skipped),
        cmocka_unit_test(closing_is_noticed),
        cmocka_unit_test(body_may_be_skipped_unseen),
        cmocka_unit_test(malformed_replies_are_refused),
        cmocka_unit_test(replies_that_our_server_never_sends_are_refused),
        cmocka_unit_test(head_may_be_as_long_as_the_limit_and_no_longer),
        cmocka_unit_test(splitting_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
