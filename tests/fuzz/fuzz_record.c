/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target of journal records: peek at the first unit, decode of all units, every item.
 *
 * Input: one byte of flags, then the header (160 bytes) and items (48 bytes each):
 *   SEAL   the digest is made right
 *   FIT    the length is made to fit the number of items, as far as a record can have so many
 *   CYCLE  the items are repeated up to that number, so that a small input is a record of 16 units
 *
 * A second opinion says which bytes are a record. What decodes must encode to the same bytes; it
 * must be refused for another store, place and length. */
#include "input.h"

#include "bb/codec.h"
#include "bb/err.h"

#define DIGEST_OFFSET offsetof(struct bb_disk_record, digest)
#define ITEMS_OFFSET sizeof(struct bb_disk_record)
#define RECORD_SIZE_MAX (BB_RECORD_UNITS_MAX * BB_UNIT_SIZE)

enum { SEAL = 1, FIT = 2, CYCLE = 4 };

/* Repeats the items that came with the input; all of them if the input has none. */
static void cycle_items(uint8_t *buf, size_t given, uint32_t item_count)
{
    size_t whole = given / sizeof(struct bb_disk_item) * sizeof(struct bb_disk_item);
    if (whole == 0)
        return;
    size_t end = item_count * sizeof(struct bb_disk_item);
    memset(buf + ITEMS_OFFSET + whole, 0, RECORD_SIZE_MAX - ITEMS_OFFSET - whole);
    for (size_t at = whole; at < end; at++)
        buf[ITEMS_OFFSET + at] = buf[ITEMS_OFFSET + at - whole];
}

/* Lays the input out in `buf`; its length in units. */
static uint32_t build(struct input *input, uint8_t *buf)
{
    struct bb_disk_record *disk = (struct bb_disk_record *)buf;
    uint8_t flags = input_u8(input);
    size_t given = input->left > ITEMS_OFFSET ? input->left - ITEMS_OFFSET : 0;
    input_take(input, buf, RECORD_SIZE_MAX);
    uint32_t item_count = bb_le32_get(disk->item_count);
    if (item_count <= BB_RECORD_ITEMS_MAX) {
        if ((flags & FIT) != 0)
            disk->units = bb_le32_make(bb_record_units(item_count));
        if ((flags & CYCLE) != 0)
            cycle_items(buf, given, item_count);
    }
    uint32_t units = bb_le32_get(disk->units);
    if (units < 1 || units > BB_RECORD_UNITS_MAX)
        units = 1;
    if ((flags & SEAL) != 0)
        reseal(buf, (size_t)units * BB_UNIT_SIZE, DIGEST_OFFSET);
    return units;
}

/* Whether `units` units are a record, as format.h says. */
static bool second_opinion(const uint8_t *buf, uint32_t units)
{
    size_t size = (size_t)units * 4096;
    uint64_t epoch = u64_at(buf, 32), sequence = u64_at(buf, 40);
    uint32_t item_count = u32_at(buf, 136);
    if (memcmp(buf, "BBRECORD", 8) != 0 || u32_at(buf, 8) != 1 || u32_at(buf, 12) != units)
        return false;
    if (epoch == 0 || epoch >> 63 != 0 || sequence >> 63 != 0 || u32_at(buf, 140) != 0)
        return false;
    if (u64_at(buf, 56) > sequence || u64_at(buf, 80) > sequence) /* durable, anchor */
        return false;
    uint64_t used = 160 + 48 * (uint64_t)item_count;
    if (used > size || used + 4096 <= size || !sealed(buf, size, 144))
        return false;
    for (uint64_t at = 160; at < used; at += 48)
        if (buf[at] < 1 || buf[at] > 3 || !zeros_at(buf, at + 1, 3) ||
            u32_at(buf, at + 4) > 1048576)
            return false;
    return zeros_at(buf, used, size - used);
}

static void peeked_check(const struct bb_record *record)
{
    require(record->epoch >= 1, "no epoch");
    require(record->epoch <= BB_COUNTER_MAX && record->sequence <= BB_COUNTER_MAX, "counter");
    require(record->durable <= record->sequence, "durable above itself");
    require(record->anchor.sequence <= record->sequence, "anchor above itself");
    require(record->item_count <= BB_RECORD_ITEMS_MAX, "more items than a record holds");
    require(record->units == bb_record_units(record->item_count), "length does not fit the items");
}

static void refused(const void *buf, uint32_t units, const struct bb_uuid *store, uint64_t position,
                    const char *what)
{
    struct bb_record record;
    memset(&record, UNTOUCHED, sizeof(record));
    require(bb_record_decode(buf, units, store, position, &record) == BB_ERR_DAMAGED, what);
    require(is_untouched(&record, sizeof(record)), "output of a failure");
}

static void other_identity_check(const uint8_t *buf, const struct bb_record *record)
{
    struct bb_uuid other = record->store;
    other.bytes[record->sequence % sizeof(other.bytes)] ^= 0x10;
    refused(buf, record->units, &other, record->position, "record of another store");
    refused(buf, record->units, &record->store, record->position + 1, "record of another place");
    if (record->units > 1)
        refused(buf, record->units - 1, &record->store, record->position, "a shorter record");
}

static void decoded_check(const uint8_t *buf, const struct bb_record *record)
{
    size_t size = (size_t)record->units * BB_UNIT_SIZE;
    uint8_t *again = exact(size);
    struct bb_record copy = *record;
    memset(again, 0xee, size);
    for (uint32_t i = 0; i < record->item_count; i++) {
        struct bb_item item;
        require(bb_item_decode(buf, i, &item) == 0, "record with a bad item");
        require(item.op >= BB_ITEM_PUT && item.op <= BB_ITEM_MARK, "unknown operation");
        require(item.size <= BB_BLOCK_SIZE_MAX, "block above 1 MiB");
        bb_item_encode(&item, again, i);
    }
    copy.units = copy.item_count = 0;
    memset(&copy.digest, 0, sizeof(copy.digest));
    bb_record_encode(&copy, record->item_count, again);
    require(memcmp(again, buf, size) == 0, "encode(decode(x)) != x");
    require(copy.units == record->units, "encode says another length");
    require(bb_digest_equal(&copy.digest, &record->digest), "encode says another digest");
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t space[RECORD_SIZE_MAX];
    struct input input = {data, size};
    uint32_t units = build(&input, space);
    uint8_t *buf = exact((size_t)units * BB_UNIT_SIZE);
    memcpy(buf, space, (size_t)units * BB_UNIT_SIZE);

    struct bb_record peeked, record;
    const struct bb_disk_record *disk = (const struct bb_disk_record *)buf;
    memset(&peeked, UNTOUCHED, sizeof(peeked));
    memset(&record, UNTOUCHED, sizeof(record));
    int peek = bb_record_peek(buf, &peeked);
    int decode = bb_record_decode(buf, units, &disk->store, bb_le64_get(disk->position), &record);
    require(peek == 0 || peek == BB_ERR_DAMAGED, "another error than the contract says");
    require(decode == 0 || decode == BB_ERR_DAMAGED, "another error than the contract says");
    require((decode == 0) == second_opinion(buf, units), "a second opinion differs");
    if (peek == 0)
        peeked_check(&peeked);
    else
        require(is_untouched(&peeked, sizeof(peeked)), "output of a failure");
    if (decode == 0) {
        require(memcmp(&peeked, &record, sizeof(record)) == 0, "peek says something else");
        decoded_check(buf, &record);
        other_identity_check(buf, &record);
    } else {
        require(is_untouched(&record, sizeof(record)), "output of a failure");
    }
    require(memcmp(buf, space, (size_t)units * BB_UNIT_SIZE) == 0, "decode wrote to its input");
    free(buf);
    return 0;
}
