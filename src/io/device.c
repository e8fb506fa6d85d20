/* SPDX-License-Identifier: Apache-2.0
 * Opening devices and files (device.h). No state of its own; a struct bb_device belongs to its
 * opener.
 *
 * Two claims, because each alone has a hole: O_EXCL keeps out mounts and other exclusive openers of
 * a block device but knows nothing of files; flock does files, and the partition scan of udev.
 */
#include "bb/device.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 50u
#define TRANSFER_MAX (1u << 20)
#define PIECE_MAX (256u * 1024)
#define DISCARD_GRANULARITY_MAX (1u << 30)

static int kind_of(const struct stat *status)
{
    return S_ISBLK(status->st_mode) || S_ISREG(status->st_mode) ? 0 : -ENOTBLK;
}

/* One attempt to open and claim. On BB_ERR_HELD *ret_locked says which of the two claims failed. */
static int open_once(const char *path, enum bb_device_mode mode, struct bb_device *device,
                     bool *ret_locked)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return -errno;
    if (kind_of(&status) != 0)
        return kind_of(&status); /* before open: a FIFO would block there */
    int flags = O_CLOEXEC | (mode == BB_DEVICE_EXCLUSIVE ? O_RDWR : O_RDONLY);
    if (mode != BB_DEVICE_READ && S_ISBLK(status.st_mode))
        flags |= O_EXCL;
    device->direct = true;
    int fd = open(path, flags | O_DIRECT);
    if (fd < 0 && errno == EINVAL && S_ISREG(status.st_mode)) {
        device->direct = false;
        fd = open(path, flags);
    }
    if (fd < 0) {
        *ret_locked = false;
        return errno == EBUSY ? BB_ERR_HELD : -errno;
    }
    int error = fstat(fd, &status) != 0 ? -errno : kind_of(&status);
    if (error == 0 && mode != BB_DEVICE_READ && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        *ret_locked = true;
        error = errno == EWOULDBLOCK ? BB_ERR_HELD : -errno;
    }
    if (error != 0) {
        close(fd);
        return error;
    }
    device->fd = fd;
    device->is_block = S_ISBLK(status.st_mode);
    device->number = device->is_block ? status.st_rdev : status.st_dev;
    device->inode = device->is_block ? 0 : status.st_ino;
    device->size = (uint64_t)status.st_size;
    return 0;
}

/* The largest request that the block layer does not split: a split one is handed to a kernel
 * thread. One segment less than allowed, because a buffer may start inside a page. */
static uint32_t find_piece_max(dev_t number)
{
    uint64_t piece = PIECE_MAX, limit;
    if (bb_sysfs_disk_number(number, "queue/max_sectors_kb", &limit))
        piece = bb_min_u64(piece, limit * 1024);
    if (bb_sysfs_disk_number(number, "queue/max_segments", &limit) && limit > 0)
        piece = bb_min_u64(piece, (limit - 1) * 4096);
    piece = bb_max_u64(piece, 4096);
    return 1u << bb_log2_floor(piece);
}

/* Multiples of 4096 throughout, as is everything that is discarded. */
static void read_discard_facts(struct bb_device *device)
{
    uint64_t max, granularity;
    device->discard_granularity = 4096;
    if (!bb_sysfs_disk_number(device->number, "queue/discard_max_bytes", &max) ||
        !bb_sysfs_disk_number(device->number, "queue/discard_granularity", &granularity) ||
        granularity > DISCARD_GRANULARITY_MAX)
        return;
    device->discard_granularity = (uint32_t)bb_align_up(bb_max_u64(granularity, 4096), 4096);
    if (max >= device->discard_granularity)
        device->discard_max = max - max % 4096;
}

static int read_block_facts(struct bb_device *device)
{
    int logical, read_only;
    unsigned physical;
    char text[32];
    if (ioctl(device->fd, BLKGETSIZE64, &device->size) != 0 ||
        ioctl(device->fd, BLKSSZGET, &logical) != 0 ||
        ioctl(device->fd, BLKPBSZGET, &physical) != 0 ||
        ioctl(device->fd, BLKROGET, &read_only) != 0)
        return -errno;
    if (logical > 4096)
        return BB_ERR_GEOMETRY;
    device->logical_sector = (uint32_t)logical;
    device->physical_sector = physical;
    device->read_only = read_only != 0;
    device->whole_disk = bb_sysfs_is_whole_disk(device->number);
    /* A cache that is not known of is taken for a volatile one. */
    device->write_back =
        !bb_sysfs_disk_text(device->number, "queue/write_cache", text, sizeof(text)) ||
        strcmp(text, "write through") != 0;
    if (!bb_sysfs_disk_text(device->number, "device/model", device->model, sizeof(device->model)))
        device->model[0] = '\0';
    read_discard_facts(device);
    static const char *const serials[] = {"device/serial", "serial", "device/wwid", "wwid"};
    for (size_t i = 0; i < sizeof(serials) / sizeof(serials[0]) && !device->serial[0]; i++)
        if (!bb_sysfs_disk_text(device->number, serials[i], device->serial, sizeof(device->serial)))
            device->serial[0] = '\0';
    return 0;
}

static void read_file_facts(struct bb_device *device, enum bb_device_mode mode)
{
    /* What a loop device on the file would say; transfers are 4096 aligned in any case. */
    device->logical_sector = 512;
    device->physical_sector = 4096;
    device->write_back = true;
    device->read_only = mode == BB_DEVICE_READ && access(device->path, W_OK) != 0;
}

static void pause_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR)
        continue;
}

static void say_what_is_waited_for(const char *path, bool locked, unsigned wait_ms,
                                   void (*on_wait)(const char *sentence))
{
    char sentence[800], mount[256];
    const char *what = "is held by another program", *where = "";
    struct stat status;
    if (locked) {
        what = "is locked by another program";
    } else if (stat(path, &status) == 0 &&
               bb_sysfs_find_mount(status.st_rdev, mount, sizeof(mount))) {
        what = "is mounted on ";
        where = mount;
    }
    snprintf(sentence, sizeof(sentence), "%s %s%s; waiting up to %u.%03u s for it", path, what,
             where, wait_ms / 1000, wait_ms % 1000);
    on_wait(sentence);
}

int bb_device_open(const char *path, enum bb_device_mode mode, unsigned wait_ms,
                   void (*on_wait)(const char *sentence), struct bb_device *ret_device)
{
    struct bb_device device = {.fd = -1};
    bool locked = false;
    size_t len = strlen(path);
    if (len >= sizeof(device.path))
        return -ENAMETOOLONG;
    memcpy(device.path, path, len + 1);

    int error = open_once(path, mode, &device, &locked);
    for (unsigned waited = 0; error == BB_ERR_HELD; waited += RETRY_MS) {
        if (waited == 0 && on_wait)
            say_what_is_waited_for(path, locked, wait_ms, on_wait);
        if (waited >= wait_ms)
            return BB_ERR_HELD;
        pause_ms(RETRY_MS);
        error = open_once(path, mode, &device, &locked);
    }
    if (error != 0)
        return error;

    if (device.is_block)
        error = read_block_facts(&device);
    else
        read_file_facts(&device, mode);
    if (error == 0 && device.read_only && mode == BB_DEVICE_EXCLUSIVE)
        error = -EROFS; /* open succeeds on a read-only block device, only writes fail */
    if (mode != BB_DEVICE_EXCLUSIVE)
        device.discard_max = 0;
    if (error != 0) {
        close(device.fd);
        return error;
    }
    device.read_only |= mode == BB_DEVICE_CLAIMED;
    device.piece_max = find_piece_max(device.number);
    BB_ASSERT(bb_is_power_of_two(device.piece_max));
    BB_ASSERT(device.piece_max >= 4096);
    BB_ASSERT(device.piece_max <= PIECE_MAX);
    *ret_device = device;
    return 0;
}

void bb_device_close(struct bb_device *device)
{
    BB_ASSERT(device->fd >= 0);
    /* Both claims end with the last reference to the open file, and a kernel worker that served the
     * last flush may have one for another moment. The lock at least can be given back now. */
    (void)flock(device->fd, LOCK_UN);
    close(device->fd);
    device->fd = -1;
}

int bb_device_sync(const struct bb_device *device)
{
    return fsync(device->fd) == 0 ? 0 : -errno;
}

bool bb_device_overlap(const struct bb_device *a, const struct bb_device *b)
{
    struct bb_sysfs_place of_a = {.number = a->number, .inode = a->inode};
    struct bb_sysfs_place of_b = {.number = b->number, .inode = b->inode};
    if (a->is_block)
        of_a = bb_sysfs_find_place(a->fd, a->number);
    if (b->is_block)
        of_b = bb_sysfs_find_place(b->fd, b->number);
    return of_a.number == of_b.number && of_a.inode == of_b.inode &&
           of_a.offset < of_b.offset + b->size && of_b.offset < of_a.offset + a->size;
}

static void check_range(const struct bb_device *device, uint64_t offset, uint64_t size)
{
    BB_ASSERT(bb_is_aligned(offset, 4096));
    BB_ASSERT(bb_is_aligned(size, 4096));
    BB_ASSERT(size <= device->size);
    BB_ASSERT(offset <= device->size - size);
}

int bb_device_read(const struct bb_device *device, uint64_t offset, void *buf, uint64_t size)
{
    check_range(device, offset, size);
    for (uint64_t done = 0; done < size;) {
        size_t part = bb_min_u64(size - done, TRANSFER_MAX);
        ssize_t got = pread(device->fd, (uint8_t *)buf + done, part, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : BB_ERR_SHORT_IO;
        done += (uint64_t)got;
    }
    return 0;
}

int bb_device_write(const struct bb_device *device, uint64_t offset, const void *buf, uint64_t size)
{
    check_range(device, offset, size);
    for (uint64_t done = 0; done < size;) {
        size_t part = bb_min_u64(size - done, TRANSFER_MAX);
        ssize_t put = pwrite(device->fd, (const uint8_t *)buf + done, part, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : BB_ERR_SHORT_IO;
        done += (uint64_t)put;
    }
    return 0;
}

static int zero_by_writing(const struct bb_device *device, uint64_t offset, uint64_t size)
{
    static uint8_t zeros[256 * 1024] __attribute__((aligned(4096)));
    for (uint64_t done = 0; done < size;) {
        uint64_t part = bb_min_u64(size - done, sizeof(zeros));
        int error = bb_device_write(device, offset + done, zeros, part);
        if (error != 0)
            return error;
        done += part;
    }
    return 0;
}

int bb_device_zero(const struct bb_device *device, uint64_t offset, uint64_t size)
{
    check_range(device, offset, size);
    if (size == 0)
        return 0;
    uint64_t range[2] = {offset, size};
    int result = device->is_block
                     ? ioctl(device->fd, BLKZEROOUT, range)
                     : fallocate(device->fd, FALLOC_FL_ZERO_RANGE, (off_t)offset, (off_t)size);
    if (result == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOTTY && errno != EINVAL)
        return -errno;
    return zero_by_writing(device, offset, size);
}

int bb_device_error(const struct bb_device *device, int error)
{
    uint64_t size;
    if (error != -ENOSPC || !device->is_block || ioctl(device->fd, BLKGETSIZE64, &size) != 0)
        return error;
    return size < device->size ? -ENXIO : error;
}

bool bb_device_zero_is_cheap(const struct bb_device *device)
{
    uint64_t bytes;
    return !device->is_block ||
           (bb_sysfs_disk_number(device->number, "queue/write_zeroes_max_bytes", &bytes) &&
            bytes > 0);
}

int bb_device_discard(const struct bb_device *device, uint64_t offset, uint64_t size)
{
    check_range(device, offset, size);
    if (!device->is_block)
        return -EOPNOTSUPP; /* a hole in a preallocated file is a later ENOSPC */
    uint64_t range[2] = {offset, size};
    return ioctl(device->fd, BLKDISCARD, range) == 0 ? 0 : -errno;
}
