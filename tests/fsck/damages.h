/* SPDX-License-Identifier: Apache-2.0
 * A damage for each finding of bbfsck, done to a small store written by hand. Included once per
 * test program.
 */
#ifndef FSCK_DAMAGES_H
#define FSCK_DAMAGES_H

#include "scene.h"

#include "bb/err.h"
#include "bb/superblock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct act {
    struct scribe *scribe;
    struct scribe *other; /* of an index from elsewhere */
    struct scene scene;
    bool lossy;          /* what is there afterwards is not what was acknowledged */
    unsigned survivors;  /* then: keys that must be there all the same, as bits */
    uint64_t bad_offset; /* 0, or where reads fail */
};

static uint64_t unit_at(const struct act *act, uint64_t page, uint32_t entry)
{
    return bb_layout_unit_of(&act->scribe->super.layout, page, entry);
}

static void put(struct act *act, unsigned key, uint64_t page, uint32_t entry)
{
    scribe_put(act->scribe, key, unit_at(act, page, entry), true);
}

/* Blocks 0, 4 (marked) and 7 in pages 0, 1 and 2, in the checkpoint; block 3 behind it. */
static void start(struct act *act)
{
    *act = (struct act){.scribe = scribe_new(1, 2)};
    put(act, 0, 0, 3);
    put(act, 4, 1, 30);
    put(act, 7, 2, 10);
    scribe_commit(act->scribe);
    scribe_mark(act->scribe, 4);
    scribe_commit(act->scribe);
    scribe_checkpoint(act->scribe);
    put(act, 3, 0, 5);
    scribe_commit(act->scribe);
}

static void stop(struct act *act)
{
    scribe_stop(act->scribe);
    scene_init(&act->scene, act->scribe->sim, act->scribe->mem);
}

static void cut(struct act *act)
{
    bb_sim_power_cut(act->scribe->sim, bb_sim_choose_all, NULL);
    scene_init(&act->scene, act->scribe->sim, act->scribe->mem);
}

static uint64_t copy_offset(const struct act *act, unsigned copy)
{
    return bb_layout_super_offset(act->scribe->io->device_size, copy);
}

static uint64_t ring_offset(const struct act *act, uint64_t position)
{
    return act->scribe->super.layout.journal_offset + position * BB_UNIT_SIZE;
}

static void damage_slot(struct act *act, uint64_t page, unsigned slot)
{
    scene_flip(&act->scene, bb_layout_slot_offset(&act->scribe->super.layout, page, slot) + 2000);
}

/* ---- 1xx ---- */

static void super_damaged(struct act *act)
{
    stop(act);
    scene_flip(&act->scene, copy_offset(act, 3) + 99);
}

static void super_damaged_again(struct act *act)
{
    scene_flip(&act->scene, copy_offset(act, 1) + 99);
}

static void super_older(struct act *act)
{
    uint8_t copy[BB_UNIT_SIZE];
    bb_sim_peek(act->scribe->sim, copy_offset(act, 2), copy, sizeof(copy));
    stop(act);
    bb_sim_poke(act->scribe->sim, copy_offset(act, 2), copy, sizeof(copy));
}

static void super_lost(struct act *act)
{
    stop(act);
    scene_flip(&act->scene, copy_offset(act, 1) + 99);
    scene_flip(&act->scene, copy_offset(act, 2) + 99);
    scene_flip(&act->scene, copy_offset(act, 4) + 99);
}

/* ---- 2xx ---- */

static void not_stopped(struct act *act)
{
    cut(act);
}

static void tail_torn(struct act *act)
{
    put(act, 5, 3, 40);
    assert_true(scribe_record(act->scribe));
    cut(act);
    scene_flip(&act->scene, ring_offset(act, act->scribe->last.position) + 200);
}

static void dropped(struct act *act)
{
    scribe_put(act->scribe, 5, unit_at(act, 3, 40), false);
    assert_true(scribe_record(act->scribe));
    cut(act);
}

/* Block 5 and the DELETE of block 0 stood in the record that is lost; block 6 behind it. */
static void record_lost(struct act *act)
{
    put(act, 5, 3, 40);
    scribe_delete(act->scribe, 0);
    scribe_commit(act->scribe);
    uint64_t lost = act->scribe->last.position;
    put(act, 6, 0, 3); /* where block 0 was */
    scribe_commit(act->scribe);
    assert_true(scribe_record(act->scribe));
    cut(act);
    scene_flip(&act->scene, ring_offset(act, lost) + 200);
    act->lossy = true;
    act->survivors = 1u << 6 | 1u << 7 | 1u << 3;
}

static void mark_not_reached(struct act *act)
{
    stop(act);
    scene_flip(&act->scene, ring_offset(act, act->scribe->last.position) + 200);
}

static void anchor_missing(struct act *act)
{
    stop(act);
    scene_flip(&act->scene, ring_offset(act, act->scribe->anchor.position) + 9);
}

/* Right after a start there is no record behind the anchor's. */
static void anchor_missing_and_none_behind(struct act *act)
{
    struct bb_recovered recovered;
    stop(act);
    assert_int_equal(scene_recover(&act->scene, &recovered), 0);
    scene_flip(&act->scene, ring_offset(act, recovered.last.position) + 9);
}

static struct bb_sim_fault fail_over(void *context, const struct bb_io_request *request,
                                     uint64_t number)
{
    uint64_t offset = ((const struct act *)context)->bad_offset;
    (void)number;
    if (request->op == BB_IO_READ && offset >= request->offset &&
        offset < request->offset + request->size)
        return (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = -EIO, .applied = BB_SIM_NOT};
    return (struct bb_sim_fault){.kind = BB_SIM_PASS};
}

static void journal_unreadable(struct act *act)
{
    stop(act);
    act->bad_offset = ring_offset(act, 100);
    bb_sim_set_fault(act->scribe->sim, fail_over, act);
}

static void journal_impossible(struct act *act)
{
    struct bb_item item = {
        .op = BB_ITEM_PUT, .size = 5, .unit = unit_at(act, 0, 5), .hash = scribe_hash(2)};
    scribe_raw(act->scribe, &item); /* block 3 stands there */
    scribe_commit(act->scribe);
    cut(act);
}

/* ---- 3xx ---- */

static void slot_torn(struct act *act)
{
    cut(act);
    damage_slot(act, 0, 0); /* the item of block 3 mentions it */
}

static void slot_damaged(struct act *act)
{
    stop(act);
    damage_slot(act, 1, 1);
}

static void page_lost(struct act *act)
{
    stop(act);
    damage_slot(act, 1, 0);
    damage_slot(act, 1, 1);
}

/* The newest slot of a page, changed by `change` and sealed again. */
static void edit_page(struct act *act, uint64_t number,
                      void (*change)(struct act *act, struct bb_disk_page *page))
{
    struct bb_disk_page pages[2];
    struct bb_page_header header[2];
    const struct bb_super *super = &act->scribe->super;
    for (unsigned slot = 0; slot < 2; slot++) {
        bb_sim_peek(act->scribe->sim, bb_layout_slot_offset(&super->layout, number, slot),
                    &pages[slot], BB_UNIT_SIZE);
        assert_int_equal(bb_page_check(&pages[slot], &super->store, number, &header[slot]), 0);
    }
    unsigned newest = header[0].generation > header[1].generation ? 0 : 1;
    change(act, &pages[newest]);
    bb_page_seal(&pages[newest], &super->store, &header[newest]);
    bb_sim_poke(act->scribe->sim, bb_layout_slot_offset(&super->layout, number, newest),
                &pages[newest], BB_UNIT_SIZE);
}

static void set_entry(struct bb_disk_page *page, uint32_t at, unsigned key)
{
    struct bb_entry entry = {.hash = scribe_hash(key), .size = scribe_size(key)};
    bb_entry_set(page, at, &entry);
}

static void impossible(struct act *act, struct bb_disk_page *page)
{
    (void)act;
    page->entries[50].size_flags = bb_le32_make(BB_ENTRY_PRESENT | 0x200000);
}

static void entry_impossible(struct act *act)
{
    stop(act);
    edit_page(act, 2, impossible);
}

static void inside_block_7(struct act *act, struct bb_disk_page *page)
{
    (void)act;
    set_entry(page, 20, 2);
}

static void overlap(struct act *act)
{
    stop(act);
    edit_page(act, 2, inside_block_7);
}

static void block_0_again(struct act *act, struct bb_disk_page *page)
{
    (void)act;
    set_entry(page, 20, 0);
}

static void twice(struct act *act)
{
    stop(act);
    edit_page(act, 3, block_0_again);
}

static void without_block_7(struct act *act, struct bb_disk_page *page)
{
    (void)act;
    bb_entry_clear(page, 10);
}

static void not_in_pages(struct act *act)
{
    stop(act);
    edit_page(act, 2, without_block_7);
}

/* ---- 4xx ---- */

static void tamper(struct act *act, unsigned key, bool present, uint64_t unit, bool corrupt)
{
    struct bb_change change = {.hash = scribe_hash(key),
                               .unit = unit,
                               .size = scribe_size(key),
                               .present = present,
                               .corrupt = corrupt};
    memindex_tamper(act->scribe->mem, &change);
}

static struct bb_index_state row_of(struct act *act)
{
    struct bb_index index = memindex_index(act->scribe->mem);
    struct bb_index_state row;
    assert_int_equal(index.ops->state(index.context, &row), 0);
    return row;
}

static void index_missing(struct act *act)
{
    stop(act);
    memindex_wipe(act->scribe->mem);
}

static void index_damaged(struct act *act)
{
    stop(act);
    act->scene.index_broken = true;
}

static void index_foreign(struct act *act)
{
    stop(act);
    act->other = scribe_new(2, 0);
    act->scene.mem = act->other->mem;
}

static void index_replaced(struct act *act)
{
    stop(act);
    struct bb_index_state row = row_of(act);
    row.index.bytes[3] ^= 1;
    memindex_put_state(act->scribe->mem, &row);
}

static void index_older(struct act *act)
{
    struct memindex *older = memindex_clone(act->scribe->mem);
    stop(act);
    memindex_free(act->scribe->mem);
    act->scribe->mem = older;
    act->scene.mem = older;
}

static void data_older(struct act *act)
{
    struct bb_sim *older = bb_sim_clone(act->scribe->sim);
    put(act, 5, 3, 40);
    scribe_commit(act->scribe);
    stop(act);
    bb_sim_close(act->scribe->sim);
    act->scribe->sim = older;
    act->scribe->io = bb_sim_io(older);
    act->scene.sim = older;
    act->lossy = true;
    act->survivors = 1u << 0 | 1u << 7 | 1u << 3;
}

static void not_in_index(struct act *act)
{
    stop(act);
    tamper(act, 0, false, 0, false);
}

static void different(struct act *act)
{
    stop(act);
    tamper(act, 7, true, act->scribe->unit[7] + 30, false);
}

static void index_set(struct act *act)
{
    stop(act);
    struct bb_index_state row = row_of(act);
    row.set.count++;
    memindex_put_state(act->scribe->mem, &row);
}

static void index_impossible(struct act *act)
{
    stop(act);
    tamper(act, 7, true, 5, false);
}

static void mark_differs(struct act *act)
{
    stop(act);
    tamper(act, 4, true, act->scribe->unit[4], false);
}

/* ---- 5xx ---- */

static void bytes_wrong(struct act *act)
{
    stop(act);
    scene_flip(&act->scene, act->scribe->unit[7] * BB_UNIT_SIZE + 5000);
    act->scribe->allowed[7] = 1u << SCRIBE_MARKED;
}

static void block_unreadable(struct act *act)
{
    stop(act);
    act->bad_offset = act->scribe->unit[7] * BB_UNIT_SIZE + BB_UNIT_SIZE;
    bb_sim_set_fault(act->scribe->sim, fail_over, act);
    act->scribe->allowed[7] = 1u << SCRIBE_MARKED;
}

static const struct damage {
    enum bb_finding_kind kind;
    void (*make)(struct act *act);
} damages[] = {
    {BB_FINDING_SUPER_DAMAGED, super_damaged},
    {BB_FINDING_SUPER_OLDER, super_older},
    {BB_FINDING_SUPER_LOST, super_lost},
    {BB_FINDING_NOT_STOPPED, not_stopped},
    {BB_FINDING_TAIL_TORN, tail_torn},
    {BB_FINDING_DROPPED, dropped},
    {BB_FINDING_RECORD_LOST, record_lost},
    {BB_FINDING_MARK_NOT_REACHED, mark_not_reached},
    {BB_FINDING_ANCHOR_MISSING, anchor_missing},
    {BB_FINDING_ANCHOR_MISSING, anchor_missing_and_none_behind},
    {BB_FINDING_JOURNAL_UNREADABLE, journal_unreadable},
    {BB_FINDING_JOURNAL_IMPOSSIBLE, journal_impossible},
    {BB_FINDING_SLOT_TORN, slot_torn},
    {BB_FINDING_SLOT_DAMAGED, slot_damaged},
    {BB_FINDING_PAGE_LOST, page_lost},
    {BB_FINDING_ENTRY_IMPOSSIBLE, entry_impossible},
    {BB_FINDING_OVERLAP, overlap},
    {BB_FINDING_TWICE, twice},
    {BB_FINDING_NOT_IN_PAGES, not_in_pages},
    {BB_FINDING_PAGES_SET, not_in_pages},
    {BB_FINDING_INDEX_MISSING, index_missing},
    {BB_FINDING_INDEX_DAMAGED, index_damaged},
    {BB_FINDING_INDEX_FOREIGN, index_foreign},
    {BB_FINDING_INDEX_REPLACED, index_replaced},
    {BB_FINDING_INDEX_OLDER, index_older},
    {BB_FINDING_DATA_OLDER, data_older},
    {BB_FINDING_NOT_IN_INDEX, not_in_index},
    {BB_FINDING_DIFFERENT, different},
    {BB_FINDING_INDEX_SET, index_set},
    {BB_FINDING_INDEX_IMPOSSIBLE, index_impossible},
    {BB_FINDING_MARK_DIFFERS, mark_differs},
    {BB_FINDING_BYTES_WRONG, bytes_wrong},
    {BB_FINDING_BLOCK_UNREADABLE, block_unreadable},
};

#define DAMAGE_COUNT (sizeof(damages) / sizeof(damages[0]))

static void end(struct act *act)
{
    if (act->other != NULL)
        scribe_free(act->other);
    scribe_free(act->scribe);
}

#endif
