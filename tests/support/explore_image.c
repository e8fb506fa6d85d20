/* SPDX-License-Identifier: Apache-2.0
 * Images, and the rig that is started from them (explore_image.h). */
#include "explore_image.h"

#include "bb/err.h"
#include "naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void image_drop(struct image *image)
{
    bb_sim_close(image->sim);
    if (image->mem != NULL) {
        memindex_free(image->mem);
    } else {
        bb_image_fini(&image->pages);
    }
    *image = (struct image){0};
}

uint64_t image_data_identity(const struct image *image)
{
    struct bb_hash digest;
    bb_sim_digest(image->sim, &digest);
    return bb_hash_prefix(&digest);
}

uint64_t image_identity(const struct image *image)
{
    struct bb_hash digest = {{0}};
    if (image->mem != NULL) {
        struct bb_digest short_one;
        memindex_digest(image->mem, &short_one);
        memcpy(digest.bytes, short_one.bytes, sizeof(short_one.bytes));
    } else {
        struct bb_image pages = image->pages; /* what is shared is not changed by a digest */
        bb_image_digest(&pages, &digest);
    }
    return seen_mix(image_data_identity(image), bb_hash_prefix(&digest));
}

/* ---- the crash rig ---- */

void crash_close(struct explorer *explorer)
{
    memindex_set_mirror(explorer->crash.mem, NULL);
    lmdbdev_close(explorer->device);
}

/* LMDB is opened on what its device holds, and the map in memory becomes its copy. */
static int open_index(struct explorer *explorer)
{
    struct rig *crash = &explorer->crash;
    int error = lmdbdev_open(explorer->device);
    if (error != 0) {
        return error;
    }
    struct memindex_mirror mirror = lmdbdev_mirror(explorer->device);
    error = memindex_load(crash->mem, mirror.index);
    if (error == 0) {
        memindex_set_mirror(crash->mem, &mirror);
    }
    return error;
}

/* The rig takes over sim and mem. */
static void replace(struct rig *crash, struct bb_sim *sim, struct memindex *mem)
{
    bb_sim_close(crash->sim);
    memindex_free(crash->mem);
    crash->sim = sim;
    crash->mem = mem;
}

int crash_load(struct explorer *explorer, struct bb_sim *sim, const struct bb_image *pages)
{
    const struct rig_config *wanted = &explorer->rig->config;
    struct memindex_config config = {.slice_max = wanted->slice_max,
                                     .seed = wanted->seed,
                                     .fault_percent = wanted->fault_percent};
    crash_close(explorer);
    lmdbdev_load(explorer->device, pages);
    replace(&explorer->crash, sim, memindex_new(&config));
    return open_index(explorer);
}

static bool load(struct explorer *explorer, struct bb_sim *sim, const struct bb_image *pages)
{
    int error = crash_load(explorer, sim, pages);
    if (error != 0) {
        struct bb_explain *explain = &explorer->crash.explain;
        snprintf(explain->text, sizeof(explain->text), "opening LMDB");
        complain(explorer, "index of the image", error);
    }
    return error == 0;
}

bool crash_is(struct explorer *explorer, const struct image *image)
{
    struct rig *crash = &explorer->crash;
    crash->index_uuid = explorer->rig->index_uuid;
    memcpy(crash->allowed, explorer->rig->allowed, sizeof(crash->allowed));
    if (image->mem == NULL) {
        return load(explorer, bb_sim_clone(image->sim), &image->pages);
    }
    replace(crash, bb_sim_clone(image->sim), memindex_clone(image->mem));
    return true;
}

void image_of_crash(const struct explorer *explorer, struct image *ret_image)
{
    const struct rig *crash = &explorer->crash;
    *ret_image = (struct image){.sim = bb_sim_clone(crash->sim)};
    if (explorer->device != NULL) {
        BB_ASSERT(lmdbdev_undurable_count(explorer->device) == 0);
        lmdbdev_visible(explorer->device, &ret_image->pages);
    } else {
        ret_image->mem = memindex_clone(crash->mem);
    }
}

struct keeping {
    unsigned how;
    struct bb_random *random;
};

static bool keeps(void *context, size_t index)
{
    const struct keeping *keeping = context;
    (void)index;
    return keeping->how == 1 || (keeping->how == 2 && bb_random_below(keeping->random, 2) == 0);
}

bool crash_cut(struct explorer *explorer, unsigned how)
{
    struct rig *crash = &explorer->crash;
    bb_sim_chooser chooser = how == 0   ? bb_sim_choose_none
                             : how == 1 ? bb_sim_choose_all
                                        : bb_sim_choose_random;
    bb_sim_power_cut(crash->sim, chooser, &explorer->random);
    if (explorer->device == NULL) {
        replace(crash, bb_sim_clone(crash->sim), memindex_clone(crash->mem));
        return true;
    }
    struct keeping keeping = {.how = how, .random = &explorer->random};
    struct bb_image pages;
    lmdbdev_power_cut(explorer->device, keeps, &keeping, &pages);
    bool opened = load(explorer, bb_sim_clone(crash->sim), &pages);
    bb_image_fini(&pages);
    return opened;
}

/* ---- words ---- */

void explore_add_counts(const struct explore_counts *counts, struct explore_counts *sum)
{
    const uint64_t *from = (const uint64_t *)counts;
    uint64_t *to = (uint64_t *)sum;
    for (size_t i = 0; i < sizeof(*counts) / sizeof(*from); i++) {
        to[i] += from[i];
    }
}

void explore_print_counts(const struct explore_counts *counts)
{
    printf("%llu crash points, %llu images, %llu seen before, %llu kills, %llu starts, %llu "
           "rebuilds, %llu checks by bbfsck, %llu runs of the engine, %llu nested cuts, %llu old "
           "copies of the index, %llu of them refused, %llu starts to be read only, %llu blocks "
           "dropped\n",
           (unsigned long long)counts->events, (unsigned long long)counts->images,
           (unsigned long long)counts->duplicates, (unsigned long long)counts->kills,
           (unsigned long long)counts->starts, (unsigned long long)counts->rebuilds,
           (unsigned long long)counts->checks, (unsigned long long)counts->engines,
           (unsigned long long)counts->nested, (unsigned long long)counts->copies,
           (unsigned long long)counts->refused, (unsigned long long)counts->readings,
           (unsigned long long)counts->dropped);
    fflush(stdout);
}

void explore_print_sum(const char *program, uint64_t first_seed, uint64_t last_seed,
                       const struct explore_counts *counts, uint64_t violations)
{
    printf("%s: seeds %llu-%llu: %llu crash points, %llu images, %llu starts, %llu violations\n",
           program, (unsigned long long)first_seed, (unsigned long long)last_seed,
           (unsigned long long)counts->events, (unsigned long long)counts->images,
           (unsigned long long)(counts->starts + counts->rebuilds), (unsigned long long)violations);
}

void complain(struct explorer *explorer, const char *what, int result)
{
    if (explorer->violations++ < 10 && !explorer->rig->config.quiet) {
        fprintf(stderr, "seed %llu, event %llu, image %llu: %s: %s: %s\n",
                (unsigned long long)explorer->rig->config.seed,
                (unsigned long long)explorer->counts.events,
                (unsigned long long)explorer->counts.images, what, bb_err_text(result),
                explorer->crash.explain.text);
        explorer->muted = true;
    }
}

void same(struct explorer *explorer, const char *what, const struct bb_hash *wanted,
          const struct bb_hash *found)
{
    if (!bb_hash_equal(wanted, found)) {
        complain(explorer, what, BB_ERR_SET_MISMATCH);
    }
}

bool crash_start(struct explorer *explorer, const char *what, struct bb_hash *ret_content)
{
    struct rig *crash = &explorer->crash;
    explorer->counts.starts++;
    int result = rig_recover(crash);
    if (result != 0) {
        complain(explorer, what, result);
        return false;
    }
    naive_content(crash->mem, ret_content);
    return true;
}

void crash_rebuild(struct explorer *explorer, const char *what, const struct bb_hash *wanted)
{
    struct rig *crash = &explorer->crash;
    struct bb_hash content;
    explorer->counts.rebuilds++;
    memindex_wipe(crash->mem);
    int result = rig_rebuild(crash);
    if (result != 0) {
        complain(explorer, what, result);
        return;
    }
    const struct bb_recover_report *report = &crash->recovered.report;
    if (report->slots_unexcused > 0 || report->pages_lost > 0 || report->set_unproven) {
        complain(explorer, "a bad slot that no item excuses", BB_ERR_DAMAGED);
    }
    naive_content(crash->mem, &content);
    same(explorer, what, wanted, &content);
    if (explorer->counts.rebuilds % 4 == 0 && crash_start(explorer, what, &content)) {
        same(explorer, what, wanted, &content);
    }
}
