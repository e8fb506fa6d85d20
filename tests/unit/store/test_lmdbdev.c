/* SPDX-License-Identifier: Apache-2.0
 * The simulated index device under the real LMDB: what a cut leaves, at every write and flush of a
 * commit. */
#include "bb/err.h"
#include "lmdbdev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct watch {
    struct lmdbdev *dev;
    uint64_t events;
    size_t most; /* pages on their way at one time */
    struct bb_image none[64], all[64];
};

static struct watch watch;

static bool keep_none(void *context, size_t index)
{
    (void)context;
    (void)index;
    return false;
}

static bool keep_all(void *context, size_t index)
{
    (void)context;
    (void)index;
    return true;
}

static void event(void *context)
{
    struct watch *seen = context;
    size_t count = lmdbdev_undurable_count(seen->dev);
    assert_true(seen->events < 64);
    seen->most = count > seen->most ? count : seen->most;
    lmdbdev_power_cut(seen->dev, keep_none, NULL, &seen->none[seen->events]);
    lmdbdev_power_cut(seen->dev, keep_all, NULL, &seen->all[seen->events]);
    seen->events++;
}

static struct lmdbdev *open_device(struct memindex **ret_mem)
{
    struct lmdbdev *dev = lmdbdev_new();
    const struct memindex_config config = {.slice_max = 8};
    const struct bb_index_state state = {.store = {{1}}, .index = {{2}}};
    assert_non_null(dev);
    assert_int_equal(lmdbdev_open(dev), 0);
    *ret_mem = memindex_new(&config);
    struct memindex_mirror mirror = lmdbdev_mirror(dev);
    memindex_set_mirror(*ret_mem, &mirror);
    memindex_put_state(*ret_mem, &state);
    return dev;
}

static void close_device(struct lmdbdev *dev, struct memindex *mem)
{
    memindex_set_mirror(mem, NULL);
    memindex_free(mem);
    lmdbdev_free(dev);
}

static int fold(struct memindex *mem, uint8_t name)
{
    struct bb_index index = memindex_index(mem);
    const struct bb_change change = {.hash = {{name}}, .unit = name, .size = 5, .present = true};
    const struct bb_index_fold one = {.changes = &change, .count = 1};
    struct bb_set set;
    uint64_t room;
    return index.ops->fold(index.context, &one, &set, &room);
}

/* Blocks of the index that an image holds. */
static uint64_t count_of(const struct bb_image *image)
{
    struct lmdbdev *dev = lmdbdev_new();
    const struct memindex_config config = {.slice_max = 8};
    struct memindex *mem = memindex_new(&config);
    assert_non_null(dev);
    lmdbdev_load(dev, image);
    assert_int_equal(lmdbdev_open(dev), 0);
    struct memindex_mirror mirror = lmdbdev_mirror(dev);
    assert_int_equal(memindex_load(mem, mirror.index), 0);
    uint64_t count = memindex_count(mem);
    memindex_free(mem);
    lmdbdev_free(dev);
    return count;
}

static void a_cut_in_a_commit_leaves_it_or_the_one_before(void **state)
{
    struct memindex *mem;
    struct lmdbdev *dev = open_device(&mem);
    (void)state;
    assert_int_equal(fold(mem, 1), 0);
    watch = (struct watch){.dev = dev};
    lmdbdev_on_event(dev, event, &watch);
    assert_int_equal(fold(mem, 2), 0);
    lmdbdev_on_event(dev, NULL, NULL);
    assert_true(watch.events >= 3); /* pages, flush, meta */
    assert_true(watch.most >= 2);
    for (uint64_t i = 0; i < watch.events; i++) {
        bool meta = i + 1 == watch.events; /* the only one that makes it happen */
        assert_int_equal(count_of(&watch.none[i]), 1);
        assert_int_equal(count_of(&watch.all[i]), meta ? 2 : 1);
        bb_image_fini(&watch.none[i]);
        bb_image_fini(&watch.all[i]);
    }
    struct bb_image after;
    assert_int_equal(lmdbdev_undurable_count(dev), 0);
    lmdbdev_power_cut(dev, keep_none, NULL, &after);
    assert_int_equal(count_of(&after), 2);
    bb_image_fini(&after);
    close_device(dev, mem);
}

static void a_dead_device_fails_a_fold_and_keeps_what_it_had(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 3; n++) {
        struct memindex *mem;
        struct bb_image after;
        struct lmdbdev *dev = open_device(&mem);
        assert_int_equal(fold(mem, 1), 0);
        lmdbdev_cut_at(dev, n);
        assert_true(fold(mem, 2) < 0);
        assert_true(lmdbdev_is_dead(dev));
        assert_int_equal(memindex_count(mem), 1);
        lmdbdev_power_cut(dev, keep_none, NULL, &after);
        assert_int_equal(count_of(&after), 1);
        bb_image_fini(&after);
        close_device(dev, mem);
    }
}

static void a_wipe_leaves_an_index_without_rows(void **state)
{
    struct memindex *mem;
    struct lmdbdev *dev = open_device(&mem);
    struct bb_index_state row;
    struct bb_index index = memindex_index(mem);
    (void)state;
    assert_int_equal(fold(mem, 1), 0);
    memindex_wipe(mem);
    assert_int_equal(index.ops->state(index.context, &row), BB_ERR_NOT_FORMATTED);
    assert_int_equal(fold(mem, 1), BB_ERR_NOT_FORMATTED);
    close_device(dev, mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_in_a_commit_leaves_it_or_the_one_before),
        cmocka_unit_test(a_dead_device_fails_a_fold_and_keeps_what_it_had),
        cmocka_unit_test(a_wipe_leaves_an_index_without_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
