/* SPDX-License-Identifier: Apache-2.0
 * The blocking back end and the helpers of io.h, on a temporary file.
 */
#include "bb/syncio.h"

#include "bb/bits.h"
#include "bb/err.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define UNIT 4096u

struct world {
    struct bb_device device;
    struct bb_syncio sync;
    uint8_t *buf;
    char order[16];
    size_t order_count;
};

static struct world world;

static int set_up(void **state)
{
    char path[] = "/tmp/bb-syncio-XXXXXX";
    (void)state;
    world = (struct world){.device = {.fd = mkstemp(path), .size = BB_MIB, .logical_sector = 512}};
    assert_true(world.device.fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(world.device.fd, (off_t)BB_MIB), 0);
    world.buf = aligned_alloc(UNIT, 4 * UNIT);
    assert_non_null(world.buf);
    bb_syncio_init(&world.sync, &world.device);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(world.buf);
    close(world.device.fd);
    return 0;
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    memset(world.buf, 'w', 2 * UNIT);
    assert_int_equal(bb_io_write(&world.sync.io, BB_IO_DATA, 3 * UNIT, world.buf, 2 * UNIT), 0);
    assert_int_equal(bb_io_flush(&world.sync.io), 0);
    assert_int_equal(bb_io_read(&world.sync.io, BB_IO_DATA, 2 * UNIT, world.buf, 4 * UNIT), 0);
    assert_int_equal(world.buf[UNIT - 1], 0);
    assert_int_equal(world.buf[UNIT], 'w');
    assert_int_equal(world.buf[3 * UNIT - 1], 'w');
    assert_int_equal(world.buf[3 * UNIT], 0);
    assert_int_equal(world.sync.io.in_flight, 0);
}

static void short_read_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(ftruncate(world.device.fd, UNIT), 0); /* shrinks under our feet */
    assert_int_equal(bb_io_read(&world.sync.io, BB_IO_DATA, 0, world.buf, 2 * UNIT),
                     BB_ERR_SHORT_IO);
}

static void error_of_the_kernel_passes_through(void **state)
{
    (void)state;
    int fd = world.device.fd;
    world.device.fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_true(world.device.fd >= 0);
    assert_int_equal(bb_io_write(&world.sync.io, BB_IO_DATA, 0, world.buf, UNIT), -ENOSPC);
    assert_int_equal(bb_io_flush(&world.sync.io), -EINVAL);
    close(world.device.fd);
    world.device.fd = fd;
}

static struct bb_io_request requests[4];

static void note(struct bb_io_request *request)
{
    world.order[world.order_count++] = (char)('a' + (request - requests));
}

static void note_and_submit(struct bb_io_request *request)
{
    note(request);
    bb_io_submit(&world.sync.io, &requests[3]);
}

static void requests_run_in_order_and_only_inside_poll(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        bb_io_prepare(&requests[i], BB_IO_WRITE, BB_IO_DATA, i * UNIT, world.buf, UNIT,
                      i == 1 ? note_and_submit : note);
    for (unsigned i = 0; i < 3; i++)
        bb_io_submit(&world.sync.io, &requests[i]);
    assert_int_equal(world.order_count, 0);
    assert_int_equal(world.sync.io.in_flight, 3);
    assert_int_equal(bb_io_poll(&world.sync.io, true), 3);
    assert_string_equal(world.order, "abc"); /* d was submitted during the poll: next one */
    assert_int_equal(bb_io_poll(&world.sync.io, false), 1);
    assert_string_equal(world.order, "abcd");
    assert_int_equal(bb_io_poll(&world.sync.io, true), 0);
}

static void note_and_read(struct bb_io_request *request)
{
    assert_int_equal(bb_io_read(&world.sync.io, BB_IO_DATA, 0, world.buf + UNIT, UNIT), 0);
    note(request);
}

static void done_function_may_use_the_blocking_helpers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        bb_io_prepare(&requests[i], BB_IO_WRITE, BB_IO_DATA, i * UNIT, world.buf, UNIT,
                      i == 0 ? note_and_read : note);
        bb_io_submit(&world.sync.io, &requests[i]);
    }
    assert_true(bb_io_poll(&world.sync.io, true) >= 1);
    assert_string_equal(world.order, "ba"); /* b ran inside the poll of the helper */
    assert_int_equal(world.sync.io.in_flight, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_read_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(error_of_the_kernel_passes_through, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_run_in_order_and_only_inside_poll, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(done_function_may_use_the_blocking_helpers, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
