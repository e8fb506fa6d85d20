/* SPDX-License-Identifier: Apache-2.0
 * Signatures that must be seen before a device is overwritten, and gone afterwards. They are made
 * by hand, the bytes that libblkid goes by, so that the test needs no other tools.
 */
#include "devices.h"

#include "bb/le.h"
#include "bb/signature.h"

#define SIZE (80 * BB_MIB)

static void put32(const char *path, uint64_t offset, uint32_t value)
{
    struct bb_le32 le = bb_le32_make(value);
    devices_poke(path, offset, &le, sizeof(le));
}

static void put64(const char *path, uint64_t offset, uint64_t value)
{
    struct bb_le64 le = bb_le64_make(value);
    devices_poke(path, offset, &le, sizeof(le));
}

static void make_luks(const char *path)
{
    devices_poke(path, 0, "LUKS\xba\xbe\0\1", 8);
}

static void make_lvm(const char *path)
{
    devices_poke(path, 512, "LABELONE", 8);
    put64(path, 520, 1);
    put32(path, 532, 32);
    devices_poke(path, 536, "LVM2 001", 8);
}

static void make_md(const char *path, uint64_t offset)
{
    put32(path, offset, 0xa92b4efc);
    put32(path, offset + 4, 1);
    put64(path, offset + 144, offset / 512);
}

static void make_md_in_front(const char *path)
{
    make_md(path, 4096);
}

static void make_md_at_the_end(const char *path)
{
    make_md(path, SIZE - 8192);
}

static void make_swap(const char *path)
{
    put32(path, 1024, 1);
    put32(path, 1028, 100);
    devices_poke(path, 4086, "SWAPSPACE2", 10);
}

static void make_btrfs_at(const char *path, uint64_t offset)
{
    devices_poke(path, offset + 64, "_BHRfS_M", 8);
    put32(path, offset + 144, 4096); /* sector and node size */
    put32(path, offset + 148, 16384);
}

static void make_btrfs(const char *path)
{
    make_btrfs_at(path, 64 * BB_KIB);
    make_btrfs_at(path, 64 * BB_MIB);
}

static void make_ext(const char *path)
{
    put32(path, 1024 + 4, SIZE / 4096);
    put32(path, 1024 + 24, 2);
    devices_poke(path, 1024 + 56, "\x53\xef", 2);
}

static void make_dos(const char *path)
{
    static const uint8_t entry[16] = {0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x80, 0, 0};
    devices_poke(path, 446, entry, sizeof(entry));
    devices_poke(path, 510, "\x55\xaa", 2);
}

struct sample {
    const char *name;
    void (*make)(const char *path);
};

static const struct sample samples[] = {
    {"crypto_LUKS", make_luks},
    {"LVM2_member", make_lvm},
    {"linux_raid_member", make_md_in_front},
    {"linux_raid_member", make_md_at_the_end},
    {"swap", make_swap},
    {"btrfs", make_btrfs},
    {"ext2", make_ext},
    {"dos", make_dos},
};
#define SAMPLE_COUNT (sizeof(samples) / sizeof(samples[0]))

static struct bb_signatures look(const char *path, bool wipe)
{
    struct bb_device device;
    struct bb_signatures signatures;
    assert_int_equal(bb_device_open(path, BB_DEVICE_EXCLUSIVE, 0, NULL, &device), 0);
    if (wipe)
        assert_int_equal(bb_signature_wipe(&device), 0);
    assert_int_equal(bb_signature_find(&device, &signatures), 0);
    bb_device_close(&device);
    return signatures;
}

static void blank_device_has_none(void **state)
{
    struct devices *devices = *state;
    devices_make_file(devices->data, SIZE);
    struct bb_signatures signatures = look(devices->data, false);
    assert_int_equal(signatures.count, 0);
    assert_false(signatures.nonzero_head);
    devices_poke(devices->data, 8 * BB_MIB - 1, "x", 1);
    assert_true(look(devices->data, false).nonzero_head);
    devices_make_file(devices->data, SIZE);
    devices_poke(devices->data, 8 * BB_MIB, "x", 1);
    assert_false(look(devices->data, false).nonzero_head);
}

static void each_kind_is_found_and_wiped(void **state)
{
    struct devices *devices = *state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        devices_make_file(devices->data, SIZE);
        samples[i].make(devices->data);
        struct bb_signatures signatures = look(devices->data, false);
        if (signatures.count == 0 || strcmp(signatures.found[0].name, samples[i].name) != 0)
            fail_msg("%s: found %u, %s", samples[i].name, signatures.count,
                     signatures.found[0].name);
        signatures = look(devices->data, true);
        assert_int_equal(signatures.count, 0);
        assert_false(signatures.nonzero_head);
    }
}

static void many_at_once_are_all_found_and_wiped(void **state)
{
    struct devices *devices = *state;
    devices_make_file(devices->data, SIZE);
    make_lvm(devices->data);
    make_md_in_front(devices->data);
    make_md_at_the_end(devices->data);
    make_btrfs(devices->data);
    make_swap(devices->data);
    assert_true(look(devices->data, false).count >= 4);
    assert_int_equal(look(devices->data, true).count, 0);
}

static void mirror_of_btrfs_is_wiped_too(void **state)
{
    struct devices *devices = *state;
    uint8_t magic[8];
    devices_make_file(devices->data, SIZE);
    make_btrfs(devices->data);
    (void)look(devices->data, true);
    int fd = open(devices->data, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, magic, sizeof(magic), 64 * BB_MIB + 64), sizeof(magic));
    assert_true(bb_is_zero(magic, sizeof(magic)));
    close(fd);
}

static void store_and_index_are_signatures(void **state)
{
    struct devices *devices = *state;
    struct bb_format_options options = devices_options(devices);
    struct bb_format_result result;
    struct bb_explain explain;
    options.data_size = 40 * BB_MIB;
    options.label = "attic";
    assert_int_equal(bb_format_devices(&options, &result, &explain), 0);
    struct bb_signatures signatures = look(devices->data, false);
    assert_int_equal(signatures.count, 1);
    assert_non_null(strstr(signatures.found[0].name, "attic"));
    assert_false(signatures.found[0].is_index);
    signatures = look(devices->index, false);
    assert_int_equal(signatures.count, 1);
    assert_true(signatures.found[0].is_index);
    assert_int_equal(look(devices->data, true).count, 0);
    assert_int_equal(look(devices->index, true).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blank_device_has_none, devices_setup, devices_teardown),
        cmocka_unit_test_setup_teardown(each_kind_is_found_and_wiped, devices_setup,
                                        devices_teardown),
        cmocka_unit_test_setup_teardown(many_at_once_are_all_found_and_wiped, devices_setup,
                                        devices_teardown),
        cmocka_unit_test_setup_teardown(mirror_of_btrfs_is_wiped_too, devices_setup,
                                        devices_teardown),
        cmocka_unit_test_setup_teardown(store_and_index_are_signatures, devices_setup,
                                        devices_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
