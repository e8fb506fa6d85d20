/* SPDX-License-Identifier: Apache-2.0
 * What all back ends share: the checks at submit, the count in flight, the blocking helpers. The
 * back end here is a list that the test completes by hand.
 */
#include "bb/io.h"

#include "bb/err.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define UNIT 4096u

struct fake {
    struct bb_io io;
    struct bb_io_request *last;
    int32_t result;  /* of the next completion */
    int poll_result; /* negative: the back end itself fails */
    unsigned polls_before;
};

static uint8_t buf[2 * UNIT] __attribute__((aligned(4096)));

static void fake_submit(struct bb_io *io, struct bb_io_request *request)
{
    BB_CONTAINER(io, struct fake, io)->last = request;
}

static int fake_poll(struct bb_io *io, bool wait)
{
    struct fake *fake = BB_CONTAINER(io, struct fake, io);
    (void)wait;
    if (fake->poll_result < 0)
        return fake->poll_result;
    if (fake->polls_before > 0) {
        fake->polls_before--;
        return 0;
    }
    bb_io_finish(io, fake->last, fake->result);
    return 1;
}

static const struct bb_io_ops fake_ops = {.submit = fake_submit, .poll = fake_poll};

static struct fake make_fake(void)
{
    return (struct fake){.io = {.ops = &fake_ops, .device_size = 16 * UNIT}};
}

static unsigned done_count;

static void count_done(struct bb_io_request *request)
{
    (void)request;
    done_count++;
}

static void in_flight_is_what_was_submitted_and_is_not_done(void **state)
{
    (void)state;
    struct fake fake = make_fake();
    struct bb_io_request request;
    done_count = 0;
    bb_io_prepare(&request, BB_IO_WRITE, BB_IO_JOURNAL, UNIT, buf, UNIT, count_done);
    assert_int_equal(request.class, BB_IO_JOURNAL);
    bb_io_submit(&fake.io, &request);
    assert_int_equal(fake.io.in_flight, 1);
    assert_int_equal(done_count, 0);
    fake.result = -EIO;
    assert_int_equal(bb_io_poll(&fake.io, false), 1);
    assert_int_equal(fake.io.in_flight, 0);
    assert_int_equal(done_count, 1);
    assert_int_equal(request.result, -EIO);
}

static void blocking_helper_polls_until_its_own_request_is_done(void **state)
{
    (void)state;
    struct fake fake = make_fake();
    fake.polls_before = 3;
    assert_int_equal(bb_io_read(&fake.io, BB_IO_SUPER, 0, buf, UNIT), 0);
    assert_int_equal(fake.polls_before, 0);
    fake.result = BB_ERR_SHORT_IO;
    assert_int_equal(bb_io_write(&fake.io, BB_IO_SUPER, 0, buf, UNIT), BB_ERR_SHORT_IO);
    fake.result = -EIO;
    assert_int_equal(bb_io_flush(&fake.io), -EIO);
}

static void failure_of_the_back_end_ends_a_blocking_helper(void **state)
{
    (void)state;
    struct fake fake = make_fake();
    fake.poll_result = BB_ERR_CANCELLED;
    assert_int_equal(bb_io_flush(&fake.io), BB_ERR_CANCELLED);
}

/* Submits in a child; true if that was taken for a bug. */
static bool aborts(struct bb_io_request request)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        struct fake fake = make_fake();
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        bb_io_submit(&fake.io, &request);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void request_that_no_device_could_take_is_a_bug(void **state)
{
    (void)state;
    struct bb_io_request good, bad;
    bb_io_prepare(&good, BB_IO_WRITE, BB_IO_DATA, 15 * UNIT, buf, UNIT, count_done);
    assert_false(aborts(good)); /* canary of aborts() */
    bad = good;
    bad.size = 2 * UNIT; /* past the end */
    assert_true(aborts(bad));
    bad = good;
    bad.offset = UINT64_MAX - 4095;
    assert_true(aborts(bad));
    bad = good;
    bad.offset += 512;
    assert_true(aborts(bad));
    bad = good;
    bad.size = 0;
    assert_true(aborts(bad));
    bad = good;
    bad.size = 512;
    assert_true(aborts(bad));
    bad = good;
    bad.buf = buf + 8;
    assert_true(aborts(bad));
    bad = good;
    bad.op = BB_IO_FLUSH; /* with a size */
    assert_true(aborts(bad));
    bad = good;
    bad.done = NULL;
    assert_true(aborts(bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_flight_is_what_was_submitted_and_is_not_done),
        cmocka_unit_test(blocking_helper_polls_until_its_own_request_is_done),
        cmocka_unit_test(failure_of_the_back_end_ends_a_blocking_helper),
        cmocka_unit_test(request_that_no_device_could_take_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
