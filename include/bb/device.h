/* SPDX-License-Identifier: Apache-2.0
 * Opening a block device or a preallocated regular file safely, and what can be known about it.
 *
 * Block devices: O_DIRECT, O_CLOEXEC and, when exclusive, O_EXCL (the kernel refuses a mounted or
 * held device and lets nobody mount it afterwards) plus flock. Regular files: O_DIRECT where the
 * filesystem has it, flock. Any thread; a struct bb_device belongs to its opener.
 */
#ifndef BB_DEVICE_H
#define BB_DEVICE_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bb_device {
    int fd;
    char path[256];
    bool is_block;
    bool direct;     /* O_DIRECT is in effect */
    bool write_back; /* it has a volatile cache, or does not say (files) */
    bool whole_disk; /* not a partition, file or virtual device (loop, zram, mapper) */
    bool read_only;
    dev_t number;  /* of the block device, or st_dev of the file */
    ino_t inode;   /* of the file, 0 for a block device */
    uint64_t size; /* bytes */
    uint32_t logical_sector;
    uint32_t physical_sector;
    uint32_t piece_max; /* largest request the device takes whole, bytes, power of two <= 256 KiB */
    uint32_t discard_granularity; /* bytes, multiple of 4096 */
    uint64_t discard_max;         /* bytes of one discard; 0: there is none, as for files */
    char model[64];               /* from sysfs, may be empty */
    char serial[64];
};

enum bb_device_mode {
    BB_DEVICE_READ = 0,      /* look only, no claim */
    BB_DEVICE_EXCLUSIVE = 1, /* read and write, claimed */
    BB_DEVICE_CLAIMED = 2,   /* read only, claimed all the same: one process for a device */
};

/* Opens `path`. A claim on a device that is held is tried again every 50 ms for up to wait_ms; on
 * the first refusal on_wait (may be NULL) is called once with a sentence. BB_ERR_HELD when it stays
 * held, BB_ERR_GEOMETRY for sectors above 4096, -ENOTBLK for neither device nor file, -EROFS
 * for a read-only one in exclusive mode, else -errno. ret_device is untouched on failure. */
BB_MUST_USE int bb_device_open(const char *path, enum bb_device_mode mode, unsigned wait_ms,
                               void (*on_wait)(const char *sentence), struct bb_device *ret_device);
void bb_device_close(struct bb_device *device);

/* What a transfer that ended with `error` really met: a write to a block device that has gone, or
 * has become smaller, ends with -ENOSPC, which is -ENXIO here, so that nobody takes it for full. */
int bb_device_error(const struct bb_device *device, int error);

/* fsync: everything written before is on stable storage, also what an earlier process wrote. */
BB_MUST_USE int bb_device_sync(const struct bb_device *device);

/* Whether bytes of a are bytes of b: the same device or file, a partition and its disk, loop
 * devices on one file, a loop device and its file or device. */
bool bb_device_overlap(const struct bb_device *a, const struct bb_device *b);

/* Whole-buffer transfers for tools; offset, size and buffer 4096 aligned. */
BB_MUST_USE int bb_device_read(const struct bb_device *device, uint64_t offset, void *buf,
                               uint64_t size);
BB_MUST_USE int bb_device_write(const struct bb_device *device, uint64_t offset, const void *buf,
                                uint64_t size);
/* Zeroes a range: BLKZEROOUT or FALLOC_FL_ZERO_RANGE, else by writing. */
BB_MUST_USE int bb_device_zero(const struct bb_device *device, uint64_t offset, uint64_t size);
/* True when zeroing a large range is cheap (write zeroes offload, or a regular file). */
bool bb_device_zero_is_cheap(const struct bb_device *device);
/* -EOPNOTSUPP where it is impossible, and for files: a hole there would be a later ENOSPC. */
BB_MUST_USE int bb_device_discard(const struct bb_device *device, uint64_t offset, uint64_t size);

#endif
