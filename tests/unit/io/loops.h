/* SPDX-License-Identifier: Apache-2.0
 * Loop devices of a test, for root. Included once per test program.
 */
#ifndef IO_LOOPS_H
#define IO_LOOPS_H

#include "../base/unit.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

struct loop {
    int fd;
    char path[32];
};

/* A loop device over part of a file or device. Skips the test where there is none to be had. */
static inline struct loop attach(const char *backing, uint64_t offset, uint64_t size,
                                 unsigned sector, unsigned flags)
{
    struct loop loop = {.fd = -1};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int file = open(backing, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    for (unsigned try = 0; control >= 0 && loop.fd < 0 && try < 32; try++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        snprintf(loop.path, sizeof(loop.path), "/dev/loop%d", number);
        loop.fd = open(loop.path, O_RDWR | O_CLOEXEC);
        if (loop.fd < 0)
            break;
        struct loop_config config = {.fd = (unsigned)file, .block_size = sector};
        config.info.lo_flags =
            LO_FLAGS_AUTOCLEAR | flags; /* gone with its last opener, come what may */
        config.info.lo_offset = offset;
        config.info.lo_sizelimit = size;
        if (ioctl(loop.fd, LOOP_CONFIGURE, &config) != 0) { /* somebody was faster */
            close(loop.fd);
            loop.fd = -1;
        }
    }
    close(file);
    if (control >= 0)
        close(control);
    if (loop.fd < 0) {
        print_message(
            "skipped: no loop device can be attached (root and /dev/loop-control needed)\n");
        skip();
    }
    return loop;
}

static inline void detach(struct loop *loop)
{
    close(loop->fd);
}

#endif
