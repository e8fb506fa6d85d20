/* SPDX-License-Identifier: Apache-2.0
 * The fixed inputs behind the golden bytes. Their encodings were computed from the text of format.h
 * by an independent program, not by this code. */
#ifndef BB_SAMPLES_H
#define BB_SAMPLES_H

#include "../base/unit.h"
#include "bb/bits.h"
#include "bb/codec.h"
#include "bb/err.h"

/* `size` ascending bytes. */
static inline void sample_run(void *ret, size_t size, unsigned start)
{
    uint8_t *bytes = ret;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(start + i);
}

static inline struct bb_uuid sample_uuid(unsigned start)
{
    struct bb_uuid uuid;
    sample_run(&uuid, sizeof(uuid), start);
    return uuid;
}

static inline struct bb_anchor sample_anchor(void)
{
    struct bb_anchor anchor = {
        .sequence = 0x0102030405060708, .position = 0x123, .set.count = 0x1122334455};
    sample_run(&anchor.digest, sizeof(anchor.digest), 0x10);
    sample_run(&anchor.set.sum, sizeof(anchor.set.sum), 0x20);
    return anchor;
}

/* The digest as 64 hex digits, of the whole SHA-256. */
static inline void sample_expect(const void *data, size_t size, const char *hex)
{
    struct bb_hash hash;
    char text[2 * sizeof(hash.bytes) + 1];
    bb_hash_of(data, size, &hash);
    assert_string_equal(unit_hex(&hash, sizeof(hash), text), hex);
}

/* Makes changed bytes pass the digest again, as a faulty writer would. */
static inline void sample_reseal(void *data, size_t size, size_t digest_offset)
{
    struct bb_digest digest;
    bb_digest_of_unit(data, size, digest_offset, &digest);
    memcpy((uint8_t *)data + digest_offset, &digest, sizeof(digest));
}

#endif
