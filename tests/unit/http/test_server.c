/* SPDX-License-Identifier: Apache-2.0
 * The server without a store: threads start, it answers as a recovering server should, refuses what
 * needs the store, survives a start-up that fails, and ends. Two regular files serve as devices. */
#include "bb/server.h"

#include "bb/bits.h"
#include "bb/clock.h"
#include "bb/err.h"
#include "bb/startup.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct fixture {
    char folder[64], data_path[96], index_path[96];
    struct bb_device data, index;
    struct bb_listener listener;
    struct bb_server *server;
    struct bb_budget budget;
};

static void make_file(const char *path, struct bb_device *ret_device)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, 64 << 20), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(bb_device_open(path, BB_DEVICE_EXCLUSIVE, 0, NULL, ret_device), 0);
}

static void never_fatal(void *context)
{
    (void)context;
    fail_msg("%s", "the server says that something is fatal");
}

static void open_fixture(struct fixture *fixture, unsigned workers, bool controller_inline)
{
    const char *reason = NULL;
    memset(fixture, 0, sizeof(*fixture));
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "/var/tmp/bb-server-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->data_path, sizeof(fixture->data_path), "%s/data", fixture->folder);
    (void)snprintf(fixture->index_path, sizeof(fixture->index_path), "%s/index", fixture->folder);
    make_file(fixture->data_path, &fixture->data);
    make_file(fixture->index_path, &fixture->index);
    assert_true(bb_listener_parse("127.0.0.1:0", &fixture->listener));
    assert_int_equal(bb_listener_open(&fixture->listener), 0);
    fixture->budget = (struct bb_budget){.memory = 32 << 20,
                                         .delta = 8 << 20,
                                         .buddy = 1 << 20,
                                         .io_per_worker = 2 << 20,
                                         .workers = workers,
                                         .connections = 16,
                                         .slice_max = 1000};
    struct bb_server_config config = {.data = &fixture->data,
                                      .index = &fixture->index,
                                      .budget = fixture->budget,
                                      .controller_inline = controller_inline,
                                      .listeners = &fixture->listener,
                                      .listener_count = 1,
                                      .on_fatal = never_fatal};
    assert_int_equal(bb_server_start(&config, &fixture->server, &reason), 0);
}

static void close_fixture(struct fixture *fixture)
{
    bb_server_drain(fixture->server);
    bb_server_hang_up(fixture->server);
    bb_control_stop(bb_server_shared(fixture->server)->control);
    bb_server_close(fixture->server);
    bb_listener_close(&fixture->listener);
    bb_device_close(&fixture->data);
    bb_device_close(&fixture->index);
    assert_int_equal(unlink(fixture->data_path), 0);
    assert_int_equal(unlink(fixture->index_path), 0);
    assert_int_equal(rmdir(fixture->folder), 0);
}

static int connect_to(const struct fixture *fixture)
{
    const struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&fixture->listener.address,
                             fixture->listener.address_len),
                     0);
    return fd;
}

/* Sends a request that asks to close; status and everything that came. */
static int ask(const struct fixture *fixture, const char *line, const char *fields,
               char ret_reply[static 8192])
{
    char request[512];
    int fd = connect_to(fixture);
    int len =
        snprintf(request, sizeof(request),
                 "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", line, fields);
    assert_int_equal(send(fd, request, (size_t)len, MSG_NOSIGNAL), len);
    size_t got = 0;
    for (;;) {
        ssize_t part = recv(fd, ret_reply + got, 8191 - got, 0);
        assert_true(part >= 0);
        if (part == 0)
            break;
        got += (size_t)part;
    }
    ret_reply[got] = '\0';
    assert_int_equal(close(fd), 0);
    assert_true(got > 12);
    return atoi(ret_reply + strlen("HTTP/1.1 "));
}

#define BLOCK "/block/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static void check_recovering(struct fixture *fixture)
{
    static const struct {
        const char *line, *fields;
        int status;
    } cases[] = {
        {"GET /livez", "", 200},
        {"GET /readyz", "", 503},
        {"HEAD /readyz", "", 503},
        {"GET /status", "", 200},
        {"GET /metrics", "", 200},
        {"GET " BLOCK, "", 503},
        {"HEAD " BLOCK, "", 503},
        {"DELETE " BLOCK, "", 503},
        {"GET " BLOCK "/proof?nonce=00112233445566778899aabbccddeeff", "", 503},
        {"GET /blocks", "", 503},
        {"PUT " BLOCK, "Content-Length: 5\r\n", 503},
        {"PUT " BLOCK, "Content-Length: 5\r\nExpect: 100-continue\r\n", 503},
        {"POST /block", "Transfer-Encoding: chunked\r\n", 503},
        {"POST /blocks/missing", "Content-Length: 65\r\n", 503},
        {"GET /nowhere", "", 404},
        {"PUT " BLOCK, "Content-Length: 9999999\r\n", 413},
        {"PUT " BLOCK, "", 411},
    };
    char reply[8192];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(ask(fixture, cases[i].line, cases[i].fields, reply), cases[i].status);
        if (cases[i].status == 503)
            assert_non_null(strstr(reply, "\r\nRetry-After: "));
    }
}

static void a_recovering_server_answers_with_its_progress(void **state)
{
    (void)state;
    struct fixture fixture;
    char reply[8192];
    open_fixture(&fixture, 2, true);
    struct bb_board *board = &bb_server_shared(fixture.server)->board;
    bb_board_progress(board, "journal", 3, 9);
    assert_int_equal(ask(&fixture, "GET /readyz", "", reply), 503);
    assert_non_null(strstr(reply, "recovering: journal 3 of 9"));
    assert_int_equal(ask(&fixture, "GET /status", "", reply), 200);
    assert_non_null(strstr(reply, "\"state\":\"recovering\""));
    check_recovering(&fixture);
    close_fixture(&fixture);
}

static void the_controller_may_have_a_thread_of_its_own(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 1, false);
    check_recovering(&fixture);
    close_fixture(&fixture);
}

static void unformatted_devices_end_the_start_up_and_nothing_else(void **state)
{
    (void)state;
    struct fixture fixture;
    struct bb_startup *startup;
    char reply[8192];
    open_fixture(&fixture, 3, false);
    struct bb_startup_config config = {.server = fixture.server,
                                       .data = &fixture.data,
                                       .index = &fixture.index,
                                       .runtime_dir = fixture.folder,
                                       .budget = fixture.budget};
    assert_int_equal(bb_startup_open(&config, &startup), 0);
    assert_int_equal(bb_startup_run(startup), BB_ERR_NOT_FORMATTED);
    assert_int_equal(ask(&fixture, "GET /readyz", "", reply), 503);
    bb_startup_close(startup);
    close_fixture(&fixture);
}

static void clients_in_the_middle_of_something_do_not_hold_up_the_end(void **state)
{
    (void)state;
    struct fixture fixture;
    static const char put[] = "PUT /block HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n";
    static const char *const beginnings[] = {"", "GET /li",
                                             "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", put};
    int fds[8];
    open_fixture(&fixture, 2, true);
    for (size_t i = 0; i < 8; i++) {
        const char *text = beginnings[i % 4];
        fds[i] = connect_to(&fixture);
        assert_int_equal(send(fds[i], text, strlen(text), MSG_NOSIGNAL), strlen(text));
    }
    char reply[8192];
    assert_int_equal(ask(&fixture, "GET /livez", "", reply), 200);
    close_fixture(&fixture);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(close(fds[i]), 0);
}

static void make_tokens(const char *token, struct bb_tokens *ret_tokens)
{
    memset(ret_tokens, 0, sizeof(*ret_tokens));
    ret_tokens->count = 1;
    ret_tokens->tokens[0].scopes = BB_SCOPE_ALL;
    (void)snprintf(ret_tokens->tokens[0].name, sizeof(ret_tokens->tokens[0].name), "%s", token);
    bb_hash_of(token, strlen(token), &ret_tokens->tokens[0].hash);
}

struct askers {
    const struct fixture *fixture;
    _Atomic bool stop;
    _Atomic unsigned let_in, kept_out, other;
};

/* Asks with the token "a" until told to stop. */
static void *ask_on(void *argument)
{
    struct askers *askers = argument;
    char reply[8192];
    while (!atomic_load(&askers->stop)) {
        int status = ask(askers->fixture, "HEAD /config", "Authorization: Bearer a\r\n", reply);
        atomic_fetch_add(status == 200   ? &askers->let_in
                         : status == 401 ? &askers->kept_out
                                         : &askers->other,
                         1);
    }
    return NULL;
}

static void a_reload_under_load_is_seen_whole_by_every_request(void **state)
{
    (void)state;
    struct fixture fixture;
    struct bb_tokens a, b;
    struct bb_config settings;
    pthread_t threads[2];
    char reply[8192];
    open_fixture(&fixture, 2, false);
    make_tokens("a", &a);
    make_tokens("b", &b);
    bb_config_init(&settings);
    assert_true(bb_server_reload(fixture.server, &settings, &a, NULL));
    struct askers askers = {.fixture = &fixture};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &askers), 0);
    for (int i = 0; i < 100; i++) {
        assert_true(bb_server_reload(fixture.server, &settings, i % 2 == 0 ? &b : &a, NULL));
        const char *token =
            i % 2 == 0 ? "Authorization: Bearer b\r\n" : "Authorization: Bearer a\r\n";
        assert_int_equal(ask(&fixture, "HEAD /config", token, reply), 200);
    }
    atomic_store(&askers.stop, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(atomic_load(&askers.let_in) > 0);
    assert_true(atomic_load(&askers.kept_out) > 0);
    assert_int_equal(atomic_load(&askers.other), 0);
    close_fixture(&fixture);
}

static void every_loop_answers_a_beat(void **state)
{
    (void)state;
    struct fixture fixture;
    for (int i = 0; i < 2; i++) {
        open_fixture(&fixture, 3, i == 0);
        assert_true(bb_server_beating(fixture.server));
        for (int beat = 0; beat < 20; beat++) {
            uint64_t end_ms = bb_clock_ms() + 60000;
            bb_server_beat(fixture.server);
            while (!bb_server_beating(fixture.server) && bb_clock_ms() < end_ms)
                (void)sched_yield();
            assert_true(bb_server_beating(fixture.server));
        }
        close_fixture(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recovering_server_answers_with_its_progress),
        cmocka_unit_test(the_controller_may_have_a_thread_of_its_own),
        cmocka_unit_test(unformatted_devices_end_the_start_up_and_nothing_else),
        cmocka_unit_test(a_reload_under_load_is_seen_whole_by_every_request),
        cmocka_unit_test(every_loop_answers_a_beat),
        cmocka_unit_test(clients_in_the_middle_of_something_do_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
