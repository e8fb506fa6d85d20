/* SPDX-License-Identifier: Apache-2.0
 * The index on machines whose pages are not those it was made on. LMDB asks sysconf for the size
 * of a page: this program answers in place of the C library, also to LMDB.
 */
#include "fixture.h"

#include <dlfcn.h>
#include <lmdb.h>
#include <unistd.h>

#define SIZE (16ull << 20)
#define FLAGS (MDB_NOSUBDIR | MDB_NOLOCK)

static const long machines[] = {4096, 16384, 65536};
#define MACHINE_COUNT (sizeof(machines) / sizeof(machines[0]))

static struct fixture fixture;
static long pretended; /* 0: the truth */

long sysconf(int name)
{
    static long (*real)(int name);
    if (name == _SC_PAGESIZE && pretended != 0)
        return pretended;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "sysconf");
    return real(name);
}

static uint32_t page_size_on_device(void)
{
    static uint8_t head[128 << 10] __attribute__((aligned(4096)));
    struct bb_lmdb_meta meta;
    assert_int_equal(bb_device_read(&fixture.device, 0, head, sizeof(head)), 0);
    assert_int_equal(bb_lmdb_check_metas(head, sizeof(head), SIZE, &meta), 0);
    return meta.page_size;
}

/* As LMDB makes it by itself, with our two databases. */
static void make_by_lmdb(void)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    assert_int_equal(truncate(fixture.file, 0), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, SIZE), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
    assert_int_equal(mdb_env_open(env, fixture.file, FLAGS, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "block", MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_dbi_open(txn, "state", MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(truncate(fixture.file, SIZE), 0);
}

/* From machine to machine, and all that was stored comes along. */
static void carry_around(struct model *model, struct bb_random *random, uint32_t page_size)
{
    for (unsigned at = 0; at < 2 * MACHINE_COUNT; at++) {
        pretended = machines[at % MACHINE_COUNT];
        assert_int_equal(fixture_open(&fixture), 0);
        if (at == 0) {
            struct bb_index_state state = fixture_state();
            assert_int_equal(bb_lmdb_put_state(fixture.lmdb, &state), 0);
        }
        model_check_all(model, &fixture.index);
        model_run(model, &fixture.index, random, 10);
        fixture_close(&fixture);
        assert_int_equal(page_size_on_device(), page_size);
    }
    pretended = 0;
}

static void lmdb_by_itself_takes_the_page_of_the_machine(void **state)
{
    (void)state;
    fixture_make(&fixture, 0, SIZE);
    for (unsigned at = 0; at < MACHINE_COUNT; at++) {
        pretended = machines[at];
        make_by_lmdb(); /* else the other tests prove nothing */
        assert_int_equal(page_size_on_device(), pretended > 32768 ? 32768 : pretended);
    }
    pretended = 0;
    fixture_end(&fixture);
}

static void an_index_has_pages_of_4_kib_and_works_on_every_machine(void **state)
{
    (void)state;
    struct bb_random random;
    struct model model;
    fixture_seed(&random);
    for (unsigned at = 0; at < MACHINE_COUNT; at++) {
        fixture_make(&fixture, 0, SIZE);
        model_make(&model, &random, 3000);
        pretended = machines[at];
        assert_int_equal(bb_lmdb_format(&fixture.device, fixture.directory), 0);
        assert_int_equal(page_size_on_device(), 4096);
        carry_around(&model, &random, 4096);
        model_free(&model);
        fixture_end(&fixture);
    }
}

static void an_index_with_larger_pages_works_on_every_machine(void **state)
{
    (void)state;
    struct bb_random random;
    struct model model;
    fixture_seed(&random);
    for (unsigned at = 1; at < MACHINE_COUNT; at++) {
        fixture_make(&fixture, 0, SIZE);
        model_make(&model, &random, 3000);
        pretended = machines[at];
        make_by_lmdb();
        carry_around(&model, &random, page_size_on_device());
        model_free(&model);
        fixture_end(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lmdb_by_itself_takes_the_page_of_the_machine),
        cmocka_unit_test(an_index_has_pages_of_4_kib_and_works_on_every_machine),
        cmocka_unit_test(an_index_with_larger_pages_works_on_every_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
