/* SPDX-License-Identifier: Apache-2.0
 * I/O buffers as extents of a one-zone buddy allocator: unit u of it is the buffer at
 * base + 4096 u. Owner: one worker. Never touches the bytes of a buffer.
 */
#include "bb/buffers.h"

#include "bb/err.h"
#include "bb/format.h"

#define SMALL_ORDER_MAX 4 /* 64 KiB: served from the reserve as well */
#define RESERVE_DIVISOR 5

static unsigned order_of(size_t size)
{
    BB_ASSERT(size <= (size_t)BB_UNIT_SIZE << BB_ORDER_MAX);
    return size == 0 ? 0 : bb_log2_ceil(bb_div_ceil(size, BB_UNIT_SIZE));
}

int bb_buffers_init(struct bb_buffers *buffers, struct bb_arena *arena, void *base, size_t size)
{
    BB_ASSERT(bb_is_aligned((uintptr_t)base, BB_UNIT_SIZE));
    BB_ASSERT(bb_is_aligned(size, BB_MIB));
    BB_ASSERT(size >= 2 * BB_MIB);
    uint64_t units = size / BB_UNIT_SIZE;
    size_t memory_size = bb_buddy_memory(1, units);
    void *memory = bb_arena_alloc(arena, memory_size, 64);
    if (memory == NULL)
        return BB_ERR_MEMORY;
    buffers->buddy = bb_buddy_init(memory, memory_size, 1, units);
    bb_buddy_add_zone(buffers->buddy, 0, units);
    bb_buddy_ready(buffers->buddy);
    buffers->base = base;
    buffers->size = size;
    buffers->small_reserve_units = bb_div_ceil(units, RESERVE_DIVISOR);
    return 0;
}

void *bb_buffers_get(struct bb_buffers *buffers, size_t size)
{
    unsigned order = order_of(size);
    uint64_t free_units = bb_buddy_free_units(buffers->buddy);
    uint64_t reserve = order > SMALL_ORDER_MAX ? buffers->small_reserve_units : 0;
    if (free_units < reserve + (1u << order))
        return NULL;
    uint64_t unit;
    if (bb_buddy_allocate(buffers->buddy, order, &unit) != 0)
        return NULL;
    uint8_t *buffer = buffers->base + unit * BB_UNIT_SIZE;
    BB_ASSERT(buffer + ((size_t)BB_UNIT_SIZE << order) <= buffers->base + buffers->size);
    return buffer;
}

void bb_buffers_put(struct bb_buffers *buffers, void *buffer, size_t size)
{
    uint64_t offset = (uintptr_t)buffer - (uintptr_t)buffers->base;
    unsigned order = order_of(size);
    BB_ASSERT(bb_is_aligned(offset, (uint64_t)BB_UNIT_SIZE << order));
    int result = bb_buddy_free(buffers->buddy, offset / BB_UNIT_SIZE, 1u << order);
    BB_ASSERT(result == 0); /* put twice, or not one of ours */
}
