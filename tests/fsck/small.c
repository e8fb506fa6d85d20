/* SPDX-License-Identifier: Apache-2.0
 * See small.h.
 */
#include "small.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/fill.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the store ---- */

static void note_records(struct small *small, unsigned first_item)
{
    const struct scribe *scribe = small->scribe;
    for (unsigned i = first_item; i < scribe->item_count; i++) {
        unsigned key = scribe->items[i].key;
        BB_ASSERT(small->record_count[key] < SMALL_NAMED_MAX);
        small->records[key][small->record_count[key]++] = (struct small_range){
            .first = scribe->super.layout.journal_offset / BB_UNIT_SIZE + scribe->last.position,
            .count = scribe->last.units};
    }
}

static void commit(struct small *small)
{
    unsigned first = small->scribe->window_first;
    bool fitted = scribe_record(small->scribe);
    BB_ASSERT(fitted);
    note_records(small, first);
    scribe_flush(small->scribe);
}

static void checkpoint(struct small *small)
{
    scribe_checkpoint(small->scribe);
    scribe_flush(small->scribe);
    memset(small->record_count, 0, sizeof(small->record_count));
}

static void put(struct small *small, unsigned key, struct bb_random *random)
{
    uint64_t unit = scribe_place(small->scribe, bb_units_of(scribe_size(key)), random);
    scribe_put(small->scribe, key, unit, true);
}

static void fill(struct small *small)
{
    struct scribe *scribe = small->scribe;
    struct bb_random random;
    bb_random_seed(&random, 7);
    for (unsigned key = 0; key < 12; key++) {
        put(small, key, &random);
        if (key % 3 == 2)
            commit(small);
    }
    checkpoint(small);
    small->older[0] = bb_sim_clone(scribe->sim);
    scribe_mark(scribe, 4);
    scribe_mark(scribe, 11);
    scribe_delete(scribe, 2);
    commit(small);
    scribe_heal(scribe, 4, scribe_place(scribe, bb_units_of(scribe_size(4)), &random), true);
    commit(small);
    checkpoint(small);
    put(small, 12, &random);
    commit(small);
    checkpoint(small);
    small->older[1] = bb_sim_clone(scribe->sim);
    put(small, 13, &random);
    scribe_delete(scribe, 1);
    commit(small);
    put(small, 14, &random);
    put(small, 15, &random);
    commit(small);
    put(small, 16, &random);
    scribe_mark(scribe, 5);
    commit(small);
    put(small, 2, &random); /* deleted before, stored again */
    commit(small);
}

void small_open(struct small *small, bool stopped)
{
    *small = (struct small){.scribe = scribe_new(3, 4)};
    fill(small);
    if (stopped) {
        scribe_stop(small->scribe);
        memset(small->record_count, 0, sizeof(small->record_count));
    } else {
        commit(small); /* the idle record, which acknowledges the one before */
    }
    bb_sim_power_cut(small->scribe->sim, bb_sim_choose_all, NULL);
}

void small_close(struct small *small)
{
    for (unsigned i = 0; i < SMALL_SNAPSHOTS; i++)
        bb_sim_close(small->older[i]);
    scribe_free(small->scribe);
}

/* ---- what must hold ---- */

static struct small *watched;

static void violation(struct small *small, const char *step, const char *what, unsigned key)
{
    if (small->violations++ < 30)
        fprintf(stderr, "%s: %s: key %u: %s\n", small->what, step, key, what);
}

static bool touches(const struct small_range *damaged, uint64_t first, uint64_t count)
{
    return first < damaged->first + damaged->count && damaged->first < first + count;
}

static bool data_damaged(const struct small *small, unsigned key, const struct small_range *damaged)
{
    return touches(damaged, small->scribe->unit[key], bb_units_of(scribe_size(key)));
}

/* Whether every journal record that says something about the key was hit; records that are whole
 * but stand behind a hit one are applied when loss is accepted. */
static bool record_damaged(const struct small *small, unsigned key,
                           const struct small_range *damaged)
{
    for (unsigned i = 0; i < small->record_count[key]; i++)
        if (touches(damaged, small->records[key][i].first, small->records[key][i].count))
            return true;
    return false;
}

/* Bytes are those of the name: a GET would serve them. */
static bool serves(const struct scene *scene, unsigned key, const struct bb_index_entry *entry)
{
    static uint8_t bytes[BB_BLOCK_SIZE_MAX];
    struct bb_hash wanted = scribe_hash(key), found;
    if (entry->size > BB_BLOCK_SIZE_MAX || (entry->unit + bb_units_of(entry->size)) * BB_UNIT_SIZE >
                                               bb_sim_io(scene->sim)->device_size)
        return false;
    bb_sim_peek(scene->sim, entry->unit * BB_UNIT_SIZE, bytes, entry->size);
    bb_hash_of(bytes, entry->size, &found);
    return bb_hash_equal(&wanted, &found);
}

/* What a client would see of a store that opened. lossy: records were given up. */
static void judge_keys(struct small *small, struct scene *scene, const char *step,
                       const struct small_range *damaged, bool lossy)
{
    for (unsigned key = 0; key < SCRIBE_KEYS; key++) {
        struct bb_index_entry entry;
        enum scribe_state state = scribe_lookup(scene->mem, key, &entry);
        enum scribe_state wanted = small->scribe->acked[key];
        if (state == SCRIBE_PRESENT && !serves(scene, key, &entry) &&
            !data_damaged(small, key, damaged))
            violation(small, step, "its place holds other bytes", key);
        if (data_damaged(small, key, damaged) && wanted == SCRIBE_PRESENT && state == SCRIBE_MARKED)
            continue; /* found, and said so */
        if (state == wanted || (lossy && record_damaged(small, key, damaged)))
            continue;
        violation(small, step, wanted == SCRIBE_ABSENT ? "deleted, and there" : "not as stored",
                  key);
    }
}

/* The allocator of a store that opened: it may refuse, with a sentence. */
static void judge_fill(struct small *small, struct scene *scene, const struct bb_super *super)
{
    static void *memory;
    static size_t memory_size;
    struct bb_index index = memindex_index(scene->mem);
    uint64_t zone_units = bb_layout_zone_units_max(&super->layout);
    size_t size = bb_buddy_memory(super->layout.zone_count, zone_units);
    struct bb_filled filled;
    struct bb_explain explain = {.text = ""};
    if (size > memory_size) {
        free(memory);
        memory_size = bb_align_up(size, 64);
        memory = aligned_alloc(64, memory_size);
        BB_ASSERT(memory != NULL);
    }
    memset(memory, 0, size);
    struct bb_buddy *buddy = bb_buddy_init(memory, size, super->layout.zone_count, zone_units);
    if (bb_fill(&index, super, buddy, &filled, &explain) != 0 && explain.text[0] == '\0')
        violation(small, "allocator", "refused without a sentence", 0);
}

/* Whether a sound slot of its descriptor page names the key. */
static bool descriptor_names(const struct small *small, unsigned key,
                             const struct small_range *damaged)
{
    const struct bb_layout *layout = &small->scribe->super.layout;
    struct bb_hash wanted = scribe_hash(key);
    uint32_t at;
    uint64_t page = bb_layout_page_of(layout, small->scribe->unit[key], &at);
    for (unsigned slot = 0; slot < 2; slot++) {
        struct bb_disk_page content;
        struct bb_entry entry;
        uint64_t offset = bb_layout_slot_offset(layout, page, slot);
        bb_sim_peek(small->scribe->sim, offset, &content, sizeof(content));
        if (!touches(damaged, offset / BB_UNIT_SIZE, 1) &&
            bb_entry_get(&content, at, &entry) == 1 && bb_hash_equal(&entry.hash, &wanted))
            return true;
    }
    return false;
}

/* Of a rebuild that says that names are lost: what is named by a sound slot, or a record behind the
 * checkpoint, is there. */
static void judge_named(struct small *small, struct scene *scene, const struct small_range *damaged)
{
    for (unsigned key = 0; key < SCRIBE_KEYS; key++) {
        struct bb_index_entry entry;
        enum scribe_state state = scribe_lookup(scene->mem, key, &entry);
        if (state == SCRIBE_PRESENT && !serves(scene, key, &entry))
            violation(small, "rebuild with names lost", "its place holds other bytes", key);
        if (small->scribe->acked[key] != SCRIBE_PRESENT || state == SCRIBE_PRESENT)
            continue;
        if (scribe_size(key) > 0 &&
            (small->record_count[key] > 0 || descriptor_names(small, key, damaged)))
            violation(small, "rebuild with names lost", "named, and not there", key);
    }
}

/* The records that were lost were the last ones, and with them every proof that they were. */
static bool nothing_proves(const struct small *small, const struct small_range *damaged)
{
    const struct scribe *scribe = small->scribe;
    return !scribe->super.clean &&
           touches(damaged,
                   scribe->super.layout.journal_offset / BB_UNIT_SIZE + scribe->last.position,
                   scribe->last.units);
}

static void judge_start(struct small *small, const struct scene *image,
                        const struct small_range *damaged, bool sealed)
{
    struct scene scene;
    struct bb_recovered recovered;
    scene_clone(&scene, image);
    int error = scene_recover(&scene, &recovered);
    if (error == 0) {
        small->opened++;
        judge_fill(small, &scene, &recovered.super);
        if (!sealed)
            judge_keys(small, &scene, "start", damaged, nothing_proves(small, damaged));
    } else {
        small->refused++;
        if (scene.explain.text[0] == '\0')
            violation(small, "start", "refused without a sentence", 0);
    }
    scene_free_clone(&scene);
}

static void judge_rebuild(struct small *small, const struct scene *image,
                          const struct small_range *damaged, bool sealed)
{
    struct scene scene;
    struct bb_recovered recovered;
    scene_clone(&scene, image);
    int error = scene_rebuild(&scene, &recovered);
    if (error == 0) {
        small->rebuilt++;
        if (!sealed && recovered.report.pages_lost > 0)
            judge_named(small, &scene, damaged);
        else if (!sealed)
            judge_keys(small, &scene, "rebuild", damaged, nothing_proves(small, damaged));
        if (scene_recover(&scene, &recovered) != 0)
            violation(small, "start after rebuild", scene.explain.text, 0);
    } else if (scene.explain.text[0] == '\0') {
        violation(small, "rebuild", "refused without a sentence", 0);
    }
    scene_free_clone(&scene);
}

/* True: errors are left. */
static bool judge_repair(struct small *small, const struct scene *image,
                         const struct small_range *damaged, bool sealed, bool accept)
{
    const char *step = accept ? "repair that accepts loss" : "repair";
    struct bb_repair_report report;
    struct bb_recovered recovered;
    struct scene scene;
    scene_clone(&scene, image);
    int error = scene_repair(&scene, accept, true, &report);
    bool left = error != 0 || report.after.errors > 0;
    if ((error != 0 || report.stuck) && scene.explain.text[0] == '\0')
        violation(small, step, "failed without a sentence", 0);
    if (!left) {
        *(accept ? &small->accepted : &small->repaired) += 1;
        if (report.after.notes > 0)
            violation(small, step, "left notes", 0);
        if (scene_recover(&scene, &recovered) != 0)
            violation(small, step, scene.explain.text, 0);
        else if (!sealed)
            judge_keys(small, &scene, step, damaged, accept || nothing_proves(small, damaged));
    }
    scene_free_clone(&scene);
    return left;
}

void small_judge(struct small *small, const struct scene *image, const struct small_range *damaged,
                 bool sealed)
{
    struct scene scene;
    alarm(60);
    small->cases++;
    scene_clone(&scene, image);
    (void)scene_check(&scene, true);
    scene_free_clone(&scene);
    judge_start(small, image, damaged, sealed);
    judge_rebuild(small, image, damaged, sealed);
    if (judge_repair(small, image, damaged, sealed, false) &&
        judge_repair(small, image, damaged, sealed, true)) {
        small->left++;
        if (!sealed)
            violation(small, "repair that accepts loss", "errors are left", 0);
    }
}

static void on_signal(int number)
{
    static const char words[] = ": crashed, or no end\n";
    ssize_t unused = write(STDERR_FILENO, watched->what, strlen(watched->what));
    unused = write(STDERR_FILENO, words, sizeof(words) - 1);
    (void)unused;
    signal(number, SIG_DFL);
    raise(number);
}

void small_watch(struct small *small)
{
    watched = small;
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    signal(SIGALRM, on_signal);
}
