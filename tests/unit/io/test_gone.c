/* SPDX-License-Identifier: Apache-2.0
 * A device that becomes smaller, or goes, under both back ends: never mistaken for one that is
 * full.
 */
#include "../offline/devices.h"

#include "bb/device.h"
#include "bb/err.h"
#include "bb/io.h"
#include "bb/ring.h"
#include "bb/syncio.h"

#include <errno.h>

#define SIZE (8u << 20)

static char file[64];
static uint8_t *unit_buf;

static int make_file(void **state)
{
    (void)state;
    snprintf(file, sizeof(file), "/tmp/bb-gone-%d", (int)getpid());
    devices_make_file(file, SIZE);
    unit_buf = aligned_alloc(BB_UNIT_SIZE, BB_UNIT_SIZE);
    memset(unit_buf, 7, BB_UNIT_SIZE);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    free(unit_buf);
    return unlink(file);
}

static int write_at(struct bb_io *io, uint64_t offset)
{
    return bb_io_write(io, BB_IO_DATA, offset, unit_buf, BB_UNIT_SIZE);
}

/* The device gets a quarter of its size; what lies behind that has gone. */
static void shrink(int loop)
{
    assert_int_equal(truncate(file, SIZE / 4), 0);
    assert_int_equal(ioctl(loop, LOOP_SET_CAPACITY, 0), 0);
}

static void check_gone(struct bb_io *io, int loop)
{
    assert_int_equal(write_at(io, SIZE / 2), 0);
    shrink(loop);
    assert_int_equal(write_at(io, 0), 0);
    assert_int_equal(write_at(io, SIZE / 2), -ENXIO);
    assert_int_equal(bb_io_read(io, BB_IO_DATA, SIZE / 2, unit_buf, BB_UNIT_SIZE), BB_ERR_SHORT_IO);
}

static void a_write_behind_the_new_end_is_not_taken_for_a_full_device(void **state)
{
    (void)state;
    for (unsigned ring_wanted = 0; ring_wanted < 2; ring_wanted++) {
        struct bb_device device;
        char path[64];
        assert_int_equal(truncate(file, SIZE), 0);
        int loop = devices_attach(file, 0, 0, false, path, sizeof(path));
        if (loop < 0) {
            print_message("skipped: no loop devices here\n");
            skip();
        }
        assert_int_equal(bb_device_open(path, BB_DEVICE_EXCLUSIVE, 0, NULL, &device), 0);
        if (ring_wanted) {
            struct bb_ring_config config = {
                .entries = 8, .device = &device, .device_in_flight_max = 8};
            struct bb_ring *ring;
            const char *reason;
            int error = bb_ring_open(&config, &ring, &reason);
            if (error == 0) {
                check_gone(bb_ring_io(ring), loop);
                bb_ring_close(ring);
            }
        } else {
            struct bb_syncio sync;
            bb_syncio_init(&sync, &device);
            check_gone(&sync.io, loop);
        }
        bb_device_close(&device);
        close(loop);
    }
}

static void a_full_file_is_full_and_other_errors_stay(void **state)
{
    (void)state;
    struct bb_device device = {.fd = -1, .size = SIZE};
    assert_int_equal(bb_device_error(&device, -ENOSPC), -ENOSPC);
    device.is_block = true; /* which nobody can ask for its size */
    assert_int_equal(bb_device_error(&device, -ENOSPC), -ENOSPC);
    assert_int_equal(bb_device_error(&device, -EIO), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_behind_the_new_end_is_not_taken_for_a_full_device),
        cmocka_unit_test(a_full_file_is_full_and_other_errors_stay),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
