/* SPDX-License-Identifier: Apache-2.0
 * What sysfs says about a block device. Private to src/io. Any thread. A fact that cannot be read
 * is absent: false, and the result untouched.
 */
#ifndef BB_SYSFS_H
#define BB_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* First line of /sys/dev/block/MAJOR:MINOR/<attribute>, without blanks around it. */
bool bb_sysfs_text(dev_t number, const char *attribute, char *ret_text, size_t size);
bool bb_sysfs_number(dev_t number, const char *attribute, uint64_t *ret_value);

/* The same for an attribute of the whole disk, also when `number` is a partition of it. */
bool bb_sysfs_disk_text(dev_t number, const char *attribute, char *ret_text, size_t size);
bool bb_sysfs_disk_number(dev_t number, const char *attribute, uint64_t *ret_value);

bool bb_sysfs_is_partition(dev_t number);
/* Neither a partition nor one of the virtual devices that are made to be given away whole: loop,
 * zram, ram, device mapper, null_blk. */
bool bb_sysfs_is_whole_disk(dev_t number);

/* Where the device, or a partition of it, is mounted; as the kernel spells it. */
bool bb_sysfs_find_mount(dev_t number, char *ret_path, size_t size);

/* Where bytes of a block device really lie: on which disk or file, from which byte on. */
struct bb_sysfs_place {
    dev_t number; /* of the disk, or st_dev of the file */
    ino_t inode;  /* of the file, 0 for a disk */
    uint64_t offset;
};
/* Follows partitions and loop devices down. `fd` is open on the device. */
struct bb_sysfs_place bb_sysfs_find_place(int fd, dev_t number);

#endif
