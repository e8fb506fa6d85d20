/* SPDX-License-Identifier: Apache-2.0
 * Damage to LMDB's meta pages: each flipped bit is refused, or the index opens, reads right and
 * takes folds. Never a crash: every attempt runs in a child.
 */
#include "fixture.h"

#include "bb/indexcodec.h"

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
    assert_int_equal(meta.page_size, (uint32_t)sysconf(_SC_PAGESIZE));
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
    uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
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
    page_size = (uint32_t)sysconf(_SC_PAGESIZE);
    unsigned refused = 0, harmless = 0;
    for (unsigned bit = 0; bit < 2 * 8 * META_SIZE; bit++) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_head_is_taken_and_described),
        cmocka_unit_test(random_heads_are_refused),
        cmocka_unit_test(one_meta_page_zeroed_is_damage_both_is_no_index),
        cmocka_unit_test(an_environment_with_other_databases_is_damage),
        cmocka_unit_test(every_flipped_bit_of_the_metas_is_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
