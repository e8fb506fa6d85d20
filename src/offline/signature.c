/* SPDX-License-Identifier: Apache-2.0
 * Signatures by libblkid's low-level probe, which sees one after the other, and our own. Owner: the
 * calling thread.
 *
 * libblkid reads with unaligned buffers, so it gets a file description of its own without O_DIRECT.
 * The claim stays with struct bb_device meanwhile.
 */
#include "bb/signature.h"

#include "bb/arena.h"
#include "bb/bits.h"
#include "bb/err.h"
#include "bb/lmdbindex.h"
#include "bb/superblock.h"
#include "bb/syncio.h"
#include "bb/text.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EDGE_SIZE ((uint64_t)BB_HEAD_SIZE)
#define METAS_SIZE (128 * BB_KIB)
#define WIPES_MAX 256u /* a device with more magics than that is not one we understand */

/* Mirrors of the btrfs superblock, which libblkid does not look for. */
static const uint64_t btrfs_mirrors[] = {64 * BB_MIB, 256 * BB_GIB};
#define BTRFS_MAGIC "_BHRfS_M"
#define BTRFS_MAGIC_OFFSET 64

BB_STATIC_ASSERT(BB_HEAD_SIZE == BB_TAIL_SIZE);

static int probe_open(const struct bb_device *device, int flags, blkid_probe *ret_probe,
                      int *ret_fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", device->fd);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    blkid_probe probe = blkid_new_probe();
    if (probe == NULL || blkid_probe_set_device(probe, fd, 0, 0) != 0) {
        blkid_free_probe(probe);
        close(fd);
        return -EIO;
    }
    blkid_probe_enable_superblocks(probe, 1);
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_TYPE |
                                                 BLKID_SUBLKS_BADCSUM);
    blkid_probe_enable_partitions(probe, 1);
    blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
    *ret_probe = probe;
    *ret_fd = fd;
    return 0;
}

static void probe_close(blkid_probe probe, int fd)
{
    blkid_free_probe(probe);
    close(fd);
}

static struct bb_signature *add(struct bb_signatures *signatures, uint64_t offset)
{
    if (signatures->count == BB_SIGNATURES_MAX)
        return &signatures->found[BB_SIGNATURES_MAX - 1];
    struct bb_signature *signature = &signatures->found[signatures->count++];
    signature->offset = offset;
    return signature;
}

static void describe(blkid_probe probe, struct bb_signatures *signatures)
{
    const char *name = "unknown", *offset = "0";
    if (blkid_probe_lookup_value(probe, "TYPE", &name, NULL) == 0)
        (void)blkid_probe_lookup_value(probe, "SBMAGIC_OFFSET", &offset, NULL);
    else if (blkid_probe_lookup_value(probe, "PTTYPE", &name, NULL) == 0)
        (void)blkid_probe_lookup_value(probe, "PTMAGIC_OFFSET", &offset, NULL);
    struct bb_signature *signature = add(signatures, strtoull(offset, NULL, 10));
    snprintf(signature->name, sizeof(signature->name), "%s", name);
}

static int find_foreign(const struct bb_device *device, struct bb_signatures *signatures)
{
    blkid_probe probe;
    int fd;
    int error = probe_open(device, O_RDONLY, &probe, &fd);
    if (error != 0)
        return error;
    int more;
    while ((more = blkid_do_probe(probe)) == 0 && signatures->count < BB_SIGNATURES_MAX)
        describe(probe, signatures);
    probe_close(probe, fd);
    return more < 0 ? -EIO : 0;
}

static void find_store(const struct bb_device *device, struct bb_signatures *signatures)
{
    struct bb_syncio sync;
    struct bb_super_copies copies;
    char uuid[37];
    bb_syncio_init(&sync, device);
    int error = bb_super_load(&sync.io, &copies);
    bool any = false;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++)
        any = any || copies.error[i] != BB_ERR_NOT_FORMATTED;
    if (!any)
        return;
    struct bb_signature *signature = add(signatures, bb_layout_super_offset(device->size, 1));
    if (error == 0 || error == BB_ERR_GEOMETRY)
        snprintf(signature->name, sizeof(signature->name), "Buddy Blocks store %s %s",
                 bb_text_of_uuid(&copies.super.store, uuid), copies.super.label);
    else
        snprintf(signature->name, sizeof(signature->name), "Buddy Blocks superblock");
}

static int find_index(const struct bb_device *device, struct bb_signatures *signatures,
                      uint8_t *buf)
{
    struct bb_lmdb_meta meta;
    if (device->size < METAS_SIZE)
        return 0;
    int error = bb_device_read(device, 0, buf, METAS_SIZE);
    if (error != 0)
        return error;
    if (bb_lmdb_check_metas(buf, METAS_SIZE, device->size, &meta) == BB_ERR_NOT_FORMATTED)
        return 0;
    struct bb_signature *signature = add(signatures, 0);
    signature->is_index = true;
    snprintf(signature->name, sizeof(signature->name), "LMDB environment (Buddy Blocks index)");
    return 0;
}

static uint64_t edge_size(const struct bb_device *device)
{
    return bb_min_u64(EDGE_SIZE, bb_align_down(device->size, BB_UNIT_SIZE));
}

static int look(const struct bb_device *device, struct bb_signatures *signatures, uint8_t *buf)
{
    int error = find_foreign(device, signatures);
    if (error != 0)
        return error;
    find_store(device, signatures);
    error = find_index(device, signatures, buf);
    if (error != 0)
        return error;
    error = bb_device_read(device, 0, buf, edge_size(device));
    if (error != 0)
        return error;
    signatures->nonzero_head = !bb_is_zero(buf, edge_size(device));
    return 0;
}

int bb_signature_find(const struct bb_device *device, struct bb_signatures *ret_signatures)
{
    struct bb_signatures signatures = {.count = 0};
    struct bb_arena arena;
    int error = bb_arena_open(EDGE_SIZE, false, false, &arena);
    if (error != 0)
        return error;
    uint8_t *buf = bb_arena_alloc(&arena, EDGE_SIZE, BB_UNIT_SIZE);
    BB_ASSERT(buf != NULL);
    error = look(device, &signatures, buf);
    bb_arena_close(&arena);
    if (error == 0)
        *ret_signatures = signatures;
    return error;
}

static int wipe_foreign(const struct bb_device *device)
{
    blkid_probe probe;
    int fd, more = 0;
    unsigned wiped = 0;
    int error = probe_open(device, O_RDWR, &probe, &fd);
    if (error != 0)
        return error;
    while (error == 0 && (more = blkid_do_probe(probe)) == 0) {
        if (++wiped > WIPES_MAX || blkid_do_wipe(probe, 0) != 0)
            error = -EIO;
    }
    if (error == 0 && more < 0)
        error = -EIO;
    if (error == 0 && fsync(fd) != 0)
        error = -errno;
    probe_close(probe, fd);
    return error;
}

static int wipe_btrfs_mirrors(const struct bb_device *device)
{
    _Alignas(BB_UNIT_SIZE) uint8_t unit[BB_UNIT_SIZE];
    for (size_t i = 0; i < sizeof(btrfs_mirrors) / sizeof(btrfs_mirrors[0]); i++) {
        if (btrfs_mirrors[i] + BB_UNIT_SIZE > device->size)
            continue;
        int error = bb_device_read(device, btrfs_mirrors[i], unit, sizeof(unit));
        if (error == 0 && memcmp(unit + BTRFS_MAGIC_OFFSET, BTRFS_MAGIC, strlen(BTRFS_MAGIC)) == 0)
            error = bb_device_zero(device, btrfs_mirrors[i], BB_UNIT_SIZE);
        if (error != 0)
            return error;
    }
    return 0;
}

static int wipe_edges(const struct bb_device *device)
{
    uint64_t edge = edge_size(device), end = bb_align_down(device->size, BB_UNIT_SIZE);
    uint64_t tail = bb_align_down(end - edge, BB_MIB);
    int error = bb_device_zero(device, 0, edge);
    return error != 0 ? error : bb_device_zero(device, tail, end - tail);
}

int bb_signature_wipe(const struct bb_device *device)
{
    struct bb_syncio sync;
    int error = 0;
    bb_syncio_init(&sync, device);
    if (device->size >= BB_HEAD_SIZE + BB_TAIL_SIZE)
        error = bb_super_wipe(&sync.io);
    if (error == 0)
        error = wipe_foreign(device);
    if (error == 0)
        error = wipe_btrfs_mirrors(device);
    if (error == 0)
        error = wipe_edges(device);
    return error != 0 ? error : bb_device_sync(device);
}
