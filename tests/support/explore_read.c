/* SPDX-License-Identifier: Apache-2.0
 * An image as bbd --read-only sees it (explore_image.h): the same blocks at the same units with the
 * same marks as after the recovery, from devices to which nothing is written. The engine serves
 * what the oracle allows, also of blocks that rot meanwhile, and its stop writes nothing either.
 */
#include "explore_image.h"

#include "bb/err.h"
#include "naive.h"

static void rot_one(struct rig *crash)
{
    uint32_t first = (uint32_t)bb_random_below(&crash->random, crash->config.id_count);
    for (uint32_t i = 0; i < crash->config.id_count; i++) {
        if (rig_rot(crash, (first + i) % crash->config.id_count)) {
            return;
        }
    }
}

void check_read_only(struct explorer *explorer, const struct image *image,
                     const struct bb_hash *wanted)
{
    struct rig *crash = &explorer->crash;
    struct bb_index index;
    struct bb_hash content;
    if (!crash_is(explorer, image)) {
        return;
    }
    uint64_t written = rig_written(crash), violations = crash->violations;
    explorer->counts.readings++;
    int result = rig_start_read_only(crash);
    if (result != 0) {
        rig_drop(crash);
        complain(explorer, "start to be read only", result);
        return;
    }
    bb_replay_index(&crash->replay, &index);
    naive_content_of(&index, &content);
    same(explorer, "start to be read only", wanted, &content);
    if (explorer->counts.readings % explorer->engine_every == 0) {
        (void)rig_check(crash);
        rot_one(crash); /* found by the reads, remembered by the engine */
        (void)rig_check(crash);
        (void)rig_check(crash);
    }
    result = rig_stop(crash);
    if (result != 0 || crash->violations != violations) {
        complain(explorer, "engine that only reads", result != 0 ? result : BB_ERR_CORRUPT);
    }
    if (rig_written(crash) != written) {
        complain(explorer, "a start to be read only has written", BB_ERR_REFUSED);
    }
}
