/* SPDX-License-Identifier: Apache-2.0
 * Content of a simulated device: a sparse array of 4 KiB units, copied on write. Private to the
 * simulator. A unit that is all zero is never stored, so equal bytes have equal structure and the
 * digest is canonical.
 */
#ifndef BB_SIM_IMAGE_H
#define BB_SIM_IMAGE_H

#include "bb/hash.h"

#include <stddef.h>
#include <stdint.h>

#define BB_IMAGE_UNIT_SIZE 4096u
#define BB_IMAGE_NODE_UNITS 512u

/* Immutable once shared. */
struct bb_image_unit {
    uint32_t references;
    bool digest_known;
    struct bb_hash digest;
    uint8_t bytes[BB_IMAGE_UNIT_SIZE];
};

struct bb_image {
    struct bb_image_node **nodes;
    size_t node_count;
};

/* A unit with one reference, or NULL if the bytes are all zero. */
struct bb_image_unit *bb_image_unit_make(const void *bytes);
/* Both accept NULL, the zero unit. */
struct bb_image_unit *bb_image_unit_share(struct bb_image_unit *unit);
void bb_image_unit_drop(struct bb_image_unit *unit);

void bb_image_init(struct bb_image *image, uint64_t size);
void bb_image_fini(struct bb_image *image);
/* `copy` becomes a second image of the same content; it must not be initialised. */
void bb_image_copy(const struct bb_image *image, struct bb_image *copy);

struct bb_image_unit *bb_image_get(const struct bb_image *image, uint64_t index);
/* Takes over the caller's reference. */
void bb_image_set(struct bb_image *image, uint64_t index, struct bb_image_unit *unit);

void bb_image_read(const struct bb_image *image, uint64_t offset, void *buf, size_t size);
void bb_image_write(struct bb_image *image, uint64_t offset, const void *buf, size_t size);

void bb_image_digest(struct bb_image *image, struct bb_hash *ret_digest);

#endif
