/* SPDX-License-Identifier: Apache-2.0
 * Journal records and their items. Pure; works in the caller's buffer, which on the way in is never
 * written to.
 *
 *   unit 0         | header 160 | item 0 | item 1 ...      an item may straddle two units
 *   unit units-1   ... item n-1 | zero padding        |    the digest covers all of it */
#include "bb/bits.h"
#include "bb/codec.h"
#include "bb/err.h"
#include "bb/plant.h"

static size_t item_offset(uint32_t index)
{
    BB_ASSERT(index <= BB_RECORD_ITEMS_MAX);
    return sizeof(struct bb_disk_record) + index * sizeof(struct bb_disk_item);
}

uint32_t bb_record_units(uint32_t item_count)
{
    uint64_t units = bb_div_ceil(item_offset(item_count), BB_UNIT_SIZE);
    BB_ASSERT(units <= BB_RECORD_UNITS_MAX);
    return (uint32_t)units;
}

/* What holds for every record that was ever written. */
static bool record_ok(const struct bb_record *record)
{
    return record->epoch >= 1 && record->durable <= record->sequence &&
           record->anchor.sequence <= record->sequence;
}

void bb_record_encode(struct bb_record *record, uint32_t item_count, void *buf)
{
    BB_ASSERT(item_count <= BB_RECORD_ITEMS_MAX);
    BB_ASSERT(record_ok(record));
    uint32_t units = bb_record_units(item_count);
    size_t size = (size_t)units * BB_UNIT_SIZE;
    size_t used = item_offset(item_count);
    memset((uint8_t *)buf + used, 0, size - used);

    struct bb_disk_record *disk = buf;
    *disk = (struct bb_disk_record){
        .version = bb_le32_make(BB_FORMAT_VERSION),
        .units = bb_le32_make(units),
        .store = record->store,
        .epoch = bb_le64_make(record->epoch),
        .sequence = bb_le64_make(record->sequence),
        .position = bb_le64_make(record->position),
        .durable = bb_le64_make(record->durable),
        .previous = record->previous,
        .item_count = bb_le32_make(item_count),
    };
    memcpy(disk->magic, BB_RECORD_MAGIC, sizeof(disk->magic));
    bb_anchor_encode(&record->anchor, &disk->anchor);
    record->units = units;
    record->item_count = item_count;
    bb_digest_of_unit(buf, bb_planted(PADDING_UNDIGESTED) ? used : size,
                      offsetof(struct bb_disk_record, digest), &record->digest);
    disk->digest = record->digest;
}

void bb_item_encode(const struct bb_item *item, void *buf, uint32_t index)
{
    BB_ASSERT(index < BB_RECORD_ITEMS_MAX);
    BB_ASSERT(item->op >= BB_ITEM_PUT && item->op <= BB_ITEM_MARK);
    BB_ASSERT(item->size <= BB_BLOCK_SIZE_MAX);
    struct bb_disk_item disk = {
        .op = (uint8_t)item->op,
        .size = bb_le32_make(item->size),
        .unit = bb_le64_make(item->unit),
        .hash = item->hash,
    };
    memcpy((uint8_t *)buf + item_offset(index), &disk, sizeof(disk));
}

int bb_item_decode(const void *buf, uint32_t index, struct bb_item *ret_item)
{
    BB_ASSERT(index < BB_RECORD_ITEMS_MAX);
    struct bb_disk_item disk;
    memcpy(&disk, (const uint8_t *)buf + item_offset(index), sizeof(disk));
    if (disk.op < BB_ITEM_PUT || disk.op > BB_ITEM_MARK)
        return BB_ERR_DAMAGED;
    if (disk.flags != 0 || bb_le16_get(disk.reserved) != 0)
        return BB_ERR_DAMAGED;
    if (bb_le32_get(disk.size) > BB_BLOCK_SIZE_MAX)
        return BB_ERR_DAMAGED;
    *ret_item = (struct bb_item){
        .op = (enum bb_item_op)disk.op,
        .size = bb_le32_get(disk.size),
        .unit = bb_le64_get(disk.unit),
        .hash = disk.hash,
    };
    return 0;
}

int bb_record_peek(const void *unit, struct bb_record *ret_record)
{
    const struct bb_disk_record *disk = unit;
    if (memcmp(disk->magic, BB_RECORD_MAGIC, sizeof(disk->magic)) != 0)
        return BB_ERR_DAMAGED;
    if (bb_le32_get(disk->version) != BB_FORMAT_VERSION || bb_le32_get(disk->reserved) != 0)
        return BB_ERR_DAMAGED;
    struct bb_record record = {
        .store = disk->store,
        .epoch = bb_le64_get(disk->epoch),
        .sequence = bb_le64_get(disk->sequence),
        .position = bb_le64_get(disk->position),
        .units = bb_le32_get(disk->units),
        .item_count = bb_le32_get(disk->item_count),
        .durable = bb_le64_get(disk->durable),
        .previous = disk->previous,
        .digest = disk->digest,
    };
    bb_anchor_decode(&disk->anchor, &record.anchor);
    if (record.item_count > BB_RECORD_ITEMS_MAX ||
        record.units != bb_record_units(record.item_count))
        return BB_ERR_DAMAGED;
    /* the other sequences of a record are not above its own */
    if (!record_ok(&record) || record.epoch > BB_COUNTER_MAX || record.sequence > BB_COUNTER_MAX)
        return BB_ERR_DAMAGED;
    *ret_record = record;
    return 0;
}

static int items_check(const void *buf, uint32_t item_count)
{
    for (uint32_t i = 0; i < item_count; i++) {
        struct bb_item item;
        int error = bb_item_decode(buf, i, &item);
        if (error != 0)
            return error;
    }
    return 0;
}

int bb_record_decode(const void *buf, uint32_t units, const struct bb_uuid *store,
                     uint64_t position, struct bb_record *ret_record)
{
    BB_ASSERT(units >= 1 && units <= BB_RECORD_UNITS_MAX);
    struct bb_record record;
    int error = bb_record_peek(buf, &record);
    if (error != 0)
        return error;
    if (record.units != units || (record.position != position && !bb_planted(POSITION_UNCHECKED)) ||
        (memcmp(record.store.bytes, store->bytes, sizeof(store->bytes)) != 0 &&
         !bb_planted(UUID_UNCHECKED)))
        return BB_ERR_DAMAGED;

    size_t size = (size_t)units * BB_UNIT_SIZE;
    struct bb_digest digest;
    bb_digest_of_unit(buf, bb_planted(PADDING_UNDIGESTED) ? item_offset(record.item_count) : size,
                      offsetof(struct bb_disk_record, digest), &digest);
    if (!bb_digest_equal(&digest, &record.digest))
        return BB_ERR_DAMAGED;
    size_t used = item_offset(record.item_count);
    if (used < size && !bb_is_zero((const uint8_t *)buf + used, size - used))
        return BB_ERR_DAMAGED;
    error = items_check(buf, record.item_count);
    if (error != 0)
        return error;
    *ret_record = record;
    return 0;
}
