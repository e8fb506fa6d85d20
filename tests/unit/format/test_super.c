/* SPDX-License-Identifier: Apache-2.0
 * The superblock: golden bytes, every byte damaged, every field made impossible behind a valid
 * digest. */
#include "samples.h"

#define DIGEST_OFFSET offsetof(struct bb_disk_super, digest)

static struct bb_super sample(void)
{
    struct bb_super super = {
        .store = sample_uuid(0xa0),
        .index = sample_uuid(0xb0),
        .generation = 7,
        .may_ignore = 5,
        .logical_sector = 512,
        .physical_sector = 4096,
        .open_zone_count = 2,
        .epoch = 3,
        .epoch_first_sequence = 0x0102030405060709,
        .clean = true,
        .clean_sequence = 0x0102030405061111,
        .anchor = sample_anchor(),
        .label = "golden label",
    };
    assert_int_equal(bb_layout_make(BB_GIB + 512 * BB_KIB, 8 * BB_MIB, 256 * BB_MIB, &super.layout),
                     0);
    return super;
}

static uint64_t offset_of_copy(const struct bb_super *super, unsigned copy)
{
    return bb_layout_super_offset(super->layout.device_size, copy);
}

static void the_bytes_are_golden(void **state)
{
    (void)state;
    static const char used[] = "424253555045520a0100000001000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
                               "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf00000100000000000700000000000000"
                               "0000000000000000050000000000000000000840000000000002000000100000"
                               "0000800000000000000800000000000000000001000000000000001000000000"
                               "0400000002000000030000000000000009070605040302010100000000000000"
                               "1111060504030201080706050403020123010000000000001011121314151617"
                               "18191a1b1c1d1e1f5544332211000000202122232425262728292a2b2c2d2e2f"
                               "676f6c64656e206c6162656c0000000000000000000000000000000000000000"
                               "65b3d57bd486e469c22be89d7ce638e1";
    static const char *const whole[BB_SUPER_COPY_COUNT] = {
        "6fd8683f87182587196779eadb583f3600d42762304609bca036058bc3ca3d6f",
        "939e84dac6538dbfa0efb9acfda68aff51997ec752074e181a4f84a37d4115ee",
        "a84b398a508349ce07e590fe6ee0e558113fbdf4e95bd3d8045dfc69fb29d2f0",
        "bc963f62e2b3e65e987e2b3d3763d9bb8d4dba53d32fded3ebce810c15ccbabb",
    };
    struct bb_super super = sample();
    struct bb_disk_super disk;
    char text[2 * 272 + 1];
    memset(&disk, 0xff, sizeof(disk));
    bb_super_encode(&super, 1, &disk);
    assert_string_equal(unit_hex(&disk, 272, text), used);
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        bb_super_encode(&super, copy, &disk);
        sample_expect(&disk, sizeof(disk), whole[copy - 1]);
    }
}

static void what_is_encoded_comes_back(void **state)
{
    (void)state;
    struct bb_super super = sample();
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        struct bb_disk_super disk;
        struct bb_super back;
        bb_super_encode(&super, copy, &disk);
        assert_int_equal(bb_super_decode(&disk, offset_of_copy(&super, copy), copy, &back), 0);
        assert_true(bb_super_equal(&super, &back));
        assert_string_equal(back.label, "golden label");
    }
}

static void a_label_may_fill_its_field(void **state)
{
    (void)state;
    struct bb_super super = sample(), back;
    struct bb_disk_super disk;
    memcpy(super.label, "12345678901234567890123456789012", 33);
    bb_super_encode(&super, 1, &disk);
    assert_int_equal(bb_super_decode(&disk, offset_of_copy(&super, 1), 1, &back), 0);
    assert_string_equal(back.label, super.label);
    memset(super.label, 0, sizeof(super.label));
    bb_super_encode(&super, 1, &disk);
    assert_int_equal(bb_super_decode(&disk, offset_of_copy(&super, 1), 1, &back), 0);
    assert_string_equal(back.label, "");
}

static void every_damaged_byte_is_refused(void **state)
{
    (void)state;
    struct bb_super super = sample();
    struct bb_disk_super disk;
    bb_super_encode(&super, 1, &disk);
    uint64_t offset = offset_of_copy(&super, 1);
    const uint8_t flips[] = {0x01, 0x80, 0xff};
    struct bb_super untouched, ret;
    memset(&untouched, 0x5a, sizeof(untouched));
    for (size_t i = 0; i < sizeof(disk); i++) {
        int expected = i < 8 ? BB_ERR_NOT_FORMATTED : i < 12 ? BB_ERR_VERSION : BB_ERR_DAMAGED;
        for (size_t k = 0; k < sizeof(flips); k++) {
            ((uint8_t *)&disk)[i] ^= flips[k];
            memcpy(&ret, &untouched, sizeof(ret));
            assert_int_equal(bb_super_decode(&disk, offset, 1, &ret), expected);
            assert_memory_equal(&ret, &untouched, sizeof(ret));
            ((uint8_t *)&disk)[i] ^= flips[k];
        }
    }
    assert_int_equal(bb_super_decode(&disk, offset, 1, &ret), 0);
}

struct field_case {
    size_t offset;
    size_t size;
    uint64_t value;
    int expected;
};

#define FIELD(name, value, expected)                                                               \
    {                                                                                              \
        offsetof(struct bb_disk_super, name), sizeof(((struct bb_disk_super *)0)->name), value,    \
            expected                                                                               \
    }
#define DAMAGED(name, value) FIELD(name, value, BB_ERR_DAMAGED)

static const struct field_case field_cases[] = {
    FIELD(version, 0, BB_ERR_VERSION),
    FIELD(version, 2, BB_ERR_VERSION),
    FIELD(must_understand, 2, BB_ERR_VERSION),
    DAMAGED(must_understand, 1),    /* without a short zone */
    DAMAGED(shorts[0], 4ull << 32), /* without the feature bit */
    DAMAGED(shorts[1], 4ull << 32),
    FIELD(must_understand, 1ull << 63, BB_ERR_VERSION),
    DAMAGED(copy, 0),
    DAMAGED(copy, 2),
    DAMAGED(copy, 5),
    DAMAGED(offset, 0),
    DAMAGED(offset, 4 << 20),
    DAMAGED(device_size, 0),
    DAMAGED(device_size, 1ull << 20),
    DAMAGED(device_size, 4ull << 30),
    DAMAGED(device_size, UINT64_MAX),
    DAMAGED(logical_sector, 0),
    DAMAGED(logical_sector, 256),
    DAMAGED(logical_sector, 520),
    DAMAGED(logical_sector, 8192),
    DAMAGED(physical_sector, 0),
    DAMAGED(physical_sector, 4095),
    DAMAGED(journal_offset, 0),
    DAMAGED(journal_offset, 9 << 20),
    DAMAGED(journal_units, 0),
    DAMAGED(journal_units, 1),
    DAMAGED(journal_units, 2048 + 256),
    DAMAGED(journal_units, 1ull << 52),
    DAMAGED(journal_units, UINT64_MAX),
    DAMAGED(zones_offset, 0),
    DAMAGED(zones_offset, 17 << 20),
    DAMAGED(zone_size, 0),
    DAMAGED(zone_size, 1 << 20),
    DAMAGED(zone_size, 100 << 20),
    DAMAGED(zone_size, 128 << 20),
    DAMAGED(zone_size, 1ull << 63),
    DAMAGED(zone_count, 0),
    DAMAGED(zone_count, 3),
    DAMAGED(zone_count, 5),
    DAMAGED(open_zone_count, 5),
    DAMAGED(open_zone_count, UINT32_MAX),
    DAMAGED(epoch, 0),
    DAMAGED(epoch, BB_COUNTER_MAX + 1),
    DAMAGED(generation, BB_COUNTER_MAX + 1),
    DAMAGED(generation, UINT64_MAX),
    DAMAGED(epoch_first_sequence, BB_COUNTER_MAX + 1),
    DAMAGED(clean_sequence, BB_COUNTER_MAX + 1),
    DAMAGED(anchor.sequence, BB_COUNTER_MAX + 1),
    DAMAGED(state, 0), /* with a clean sequence left behind */
    DAMAGED(state, 2),
    DAMAGED(state, 3),
    DAMAGED(reserved_state, 1),
    DAMAGED(anchor.position, 2048),
    DAMAGED(anchor.position, UINT64_MAX),
};

static void impossible_fields_are_refused_behind_a_valid_digest(void **state)
{
    (void)state;
    struct bb_super super = sample(), ret;
    uint64_t offset = offset_of_copy(&super, 1);
    for (size_t i = 0; i < sizeof(field_cases) / sizeof(field_cases[0]); i++) {
        const struct field_case *field = &field_cases[i];
        struct bb_disk_super disk;
        bb_super_encode(&super, 1, &disk);
        memcpy((uint8_t *)&disk + field->offset, &field->value, field->size);
        sample_reseal(&disk, sizeof(disk), DIGEST_OFFSET);
        int got = bb_super_decode(&disk, offset, 1, &ret);
        if (got != field->expected)
            fail_msg("case %zu (offset %zu): %d", i, field->offset, got);
    }
}

/* Grown behind a last zone of 239 MiB that was open. */
static struct bb_super sample_grown(void)
{
    struct bb_super super = sample();
    struct bb_layout grown;
    assert_int_equal(bb_layout_grow(&super.layout, 4, 2 * BB_GIB, &grown), 0);
    super.layout = grown;
    super.must_understand = BB_SUPER_SHORT_ZONES;
    return super;
}

static void short_zones_come_back_and_are_golden(void **state)
{
    (void)state;
    struct bb_super super = sample_grown(), back;
    struct bb_disk_super disk;
    char text[2 * 16 + 1];
    assert_int_equal(super.layout.short_count, 1);
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        bb_super_encode(&super, copy, &disk);
        assert_int_equal(bb_super_decode(&disk, offset_of_copy(&super, copy), copy, &back), 0);
        assert_true(bb_super_equal(&super, &back));
    }
    assert_string_equal(unit_hex(disk.shorts, 16, text), "03000000e80000000000000000000000");
    back = super;
    back.layout.shorts[0].mib--;
    assert_false(bb_super_equal(&super, &back));
    sample_expect(&disk, sizeof(disk),
                  "baafce57031fbed8a933973b9ae2d496c74c426a61cd7852e5d27089397e5090");
}

static void impossible_short_zones_are_refused_behind_a_valid_digest(void **state)
{
    (void)state;
    static const uint32_t rows[][4] = {
        {3, 3, 0, 0},   {3, 256, 0, 0}, {3, 0, 0, 0},   {0, 0, 3, 232}, {8, 232, 0, 0},
        {3, 232, 3, 4}, {3, 232, 2, 4}, {3, 232, 9, 4}, {3, 232, 0, 0},
    };
    struct bb_super super = sample_grown(), ret;
    size_t count = sizeof(rows) / sizeof(rows[0]);
    for (size_t i = 0; i < count; i++) {
        struct bb_disk_super disk;
        bb_super_encode(&super, 1, &disk);
        for (unsigned k = 0; k < 2; k++) {
            disk.shorts[k].index = bb_le32_make(rows[i][2 * k]);
            disk.shorts[k].mib = bb_le32_make(rows[i][2 * k + 1]);
        }
        sample_reseal(&disk, sizeof(disk), DIGEST_OFFSET);
        int error = bb_super_decode(&disk, offset_of_copy(&super, 1), 1, &ret);
        assert_int_equal(error, i == count - 1 ? 0 : BB_ERR_DAMAGED); /* the last is as it was */
    }
}

static void reserved_bytes_and_label_padding_must_be_zero(void **state)
{
    (void)state;
    struct bb_super super = sample(), ret;
    uint64_t offset = offset_of_copy(&super, 1);
    struct bb_disk_super disk;
    bb_super_encode(&super, 1, &disk);
    size_t label_end = offsetof(struct bb_disk_super, label) + strlen(super.label);
    for (size_t i = label_end + 1; i < sizeof(disk); i++) {
        if (i >= DIGEST_OFFSET && i < DIGEST_OFFSET + sizeof(disk.digest))
            continue;
        ((uint8_t *)&disk)[i] = 1;
        sample_reseal(&disk, sizeof(disk), DIGEST_OFFSET);
        assert_int_equal(bb_super_decode(&disk, offset, 1, &ret), BB_ERR_DAMAGED);
        ((uint8_t *)&disk)[i] = 0;
    }
    sample_reseal(&disk, sizeof(disk), DIGEST_OFFSET);
    assert_int_equal(bb_super_decode(&disk, offset, 1, &ret), 0);
}

static void fields_without_a_rule_may_change_behind_a_valid_digest(void **state)
{
    (void)state;
    /* the counterpart of the two tests above: it is not the resealing that is refused */
    const size_t free_offsets[] = {
        offsetof(struct bb_disk_super, store),
        offsetof(struct bb_disk_super, index),
        offsetof(struct bb_disk_super, generation),
        offsetof(struct bb_disk_super, may_ignore),
        offsetof(struct bb_disk_super, epoch),
        offsetof(struct bb_disk_super, epoch_first_sequence),
        offsetof(struct bb_disk_super, clean_sequence),
        offsetof(struct bb_disk_super, anchor.sequence),
        offsetof(struct bb_disk_super, anchor.digest),
        offsetof(struct bb_disk_super, anchor.count),
        offsetof(struct bb_disk_super, anchor.set_hash),
    };
    struct bb_super super = sample(), ret;
    for (size_t i = 0; i < sizeof(free_offsets) / sizeof(free_offsets[0]); i++) {
        struct bb_disk_super disk;
        bb_super_encode(&super, 1, &disk);
        ((uint8_t *)&disk)[free_offsets[i]] ^= 0x40;
        sample_reseal(&disk, sizeof(disk), DIGEST_OFFSET);
        assert_int_equal(bb_super_decode(&disk, offset_of_copy(&super, 1), 1, &ret), 0);
        assert_false(bb_super_equal(&super, &ret));
    }
}

static void a_copy_in_the_place_of_another_is_refused(void **state)
{
    (void)state;
    struct bb_super super = sample(), ret;
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        struct bb_disk_super disk;
        bb_super_encode(&super, copy, &disk);
        for (unsigned place = 1; place <= BB_SUPER_COPY_COUNT; place++) {
            int expected = place == copy ? 0 : BB_ERR_DAMAGED;
            uint64_t offset = offset_of_copy(&super, place);
            assert_int_equal(bb_super_decode(&disk, offset, place, &ret), expected);
            assert_int_equal(bb_super_decode(&disk, offset, copy, &ret), expected);
        }
    }
}

static void a_copy_that_names_a_place_where_none_belongs_is_refused(void **state)
{
    (void)state;
    struct bb_super super = sample(), ret;
    struct bb_disk_super disk;
    bb_super_encode(&super, 1, &disk);
    disk.offset = bb_le64_make(3 * BB_MIB);
    sample_reseal(&disk, sizeof(disk), DIGEST_OFFSET);
    assert_int_equal(bb_super_decode(&disk, 3 * BB_MIB, 1, &ret), BB_ERR_DAMAGED);
}

static void an_unknown_state_is_refused(void **state)
{
    (void)state;
    struct bb_super super = sample(), ret;
    struct bb_disk_super disk;
    super.clean = false;
    super.clean_sequence = 0;
    bb_super_encode(&super, 1, &disk);
    for (uint32_t value = 0; value < 8; value++) {
        int expected = value <= BB_SUPER_CLEAN ? 0 : BB_ERR_DAMAGED;
        disk.state = bb_le32_make(value);
        sample_reseal(&disk, sizeof(disk), DIGEST_OFFSET);
        assert_int_equal(bb_super_decode(&disk, offset_of_copy(&super, 1), 1, &ret), expected);
    }
}

static void a_blank_unit_is_not_formatted(void **state)
{
    (void)state;
    struct bb_disk_super disk;
    struct bb_super ret;
    memset(&disk, 0, sizeof(disk));
    assert_int_equal(bb_super_decode(&disk, 65536, 1, &ret), BB_ERR_NOT_FORMATTED);
    memset(&disk, 0xff, sizeof(disk));
    assert_int_equal(bb_super_decode(&disk, 65536, 1, &ret), BB_ERR_NOT_FORMATTED);
}

static void random_bytes_never_decode(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    for (int i = 0; i < 2000; i++) {
        struct bb_disk_super disk;
        struct bb_super ret;
        bb_random_fill(&random, &disk, sizeof(disk));
        memcpy(disk.magic, BB_SUPER_MAGIC, sizeof(disk.magic));
        disk.version = bb_le32_make(BB_FORMAT_VERSION);
        disk.must_understand = bb_le64_make(0);
        sample_reseal(&disk, sizeof(disk), DIGEST_OFFSET);
        assert_int_equal(bb_super_decode(&disk, 65536, 1, &ret), BB_ERR_DAMAGED);
    }
}

static void encode_open_zones(void *argument)
{
    struct bb_super super = *(const struct bb_super *)argument;
    struct bb_disk_super disk;
    super.open_zone_count = super.layout.zone_count + 1;
    bb_super_encode(&super, 1, &disk);
}

static void encode_foreign_layout(void *argument)
{
    struct bb_super super = *(const struct bb_super *)argument;
    struct bb_disk_super disk;
    super.layout.zones_offset += BB_MIB;
    bb_super_encode(&super, 1, &disk);
}

static void encode_copy_five(void *argument)
{
    struct bb_disk_super disk;
    bb_super_encode(argument, 5, &disk);
}

static void encoding_the_impossible_aborts(void **state)
{
    (void)state;
    struct bb_super super = sample();
    assert_true(unit_aborts(encode_open_zones, &super));
    assert_true(unit_aborts(encode_foreign_layout, &super));
    assert_true(unit_aborts(encode_copy_five, &super));
}

static void equality_looks_at_every_field(void **state)
{
    (void)state;
    const struct bb_super base = sample();
    assert_true(bb_super_equal(&base, &base));
#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        struct bb_super other = base;                                                              \
        change;                                                                                    \
        assert_false(bb_super_equal(&base, &other));                                               \
    } while (0)
    DIFFERS(other.store.bytes[15]++);
    DIFFERS(other.index.bytes[0]++);
    DIFFERS(other.generation++);
    DIFFERS(other.must_understand++);
    DIFFERS(other.may_ignore++);
    DIFFERS(other.layout.device_size++);
    DIFFERS(other.layout.journal_offset++);
    DIFFERS(other.layout.journal_units++);
    DIFFERS(other.layout.zones_offset++);
    DIFFERS(other.layout.zone_size++);
    DIFFERS(other.layout.last_zone_size++);
    DIFFERS(other.layout.tail_offset++);
    DIFFERS(other.layout.zone_count++);
    DIFFERS(other.logical_sector++);
    DIFFERS(other.physical_sector++);
    DIFFERS(other.open_zone_count++);
    DIFFERS(other.epoch++);
    DIFFERS(other.epoch_first_sequence++);
    DIFFERS(other.clean = !other.clean);
    DIFFERS(other.clean_sequence++);
    DIFFERS(other.anchor.sequence++);
    DIFFERS(other.anchor.position++);
    DIFFERS(other.anchor.digest.bytes[15]++);
    DIFFERS(other.anchor.set.count++);
    DIFFERS(other.anchor.set.sum.bytes[15]++);
    DIFFERS(other.label[11]++);
#undef DIFFERS
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_golden),
        cmocka_unit_test(what_is_encoded_comes_back),
        cmocka_unit_test(a_label_may_fill_its_field),
        cmocka_unit_test(every_damaged_byte_is_refused),
        cmocka_unit_test(impossible_fields_are_refused_behind_a_valid_digest),
        cmocka_unit_test(reserved_bytes_and_label_padding_must_be_zero),
        cmocka_unit_test(fields_without_a_rule_may_change_behind_a_valid_digest),
        cmocka_unit_test(a_copy_in_the_place_of_another_is_refused),
        cmocka_unit_test(a_copy_that_names_a_place_where_none_belongs_is_refused),
        cmocka_unit_test(an_unknown_state_is_refused),
        cmocka_unit_test(a_blank_unit_is_not_formatted),
        cmocka_unit_test(random_bytes_never_decode),
        cmocka_unit_test(encoding_the_impossible_aborts),
        cmocka_unit_test(equality_looks_at_every_field),
        cmocka_unit_test(short_zones_come_back_and_are_golden),
        cmocka_unit_test(impossible_short_zones_are_refused_behind_a_valid_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
