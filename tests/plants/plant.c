/* SPDX-License-Identifier: Apache-2.0
 * What the build with -DBB_PLANT=ON adds to every program: the choice of planted bugs and of the
 * kill point, read before main, so that no program needs to know of them.
 *
 *   BB_PLANT=NAME[,NAME...]      the bugs; an unknown name ends the program with 2
 *   BB_KILL_POINT=NAME[:N]       dies by SIGKILL there, at the N-th passage
 *   BB_KILL_POINT=list           prints their names and ends
 *   BB_PLANT_TESTS=PATTERN       a program of cmocka runs only the tests of that name (with * and
 * ?)
 */
#include "bb/plant.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME(name, rule) #name,

bool bb_plants[BB_PLANT_COUNT];

static const char *const names[] = {BB_PLANTS(NAME)};
static const char *const points[] = {BB_KILL_POINTS(NAME)};
static unsigned chosen_point = BB_KILL_COUNT;
static atomic_long passages_left;

/* Only programs of cmocka have it. */
void cmocka_set_test_filter(const char *pattern) __attribute__((weak));

static void plant(const char *name, size_t len)
{
    for (unsigned i = 0; i < BB_PLANT_COUNT; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            bb_plants[i] = true;
            return;
        }
    }
    fprintf(stderr, "BB_PLANT: no plant %.*s\n", (int)len, name);
    exit(2);
}

void bb_kill_point(enum bb_kill_point point)
{
    if (point == chosen_point && atomic_fetch_sub(&passages_left, 1) == 1) {
        raise(SIGKILL);
    }
}

static void arm(const char *name)
{
    size_t len = strcspn(name, ":");
    if (strcmp(name, "list") == 0) {
        for (unsigned i = 0; i < BB_KILL_COUNT; i++) {
            puts(points[i]);
        }
        exit(0);
    }
    atomic_store(&passages_left, name[len] == ':' ? strtol(name + len + 1, NULL, 10) : 1);
    while (chosen_point > 0) {
        chosen_point--;
        if (strlen(points[chosen_point]) == len && memcmp(points[chosen_point], name, len) == 0) {
            return;
        }
    }
    fprintf(stderr, "BB_KILL_POINT: no kill point %s\n", name);
    exit(2);
}

__attribute__((constructor)) static void choose(void)
{
    const char *wanted = getenv("BB_PLANT"), *tests = getenv("BB_PLANT_TESTS");
    if (getenv("BB_KILL_POINT") != NULL) {
        arm(getenv("BB_KILL_POINT"));
    }
    while (wanted != NULL && *wanted != '\0') {
        size_t len = strcspn(wanted, ",");
        plant(wanted, len);
        wanted += len + (wanted[len] == ',');
    }
    if (tests != NULL && cmocka_set_test_filter != NULL) {
        cmocka_set_test_filter(tests);
    }
}
