/* SPDX-License-Identifier: Apache-2.0
 * The delta against a list of all items: chains, dropping, positions beyond 32 bits.
 */
#include "../base/unit.h"

#include "bb/delta.h"

#include <string.h>

#define HASHES 40
#define CAPACITY 100

static struct bb_hash hash_of(unsigned number)
{
    struct bb_hash hash;
    bb_hash_of(&number, sizeof(number), &hash);
    return hash;
}

static struct bb_item item_of(unsigned number, uint64_t unit)
{
    return (struct bb_item){
        .op = BB_ITEM_PUT, .size = number, .unit = unit, .hash = hash_of(number)};
}

struct bench {
    struct bb_arena arena;
    struct bb_delta delta;
};

static void open_bench(struct bench *bench, uint32_t capacity)
{
    assert_int_equal(bb_arena_open((size_t)capacity * 256 + 4096, false, false, &bench->arena), 0);
    assert_int_equal(bb_delta_init(&bench->delta, &bench->arena, capacity), 0);
}

static void close_bench(struct bench *bench)
{
    bb_arena_close(&bench->arena);
}

static void an_empty_delta_knows_nothing(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, CAPACITY);
    struct bb_hash hash = hash_of(1);
    assert_null(bb_delta_find(&bench.delta, &hash, UINT64_MAX));
    assert_int_equal(bb_delta_count(&bench.delta), 0);
    close_bench(&bench);
}

static void the_newest_item_up_to_a_sequence_is_found(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, CAPACITY);
    struct bb_hash hash = hash_of(7);
    for (uint64_t sequence = 10; sequence <= 30; sequence += 10) {
        struct bb_item item = item_of(7, sequence * 2);
        (void)bb_delta_append(&bench.delta, sequence, &item);
    }
    assert_null(bb_delta_find(&bench.delta, &hash, 9));
    assert_int_equal(bb_delta_find(&bench.delta, &hash, 10)->unit, 20);
    assert_int_equal(bb_delta_find(&bench.delta, &hash, 29)->unit, 40);
    assert_int_equal(bb_delta_find(&bench.delta, &hash, UINT64_MAX)->unit, 60);
    close_bench(&bench);
}

static void of_two_items_with_one_sequence_the_later_one_counts(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, CAPACITY);
    struct bb_item remove = item_of(3, 100), put = item_of(3, 200);
    remove.op = BB_ITEM_DELETE;
    (void)bb_delta_append(&bench.delta, 5, &remove);
    (void)bb_delta_append(&bench.delta, 5, &put);
    assert_int_equal(bb_delta_find(&bench.delta, &put.hash, 5)->op, BB_ITEM_PUT);
    close_bench(&bench);
}

static void what_was_dropped_is_not_found(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, CAPACITY);
    struct bb_item first = item_of(1, 10), second = item_of(2, 20);
    uint64_t position = bb_delta_append(&bench.delta, 1, &first);
    (void)bb_delta_append(&bench.delta, 2, &second);
    bb_delta_drop(&bench.delta, position + 1);
    assert_null(bb_delta_find(&bench.delta, &first.hash, UINT64_MAX));
    assert_non_null(bb_delta_find(&bench.delta, &second.hash, UINT64_MAX));
    bb_delta_drop(&bench.delta, bench.delta.end);
    assert_null(bb_delta_find(&bench.delta, &second.hash, UINT64_MAX));
    close_bench(&bench);
}

static void a_renumbered_item_belongs_to_the_later_record(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, CAPACITY);
    struct bb_item item = item_of(1, 10);
    uint64_t position = bb_delta_append(&bench.delta, 4, &item);
    bb_delta_renumber(&bench.delta, position, 5);
    assert_null(bb_delta_find(&bench.delta, &item.hash, 4));
    assert_non_null(bb_delta_find(&bench.delta, &item.hash, 5));
    close_bench(&bench);
}

/* Everything that was ever appended, oldest first. */
struct naive {
    unsigned number[1 << 16];
    uint64_t sequence[1 << 16];
    uint64_t first, end;
};

static uint64_t naive_find(const struct naive *naive, unsigned number, uint64_t up_to)
{
    for (uint64_t at = naive->end; at > naive->first; at--)
        if (naive->number[at - 1] == number && naive->sequence[at - 1] <= up_to)
            return at;
    return 0;
}

/* `start` is where the positions begin, as if that many items had come and gone. */
static void compare_with_naive(uint64_t start, struct bb_random *random)
{
    static struct naive naive;
    struct bench bench;
    uint64_t sequence = 1;
    open_bench(&bench, CAPACITY);
    bench.delta.first = bench.delta.end = start;
    naive.first = naive.end = 0;
    for (unsigned step = 0; step < 30000; step++) {
        unsigned number = (unsigned)bb_random_below(random, HASHES);
        struct bb_hash hash = hash_of(number);
        sequence += bb_random_below(random, 3) == 0;
        if (bb_random_below(random, 40) == 0) {
            naive.first += bb_random_below(random, naive.end - naive.first + 1);
            bb_delta_drop(&bench.delta, start + naive.first);
        } else if (naive.end - naive.first < CAPACITY && bb_random_below(random, 2) == 0) {
            struct bb_item item = item_of(number, naive.end + 1);
            assert_int_equal(bb_delta_append(&bench.delta, sequence, &item), start + naive.end);
            naive.number[naive.end] = number;
            naive.sequence[naive.end++] = sequence;
        }
        uint64_t up_to =
            bb_random_below(random, 2) == 0 ? UINT64_MAX : bb_random_below(random, sequence + 1);
        uint64_t wanted = naive_find(&naive, number, up_to);
        const struct bb_delta_item *found = bb_delta_find(&bench.delta, &hash, up_to);
        assert_int_equal(found != NULL ? found->unit : 0, wanted);
    }
    close_bench(&bench);
}

static void it_finds_what_a_list_finds(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    compare_with_naive(1, &random);
}

/* Buckets keep 32 bits of a position: one that was not used for four billion items names a live
 * item of another chain, which must only cost time. */
static void positions_beyond_32_bits_alias_without_harm(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);
    compare_with_naive((1ull << 32) - 2000, &random);
    compare_with_naive((1ull << 32) - 1, &random);
    compare_with_naive((5ull << 32) + 3, &random);
}

static void never_used_buckets_may_name_a_live_position(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, CAPACITY);
    bench.delta.first = bench.delta.end = 1ull << 32; /* low 32 bits 0, as in a fresh bucket */
    struct bb_item item = item_of(1, 10);
    (void)bb_delta_append(&bench.delta, 1, &item);
    for (unsigned number = 2; number < 500; number++) {
        struct bb_hash hash = hash_of(number);
        assert_null(bb_delta_find(&bench.delta, &hash, UINT64_MAX));
    }
    assert_non_null(bb_delta_find(&bench.delta, &item.hash, UINT64_MAX));
    close_bench(&bench);
}

static struct bench broken;

static void append_to_a_full_one(void *item)
{
    (void)bb_delta_append(&broken.delta, 1, item);
}

static void appending_to_a_full_delta_is_a_bug_of_the_caller(void **state)
{
    (void)state;
    open_bench(&broken, 2);
    struct bb_item item = item_of(1, 10);
    (void)bb_delta_append(&broken.delta, 1, &item);
    assert_false(unit_aborts(append_to_a_full_one, &item));
    (void)bb_delta_append(&broken.delta, 1, &item);
    assert_true(unit_aborts(append_to_a_full_one, &item));
    close_bench(&broken);
}

static void sequences_that_descend_are_a_bug_of_the_caller(void **state)
{
    (void)state;
    open_bench(&broken, CAPACITY);
    struct bb_item item = item_of(1, 10);
    (void)bb_delta_append(&broken.delta, 2, &item);
    assert_true(unit_aborts(append_to_a_full_one, &item));
    close_bench(&broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_delta_knows_nothing),
        cmocka_unit_test(the_newest_item_up_to_a_sequence_is_found),
        cmocka_unit_test(of_two_items_with_one_sequence_the_later_one_counts),
        cmocka_unit_test(what_was_dropped_is_not_found),
        cmocka_unit_test(a_renumbered_item_belongs_to_the_later_record),
        cmocka_unit_test(it_finds_what_a_list_finds),
        cmocka_unit_test(positions_beyond_32_bits_alias_without_harm),
        cmocka_unit_test(never_used_buckets_may_name_a_live_position),
        cmocka_unit_test(appending_to_a_full_delta_is_a_bug_of_the_caller),
        cmocka_unit_test(sequences_that_descend_are_a_bug_of_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
