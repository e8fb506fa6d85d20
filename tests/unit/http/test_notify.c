/* SPDX-License-Identifier: Apache-2.0
 * Notification against a socket of our own, by path and by abstract name. */
#include "bb/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int receiver(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, size), 0);
    return fd;
}

static void arrives(const char *name)
{
    char got[100] = "";
    int fd = receiver(name);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    bb_notify("READY=1\nSTATUS=ready");
    ssize_t len = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
    assert_int_equal(len, strlen("READY=1\nSTATUS=ready"));
    assert_string_equal(got, "READY=1\nSTATUS=ready");
    (void)close(fd);
}

static void a_path_and_an_abstract_name_are_reached(void **state)
{
    (void)state;
    char folder[] = "/tmp/bb-notify-XXXXXX";
    char path[64];
    char name[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    arrives(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    (void)snprintf(name, sizeof(name), "@bb-notify-%d", (int)getpid());
    arrives(name);
}

static void nobody_there_is_not_an_error(void **state)
{
    (void)state;
    char long_name[300];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[0] = '/';
    long_name[sizeof(long_name) - 1] = '\0';
    const char *const names[] = {"",          "/",      "relative", "/nonexistent/socket",
                                 "vsock:1:2", long_name};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        bb_notify("READY=1");
    }
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    bb_notify("READY=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_and_an_abstract_name_are_reached),
        cmocka_unit_test(nobody_there_is_not_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
