/* SPDX-License-Identifier: Apache-2.0
 * Bodies that are unique and incompressible at the price of writing 16 bytes: a stamp {counter,
 * seed}, both little-endian, then a slice of one random base buffer. Where the slice starts is
 * drawn from the counter, so that pieces of two blocks swapped by a faulty server do not hash the
 * same.
 *
 * A body shorter than the stamp is its first bytes; below BB_BODY_UNIQUE_SIZE bodies repeat.
 * The base is filled once at start and read by all threads.
 */
#ifndef BB_BENCH_BODY_H
#define BB_BENCH_BODY_H

#include "bb/format.h"
#include "bb/hash.h"

#include <stdbool.h>
#include <stdint.h>

#define BB_BODY_STAMP_SIZE 16
#define BB_BODY_UNIQUE_SIZE 8
/* Small enough that the slices of small bodies stay in the second-level cache. */
#define BB_BODY_SLIDE ((size_t)1 << 16)
#define BB_BODY_BASE_SIZE (BB_BODY_SLIDE + BB_BLOCK_SIZE_MAX)

struct bb_body {
    uint64_t seed;
    const uint8_t *base; /* BB_BODY_BASE_SIZE bytes */
};

/* Where the bytes of one body are: the first stamp_size bytes in the caller's stamp, the rest in
 * base. */
struct bb_body_parts {
    uint8_t stamp[BB_BODY_STAMP_SIZE];
    size_t stamp_size;
    const uint8_t *slice;
    size_t slice_size;
};

/* Fills base (BB_BODY_BASE_SIZE bytes, kept by the caller) from the seed. */
void bb_body_init(struct bb_body *body, uint64_t seed, uint8_t *base);

/* size <= BB_BLOCK_SIZE_MAX. */
void bb_body_parts(const struct bb_body *body, uint64_t counter, uint32_t size,
                   struct bb_body_parts *ret_parts);

void bb_body_hash(const struct bb_body_parts *parts, struct bb_hasher *hasher,
                  struct bb_hash *ret_hash);

#endif
