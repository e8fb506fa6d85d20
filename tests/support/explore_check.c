/* SPDX-License-Identifier: Apache-2.0
 * What must hold of an image (explore_image.h). */
#include "explore_image.h"

#include "bb/crosscheck.h"
#include "bb/err.h"
#include "bb/fill.h"
#include "naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Allocator = complement of the extents, which are disjoint; the set of the index is the anchor's.
 */
static void check_allocation(struct explorer *explorer)
{
    struct rig *crash = &explorer->crash;
    const struct bb_super *super = &crash->recovered.super;
    uint64_t zone_units = bb_layout_zone_units_max(&super->layout);
    size_t size = bb_buddy_memory(super->layout.zone_count, zone_units);
    size = (size + 63) / 64 * 64;
    void *memory = aligned_alloc(64, size);
    BB_ASSERT(memory != NULL);
    memset(memory, 0, size);
    struct bb_buddy *buddy = bb_buddy_init(memory, size, super->layout.zone_count, zone_units);
    struct bb_index index = memindex_index(crash->mem);
    struct bb_filled filled;
    int result = bb_fill(&index, super, buddy, &filled, &crash->explain);
    if (result != 0) {
        complain(explorer, "allocation", result);
    } else if (!bb_set_equal(&filled.set, &super->anchor.set)) {
        complain(explorer, "count or set hash", BB_ERR_SET_MISMATCH);
    }
    free(memory);
}

/* What a cut has torn is whole again. */
static void check_slots(struct explorer *explorer)
{
    static struct bb_disk_page page;
    const struct bb_super *super = &explorer->crash.recovered.super;
    uint64_t count = bb_layout_pages(&super->layout, super->open_zone_count);
    for (uint64_t slot = 0; slot < 2 * count; slot++) {
        struct bb_page_header header;
        bb_sim_peek(explorer->crash.sim,
                    bb_layout_slot_offset(&super->layout, slot / 2, (unsigned)(slot % 2)), &page,
                    sizeof(page));
        if (bb_page_check(&page, &super->store, slot / 2, &header) != 0) {
            complain(explorer, "a slot is still bad", BB_ERR_DAMAGED);
            return;
        }
    }
}

static void found(void *context, const struct bb_finding *finding)
{
    struct explorer *explorer = context;
    if (bb_finding_info(finding->kind)->severity == BB_ERROR) {
        snprintf(explorer->crash.explain.text, sizeof(explorer->crash.explain.text), "%s",
                 finding->text);
    }
}

/* What bbfsck says of the crash rig: of a crash nothing but notes. */
static void check_by_bbfsck(struct explorer *explorer, const char *what)
{
    struct rig *crash = &explorer->crash;
    struct bb_crosscheck_report report;
    struct bb_index index = memindex_index(crash->mem);
    struct bb_crosscheck_options options = {.found = found};
    struct bb_recover_config config = {.io = bb_sim_io(crash->sim),
                                       .index = &index,
                                       .scratch = crash->scratch,
                                       .scratch_size = RIG_SCRATCH_SIZE,
                                       .context = explorer};
    explorer->counts.checks++;
    int result = bb_crosscheck_run(&config, &options, &report, &crash->explain);
    if (result != 0 || report.errors > 0) {
        complain(explorer, what, result != 0 ? result : BB_ERR_DAMAGED);
    }
}

/* The engine itself, on top of it operations, a clean stop and another start. */
static void run_engine(struct explorer *explorer)
{
    struct rig *crash = &explorer->crash;
    explorer->counts.engines++;
    int result = rig_start(crash);
    uint64_t before = crash->violations;
    if (result == 0) {
        (void)rig_check(crash);
        for (unsigned i = 0; i < 12; i++) {
            uint32_t id = (uint32_t)bb_random_below(&crash->random, crash->config.id_count);
            (void)rig_submit(crash, i % 3 == 2 ? RIG_DELETE : RIG_PUT, id);
        }
        result = rig_stop(crash);
    }
    if (result == 0) {
        result = rig_start(crash);
    }
    if (result == 0) {
        (void)rig_check(crash);
    }
    rig_drop(crash);
    if (result != 0 || crash->violations != before) {
        complain(explorer, "engine on the image", result != 0 ? result : BB_ERR_CORRUPT);
    }
}

/* Somebody attached the index as it was a while ago. Nothing is written when that is refused. */
static void old_copy(struct explorer *explorer, const struct image *image,
                     const struct bb_hash *wanted)
{
    struct rig *crash = &explorer->crash;
    struct bb_hash content;
    if (explorer->copy != NULL) {
        struct image attached = {.sim = image->sim, .mem = explorer->copy};
        (void)crash_is(explorer, &attached);
        explorer->counts.copies++;
        if (rig_recover(crash) == 0) {
            naive_content(crash->mem, &content);
            same(explorer, "start with an older copy of the index", wanted, &content);
        } else {
            explorer->counts.refused++;
            memindex_free(crash->mem);
            crash->mem = memindex_clone(image->mem);
            if (crash_start(explorer, "start after an older copy was refused", &content)) {
                same(explorer, "start after an older copy was refused", wanted, &content);
            }
        }
    }
    if (explorer->copy == NULL || bb_random_below(&explorer->random, 8) == 0) {
        if (explorer->copy != NULL) {
            memindex_free(explorer->copy);
        }
        explorer->copy = memindex_clone(image->mem);
    }
}

/* What the engine may write over as soon as it runs: the ring but for the anchor's record. */
static void forget_ring(struct rig *crash)
{
    static const uint8_t noise[BB_UNIT_SIZE] = {0xa5, 0x5a};
    const struct bb_layout *layout = &crash->recovered.super.layout;
    const struct bb_ring_position *kept = &crash->recovered.last;
    for (uint64_t at = 0; at < layout->journal_units; at++) {
        if (at < kept->position || at >= kept->position + kept->units) {
            bb_sim_poke(crash->sim, layout->journal_offset + at * BB_UNIT_SIZE, noise,
                        sizeof(noise));
        }
    }
}

/* After the recovery: what it left is right, and stays. */
static void check_state(struct explorer *explorer, const struct bb_hash *content)
{
    struct rig *crash = &explorer->crash;
    struct image recovered;
    struct bb_hash again;
    image_of_crash(explorer, &recovered);
    if (!seen_before(&explorer->states, image_identity(&recovered))) {
        check_by_bbfsck(explorer, "bbfsck after the start");
        if (crash_is(explorer, &recovered) && crash_start(explorer, "second start", &again)) {
            same(explorer, "second start", content, &again);
            if (crash->recovered.report.records != 0) {
                complain(explorer, "the second start had work to do", BB_ERR_DAMAGED);
            }
        }
        if (explorer->states.count % 16 == 0 && crash_is(explorer, &recovered)) {
            forget_ring(crash);
            crash_rebuild(explorer, "rebuild after recovery", content);
        }
    }
    image_drop(&recovered);
}

/* The other ways to the same blocks. */
static void check_again(struct explorer *explorer, const struct image *image,
                        const struct bb_hash *content)
{
    uint64_t without_index = seen_mix(image_data_identity(image), bb_hash_prefix(content));
    check_state(explorer, content);
    if (!seen_before(&explorer->rebuilt, without_index) && crash_is(explorer, image)) {
        crash_rebuild(explorer, "rebuild", content);
    }
}

/* Started; what it serves is what the oracle allows. */
static bool start_rightly(struct explorer *explorer, const struct image *image,
                          struct bb_hash *ret_content)
{
    if (!crash_is(explorer, image) || !crash_start(explorer, "start", ret_content)) {
        return false;
    }
    if (rig_check_index(&explorer->crash) > 0) { /* and so all that are the same as this one */
        complain(explorer, "blocks", BB_ERR_CORRUPT);
        return false;
    }
    return true;
}

void check_answers(struct explorer *explorer, const struct image *image)
{
    struct bb_hash content;
    (void)start_rightly(explorer, image, &content);
}

void check_image(struct explorer *explorer, const struct image *image)
{
    struct bb_hash content;
    uint64_t number = explorer->counts.images++;
    if (number % explorer->fsck_every == 0 && crash_is(explorer, image)) {
        check_by_bbfsck(explorer, "bbfsck before the start");
    }
    if (!start_rightly(explorer, image, &content)) {
        return;
    }
    const struct bb_recover_report *report = &explorer->crash.recovered.report;
    explorer->counts.dropped += report->dropped;
    explorer->nested_due |= number % explorer->nested_every == 0;
    bool items = report->items > 0; /* else recovery has hardly anything to do */
    if (report->slots_unexcused > 0) {
        complain(explorer, "a bad slot that no item excuses", BB_ERR_DAMAGED);
    }
    check_allocation(explorer);
    check_slots(explorer);
    if (number % explorer->second_every == 0) {
        check_again(explorer, image, &content);
    }
    if (image->mem != NULL && number % explorer->copy_every == 0) {
        old_copy(explorer, image, &content);
    }
    if (number % explorer->read_every == 0) {
        check_read_only(explorer, image, &content);
    }
    if (number % explorer->engine_every == 0 && crash_is(explorer, image)) {
        run_engine(explorer);
    }
    if (explorer->nested_due && items) {
        explorer->nested_due = false;
        nested_recovery(explorer, image, &content);
        nested_rebuild(explorer, image, &content);
        if (image->mem == NULL) {
            nested_blank(explorer, image, &content);
        }
    }
}

void check_kill(struct explorer *explorer)
{
    const struct rig *rig = explorer->rig;
    struct rig *crash = &explorer->crash;
    struct bb_hash content, again;
    struct image image = {.sim = bb_sim_clone(rig->sim)};
    if (explorer->live != NULL) {
        lmdbdev_visible(explorer->live, &image.pages);
    } else {
        image.mem = memindex_clone(rig->mem);
    }
    bb_sim_reseed(image.sim, bb_random_next(&explorer->random));
    bb_sim_kill(image.sim);
    explorer->counts.kills++;
    if (crash_is(explorer, &image) && crash_start(explorer, "start after a kill", &content)) {
        if (rig_check_index(crash) > 0) {
            complain(explorer, "blocks after a kill", BB_ERR_CORRUPT);
        }
        if (crash_cut(explorer, 0) &&
            crash_start(explorer, "start after a kill and a cut", &again)) {
            same(explorer, "start after a kill and a cut", &content, &again);
        }
    }
    image_drop(&image);
}
