/* SPDX-License-Identifier: Apache-2.0
 * What LMDB writes to a simulated index device (lmdbdev.h): the program defines the functions of
 * libc that the library calls, so that the dynamic linker binds both to these. Every other file is
 * passed on. Owner: the one thread of the program.
 *
 * LMDB 0.9.24 without WRITEMAP uses pwrite for a page of its own and for metas, lseek and writev
 * for several pages in a row, fdatasync for the flush; our own code pwrite and fsync.
 */
#include "lmdbdev.h"

#include "bb/assert.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

/* The next definition of a function in the order of the linker. */
#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (next == NULL) {                                                                            \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        BB_ASSERT(found != NULL);                                                                  \
        memcpy(&next, &found, sizeof(next));                                                       \
    }

void lmdbtap_link(void)
{
}

static ssize_t refuse(void)
{
    errno = EIO;
    return -1;
}

ssize_t pwrite(int fd, const void *buf, size_t size, off_t offset)
{
    NEXT(pwrite)
    struct lmdbdev *dev = lmdbdev_of(fd);
    if (dev == NULL) {
        return next(fd, buf, size, offset);
    }
    if (!lmdbdev_will_write(dev, buf, size, offset)) {
        return refuse();
    }
    ssize_t written = next(fd, buf, size, offset);
    BB_ASSERT(written == (ssize_t)size);
    lmdbdev_wrote(dev, fd);
    return written;
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    NEXT(writev)
    struct lmdbdev *dev = lmdbdev_of(fd);
    if (dev == NULL) {
        return next(fd, pieces, count);
    }
    static uint8_t bytes[256 * BB_IMAGE_UNIT_SIZE];
    size_t size = 0;
    off_t offset = lseek(fd, 0, SEEK_CUR);
    for (int i = 0; i < count; i++) {
        BB_ASSERT(size + pieces[i].iov_len <= sizeof(bytes));
        memcpy(bytes + size, pieces[i].iov_base, pieces[i].iov_len);
        size += pieces[i].iov_len;
    }
    if (!lmdbdev_will_write(dev, bytes, size, offset)) {
        return refuse();
    }
    ssize_t written = next(fd, pieces, count);
    BB_ASSERT(written == (ssize_t)size);
    lmdbdev_wrote(dev, fd);
    return written;
}

ssize_t write(int fd, const void *buf, size_t size)
{
    NEXT(write)
    BB_ASSERT(lmdbdev_of(fd) == NULL); /* nobody writes to the index like this */
    return next(fd, buf, size);
}

/* As on a filesystem that cannot: zeroes are written. */
int fallocate(int fd, int mode, off_t offset, off_t size)
{
    NEXT(fallocate)
    if (lmdbdev_of(fd) == NULL) {
        return next(fd, mode, offset, size);
    }
    errno = EOPNOTSUPP;
    return -1;
}

int fdatasync(int fd)
{
    NEXT(fdatasync)
    struct lmdbdev *dev = lmdbdev_of(fd);
    if (dev == NULL) {
        return next(fd);
    }
    return lmdbdev_flush(dev) ? 0 : (int)refuse();
}

int fsync(int fd)
{
    NEXT(fsync)
    struct lmdbdev *dev = lmdbdev_of(fd);
    if (dev == NULL) {
        return next(fd);
    }
    return lmdbdev_flush(dev) ? 0 : (int)refuse();
}
