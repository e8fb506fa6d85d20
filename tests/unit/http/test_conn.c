/* SPDX-License-Identifier: Apache-2.0
 * Which states of a connection wait for the client: only those may be ended for being slow, and
 * whoever waits for the store or for a device must never be. The machine itself runs in test_server
 * and in the end-to-end tests. */
#include "bb/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

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
    assert_int_equal(bb_hash_init(), 0);
    assert_int_equal(bb_conn_init(&conn, NULL), 0);
    assert_int_equal(conn.state, BB_CONN_FREE);
    assert_int_equal(conn.fd, -1);
    bb_conn_fini(&conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_the_client_has_to_do_waits_for_it),
        cmocka_unit_test(a_prepared_connection_is_free_and_can_be_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
