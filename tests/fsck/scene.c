/* SPDX-License-Identifier: Apache-2.0
 * See scene.h.
 */
#include "scene.h"

#include "bb/err.h"
#include "bb/superblock.h"

#include <stdlib.h>

static uint8_t *scratch(void)
{
    static uint8_t *memory;
    if (memory == NULL)
        memory = aligned_alloc(BB_UNIT_SIZE, BB_RECOVER_SCRATCH_MIN);
    BB_ASSERT(memory != NULL);
    return memory;
}

static int broken_scan(void *context, const struct bb_hash *after, const struct bb_hash *below,
                       bb_index_visit_fn *visit, void *visit_context)
{
    (void)context;
    (void)after;
    (void)below;
    (void)visit;
    (void)visit_context;
    return BB_ERR_INDEX_DAMAGED;
}

static void on_finding(void *context, const struct bb_finding *finding)
{
    struct scene *scene = context;
    BB_ASSERT(finding->text[0] != '\0');
    scene->last[finding->kind] = *finding;
}

static int open_index(void *context)
{
    struct scene *scene = context;
    scene->table = memindex_index(scene->mem);
    scene->ops = *scene->table.ops;
    if (scene->index_broken)
        scene->ops.scan = broken_scan;
    scene->table.ops = &scene->ops;
    scene->config.io = bb_sim_io(scene->sim);
    scene->config.index = &scene->table;
    return 0;
}

static void close_index(void *context)
{
    (void)context;
}

void scene_init(struct scene *scene, struct bb_sim *sim, struct memindex *mem)
{
    *scene = (struct scene){.sim = sim, .mem = mem};
    scene->config.scratch = scratch();
    scene->config.scratch_size = BB_RECOVER_SCRATCH_MIN;
    (void)open_index(scene);
}

void scene_clone(struct scene *scene, const struct scene *from)
{
    scene_init(scene, bb_sim_clone(from->sim), memindex_clone(from->mem));
    scene->index_broken = from->index_broken;
    scene->hurried = from->hurried;
    scene->rebuilds = from->rebuilds;
}

void scene_free_clone(struct scene *scene)
{
    bb_sim_close(scene->sim);
    memindex_free(scene->mem);
}

int scene_check(struct scene *scene, bool deep)
{
    struct bb_crosscheck_options options = {.found = on_finding, .deep = deep};
    struct bb_hash before, after;
    struct bb_digest index_before, index_after;
    (void)open_index(scene);
    scene->config.context = scene;
    if (!scene->hurried)
        bb_sim_digest(scene->sim, &before);
    memindex_digest(scene->mem, &index_before);
    int error = bb_crosscheck_run(&scene->config, &options, &scene->report, &scene->explain);
    if (!scene->hurried)
        bb_sim_digest(scene->sim, &after);
    memindex_digest(scene->mem, &index_after);
    BB_ASSERT(scene->hurried || bb_hash_equal(&before, &after));
    BB_ASSERT(bb_digest_equal(&index_before, &index_after));
    BB_ASSERT(error == 0 || scene->explain.text[0] != '\0');
    return error;
}

static int rebuild(void *context, struct bb_recovered *ret_recovered,
                   struct bb_explain *ret_explain)
{
    struct scene *scene = context;
    struct bb_super_copies copies;
    int error = bb_super_load(scene->config.io, &copies);
    if (error != 0) {
        *ret_explain = (struct bb_explain){.text = "no superblock"};
        return error;
    }
    struct bb_index_state state = {.store = copies.super.store};
    scene->rebuilds++;
    memcpy(&state.index, &scene->rebuilds, sizeof(scene->rebuilds));
    state.index.bytes[15] = 0x5c;
    scene->index_broken = false;
    memindex_wipe(scene->mem);
    memindex_put_state(scene->mem, &state);
    (void)open_index(scene);
    return bb_rebuild(&scene->config, &state.index, ret_recovered, ret_explain);
}

int scene_rebuild(struct scene *scene, struct bb_recovered *ret_recovered)
{
    (void)open_index(scene);
    scene->config.repair = (struct bb_repair_rules){.on = false};
    return rebuild(scene, ret_recovered, &scene->explain);
}

int scene_recover(struct scene *scene, struct bb_recovered *ret_recovered)
{
    (void)open_index(scene);
    scene->config.repair = (struct bb_repair_rules){.on = false};
    return bb_recover(&scene->config, ret_recovered, &scene->explain);
}

int scene_repair(struct scene *scene, bool accept_loss, bool deep,
                 struct bb_repair_report *ret_report)
{
    struct bb_repair_options options = {.accept_loss = accept_loss, .deep = deep};
    const struct bb_repair_index index = {
        .open = open_index, .close = close_index, .rebuild = rebuild, .context = scene};
    (void)open_index(scene);
    return bb_repair_run(&scene->config, &index, &options, ret_report, &scene->explain);
}

void scene_flip(struct scene *scene, uint64_t offset)
{
    uint8_t byte;
    bb_sim_peek(scene->sim, offset, &byte, 1);
    byte ^= 0x5a;
    bb_sim_poke(scene->sim, offset, &byte, 1);
}
