/* SPDX-License-Identifier: Apache-2.0
 * A store written by hand (scribe.h) that is damaged, checked and repaired, in memory. One thread.
 */
#ifndef SCENE_H
#define SCENE_H

#include "scribe.h"

#include "bb/repair.h"

struct scene {
    struct bb_sim *sim;
    struct memindex *mem;
    bool index_broken; /* scanning it fails, until it is rebuilt */
    bool hurried;      /* that a check writes nothing is not looked at: digests take long */
    uint64_t rebuilds; /* each has an index UUID of its own */
    /* of the last check */
    struct bb_crosscheck_report report;
    struct bb_finding last[BB_FINDING_COUNT];
    struct bb_explain explain;
    /* private */
    struct bb_index table;
    struct bb_index_ops ops;
    struct bb_recover_config config;
};

/* sim and mem stay the caller's. */
void scene_init(struct scene *scene, struct bb_sim *sim, struct memindex *mem);
/* Copies of both, the caller's. */
void scene_clone(struct scene *scene, const struct scene *from);
void scene_free_clone(struct scene *scene);

/* 0, or the error. Asserts that nothing was written. */
int scene_check(struct scene *scene, bool deep);
int scene_repair(struct scene *scene, bool accept_loss, bool deep,
                 struct bb_repair_report *ret_report);
int scene_recover(struct scene *scene, struct bb_recovered *ret_recovered);
int scene_rebuild(struct scene *scene, struct bb_recovered *ret_recovered);

/* Flips a byte. */
void scene_flip(struct scene *scene, uint64_t offset);

#endif
