/* SPDX-License-Identifier: Apache-2.0
 * Addresses as people write them, and sockets on port 0. */
#include "bb/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static char folder[] = "/tmp/bb-listen-XXXXXX";

static void parse_in_folder(struct bb_listener *ret_listener)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "unix:%s/x.sock", folder);
    assert_true(bb_listener_parse(text, ret_listener));
    assert_string_equal(ret_listener->name, text);
    assert_true(ret_listener->loopback && ret_listener->local);
}

static void a_unix_socket_is_for_owner_and_group_and_goes_with_its_listener(void **state)
{
    (void)state;
    struct bb_listener first, second;
    struct stat status;
    assert_non_null(mkdtemp(folder));
    parse_in_folder(&first);
    parse_in_folder(&second);
    assert_true(bb_listener_equal(&first, &second));
    assert_int_equal(bb_listener_open(&first), 0);
    assert_int_equal(stat(first.name + strlen("unix:"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    assert_int_equal(bb_listener_open(&second), -EADDRINUSE);
    bb_listener_close(&first);
    assert_int_equal(stat(second.name + strlen("unix:"), &status), -1);
    assert_int_equal(bb_listener_open(&second), 0);
    bb_listener_close(&second);
    assert_int_equal(rmdir(folder), 0);
}

static void a_unix_socket_of_a_killed_process_is_replaced_and_nothing_else(void **state)
{
    (void)state;
    struct bb_listener first, second;
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(folder));
    parse_in_folder(&first);
    parse_in_folder(&second);
    assert_int_equal(bb_listener_open(&first), 0);
    assert_int_equal(close(first.fd), 0); /* as the kernel does */
    assert_int_equal(bb_listener_open(&second), 0);
    bb_listener_close(&second);
    int fd = open(first.name + strlen("unix:"), O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(bb_listener_open(&second), -EADDRINUSE);
    assert_int_equal(unlink(first.name + strlen("unix:")), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void paths_that_are_not_absolute_or_too_long_are_refused(void **state)
{
    (void)state;
    char text[140] = "unix:/";
    struct bb_listener listener;
    assert_false(bb_listener_parse("unix:", &listener));
    assert_false(bb_listener_parse("unix:x", &listener));
    memset(text + 6, 'a', 106);
    assert_true(bb_listener_parse(text, &listener)); /* 107 bytes of path */
    text[112] = 'a';
    assert_false(bb_listener_parse(text, &listener));
}

static void a_listening_socket_can_be_adopted_and_waits_then(void **state)
{
    (void)state;
    struct bb_listener made, adopted;
    int ends[2];
    assert_true(bb_listener_parse("127.0.0.1:0", &made));
    assert_int_equal(bb_listener_open(&made), 0);
    int fd = dup(made.fd);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(bb_listener_adopt(fd, &adopted), 0);
    assert_string_equal(adopted.name, made.name);
    assert_true(adopted.loopback && adopted.inherited && !adopted.local);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    bb_listener_close(&adopted);
    bb_listener_close(&made);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(bb_listener_adopt(ends[0], &adopted), -ENOTSOCK);
    (void)close(ends[0]);
    (void)close(ends[1]);
    fd = socket(AF_INET, SOCK_STREAM, 0); /* does not listen */
    assert_int_equal(bb_listener_adopt(fd, &adopted), -ENOTSOCK);
    (void)close(fd);
}

static void only_what_is_passed_to_this_process_is_inherited(void **state)
{
    (void)state;
    char pid[24];
    static const struct {
        const char *pid, *count;
        unsigned wanted;
    } cases[] = {{NULL, NULL, 0}, {NULL, "2", 0}, {"1", "2", 0}, {"", "2", 0}, {"x", "2", 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (cases[i].pid != NULL)
            (void)setenv("LISTEN_PID", cases[i].pid, 1);
        if (cases[i].count != NULL)
            (void)setenv("LISTEN_FDS", cases[i].count, 1);
        assert_int_equal(bb_listen_inherited(), cases[i].wanted);
        assert_null(getenv("LISTEN_FDS"));
    }
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", "2", 1);
    assert_int_equal(bb_listen_inherited(), 2);
    assert_int_equal(bb_listen_inherited(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_with_their_kind),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(an_open_listener_knows_its_port_and_keeps_it_from_others),
        cmocka_unit_test(a_unix_socket_is_for_owner_and_group_and_goes_with_its_listener),
        cmocka_unit_test(a_unix_socket_of_a_killed_process_is_replaced_and_nothing_else),
        cmocka_unit_test(paths_that_are_not_absolute_or_too_long_are_refused),
        cmocka_unit_test(a_listening_socket_can_be_adopted_and_waits_then),
        cmocka_unit_test(only_what_is_passed_to_this_process_is_inherited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
