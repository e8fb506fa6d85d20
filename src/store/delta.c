/* SPDX-License-Identifier: Apache-2.0
 * Ring of journal items with descending hash chains. Owner: the controller.
 * Invariant: along a chain positions strictly descend; whatever is below `first` does not exist. A
 * bucket that was last used four billion items ago may alias a live position: lookups compare whole
 * hashes, so they only walk a few items of another chain. */
#include "bb/delta.h"

#include "bb/err.h"

static uint32_t bucket_count(uint32_t capacity)
{
    uint32_t count = 64;
    while (count < capacity) {
        count *= 2;
    }
    return count;
}

int bb_delta_init(struct bb_delta *delta, struct bb_arena *arena, uint32_t capacity)
{
    BB_ASSERT(capacity > 0);
    *delta = (struct bb_delta){.capacity = capacity, .first = 1, .end = 1};
    uint32_t buckets = bucket_count(capacity);
    delta->items = bb_arena_alloc(arena, (size_t)capacity * sizeof(struct bb_delta_item), 64);
    delta->buckets = bb_arena_alloc(arena, (size_t)buckets * sizeof(uint32_t), 64);
    if (delta->items == NULL || delta->buckets == NULL) {
        return BB_ERR_MEMORY;
    }
    delta->bucket_mask = buckets - 1;
    return 0;
}

static struct bb_delta_item *slot(const struct bb_delta *delta, uint64_t position)
{
    return &delta->items[position % delta->capacity];
}

const struct bb_delta_item *bb_delta_at(const struct bb_delta *delta, uint64_t position)
{
    BB_ASSERT(position >= delta->first);
    BB_ASSERT(position < delta->end);
    return slot(delta, position);
}

/* The full position behind the low 32 bits in a bucket; below first when there is none. */
static uint64_t bucket_position(const struct bb_delta *delta, uint32_t low)
{
    uint32_t distance = (uint32_t)delta->end - low;
    return distance == 0 || distance > delta->end ? 0 : delta->end - distance;
}

static uint32_t *bucket_of(const struct bb_delta *delta, const struct bb_hash *hash)
{
    return &delta->buckets[bb_hash_prefix(hash) & delta->bucket_mask];
}

uint64_t bb_delta_append(struct bb_delta *delta, uint64_t sequence, const struct bb_item *item)
{
    BB_ASSERT(bb_delta_count(delta) < delta->capacity);
    BB_ASSERT(delta->end == delta->first || slot(delta, delta->end - 1)->sequence <= sequence);
    uint64_t position = delta->end;
    uint32_t *bucket = bucket_of(delta, &item->hash);
    *slot(delta, position) = (struct bb_delta_item){
        .hash = item->hash,
        .sequence = sequence,
        .unit = item->unit,
        .older = bucket_position(delta, *bucket),
        .size = item->size,
        .op = (uint8_t)item->op,
    };
    *bucket = (uint32_t)position;
    delta->end = position + 1;
    return position;
}

const struct bb_delta_item *bb_delta_find(const struct bb_delta *delta, const struct bb_hash *hash,
                                          uint64_t up_to)
{
    uint64_t position = bucket_position(delta, *bucket_of(delta, hash));
    while (position >= delta->first) {
        BB_ASSERT(position < delta->end);
        const struct bb_delta_item *item = slot(delta, position);
        if (item->sequence <= up_to && bb_hash_equal(&item->hash, hash)) {
            return item;
        }
        BB_ASSERT(item->older < position);
        position = item->older;
    }
    return NULL;
}

void bb_delta_renumber(struct bb_delta *delta, uint64_t position, uint64_t sequence)
{
    BB_ASSERT(position >= delta->first);
    BB_ASSERT(position < delta->end);
    BB_ASSERT(slot(delta, position)->sequence < sequence);
    slot(delta, position)->sequence = sequence;
}

void bb_delta_drop(struct bb_delta *delta, uint64_t position)
{
    BB_ASSERT(position >= delta->first);
    BB_ASSERT(position <= delta->end);
    delta->first = position;
}
