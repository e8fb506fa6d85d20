/* SPDX-License-Identifier: Apache-2.0
 * The start that only reads: after crashes of random histories it serves what recovery of the same
 * devices serves, with its own index and engine, and never writes.
 */
#include "bench.h"
#include "naive.h"

#include "bb/fill.h"
#include "bb/superblock.h"

#define IDS 200

static const struct rig_config plain = {
    .seed = 1, .id_count = IDS, .size_max = 9000, .slice_max = 16, .fault_percent = 30};

static void operate(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t id = (uint32_t)bb_random_below(&rig.random, IDS);
        (void)rig_submit(&rig, i % 4 == 3 ? RIG_DELETE : RIG_PUT, id);
        if (bb_random_below(&rig.random, 8) == 0)
            (void)rig_turn(&rig);
        if (bb_random_below(&rig.random, 200) == 0)
            bb_store_checkpoint(rig.store);
    }
}

/* The power fails, or the process dies, in the middle of what it did. */
static void crash(bool power)
{
    rig_drop(&rig);
    struct memindex *after = memindex_clone(rig.mem);
    memindex_free(rig.mem);
    rig.mem = after;
    if (power)
        bb_sim_power_cut(rig.sim, bb_sim_choose_random, &rig.random);
    else
        bb_sim_kill(rig.sim);
}

/* What recovery makes of a copy of the devices. */
static struct bb_hash recovered_content(void)
{
    struct bb_hash content;
    struct bb_sim *sim = rig.sim;
    struct memindex *mem = rig.mem;
    rig.sim = bb_sim_clone(sim);
    rig.mem = memindex_clone(mem);
    assert_int_equal(rig_recover(&rig), 0);
    naive_content(rig.mem, &content);
    bb_sim_close(rig.sim);
    memindex_free(rig.mem);
    rig.sim = sim;
    rig.mem = mem;
    return content;
}

static struct bb_hash shown_content(void)
{
    struct bb_index index;
    struct bb_hash content;
    bb_replay_index(&rig.replay, &index);
    naive_content_of(&index, &content);
    return content;
}

static void it_serves_what_recovery_would_and_writes_nothing(void **state)
{
    (void)state;
    uint64_t seed = unit_seed_value();
    uint64_t dropped = 0, replayed = 0;
    /* few cuts leave a block to be dropped: with one seed in a hundred none of sixty did */
    for (unsigned round = 0; round < 60 || (dropped == 0 && round < 2000); round++) {
        struct rig_config config = plain;
        config.seed = seed + round;
        bench_open(&config);
        operate(100 + (unsigned)bb_random_below(&rig.random, 600));
        crash(round % 2 == 0);
        struct bb_hash wanted = recovered_content(), before, after;
        struct bb_digest index_before, index_after;
        bb_sim_digest(rig.sim, &before);
        memindex_digest(rig.mem, &index_before);
        uint64_t written = rig_written(&rig);
        assert_int_equal(rig_start_read_only(&rig), 0);
        struct bb_hash found = shown_content();
        assert_true(bb_hash_equal(&found, &wanted));
        assert_int_equal(rig_check(&rig), 0); /* what was acknowledged, to the byte */
        replayed += rig.replay.wanted;
        dropped += rig.recovered.report.dropped;
        assert_false(rig_status(&rig).writable);
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig_written(&rig), written);
        bb_sim_digest(rig.sim, &after);
        memindex_digest(rig.mem, &index_after);
        assert_true(bb_hash_equal(&before, &after));
        assert_memory_equal(&index_before, &index_after, sizeof(index_before));
        assert_int_equal(rig_start(&rig), 0); /* and the store is none the worse */
        assert_int_equal(rig_check(&rig), 0);
        bench_close();
    }
    assert_true(replayed > 0);
    assert_true(dropped > 0);
}

struct asked {
    const struct bb_hash *after, *below;
    const struct bb_index *index;
    struct bb_hash last;
    uint64_t count;
};

static int count_entry(void *context, const struct bb_hash *hash,
                       const struct bb_index_entry *entry)
{
    struct asked *asked = context;
    struct bb_index_entry looked_up;
    assert_true(asked->count == 0 || bb_hash_compare(&asked->last, hash) < 0);
    assert_true(asked->after == NULL || bb_hash_compare(hash, asked->after) > 0);
    assert_true(asked->below == NULL || bb_hash_compare(hash, asked->below) < 0);
    assert_int_equal(asked->index->ops->lookup(asked->index->context, hash, &looked_up), 0);
    assert_int_equal(looked_up.unit, entry->unit);
    assert_int_equal(looked_up.flags, entry->flags);
    asked->last = *hash;
    asked->count++;
    return 0;
}

static uint64_t scan(const struct bb_index *index, const struct bb_hash *after,
                     const struct bb_hash *below)
{
    struct asked asked = {.after = after, .below = below, .index = index};
    assert_int_equal(index->ops->scan(index->context, after, below, count_entry, &asked), 0);
    return asked.count;
}

/* Ids 0 to 99 in the index; 0 to 29 of them deleted and 100 to 149 stored since. */
static void open_layers(void)
{
    struct rig_config config = plain;
    config.journal_size = 4 * BB_MIB; /* no checkpoint but this one */
    bench_open(&config);
    for (uint32_t id = 0; id < 100; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
    for (uint32_t id = 0; id < 30; id++)
        assert_int_equal(rig_do(&rig, RIG_DELETE, id), 0);
    for (uint32_t id = 100; id < 150; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_idle(&rig, 100)); /* the watermark is on disk: nothing will be dropped */
    crash(false);
}

static void a_range_of_the_index_shows_both_layers_in_order(void **state)
{
    (void)state;
    open_layers();
    assert_int_equal(rig_start_read_only(&rig), 0);
    struct bb_index index;
    struct bb_index_entry entry;
    struct bb_index_state row;
    bb_replay_index(&rig.replay, &index);
    assert_int_equal(scan(&index, NULL, NULL), 120);
    for (uint32_t id = 0; id < 150; id++) {
        const struct bb_hash *hash = &rig.hashes[id];
        int wanted = id < 30 ? -ENOENT : 0;
        assert_int_equal(index.ops->lookup(index.context, hash, &entry), wanted);
        uint64_t both = scan(&index, NULL, hash) + scan(&index, hash, NULL);
        assert_int_equal(both, wanted == 0 ? 119 : 120);
    }
    assert_int_equal(index.ops->state(index.context, &row), 0);
    assert_int_equal(row.set.count, 120);
    struct bb_index_fold fold = {.epoch = 9};
    uint64_t room;
    assert_int_equal(index.ops->fold(index.context, &fold, &row.set, &room), -EROFS);
    rig_drop(&rig);
    bench_close();
}

static void too_little_memory_is_told_with_what_is_needed(void **state)
{
    (void)state;
    open_layers();
    uint64_t written = rig_written(&rig);
    rig.config.memory = 79 * BB_REPLAY_ITEM_COST;
    assert_int_equal(rig_start_read_only(&rig), BB_ERR_MEMORY);
    assert_int_equal(rig.replay.wanted, 80);
    rig_drop(&rig);
    rig.config.memory = 80 * BB_REPLAY_ITEM_COST; /* exactly enough */
    assert_int_equal(rig_start_read_only(&rig), 0);
    assert_int_equal(rig_check(&rig), 0);
    rig_drop(&rig);
    assert_int_equal(rig_written(&rig), written);
    bench_close();
}

static void wrong_bytes_are_remembered_and_not_marked(void **state)
{
    (void)state;
    for (unsigned full = 0; full < 2; full++) {
        open_layers();
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_check(&rig), 0);
        assert_int_equal(rig_do(&rig, RIG_PUT, 150), 0);
        assert_true(rig_idle(&rig, 100));
        assert_true(rig_rot(&rig, 120));
        crash(false);
        uint64_t written = rig_written(&rig);
        const size_t memory = rig.config.memory;
        if (full == 1)
            rig.config.memory = BB_REPLAY_ITEM_COST; /* no room to remember it */
        assert_int_equal(rig_start_read_only(&rig), 0);
        uint8_t rotten = rig.allowed[120];
        assert_int_equal(rig_do(&rig, RIG_GET, 120), 0); /* wrong bytes, seen by the rig */
        assert_int_equal(bench_lookup(120), full == 1 ? 0 : BB_ERR_CORRUPT);
        assert_int_equal(bench_lookup(121), 0);
        assert_int_equal(rig_status(&rig).marks, 1);
        assert_int_equal(rig_stop(&rig), 0);
        assert_int_equal(rig_written(&rig), written);
        rig.config.memory = memory;
        rig.allowed[120] = rotten; /* forgotten */
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(bench_lookup(120), 0);
        bench_close();
    }
}

static void writes_are_refused(void **state)
{
    (void)state;
    open_layers();
    assert_int_equal(rig_start_read_only(&rig), 0);
    static struct call call;
    void *buf = bench_buffer();
    call_put(&call, 160, buf);
    assert_int_equal(call_wait(&call), BB_ERR_NOT_READY);
    call_delete(&call, 40);
    assert_int_equal(call_wait(&call), BB_ERR_NOT_READY);
    assert_int_equal(bench_lookup(40), 0);
    free(buf);
    assert_int_equal(rig_stop(&rig), 0);
    bench_close();
}

static void nothing_is_due_while_it_stands_idle(void **state)
{
    (void)state;
    open_layers();
    uint64_t written = rig_written(&rig);
    assert_int_equal(rig_start_read_only(&rig), 0);
    bb_store_checkpoint(rig.store);
    assert_true(rig_idle(&rig, 100000));
    assert_int_equal(rig_written(&rig), written);
    rig_drop(&rig);
    bench_close();
}

static void a_clean_store_stays_marked_clean(void **state)
{
    (void)state;
    open_layers();
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start_read_only(&rig), 0);
    assert_int_equal(rig.replay.wanted, 0);
    assert_true(rig.recovered.report.was_clean);
    assert_int_equal(rig_check(&rig), 0);
    assert_int_equal(rig_stop(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_true(rig.recovered.report.was_clean);
    bench_close();
}

static void a_damaged_superblock_copy_is_left_as_it_is(void **state)
{
    (void)state;
    open_layers();
    const uint8_t rot = 0x77;
    uint8_t byte;
    uint64_t offset = bb_layout_super_offset(rig.config.device_size, 2) + 100;
    bb_sim_poke(rig.sim, offset, &rot, 1);
    assert_int_equal(rig_start_read_only(&rig), 0);
    assert_int_equal(rig.recovered.report.super_copies_healed, 1);
    assert_int_equal(rig_check(&rig), 0);
    assert_int_equal(rig_stop(&rig), 0);
    bb_sim_peek(rig.sim, offset, &byte, 1);
    assert_int_equal(byte, rot);
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_serves_what_recovery_would_and_writes_nothing),
        cmocka_unit_test(a_range_of_the_index_shows_both_layers_in_order),
        cmocka_unit_test(too_little_memory_is_told_with_what_is_needed),
        cmocka_unit_test(wrong_bytes_are_remembered_and_not_marked),
        cmocka_unit_test(writes_are_refused),
        cmocka_unit_test(nothing_is_due_while_it_stands_idle),
        cmocka_unit_test(a_clean_store_stays_marked_clean),
        cmocka_unit_test(a_damaged_superblock_copy_is_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
