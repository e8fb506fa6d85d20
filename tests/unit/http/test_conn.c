/* SPDX-License-Identifier: Apache-2.0
 * Which states of a connection wait for the client: only those may be ended for being slow, and
 * whoever waits for the store or for a device must never be. When a body may stay where it came.
 * The machine itself runs in test_server and in the end-to-end tests. */
#include "bb/conn.h"

#include "bb/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void only_what_the_client_has_to_do_waits_for_it(void **state)
{
    (void)state;
    static struct bb_conn conn;
    static const bool waits[BB_CONN_STATE_COUNT] = {
        [BB_CONN_HEAD] = true, [BB_CONN_CONTINUE] = true, [BB_CONN_BODY] = true,
        [BB_CONN_SEND] = true, [BB_CONN_LINGER] = true,
    };
    for (int i = 0; i < BB_CONN_STATE_COUNT; i++) {
        conn.state = (enum bb_conn_state)i;
        assert_int_equal(bb_conn_waits_for_client(&conn), waits[i]);
    }
}

static void a_prepared_connection_is_free_and_can_be_given_back(void **state)
{
    (void)state;
    static struct bb_conn conn;
    static _Alignas(BB_UNIT_SIZE) char area[BB_HTTP_HEAD_MAX];
    assert_int_equal(bb_hash_init(), 0);
    assert_int_equal(bb_conn_init(&conn, NULL, area), 0);
    assert_int_equal(conn.state, BB_CONN_FREE);
    assert_int_equal(conn.fd, -1);
    bb_conn_fini(&conn);
}

/* A head of head_used bytes that begins at area + offset, `more` bytes behind it. */
static bool in_place(size_t offset, size_t head_used, size_t more, size_t body_size,
                     size_t *ret_guess)
{
    static struct bb_worker worker;
    static _Alignas(BB_UNIT_SIZE) char area[BB_HTTP_HEAD_MAX];
    struct bb_conn *conn = calloc(1, sizeof(*conn));
    assert_non_null(conn);
    conn->worker = &worker;
    conn->area = area;
    conn->head = area + offset;
    conn->head_used = head_used;
    conn->head_len = head_used + more;
    conn->http.content_length = body_size;
    bool found = bb_conn_body_in_place(conn);
    assert_int_equal(found, conn->buf == (uint8_t *)area + BB_UNIT_SIZE);
    assert_int_equal(found, bb_conn_buffer_is_own(conn));
    *ret_guess = conn->head_guess;
    free(conn);
    return found;
}

static void a_body_that_begins_at_the_second_unit_stays_there(void **state)
{
    (void)state;
    size_t guess;
    assert_true(in_place(BB_UNIT_SIZE - 200, 200, 4096, 4096, &guess));
    assert_int_equal(guess, 200);
    assert_true(in_place(BB_UNIT_SIZE - 200, 200, 0, 1, &guess)); /* not there yet */
    assert_false(in_place(0, 200, 4096, 4096, &guess));
    assert_int_equal(guess, 200); /* the next one will be */
}

static void a_body_that_is_not_alone_or_too_large_is_moved(void **state)
{
    (void)state;
    size_t guess;
    assert_false(in_place(BB_UNIT_SIZE - 200, 200, 101, 100, &guess)); /* padding would hit it */
    assert_false(in_place(BB_UNIT_SIZE - 200, 200, 4096, 4097, &guess));
    assert_int_equal(guess, 0);
    assert_false(in_place(0, 5000, 0, 100, &guess));
    assert_int_equal(guess, 0); /* a head that long cannot end at the second unit */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_the_client_has_to_do_waits_for_it),
        cmocka_unit_test(a_prepared_connection_is_free_and_can_be_given_back),
        cmocka_unit_test(a_body_that_begins_at_the_second_unit_stays_there),
        cmocka_unit_test(a_body_that_is_not_alone_or_too_large_is_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
