/* SPDX-License-Identifier: Apache-2.0
 * What stands on a device already: filesystems, RAID and LVM members, partition tables (libblkid),
 * Buddy Blocks stores and indexes (our own readers). For bbformat and bbfsck --rebuild. Blocking;
 * the device is claimed by the caller.
 */
#ifndef BB_SIGNATURE_H
#define BB_SIGNATURE_H

#include "bb/device.h"

#define BB_SIGNATURES_MAX 16u

struct bb_signature {
    char name[80];   /* "ext4", "gpt", "Buddy Blocks store <uuid>" */
    uint64_t offset; /* bytes, of the magic */
    bool is_index;   /* an LMDB environment */
};

struct bb_signatures {
    struct bb_signature found[BB_SIGNATURES_MAX];
    unsigned count;
    bool nonzero_head; /* a byte of the first 8 MiB is not zero */
};

/* Looks only. The device may be open in either mode. */
BB_MUST_USE int bb_signature_find(const struct bb_device *device,
                                  struct bb_signatures *ret_signatures);

/* Erases every signature that libblkid or we know, wherever it lies, until none is found; then
 * zeroes the first and last 8 MiB, and syncs. The superblock copies go first. */
BB_MUST_USE int bb_signature_wipe(const struct bb_device *device);

#endif
