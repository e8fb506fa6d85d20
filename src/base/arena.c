/* SPDX-License-Identifier: Apache-2.0
 * One anonymous mapping, handed out from its front. Nothing is ever given back before close.
 * Owner: the starting thread until sealed. */
#include "bb/arena.h"

#include "bb/bits.h"

#include <errno.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_SIZE ((size_t)2 << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* mmap aligns to pages only: map one huge page more and cut both ends. MAP_FAILED on failure. */
static void *map_aligned(size_t size)
{
    uint8_t *raw =
        mmap(NULL, size + HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return MAP_FAILED;
    size_t head = (size_t)(bb_align_up((uintptr_t)raw, HUGE_SIZE) - (uintptr_t)raw);
    size_t tail = HUGE_SIZE - head;
    if (head > 0)
        BB_ASSERT(munmap(raw, head) == 0);
    if (tail > 0)
        BB_ASSERT(munmap(raw + head + size, tail) == 0);
    return raw + head;
}

static int touch(uint8_t *base, size_t size)
{
    if (madvise(base, size, MADV_POPULATE_WRITE) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    /* valgrind and other kernels that do not know the advice */
    size_t step = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t offset = 0; offset < size; offset += step)
        *(volatile uint8_t *)(base + offset) = 0;
    return 0;
}

int bb_arena_open(size_t size, bool huge, bool prefault, struct bb_arena *ret_arena)
{
    BB_ASSERT(size > 0);
    if (size > SIZE_MAX / 2)
        return -ENOMEM;
    struct bb_arena arena = {.size = bb_align_up(size, HUGE_SIZE)};
    void *base = MAP_FAILED;
    if (huge)
        base = mmap(NULL, arena.size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
    arena.huge = base != MAP_FAILED;
    if (base == MAP_FAILED)
        base = map_aligned(arena.size);
    if (base == MAP_FAILED)
        return -errno;
    arena.base = base;
    BB_ASSERT(bb_is_aligned((uintptr_t)arena.base, HUGE_SIZE));

    if (huge && !arena.huge)
        (void)madvise(arena.base, arena.size, MADV_HUGEPAGE); /* a hint: small pages also work */
    int error = prefault ? touch(arena.base, arena.size) : 0;
    if (error != 0) {
        bb_arena_close(&arena);
        return error;
    }
    *ret_arena = arena;
    return 0;
}

void bb_arena_close(struct bb_arena *arena)
{
    if (arena->base != NULL)
        BB_ASSERT(munmap(arena->base, arena->size) == 0);
    *arena = (struct bb_arena){0};
}

void *bb_arena_alloc(struct bb_arena *arena, size_t size, size_t alignment)
{
    BB_ASSERT(!arena->sealed);
    BB_ASSERT(bb_is_power_of_two(alignment));
    uintptr_t base = (uintptr_t)arena->base;
    uint64_t start = bb_align_up(base + arena->used, alignment) - base;
    if (start > arena->size || size > arena->size - start)
        return NULL;
    arena->used = start + size;
    return arena->base + start;
}

void bb_arena_seal(struct bb_arena *arena)
{
    BB_ASSERT(arena->base != NULL);
    arena->sealed = true;
}
