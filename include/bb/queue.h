/* SPDX-License-Identifier: Apache-2.0
 * Bounded single-producer single-consumer queue of 16-byte messages: the only way in which data
 * crosses threads (Lamport 1983; cached opposite index as in Rigtorp's SPSCQueue).
 *
 * One thread pushes, one pops. push publishes with release, pop acquires: what the producer wrote
 * before the push is visible to the consumer after the pop. Waking a parked consumer is not done
 * here (ring.h).
 */
#ifndef BB_QUEUE_H
#define BB_QUEUE_H

#include "bb/arena.h"

#include <stdatomic.h>

struct bb_message {
    uint64_t word; /* a number, or kind and count packed by the user */
    void *pointer;
};

struct bb_queue {
    _Alignas(64) _Atomic uint32_t head; /* next to pop; written by the consumer */
    uint32_t tail_seen;                 /* consumer's */
    _Alignas(64) _Atomic uint32_t tail; /* next to push; written by the producer */
    uint32_t head_seen;                 /* producer's */
    _Alignas(64) uint32_t capacity;     /* power of two */
    struct bb_message *slots;
};

/* capacity is a power of two. -ENOMEM when the arena has no room. */
BB_MUST_USE int bb_queue_init(struct bb_queue *queue, struct bb_arena *arena, uint32_t capacity);
/* False when full. Producer only. */
BB_MUST_USE bool bb_queue_push(struct bb_queue *queue, struct bb_message message);
/* False when empty. Consumer only. */
BB_MUST_USE bool bb_queue_pop(struct bb_queue *queue, struct bb_message *ret_message);
/* Exact for the consumer, a hint for anybody else. */
bool bb_queue_is_empty(const struct bb_queue *queue);

#endif
