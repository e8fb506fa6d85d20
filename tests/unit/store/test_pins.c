/* SPDX-License-Identifier: Apache-2.0
 * Pins against an array of counters: probe runs, deferred frees, misuse.
 */
#include "../base/unit.h"

#include "bb/pins.h"

#define MAX 32
#define UNITS 200

struct bench {
    struct bb_arena arena;
    struct bb_pins pins;
};

static void open_bench(struct bench *bench)
{
    assert_int_equal(bb_arena_open(1 << 20, false, false, &bench->arena), 0);
    assert_int_equal(bb_pins_init(&bench->pins, &bench->arena, MAX), 0);
}

static void close_bench(struct bench *bench)
{
    bb_arena_close(&bench->arena);
}

static void an_extent_without_readers_is_free_at_once(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench);
    assert_false(bb_pins_defer_free(&bench.pins, 5000, 3));
    bb_pins_add(&bench.pins, 5000);
    assert_int_equal(bb_pins_remove(&bench.pins, 5000), 0);
    assert_false(bb_pins_defer_free(&bench.pins, 5000, 3));
    close_bench(&bench);
}

static void a_deleted_extent_is_free_with_the_last_reader(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench);
    bb_pins_add(&bench.pins, 5000);
    bb_pins_add(&bench.pins, 5000);
    assert_true(bb_pins_defer_free(&bench.pins, 5000, 17));
    assert_int_equal(bb_pins_remove(&bench.pins, 5000), 0);
    assert_int_equal(bb_pins_remove(&bench.pins, 5000), 17);
    assert_int_equal(bench.pins.used, 0);
    close_bench(&bench);
}

static void it_agrees_with_an_array_of_counters(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    struct bench bench;
    open_bench(&bench);
    uint32_t readers[UNITS] = {0}, units[UNITS] = {0};
    unsigned pinned = 0;
    for (unsigned step = 0; step < 200000; step++) {
        /* far apart and next to each other: probe runs of both kinds */
        uint64_t at = bb_random_below(&random, UNITS);
        uint64_t unit = at < UNITS / 2 ? 2048 + at : at << 30;
        uint64_t dice = bb_random_below(&random, 5);
        if (dice < 2 && units[at] == 0 && (readers[at] > 0 || pinned < MAX)) {
            pinned += readers[at]++ == 0;
            bb_pins_add(&bench.pins, unit);
        } else if (dice < 4 && readers[at] > 0) {
            bool last = --readers[at] == 0;
            assert_int_equal(bb_pins_remove(&bench.pins, unit), last ? units[at] : 0);
            units[at] = last ? 0 : units[at];
            pinned -= last;
        } else if (dice == 4 && units[at] == 0) {
            assert_int_equal(bb_pins_defer_free(&bench.pins, unit, (uint32_t)at + 1),
                             readers[at] > 0);
            units[at] = readers[at] > 0 ? (uint32_t)at + 1 : 0;
        }
        assert_int_equal(bench.pins.used, pinned);
    }
    close_bench(&bench);
}

static struct bench broken;

static void unpin(void *unit)
{
    if (bb_pins_remove(&broken.pins, *(uint64_t *)unit) > 0)
        _exit(1);
}

static void pin(void *unit)
{
    bb_pins_add(&broken.pins, *(uint64_t *)unit);
}

static void free_again(void *unit)
{
    if (bb_pins_defer_free(&broken.pins, *(uint64_t *)unit, 1))
        _exit(1);
}

static void misuse_is_an_assertion(void **state)
{
    (void)state;
    uint64_t unit = 4711, other = 4712;
    open_bench(&broken);
    bb_pins_add(&broken.pins, unit);
    assert_true(unit_aborts(unpin, &other));
    assert_true(bb_pins_defer_free(&broken.pins, unit, 1));
    assert_true(unit_aborts(pin, &unit));        /* a lookup of a deleted block */
    assert_true(unit_aborts(free_again, &unit)); /* a second delete of it */
    close_bench(&broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_extent_without_readers_is_free_at_once),
        cmocka_unit_test(a_deleted_extent_is_free_with_the_last_reader),
        cmocka_unit_test(it_agrees_with_an_array_of_counters),
        cmocka_unit_test(misuse_is_an_assertion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
