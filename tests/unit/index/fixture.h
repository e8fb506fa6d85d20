/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the index share: an index device (a file, or a loop device with 512 or 4096
 * byte sectors over one), a naive model of the map, random changes. Included once per test program.
 */
#ifndef BB_INDEX_FIXTURE_H
#define BB_INDEX_FIXTURE_H

#include "../base/unit.h"

#include "bb/err.h"
#include "bb/lmdbindex.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* ---- Device ---- */

/* Where the file is made. A test of arithmetic, which needs no real device, may set it. */
static const char *fixture_root __attribute__((unused)) = "/tmp";

struct fixture {
    unsigned sector; /* 0: the file itself */
    uint64_t size;
    char directory[64]; /* runtime directory, holds the file too */
    char file[96];
    int loop_fd;
    struct bb_device device; /* claimed */
    struct bb_lmdb *lmdb;
    struct bb_index index;
};

static inline int fixture_attach(const char *file, unsigned sector, char *ret_path, size_t size)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int backing = open(file, O_RDWR | O_CLOEXEC);
    int fd = -1;
    assert_true(backing >= 0);
    for (unsigned try = 0; control >= 0 && fd < 0 && try < 32; try++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        (void)snprintf(ret_path, size, "/dev/loop%d", number);
        fd = open(ret_path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            break;
        struct loop_config config = {.fd = (unsigned)backing, .block_size = sector};
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR; /* gone with its last opener, come what may */
        if (ioctl(fd, LOOP_CONFIGURE, &config) != 0) { /* somebody was faster */
            close(fd);
            fd = -1;
        }
    }
    close(backing);
    if (control >= 0)
        close(control);
    return fd;
}

/* A claimed, blank device. Skips the test where loop devices are not to be had. */
static inline void fixture_make(struct fixture *fixture, unsigned sector, uint64_t size)
{
    char path[96];
    memset(fixture, 0, sizeof(*fixture));
    fixture->sector = sector;
    fixture->size = size;
    fixture->loop_fd = -1;
    (void)snprintf(fixture->directory, sizeof(fixture->directory), "%s/bb-index-test-XXXXXX",
                   fixture_root);
    assert_non_null(mkdtemp(fixture->directory));
    (void)snprintf(fixture->file, sizeof(fixture->file), "%s/file", fixture->directory);
    int fd = open(fixture->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
    (void)snprintf(path, sizeof(path), "%s", fixture->file);
    if (sector != 0) {
        fixture->loop_fd = fixture_attach(fixture->file, sector, path, sizeof(path));
        if (fixture->loop_fd < 0) {
            (void)unlink(fixture->file);
            (void)rmdir(fixture->directory);
            print_message("no loop device here\n");
            skip();
        }
    }
    assert_int_equal(bb_device_open(path, BB_DEVICE_EXCLUSIVE, 2000, NULL, &fixture->device), 0);
    assert_int_equal(fixture->device.size, size);
}

static inline int fixture_open(struct fixture *fixture)
{
    int rc = bb_lmdb_open(&fixture->device, fixture->directory, false, &fixture->lmdb);
    if (rc == 0)
        bb_lmdb_index(fixture->lmdb, &fixture->index);
    return rc;
}

static inline void fixture_close(struct fixture *fixture)
{
    if (fixture->lmdb != NULL)
        bb_lmdb_close(fixture->lmdb);
    fixture->lmdb = NULL;
}

static inline struct bb_index_state fixture_state(void)
{
    struct bb_index_state state;
    memset(&state, 0, sizeof(state));
    memset(state.store.bytes, 0x11, sizeof(state.store.bytes));
    memset(state.index.bytes, 0x22, sizeof(state.index.bytes));
    return state;
}

/* Formatted, opened, with a state row. */
static inline void fixture_make_open(struct fixture *fixture, unsigned sector, uint64_t size)
{
    fixture_make(fixture, sector, size);
    struct bb_index_state state = fixture_state();
    assert_int_equal(bb_lmdb_format(&fixture->device, fixture->directory), 0);
    assert_int_equal(fixture_open(fixture), 0);
    assert_int_equal(bb_lmdb_put_state(fixture->lmdb, &state), 0);
}

/* Nothing but the file may be left in the runtime directory. */
static inline void fixture_end(struct fixture *fixture)
{
    fixture_close(fixture);
    bb_device_close(&fixture->device);
    if (fixture->loop_fd >= 0)
        close(fixture->loop_fd);
    assert_int_equal(unlink(fixture->file), 0);
    assert_int_equal(rmdir(fixture->directory), 0);
}

static inline uint64_t fixture_seed(struct bb_random *random)
{
    uint64_t seed = unit_seed_value();
    bb_random_seed(random, seed);
    return seed;
}

/* ---- Naive model: a fixed universe of hashes, each present or not ---- */

struct model {
    uint32_t count;
    struct bb_hash
        *hashes;           /* ascending, one in eight of them shares a prefix with the one before */
    struct bb_change *now; /* per hash, as the newest fold left it */
    struct bb_change *seen; /* at the last refresh */
    struct bb_change *changes;
};

static inline int model_compare(const void *a, const void *b)
{
    return bb_hash_compare(a, b);
}

static inline void model_make(struct model *model, struct bb_random *random, uint32_t count)
{
    model->count = count;
    model->hashes = calloc(count, sizeof(*model->hashes));
    model->now = calloc(count, sizeof(*model->now));
    model->seen = calloc(count, sizeof(*model->seen));
    model->changes = calloc(count, sizeof(*model->changes));
    assert_true(model->hashes && model->now && model->seen && model->changes);
    for (uint32_t i = 0; i < count; i++) {
        bb_random_fill(random, &model->hashes[i], sizeof(model->hashes[i]));
        if (i % 8 == 7)
            memcpy(&model->hashes[i], &model->hashes[i - 1], 28);
    }
    qsort(model->hashes, count, sizeof(*model->hashes), model_compare);
    for (uint32_t i = 0; i < count; i++)
        model->now[i].hash = model->seen[i].hash = model->hashes[i];
}

static inline void model_free(struct model *model)
{
    free(model->hashes);
    free(model->now);
    free(model->seen);
    free(model->changes);
}

static inline void model_refresh(struct model *model)
{
    memcpy(model->seen, model->now, model->count * sizeof(*model->now));
}

static inline struct bb_set model_set(const struct model *model)
{
    struct bb_set set;
    memset(&set, 0, sizeof(set));
    for (uint32_t i = 0; i < model->count; i++)
        if (model->now[i].present)
            bb_set_add(&set, &model->now[i].hash, model->now[i].unit, model->now[i].size);
    return set;
}

/* A random, ascending choice of at most max hashes with what shall hold for them. */
static inline uint32_t model_changes(struct model *model, struct bb_random *random, uint32_t max,
                                     unsigned present_percent)
{
    uint32_t count = 0;
    uint64_t share = 1 + bb_random_below(random, 1000);
    for (uint32_t i = 0; i < model->count && count < max; i++) {
        if (bb_random_below(random, 1000) >= share)
            continue;
        struct bb_change *change = &model->changes[count++];
        memset(change, 0, sizeof(*change));
        change->hash = model->hashes[i];
        change->present = bb_random_below(random, 100) < present_percent;
        if (!change->present)
            continue;
        change->unit = bb_random_below(random, 1ull << 40);
        change->size = (uint32_t)bb_random_below(random, (1u << 20) + 1);
        change->corrupt = bb_random_below(random, 10) == 0;
    }
    return count;
}

static inline void model_fold(struct model *model, uint32_t change_count)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < change_count; i++) {
        while (!bb_hash_equal(&model->hashes[at], &model->changes[i].hash))
            at++;
        model->now[at] = model->changes[i];
    }
}

static inline void model_check_entry(const struct bb_change *expected,
                                     const struct bb_index_entry *entry)
{
    assert_true(expected->present);
    assert_int_equal(entry->unit, expected->unit);
    assert_int_equal(entry->size, expected->size);
    assert_int_equal(entry->flags, expected->corrupt ? BB_INDEX_CORRUPT : 0);
}

static inline void model_check_lookup(const struct model *model, const struct bb_index *index,
                                      uint32_t at)
{
    struct bb_index_entry entry;
    int rc = index->ops->lookup(index->context, &model->hashes[at], &entry);
    if (!model->seen[at].present) {
        assert_int_equal(rc, -ENOENT);
        return;
    }
    assert_int_equal(rc, 0);
    model_check_entry(&model->seen[at], &entry);
}

struct model_walk {
    const struct model *model;
    uint32_t at, end;
    uint32_t stop_after;
};

static inline int model_visit(void *context, const struct bb_hash *hash,
                              const struct bb_index_entry *entry)
{
    struct model_walk *walk = context;
    while (walk->at < walk->end && !walk->model->now[walk->at].present)
        walk->at++;
    assert_true(walk->at < walk->end);
    assert_true(bb_hash_equal(hash, &walk->model->hashes[walk->at]));
    model_check_entry(&walk->model->now[walk->at], entry);
    walk->at++;
    return --walk->stop_after == 0 ? 42 : 0;
}

/* Scans hashes[from] < hash < hashes[end]; from UINT32_MAX: the start, end = count: to the end. */
static inline void model_check_scan(const struct model *model, const struct bb_index *index,
                                    uint32_t from, uint32_t end, uint32_t stop_after)
{
    struct model_walk walk = {.model = model,
                              .at = from == UINT32_MAX ? 0 : from + 1,
                              .end = end,
                              .stop_after = stop_after};
    int rc = index->ops->scan(index->context, from == UINT32_MAX ? NULL : &model->hashes[from],
                              end == model->count ? NULL : &model->hashes[end], model_visit, &walk);
    if (rc == 42)
        return;
    assert_int_equal(rc, 0);
    for (; walk.at < end; walk.at++)
        assert_false(model->now[walk.at].present);
}

static inline void model_check_all(const struct model *model, const struct bb_index *index)
{
    struct bb_index_state state;
    struct bb_set set = model_set(model);
    model_check_scan(model, index, UINT32_MAX, model->count, UINT32_MAX);
    for (uint32_t i = 0; i < model->count; i++)
        model_check_lookup(model, index, i);
    assert_int_equal(index->ops->state(index->context, &state), 0);
    assert_true(bb_set_equal(&state.set, &set));
}

/* Folds model->changes into index and model. */
static inline void model_fold_both(struct model *model, const struct bb_index *index,
                                   uint32_t count, const struct bb_anchor *anchor)
{
    struct bb_set set, expected;
    uint64_t room;
    struct bb_index_fold fold = {.changes = model->changes, .count = count, .anchor = anchor};
    assert_int_equal(index->ops->fold(index->context, &fold, &set, &room), 0);
    model_fold(model, count);
    expected = model_set(model);
    assert_true(bb_set_equal(&set, &expected));
    assert_int_equal(room, index->ops->room(index->context));
}

/* Random folds, lookups, refreshes and scans; everything must agree with the model at each step. */
static inline void model_run(struct model *model, const struct bb_index *index,
                             struct bb_random *random, unsigned steps)
{
    struct bb_index_state before;
    assert_int_equal(index->ops->state(index->context, &before), 0);
    struct bb_anchor anchor = before.anchor;
    index->ops->refresh(index->context);
    model_refresh(model);
    for (unsigned step = 0; step < steps; step++) {
        unsigned present_percent = (unsigned)bb_random_below(random, 101);
        uint32_t count = model_changes(model, random, index->slice_max, present_percent);
        bool last = bb_random_below(random, 2) == 0;
        if (last)
            bb_random_fill(random, &anchor, sizeof(anchor));
        model_fold_both(model, index, count, last ? &anchor : NULL);
        for (unsigned i = 0; i < 50; i++)
            model_check_lookup(model, index, (uint32_t)bb_random_below(random, model->count));
        if (bb_random_below(random, 2) == 0) {
            index->ops->refresh(index->context);
            model_refresh(model);
        }
        uint32_t from = (uint32_t)bb_random_below(random, model->count);
        uint32_t end = from + (uint32_t)bb_random_below(random, model->count + 1 - from);
        model_check_scan(model, index, from == 0 ? UINT32_MAX : from,
                         end < from + 1 ? from + 1 : end,
                         1 + (uint32_t)bb_random_below(random, model->count));
        struct bb_index_state state;
        assert_int_equal(index->ops->state(index->context, &state), 0);
        assert_memory_equal(&state.anchor, &anchor, sizeof(anchor));
    }
    index->ops->refresh(index->context);
    model_refresh(model);
    model_check_all(model, index);
}

#endif
