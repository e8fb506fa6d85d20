/* SPDX-License-Identifier: Apache-2.0
 * The set of acknowledged blocks, grown past its first room and emptied again. */
#include "bbbench/acked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#define BLOCKS 100000

static void every_block_survives_growing_and_leaves_once(void **state)
{
    (void)state;
    static uint8_t seen[BLOCKS];
    struct bb_acked acked;
    assert_int_equal(bb_acked_open(&acked), 0);
    size_t first_room = acked.room;
    assert_true(first_room < BLOCKS);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        struct bb_acked_block block = {.counter = i, .size = (uint32_t)i + 1};
        assert_int_equal(bb_acked_add(&acked, &block), 0);
    }
    assert_int_equal(acked.count, BLOCKS);
    while (acked.count > 0) {
        size_t index = acked.count * 7 / 11; /* never the last but at the end */
        struct bb_acked_block block = acked.blocks[index];
        assert_true(block.counter < BLOCKS);
        assert_int_equal(block.size, block.counter + 1);
        assert_int_equal(seen[block.counter], 0);
        seen[block.counter] = 1;
        bb_acked_remove(&acked, index);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(seen[i], 1);
    bb_acked_close(&acked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_survives_growing_and_leaves_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
