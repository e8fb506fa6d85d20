/* SPDX-License-Identifier: Apache-2.0
 * Every unit of a small store damaged, one at a time, in five ways: a bit flipped, zeroed, garbage,
 * its neighbour's bytes, an older version of itself; then runs of 64 KiB. What must hold of each
 * image says small.h. Units that nothing reads (blank parts of head, tail and data) are damaged in
 * one way only.
 * usage: fsck_sweep [cut | stopped]     (default: both)
 */
#include "small.h"

#include "bb/bits.h"

#include <stdio.h>
#include <stdlib.h>

#define RUN_UNITS 16u

enum way { FLIPPED, ZEROED, GARBAGE, NEIGHBOUR, OLDER, OLDEST, WAY_COUNT };

static const char *const way_names[WAY_COUNT] = {
    "flipped", "zeroed", "garbage", "its neighbour's", "an older version", "the oldest version"};

static uint8_t bytes_before[RUN_UNITS * BB_UNIT_SIZE], bytes_after[RUN_UNITS * BB_UNIT_SIZE];

static void damaged_bytes(const struct small *small, enum way way, uint64_t unit, uint32_t count)
{
    const struct bb_sim *sim = small->scribe->sim;
    size_t size = count * (size_t)BB_UNIT_SIZE;
    uint64_t total = small->scribe->io->device_size / BB_UNIT_SIZE;
    struct bb_random random;
    bb_random_seed(&random, unit * WAY_COUNT + way + 1);
    bb_sim_peek(sim, unit * BB_UNIT_SIZE, bytes_before, size);
    switch (way) {
    case FLIPPED:
        memcpy(bytes_after, bytes_before, size);
        bytes_after[bb_random_below(&random, size)] ^= (uint8_t)(1u << bb_random_below(&random, 8));
        break;
    case ZEROED:
        memset(bytes_after, 0, size);
        break;
    case GARBAGE:
        bb_random_fill(&random, bytes_after, size);
        break;
    case NEIGHBOUR:
        bb_sim_peek(sim,
                    (unit >= count ? unit - count : bb_min_u64(unit + count, total - count)) *
                        BB_UNIT_SIZE,
                    bytes_after, size);
        break;
    case OLDER:
    case OLDEST:
        bb_sim_peek(small->older[way == OLDER ? 1 : 0], unit * BB_UNIT_SIZE, bytes_after, size);
        break;
    case WAY_COUNT:
    default:
        BB_ASSERT(false);
    }
}

static void damage(struct small *small, enum way way, uint64_t unit, uint32_t count)
{
    static char what[128];
    struct small_range range = {.first = unit, .count = count};
    struct scene image;
    size_t size = count * (size_t)BB_UNIT_SIZE;
    damaged_bytes(small, way, unit, count);
    if (memcmp(bytes_before, bytes_after, size) == 0)
        return;
    snprintf(what, sizeof(what), "%s store, %u units from %llu on: %s",
             small->scribe->super.clean ? "stopped" : "cut", count, (unsigned long long)unit,
             way_names[way]);
    small->what = what;
    scene_init(&image, bb_sim_clone(small->scribe->sim), memindex_clone(small->scribe->mem));
    image.hurried = true;
    bb_sim_poke(image.sim, unit * BB_UNIT_SIZE, bytes_after, size);
    small_judge(small, &image, &range, false);
    scene_free_clone(&image);
}

/* Blank, and neither superblock nor journal nor descriptors. */
static bool nobody_reads(const struct small *small, uint64_t unit)
{
    static const uint8_t zero[BB_UNIT_SIZE];
    const struct bb_layout *layout = &small->scribe->super.layout;
    uint64_t offset = unit * BB_UNIT_SIZE;
    if (offset >= layout->journal_offset && offset < layout->zones_offset)
        return false;
    bb_sim_peek(small->scribe->sim, offset, bytes_before, BB_UNIT_SIZE);
    return memcmp(bytes_before, zero, BB_UNIT_SIZE) == 0;
}

static void sweep(struct small *small)
{
    uint64_t total = small->scribe->io->device_size / BB_UNIT_SIZE;
    for (uint64_t unit = 0; unit < total; unit++) {
        bool blank = nobody_reads(small, unit);
        if (blank && unit % 16 != 5)
            continue; /* one unit of each blank run stands for the others */
        for (enum way way = 0; way < WAY_COUNT; way++)
            if (!blank || way == GARBAGE)
                damage(small, way, unit, 1);
    }
    for (uint64_t unit = 0; unit + RUN_UNITS <= total; unit += RUN_UNITS / 2) {
        bool blank = true;
        for (uint64_t i = 0; i < RUN_UNITS; i++)
            blank = blank && nobody_reads(small, unit + i);
        if (!blank)
            for (enum way way = 0; way < WAY_COUNT; way++)
                damage(small, way, unit, RUN_UNITS);
    }
}

/* The planted fault that must be seen: a block that is gone without any damage. */
static bool canary(struct small *small)
{
    struct small_range none = {.first = UINT64_MAX / 2, .count = 1};
    struct scene image;
    struct bb_change gone = {.hash = scribe_hash(0), .present = false};
    small->what = "canary";
    scene_init(&image, bb_sim_clone(small->scribe->sim), memindex_clone(small->scribe->mem));
    memindex_tamper(image.mem, &gone);
    FILE *quiet = stderr;
    stderr = fopen("/dev/null", "w");
    BB_ASSERT(stderr != NULL);
    uint64_t before = small->violations;
    small_judge(small, &image, &none, false);
    bool seen = small->violations > before;
    small->violations = before;
    fclose(stderr);
    stderr = quiet;
    scene_free_clone(&image);
    return seen;
}

int main(int argc, char **argv)
{
    uint64_t violations = 0;
    for (unsigned stopped = 0; stopped < 2; stopped++) {
        static struct small small;
        if (argc > 1 && strcmp(argv[1], stopped ? "stopped" : "cut") != 0)
            continue;
        small_open(&small, stopped == 1);
        small_watch(&small);
        if (!canary(&small)) {
            fprintf(stderr, "the canary was not seen\n");
            return 1;
        }
        sweep(&small);
        printf("sweep of a %s store: %llu images, %llu opened, %llu refused, %llu rebuilt, %llu "
               "repaired, %llu with loss accepted, %llu violations\n",
               stopped ? "stopped" : "cut", (unsigned long long)small.cases,
               (unsigned long long)small.opened, (unsigned long long)small.refused,
               (unsigned long long)small.rebuilt, (unsigned long long)small.repaired,
               (unsigned long long)small.accepted, (unsigned long long)small.violations);
        violations += small.violations;
        small_close(&small);
    }
    return violations == 0 ? 0 : 1;
}
