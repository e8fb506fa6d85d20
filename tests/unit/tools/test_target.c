/* SPDX-License-Identifier: Apache-2.0
 * The URLs of the server. */
#include "bbbench/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>

static void the_three_forms_are_understood(void **state)
{
    (void)state;
    struct bb_target target;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    assert_true(bb_target_parse("http://127.0.0.1:10001", &target));
    memcpy(&v4, &target.address, sizeof(v4));
    assert_int_equal(v4.sin_family, AF_INET);
    assert_int_equal(ntohs(v4.sin_port), 10001);
    assert_int_equal(ntohl(v4.sin_addr.s_addr), INADDR_LOOPBACK);
    assert_string_equal(target.host, "127.0.0.1:10001");

    assert_true(bb_target_parse("http://localhost:1/", &target));
    memcpy(&v4, &target.address, sizeof(v4));
    assert_int_equal(ntohs(v4.sin_port), 1);
    assert_int_equal(ntohl(v4.sin_addr.s_addr), INADDR_LOOPBACK);
    assert_string_equal(target.host, "localhost:1");

    assert_true(bb_target_parse("http://[::1]:65535", &target));
    memcpy(&v6, &target.address, sizeof(v6));
    assert_int_equal(v6.sin6_family, AF_INET6);
    assert_int_equal(ntohs(v6.sin6_port), 65535);
    assert_memory_equal(&v6.sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
    assert_string_equal(target.host, "[::1]:65535");

    assert_true(bb_target_parse("http://127.0.0.1", &target));
    memcpy(&v4, &target.address, sizeof(v4));
    assert_int_equal(ntohs(v4.sin_port), 80);
    assert_false(target.secure);
}

static void https_has_its_own_port(void **state)
{
    (void)state;
    struct bb_target target;
    struct sockaddr_in v4;
    assert_true(bb_target_parse("https://127.0.0.1:10443", &target));
    assert_true(target.secure);
    memcpy(&v4, &target.address, sizeof(v4));
    assert_int_equal(ntohs(v4.sin_port), 10443);
    assert_true(bb_target_parse("https://127.0.0.1/", &target));
    memcpy(&v4, &target.address, sizeof(v4));
    assert_int_equal(ntohs(v4.sin_port), 443);
}

static void other_urls_are_refused(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",
        "127.0.0.1:10001",
        "ftp://127.0.0.1:10001",
        "https://",
        "http://",
        "http://:10001",
        "http://127.0.0.1:",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:1x",
        "http://127.0.0.1:1/block",
        "http://example.org:1",
        "http://::1:10001",
        "http://[::1",
        "http://[::1]x",
        "http://[127.0.0.1]:1",
        "http://127.0.0.1:000000000000000000000000000000000000000000000000000000000001",
    };
    struct bb_target target;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        assert_false(bb_target_parse(urls[i], &target));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_are_understood),
        cmocka_unit_test(https_has_its_own_port),
        cmocka_unit_test(other_urls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
