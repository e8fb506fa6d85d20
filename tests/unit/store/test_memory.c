/* SPDX-License-Identifier: Apache-2.0
 * The engine and its ports in an arena that is too small by any amount: they say so and take
 * nothing beyond it.
 */
#include "bench.h"

#define ARENA_SIZE ((size_t)16 << 20)
#define STEP 512u

static struct bb_arena arena;

static bool send_nothing(void *context, struct bb_message message)
{
    (void)context;
    (void)message;
    return false;
}

static struct bb_store_config config_of(size_t memory)
{
    struct bb_index index = memindex_index(rig.mem);
    return (struct bb_store_config){.io = bb_sim_io(rig.sim),
                                    .index = memindex_port(rig.mem),
                                    .slice_max = index.slice_max,
                                    .super = rig.recovered.super,
                                    .last = rig.recovered.last,
                                    .arena = &arena,
                                    .memory = memory,
                                    .op_max = 64,
                                    .port_count = 1};
}

static int open_store(void)
{
    struct bb_store_config config = config_of((size_t)1 << 20);
    struct bb_store *store;
    return bb_store_open(&config, &store);
}

static int open_port(void)
{
    struct bb_port_config config = {
        .io = bb_sim_io(rig.sim), .arena = &arena, .send = send_nothing, .pending_max = 1000};
    struct bb_port *port;
    return bb_port_open(&config, &port);
}

/* With every size of arena up to the one that is enough. */
static void grow(int (*open)(void))
{
    size_t size = 0;
    int error = BB_ERR_MEMORY;
    for (; error != 0 && size < ARENA_SIZE; size += STEP) {
        /* memory of an arena is zero: each attempt gets it fresh */
        bb_arena_close(&arena);
        assert_int_equal(bb_arena_open(ARENA_SIZE, false, false, &arena), 0);
        arena.used = arena.size - size;
        error = open();
        assert_true(error == 0 || error == BB_ERR_MEMORY);
        assert_true(arena.used <= arena.size);
    }
    assert_int_equal(error, 0);
    assert_true(size > STEP);
    arena.used = 0;
    bb_arena_close(&arena);
    assert_int_equal(bb_arena_open(ARENA_SIZE, false, false, &arena), 0);
    assert_int_equal(open(), 0);
}

static int stopped_store(void **state)
{
    static const struct rig_config plain = {.seed = 1};
    (void)state;
    rig_open(&rig, &plain);
    assert_int_equal(rig_recover(&rig), 0);
    return bb_arena_open(ARENA_SIZE, false, false, &arena);
}

static int close_all(void **state)
{
    (void)state;
    bb_arena_close(&arena);
    rig_close(&rig);
    return 0;
}

static void an_engine_opens_in_an_arena_that_is_large_enough_or_says_so(void **state)
{
    (void)state;
    grow(open_store);
}

static void a_port_opens_in_an_arena_that_is_large_enough_or_says_so(void **state)
{
    (void)state;
    grow(open_port);
}

static void a_delta_of_less_than_four_records_is_refused(void **state)
{
    (void)state;
    struct bb_store_config config = config_of(100000);
    struct bb_store *store;
    assert_int_equal(bb_store_open(&config, &store), BB_ERR_MEMORY);
    config = config_of((size_t)1 << 20);
    assert_int_equal(bb_store_open(&config, &store), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_opens_in_an_arena_that_is_large_enough_or_says_so),
        cmocka_unit_test(a_port_opens_in_an_arena_that_is_large_enough_or_says_so),
        cmocka_unit_test(a_delta_of_less_than_four_records_is_refused),
    };
    return cmocka_run_group_tests(tests, stopped_store, close_all);
}
