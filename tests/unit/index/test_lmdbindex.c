/* SPDX-License-Identifier: Apache-2.0
 * The index over LMDB against a naive model, on a file and on loop devices of both sector sizes.
 */
#include "fixture.h"

#include "bb/indexcodec.h"

#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define SIZE (16ull << 20)

static struct fixture fixture;

static unsigned sector_of(void **state)
{
    return *(unsigned *)*state;
}

static void folds_lookups_and_scans_agree_with_a_naive_model(void **state)
{
    struct bb_random random;
    struct model model;
    fixture_seed(&random);
    fixture_make_open(&fixture, sector_of(state), SIZE);
    model_make(&model, &random, 5000);
    for (unsigned life = 0; life < 3; life++) {
        model_run(&model, &fixture.index, &random, 40);
        fixture_close(&fixture);
        assert_int_equal(fixture_open(&fixture), 0);
        model_check_all(&model, &fixture.index);
    }
    model_free(&model);
    fixture_end(&fixture);
}

static void the_row_keeps_identity_and_changes_its_anchor_only_when_given_one(void **state)
{
    struct bb_index_state wanted = fixture_state(), got;
    struct bb_set set;
    uint64_t room;
    struct bb_anchor anchor;
    memset(&anchor, 0x5a, sizeof(anchor));
    fixture_make_open(&fixture, sector_of(state), SIZE);
    struct bb_index_fold fold = {.anchor = &anchor};
    assert_int_equal(fixture.index.ops->fold(fixture.lmdb, &fold, &set, &room), 0);
    fold.anchor = NULL;
    assert_int_equal(fixture.index.ops->fold(fixture.lmdb, &fold, &set, &room), 0);
    fixture_close(&fixture);
    assert_int_equal(fixture_open(&fixture), 0);
    assert_int_equal(fixture.index.ops->state(fixture.lmdb, &got), 0);
    wanted.anchor = anchor;
    assert_memory_equal(&got, &wanted, sizeof(wanted));
    fixture_end(&fixture);
}

static void the_row_can_be_read_without_lmdb(void **state)
{
    struct bb_index_state wanted = fixture_state(), got;
    struct bb_anchor anchor;
    struct bb_set set;
    uint64_t room;
    const struct bb_index_fold fold = {.anchor = &anchor};
    memset(&anchor, 0x5a, sizeof(anchor));
    fixture_make(&fixture, sector_of(state), SIZE);
    assert_int_equal(bb_lmdb_peek_state(&fixture.device, &got), BB_ERR_NOT_FORMATTED);
    assert_int_equal(bb_lmdb_format(&fixture.device, fixture.directory), 0);
    assert_int_equal(bb_lmdb_peek_state(&fixture.device, &got), BB_ERR_NOT_FORMATTED);
    fixture_end(&fixture);
    fixture_make_open(&fixture, sector_of(state), SIZE);
    assert_int_equal(bb_lmdb_peek_state(&fixture.device, &got), 0);
    assert_memory_equal(&got, &wanted, sizeof(wanted));
    assert_int_equal(fixture.index.ops->fold(fixture.lmdb, &fold, &set, &room), 0);
    assert_int_equal(bb_lmdb_peek_state(&fixture.device, &got), 0); /* beside the open one */
    wanted.anchor = anchor;
    assert_memory_equal(&got, &wanted, sizeof(wanted));
    fixture_end(&fixture);
}

static void without_a_row_state_and_fold_are_refused(void **state)
{
    struct bb_index_state row;
    struct bb_set set;
    uint64_t room;
    struct bb_index_fold fold = {.count = 0};
    fixture_make(&fixture, sector_of(state), SIZE);
    assert_int_equal(bb_lmdb_format(&fixture.device, fixture.directory), 0);
    assert_int_equal(fixture_open(&fixture), 0);
    assert_int_equal(fixture.index.ops->state(fixture.lmdb, &row), BB_ERR_NOT_FORMATTED);
    assert_int_equal(fixture.index.ops->fold(fixture.lmdb, &fold, &set, &room),
                     BB_ERR_NOT_FORMATTED);
    fixture_end(&fixture);
}

static void blank_wiped_and_small_devices_are_not_formatted(void **state)
{
    struct fixture small;
    fixture_make(&fixture, sector_of(state), SIZE);
    assert_int_equal(fixture_open(&fixture), BB_ERR_NOT_FORMATTED);
    assert_int_equal(bb_lmdb_format(&fixture.device, fixture.directory), 0);
    assert_int_equal(fixture_open(&fixture), 0);
    fixture_close(&fixture);
    assert_int_equal(bb_lmdb_invalidate(&fixture.device), 0);
    assert_int_equal(fixture_open(&fixture), BB_ERR_NOT_FORMATTED);
    fixture_end(&fixture);
    fixture_make(&small, sector_of(state), BB_LMDB_SIZE_MIN - 4096);
    assert_int_equal(bb_lmdb_format(&small.device, small.directory), BB_ERR_GEOMETRY);
    assert_int_equal(fixture_open(&small), BB_ERR_NOT_FORMATTED);
    fixture_end(&small);
}

static void format_over_a_used_index_leaves_an_empty_one(void **state)
{
    struct bb_random random;
    struct model model, empty;
    struct bb_index_state row = fixture_state();
    fixture_seed(&random);
    fixture_make_open(&fixture, sector_of(state), SIZE);
    model_make(&model, &random, 2000);
    model_run(&model, &fixture.index, &random, 5);
    fixture_close(&fixture);
    assert_int_equal(bb_lmdb_format(&fixture.device, fixture.directory), 0);
    assert_int_equal(fixture_open(&fixture), 0);
    assert_int_equal(bb_lmdb_put_state(fixture.lmdb, &row), 0);
    model_make(&empty, &random, 2000);
    model_check_all(&empty, &fixture.index);
    model_free(&empty);
    model_free(&model);
    fixture_end(&fixture);
}

static void a_device_that_grew_keeps_its_records_and_gains_room(void **state)
{
    struct bb_random random;
    struct model model;
    (void)state;
    fixture_seed(&random);
    fixture_make_open(&fixture, 0, SIZE);
    model_make(&model, &random, 2000);
    model_run(&model, &fixture.index, &random, 5);
    uint64_t before = fixture.index.ops->room(fixture.lmdb);
    fixture_close(&fixture);
    assert_int_equal(truncate(fixture.file, 4 * SIZE), 0);
    fixture.device.size = 4 * SIZE;
    assert_int_equal(fixture_open(&fixture), 0);
    assert_true(fixture.index.ops->room(fixture.lmdb) > 3 * before);
    model_check_all(&model, &fixture.index);
    model_run(&model, &fixture.index, &random, 5);
    fixture_close(&fixture);
    fixture.device.size = SIZE;
    assert_int_equal(fixture_open(&fixture), BB_ERR_INDEX_DAMAGED);
    model_free(&model);
    fixture_end(&fixture);
}

static void read_only_sees_what_was_folded(void **state)
{
    struct bb_random random;
    struct model model;
    fixture_seed(&random);
    fixture_make_open(&fixture, sector_of(state), SIZE);
    model_make(&model, &random, 2000);
    model_run(&model, &fixture.index, &random, 5);
    fixture_close(&fixture);
    assert_int_equal(bb_lmdb_open(&fixture.device, fixture.directory, true, &fixture.lmdb), 0);
    bb_lmdb_index(fixture.lmdb, &fixture.index);
    model_check_all(&model, &fixture.index);
    model_free(&model);
    fixture_end(&fixture);
}

static void append_takes_ascending_hashes_only(void **state)
{
    struct bb_random random;
    struct model model;
    struct bb_index_state row = fixture_state();
    fixture_seed(&random);
    fixture_make_open(&fixture, sector_of(state), SIZE);
    model_make(&model, &random, 4000);
    uint32_t half = model.count / 2;
    for (uint32_t i = 0; i < model.count; i++) {
        model.changes[i] = model.now[i];
        model.changes[i].present = true;
        model.changes[i].unit = i;
        model.changes[i].size = i;
    }
    uint32_t slice = fixture.index.slice_max;
    for (uint32_t at = 0; at < half; at += slice)
        assert_int_equal(
            bb_lmdb_append(fixture.lmdb, model.changes + at, half - at < slice ? half - at : slice),
            0);
    assert_int_equal(bb_lmdb_append(fixture.lmdb, model.changes + half - 1, 2), -EEXIST);
    model_fold(&model, half);
    row.set = model_set(&model);
    assert_int_equal(bb_lmdb_put_state(fixture.lmdb, &row), 0);
    fixture.index.ops->refresh(fixture.lmdb);
    model_refresh(&model);
    model_check_all(&model, &fixture.index);
    model_run(&model, &fixture.index, &random, 10);
    model_free(&model);
    fixture_end(&fixture);
}

static void two_environments_of_one_process_do_not_meet(void **state)
{
    struct bb_random random;
    struct fixture other;
    struct model model, other_model;
    fixture_seed(&random);
    fixture_make_open(&fixture, sector_of(state), SIZE);
    fixture_make_open(&other, 0, BB_LMDB_SIZE_MIN);
    model_make(&model, &random, 1000);
    model_make(&other_model, &random, 1000);
    model_run(&model, &fixture.index, &random, 5);
    model_run(&other_model, &other.index, &random, 5);
    model_check_all(&model, &fixture.index);
    model_free(&model);
    model_free(&other_model);
    fixture_end(&other);
    fixture_end(&fixture);
}

static void a_path_that_leads_elsewhere_is_refused(void **state)
{
    struct fixture other;
    fixture_make_open(&fixture, sector_of(state), SIZE);
    fixture_make_open(&other, 0, SIZE);
    fixture_close(&fixture);
    fixture_close(&other);
    memcpy(fixture.device.path, other.file, sizeof(other.file));
    assert_int_equal(fixture_open(&fixture), BB_ERR_REFUSED);
    fixture_end(&other);
    fixture_end(&fixture);
}

/* Puts bytes into the closed index behind our back. */
static void overwrite(const char *database, const void *key, size_t key_size, const void *value,
                      size_t size)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = {key_size, (void *)key}, v = {size, (void *)value};
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, fixture.size), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
    assert_int_equal(mdb_env_open(env, fixture.device.path, MDB_NOSUBDIR | MDB_NOLOCK, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, database, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void every_damaged_byte_of_the_row_is_noticed(void **state)
{
    struct bb_index_state row = fixture_state();
    struct bb_disk_index_state disk;
    struct bb_set set;
    uint64_t room;
    struct bb_index_fold fold = {.count = 0};
    fixture_make_open(&fixture, sector_of(state), SIZE);
    for (size_t at = 0; at <= sizeof(disk); at += 7) {
        bb_index_state_encode(&row, &disk);
        uint8_t *bytes = (uint8_t *)&disk;
        size_t size = sizeof(disk);
        if (at == sizeof(disk))
            size--;
        else
            bytes[at] ^= 0x10;
        fixture_close(&fixture);
        overwrite("state", BB_INDEX_STATE_KEY, strlen(BB_INDEX_STATE_KEY), &disk, size);
        assert_int_equal(fixture_open(&fixture), 0);
        assert_int_equal(fixture.index.ops->state(fixture.lmdb, &row), BB_ERR_INDEX_DAMAGED);
        assert_int_equal(fixture.index.ops->fold(fixture.lmdb, &fold, &set, &room),
                         BB_ERR_INDEX_DAMAGED);
        assert_int_equal(bb_lmdb_peek_state(&fixture.device, &row), BB_ERR_INDEX_DAMAGED);
        row = fixture_state();
        assert_int_equal(bb_lmdb_put_state(fixture.lmdb, &row), 0);
    }
    fixture_end(&fixture);
}

static void a_damaged_value_is_noticed_by_lookup_scan_and_fold(void **state)
{
    struct bb_hash hash;
    struct bb_index_entry entry;
    struct model none = {.count = 0};
    struct bb_set set;
    uint64_t room;
    struct bb_disk_index_value value = {.flags = bb_le64_make(1ull << 63)};
    memset(&hash, 0x77, sizeof(hash));
    fixture_make_open(&fixture, sector_of(state), SIZE);
    fixture_close(&fixture);
    overwrite("block", &hash, sizeof(hash), &value, sizeof(value));
    assert_int_equal(fixture_open(&fixture), 0);
    const struct bb_index_ops *ops = fixture.index.ops;
    assert_int_equal(ops->lookup(fixture.lmdb, &hash, &entry), BB_ERR_INDEX_DAMAGED);
    struct model_walk walk = {.model = &none};
    assert_int_equal(ops->scan(fixture.lmdb, NULL, NULL, model_visit, &walk), BB_ERR_INDEX_DAMAGED);
    for (unsigned present = 0; present < 2; present++) {
        struct bb_change change = {.hash = hash, .present = present == 1};
        struct bb_index_fold fold = {.changes = &change, .count = 1};
        assert_int_equal(ops->fold(fixture.lmdb, &fold, &set, &room), BB_ERR_INDEX_DAMAGED);
    }
    fixture_end(&fixture);
}

/* The limit on file sizes stands for a device that refuses a write. */
static void a_commit_that_cannot_be_written_changes_nothing(void **state)
{
    (void)state;
    struct bb_random random;
    struct model model;
    struct bb_set set = {.count = 77};
    uint64_t room;
    struct rlimit before;
    fixture_seed(&random);
    fixture_make_open(&fixture, 0, SIZE);
    model_make(&model, &random, 2000);
    model_run(&model, &fixture.index, &random, 10);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = {.rlim_cur = 8192, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct bb_index_fold fold = {.changes = model.changes};
    while (fold.count == 0)
        fold.count = model_changes(&model, &random, fixture.index.slice_max, 50);
    int rc = fixture.index.ops->fold(fixture.lmdb, &fold, &set, &room);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, -EFBIG);
    assert_int_equal(set.count, 77);
    fixture.index.ops->refresh(fixture.lmdb);
    model_check_all(&model, &fixture.index);
    fixture_close(&fixture);
    assert_int_equal(fixture_open(&fixture), 0);
    model_check_all(&model, &fixture.index);
    model_run(&model, &fixture.index, &random, 10);
    model_free(&model);
    fixture_end(&fixture);
}

/* ---- A reader beside the writer ---- */

#define PAIR_COUNT 2000u

struct beside {
    struct bb_lmdb_reader *reader;
    struct bb_hash hashes[PAIR_COUNT];
    _Atomic bool stop;
    _Atomic uint64_t rounds, mixed;
};

/* Each fold gives all records one unit: a snapshot that mixes two is no snapshot. */
static void *read_beside(void *argument)
{
    struct beside *beside = argument;
    while (!atomic_load(&beside->stop)) {
        uint64_t unit = UINT64_MAX;
        if (bb_lmdb_reader_refresh(beside->reader) != 0)
            break;
        for (unsigned i = 0; i < PAIR_COUNT; i++) {
            struct bb_index_entry entry;
            if (bb_lmdb_reader_lookup(beside->reader, &beside->hashes[i], &entry) != 0 ||
                (unit != UINT64_MAX && entry.unit != unit))
                atomic_fetch_add(&beside->mixed, 1);
            unit = entry.unit;
        }
        bb_lmdb_reader_rest(beside->reader);
        atomic_fetch_add(&beside->rounds, 1);
    }
    return NULL;
}

static void a_reader_beside_the_writer_sees_whole_folds(void **state)
{
    static struct beside beside;
    static struct bb_change changes[PAIR_COUNT];
    struct bb_random random;
    pthread_t thread;
    fixture_seed(&random);
    fixture_make_open(&fixture, sector_of(state), 64 * SIZE);
    assert_true(fixture.index.slice_max >= PAIR_COUNT);
    memset(&beside, 0, sizeof(beside));
    bb_random_fill(&random, beside.hashes, sizeof(beside.hashes));
    qsort(beside.hashes, PAIR_COUNT, sizeof(struct bb_hash), model_compare);
    assert_int_equal(bb_lmdb_reader_open(fixture.lmdb, &beside.reader), 0);
    for (uint64_t unit = 0; unit < 200 || (atomic_load(&beside.rounds) < 20 && unit < 20000);
         unit++) {
        struct bb_set set;
        uint64_t room;
        for (unsigned i = 0; i < PAIR_COUNT; i++)
            changes[i] =
                (struct bb_change){.hash = beside.hashes[i], .present = true, .unit = unit};
        struct bb_index_fold fold = {.changes = changes, .count = PAIR_COUNT};
        assert_int_equal(fixture.index.ops->fold(fixture.lmdb, &fold, &set, &room), 0);
        fixture.index.ops->refresh(fixture.lmdb);
        if (unit == 0)
            assert_int_equal(pthread_create(&thread, NULL, read_beside, &beside), 0);
    }
    atomic_store(&beside.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(atomic_load(&beside.rounds) >= 20);
    assert_int_equal(atomic_load(&beside.mixed), 0);
    bb_lmdb_reader_close(beside.reader);
    fixture_end(&fixture);
}

static void readers_are_bounded(void **state)
{
    struct bb_lmdb_reader *readers[BB_LMDB_READERS_MAX], *more;
    fixture_make_open(&fixture, sector_of(state), SIZE);
    for (unsigned i = 0; i < BB_LMDB_READERS_MAX; i++)
        assert_int_equal(bb_lmdb_reader_open(fixture.lmdb, &readers[i]), 0);
    assert_int_equal(bb_lmdb_reader_open(fixture.lmdb, &more), BB_ERR_BUSY);
    bb_lmdb_reader_close(readers[3]);
    assert_int_equal(bb_lmdb_reader_open(fixture.lmdb, &readers[3]), 0);
    for (unsigned i = 0; i < BB_LMDB_READERS_MAX; i++)
        bb_lmdb_reader_close(readers[i]);
    fixture_end(&fixture);
}

int main(void)
{
    static unsigned sectors[] = {0, 512, 4096};
    const struct CMUnitTest file_tests[] = {
        cmocka_unit_test(a_device_that_grew_keeps_its_records_and_gains_room),
        cmocka_unit_test(a_commit_that_cannot_be_written_changes_nothing),
    };
    int failed = cmocka_run_group_tests(file_tests, NULL, NULL);
    for (unsigned i = 0; i < 3; i++) {
        unsigned *s = &sectors[i];
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_prestate(name, s)
            TEST(folds_lookups_and_scans_agree_with_a_naive_model),
            TEST(the_row_keeps_identity_and_changes_its_anchor_only_when_given_one),
            TEST(the_row_can_be_read_without_lmdb),
            TEST(without_a_row_state_and_fold_are_refused),
            TEST(blank_wiped_and_small_devices_are_not_formatted),
            TEST(format_over_a_used_index_leaves_an_empty_one),
            TEST(read_only_sees_what_was_folded),
            TEST(append_takes_ascending_hashes_only),
            TEST(two_environments_of_one_process_do_not_meet),
            TEST(a_path_that_leads_elsewhere_is_refused),
            TEST(every_damaged_byte_of_the_row_is_noticed),
            TEST(a_damaged_value_is_noticed_by_lookup_scan_and_fold),
            TEST(a_reader_beside_the_writer_sees_whole_folds),
            TEST(readers_are_bounded),
        };
        print_message("sector size %u (0: a file)\n", *s);
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
