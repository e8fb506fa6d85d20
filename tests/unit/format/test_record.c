/* SPDX-License-Identifier: Apache-2.0
 * Journal records: golden bytes, every byte damaged, every field made impossible behind a valid
 * digest, every item count. */
#include "samples.h"

#define DIGEST_OFFSET offsetof(struct bb_disk_record, digest)
#define ITEMS_OFFSET sizeof(struct bb_disk_record)
#define POSITION 0x77

static uint8_t buf[BB_RECORD_UNITS_MAX * BB_UNIT_SIZE];

static struct bb_item sample_item(uint32_t index)
{
    struct bb_item item = {
        .op = (enum bb_item_op)(index % 3 + 1),
        .size = index * 1000 % (BB_BLOCK_SIZE_MAX + 1),
        .unit = 0x1000 + index * 256,
    };
    sample_run(&item.hash, sizeof(item.hash), index);
    return item;
}

/* Encodes item_count items into buf, which was full of rubbish before. */
static struct bb_record encode(uint32_t item_count)
{
    struct bb_record record = {
        .store = sample_uuid(0xa0),
        .epoch = 3,
        .sequence = 0x0102030405060710,
        .position = POSITION,
        .durable = 0x010203040506070f,
        .anchor = sample_anchor(),
    };
    sample_run(&record.previous, sizeof(record.previous), 0x30);
    memset(buf, 0xee, sizeof(buf));
    for (uint32_t i = 0; i < item_count; i++) {
        struct bb_item item = sample_item(i);
        bb_item_encode(&item, buf, i);
    }
    bb_record_encode(&record, item_count, buf);
    return record;
}

static int decode(uint32_t units, struct bb_record *ret_record)
{
    struct bb_uuid store = sample_uuid(0xa0);
    return bb_record_decode(buf, units, &store, POSITION, ret_record);
}

static void the_bytes_are_golden(void **state)
{
    (void)state;
    static const char used[] = "42425245434f52440100000001000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
                               "0300000000000000100706050403020177000000000000000f07060504030201"
                               "303132333435363738393a3b3c3d3e3f08070605040302012301000000000000"
                               "101112131415161718191a1b1c1d1e1f5544332211000000"
                               "202122232425262728292a2b2c2d2e2f0200000000000000"
                               "bb0f9732233f570dfd37fb40d5a32185"
                               "01000000000000000010000000000000"
                               "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                               "02000000e80300000011000000000000"
                               "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
    char text[2 * 256 + 1];
    encode(2);
    assert_string_equal(unit_hex(buf, 256, text), used);
    sample_expect(buf, 4096, "fcb497cfe10ac667ce5515a9a629be985bca79fc1c72ec72eb97424a57b76b24");
    encode(0);
    sample_expect(buf, 4096, "65e9346d4f49ad9de0b03bcdab791c0564d6ce5ba97716193804dc73fd92ac40");
    encode(100);
    sample_expect(buf, 8192, "ce0b51ed46fe5b4fa0592c031b358ad65a3f971bcfc39e6ce81ddb52d33da3d3");
}

static void units_follow_from_the_count(void **state)
{
    (void)state;
    assert_int_equal(bb_record_units(0), 1);
    assert_int_equal(bb_record_units(82), 1); /* 160 + 82 * 48 = 4096 */
    assert_int_equal(bb_record_units(83), 2);
    assert_int_equal(bb_record_units(BB_RECORD_ITEMS_MAX), BB_RECORD_UNITS_MAX);
    for (uint32_t count = 0; count <= BB_RECORD_ITEMS_MAX; count++) {
        size_t used = 160 + 48 * (size_t)count;
        assert_true(bb_record_units(count) * 4096 >= used);
        assert_true((bb_record_units(count) - 1) * 4096 < used);
    }
}

static void anchors_equal(const struct bb_anchor *a, const struct bb_anchor *b)
{
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->position, b->position);
    assert_true(bb_digest_equal(&a->digest, &b->digest));
    assert_true(bb_set_equal(&a->set, &b->set));
}

static void what_is_encoded_comes_back(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= BB_RECORD_ITEMS_MAX; count += count < 180 ? 1 : 97) {
        struct bb_record record = encode(count), back, peeked;
        assert_int_equal(record.units, bb_record_units(count));
        assert_int_equal(record.item_count, count);
        assert_int_equal(decode(record.units, &back), 0);
        assert_int_equal(bb_record_peek(buf, &peeked), 0);
        assert_memory_equal(&back.store, &record.store, sizeof(record.store));
        assert_int_equal(back.epoch, record.epoch);
        assert_int_equal(back.sequence, record.sequence);
        assert_int_equal(back.position, record.position);
        assert_int_equal(back.units, record.units);
        assert_int_equal(back.item_count, count);
        assert_int_equal(back.durable, record.durable);
        assert_true(bb_digest_equal(&back.previous, &record.previous));
        assert_true(bb_digest_equal(&back.digest, &record.digest));
        anchors_equal(&back.anchor, &record.anchor);
        assert_int_equal(peeked.units, record.units);
        assert_int_equal(peeked.sequence, record.sequence);
        for (uint32_t i = 0; i < count; i++) {
            struct bb_item item, expected = sample_item(i);
            assert_int_equal(bb_item_decode(buf, i, &item), 0);
            assert_int_equal(item.op, expected.op);
            assert_int_equal(item.size, expected.size);
            assert_int_equal(item.unit, expected.unit);
            assert_true(bb_hash_equal(&item.hash, &expected.hash));
        }
    }
}

static void the_anchor_has_golden_bytes_of_its_own(void **state)
{
    (void)state;
    struct bb_anchor anchor = sample_anchor(), back;
    struct bb_disk_anchor disk;
    char text[2 * sizeof(disk) + 1];
    bb_anchor_encode(&anchor, &disk);
    assert_string_equal(unit_hex(&disk, sizeof(disk), text),
                        "08070605040302012301000000000000101112131415161718191a1b1c1d1e1f"
                        "5544332211000000202122232425262728292a2b2c2d2e2f");
    bb_anchor_decode(&disk, &back);
    anchors_equal(&back, &anchor);
}

static void flips_are_refused(uint32_t item_count, size_t step)
{
    struct bb_record record = encode(item_count), ret, untouched;
    static uint8_t before[sizeof(buf)];
    memset(&untouched, 0x5a, sizeof(untouched));
    size_t size = record.units * BB_UNIT_SIZE;
    for (size_t i = 0; i < size; i += step) {
        uint8_t flip = (uint8_t)(i % 2 == 0 ? 0xff : 1u << i % 8);
        buf[i] ^= flip;
        memcpy(&ret, &untouched, sizeof(ret));
        memcpy(before, buf, size);
        assert_int_equal(decode(record.units, &ret), BB_ERR_DAMAGED);
        assert_memory_equal(&ret, &untouched, sizeof(ret));
        assert_memory_equal(before, buf, size);
        buf[i] ^= flip;
    }
    assert_int_equal(decode(record.units, &ret), 0);
}

static void every_damaged_byte_is_refused(void **state)
{
    (void)state;
    flips_are_refused(2, 1);
    flips_are_refused(100, 1); /* two units, with padding */
    flips_are_refused(BB_RECORD_ITEMS_MAX, 61);
}

struct field_case {
    size_t offset;
    size_t size;
    uint64_t value;
};

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        offsetof(struct bb_disk_record, name), sizeof(((struct bb_disk_record *)0)->name), value   \
    }
#define ITEM(name, value)                                                                          \
    {                                                                                              \
        ITEMS_OFFSET + offsetof(struct bb_disk_item, name),                                        \
            sizeof(((struct bb_disk_item *)0)->name), value                                        \
    }

static const struct field_case field_cases[] = {
    FIELD(magic, 0),
    FIELD(version, 0),
    FIELD(version, 2),
    FIELD(units, 0),
    FIELD(units, 1),
    FIELD(units, 3),
    FIELD(units, 17),
    FIELD(units, UINT32_MAX),
    FIELD(epoch, 0),
    FIELD(epoch, BB_COUNTER_MAX + 1),
    FIELD(sequence, BB_COUNTER_MAX + 1),
    FIELD(sequence, UINT64_MAX),
    FIELD(position, POSITION + 1),
    FIELD(durable, 0x0102030405060711), /* above its own sequence */
    FIELD(anchor.sequence, 0x0102030405060711),
    FIELD(item_count, 0), /* fits one unit only */
    FIELD(item_count, 82),
    FIELD(item_count, 99),  /* leaves an item in the padding */
    FIELD(item_count, 101), /* takes padding for an item */
    FIELD(item_count, 168),
    FIELD(item_count, BB_RECORD_ITEMS_MAX + 1),
    FIELD(item_count, UINT32_MAX),
    FIELD(reserved, 1),
    ITEM(op, 0),
    ITEM(op, 4),
    ITEM(op, 255),
    ITEM(flags, 1),
    ITEM(reserved, 1),
    ITEM(reserved, 0x8000),
    ITEM(size, BB_BLOCK_SIZE_MAX + 1),
    ITEM(size, UINT32_MAX),
};

static void impossible_fields_are_refused_behind_a_valid_digest(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(field_cases) / sizeof(field_cases[0]); i++) {
        const struct field_case *field = &field_cases[i];
        struct bb_record record = encode(100), ret;
        memcpy(buf + field->offset, &field->value, field->size);
        sample_reseal(buf, record.units * BB_UNIT_SIZE, DIGEST_OFFSET);
        if (decode(record.units, &ret) != BB_ERR_DAMAGED)
            fail_msg("case %zu (offset %zu) was accepted", i, field->offset);
    }
}

static void padding_must_be_zero_behind_a_valid_digest(void **state)
{
    (void)state;
    struct bb_record record = encode(100), ret;
    size_t size = record.units * BB_UNIT_SIZE;
    for (size_t i = ITEMS_OFFSET + 100 * sizeof(struct bb_disk_item); i < size; i++) {
        buf[i] = 1;
        sample_reseal(buf, size, DIGEST_OFFSET);
        assert_int_equal(decode(record.units, &ret), BB_ERR_DAMAGED);
        buf[i] = 0;
    }
    sample_reseal(buf, size, DIGEST_OFFSET);
    assert_int_equal(decode(record.units, &ret), 0);
}

static void every_item_is_looked_at(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        struct bb_record record = encode(100), ret;
        struct bb_item item;
        buf[ITEMS_OFFSET + i * sizeof(struct bb_disk_item)] = 9;
        sample_reseal(buf, record.units * BB_UNIT_SIZE, DIGEST_OFFSET);
        assert_int_equal(bb_item_decode(buf, i, &item), BB_ERR_DAMAGED);
        assert_int_equal(decode(record.units, &ret), BB_ERR_DAMAGED);
    }
}

static void fields_without_a_rule_may_change_behind_a_valid_digest(void **state)
{
    (void)state;
    const size_t free_offsets[] = {
        offsetof(struct bb_disk_record, epoch),
        offsetof(struct bb_disk_record, previous),
        offsetof(struct bb_disk_record, anchor.position),
        offsetof(struct bb_disk_record, anchor.digest),
        offsetof(struct bb_disk_record, anchor.count),
        offsetof(struct bb_disk_record, anchor.set_hash),
        ITEMS_OFFSET + offsetof(struct bb_disk_item, unit),
        ITEMS_OFFSET + offsetof(struct bb_disk_item, hash),
    };
    for (size_t i = 0; i < sizeof(free_offsets) / sizeof(free_offsets[0]); i++) {
        struct bb_record record = encode(100), ret;
        buf[free_offsets[i]] ^= 0x40;
        sample_reseal(buf, record.units * BB_UNIT_SIZE, DIGEST_OFFSET);
        assert_int_equal(decode(record.units, &ret), 0);
    }
}

static void a_record_of_another_store_or_place_or_length_is_refused(void **state)
{
    (void)state;
    struct bb_uuid store = sample_uuid(0xa0), other = sample_uuid(0xa1);
    struct bb_record ret;
    encode(100);
    assert_int_equal(bb_record_decode(buf, 2, &store, POSITION, &ret), 0);
    assert_int_equal(bb_record_decode(buf, 2, &other, POSITION, &ret), BB_ERR_DAMAGED);
    assert_int_equal(bb_record_decode(buf, 2, &store, POSITION + 1, &ret), BB_ERR_DAMAGED);
    assert_int_equal(bb_record_decode(buf, 1, &store, POSITION, &ret), BB_ERR_DAMAGED);
    assert_int_equal(bb_record_decode(buf, 3, &store, POSITION, &ret), BB_ERR_DAMAGED);
}

static void a_length_that_does_not_fit_the_items_is_refused(void **state)
{
    (void)state;
    struct bb_disk_record *disk = (struct bb_disk_record *)buf;
    struct bb_record ret;
    for (uint32_t claimed = 2; claimed <= 3;
         claimed++) { /* a unit of zeros more, inside the digest */
        encode(100);
        memset(buf + 2 * BB_UNIT_SIZE, 0, BB_UNIT_SIZE);
        disk->units = bb_le32_make(claimed);
        sample_reseal(buf, 3 * BB_UNIT_SIZE, DIGEST_OFFSET);
        assert_int_equal(decode(3, &ret), BB_ERR_DAMAGED);
    }
}

static void record_zero_may_carry_the_zero_anchor(void **state)
{
    (void)state;
    struct bb_record record = {.store = sample_uuid(0xa0), .epoch = 1}, ret;
    bb_record_encode(&record, 0, buf);
    assert_int_equal(bb_record_decode(buf, 1, &record.store, 0, &ret), 0);
    assert_int_equal(ret.sequence, 0);
    assert_int_equal(ret.anchor.set.count, 0);
}

static void peek_refuses_what_is_no_record(void **state)
{
    (void)state;
    struct bb_record ret;
    memset(buf, 0, sizeof(buf));
    assert_int_equal(bb_record_peek(buf, &ret), BB_ERR_DAMAGED);
    memset(buf, 0xff, sizeof(buf));
    assert_int_equal(bb_record_peek(buf, &ret), BB_ERR_DAMAGED);
    struct bb_random random;
    unit_seed(&random);
    for (int i = 0; i < 2000; i++) {
        bb_random_fill(&random, buf, 200);
        memcpy(buf, BB_RECORD_MAGIC, 8);
        assert_int_equal(bb_record_peek(buf, &ret), BB_ERR_DAMAGED);
    }
}

static void encode_too_many(void *argument)
{
    (void)argument;
    struct bb_record record = {.epoch = 1};
    bb_record_encode(&record, BB_RECORD_ITEMS_MAX + 1, buf);
}

static void encode_durable_above_itself(void *argument)
{
    (void)argument;
    struct bb_record record = {.epoch = 1, .sequence = 5, .durable = 6};
    bb_record_encode(&record, 0, buf);
}

static void encode_large_item(void *argument)
{
    (void)argument;
    struct bb_item item = {.op = BB_ITEM_PUT, .size = BB_BLOCK_SIZE_MAX + 1};
    bb_item_encode(&item, buf, 0);
}

static void encoding_the_impossible_aborts(void **state)
{
    (void)state;
    assert_true(unit_aborts(encode_too_many, NULL));
    assert_true(unit_aborts(encode_durable_above_itself, NULL));
    assert_true(unit_aborts(encode_large_item, NULL));
}

static void speed_is_printed(void **state)
{
    (void)state;
    enum { ROUNDS = 300 };
    const uint32_t counts[] = {1, 64, BB_RECORD_ITEMS_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct bb_record record = encode(counts[i]), ret;
        double start = unit_seconds();
        for (int round = 0; round < ROUNDS; round++)
            bb_record_encode(&record, counts[i], buf);
        double middle = unit_seconds();
        for (int round = 0; round < ROUNDS; round++)
            assert_int_equal(decode(record.units, &ret), 0);
        print_message("record of %u items: encode %.1f us, decode %.1f us\n", counts[i],
                      (middle - start) / ROUNDS * 1e6, (unit_seconds() - middle) / ROUNDS * 1e6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_golden),
        cmocka_unit_test(units_follow_from_the_count),
        cmocka_unit_test(what_is_encoded_comes_back),
        cmocka_unit_test(the_anchor_has_golden_bytes_of_its_own),
        cmocka_unit_test(every_damaged_byte_is_refused),
        cmocka_unit_test(impossible_fields_are_refused_behind_a_valid_digest),
        cmocka_unit_test(padding_must_be_zero_behind_a_valid_digest),
        cmocka_unit_test(every_item_is_looked_at),
        cmocka_unit_test(fields_without_a_rule_may_change_behind_a_valid_digest),
        cmocka_unit_test(a_record_of_another_store_or_place_or_length_is_refused),
        cmocka_unit_test(a_length_that_does_not_fit_the_items_is_refused),
        cmocka_unit_test(record_zero_may_carry_the_zero_anchor),
        cmocka_unit_test(peek_refuses_what_is_no_record),
        cmocka_unit_test(encoding_the_impossible_aborts),
        cmocka_unit_test(speed_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
