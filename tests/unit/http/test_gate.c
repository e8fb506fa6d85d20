/* SPDX-License-Identifier: Apache-2.0
 * The choke point: all combinations of listener, --auth and Host. */
#include "bb/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *const hosts[] = {"store.example"};

static int check(bool auth_none, bool loopback, const char *host, unsigned minor)
{
    struct bb_gate gate = {.auth_none = auth_none, .hosts = hosts, .host_count = 1};
    struct bb_http_request http = {.host = {host, host == NULL ? 0 : strlen(host)}, .minor = minor};
    struct bb_http_refusal refusal = {.status = 0};
    int status = bb_gate_check(&gate, loopback, &http, &refusal);
    assert_int_equal(refusal.status, status);
    return status;
}

static void everything_is_refused_unless_something_allows_it(void **state)
{
    (void)state;
    assert_int_equal(check(false, false, "localhost", 1), 403);
    assert_int_equal(check(false, false, NULL, 0), 403);
    assert_int_equal(check(false, true, "localhost", 1), 0);
    assert_int_equal(check(true, false, "localhost", 1), 0);
    assert_int_equal(check(true, true, "localhost", 1), 0);
}

static void a_foreign_name_is_misdirected_on_every_listener(void **state)
{
    (void)state;
    for (int i = 1; i < 4; i++) {
        bool auth_none = (i & 1) != 0;
        bool loopback = (i & 2) != 0;
        assert_int_equal(check(auth_none, loopback, "evil.example", 1), 421);
        assert_int_equal(check(auth_none, loopback, "evil.example", 0), 421);
        assert_int_equal(check(auth_none, loopback, "", 1), 421);
        assert_int_equal(check(auth_none, loopback, "store.example:80", 1), 0);
        assert_int_equal(check(auth_none, loopback, "10.0.0.7", 1), 0);
    }
}

static void http_1_0_may_leave_the_host_out(void **state)
{
    (void)state;
    assert_int_equal(check(false, true, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_refused_unless_something_allows_it),
        cmocka_unit_test(a_foreign_name_is_misdirected_on_every_listener),
        cmocka_unit_test(http_1_0_may_leave_the_host_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
