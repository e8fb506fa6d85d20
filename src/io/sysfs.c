/* SPDX-License-Identifier: Apache-2.0
 * Facts about block devices from sysfs (sysfs.h), and the way down from partitions and loop devices
 * to the disk or file that holds the bytes.
 */
#include "sysfs.h"

#include "bb/assert.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NESTING_MAX 8 /* loop on partition of loop ... */

bool bb_sysfs_text(dev_t number, const char *attribute, char *ret_text, size_t size)
{
    char path[160], line[512];
    BB_ASSERT(size > 0);
    int len = snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(number), minor(number),
                       attribute);
    BB_ASSERT(len > 0);
    BB_ASSERT((size_t)len < sizeof(path));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, line, sizeof(line) - 1);
    close(fd);
    if (got < 0)
        return false;
    line[got] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *begin = line;
    while (isspace((unsigned char)*begin))
        begin++;
    size_t rest = strlen(begin);
    while (rest > 0 && isspace((unsigned char)begin[rest - 1]))
        rest--;
    if (rest >= size)
        rest = size - 1;
    memcpy(ret_text, begin, rest);
    ret_text[rest] = '\0';
    return true;
}

bool bb_sysfs_number(dev_t number, const char *attribute, uint64_t *ret_value)
{
    char text[32], *end;
    if (!bb_sysfs_text(number, attribute, text, sizeof(text)))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return false;
    *ret_value = value;
    return true;
}

/* The directory of a partition lies inside the directory of its disk. */
static void disk_attribute(dev_t number, const char *attribute, char ret_name[static 64])
{
    int len = snprintf(ret_name, 64, "%s%s", bb_sysfs_is_partition(number) ? "../" : "", attribute);
    BB_ASSERT(len > 0);
    BB_ASSERT(len < 64);
}

bool bb_sysfs_disk_text(dev_t number, const char *attribute, char *ret_text, size_t size)
{
    char name[64];
    disk_attribute(number, attribute, name);
    return bb_sysfs_text(number, name, ret_text, size);
}

bool bb_sysfs_disk_number(dev_t number, const char *attribute, uint64_t *ret_value)
{
    char name[64];
    disk_attribute(number, attribute, name);
    return bb_sysfs_number(number, name, ret_value);
}

bool bb_sysfs_is_partition(dev_t number)
{
    uint64_t partition;
    return bb_sysfs_number(number, "partition", &partition);
}

bool bb_sysfs_is_whole_disk(dev_t number)
{
    static const char *const virtual[] = {"loop", "zram", "ram", "dm-", "nullb"};
    char path[64], target[512];
    if (bb_sysfs_is_partition(number))
        return false;
    int len = snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(number), minor(number));
    BB_ASSERT(len > 0);
    BB_ASSERT((size_t)len < sizeof(path));
    ssize_t got = readlink(path, target, sizeof(target) - 1);
    if (got <= 0)
        return true; /* unknown: the careful answer */
    target[got] = '\0';
    const char *slash = strrchr(target, '/');
    const char *name = slash ? slash + 1 : target;
    for (size_t i = 0; i < sizeof(virtual) / sizeof(virtual[0]); i++)
        if (strncmp(name, virtual[i], strlen(virtual[i])) == 0)
            return false;
    return true;
}

/* The disk that a partition is of. */
static bool find_disk(dev_t number, dev_t *ret_disk)
{
    char text[32];
    unsigned disk_major, disk_minor;
    if (!bb_sysfs_is_partition(number) || !bb_sysfs_text(number, "../dev", text, sizeof(text)) ||
        sscanf(text, "%u:%u", &disk_major, &disk_minor) != 2)
        return false;
    *ret_disk = makedev(disk_major, disk_minor);
    return true;
}

bool bb_sysfs_find_mount(dev_t number, char *ret_path, size_t size)
{
    char line[1024], path[256];
    unsigned mount_major, mount_minor;
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%*u %*u %u:%u %*s %255s", &mount_major, &mount_minor, path) != 3)
            continue;
        dev_t mounted = makedev(mount_major, mount_minor), disk;
        found = mounted == number || (find_disk(mounted, &disk) && disk == number);
    }
    fclose(file);
    if (found)
        snprintf(ret_path, size, "%s", path);
    return found;
}

static bool leave_partition(struct bb_sysfs_place *place)
{
    dev_t disk;
    uint64_t start;
    if (!find_disk(place->number, &disk) || !bb_sysfs_number(place->number, "start", &start))
        return false;
    place->offset += start * 512; /* sysfs counts in 512 bytes for every sector size */
    place->number = disk;
    return true;
}

/* From a loop device to its file or device. The ioctl knows the file itself; sysfs, for a loop
 * device that we do not have open, only a path that may be gone or mean another file. */
static bool leave_loop(int fd, struct bb_sysfs_place *place)
{
    struct loop_info64 info;
    if (fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0) {
        place->offset += info.lo_offset;
        place->number = info.lo_rdevice ? info.lo_rdevice : info.lo_device;
        place->inode = info.lo_rdevice ? 0 : info.lo_inode;
        return true;
    }
    char file[256];
    uint64_t offset;
    struct stat status;
    if (!bb_sysfs_text(place->number, "loop/backing_file", file, sizeof(file)) ||
        !bb_sysfs_number(place->number, "loop/offset", &offset) || stat(file, &status) != 0)
        return false;
    bool is_block = S_ISBLK(status.st_mode);
    place->offset += offset;
    place->number = is_block ? status.st_rdev : status.st_dev;
    place->inode = is_block ? 0 : status.st_ino;
    return true;
}

struct bb_sysfs_place bb_sysfs_find_place(int fd, dev_t number)
{
    struct bb_sysfs_place place = {.number = number};
    for (unsigned depth = 0; depth < NESTING_MAX && place.inode == 0; depth++) {
        bool is_loop = major(place.number) == LOOP_MAJOR;
        if (!leave_partition(&place) && !(is_loop && leave_loop(fd, &place)))
            break;
        fd = -1; /* it was open on the device that we have left */
    }
    return place;
}
