/* SPDX-License-Identifier: Apache-2.0
 * Opening and claiming of files and, as root, of loop devices that the test makes and takes away.
 */
#include "loops.h"

#include "bb/device.h"

#include "bb/bits.h"
#include "bb/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define UNIT 4096u
#define FILE_SIZE (4 * BB_MIB)

static char file_path[64];
static uint8_t *buf;

static int set_up(void **state)
{
    (void)state;
    snprintf(file_path, sizeof(file_path), "/tmp/bb-device-XXXXXX");
    int fd = mkstemp(file_path);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)FILE_SIZE), 0);
    close(fd);
    buf = aligned_alloc(UNIT, 4 * UNIT);
    return buf ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(buf);
    return unlink(file_path);
}

static struct bb_device open_or_fail(const char *path, enum bb_device_mode mode)
{
    struct bb_device device;
    int error = bb_device_open(path, mode, 0, NULL, &device);
    if (error != 0)
        fail_msg("%s: %s", path, bb_err_text(error));
    return device;
}

static int try_open(const char *path)
{
    struct bb_device device;
    int error = bb_device_open(path, BB_DEVICE_EXCLUSIVE, 0, NULL, &device);
    if (error == 0)
        bb_device_close(&device);
    return error;
}

/* ---- Files ---- */

static void file_is_described(void **state)
{
    (void)state;
    struct bb_device device = open_or_fail(file_path, BB_DEVICE_EXCLUSIVE);
    assert_false(device.is_block);
    assert_false(device.whole_disk);
    assert_false(device.read_only);
    assert_int_equal(device.size, FILE_SIZE);
    assert_int_equal(device.logical_sector, 512);
    assert_true(bb_is_power_of_two(device.piece_max));
    assert_in_range(device.piece_max, 4096, 256 * 1024);
    assert_true(bb_device_zero_is_cheap(&device));
    assert_int_equal(bb_device_discard(&device, 0, UNIT), -EOPNOTSUPP);
    bb_device_close(&device);
    assert_int_equal(device.fd, -1);
}

static unsigned waits;
static char first_sentence[512];

static void on_wait(const char *sentence)
{
    snprintf(first_sentence, sizeof(first_sentence), "%s", sentence);
    waits++;
}

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void locked_file_is_held(void **state)
{
    (void)state;
    struct bb_device device = open_or_fail(file_path, BB_DEVICE_EXCLUSIVE);
    struct bb_device second = {.fd = -7};
    uint64_t before = now_ms();
    waits = 0;
    assert_int_equal(bb_device_open(file_path, BB_DEVICE_EXCLUSIVE, 120, on_wait, &second),
                     BB_ERR_HELD);
    assert_true(now_ms() - before >= 120);
    assert_int_equal(waits, 1);
    assert_non_null(strstr(first_sentence, file_path));
    assert_non_null(strstr(first_sentence, "locked"));
    assert_int_equal(second.fd, -7); /* untouched */
    struct bb_device reader = open_or_fail(file_path, BB_DEVICE_READ);
    bb_device_close(&reader);
    bb_device_close(&device);
    assert_int_equal(try_open(file_path), 0);
}

static struct bb_device holder;

static void let_go(const char *sentence)
{
    (void)sentence;
    bb_device_close(&holder);
}

static void device_that_becomes_free_is_opened(void **state)
{
    (void)state;
    struct bb_device device;
    holder = open_or_fail(file_path, BB_DEVICE_EXCLUSIVE);
    assert_int_equal(bb_device_open(file_path, BB_DEVICE_EXCLUSIVE, 5000, let_go, &device), 0);
    bb_device_close(&device);
}

static void what_is_neither_device_nor_file_is_refused(void **state)
{
    (void)state;
    assert_int_equal(try_open("/dev/null"), -ENOTBLK);
    assert_int_equal(try_open("/tmp"), -ENOTBLK);
    assert_int_equal(try_open("/nonexistent"), -ENOENT);
    char fifo[80];
    snprintf(fifo, sizeof(fifo), "%s.fifo", file_path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(try_open(fifo), -ENOTBLK); /* and it does not wait for a writer */
    unlink(fifo);
    char name[400];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(try_open(name), -ENAMETOOLONG);
}

static void filesystem_without_direct_io_is_used_with_its_cache(void **state)
{
    (void)state;
    char path[] = "/dev/shm/bb-device-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0) {
        print_message("skipped: no /dev/shm\n");
        skip();
    }
    assert_int_equal(ftruncate(fd, (off_t)BB_MIB), 0);
    close(fd);
    struct bb_device device = open_or_fail(path, BB_DEVICE_EXCLUSIVE);
    memset(buf, 's', UNIT);
    assert_int_equal(bb_device_write(&device, UNIT, buf, UNIT), 0);
    assert_int_equal(bb_device_sync(&device), 0);
    assert_int_equal(bb_device_zero(&device, 0, 2 * UNIT), 0); /* by writing, where it has to */
    assert_int_equal(bb_device_read(&device, UNIT, buf, UNIT), 0);
    assert_int_equal(buf[0], 0);
    bb_device_close(&device);
    unlink(path);
}

static void a_claim_to_read_excludes_others_and_cannot_write(void **state)
{
    (void)state;
    assert_int_equal(chmod(file_path, 0444), 0);
    struct bb_device device = open_or_fail(file_path, BB_DEVICE_CLAIMED);
    struct bb_device second;
    assert_true(device.read_only);
    assert_int_equal(bb_device_read(&device, 0, buf, UNIT), 0);
    assert_int_equal(bb_device_write(&device, 0, buf, UNIT), -EBADF);
    assert_int_equal(bb_device_open(file_path, BB_DEVICE_CLAIMED, 0, NULL, &second), BB_ERR_HELD);
    assert_int_equal(chmod(file_path, 0600), 0);
    assert_int_equal(bb_device_open(file_path, BB_DEVICE_EXCLUSIVE, 0, NULL, &second), BB_ERR_HELD);
    bb_device_close(&device);
    device = open_or_fail(file_path, BB_DEVICE_EXCLUSIVE);
    assert_int_equal(bb_device_open(file_path, BB_DEVICE_CLAIMED, 0, NULL, &second), BB_ERR_HELD);
    bb_device_close(&device);
}

static void transfers_are_whole(void **state)
{
    (void)state;
    struct bb_device device = open_or_fail(file_path, BB_DEVICE_EXCLUSIVE);
    size_t size = 3 * BB_MIB; /* several system calls */
    uint8_t *big = aligned_alloc(UNIT, size), *back = aligned_alloc(UNIT, size);
    assert_true(big && back);
    for (size_t i = 0; i < size; i++)
        big[i] = (uint8_t)(i * 31 + i / UNIT);
    assert_int_equal(bb_device_write(&device, UNIT, big, size), 0);
    assert_int_equal(bb_device_read(&device, UNIT, back, size), 0);
    assert_memory_equal(big, back, size);
    assert_int_equal(bb_device_zero(&device, 2 * UNIT, UNIT), 0);
    assert_int_equal(bb_device_read(&device, UNIT, back, 3 * UNIT), 0);
    assert_memory_equal(back, big, UNIT);
    for (size_t i = 0; i < UNIT; i++)
        assert_int_equal(back[UNIT + i], 0);
    assert_memory_equal(back + 2 * UNIT, big + 2 * UNIT, UNIT);
    assert_int_equal(truncate(file_path, UNIT), 0);
    assert_int_equal(bb_device_read(&device, 0, back, 2 * UNIT), BB_ERR_SHORT_IO);
    free(big);
    free(back);
    bb_device_close(&device);
}

static void same_file_overlaps_by_any_name(void **state)
{
    (void)state;
    char link_path[80], other_path[] = "/tmp/bb-device-XXXXXX";
    snprintf(link_path, sizeof(link_path), "%s.link", file_path);
    assert_int_equal(link(file_path, link_path), 0);
    int fd = mkstemp(other_path);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)BB_MIB) == 0);
    close(fd);
    struct bb_device a = open_or_fail(file_path, BB_DEVICE_READ);
    struct bb_device b = open_or_fail(link_path, BB_DEVICE_READ);
    struct bb_device c = open_or_fail(other_path, BB_DEVICE_READ);
    assert_true(bb_device_overlap(&a, &b));
    assert_false(bb_device_overlap(&a, &c));
    bb_device_close(&a);
    bb_device_close(&b);
    bb_device_close(&c);
    unlink(link_path);
    unlink(other_path);
}

/* ---- Block devices ---- */

static void loop_device_is_described(void **state)
{
    (void)state;
    const unsigned sectors[] = {512, 4096};
    for (size_t i = 0; i < 2; i++) {
        struct loop loop = attach(file_path, 0, 0, sectors[i], 0);
        struct bb_device device = open_or_fail(loop.path, BB_DEVICE_EXCLUSIVE);
        assert_true(device.is_block);
        assert_true(device.direct);
        assert_false(device.whole_disk);
        assert_int_equal(device.size, FILE_SIZE);
        assert_int_equal(device.logical_sector, sectors[i]);
        assert_int_equal(major(device.number), 7);
        assert_int_equal(device.inode, 0);
        memset(buf, 'd', UNIT);
        assert_int_equal(bb_device_write(&device, 7 * UNIT, buf, UNIT), 0);
        memset(buf, 0, UNIT);
        assert_int_equal(bb_device_read(&device, 7 * UNIT, buf, UNIT), 0);
        assert_int_equal(buf[UNIT - 1], 'd');
        assert_int_equal(bb_device_zero(&device, 7 * UNIT, UNIT), 0);
        assert_int_equal(bb_device_read(&device, 7 * UNIT, buf, UNIT), 0);
        assert_int_equal(buf[UNIT - 1], 0);
        assert_int_equal(bb_device_sync(&device), 0);
        bb_device_close(&device);
        detach(&loop);
    }
}

static void exclusively_opened_device_is_held(void **state)
{
    (void)state;
    struct loop loop = attach(file_path, 0, 0, 512, 0);
    int fd = open(loop.path, O_RDWR | O_EXCL | O_CLOEXEC); /* what a mount does too */
    assert_true(fd >= 0);
    struct bb_device device;
    waits = 0;
    assert_int_equal(bb_device_open(loop.path, BB_DEVICE_EXCLUSIVE, 60, on_wait, &device),
                     BB_ERR_HELD);
    assert_int_equal(waits, 1);
    assert_non_null(strstr(first_sentence, "held"));
    close(fd);
    device = open_or_fail(loop.path, BB_DEVICE_EXCLUSIVE);
    assert_int_equal(open(loop.path, O_RDWR | O_EXCL | O_CLOEXEC), -1);
    assert_int_equal(errno, EBUSY);
    assert_int_equal(try_open(loop.path), BB_ERR_HELD);
    struct bb_device reader = open_or_fail(loop.path, BB_DEVICE_READ);
    bb_device_close(&reader);
    bb_device_close(&device);
    detach(&loop);
}

static void mounted_device_is_held_and_its_place_named(void **state)
{
    (void)state;
    char command[128], directory[] = "/tmp/bb-device-mount-XXXXXX", sentence[128];
    struct loop loop = attach(file_path, 0, 0, 512, 0);
    struct bb_device device;
    snprintf(command, sizeof(command), "mkfs.ext4 -q %s >/dev/null 2>&1", loop.path);
    assert_non_null(mkdtemp(directory));
    if (system(command) != 0 || mount(loop.path, directory, "ext4", 0, "") != 0) {
        rmdir(directory);
        detach(&loop);
        print_message("skipped: no mkfs.ext4, or mounting is not allowed\n");
        skip();
    }
    waits = 0;
    int error = bb_device_open(loop.path, BB_DEVICE_EXCLUSIVE, 0, on_wait, &device);
    assert_int_equal(umount(directory), 0);
    rmdir(directory);
    detach(&loop);
    assert_int_equal(error, BB_ERR_HELD);
    assert_int_equal(waits, 1);
    snprintf(sentence, sizeof(sentence), "is mounted on %s;", directory);
    assert_non_null(strstr(first_sentence, sentence));
}

static void locked_block_device_is_held(void **state)
{
    (void)state;
    struct loop loop = attach(file_path, 0, 0, 512, 0);
    int fd = open(loop.path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    assert_int_equal(try_open(loop.path), BB_ERR_HELD);
    close(fd);
    assert_int_equal(try_open(loop.path), 0);
    detach(&loop);
}

static void sectors_above_4096_are_refused(void **state)
{
    (void)state;
    struct loop loop = attach(file_path, 0, 0, 0, 0);
    if (ioctl(loop.fd, LOOP_SET_BLOCK_SIZE, 8192ul) != 0) {
        detach(&loop);
        print_message("skipped: this kernel makes no sectors of 8192 bytes\n");
        skip();
    }
    assert_int_equal(try_open(loop.path), BB_ERR_GEOMETRY);
    detach(&loop);
}

static void read_only_device_is_refused_for_writing(void **state)
{
    (void)state;
    struct loop loop = attach(file_path, 0, 0, 512, LO_FLAGS_READ_ONLY);
    struct bb_device device = open_or_fail(loop.path, BB_DEVICE_READ);
    assert_true(device.read_only);
    bb_device_close(&device);
    assert_int_equal(try_open(loop.path), -EROFS);
    device = open_or_fail(loop.path, BB_DEVICE_CLAIMED);
    struct bb_device second;
    assert_int_equal(bb_device_open(loop.path, BB_DEVICE_CLAIMED, 0, NULL, &second), BB_ERR_HELD);
    bb_device_close(&device);
    detach(&loop);
}

static void loop_devices_overlap_where_their_bytes_do(void **state)
{
    (void)state;
    struct loop whole = attach(file_path, 0, 0, 512, 0);
    struct loop front = attach(file_path, 0, BB_MIB, 512, 0);
    struct loop back = attach(file_path, BB_MIB, BB_MIB, 512, 0);
    struct loop nested = attach(back.path, 0, 65536, 512, 0);
    struct bb_device file = open_or_fail(file_path, BB_DEVICE_READ);
    struct bb_device a = open_or_fail(whole.path, BB_DEVICE_READ);
    struct bb_device b = open_or_fail(front.path, BB_DEVICE_READ);
    struct bb_device c = open_or_fail(back.path, BB_DEVICE_READ);
    struct bb_device d = open_or_fail(nested.path, BB_DEVICE_READ);
    assert_true(bb_device_overlap(&a, &a));
    assert_true(bb_device_overlap(&a, &b));
    assert_true(bb_device_overlap(&b, &a));
    assert_true(bb_device_overlap(&a, &c));
    assert_false(bb_device_overlap(&b, &c));
    assert_true(bb_device_overlap(&file, &b));
    assert_true(bb_device_overlap(&c, &file));
    assert_true(bb_device_overlap(&d, &c));
    assert_true(bb_device_overlap(&d, &a));
    assert_true(bb_device_overlap(&d, &file));
    assert_false(bb_device_overlap(&d, &b));
    bb_device_close(&file);
    bb_device_close(&a);
    bb_device_close(&b);
    bb_device_close(&c);
    bb_device_close(&d);
    detach(&nested);
    detach(&back);
    detach(&front);
    detach(&whole);
}

static bool add_partition(const struct loop *loop, int number, uint64_t offset, uint64_t size)
{
    struct blkpg_partition partition = {
        .start = (long long)offset, .length = (long long)size, .pno = number};
    struct blkpg_ioctl_arg arg = {
        .op = BLKPG_ADD_PARTITION, .datalen = sizeof(partition), .data = &partition};
    return ioctl(loop->fd, BLKPG, &arg) == 0;
}

static void partition_overlaps_its_disk_but_not_its_neighbour(void **state)
{
    (void)state;
    char first[48], second[48];
    struct loop loop = attach(file_path, 0, 0, 512, LO_FLAGS_PARTSCAN);
    snprintf(first, sizeof(first), "%sp1", loop.path);
    snprintf(second, sizeof(second), "%sp2", loop.path);
    if (!add_partition(&loop, 1, BB_MIB, BB_MIB) || !add_partition(&loop, 2, 2 * BB_MIB, BB_MIB) ||
        access(second, R_OK) != 0) {
        detach(&loop);
        print_message("skipped: no partitions on loop devices here\n");
        skip();
    }
    struct loop nested = attach(first, 0, 65536, 512, 0);
    struct bb_device disk = open_or_fail(loop.path, BB_DEVICE_READ);
    struct bb_device file = open_or_fail(file_path, BB_DEVICE_READ);
    struct bb_device a = open_or_fail(first, BB_DEVICE_READ);
    struct bb_device b = open_or_fail(second, BB_DEVICE_READ);
    struct bb_device inner = open_or_fail(nested.path, BB_DEVICE_READ);
    assert_int_equal(a.size, BB_MIB);
    assert_false(a.whole_disk);
    assert_int_equal(a.piece_max, disk.piece_max);
    assert_int_equal(a.write_back, disk.write_back);
    assert_true(bb_device_overlap(&a, &disk));
    assert_true(bb_device_overlap(&disk, &b));
    assert_false(bb_device_overlap(&a, &b));
    assert_true(bb_device_overlap(&a, &file));
    assert_true(bb_device_overlap(&inner, &a));
    assert_true(bb_device_overlap(&inner, &file));
    assert_false(bb_device_overlap(&inner, &b));
    bb_device_close(&inner);
    bb_device_close(&b);
    bb_device_close(&a);
    bb_device_close(&file);
    bb_device_close(&disk);
    detach(&nested);
    detach(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(file_is_described, set_up, tear_down),
        cmocka_unit_test_setup_teardown(locked_file_is_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(device_that_becomes_free_is_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_neither_device_nor_file_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(filesystem_without_direct_io_is_used_with_its_cache, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_claim_to_read_excludes_others_and_cannot_write, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(transfers_are_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_file_overlaps_by_any_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(loop_device_is_described, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exclusively_opened_device_is_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mounted_device_is_held_and_its_place_named, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(locked_block_device_is_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sectors_above_4096_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(read_only_device_is_refused_for_writing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(partition_overlaps_its_disk_but_not_its_neighbour, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(loop_devices_overlap_where_their_bytes_do, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
