/* SPDX-License-Identifier: Apache-2.0
 * What bbformat writes to: a block device, an existing file, or a file it makes. Owner: the calling
 * thread.
 */
#include "target.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void target_init(struct target *target)
{
    *target = (struct target){.device = {.fd = -1}};
}

bool target_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

bool target_same(const char *a, const char *b)
{
    struct stat of_a, of_b;
    if (strcmp(a, b) == 0)
        return true;
    if (stat(a, &of_a) != 0 || stat(b, &of_b) != 0)
        return false;
    if (S_ISBLK(of_a.st_mode) && S_ISBLK(of_b.st_mode))
        return of_a.st_rdev == of_b.st_rdev;
    return of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

static int refuse_open(const struct target *target, int error, struct bb_explain *explain)
{
    switch (error) {
    case -EROFS:
        return bb_explain(explain, error, "%s: it is read-only, name a writable device",
                          target->path);
    case BB_ERR_HELD:
        return bb_explain(explain, error,
                          "%s: it is mounted or held by another program, unmount it or stop that "
                          "program",
                          target->path);
    case BB_ERR_GEOMETRY:
        return bb_explain(explain, error,
                          "%s: its sectors are larger than 4096 bytes, take another", target->path);
    case -ENOENT:
        return bb_explain(explain, error, "%s: there is no such device, --size makes a file of it",
                          target->path);
    case -ENOTBLK:
        return bb_explain(explain, error, "%s: neither a block device nor a regular file, name one",
                          target->path);
    default:
        return bb_explain(explain, error, "%s: cannot be opened: %s, check path and rights",
                          target->path, bb_err_text(error));
    }
}

static void look_for_holes(struct target *target)
{
    struct stat status;
    if (!target->device.is_block && fstat(target->device.fd, &status) == 0)
        target->sparse = (uint64_t)status.st_blocks * 512 < target->device.size;
}

int target_open(struct target *target, const char *role, const char *path, uint64_t size,
                const struct bb_format_options *options, struct bb_explain *explain)
{
    target->role = role;
    target->path = path;
    if (!target_exists(path) && size != 0) {
        target->absent = true;
        target->device.size = size;
        target->device.logical_sector = 512;
        target->device.physical_sector = BB_UNIT_SIZE;
        return 0;
    }
    int error = bb_device_open(path, BB_DEVICE_EXCLUSIVE, options->wait_ms, options->on_wait,
                               &target->device);
    if (error != 0) {
        target->device.fd = -1;
        return refuse_open(target, error, explain);
    }
    if (size != 0 && size != target->device.size)
        return bb_explain(explain, BB_ERR_REFUSED,
                          "%s: it exists with %llu bytes, leave the size out or remove the file",
                          path, (unsigned long long)target->device.size);
    look_for_holes(target);
    error = bb_signature_find(&target->device, &target->signatures);
    if (error != 0)
        return bb_explain(explain, error, "%s: reading it: %s, take another device", path,
                          bb_err_text(error));
    return 0;
}

static int make_file(const char *path, uint64_t size)
{
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int error = -posix_fallocate(fd, 0, (off_t)size);
    close(fd);
    if (error != 0)
        (void)unlink(path);
    return error;
}

int target_create(struct target *target, struct bb_explain *explain)
{
    if (!target->absent)
        return 0;
    int error = make_file(target->path, target->device.size);
    if (error == 0) {
        target->created = true;
        error = bb_device_open(target->path, BB_DEVICE_EXCLUSIVE, 0, NULL, &target->device);
    }
    if (error != 0) {
        target->device.fd = -1;
        return bb_explain(explain, error, "%s: making a file of %llu bytes: %s, take another place",
                          target->path, (unsigned long long)target->device.size,
                          bb_err_text(error));
    }
    target->absent = false;
    return 0;
}

void target_close(struct target *target, bool failed)
{
    if (target->device.fd >= 0)
        bb_device_close(&target->device);
    if (failed && target->created)
        (void)unlink(target->path);
}
