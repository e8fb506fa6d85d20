/* SPDX-License-Identifier: Apache-2.0
 * Pool of I/O buffers: alignment, reserve for small ones, exhaustion, symmetry of get and put.
 * BB_SEED repeats a random run.
 */
#include "../base/unit.h"

#include "bb/buffers.h"
#include "bb/err.h"

#include <string.h>

#define POOL_SIZE (10 * (size_t)BB_MIB)
#define KIB(n) ((size_t)(n) << 10)

struct pool {
    struct bb_arena arena;
    struct bb_buffers buffers;
    uint8_t *base;
};

static void pool_open(struct pool *pool)
{
    memset(pool, 0, sizeof(*pool));
    assert_int_equal(bb_arena_open(POOL_SIZE + 2 * BB_MIB, false, false, &pool->arena), 0);
    pool->base = bb_arena_alloc(&pool->arena, POOL_SIZE, 4096);
    assert_non_null(pool->base);
    assert_int_equal(bb_buffers_init(&pool->buffers, &pool->arena, pool->base, POOL_SIZE), 0);
}

static void pool_close(struct pool *pool)
{
    bb_arena_close(&pool->arena);
}

/* Bytes that are in no buffer. */
static size_t free_in(const struct pool *pool)
{
    return bb_buddy_free_units(pool->buffers.buddy) * (size_t)4096;
}

/* What a buffer of `size` bytes occupies. */
static size_t footprint(size_t size)
{
    size_t bytes = 4096;
    while (bytes < size)
        bytes *= 2;
    return bytes;
}

static void buffers_are_aligned_to_their_size_and_inside_the_region(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,       1,       4095,     4096,     4097,     8192,
                                   KIB(64), KIB(65), KIB(256), KIB(513), KIB(1024)};
    struct pool pool;
    pool_open(&pool);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t before = free_in(&pool);
        uint8_t *buffer = bb_buffers_get(&pool.buffers, sizes[i]);
        assert_non_null(buffer);
        size_t offset = (size_t)(buffer - pool.base);
        assert_int_equal((uintptr_t)buffer % 4096, 0);
        assert_int_equal(offset % footprint(sizes[i]), 0);
        assert_true(offset + footprint(sizes[i]) <= POOL_SIZE);
        assert_int_equal(before - free_in(&pool), footprint(sizes[i]));
    }
    pool_close(&pool);
}

static void a_pool_without_room_for_its_books_is_refused(void **state)
{
    (void)state;
    struct bb_arena arena;
    assert_int_equal(bb_arena_open(2 * BB_MIB, false, false, &arena), 0);
    assert_non_null(bb_arena_alloc(&arena, 2 * BB_MIB - 64, 64));
    struct bb_buffers buffers;
    static uint8_t region[2 << 20] __attribute__((aligned(4096)));
    assert_int_equal(bb_buffers_init(&buffers, &arena, region, sizeof(region)), BB_ERR_MEMORY);
    bb_arena_close(&arena);
}

static void large_buffers_leave_a_fifth_to_small_ones(void **state)
{
    (void)state;
    struct pool pool;
    pool_open(&pool);
    unsigned large = 0;
    while (bb_buffers_get(&pool.buffers, BB_MIB) != NULL)
        large++;
    assert_int_equal(large, 8);
    assert_null(bb_buffers_get(&pool.buffers, KIB(64) + 1));
    assert_int_equal(free_in(&pool), POOL_SIZE / 5);
    unsigned small = 0;
    while (bb_buffers_get(&pool.buffers, KIB(64)) != NULL)
        small++;
    assert_int_equal(small, POOL_SIZE / 5 / KIB(64));
    assert_int_equal(free_in(&pool), 0);
    pool_close(&pool);
}

static void small_buffers_may_use_the_whole_region_and_then_get_null(void **state)
{
    (void)state;
    struct pool pool;
    pool_open(&pool);
    static void *taken[POOL_SIZE / 4096];
    for (size_t i = 0; i < POOL_SIZE / 4096; i++) {
        taken[i] = bb_buffers_get(&pool.buffers, 100);
        assert_non_null(taken[i]);
    }
    assert_null(bb_buffers_get(&pool.buffers, 0));
    assert_null(bb_buffers_get(&pool.buffers, BB_MIB));
    bb_buffers_put(&pool.buffers, taken[17], 100);
    assert_null(bb_buffers_get(&pool.buffers, 4097));
    assert_ptr_equal(bb_buffers_get(&pool.buffers, 4096), taken[17]);
    pool_close(&pool);
}

static void get_and_put_in_any_order_never_overlap_and_end_where_they_began(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);

    struct pool pool;
    pool_open(&pool);
    static uint8_t owned[POOL_SIZE / 4096];
    static uint8_t *buffers[2560];
    static size_t sizes[2560];
    unsigned held = 0;
    size_t free_bytes = POOL_SIZE;
    for (unsigned step = 0; step < 20000; step++) {
        bool get = bb_random_below(&random, 100) < (step / 1000 % 2 == 0 ? 65u : 35u);
        if (get) {
            size_t size =
                bb_random_below(&random, ((size_t)4096 << bb_random_below(&random, 9)) + 1);
            uint8_t *buffer = bb_buffers_get(&pool.buffers, size);
            bool over = footprint(size) > KIB(64) && free_bytes < POOL_SIZE / 5 + footprint(size);
            if (buffer == NULL) {
                assert_true(over || footprint(size) > 4096 || free_bytes == 0);
                continue;
            }
            assert_false(over);
            assert_true(held < 2560);
            size_t unit = (size_t)(buffer - pool.base) / 4096;
            for (size_t i = 0; i < footprint(size) / 4096; i++)
                assert_int_equal(owned[unit + i]++, 0);
            free_bytes -= footprint(size);
            buffers[held] = buffer;
            sizes[held++] = size;
        } else if (held > 0) {
            unsigned pick = (unsigned)bb_random_below(&random, held);
            bb_buffers_put(&pool.buffers, buffers[pick], sizes[pick]);
            free_bytes += footprint(sizes[pick]);
            memset(owned + (buffers[pick] - pool.base) / 4096, 0, footprint(sizes[pick]) / 4096);
            buffers[pick] = buffers[--held];
            sizes[pick] = sizes[held];
        }
        assert_int_equal(free_in(&pool), free_bytes);
    }
    while (held-- > 0)
        bb_buffers_put(&pool.buffers, buffers[held], sizes[held]);
    assert_int_equal(free_in(&pool), POOL_SIZE);
    assert_int_equal(bb_buddy_free_count(pool.buffers.buddy, BB_ORDER_MAX), POOL_SIZE / BB_MIB);
    pool_close(&pool);
}

struct put_call {
    struct pool *pool;
    void *buffer;
    size_t size;
};

static void put(void *argument)
{
    const struct put_call *call = argument;
    bb_buffers_put(&call->pool->buffers, call->buffer, call->size);
}

static bool put_aborts(struct pool *pool, void *buffer, size_t size)
{
    struct put_call call = {pool, buffer, size};
    return unit_aborts(put, &call);
}

static void a_put_of_what_was_not_got_aborts(void **state)
{
    (void)state;
    struct pool pool;
    pool_open(&pool);
    uint8_t *first = bb_buffers_get(&pool.buffers, 8192);
    uint8_t *second = bb_buffers_get(&pool.buffers, 8192);
    assert_false(put_aborts(&pool, first, 8192));
    assert_true(put_aborts(&pool, first + 1, 8192));
    assert_true(put_aborts(&pool, first + 4096, 8192));
    assert_true(put_aborts(&pool, first, KIB(64)));
    assert_true(put_aborts(&pool, pool.base + POOL_SIZE, 4096));
    assert_true(put_aborts(&pool, pool.base - 4096, 4096));
    bb_buffers_put(&pool.buffers, second, 8192);
    assert_true(put_aborts(&pool, second, 8192));
    pool_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_are_aligned_to_their_size_and_inside_the_region),
        cmocka_unit_test(a_pool_without_room_for_its_books_is_refused),
        cmocka_unit_test(large_buffers_leave_a_fifth_to_small_ones),
        cmocka_unit_test(small_buffers_may_use_the_whole_region_and_then_get_null),
        cmocka_unit_test(get_and_put_in_any_order_never_overlap_and_end_where_they_began),
        cmocka_unit_test(a_put_of_what_was_not_got_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
