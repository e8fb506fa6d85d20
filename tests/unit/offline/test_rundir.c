/* SPDX-License-Identifier: Apache-2.0
 * Temporary directory of the offline tools.
 */
#include "devices.h"

#include "bb/rundir.h"

#include <limits.h>

static void directory_is_private_and_goes_with_what_a_dead_process_left(void **state)
{
    (void)state;
    struct bb_rundir rundir;
    struct stat status;
    char file[160], path[128];
    assert_int_equal(bb_rundir_make(&rundir), 0);
    snprintf(path, sizeof(path), "%s", rundir.path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    snprintf(file, sizeof(file), "%s/lock", path);
    devices_make_file(file, 1);
    bb_rundir_remove(&rundir);
    assert_int_equal(stat(path, &status), -1);
    bb_rundir_remove(&rundir); /* nothing left to do */
}

static void two_do_not_meet(void **state)
{
    (void)state;
    struct bb_rundir a, b;
    assert_int_equal(bb_rundir_make(&a), 0);
    assert_int_equal(bb_rundir_make(&b), 0);
    assert_string_not_equal(a.path, b.path);
    bb_rundir_remove(&a);
    bb_rundir_remove(&b);
}

static void directory_of_a_dead_process_goes_and_that_of_a_living_one_stays(void **state)
{
    (void)state;
    struct bb_rundir mine;
    struct stat status;
    char dead[128], living[128];
    assert_int_equal(bb_rundir_make(&mine), 0);
    size_t parent = (size_t)(strrchr(mine.path, '/') - mine.path);
    snprintf(dead, sizeof(dead), "%.*s/bb-offline-%d-dead00", (int)parent, mine.path, INT_MAX);
    snprintf(living, sizeof(living), "%.*s/bb-offline-%d-live00", (int)parent, mine.path,
             (int)getpid());
    assert_int_equal(mkdir(dead, 0700), 0);
    assert_int_equal(mkdir(living, 0700), 0);
    bb_rundir_remove(&mine);
    assert_int_equal(bb_rundir_make(&mine), 0);
    assert_int_equal(stat(dead, &status), -1);
    assert_int_equal(stat(living, &status), 0);
    assert_int_equal(rmdir(living), 0);
    bb_rundir_remove(&mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_is_private_and_goes_with_what_a_dead_process_left),
        cmocka_unit_test(two_do_not_meet),
        cmocka_unit_test(directory_of_a_dead_process_goes_and_that_of_a_living_one_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
