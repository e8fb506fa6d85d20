/* SPDX-License-Identifier: Apache-2.0
 * Room: what is promised fits, whatever the history of the tree; a full index can be emptied;
 * little of the device is left unused.
 */
#include "fixture.h"

#define SIZE (20ull << 20)
#define RECORDS_MAX 400000u
#define DELTA_MAX 15000u /* records that an engine would take before it folds */

static uint32_t delta_max = DELTA_MAX;

static struct fixture fixture;
static struct bb_random random_state;
static struct bb_change *records; /* those in the index, any order */
static uint32_t record_count;
static struct bb_set set_now;

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct bb_hash)); /* the hash comes first */
}

/* Sorts and folds in slices; stops at the first error. *ret_done is how many were folded. */
static int fold_all(struct bb_change *changes, uint32_t count, uint32_t *ret_done)
{
    uint32_t slice = fixture.index.slice_max;
    uint64_t room;
    qsort(changes, count, sizeof(*changes), compare);
    *ret_done = 0;
    for (uint32_t at = 0; at < count; at += slice) {
        struct bb_index_fold fold = {.changes = changes + at,
                                     .count = count - at < slice ? count - at : slice};
        int rc = fixture.index.ops->fold(fixture.lmdb, &fold, &set_now, &room);
        if (rc < 0)
            return rc;
        fixture.index.ops->refresh(fixture.lmdb);
        *ret_done += fold.count;
    }
    return 0;
}

static void make_new(struct bb_change *changes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        memset(&changes[i], 0, sizeof(changes[i]));
        bb_random_fill(&random_state, &changes[i].hash, sizeof(changes[i].hash));
        changes[i].present = true;
        changes[i].size = 4096;
    }
}

/* Adds as much as room allows, never more than a delta at once, until there is none. */
static void fill(void)
{
    for (;;) {
        uint64_t room = fixture.index.ops->room(fixture.lmdb);
        uint32_t done, count = room < delta_max ? (uint32_t)room : delta_max;
        if (count == 0)
            break;
        if (count > 1 && bb_random_below(&random_state, 4) == 0)
            count = 1 + (uint32_t)bb_random_below(&random_state, count);
        assert_true(record_count + count <= RECORDS_MAX);
        make_new(records + record_count, count);
        assert_int_equal(fold_all(records + record_count, count, &done), 0);
        record_count += count;
    }
    assert_int_equal(set_now.count, record_count);
}

/* Removes a random `count` of the records. */
static void remove_some(uint32_t count)
{
    static struct bb_change gone[RECORDS_MAX];
    uint32_t done;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)bb_random_below(&random_state, record_count);
        gone[i] = records[at];
        gone[i].present = false;
        records[at] = records[--record_count];
    }
    assert_int_equal(fold_all(gone, count, &done), 0);
    assert_int_equal(set_now.count, record_count);
}

static double used_share(void)
{
    struct bb_lmdb_stats stats;
    assert_int_equal(bb_lmdb_get_stats(fixture.lmdb, &stats), 0);
    assert_int_equal(stats.records, record_count);
    return (double)stats.used_pages / (double)stats.map_pages;
}

static void reopen(void)
{
    fixture_close(&fixture);
    assert_int_equal(fixture_open(&fixture), 0);
}

/* Fill, empty, fill again; between, replace a tenth several times while full. */
static void live(const char *name, unsigned lives)
{
    for (unsigned life = 0; life < lives; life++) {
        fill();
        print_message("%s: full at %u records, %.1f bytes of device each, %.0f %% used\n", name,
                      record_count, (double)SIZE / record_count, 100 * used_share());
        assert_true(used_share() > 0.7);
        reopen();
        for (unsigned round = 0; round < 5; round++) {
            remove_some(record_count / 10);
            fill();
        }
        remove_some(record_count / 2);
        reopen(); /* a long free list to check */
        remove_some(record_count);
        assert_true(used_share() < 0.05);
        reopen();
    }
}

static void begin(void)
{
    fixture_seed(&random_state);
    fixture_make_open(&fixture, 0, SIZE);
    record_count = 0;
    memset(&set_now, 0, sizeof(set_now));
}

static void what_room_promises_fits_and_a_full_index_can_be_emptied(void **state)
{
    (void)state;
    begin();
    live("random", 2);
    fixture_end(&fixture);
}

/* The first checkpoint then packs its leaves: it is all in order. */
static void room_is_right_with_a_delta_as_large_as_the_index(void **state)
{
    (void)state;
    delta_max = RECORDS_MAX;
    begin();
    live("large delta", 2);
    fixture_end(&fixture);
    delta_max = DELTA_MAX;
}

/* Packed leaves all split at the next checkpoint. */
static void room_is_right_after_a_bulk_load_too(void **state)
{
    (void)state;
    static const unsigned percents[] = {20, 40, 60, 80};
    for (unsigned i = 0; i < 4; i++) {
        struct bb_index_state row = fixture_state();
        begin();
        uint32_t count = (uint32_t)(SIZE / 60 * percents[i] / 100);
        make_new(records, count);
        qsort(records, count, sizeof(*records), compare);
        for (uint32_t at = 0; at < count; at += fixture.index.slice_max) {
            uint32_t left = count - at;
            uint32_t slice = fixture.index.slice_max;
            assert_int_equal(
                bb_lmdb_append(fixture.lmdb, records + at, left < slice ? left : slice), 0);
        }
        record_count = count;
        for (uint32_t at = 0; at < count; at++)
            bb_set_add(&row.set, &records[at].hash, records[at].unit, records[at].size);
        assert_int_equal(bb_lmdb_put_state(fixture.lmdb, &row), 0);
        set_now = row.set;
        live("bulk", 1);
        fixture_end(&fixture);
    }
}

static int count_one(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct bb_set *set = context;
    bb_set_add(set, hash, entry->unit, entry->size);
    return 0;
}

static void a_fold_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    begin();
    int rc = 0;
    while (rc == 0) {
        uint32_t done;
        make_new(records, DELTA_MAX);
        rc = fold_all(records, DELTA_MAX, &done);
        record_count += done;
    }
    assert_int_equal(rc, BB_ERR_INDEX_FULL);
    assert_int_equal(fixture.index.ops->room(fixture.lmdb), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct bb_index_state row;
        struct bb_set set;
        memset(&set, 0, sizeof(set));
        assert_int_equal(fixture.index.ops->state(fixture.lmdb, &row), 0);
        assert_int_equal(fixture.index.ops->scan(fixture.lmdb, NULL, NULL, count_one, &set), 0);
        assert_int_equal(set.count, record_count);
        assert_true(bb_set_equal(&row.set, &set));
        reopen();
    }
    fixture_end(&fixture);
}

static void slices_keep_three_transactions_within_an_eighth_of_the_map(void **state)
{
    (void)state;
    uint32_t before = 0;
    for (uint64_t pages = BB_LMDB_SIZE_MIN / 4096; pages < 1ull << 40; pages += pages / 7) {
        uint32_t slice = bb_lmdb_slice_max(pages);
        assert_in_range(slice, before, BB_INDEX_SLICE_MAX);
        assert_true(slice >= 16);
        assert_true(3ull * slice <= pages / 8);
        before = slice;
    }
    assert_int_equal(before, BB_INDEX_SLICE_MAX);
}

static void room_of_a_full_map_is_none(void **state)
{
    (void)state;
    struct bb_lmdb_stats stats = {.records = 1000,
                                  .block_pages = 30,
                                  .used_pages = 2048,
                                  .map_pages = 2048,
                                  .page_size = 4096};
    assert_int_equal(bb_lmdb_room(&stats), 0);
    stats.used_pages = 3000; /* the map shrank */
    assert_int_equal(bb_lmdb_room(&stats), 0);
    stats.used_pages = 40;
    assert_true(bb_lmdb_room(&stats) > 1700 * 30);
    assert_true(bb_lmdb_room(&stats) < 2048 * 70);
}

static int make_records(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK) == 0)
        fixture_root = "/dev/shm"; /* thousands of transactions, no power to lose */
    records = calloc(RECORDS_MAX, sizeof(*records));
    return records == NULL;
}

static int free_records(void **state)
{
    (void)state;
    free(records);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_keep_three_transactions_within_an_eighth_of_the_map),
        cmocka_unit_test(room_of_a_full_map_is_none),
        cmocka_unit_test(what_room_promises_fits_and_a_full_index_can_be_emptied),
        cmocka_unit_test(room_is_right_with_a_delta_as_large_as_the_index),
        cmocka_unit_test(room_is_right_after_a_bulk_load_too),
        cmocka_unit_test(a_fold_that_does_not_fit_changes_nothing),
    };
    return cmocka_run_group_tests(tests, make_records, free_records);
}
