/* SPDX-License-Identifier: Apache-2.0
 * Files and loop devices for the tests of the offline tools, in a directory of the test's own.
 * Included once per test program.
 */
#ifndef BB_TEST_DEVICES_H
#define BB_TEST_DEVICES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bb/bits.h"
#include "bb/device.h"
#include "bb/err.h"
#include "bb/format_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct devices {
    char directory[64];
    char data[96], index[96]; /* files in it, not made yet */
};

static inline int devices_setup(void **state)
{
    struct devices *devices = calloc(1, sizeof(*devices));
    snprintf(devices->directory, sizeof(devices->directory), "/tmp/bb-test-XXXXXX");
    if (mkdtemp(devices->directory) == NULL)
        return -1;
    snprintf(devices->data, sizeof(devices->data), "%s/data", devices->directory);
    snprintf(devices->index, sizeof(devices->index), "%s/index", devices->directory);
    *state = devices;
    return 0;
}

static inline int devices_teardown(void **state)
{
    struct devices *devices = *state;
    (void)unlink(devices->data);
    (void)unlink(devices->index);
    int left = rmdir(devices->directory); /* nothing else was left behind */
    free(devices);
    return left;
}

static inline void devices_make_file(const char *path, uint64_t size)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static inline void devices_poke(const char *path, uint64_t offset, const void *bytes, size_t size)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
    assert_int_equal(fsync(fd), 0);
    close(fd);
}

/* A loop device over part of a file; -1 where there are none. It goes when the descriptor closes.
 */
static inline int devices_attach(const char *file, uint64_t offset, uint64_t size, bool read_only,
                                 char *ret_path, size_t path_size)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1;
    int backing = open(file, O_RDWR | O_CLOEXEC);
    for (unsigned try = 0; control >= 0 && backing >= 0 && fd < 0 && try < 32; try++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        snprintf(ret_path, path_size, "/dev/loop%d", number);
        fd = open(ret_path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            break;
        struct loop_config config = {.fd = (unsigned)backing, .block_size = 512};
        config.info.lo_offset = offset;
        config.info.lo_sizelimit = size;
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0);
        if (ioctl(fd, LOOP_CONFIGURE, &config) != 0) { /* somebody was faster */
            close(fd);
            fd = -1;
        }
    }
    if (backing >= 0)
        close(backing);
    if (control >= 0)
        close(control);
    return fd;
}

/* Options for small files. */
static inline struct bb_format_options devices_options(const struct devices *devices)
{
    return (struct bb_format_options){.data_path = devices->data,
                                      .index_path = devices->index,
                                      .journal_size = BB_MIB,
                                      .zone_size = BB_ZONE_SIZE_MIN};
}

#endif
