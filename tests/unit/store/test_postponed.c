/* SPDX-License-Identifier: Apache-2.0
 * The last room of the ring: a window that is too large for it waits while the record that frees
 * the ring goes before it.
 */
#include "bench.h"

#define IDS 3000u

static struct call calls[IDS];

/* The index stands still, so the ring fills up with small records and then with one window as large
 * as windows get. */
static void a_full_window_waits_for_the_record_that_frees_the_ring(void **state)
{
    (void)state;
    static const struct rig_config config = {.seed = 1,
                                             .device_size = 96 * BB_MIB,
                                             .id_count = IDS,
                                             .size_fixed = 700,
                                             .memory = 2 << 20};
    bench_open(&config);
    void *buf = bench_buffer();
    for (uint32_t id = 0; id < IDS; id++) {
        call_put(&calls[id], id, buf);
        assert_int_equal(call_wait(&calls[id]), 0);
        if (id % 100 == 99)
            assert_true(rig_checkpoint(&rig));
    }
    rig.index_paused = true;
    uint32_t id = 0;
    while (id < IDS && !rig_ring_is_full(&rig)) {
        call_delete(&calls[id], id);
        id++;
        bench_turns(20);
    }
    assert_true(rig_ring_is_full(&rig));
    assert_true(id + BB_RECORD_ITEMS_MAX < IDS);
    uint32_t first = id - 1;
    while (id < IDS) {
        call_delete(&calls[id], id);
        id++;
    }
    bench_turns(20);
    assert_false(calls[first].done);
    rig.index_paused = false;
    for (uint32_t i = 0; i < IDS; i++)
        assert_int_equal(call_wait(&calls[i]), 0);
    free(buf);
    bench_verify_balance();
    assert_int_equal(rig_status(&rig).block_count, 0);
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_window_waits_for_the_record_that_frees_the_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
