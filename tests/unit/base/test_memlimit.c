/* SPDX-License-Identifier: Apache-2.0
 * Limits of control groups, read from folders that look like /proc and /sys. */
#include "bb/memlimit.h"

#include "bb/bits.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char root[64];

static int make_root(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/bb-memlimit-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root and makes its folders. */
static void put(const char *path, const char *text)
{
    char full[512];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)mkdir(full, 0700); /* may be there */
        *at = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void without_groups_there_is_no_limit(void **state)
{
    (void)state;
    assert_true(bb_memlimit_find(root) == UINT64_MAX);
    put("/proc/self/cgroup", "0::/\n");
    assert_true(bb_memlimit_find(root) == UINT64_MAX);
    put("/sys/fs/cgroup/memory.max", "max\n");
    assert_true(bb_memlimit_find(root) == UINT64_MAX);
}

static void version_2_takes_the_least_on_the_way_up(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/system.slice/bbd.service\n");
    put("/sys/fs/cgroup/system.slice/bbd.service/memory.max", "max\n");
    put("/sys/fs/cgroup/system.slice/memory.max", "104857600\n");
    assert_true(bb_memlimit_find(root) == 100 * BB_MIB);
    put("/sys/fs/cgroup/system.slice/bbd.service/memory.max", "52428800\n");
    assert_true(bb_memlimit_find(root) == 50 * BB_MIB);
}

static void version_1_is_found_by_its_controller(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "12:cpu,cpuacct:/a\n7:hugetlb,memory:/a/b\n3:notmemory:/x\n0::/\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    assert_true(bb_memlimit_find(root) == UINT64_MAX);
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "41943040\n");
    assert_true(bb_memlimit_find(root) == 40 * BB_MIB);
}

static void a_path_of_the_host_ends_at_the_mount(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/docker/0123/not/here\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
    assert_true(bb_memlimit_find(root) == 64 * BB_MIB);
}

static void what_is_no_number_and_no_line_is_passed_over(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "\n:\nmemory\n0:\n4:memory:\n0::/a\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "12x\n");
    put("/sys/fs/cgroup/a/memory.max", "\n");
    assert_true(bb_memlimit_find(root) == UINT64_MAX);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        FRESH(without_groups_there_is_no_limit),
        FRESH(version_2_takes_the_least_on_the_way_up),
        FRESH(version_1_is_found_by_its_controller),
        FRESH(a_path_of_the_host_ends_at_the_mount),
        FRESH(what_is_no_number_and_no_line_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
