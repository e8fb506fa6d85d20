/* SPDX-License-Identifier: Apache-2.0
 * Speed of the allocator on 64 GiB worth of zones: pairs of one allocate and one free of a random
 * live extent, at three fill levels, and claims of random units as at start-up. Single units are
 * the worst case for coalescing; "mixed" draws orders 0..8 evenly.
 *
 * alloc_bench [pairs per row, default 2000000]
 */
#include "bb/arena.h"
#include "bb/buddy.h"
#include "bb/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ZONE_COUNT 64u
#define ZONE_UNITS 257536u
#define ZONE_STRIDE ((uint64_t)1 << 18)
#define AHEAD 64u /* picks drawn in advance, so that the bench's own list is in the cache */

struct extent {
    uint32_t unit;
    uint32_t order;
};

struct bench {
    struct bb_arena arena;
    struct bb_buddy *buddy;
    struct extent *live;
    uint64_t live_count;
    struct bb_random random;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void bench_open(struct bench *bench)
{
    size_t buddy_size = bb_buddy_memory(ZONE_COUNT, ZONE_UNITS);
    size_t live_size = (size_t)ZONE_COUNT * ZONE_UNITS * sizeof(struct extent);
    BB_ASSERT(bb_arena_open(buddy_size + live_size + 128, false, true, &bench->arena) == 0);
    void *memory = bb_arena_alloc(&bench->arena, buddy_size, 64);
    bench->buddy = bb_buddy_init(memory, buddy_size, ZONE_COUNT, ZONE_UNITS);
    bench->live = bb_arena_alloc(&bench->arena, live_size, 64);
    bench->live_count = 0;
    bb_random_seed(&bench->random, 1);
    for (uint32_t z = 0; z < ZONE_COUNT; z++)
        bb_buddy_add_zone(bench->buddy, z * ZONE_STRIDE, ZONE_UNITS);
}

static void bench_close(struct bench *bench)
{
    bb_buddy_verify(bench->buddy);
    bb_arena_close(&bench->arena);
}

static bool take(struct bench *bench, uint64_t index, unsigned order)
{
    uint64_t unit;
    if (bb_buddy_allocate(bench->buddy, order, &unit) != 0)
        return false;
    bench->live[index] = (struct extent){(uint32_t)unit, order};
    return true;
}

static void give(struct bench *bench, uint64_t index)
{
    struct extent extent = bench->live[index];
    BB_ASSERT(bb_buddy_free(bench->buddy, extent.unit, (uint64_t)1 << extent.order) == 0);
}

static unsigned draw_order(struct bench *bench, bool mixed)
{
    return mixed ? (unsigned)bb_random_below(&bench->random, BB_ORDER_COUNT) : 0;
}

/* Fills the device, then frees at random down to `fill` of 1000: space as fragmented as it gets. */
static void bench_fill(struct bench *bench, unsigned fill, bool mixed)
{
    while (take(bench, bench->live_count, draw_order(bench, mixed)))
        bench->live_count++;
    uint64_t target = bb_buddy_total_units(bench->buddy) / 1000 * (1000 - fill);
    while (bb_buddy_free_units(bench->buddy) < target) {
        uint64_t pick = bb_random_below(&bench->random, bench->live_count);
        give(bench, pick);
        bench->live[pick] = bench->live[--bench->live_count];
    }
}

static void measure_pairs(unsigned fill, bool mixed, uint64_t pairs)
{
    struct bench bench;
    bench_open(&bench);
    bench_fill(&bench, fill, mixed);

    uint64_t picks[AHEAD];
    for (unsigned i = 0; i < AHEAD; i++)
        picks[i] = bb_random_below(&bench.random, bench.live_count);
    uint64_t refused = 0;
    double start = now();
    for (uint64_t i = 0; i < pairs; i++) {
        uint64_t pick = picks[i % AHEAD];
        unsigned order = draw_order(&bench, mixed);
        unsigned old = bench.live[pick].order;
        give(&bench, pick);
        if (!take(&bench, pick, order)) {
            refused++;
            BB_ASSERT(take(&bench, pick, old));
        }
        picks[i % AHEAD] = bb_random_below(&bench.random, bench.live_count);
        __builtin_prefetch(&bench.live[picks[i % AHEAD]], 1);
    }
    double seconds = now() - start;
    printf("%5.1f %% full, %s  %6.2f M pairs/s, %5.1f ns per pair, %" PRIu64 " refused\n",
           fill / 10.0, mixed ? "mixed orders" : "single units", (double)pairs / seconds / 1e6,
           seconds / (double)pairs * 1e9, refused);
    bench_close(&bench);
}

static void measure_claims(void)
{
    struct bench bench;
    bench_open(&bench);
    uint64_t claimed = 0;
    double start = now();
    for (uint64_t i = 0; i < ZONE_COUNT * ZONE_STRIDE / 2; i++) {
        uint64_t unit = i * 0x9e3779b1u % (ZONE_COUNT * ZONE_STRIDE); /* odd: no unit comes twice */
        if (unit % ZONE_STRIDE >= ZONE_UNITS)
            continue;
        BB_ASSERT(bb_buddy_claim(bench.buddy, unit, 1) == 0);
        claimed++;
    }
    double claim_end = now();
    bb_buddy_ready(bench.buddy);
    double ready_end = now();
    printf("claims  %6.2f M/s, %5.1f ns per claim; ready %.1f us per zone\n",
           (double)claimed / (claim_end - start) / 1e6, (claim_end - start) / (double)claimed * 1e9,
           (ready_end - claim_end) * 1e6 / ZONE_COUNT);
    bench_close(&bench);
}

int main(int argc, char **argv)
{
    uint64_t pairs = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000000;
    static const unsigned fills[] = {500, 950, 999};
    for (unsigned mixed = 0; mixed < 2; mixed++) {
        for (unsigned i = 0; i < 3; i++)
            measure_pairs(fills[i], mixed != 0, pairs);
    }
    measure_claims();
    return 0;
}
