/* SPDX-License-Identifier: Apache-2.0
 * Damage to LMDB's meta pages: each flipped bit is refused, or the index opens, reads right and
 * takes folds. Never a crash: every attempt runs in a child.
 */
#include "../../support/pace.h"
#include "fixture.h"

#include "bb/indexcodec.h"

#include "../../../src/index/lmdbpage.h"

#include <dirent.h>
#include <lmdb.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define SIZE (16ull << 20)
#define META_SIZE 152u
#define HEAD_SIZE 65536u

static struct fixture fixture;
static uint8_t head[HEAD_SIZE];
static uint32_t page_size;

static void read_head(void)
{
    int fd = open(fixture.file, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, head, sizeof(head), 0), sizeof(head));
    close(fd);
}

static void write_bytes(uint64_t offset, const void *bytes, size_t size)
{
    int fd = open(fixture.file, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
    close(fd);
}

static void a_good_head_is_taken_and_described(void **state)
{
    (void)state;
    struct bb_lmdb_meta meta;
    fixture_make_open(&fixture, 0, SIZE);
    fixture_close(&fixture);
    read_head();
    assert_int_equal(bb_lmdb_check_metas(head, sizeof(head), SIZE, &meta), 0);
    assert_int_equal(meta.page_size, 4096);
    assert_int_equal(meta.map_size, SIZE);
    assert_int_equal(meta.transaction, 2); /* made by format, then the row */
    assert_true(meta.last_page >= 2);
    assert_int_equal(bb_lmdb_check_metas(head, sizeof(head), SIZE - 1, &meta),
                     BB_ERR_INDEX_DAMAGED);
    fixture_end(&fixture);
}

static void random_heads_are_refused(void **state)
{
    (void)state;
    struct bb_random random;
    struct bb_lmdb_meta meta;
    fixture_seed(&random);
    memset(head, 0, sizeof(head));
    assert_int_equal(bb_lmdb_check_metas(head, sizeof(head), SIZE, &meta), BB_ERR_NOT_FORMATTED);
    for (unsigned i = 0; i < 1000; i++) {
        bb_random_fill(&random, head, 512);
        bb_random_fill(&random, head + 4096, 512);
        uint32_t magic = 0xBEEFC0DE;
        assert_int_equal(bb_lmdb_check_metas(head, sizeof(head), SIZE, &meta),
                         BB_ERR_NOT_FORMATTED);
        memcpy(head + 16, &magic, sizeof(magic));
        assert_int_equal(bb_lmdb_check_metas(head, sizeof(head), SIZE, &meta),
                         BB_ERR_INDEX_DAMAGED);
    }
}

static void one_meta_page_zeroed_is_damage_both_is_no_index(void **state)
{
    (void)state;
    static const uint8_t zeros[512];
    fixture_make_open(&fixture, 0, SIZE);
    fixture_close(&fixture);
    read_head();
    uint32_t page = 4096;
    for (unsigned at = 0; at < 2; at++) {
        write_bytes(at * page, zeros, sizeof(zeros));
        assert_int_equal(fixture_open(&fixture), BB_ERR_INDEX_DAMAGED);
        write_bytes(at * page, head + at * page, sizeof(zeros));
    }
    assert_int_equal(fixture_open(&fixture), 0);
    fixture_close(&fixture);
    write_bytes(0, zeros, sizeof(zeros));
    write_bytes(page, zeros, sizeof(zeros));
    assert_int_equal(fixture_open(&fixture), BB_ERR_NOT_FORMATTED);
    fixture_end(&fixture);
}

/* What a failed write of a meta page leaves: old transaction and last page, new roots. */
static void roots_of_the_older_page_may_lie_behind_its_last_page(void **state)
{
    (void)state;
    struct bb_random random;
    struct model model;
    fixture_seed(&random);
    fixture_make_open(&fixture, 0, SIZE);
    model_make(&model, &random, 400);
    model_run(&model, &fixture.index, &random, 30);
    fixture_close(&fixture);
    read_head();
    uint32_t page = 4096;
    struct lmdb_disk_meta metas[2];
    memcpy(&metas[0], head, sizeof(metas[0]));
    memcpy(&metas[1], head + page, sizeof(metas[1]));
    unsigned older = bb_le64_get(metas[0].transaction) > bb_le64_get(metas[1].transaction);
    metas[older].main.root = bb_le64_make(bb_le64_get(metas[older].last_page) + 3);
    write_bytes(older * page, &metas[older], sizeof(metas[older]));
    assert_int_equal(fixture_open(&fixture), 0);
    model_check_all(&model, &fixture.index);
    fixture_close(&fixture);
    metas[older].main.root = bb_le64_make(SIZE / page); /* behind the map: nothing explains that */
    write_bytes(older * page, &metas[older], sizeof(metas[older]));
    assert_int_equal(fixture_open(&fixture), BB_ERR_INDEX_DAMAGED);
    model_free(&model);
    fixture_end(&fixture);
}

static unsigned names_in(const char *directory)
{
    unsigned count = 0;
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void links_of_a_killed_process_are_removed_by_the_next_open(void **state)
{
    (void)state;
    fixture_make_open(&fixture, 0, SIZE);
    fixture_close(&fixture);
    unsigned at_rest = names_in(fixture.directory);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(fixture_open(&fixture) == 0 ? 0 : 1); /* closes nothing */
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(names_in(fixture.directory), at_rest + 2);
    assert_int_equal(fixture_open(&fixture), 0);
    assert_int_equal(names_in(fixture.directory), at_rest + 2); /* its own */
    fixture_close(&fixture);
    assert_int_equal(names_in(fixture.directory), at_rest);
    fixture_end(&fixture);
}

static void an_environment_with_other_databases_is_damage(void **state)
{
    (void)state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    fixture_make(&fixture, 0, SIZE);
    assert_int_equal(truncate(fixture.file, 0), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, SIZE), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
    assert_int_equal(mdb_env_open(env, fixture.file, MDB_NOSUBDIR | MDB_NOLOCK, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "other", MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(truncate(fixture.file, SIZE), 0);
    assert_int_equal(fixture_open(&fixture), BB_ERR_INDEX_DAMAGED);
    fixture_end(&fixture);
}

/* ---- Every bit ---- */

/* Exit codes that cmocka in the child does not use. */
enum outcome { REFUSED = 77, READ_RIGHT = 78 };

/* In a child: opens, compares with the model, folds ten times, compares again. */
static enum outcome try_in_child(struct model *model)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        int rc = fixture_open(&fixture);
        if (rc == BB_ERR_INDEX_DAMAGED || rc == BB_ERR_NOT_FORMATTED)
            _exit(REFUSED);
        if (rc < 0)
            _exit(100);
        struct bb_random random;
        bb_random_seed(&random, 1);
        model_check_all(model, &fixture.index);
        model_run(model, &fixture.index, &random, 10);
        bb_lmdb_close(fixture.lmdb);
        _exit(READ_RIGHT);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != REFUSED && WEXITSTATUS(status) != READ_RIGHT))
        fail_msg("child ended with status 0x%x", status);
    return (enum outcome)WEXITSTATUS(status);
}

static void save(uint8_t *copy)
{
    int fd = open(fixture.file, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, copy, SIZE, 0), SIZE);
    close(fd);
}

/* Harmless is what LMDB does not look at: counts of the older page, a last page that is too high.
 */
static void every_flipped_bit_of_the_metas_is_refused_or_harmless(void **state)
{
    (void)state;
    struct bb_random random;
    struct model model;
    uint8_t *copy = malloc(SIZE);
    assert_non_null(copy);
    fixture_seed(&random);
    fixture_make_open(&fixture, 0, SIZE);
    model_make(&model, &random, 400);
    model_run(&model, &fixture.index, &random, 30);
    fixture_close(&fixture);
    save(copy);
    read_head();
    page_size = 4096;
    unsigned refused = 0, harmless = 0;
    unsigned step = pace_is_quick() ? 4 : 1; /* others each time */
    for (unsigned bit = (unsigned)bb_random_below(&random, step); bit < 2 * 8 * META_SIZE;
         bit += step) {
        unsigned meta = bit / (8 * META_SIZE), at = bit / 8 % META_SIZE;
        uint8_t byte = head[meta * page_size + at] ^ (uint8_t)(1u << bit % 8);
        write_bytes(meta * page_size + at, &byte, 1);
        enum outcome outcome = try_in_child(&model);
        if (outcome == READ_RIGHT) {
            harmless++;
            write_bytes(0, copy, SIZE);
        } else {
            refused++;
            write_bytes(meta * page_size + at, &head[meta * page_size + at], 1);
        }
    }
    print_message("refused %u, harmless %u of %u\n", refused, harmless, refused + harmless);
    assert_int_equal(fixture_open(&fixture), 0);
    model_check_all(&model, &fixture.index);
    assert_true(refused > 3 * harmless);
    model_free(&model);
    free(copy);
    fixture_end(&fixture);
}

/* ---- Pages behind the metas ---- */

#define LARGE_SIZE (64ull << 20)
#define LARGE_COUNT 60000u

static void fold_large(const struct bb_change *changes, uint32_t count)
{
    uint32_t slice = fixture.index.slice_max;
    for (uint32_t at = 0; at < count; at += slice) {
        struct bb_set set;
        uint64_t room;
        struct bb_index_fold fold = {.changes = changes + at,
                                     .count = count - at < slice ? count - at : slice};
        assert_int_equal(fixture.index.ops->fold(fixture.lmdb, &fold, &set, &room), 0);
        fixture.index.ops->refresh(fixture.lmdb);
    }
}

/* Random records, then some of them away all over the tree: branch pages, a long free list. */
static void make_large(struct bb_random *random)
{
    struct bb_change *changes = calloc(LARGE_COUNT, sizeof(*changes));
    struct bb_change *gone = calloc(LARGE_COUNT, sizeof(*gone));
    assert_true(changes != NULL && gone != NULL);
    for (unsigned i = 0; i < LARGE_COUNT; i++) {
        bb_random_fill(random, &changes[i].hash, sizeof(changes[i].hash));
        changes[i].present = true;
    }
    qsort(changes, LARGE_COUNT, sizeof(*changes), model_compare); /* the hash comes first */
    fold_large(changes, LARGE_COUNT);
    for (unsigned start = 0; start < 10; start++) {
        uint32_t count = 0;
        for (unsigned i = start; i < LARGE_COUNT; i += LARGE_COUNT / fixture.index.slice_max + 1)
            gone[count++].hash = changes[i].hash;
        fold_large(gone, count);
    }
    free(changes);
    free(gone);
}

/* Opens in a child, which must come to an end by itself. */
static enum outcome open_in_child(void)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        int rc = fixture_open(&fixture);
        if (rc == 0)
            bb_lmdb_close(fixture.lmdb);
        _exit(rc == 0 ? READ_RIGHT : rc == BB_ERR_INDEX_DAMAGED ? REFUSED : 100);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != REFUSED && WEXITSTATUS(status) != READ_RIGHT))
        fail_msg("child ended with status 0x%x", status);
    return (enum outcome)WEXITSTATUS(status);
}

static uint64_t get_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

/* Flips up to four bytes of a page and expects nothing but an end. */
static unsigned damage_page(struct bb_random *random, uint64_t page, unsigned rounds)
{
    static uint8_t good[HEAD_SIZE], bad[HEAD_SIZE];
    unsigned refused = 0;
    int fd = open(fixture.file, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, good, page_size, (off_t)(page * page_size)), page_size);
    close(fd);
    for (unsigned round = 0; round < rounds; round++) {
        memcpy(bad, good, page_size);
        for (unsigned i = bb_random_below(random, 4) == 0 ? 4 : 1; i > 0; i--) {
            /* headers and node offsets, nodes at the end, or anywhere */
            uint64_t from = 0, to = page_size;
            if (bb_random_below(random, 3) == 0)
                to = 64;
            else if (bb_random_below(random, 2) == 0)
                from = page_size - 256;
            bad[from + bb_random_below(random, to - from)] ^=
                (uint8_t)(1 + bb_random_below(random, 255));
        }
        write_bytes(page * page_size, bad, page_size);
        refused += open_in_child() == REFUSED;
    }
    write_bytes(page * page_size, good, page_size);
    return refused;
}

static void damage_of_main_database_and_free_list_never_crashes(void **state)
{
    (void)state;
    struct bb_random random;
    struct bb_lmdb_meta meta;
    MDB_env *env;
    MDB_stat stat;
    MDB_txn *txn;
    fixture_seed(&random);
    fixture_make_open(&fixture, 0, LARGE_SIZE);
    make_large(&random);
    fixture_close(&fixture);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, fixture.file, MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, 0), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_stat(txn, 0, &stat), 0);
    assert_true(stat.ms_overflow_pages > 0); /* else the test does not reach far */
    mdb_txn_abort(txn);
    mdb_env_close(env);
    read_head();
    page_size = 4096;
    assert_int_equal(bb_lmdb_check_metas(head, sizeof(head), LARGE_SIZE, &meta), 0);
    const uint8_t *newest = head + (meta.transaction % 2) * page_size;
    uint64_t free_root = get_u64(newest + 16 + 24 + 40);
    uint64_t main_root = get_u64(newest + 16 + 24 + 48 + 40);
    assert_int_equal(open_in_child(), READ_RIGHT);
    unsigned rounds = pace_is_quick() ? 90 : 300;
    unsigned refused = damage_page(&random, main_root, rounds);
    refused += damage_page(&random, free_root, rounds);
    print_message("refused %u of %u\n", refused, 2 * rounds);
    assert_true(refused > rounds / 3);
    for (unsigned i = 0; i < rounds * 2 / 3; i++)
        (void)damage_page(&random, 2 + bb_random_below(&random, meta.last_page - 1), 1);
    assert_int_equal(open_in_child(), READ_RIGHT);
    fixture_end(&fixture);
}

int main(void)
{
    if (access("/dev/shm", W_OK) == 0)
        fixture_root = "/dev/shm"; /* thousands of transactions, no power to lose */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_head_is_taken_and_described),
        cmocka_unit_test(random_heads_are_refused),
        cmocka_unit_test(one_meta_page_zeroed_is_damage_both_is_no_index),
        cmocka_unit_test(roots_of_the_older_page_may_lie_behind_its_last_page),
        cmocka_unit_test(links_of_a_killed_process_are_removed_by_the_next_open),
        cmocka_unit_test(an_environment_with_other_databases_is_damage),
        cmocka_unit_test(every_flipped_bit_of_the_metas_is_refused_or_harmless),
        cmocka_unit_test(damage_of_main_database_and_free_list_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
