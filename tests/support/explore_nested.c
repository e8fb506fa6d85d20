/* SPDX-License-Identifier: Apache-2.0
 * Cuts inside recovery and rebuild: at each request to the data device, and in the index at each
 * fold, or at each write and flush of LMDB (explore_image.h). */
#include "explore_image.h"

#include "bb/err.h"
#include "naive.h"

/* Where the first life of an image ends. */
enum place { IN_DATA, IN_INDEX };

/* The n-th thing that happens there is the last one. variant: of a fold, whether it happened. */
static void arm(struct explorer *explorer, enum place place, uint64_t n, unsigned variant)
{
    struct rig *crash = &explorer->crash;
    if (place == IN_DATA) {
        bb_sim_cut_at(crash->sim, n);
    } else if (explorer->device != NULL) {
        lmdbdev_cut_at(explorer->device, n);
    } else {
        memindex_fail_fold(crash->mem, n, BB_ERR_CANCELLED, variant == 1);
    }
}

static unsigned variants(const struct explorer *explorer, enum place place)
{
    return place == IN_INDEX && explorer->device == NULL ? 2 : 3;
}

/* What is kept of what was on its way. */
static unsigned how(const struct explorer *explorer, enum place place, unsigned variant)
{
    return place == IN_INDEX && explorer->device == NULL ? 2 : variant;
}

/* One start that is cut, and what comes after it. False: it was not cut any more. */
static bool recovery_cut(struct explorer *explorer, const struct image *image, enum place place,
                         uint64_t n, unsigned variant, const struct bb_hash *wanted)
{
    struct bb_hash content;
    if (!crash_is(explorer, image)) {
        return false;
    }
    arm(explorer, place, n, variant);
    bool over = rig_recover(&explorer->crash) == 0;
    explorer->counts.nested += !over;
    if (!crash_cut(explorer, how(explorer, place, variant))) {
        return false;
    }
    if (place == IN_DATA && (n + variant) % 3 == 0) {
        crash_rebuild(explorer, "rebuild after a cut in recovery", wanted);
    } else if (crash_start(explorer, "start after a cut in recovery", &content)) {
        same(explorer, "start after a cut in recovery", wanted, &content);
    }
    return !over;
}

void nested_recovery(struct explorer *explorer, const struct image *image,
                     const struct bb_hash *wanted)
{
    for (enum place place = IN_DATA; place <= IN_INDEX; place++) {
        bool cut = true;
        for (uint64_t n = 1; cut && !explorer->muted; n++) {
            for (unsigned variant = 0; cut && variant < variants(explorer, place); variant++) {
                cut = recovery_cut(explorer, image, place, n, variant, wanted);
            }
        }
    }
}

/* After a cut the half-built index is either refused or right, and the next rebuild is right. */
static void after_cut_rebuild(struct explorer *explorer, const struct bb_hash *wanted)
{
    struct bb_hash content;
    struct image half;
    image_of_crash(explorer, &half);
    if (rig_recover(&explorer->crash) == 0) {
        naive_content(explorer->crash.mem, &content);
        same(explorer, "start on a half-built index", wanted, &content);
    }
    if (crash_is(explorer, &half)) {
        crash_rebuild(explorer, "rebuild after a cut in a rebuild", wanted);
    }
    image_drop(&half);
}

static bool rebuild_cut(struct explorer *explorer, const struct image *image, enum place place,
                        uint64_t n, unsigned variant, const struct bb_hash *wanted)
{
    if (!crash_is(explorer, image)) {
        return false;
    }
    memindex_wipe(explorer->crash.mem);
    arm(explorer, place, n, variant);
    bool over = rig_rebuild(&explorer->crash) == 0;
    explorer->counts.nested += !over;
    if (crash_cut(explorer, how(explorer, place, variant))) {
        after_cut_rebuild(explorer, wanted);
    }
    return !over;
}

void nested_rebuild(struct explorer *explorer, const struct image *image,
                    const struct bb_hash *wanted)
{
    for (enum place place = IN_DATA; place <= IN_INDEX; place++) {
        bool cut = true;
        for (uint64_t n = 1; cut && !explorer->muted; n++) {
            for (unsigned variant = 0; cut && variant < variants(explorer, place); variant++) {
                cut = rebuild_cut(explorer, image, place, n, variant, wanted);
            }
        }
    }
}
