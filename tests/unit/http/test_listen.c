/* SPDX-License-Identifier: Apache-2.0
 * Addresses as people write them, and sockets on port 0. */
#include "bb/listen.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void addresses_are_read_with_their_kind(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback;
        const char *name;
    } cases[] = {
        {"127.0.0.1:10001", true, "127.0.0.1:10001"},
        {"127.255.0.9:1", true, "127.255.0.9:1"},
        {"0.0.0.0:80", false, "0.0.0.0:80"},
        {"10.0.0.1:65535", false, "10.0.0.1:65535"},
        {"[::1]:10001", true, "[::1]:10001"},
        {"[::]:0", false, "[::]:0"},
        {"[fe80::1]:80", false, "[fe80::1]:80"},
        {"[0:0::1]:7", true, "[::1]:7"},
        /* what is mapped is not on the loopback interface of IPv6 */
        {"[::ffff:127.0.0.1]:7", false, "[::ffff:127.0.0.1]:7"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bb_listener listener;
        assert_true(bb_listener_parse(cases[i].text, &listener));
        assert_int_equal(listener.loopback, cases[i].loopback);
        assert_string_equal(listener.name, cases[i].name);
        assert_int_equal(listener.fd, -1);
    }
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        ":80",
        "localhost:1",
        "127.0.0.1:x",
        "127.0.0.1:-1",
        "127.0.0.1:1 ",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[]:80",
        "[127.0.0.1]:80",
        "1.2.3:80",
        "[::1]]:80",
        "127.0.0.1:80:80",
        "[::1%lo]:80",
        "256.0.0.1:1",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct bb_listener listener = {.fd = 77};
        assert_false(bb_listener_parse(texts[i], &listener));
        assert_int_equal(listener.fd, 77);
    }
}

static void an_open_listener_knows_its_port_and_keeps_it_from_others(void **state)
{
    (void)state;
    struct bb_listener first, second;
    assert_true(bb_listener_parse("127.0.0.1:0", &first));
    assert_int_equal(bb_listener_open(&first), 0);
    assert_true(first.fd >= 0);
    assert_string_not_equal(first.name, "127.0.0.1:0");
    assert_true(bb_listener_parse(first.name, &second));
    assert_int_equal(bb_listener_open(&second), -EADDRINUSE);
    assert_int_equal(second.fd, -1);
    bb_listener_close(&first);
    assert_int_equal(first.fd, -1);
    assert_int_equal(bb_listener_open(&second), 0);
    bb_listener_close(&second);
    bb_listener_close(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_with_their_kind),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(an_open_listener_knows_its_port_and_keeps_it_from_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
