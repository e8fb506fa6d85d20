/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the scrub share: a store that is scrubbed, passes over it, damage of its pages.
 * Included once per test program.
 */
#ifndef STORE_SCRUBS_H
#define STORE_SCRUBS_H

#include "bench.h"

static const struct rig_config scrubbed = {
    .seed = 1, .size_fixed = 6000, .scrub = {.rate = 1u << 30, .share = 100}};

static inline struct bb_scrub_status scrub(void)
{
    struct bb_scrub_status status;
    bb_scrub_get_status(rig.store, &status);
    return status;
}

static inline uint64_t findings(void)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < BB_SCRUB_KIND_COUNT; i++)
        count += scrub().findings[i];
    return count;
}

static inline void let_it_run(uint64_t passes)
{
    unsigned still = 0;
    while (scrub().row.passes < passes) {
        still = rig_turn(&rig) ? 0 : still + 1;
        rig.now_ms += still > 3 ? 5 : 0;
        assert_true(still < 10000);
        assert_int_equal(rig.fatal, 0);
    }
}

/* One pass from the first page on. */
static inline void pass(void)
{
    let_it_run(scrub().running ? scrub().row.passes + 1 : scrub().row.passes);
    uint64_t before = scrub().row.passes;
    bb_scrub_start(rig.store);
    rig.woken = true;
    let_it_run(before + 1);
    assert_true(rig_idle(&rig, 100));
}

/* Ids 1 to 40 stored and folded. */
static inline void open_full(const struct rig_config *config)
{
    bench_open(config);
    for (uint32_t id = 1; id <= 40; id++)
        assert_int_equal(rig_do(&rig, RIG_PUT, id), 0);
    assert_true(rig_checkpoint(&rig));
    assert_true(rig_idle(&rig, 100));
}

static inline void assert_all_is_well(uint64_t blocks)
{
    uint64_t before = findings(), hashed = scrub().blocks;
    pass();
    assert_int_equal(findings(), before);
    assert_int_equal(scrub().blocks - hashed, blocks);
    assert_int_equal(scrub().row.pass_findings, 0);
    assert_int_equal(scrub().row.last_clean_s, scrub().row.last_ended_s);
    assert_int_equal(rig_check(&rig), 0);
    bench_verify_balance();
}

static inline void assert_found(enum bb_scrub_kind kind, enum bb_scrub_outcome outcome,
                                uint64_t count)
{
    assert_int_equal(scrub().findings[kind], count);
    assert_int_equal(scrub().outcomes[outcome], count);
    assert_int_equal(findings(), count);
    assert_int_equal(rig.finding_count, count);
}

/* ---- damage ---- */

static inline uint64_t page_of(uint32_t id, uint32_t *ret_entry)
{
    assert_int_not_equal(rig.unit[id], 0);
    return bb_layout_page_of(&rig.recovered.super.layout, rig.unit[id], ret_entry);
}

static inline uint64_t slot_at(uint64_t page, unsigned slot)
{
    return bb_layout_slot_offset(&rig.recovered.super.layout, page, slot);
}

static inline void read_slot(uint64_t page, unsigned slot, struct bb_disk_page *ret_page)
{
    bb_sim_peek(rig.sim, slot_at(page, slot), ret_page, sizeof(*ret_page));
}

static inline unsigned newest_slot(uint64_t page, struct bb_page_header *ret_header)
{
    static struct bb_disk_page slot;
    struct bb_page_header header[2];
    for (unsigned i = 0; i < 2; i++) {
        read_slot(page, i, &slot);
        assert_int_equal(bb_page_check(&slot, &rig.recovered.super.store, page, &header[i]), 0);
    }
    unsigned newest = header[1].generation > header[0].generation;
    *ret_header = header[newest];
    return newest;
}

static inline void damage_slot(uint64_t page, unsigned slot)
{
    uint8_t byte;
    bb_sim_peek(rig.sim, slot_at(page, slot) + 2000, &byte, 1);
    byte ^= 1;
    bb_sim_poke(rig.sim, slot_at(page, slot) + 2000, &byte, 1);
}

/* Puts another entry, or none, into the newest slot of the page of `id`, properly sealed. */
static inline void forge(uint32_t id, const struct bb_entry *entry)
{
    static struct bb_disk_page page;
    struct bb_page_header header;
    uint32_t index;
    uint64_t number = page_of(id, &index);
    unsigned slot = newest_slot(number, &header);
    read_slot(number, slot, &page);
    if (entry != NULL)
        bb_entry_set(&page, index, entry);
    else
        bb_entry_clear(&page, index);
    bb_page_seal(&page, &rig.recovered.super.store, &header);
    bb_sim_poke(rig.sim, slot_at(number, slot), &page, sizeof(page));
}

static inline struct bb_entry entry_of(uint32_t id)
{
    return (struct bb_entry){.hash = rig.hashes[id], .size = rig.sizes[id]};
}

/* The index is lost: the pages alone still know everything. */
static inline void rebuild_from_pages(void)
{
    memindex_wipe(rig.mem);
    rig_drop(&rig);
    assert_int_equal(rig_rebuild(&rig), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_check(&rig), 0);
}

#endif
