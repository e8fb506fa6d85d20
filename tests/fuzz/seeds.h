/* SPDX-License-Identifier: Apache-2.0
 * The committed seeds of the codecs' corpora, written by the real encoders in the shapes that the
 * targets read (their heads say which). */
#ifndef BB_FUZZ_SEEDS_H
#define BB_FUZZ_SEEDS_H

#include <stddef.h>
#include <stdint.h>

/* One input under construction. */
struct seed {
    size_t size;
    uint8_t bytes[16384];
};

void seed_put(struct seed *seed, const void *bytes, size_t size);
void seed_number(struct seed *seed, uint64_t value, size_t size); /* little-endian */

/* Writes CORPUS/target/name, or with --check compares it; the seed is empty afterwards. */
void seed_end(struct seed *seed, const char *target, const char *name);

/* Ascending bytes. */
void seed_run(void *ret, size_t size, unsigned start);

void seeds_lmdb(void);

#endif
