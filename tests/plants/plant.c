/* SPDX-License-Identifier: Apache-2.0
 * What the build with -DBB_PLANT=ON adds to every program: the choice of planted bugs, read before
 * main, so that no program needs to know of them.
 *
 *   BB_PLANT=NAME[,NAME...]      the bugs; an unknown name ends the program with 2
 *   BB_PLANT_TESTS=PATTERN       a program of cmocka runs only the tests of that name (with * and
 * ?)
 */
#include "bb/plant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME(name, rule) #name,

bool bb_plants[BB_PLANT_COUNT];

static const char *const names[] = {BB_PLANTS(NAME)};

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

__attribute__((constructor)) static void choose(void)
{
    const char *wanted = getenv("BB_PLANT"), *tests = getenv("BB_PLANT_TESTS");
    while (wanted != NULL && *wanted != '\0') {
        size_t len = strcspn(wanted, ",");
        plant(wanted, len);
        wanted += len + (wanted[len] == ',');
    }
    if (tests != NULL && cmocka_set_test_filter != NULL) {
        cmocka_set_test_filter(tests);
    }
}
