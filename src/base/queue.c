/* SPDX-License-Identifier: Apache-2.0
 * head and tail run freely and wrap at 2^32; their difference is the number of messages. Each side
 * keeps the last value it saw of the other's index and looks again only when that one says full or
 * empty, so that in steady state the two cache lines do not travel for every message. */
#include "bb/queue.h"

#include "bb/bits.h"

#include <errno.h>

int bb_queue_init(struct bb_queue *queue, struct bb_arena *arena, uint32_t capacity)
{
    BB_ASSERT(bb_is_power_of_two(capacity));
    struct bb_message *slots =
        bb_arena_alloc(arena, (size_t)capacity * sizeof(*slots), _Alignof(struct bb_queue));
    if (slots == NULL)
        return -ENOMEM;
    *queue = (struct bb_queue){.capacity = capacity, .slots = slots};
    return 0;
}

bool bb_queue_push(struct bb_queue *queue, struct bb_message message)
{
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    if (tail - queue->head_seen == queue->capacity) {
        queue->head_seen = atomic_load_explicit(&queue->head, memory_order_acquire);
        if (tail - queue->head_seen == queue->capacity)
            return false;
    }
    BB_ASSERT(tail - queue->head_seen < queue->capacity);
    queue->slots[tail & (queue->capacity - 1)] = message;
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
    return true;
}

bool bb_queue_pop(struct bb_queue *queue, struct bb_message *ret_message)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    if (head == queue->tail_seen) {
        queue->tail_seen = atomic_load_explicit(&queue->tail, memory_order_acquire);
        if (head == queue->tail_seen)
            return false;
    }
    BB_ASSERT(queue->tail_seen - head <= queue->capacity);
    *ret_message = queue->slots[head & (queue->capacity - 1)];
    atomic_store_explicit(&queue->head, head + 1, memory_order_release);
    return true;
}

bool bb_queue_is_empty(const struct bb_queue *queue)
{
    return atomic_load_explicit(&queue->head, memory_order_relaxed) ==
           atomic_load_explicit(&queue->tail, memory_order_acquire);
}
