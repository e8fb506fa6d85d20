/* SPDX-License-Identifier: Apache-2.0
 * The division of memory: never more than the whole, refused with a usable sentence. */
#include "bb/budget.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/index.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COST 12000u

static int make(uint64_t memory, size_t buddy, unsigned workers, unsigned connections,
                struct bb_budget *ret_budget, char ret_sentence[static 256])
{
    struct bb_budget_need need = {.memory = memory,
                                  .buddy = buddy,
                                  .workers = workers,
                                  .connections = connections,
                                  .connection_cost = COST};
    return bb_budget_make(&need, ret_budget, ret_sentence, 256);
}

static void the_default_is_a_share_of_the_machine_within_bounds(void **state)
{
    (void)state;
    assert_int_equal(bb_budget_default_memory(0), 24 * BB_MIB);
    assert_int_equal(bb_budget_default_memory(100 * BB_MIB), 24 * BB_MIB);
    assert_int_equal(bb_budget_default_memory(3200 * BB_MIB), 100 * BB_MIB);
    assert_int_equal(bb_budget_default_memory(BB_GIB), 32 * BB_MIB);
    assert_int_equal(bb_budget_default_memory(64 * BB_GIB), 256 * BB_MIB);
}

static void a_control_group_that_allows_less_is_named(void **state)
{
    (void)state;
    struct bb_budget budget;
    char sentence[256];
    struct bb_budget_need need = {.memory = 64 * BB_MIB,
                                  .limit = 80 * BB_MIB - 1,
                                  .buddy = BB_MIB,
                                  .workers = 1,
                                  .connections = 64,
                                  .connection_cost = COST};
    assert_int_equal(bb_budget_make(&need, &budget, sentence, sizeof(sentence)), BB_ERR_MEMORY);
    assert_non_null(strstr(sentence, "control group"));
    need.limit++;
    assert_int_equal(bb_budget_make(&need, &budget, sentence, sizeof(sentence)), 0);
}

static void connections_with_tls_are_paid_for_by_the_io_buffers(void **state)
{
    (void)state;
    struct bb_budget plain, tls;
    char sentence[256];
    struct bb_budget_need need = {.memory = 256 * BB_MIB,
                                  .buddy = BB_MIB,
                                  .workers = 1,
                                  .connections = 64,
                                  .connection_cost = COST,
                                  .tls_cost = BB_MIB};
    assert_int_equal(bb_budget_make(&need, &plain, sentence, sizeof(sentence)), 0);
    assert_int_equal(plain.tls_connections, 0);
    need.tls_connections = 10;
    assert_int_equal(bb_budget_make(&need, &tls, sentence, sizeof(sentence)), 0);
    assert_int_equal(tls.tls_connections, 10);
    assert_int_equal(plain.io_per_worker - tls.io_per_worker, 10 * BB_MIB);
    need.tls_connections = 200;
    assert_int_equal(bb_budget_make(&need, &tls, sentence, sizeof(sentence)), BB_ERR_MEMORY);
}

static void the_parts_never_exceed_the_whole(void **state)
{
    (void)state;
    char sentence[256];
    unsigned made = 0;
    for (uint64_t memory = BB_MEMORY_MIN; memory <= 2 * BB_GIB; memory += 7 * BB_MIB) {
        for (unsigned workers = 1; workers <= 64; workers *= 4) {
            for (size_t buddy = 4096; buddy <= 64 * BB_MIB; buddy *= 8) {
                struct bb_budget budget;
                if (make(memory, buddy, workers, 1024, &budget, sentence) != 0)
                    continue;
                made++;
                uint64_t lmdb = (uint64_t)budget.slice_max * 4096;
                uint64_t sum = budget.delta + lmdb + buddy + 1024ull * COST +
                               (uint64_t)budget.workers * budget.io_per_worker;
                assert_true(sum <= memory);
                assert_true(budget.workers >= 1 && budget.workers <= workers);
                assert_true(budget.io_per_worker >= 2 * BB_MIB);
                assert_int_equal(budget.io_per_worker % BB_MIB, 0);
                assert_true(budget.slice_max > 0 && budget.slice_max <= BB_INDEX_SLICE_MAX);
            }
        }
    }
    assert_true(made > 1000);
}

static void the_smallest_memory_serves_the_default_number_of_connections(void **state)
{
    (void)state;
    struct bb_budget budget;
    char sentence[256];
    assert_int_equal(make(BB_MEMORY_MIN, 65536, 8, 1024, &budget, sentence), 0);
    assert_int_equal(budget.workers, 1);
}

static void what_does_not_fit_is_refused_and_the_named_size_is_enough(void **state)
{
    (void)state;
    struct bb_budget budget = {.memory = 0};
    char sentence[256];
    assert_int_equal(make(BB_MEMORY_MIN, 64 * BB_MIB, 2, 1024, &budget, sentence), BB_ERR_MEMORY);
    assert_int_equal(budget.memory, 0);
    const char *size = strstr(sentence, "--memory ");
    assert_non_null(size);
    uint64_t enough = strtoull(size + strlen("--memory "), NULL, 10) * BB_MIB;
    assert_int_equal(make(enough, 64 * BB_MIB, 2, 1024, &budget, sentence), 0);
    assert_int_equal(make(enough - BB_MIB, 64 * BB_MIB, 2, 1024, &budget, sentence), BB_ERR_MEMORY);
    assert_int_equal(make(BB_MEMORY_MIN, 4096, 2, 10000, &budget, sentence), BB_ERR_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_is_a_share_of_the_machine_within_bounds),
        cmocka_unit_test(a_control_group_that_allows_less_is_named),
        cmocka_unit_test(connections_with_tls_are_paid_for_by_the_io_buffers),
        cmocka_unit_test(the_parts_never_exceed_the_whole),
        cmocka_unit_test(the_smallest_memory_serves_the_default_number_of_connections),
        cmocka_unit_test(what_does_not_fit_is_refused_and_the_named_size_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
