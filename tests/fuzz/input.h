/* SPDX-License-Identifier: Apache-2.0
 * What the fuzz targets of the codecs share: reading an input as a sequence of fields, requirements
 * that end the run, and digests made right, so that mutation gets past them.
 *
 * Inputs are compact: a target builds the large, mostly empty structures of the disk from them, so
 * that a random change hits a byte that means something. */
#ifndef BB_FUZZ_INPUT_H
#define BB_FUZZ_INPUT_H

#include "bb/hash.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

/* The next `size` bytes; zeros behind the end. */
static inline void input_take(struct input *input, void *ret, size_t size)
{
    size_t have = size < input->left ? size : input->left;
    memset(ret, 0, size);
    if (have > 0)
        memcpy(ret, input->at, have);
    input->at += have;
    input->left -= have;
}

static inline uint8_t input_u8(struct input *input)
{
    uint8_t value;
    input_take(input, &value, sizeof(value));
    return value;
}

static inline uint16_t input_u16(struct input *input)
{
    uint16_t value;
    input_take(input, &value, sizeof(value));
    return value;
}

static inline uint32_t input_u32(struct input *input)
{
    uint32_t value;
    input_take(input, &value, sizeof(value));
    return value;
}

static inline uint64_t input_u64(struct input *input)
{
    uint64_t value;
    input_take(input, &value, sizeof(value));
    return value;
}

static inline void require(bool condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

/* Makes the digest of a metadata unit right. */
static inline void reseal(void *unit, size_t size, size_t digest_offset)
{
    struct bb_digest digest;
    bb_digest_of_unit(unit, size, digest_offset, &digest);
    memcpy((uint8_t *)unit + digest_offset, &digest, sizeof(digest));
}

/* ---- For second opinions, which read the text of the format and not our structures ---- */

static inline uint32_t u32_at(const void *bytes, size_t offset)
{
    const uint8_t *at = (const uint8_t *)bytes + offset;
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t u64_at(const void *bytes, size_t offset)
{
    return u32_at(bytes, offset) | (uint64_t)u32_at(bytes, offset + 4) << 32;
}

static inline bool zeros_at(const void *bytes, size_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const uint8_t *)bytes)[offset + i] != 0)
            return false;
    return true;
}

/* Whether the 16 bytes at `digest_offset` are the digest of the unit with those bytes zero. */
static inline bool sealed(const void *unit, size_t size, size_t digest_offset)
{
    static uint8_t copy[65536];
    struct bb_hash hash;
    if (size > sizeof(copy))
        abort();
    memcpy(copy, unit, size);
    memset(copy + digest_offset, 0, sizeof(struct bb_digest));
    bb_hash_of(copy, size, &hash);
    return memcmp(hash.bytes, (const uint8_t *)unit + digest_offset, sizeof(struct bb_digest)) == 0;
}

/* ---- */

/* Bytes of exactly this size, so that the sanitizer sees what lies behind them. */
static inline void *exact(size_t size)
{
    void *memory = malloc(size);
    require(memory != NULL, "no memory");
    return memory;
}

/* Outputs are compared with this when a function failed. */
#define UNTOUCHED 0x5a

static inline bool is_untouched(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != UNTOUCHED)
            return false;
    return true;
}

#endif
