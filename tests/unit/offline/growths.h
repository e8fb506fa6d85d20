/* SPDX-License-Identifier: Apache-2.0
 * What the tests of growing share: a store on a simulated device that becomes larger, and copies of
 * it. Included once per test program.
 */
#ifndef OFFLINE_GROWTHS_H
#define OFFLINE_GROWTHS_H

#include "rig.h"

#include "bb/bits.h"
#include "bb/crosscheck.h"
#include "bb/err.h"
#include "bb/grow.h"
#include "bb/superblock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A device that runs a copy of a store; the oracle's certainty is the store's. */
static struct rig copy;

static inline void replace(struct rig *rig, struct bb_sim *sim, struct memindex *mem)
{
    rig_drop(rig);
    bb_sim_close(rig->sim);
    memindex_free(rig->mem);
    rig->sim = sim;
    rig->mem = mem;
}

static inline void copy_is(const struct rig *rig, const struct bb_sim *sim)
{
    copy.index_uuid = rig->index_uuid;
    memcpy(copy.allowed, rig->allowed, sizeof(copy.allowed));
    replace(&copy, bb_sim_clone(sim), memindex_clone(rig->mem));
}

/* The same bytes on a larger device, zeros or what somebody left there behind them. */
static inline struct bb_sim *enlarged(const struct bb_sim *sim, uint64_t old_size, uint64_t size,
                                      bool garbage)
{
    static uint8_t bytes[BB_MIB];
    struct bb_sim_config config = {.size = size, .in_order = true};
    struct bb_sim *larger = bb_sim_open(&config);
    for (uint64_t offset = 0; offset < size; offset += sizeof(bytes)) {
        uint64_t count = bb_min_u64(sizeof(bytes), size - offset);
        uint64_t kept = offset < old_size ? bb_min_u64(count, old_size - offset) : 0;
        memset(bytes, garbage ? 0x5a : 0, sizeof(bytes));
        if (kept > 0)
            bb_sim_peek(sim, offset, bytes, kept);
        if (garbage || !bb_is_zero(bytes, count))
            bb_sim_poke(larger, offset, bytes, count);
    }
    return larger;
}

static inline void enlarge(struct rig *rig, uint64_t size, bool garbage)
{
    struct bb_sim *larger = enlarged(rig->sim, bb_sim_io(rig->sim)->device_size, size, garbage);
    bb_sim_close(rig->sim);
    rig->sim = larger;
}

static inline void start(struct rig *rig)
{
    int error = rig_start(rig);
    if (error != 0)
        fail_msg("start: %d: %s", error, rig->explain.text);
}

static inline void stop(struct rig *rig)
{
    assert_int_equal(rig_stop(rig), 0);
}

/* PUTs ids from `first` on until one does not fit, or the last; the one behind the last stored. */
static inline uint32_t fill_up(struct rig *rig, uint32_t first, uint32_t end)
{
    for (uint32_t id = first; id < end; id++) {
        if (rig->allowed[id] == RIG_PRESENT)
            continue;
        int result = rig_do(rig, RIG_PUT, id);
        if (result != 0)
            return id;
    }
    return end;
}

static inline int check(struct rig *rig, struct bb_crosscheck_report *ret_report)
{
    struct bb_index index = memindex_index(rig->mem);
    struct bb_crosscheck_options options = {.deep = true};
    struct bb_recover_config config = {.io = bb_sim_io(rig->sim),
                                       .index = &index,
                                       .scratch = rig->scratch,
                                       .scratch_size = RIG_SCRATCH_SIZE};
    return bb_crosscheck_run(&config, &options, ret_report, &rig->explain);
}

static inline void assert_clean(struct rig *rig)
{
    struct bb_crosscheck_report report;
    if (check(rig, &report) != 0)
        fail_msg("check: %s", rig->explain.text);
    assert_int_equal(report.errors, 0);
    assert_int_equal(report.notes, 0);
}

static inline int grow(struct rig *rig, bool dry_run, struct bb_grow_report *ret_report)
{
    struct bb_index index = memindex_index(rig->mem);
    struct bb_grow_options options = {.dry_run = dry_run};
    struct bb_recover_config config = {.io = bb_sim_io(rig->sim),
                                       .index = &index,
                                       .scratch = rig->scratch,
                                       .scratch_size = RIG_SCRATCH_SIZE};
    return bb_grow_run(&config, &options, ret_report, &rig->explain);
}

static inline struct bb_layout layout_of(struct bb_sim *sim)
{
    struct bb_super_copies copies;
    int error = bb_super_load(bb_sim_io(sim), &copies);
    if (error != 0)
        fail_msg("superblocks: %d", error);
    return copies.super.layout;
}

/* A store of 33 MiB whose zones are `full` of blocks, some of them deleted again. */
static inline void open_store(struct rig *rig, uint64_t size, uint64_t zone_size, bool full)
{
    struct rig_config config = {.seed = 7,
                                .device_size = size,
                                .zone_size = zone_size,
                                .id_count = full ? 400 : 60,
                                .size_max = full ? 300000 : 20000,
                                .in_order = true};
    rig_open(rig, &config);
    rig_open(&copy, &config);
    start(rig);
    uint32_t end = fill_up(rig, 0, full ? 390 : 40);
    for (uint32_t id = 0; id < end; id += 3)
        assert_int_equal(rig_do(rig, RIG_DELETE, id), 0);
    stop(rig);
}

static inline void close_store(struct rig *rig)
{
    rig_close(rig);
    rig_close(&copy);
}

#endif
