/* SPDX-License-Identifier: Apache-2.0
 * The rebuild that bbfsck runs, on a simulated index device that holds nothing: cut at each of its
 * writes and flushes there, then opened as it is, then run again (explore_image.h). */
#include "explore_image.h"

#include "bb/err.h"
#include "bb/rebuild_index.h"
#include "naive.h"

#include <stdio.h>

/* The index device of the crash rig must be closed, and is closed afterwards. */
static int rebuild(struct explorer *explorer)
{
    struct rig *crash = &explorer->crash;
    struct bb_rebuild_options options = {0};
    struct bb_recovered recovered;
    struct bb_pair pair = {.data = {.fd = -1},
                           .index = *lmdbdev_device(explorer->device),
                           .config = {.io = bb_sim_io(crash->sim),
                                      .scratch = crash->scratch,
                                      .scratch_size = RIG_SCRATCH_SIZE}};
    pair.config.index = &pair.table;
    snprintf(pair.rundir.path, sizeof(pair.rundir.path), "%s", lmdbdev_directory(explorer->device));
    explorer->counts.rebuilds++;
    return bb_rebuild_index(&pair, &options, &recovered, &crash->explain);
}

static bool half(void *random, size_t index)
{
    (void)index;
    return bb_random_below(random, 2) == 0;
}

/* The power fails for both devices. */
static void cut(struct explorer *explorer, struct bb_image *ret_pages)
{
    bb_sim_power_cut(explorer->crash.sim, bb_sim_choose_random, &explorer->random);
    lmdbdev_power_cut(explorer->device, half, &explorer->random, ret_pages);
}

/* Whatever the cut left is no index, is refused, or is the right one. */
static void open_half_built(struct explorer *explorer, const struct bb_image *pages,
                            const struct bb_hash *wanted)
{
    struct bb_hash content;
    if (crash_load(explorer, bb_sim_clone(explorer->crash.sim), pages) == 0 &&
        rig_recover(&explorer->crash) == 0) {
        naive_content(explorer->crash.mem, &content);
        same(explorer, "start on a half-written index", wanted, &content);
    }
}

static void rebuild_again(struct explorer *explorer, const struct bb_image *pages,
                          const struct bb_hash *wanted)
{
    struct bb_hash content;
    struct image built;
    crash_close(explorer);
    lmdbdev_load(explorer->device, pages);
    int result = rebuild(explorer);
    if (result != 0) {
        complain(explorer, "rebuild onto the device of one that was cut", result);
        return;
    }
    image_of_crash(explorer, &built);
    if (crash_is(explorer, &built) &&
        crash_start(explorer, "start after a second rebuild", &content)) {
        same(explorer, "start after a second rebuild", wanted, &content);
    }
    image_drop(&built);
}

void nested_blank(struct explorer *explorer, const struct image *image,
                  const struct bb_hash *wanted)
{
    struct bb_image blank, pages;
    bb_image_init(&blank, LMDBDEV_SIZE);
    bool over = false;
    for (uint64_t n = 1; !over && !explorer->muted && crash_is(explorer, image); n++) {
        crash_close(explorer);
        lmdbdev_load(explorer->device, &blank);
        lmdbdev_cut_at(explorer->device, n);
        over = rebuild(explorer) == 0;
        BB_ASSERT(over || lmdbdev_is_dead(explorer->device));
        explorer->counts.nested += !over;
        cut(explorer, &pages);
        struct bb_sim *sim = bb_sim_clone(explorer->crash.sim);
        open_half_built(explorer, &pages, wanted);
        bb_sim_close(explorer->crash.sim);
        explorer->crash.sim = sim; /* as the cut left it */
        rebuild_again(explorer, &pages, wanted);
        bb_image_fini(&pages);
    }
    bb_image_fini(&blank);
}
