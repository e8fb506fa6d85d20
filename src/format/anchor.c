/* SPDX-License-Identifier: Apache-2.0
 * The anchor as it stands in superblocks and records. What it points to is checked by recovery, its
 * bytes by the digest of the unit around it. Pure. */
#include "bb/codec.h"

void bb_anchor_encode(const struct bb_anchor *anchor, struct bb_disk_anchor *ret_disk)
{
    *ret_disk = (struct bb_disk_anchor){
        .sequence = bb_le64_make(anchor->sequence),
        .position = bb_le64_make(anchor->position),
        .digest = anchor->digest,
        .count = bb_le64_make(anchor->set.count),
        .set_hash = anchor->set.sum,
    };
}

void bb_anchor_decode(const struct bb_disk_anchor *disk, struct bb_anchor *ret_anchor)
{
    *ret_anchor = (struct bb_anchor){
        .sequence = bb_le64_get(disk->sequence),
        .position = bb_le64_get(disk->position),
        .digest = disk->digest,
        .set = {.count = bb_le64_get(disk->count), .sum = disk->set_hash},
    };
}
