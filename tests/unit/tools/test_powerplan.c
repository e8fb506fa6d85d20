/* SPDX-License-Identifier: Apache-2.0
 * Places of records on a disk under test, and that nothing but the record itself passes for it. */
#include "bbpowertest/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const struct bb_uuid run = {{1, 2, 3, 4, 5, 6, 7, 8, 9}};

static void each_round_takes_every_slot_once(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {64, 65, 97, 1000, 1024, 65536, 99991};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bb_power_plan plan;
        uint8_t *taken = calloc(sizes[i], 1);
        bb_power_plan_make(&run, sizes[i], 1, &plan);
        for (uint64_t number = 0; number < 2 * sizes[i]; number++) {
            uint64_t slot = bb_power_slot(&plan, number);
            assert_true(slot < sizes[i]);
            assert_int_equal(taken[slot], number / sizes[i]);
            taken[slot]++;
            assert_int_equal(bb_power_first(&plan, slot), number % sizes[i]);
        }
        free(taken);
    }
}

static void the_largest_device_does_not_overflow(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {BB_POWER_SLOTS_MAX, BB_POWER_SLOTS_MAX - 1};
    for (size_t i = 0; i < 2; i++) {
        struct bb_power_plan plan;
        bb_power_plan_make(&run, sizes[i], 1, &plan);
        for (uint64_t number = sizes[i] - 1000; number < sizes[i]; number++)
            assert_int_equal(bb_power_first(&plan, bb_power_slot(&plan, number)), number);
    }
}

static void a_record_is_known_only_whole_and_in_its_place(void **state)
{
    (void)state;
    struct bb_power_plan plan, other;
    uint8_t record[BB_POWER_RECORD], older[BB_POWER_RECORD];
    const struct bb_uuid stranger = {{9}};
    uint64_t number = 0, slot;
    bb_power_plan_make(&run, 1000, 32, &plan);
    bb_power_plan_make(&stranger, 1000, 32, &other);
    slot = bb_power_slot(&plan, 4321);
    bb_power_record_make(&plan, 4321, record);
    bb_power_record_make(&plan, 3321, older);
    assert_true(bb_power_record_read(&plan, slot, record, &number));
    assert_int_equal(number, 4321);
    assert_true(bb_power_record_read(&plan, slot, older, &number));
    assert_int_equal(number, 3321);
    assert_false(bb_power_record_read(&plan, slot + 1, record, &number));
    assert_false(bb_power_record_read(&other, slot, record, &number));
    for (size_t bit = 0; bit < 8 * BB_POWER_RECORD; bit += 7) {
        record[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(bb_power_record_read(&plan, slot, record, &number));
        record[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t sector = 512; sector < BB_POWER_RECORD; sector += 512) {
        uint8_t torn[BB_POWER_RECORD];
        memcpy(torn, record, sector);
        memcpy(torn + sector, older + sector, BB_POWER_RECORD - sector);
        assert_false(bb_power_record_read(&plan, slot, torn, &number));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_round_takes_every_slot_once),
        cmocka_unit_test(the_largest_device_does_not_overflow),
        cmocka_unit_test(a_record_is_known_only_whole_and_in_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
