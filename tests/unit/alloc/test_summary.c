/* SPDX-License-Identifier: Apache-2.0
 * The sets of chunk numbers against a byte per chunk. BB_SEED repeats a random run.
 */
#include "../base/unit.h"

#include "../../../src/alloc/summary.h"

#include <string.h>

static void summary_open(struct bb_summary *summary, struct bb_summary_node **ret_nodes,
                         uint64_t chunk_count)
{
    *ret_nodes = calloc(bb_summary_nodes(chunk_count), sizeof(**ret_nodes));
    assert_non_null(*ret_nodes);
    bb_summary_init(summary, *ret_nodes, chunk_count);
}

static void nodes_and_levels_follow_the_number_of_chunks(void **state)
{
    (void)state;
    static const struct {
        uint64_t chunks, nodes;
        unsigned levels;
    } expected[] = {
        {1, 1, 1},     {64, 1, 1},        {65, 3, 2},
        {4096, 65, 2}, {4097, 65 + 3, 3}, {262144, 4096 + 64 + 1, 3},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct bb_summary summary;
        struct bb_summary_node *nodes;
        summary_open(&summary, &nodes, expected[i].chunks);
        assert_int_equal(bb_summary_nodes(expected[i].chunks), expected[i].nodes);
        assert_int_equal(summary.level_count, expected[i].levels);
        /* the last node of the last level is the last node of the memory */
        assert_ptr_equal(summary.levels[summary.level_count - 1], nodes + expected[i].nodes - 1);
        free(nodes);
    }
    assert_int_equal(bb_summary_nodes((uint64_t)16000 << 10), 256000 + 4000 + 63 + 1);
}

static void random_members_match_the_model(void **state)
{
    (void)state;
    struct bb_random random;
    unit_seed(&random);

    enum { CHUNKS = 300000, STEPS = 4000 };
    static uint8_t member[BB_ORDER_COUNT][CHUNKS];
    static uint64_t used[STEPS];
    memset(member, 0, sizeof(member));
    struct bb_summary summary;
    struct bb_summary_node *nodes;
    summary_open(&summary, &nodes, CHUNKS);
    assert_int_equal(summary.level_count, 4);
    for (unsigned step = 0; step < STEPS; step++) {
        /* half of the steps undo something, so that words and nodes become empty again */
        unsigned order = (unsigned)bb_random_below(&random, BB_ORDER_COUNT);
        bool set = step == 0 || bb_random_below(&random, 2) != 0;
        uint64_t chunk =
            set ? bb_random_below(&random, CHUNKS) : used[bb_random_below(&random, step)];
        used[step] = chunk;
        if (set)
            bb_summary_set(&summary, order, chunk);
        for (unsigned k = 0; k < BB_ORDER_COUNT && !set; k++)
            bb_summary_clear(&summary, k, chunk);
        for (unsigned k = 0; k < BB_ORDER_COUNT; k++)
            member[k][chunk] = set ? member[k][chunk] || k == order : 0;
        for (unsigned k = 0; k < BB_ORDER_COUNT; k++) {
            assert_int_equal(bb_summary_has(&summary, k, chunk), member[k][chunk]);
            const uint8_t *first = memchr(member[k], 1, CHUNKS);
            if (first != NULL && step % 8 == 0)
                assert_int_equal(bb_summary_first(&summary, k), first - member[k]);
        }
        if (step % 256 == 0)
            bb_summary_verify(&summary, CHUNKS);
    }
    for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
        for (unsigned k = 0; k < BB_ORDER_COUNT; k++) {
            assert_int_equal(bb_summary_has(&summary, k, chunk), member[k][chunk]);
            bb_summary_clear(&summary, k, chunk);
        }
    }
    for (uint64_t i = 0; i < bb_summary_nodes(CHUNKS); i++) {
        for (unsigned k = 0; k < BB_ORDER_COUNT; k++)
            assert_int_equal(nodes[i].members[k], 0);
    }
    free(nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_and_levels_follow_the_number_of_chunks),
        cmocka_unit_test(random_members_match_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
