/* SPDX-License-Identifier: Apache-2.0
 * bbformat: what it refuses, what it leaves, and that nothing is written before it has decided.
 */
#include "devices.h"

#include "bb/pair.h"
#include "bb/superblock.h"
#include "bb/syncio.h"

#include <sys/mount.h>
#include <sys/wait.h>

#define SIZE (40 * BB_MIB)

static int format(const struct bb_format_options *options, struct bb_explain *explain)
{
    struct bb_format_result result;
    int error = bb_format_devices(options, &result, explain);
    assert_true(error == 0 || explain->text[0] != '\0');
    return error;
}

static int load(const char *path, struct bb_super_copies *copies)
{
    struct bb_device device;
    struct bb_syncio sync;
    assert_int_equal(bb_device_open(path, BB_DEVICE_READ, 0, NULL, &device), 0);
    bb_syncio_init(&sync, &device);
    int error = bb_super_load(&sync.io, copies);
    bb_device_close(&device);
    return error;
}

/* A formatted pair recovers; ret_recovered says what to. */
static void start(const struct devices *devices, struct bb_recovered *ret_recovered)
{
    struct bb_pair pair;
    struct bb_explain explain;
    struct bb_pair_options options = {
        .data_path = devices->data, .index_path = devices->index, .memory = BB_RECOVER_SCRATCH_MIN};
    assert_int_equal(bb_pair_open(&pair, &options, &explain), 0);
    assert_int_equal(bb_pair_open_index(&pair, false, &explain), 0);
    int error = bb_recover(&pair.config, ret_recovered, &explain);
    if (error != 0)
        fail_msg("%s", explain.text);
    bb_pair_close(&pair);
}

static void new_files_become_a_store_that_starts(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_format_result result;
    struct bb_explain explain;
    struct bb_recovered recovered;
    struct stat status;
    options.data_size = SIZE;
    options.label = "shelf";
    assert_int_equal(bb_format_devices(&options, &result, &explain), 0);
    assert_int_equal(stat(devices->data, &status), 0);
    assert_int_equal(status.st_size, SIZE);
    assert_true((uint64_t)status.st_blocks * 512 >= SIZE); /* preallocated */
    assert_int_equal(result.unit_count, 5 * 512); /* 23 MiB: five zones, 3 MiB are too few */
    assert_int_equal(result.super.open_zone_count, 0);
    start(devices, &recovered);
    assert_int_equal(recovered.super.epoch, 2);
    assert_string_equal(recovered.super.label, "shelf");
    start(devices, &recovered);
    assert_int_equal(recovered.super.epoch, 3);
}

static void dry_run_writes_nothing(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    struct stat status;
    options.data_size = SIZE;
    options.dry_run = true;
    assert_int_equal(format(&options, &explain), 0);
    assert_int_equal(stat(devices->data, &status), -1);
    devices_make_file(devices->data, SIZE);
    devices_make_file(devices->index, 16 * BB_MIB);
    options.data_size = 0;
    assert_int_equal(format(&options, &explain), 0);
    assert_int_equal(stat(devices->data, &status), 0);
    assert_int_equal(status.st_blocks, 0);
}

static void existing_store_needs_force(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    struct bb_super_copies before, after;
    options.data_size = SIZE;
    assert_int_equal(format(&options, &explain), 0);
    options.data_size = 0;
    assert_int_equal(load(devices->data, &before), 0);
    assert_int_equal(format(&options, &explain), BB_ERR_REFUSED);
    assert_non_null(strstr(explain.text, "Buddy Blocks store"));
    assert_int_equal(load(devices->data, &after), 0);
    assert_true(bb_super_equal(&before.super, &after.super));
    options.force = true;
    assert_int_equal(format(&options, &explain), 0);
    assert_int_equal(load(devices->data, &after), 0);
    assert_memory_not_equal(&before.super.store, &after.super.store, sizeof(struct bb_uuid));
    struct bb_recovered recovered;
    start(devices, &recovered);
}

static void foreign_signature_and_used_head_need_force_on_either_device(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    for (unsigned which = 0; which < 2; which++) {
        for (unsigned kind = 0; kind < 2; kind++) {
            devices_make_file(devices->data, SIZE);
            devices_make_file(devices->index, 16 * BB_MIB);
            const char *path = which == 0 ? devices->data : devices->index;
            if (kind == 0)
                devices_poke(path, 0, "LUKS\xba\xbe\0\1", 8);
            else
                devices_poke(path, 5 * BB_MIB, "somebody's bytes", 16);
            options.force = false;
            assert_int_equal(format(&options, &explain), BB_ERR_REFUSED);
            assert_non_null(strstr(explain.text, path));
            assert_non_null(strstr(explain.text, kind == 0 ? "LUKS" : "not zero"));
            options.force = true;
            assert_int_equal(format(&options, &explain), 0);
        }
    }
}

static void one_device_twice_is_refused_even_with_force(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    char link[128];
    devices_make_file(devices->data, SIZE);
    options.force = true;
    options.index_path = devices->data;
    assert_int_equal(format(&options, &explain), BB_ERR_REFUSED);
    snprintf(link, sizeof(link), "%s/link", devices->directory);
    assert_int_equal(symlink(devices->data, link), 0);
    options.index_path = link;
    assert_int_equal(format(&options, &explain), BB_ERR_REFUSED);
    assert_int_equal(unlink(link), 0);
}

static void held_file_is_refused_even_with_force(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_device device;
    struct bb_explain explain;
    options.force = true;
    devices_make_file(devices->data, SIZE);
    devices_make_file(devices->index, 16 * BB_MIB);
    for (unsigned which = 0; which < 2; which++) {
        assert_int_equal(bb_device_open(which == 0 ? devices->data : devices->index,
                                        BB_DEVICE_EXCLUSIVE, 0, NULL, &device),
                         0);
        assert_int_equal(format(&options, &explain), BB_ERR_HELD);
        bb_device_close(&device);
    }
    assert_int_equal(format(&options, &explain), 0);
}

static void size_of_an_existing_file_is_not_changed(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    devices_make_file(devices->data, SIZE);
    options.data_size = 2 * SIZE;
    options.force = true;
    assert_int_equal(format(&options, &explain), BB_ERR_REFUSED);
    options.data_size = SIZE;
    assert_int_equal(format(&options, &explain), 0);
}

static void sizes_that_make_no_sense_are_refused(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    struct stat status;
    options.data_size = SIZE;
    options.journal_size = BB_MIB + 4096;
    assert_int_equal(format(&options, &explain), BB_ERR_USAGE);
    options.journal_size = BB_MIB;
    options.zone_size = 5 * BB_MIB;
    assert_int_equal(format(&options, &explain), BB_ERR_USAGE);
    options.zone_size = 0; /* 1 GiB; what is left is a shorter zone */
    options.label = "a label of thirty-three bytes....";
    assert_int_equal(format(&options, &explain), BB_ERR_USAGE);
    options.label = NULL;
    options.data_size = 20 * BB_MIB;
    assert_int_equal(format(&options, &explain), BB_ERR_GEOMETRY);
    options.data_size = SIZE;
    options.index_size = BB_MIB;
    assert_int_equal(format(&options, &explain), BB_ERR_GEOMETRY);
    assert_int_equal(stat(devices->data, &status), -1); /* no file was left behind */
    options.index_size = 0;
    assert_int_equal(format(&options, &explain), 0);
}

static void missing_device_is_named(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    assert_int_equal(format(&options, &explain), -ENOENT);
    assert_non_null(strstr(explain.text, devices->data));
    options.data_path = "/dev/null";
    assert_int_equal(format(&options, &explain), -ENOTBLK);
}

static void read_only_device_is_refused(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    char loop[32];
    devices_make_file(devices->data, SIZE);
    devices_make_file(devices->index, 16 * BB_MIB);
    int fd = devices_attach(devices->data, 0, 0, true, loop, sizeof(loop));
    if (fd < 0)
        skip();
    options.data_path = loop;
    options.force = true;
    assert_int_equal(format(&options, &explain), -EROFS);
    close(fd);
}

static void overlapping_devices_are_refused(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    char first[32], second[32];
    devices_make_file(devices->data, 3 * SIZE);
    int a = devices_attach(devices->data, 0, SIZE, false, first, sizeof(first));
    if (a < 0)
        skip();
    options.force = true;
    options.data_path = first;
    int b = devices_attach(devices->data, SIZE / 2, SIZE, false, second, sizeof(second));
    assert_true(b >= 0);
    options.index_path = second;
    assert_int_equal(format(&options, &explain), BB_ERR_REFUSED);
    options.index_path = devices->data; /* the file below */
    assert_int_equal(format(&options, &explain), BB_ERR_REFUSED);
    close(b);
    b = devices_attach(devices->data, SIZE, SIZE, false, second, sizeof(second));
    assert_true(b >= 0);
    options.index_path = second; /* beside each other on one file */
    assert_int_equal(format(&options, &explain), 0);
    close(a);
    close(b);
}

static int run(const char *const *arguments)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void mounted_device_is_refused(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    char loop[32], directory[96];
    devices_make_file(devices->data, SIZE);
    devices_make_file(devices->index, 16 * BB_MIB);
    int fd = devices_attach(devices->data, 0, 0, false, loop, sizeof(loop));
    const char *const mkfs[] = {"mkfs.ext4", "-q", "-F", loop, NULL};
    if (fd < 0 || run(mkfs) != 0)
        skip();
    snprintf(directory, sizeof(directory), "%s/mount", devices->directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    options.data_path = loop;
    options.force = true;
    bool mounted = mount(loop, directory, "ext4", 0, NULL) == 0;
    if (mounted) {
        assert_int_equal(format(&options, &explain), BB_ERR_HELD);
        assert_int_equal(umount(directory), 0);
    }
    assert_int_equal(rmdir(directory), 0);
    /* no longer mounted: the filesystem is seen */
    options.force = false;
    options.wait_ms = 2000;
    assert_int_equal(format(&options, &explain), BB_ERR_REFUSED);
    assert_non_null(strstr(explain.text, "ext4"));
    options.force = true;
    assert_int_equal(format(&options, &explain), 0);
    close(fd);
    if (!mounted)
        skip();
}

/* The tail goes last: cut after any write of the wipe or before the last pair there is no store. */
static void wiped_copies_are_no_store(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_explain explain;
    struct bb_super_copies copies;
    struct bb_device device;
    struct bb_syncio sync;
    options.data_size = SIZE;
    assert_int_equal(format(&options, &explain), 0);
    assert_int_equal(bb_device_open(devices->data, BB_DEVICE_EXCLUSIVE, 0, NULL, &device), 0);
    bb_syncio_init(&sync, &device);
    assert_int_equal(bb_super_wipe(&sync.io), 0);
    bb_device_close(&device);
    assert_int_equal(load(devices->data, &copies), BB_ERR_NOT_FORMATTED);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, devices_setup, devices_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(new_files_become_a_store_that_starts),
        CASE(dry_run_writes_nothing),
        CASE(existing_store_needs_force),
        CASE(foreign_signature_and_used_head_need_force_on_either_device),
        CASE(one_device_twice_is_refused_even_with_force),
        CASE(held_file_is_refused_even_with_force),
        CASE(size_of_an_existing_file_is_not_changed),
        CASE(sizes_that_make_no_sense_are_refused),
        CASE(missing_device_is_named),
        CASE(read_only_device_is_refused),
        CASE(overlapping_devices_are_refused),
        CASE(mounted_device_is_refused),
        CASE(wiped_copies_are_no_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
