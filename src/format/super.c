/* SPDX-License-Identifier: Apache-2.0
 * The superblock: one unit that says what the rest of the device is. Pure.
 *
 * One rule, super_ok, says which contents are possible: encode asserts it, decode checks it. Which
 * of the four copies counts is decided elsewhere. */
#include "bb/bits.h"
#include "bb/codec.h"
#include "bb/err.h"
#include "bb/plant.h"

static bool layout_equal(const struct bb_layout *a, const struct bb_layout *b)
{
    return a->device_size == b->device_size && a->journal_offset == b->journal_offset &&
           a->journal_units == b->journal_units && a->zones_offset == b->zones_offset &&
           a->zone_size == b->zone_size && a->last_zone_size == b->last_zone_size &&
           a->tail_offset == b->tail_offset && a->zone_count == b->zone_count &&
           a->short_count == b->short_count &&
           (a->short_count == 0 ||
            memcmp(a->shorts, b->shorts, a->short_count * sizeof(a->shorts[0])) == 0);
}

static bool anchor_equal(const struct bb_anchor *a, const struct bb_anchor *b)
{
    return a->sequence == b->sequence && a->position == b->position &&
           bb_digest_equal(&a->digest, &b->digest) && bb_set_equal(&a->set, &b->set);
}

static bool uuid_equal(const struct bb_uuid *a, const struct bb_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* bb_layout_make_grown with the checks that it asserts, for sizes that come from a device. */
static int layout_from(uint64_t device_size, uint64_t journal_units, uint64_t zone_size,
                       const struct bb_short_zone *shorts, uint32_t short_count,
                       struct bb_layout *ret_layout)
{
    if (journal_units == 0 || journal_units > UINT64_MAX / BB_UNIT_SIZE ||
        !bb_is_aligned(journal_units * BB_UNIT_SIZE, BB_MIB))
        return BB_ERR_DAMAGED;
    if (!bb_is_power_of_two(zone_size) || zone_size < BB_ZONE_SIZE_MIN)
        return BB_ERR_DAMAGED;
    if (bb_layout_make_grown(device_size, journal_units * BB_UNIT_SIZE, zone_size, shorts,
                             short_count, ret_layout) != 0)
        return BB_ERR_DAMAGED;
    return 0;
}

static bool sectors_ok(uint32_t logical, uint32_t physical)
{
    return bb_is_power_of_two(logical) && logical >= 512 && logical <= BB_UNIT_SIZE &&
           bb_is_power_of_two(physical);
}

static bool super_ok(const struct bb_super *super)
{
    struct bb_layout layout;
    const struct bb_layout *says = &super->layout;
    if (layout_from(says->device_size, says->journal_units, says->zone_size, says->shorts,
                    says->short_count, &layout) != 0 ||
        !layout_equal(&layout, says))
        return false;
    if (super->must_understand != (says->short_count > 0 ? BB_SUPER_SHORT_ZONES : 0))
        return false;
    return sectors_ok(super->logical_sector, super->physical_sector) &&
           super->open_zone_count <= super->layout.zone_count && super->epoch >= 1 &&
           (super->clean || super->clean_sequence == 0) &&
           super->anchor.position < super->layout.journal_units;
}

void bb_super_encode(const struct bb_super *super, unsigned copy, struct bb_disk_super *ret_disk)
{
    BB_ASSERT(super_ok(super));
    size_t label_size = strnlen(super->label, sizeof(super->label));
    BB_ASSERT(label_size <= sizeof(ret_disk->label));

    const struct bb_layout *layout = &super->layout;
    *ret_disk = (struct bb_disk_super){
        .version = bb_le32_make(BB_FORMAT_VERSION),
        .copy = bb_le32_make(copy),
        .store = super->store,
        .index = super->index,
        .offset = bb_le64_make(bb_layout_super_offset(layout->device_size, copy)),
        .generation = bb_le64_make(super->generation),
        .must_understand = bb_le64_make(super->must_understand),
        .may_ignore = bb_le64_make(super->may_ignore),
        .device_size = bb_le64_make(layout->device_size),
        .logical_sector = bb_le32_make(super->logical_sector),
        .physical_sector = bb_le32_make(super->physical_sector),
        .journal_offset = bb_le64_make(layout->journal_offset),
        .journal_units = bb_le64_make(layout->journal_units),
        .zones_offset = bb_le64_make(layout->zones_offset),
        .zone_size = bb_le64_make(layout->zone_size),
        .zone_count = bb_le32_make(layout->zone_count),
        .open_zone_count = bb_le32_make(super->open_zone_count),
        .epoch = bb_le64_make(super->epoch),
        .epoch_first_sequence = bb_le64_make(super->epoch_first_sequence),
        .state = bb_le32_make(super->clean ? BB_SUPER_CLEAN : 0),
        .clean_sequence = bb_le64_make(super->clean_sequence),
    };
    memcpy(ret_disk->magic, BB_SUPER_MAGIC, sizeof(ret_disk->magic));
    memcpy(ret_disk->label, super->label, label_size);
    bb_anchor_encode(&super->anchor, &ret_disk->anchor);
    for (uint32_t i = 0; i < layout->short_count; i++) {
        ret_disk->shorts[i].index = bb_le32_make(layout->shorts[i].index);
        ret_disk->shorts[i].mib = bb_le32_make(layout->shorts[i].mib);
    }
    struct bb_digest digest;
    bb_digest_of_unit(ret_disk, sizeof(*ret_disk), offsetof(struct bb_disk_super, digest), &digest);
    ret_disk->digest = digest;
}

/* Magic, version and digest: whether these are the bytes that somebody encoded. */
static int seal_check(const struct bb_disk_super *disk)
{
    if (memcmp(disk->magic, BB_SUPER_MAGIC, sizeof(disk->magic)) != 0)
        return BB_ERR_NOT_FORMATTED;
    if (bb_le32_get(disk->version) != BB_FORMAT_VERSION)
        return BB_ERR_VERSION;
    struct bb_digest digest;
    bb_digest_of_unit(disk, sizeof(*disk), offsetof(struct bb_disk_super, digest), &digest);
    if (!bb_digest_equal(&digest, &disk->digest))
        return BB_ERR_DAMAGED;
    if ((bb_le64_get(disk->must_understand) & ~BB_SUPER_SHORT_ZONES) != 0)
        return BB_ERR_VERSION;
    return 0;
}

/* Start-up goes on counting from them. */
static bool counters_ok(const struct bb_super *super)
{
    return super->generation <= BB_COUNTER_MAX && super->epoch <= BB_COUNTER_MAX &&
           super->epoch_first_sequence <= BB_COUNTER_MAX &&
           super->clean_sequence <= BB_COUNTER_MAX && super->anchor.sequence <= BB_COUNTER_MAX;
}

/* The bytes that no field of struct bb_super carries. */
static bool rest_ok(const struct bb_disk_super *disk)
{
    size_t label_size = strnlen((const char *)disk->label, sizeof(disk->label));
    size_t label_rest = sizeof(disk->label) - label_size;
    return bb_le32_get(disk->state) <= BB_SUPER_CLEAN && bb_le32_get(disk->reserved_state) == 0 &&
           (label_rest == 0 || bb_is_zero(disk->label + label_size, label_rest)) &&
           bb_is_zero(disk->reserved, sizeof(disk->reserved));
}

/* The rows up to the first empty one; behind it all are empty. */
static int shorts_decode(const struct bb_disk_super *disk, struct bb_short_zone *ret_shorts,
                         uint32_t *ret_count)
{
    uint32_t count = 0;
    while (count < BB_SHORT_ZONES_MAX && bb_le32_get(disk->shorts[count].mib) != 0) {
        ret_shorts[count].index = bb_le32_get(disk->shorts[count].index);
        ret_shorts[count].mib = bb_le32_get(disk->shorts[count].mib);
        count++;
    }
    *ret_count = count;
    size_t rest = sizeof(disk->shorts) - count * sizeof(disk->shorts[0]);
    return rest == 0 || bb_is_zero(&disk->shorts[count], rest) ? 0 : BB_ERR_DAMAGED;
}

int bb_super_decode(const struct bb_disk_super *disk, uint64_t offset, unsigned copy,
                    struct bb_super *ret_super)
{
    int error = seal_check(disk);
    if (error != 0)
        return error;
    struct bb_super super = {
        .store = disk->store,
        .index = disk->index,
        .generation = bb_le64_get(disk->generation),
        .must_understand = bb_le64_get(disk->must_understand),
        .may_ignore = bb_le64_get(disk->may_ignore),
        .logical_sector = bb_le32_get(disk->logical_sector),
        .physical_sector = bb_le32_get(disk->physical_sector),
        .open_zone_count = bb_le32_get(disk->open_zone_count),
        .epoch = bb_le64_get(disk->epoch),
        .epoch_first_sequence = bb_le64_get(disk->epoch_first_sequence),
        .clean = bb_le32_get(disk->state) == BB_SUPER_CLEAN,
        .clean_sequence = bb_le64_get(disk->clean_sequence),
    };
    bb_anchor_decode(&disk->anchor, &super.anchor);
    memcpy(super.label, disk->label, sizeof(disk->label));
    struct bb_short_zone shorts[BB_SHORT_ZONES_MAX];
    uint32_t short_count;
    error = shorts_decode(disk, shorts, &short_count);
    if (error != 0)
        return error;
    error = layout_from(bb_le64_get(disk->device_size), bb_le64_get(disk->journal_units),
                        bb_le64_get(disk->zone_size), shorts, short_count, &super.layout);
    if (error != 0)
        return error;
    if (super.layout.journal_offset != bb_le64_get(disk->journal_offset) ||
        super.layout.zones_offset != bb_le64_get(disk->zones_offset) ||
        super.layout.zone_count != bb_le32_get(disk->zone_count))
        return BB_ERR_DAMAGED;
    if (!bb_planted(POSITION_UNCHECKED) &&
        (bb_le32_get(disk->copy) != copy || bb_le64_get(disk->offset) != offset ||
         bb_layout_super_offset(super.layout.device_size, copy) != offset))
        return BB_ERR_DAMAGED;
    if (!rest_ok(disk) || !super_ok(&super) || !counters_ok(&super))
        return BB_ERR_DAMAGED;
    *ret_super = super;
    return 0;
}

bool bb_super_equal(const struct bb_super *a, const struct bb_super *b)
{
    return uuid_equal(&a->store, &b->store) && uuid_equal(&a->index, &b->index) &&
           a->generation == b->generation && a->must_understand == b->must_understand &&
           a->may_ignore == b->may_ignore && layout_equal(&a->layout, &b->layout) &&
           a->logical_sector == b->logical_sector && a->physical_sector == b->physical_sector &&
           a->open_zone_count == b->open_zone_count && a->epoch == b->epoch &&
           a->epoch_first_sequence == b->epoch_first_sequence && a->clean == b->clean &&
           a->clean_sequence == b->clean_sequence && anchor_equal(&a->anchor, &b->anchor) &&
           strncmp(a->label, b->label, sizeof(a->label)) == 0;
}
