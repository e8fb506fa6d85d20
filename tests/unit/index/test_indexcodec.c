/* SPDX-License-Identifier: Apache-2.0
 * Golden bytes of what we store in the index, and what the decoders refuse.
 */
#include "fixture.h"

#include "bb/indexcodec.h"

static const uint8_t golden_value[16] = {0x9a, 0x78, 0x56, 0x34, 0x12, /* unit */
                                         0x00, 0x00, 0x10,             /* size: 1 MiB */
                                         0x01, 0,    0,    0,    0,    0, 0, 0};

static const uint8_t golden_row[280] = {
    'B',  'B',  'I',  'N',  'D',  'E',  'X',  '\n', /* magic */
    0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* version, reserved */
    0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, /* store */
    0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, /* */
    0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, /* index */
    0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, /* */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* anchor: sequence */
    0x99, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* position */
    0xa2, 0xa2, 0xa2, 0xa2, 0xa2, 0xa2, 0xa2, 0xa2, /* digest */
    0xa2, 0xa2, 0xa2, 0xa2, 0xa2, 0xa2, 0xa2, 0xa2, /* */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* count */
    0xa3, 0xa3, 0xa3, 0xa3, 0xa3, 0xa3, 0xa3, 0xa3, /* set hash */
    0xa3, 0xa3, 0xa3, 0xa3, 0xa3, 0xa3, 0xa3, 0xa3, /* */
    0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* count now */
    0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, /* set hash now */
    0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, /* */
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* epoch */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* digest */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* */
    0x21, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* scrub: page */
    0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* page of the set */
    0x23, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* its count */
    0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, /* and hash */
    0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, /* */
    0x24, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* count of all */
    0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, /* and hash */
    0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, /* */
    0x25, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* passes */
    0x26, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* this one began */
    0x27, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* found in it */
    0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* the last one ended */
    0x29, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* the last clean one */
    0x2a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* blocks */
    0x2b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* bytes */
    0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* flags */
};

static struct bb_index_state golden_state(void)
{
    struct bb_index_state state = {.epoch = 0};
    memset(&state.store, 0xa0, sizeof(state.store));
    memset(&state.index, 0xa1, sizeof(state.index));
    state.anchor.sequence = 0x0102030405060708;
    state.anchor.position = 0x99;
    memset(&state.anchor.digest, 0xa2, sizeof(state.anchor.digest));
    state.anchor.set.count = 7;
    memset(&state.anchor.set.sum, 0xa3, sizeof(state.anchor.set.sum));
    state.set.count = 8;
    memset(&state.set.sum, 0xa4, sizeof(state.set.sum));
    state.epoch = 0x1112131415161718;
    state.scrub = (struct bb_scrub_row){.page = 0x21,
                                        .set_page = 0x20,
                                        .set.count = 0x23,
                                        .of.count = 0x24,
                                        .passes = 0x25,
                                        .pass_began_s = 0x26,
                                        .pass_findings = 0x27,
                                        .last_ended_s = 0x28,
                                        .last_clean_s = 0x29,
                                        .blocks = 0x2a,
                                        .bytes = 0x2b,
                                        .flags = BB_SCRUB_PAUSED | BB_SCRUB_SET};
    memset(&state.scrub.set.sum, 0xa5, sizeof(state.scrub.set.sum));
    memset(&state.scrub.of.sum, 0xa6, sizeof(state.scrub.of.sum));
    return state;
}

static void a_value_has_its_golden_bytes(void **state)
{
    (void)state;
    struct bb_index_entry entry = {
        .unit = 0x123456789a, .size = 1u << 20, .flags = BB_INDEX_CORRUPT};
    struct bb_index_entry back;
    struct bb_disk_index_value value;
    bb_index_value_encode(&entry, &value);
    assert_memory_equal(&value, golden_value, sizeof(value));
    assert_int_equal(bb_index_value_decode(&value, sizeof(value), &back), 0);
    assert_int_equal(back.unit, entry.unit);
    assert_int_equal(back.size, entry.size);
    assert_int_equal(back.flags, entry.flags);
}

static void a_row_has_its_golden_bytes(void **state)
{
    (void)state;
    struct bb_index_state row = golden_state(), back;
    struct bb_disk_index_state disk;
    bb_index_state_encode(&row, &disk);
    assert_memory_equal(&disk, golden_row, offsetof(struct bb_disk_index_state, digest));
    assert_memory_equal(&disk.scrub, golden_row + 152, sizeof(disk.scrub));
    struct bb_digest digest;
    bb_digest_of(golden_row, sizeof(golden_row), &digest);
    assert_memory_equal(&disk.digest, &digest, sizeof(digest));
    assert_int_equal(bb_index_state_decode(&disk, sizeof(disk), &back), 0);
    assert_memory_equal(&back, &row, sizeof(row));
}

static void any_flipped_bit_of_a_row_is_refused(void **state)
{
    (void)state;
    struct bb_index_state row = golden_state(), back;
    struct bb_disk_index_state disk;
    memset(&back, 0xee, sizeof(back));
    struct bb_index_state untouched = back;
    bb_index_state_encode(&row, &disk);
    uint8_t *bytes = (uint8_t *)&disk;
    for (size_t bit = 0; bit < 8 * sizeof(disk); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(bb_index_state_decode(&disk, sizeof(disk), &back), BB_ERR_INDEX_DAMAGED);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(bb_index_state_decode(&disk, sizeof(disk) - 1, &back), BB_ERR_INDEX_DAMAGED);
    assert_memory_equal(&back, &untouched, sizeof(back));
    assert_int_equal(bb_index_state_decode(&disk, sizeof(disk), &back), 0);
}

static void a_row_of_a_newer_version_is_told_from_damage(void **state)
{
    (void)state;
    struct bb_index_state row = golden_state(), back;
    struct bb_disk_index_state disk;
    bb_index_state_encode(&row, &disk);
    disk.version = bb_le32_make(BB_INDEX_VERSION + 1);
    memset(&disk.digest, 0, sizeof(disk.digest));
    bb_digest_of(&disk, sizeof(disk), &disk.digest);
    assert_int_equal(bb_index_state_decode(&disk, sizeof(disk), &back), BB_ERR_VERSION);
}

static void a_row_from_before_the_scrub_is_read(void **state)
{
    (void)state;
    struct bb_index_state row = golden_state(), back;
    struct bb_disk_index_state disk;
    const size_t size = offsetof(struct bb_disk_index_state, scrub);
    bb_index_state_encode(&row, &disk);
    disk.version = bb_le32_make(BB_INDEX_VERSION_2);
    memset(&disk.digest, 0, sizeof(disk.digest));
    bb_digest_of(&disk, size, &disk.digest);
    assert_int_equal(bb_index_state_decode(&disk, size, &back), 0);
    memset(&row.scrub, 0, sizeof(row.scrub));
    assert_memory_equal(&back, &row, sizeof(row));
    disk.version = bb_le32_make(BB_INDEX_VERSION); /* of that version it is too short */
    memset(&disk.digest, 0, sizeof(disk.digest));
    bb_digest_of(&disk, size, &disk.digest);
    assert_int_equal(bb_index_state_decode(&disk, size, &back), BB_ERR_VERSION);
}

static void values_of_wrong_length_size_or_flag_are_refused(void **state)
{
    (void)state;
    struct bb_index_entry back;
    uint8_t value[17] = {0};
    assert_int_equal(bb_index_value_decode(value, 16, &back), 0);
    assert_int_equal(bb_index_value_decode(value, 15, &back), BB_ERR_INDEX_DAMAGED);
    assert_int_equal(bb_index_value_decode(value, 17, &back), BB_ERR_INDEX_DAMAGED);
    value[7] = 0x10;
    assert_int_equal(bb_index_value_decode(value, 16, &back), 0);
    value[5] = 0x01;
    assert_int_equal(bb_index_value_decode(value, 16, &back), BB_ERR_INDEX_DAMAGED);
    value[5] = 0;
    for (unsigned bit = 1; bit < 64; bit++) {
        value[8 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(bb_index_value_decode(value, 16, &back), BB_ERR_INDEX_DAMAGED);
        value[8 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_has_its_golden_bytes),
        cmocka_unit_test(a_row_has_its_golden_bytes),
        cmocka_unit_test(any_flipped_bit_of_a_row_is_refused),
        cmocka_unit_test(a_row_of_a_newer_version_is_told_from_damage),
        cmocka_unit_test(a_row_from_before_the_scrub_is_read),
        cmocka_unit_test(values_of_wrong_length_size_or_flag_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
