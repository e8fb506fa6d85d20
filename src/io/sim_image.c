/* SPDX-License-Identifier: Apache-2.0
 * Sparse copy-on-write content of the simulated device (sim_image.h). Owner: the simulator's
 * thread.
 *
 * Two levels: nodes of 512 units (2 MiB). A node or unit with more than one reference is never
 * changed; who writes makes its own first. So a copy costs one reference per 2 MiB of nominal size.
 */
#include "sim_image.h"

#include "bb/bits.h"

#include <stdlib.h>
#include <string.h>

struct bb_image_node {
    uint32_t references;
    uint32_t used; /* units that are not zero */
    bool digest_known;
    struct bb_hash digest;
    struct bb_image_unit *units[BB_IMAGE_NODE_UNITS];
};

static void *must(void *memory)
{
    BB_ASSERT(memory != NULL);
    return memory;
}

struct bb_image_unit *bb_image_unit_make(const void *bytes)
{
    static const uint8_t zero[BB_IMAGE_UNIT_SIZE];
    if (memcmp(bytes, zero, sizeof(zero)) == 0)
        return NULL;
    struct bb_image_unit *unit = must(malloc(sizeof(*unit)));
    unit->references = 1;
    unit->digest_known = false;
    memcpy(unit->bytes, bytes, sizeof(unit->bytes));
    return unit;
}

struct bb_image_unit *bb_image_unit_share(struct bb_image_unit *unit)
{
    if (unit) {
        BB_ASSERT(unit->references > 0);
        BB_ASSERT(unit->references < UINT32_MAX);
        unit->references++;
    }
    return unit;
}

void bb_image_unit_drop(struct bb_image_unit *unit)
{
    if (!unit)
        return;
    BB_ASSERT(unit->references > 0);
    if (--unit->references == 0)
        free(unit);
}

static void node_drop(struct bb_image_node *node)
{
    if (!node)
        return;
    BB_ASSERT(node->references > 0);
    if (--node->references > 0)
        return;
    for (size_t i = 0; i < BB_IMAGE_NODE_UNITS; i++)
        bb_image_unit_drop(node->units[i]);
    free(node);
}

/* A node that only this image holds, at its place. */
static struct bb_image_node *node_own(struct bb_image_node **place)
{
    struct bb_image_node *old = *place;
    if (old && old->references == 1)
        return old;
    struct bb_image_node *node = must(calloc(1, sizeof(*node)));
    node->references = 1;
    if (old) {
        node->used = old->used;
        for (size_t i = 0; i < BB_IMAGE_NODE_UNITS; i++)
            node->units[i] = bb_image_unit_share(old->units[i]);
        node_drop(old);
    }
    *place = node;
    return node;
}

void bb_image_init(struct bb_image *image, uint64_t size)
{
    BB_ASSERT(size > 0);
    BB_ASSERT(bb_is_aligned(size, BB_IMAGE_UNIT_SIZE));
    image->node_count = bb_div_ceil(size / BB_IMAGE_UNIT_SIZE, BB_IMAGE_NODE_UNITS);
    image->nodes = must(calloc(image->node_count, sizeof(struct bb_image_node *)));
}

void bb_image_fini(struct bb_image *image)
{
    for (size_t i = 0; i < image->node_count; i++)
        node_drop(image->nodes[i]);
    free(image->nodes);
    *image = (struct bb_image){0};
}

void bb_image_copy(const struct bb_image *image, struct bb_image *copy)
{
    copy->node_count = image->node_count;
    copy->nodes = must(malloc(image->node_count * sizeof(struct bb_image_node *)));
    for (size_t i = 0; i < image->node_count; i++) {
        copy->nodes[i] = image->nodes[i];
        if (copy->nodes[i])
            copy->nodes[i]->references++;
    }
}

struct bb_image_unit *bb_image_get(const struct bb_image *image, uint64_t index)
{
    BB_ASSERT(index / BB_IMAGE_NODE_UNITS < image->node_count);
    const struct bb_image_node *node = image->nodes[index / BB_IMAGE_NODE_UNITS];
    return node ? node->units[index % BB_IMAGE_NODE_UNITS] : NULL;
}

void bb_image_set(struct bb_image *image, uint64_t index, struct bb_image_unit *unit)
{
    struct bb_image_unit *old = bb_image_get(image, index);
    if (old == unit) { /* the same bytes, and one reference too many */
        bb_image_unit_drop(unit);
        return;
    }
    struct bb_image_node **place = &image->nodes[index / BB_IMAGE_NODE_UNITS];
    struct bb_image_node *node = node_own(place);
    node->units[index % BB_IMAGE_NODE_UNITS] = unit;
    node->used += unit != NULL;
    BB_ASSERT(node->used >= (old != NULL));
    node->used -= old != NULL;
    node->digest_known = false;
    bb_image_unit_drop(old);
    if (node->used == 0) {
        node_drop(node);
        *place = NULL;
    }
}

void bb_image_read(const struct bb_image *image, uint64_t offset, void *buf, size_t size)
{
    uint8_t *to = buf;
    while (size > 0) {
        size_t within = offset % BB_IMAGE_UNIT_SIZE;
        size_t part = bb_min_u64(size, BB_IMAGE_UNIT_SIZE - within);
        const struct bb_image_unit *unit = bb_image_get(image, offset / BB_IMAGE_UNIT_SIZE);
        if (unit)
            memcpy(to, unit->bytes + within, part);
        else
            memset(to, 0, part);
        to += part;
        offset += part;
        size -= part;
    }
}

void bb_image_write(struct bb_image *image, uint64_t offset, const void *buf, size_t size)
{
    const uint8_t *from = buf;
    uint8_t merged[BB_IMAGE_UNIT_SIZE];
    while (size > 0) {
        size_t within = offset % BB_IMAGE_UNIT_SIZE;
        size_t part = bb_min_u64(size, BB_IMAGE_UNIT_SIZE - within);
        bb_image_read(image, offset - within, merged, sizeof(merged));
        memcpy(merged + within, from, part);
        bb_image_set(image, offset / BB_IMAGE_UNIT_SIZE, bb_image_unit_make(merged));
        from += part;
        offset += part;
        size -= part;
    }
}

static void node_digest(struct bb_image_node *node, struct bb_hash *ret_digest)
{
    if (!node->digest_known) {
        struct {
            uint64_t index;
            struct bb_hash digest;
        } parts[BB_IMAGE_NODE_UNITS];
        size_t count = 0;
        for (size_t i = 0; i < BB_IMAGE_NODE_UNITS && count < node->used; i++) {
            struct bb_image_unit *unit = node->units[i];
            if (!unit)
                continue;
            if (!unit->digest_known)
                bb_hash_of(unit->bytes, sizeof(unit->bytes), &unit->digest);
            unit->digest_known = true;
            parts[count].index = i;
            parts[count++].digest = unit->digest;
        }
        BB_ASSERT(count == node->used);
        bb_hash_of(parts, count * sizeof(parts[0]), &node->digest);
        node->digest_known = true;
    }
    *ret_digest = node->digest;
}

void bb_image_digest(struct bb_image *image, struct bb_hash *ret_digest)
{
    struct bb_hash *parts = must(calloc(image->node_count, sizeof(*parts)));
    for (size_t i = 0; i < image->node_count; i++)
        if (image->nodes[i])
            node_digest(image->nodes[i], &parts[i]);
    bb_hash_of(parts, image->node_count * sizeof(*parts), ret_digest);
    free(parts);
}
