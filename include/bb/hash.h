/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 as a value: the name of a block, and, cut to 128 bits, the digest of a metadata unit.
 *
 * Hashing is OpenSSL's EVP; the algorithm is fetched once per process. A struct bb_hasher belongs
 * to one thread at a time.
 */
#ifndef BB_HASH_H
#define BB_HASH_H

#include "bb/assert.h"
#include "bb/plant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bb_hash {
    uint8_t bytes[32];
};

/* First 128 bits of a SHA-256, or a 128-bit little-endian number (the set hash). */
struct bb_digest {
    uint8_t bytes[16];
};

#define BB_HASH_HEX_SIZE 64

static inline bool bb_hash_equal(const struct bb_hash *a, const struct bb_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
static inline int bb_hash_compare(const struct bb_hash *a, const struct bb_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}
static inline bool bb_digest_equal(const struct bb_digest *a, const struct bb_digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
/* Eight bytes of the hash, for tables and for sampling: a hash is uniformly distributed. */
static inline uint64_t bb_hash_prefix(const struct bb_hash *hash)
{
    uint64_t value;
    memcpy(&value, hash->bytes, sizeof(value));
    return value;
}

/* 64 lower-case digits, no terminator. */
void bb_hash_to_hex(const struct bb_hash *hash, char ret_hex[static BB_HASH_HEX_SIZE]);

/* Reads exactly 64 lower-case hex digits. Returns false, ret_hash untouched, for anything else. */
BB_MUST_USE bool bb_hash_from_hex(const char *hex, size_t len, struct bb_hash *ret_hash);

/* Prepares hashing in this process; called by everything below too, so only for early failure:
 * -ENOTSUP when this OpenSSL gives no SHA-256. */
BB_MUST_USE int bb_hash_init(void);

/* One-shot. Uses a context of the calling thread, made at its first use. */
void bb_hash_of(const void *data, size_t size, struct bb_hash *ret_hash);
void bb_digest_of(const void *data, size_t size, struct bb_digest *ret_digest);
/* Digest of a metadata unit that contains its own digest: the 16 bytes at digest_offset count as
 * zero. Reads `data` in place. */
void bb_digest_of_unit(const void *data, size_t size, size_t digest_offset,
                       struct bb_digest *ret_digest);

/* Streaming. open allocates (start-up only); begin restarts it for a new message. */
struct bb_hasher {
    void *context;
};
BB_MUST_USE int bb_hasher_open(struct bb_hasher *hasher);
void bb_hasher_close(struct bb_hasher *hasher);
void bb_hasher_begin(struct bb_hasher *hasher);
void bb_hasher_update(struct bb_hasher *hasher, const void *data, size_t size);
void bb_hasher_end(struct bb_hasher *hasher, struct bb_hash *ret_hash);

/* Set hash: the sum modulo 2^128 of SHA-256(sha256, unit, size) over all live blocks.
 * Order does not matter and an element can be taken out again (one element is 44 bytes: hash,
 * 64-bit unit, 32-bit size, little-endian). */
struct bb_set {
    uint64_t count;
    struct bb_digest sum;
};
void bb_set_add(struct bb_set *set, const struct bb_hash *hash, uint64_t unit, uint32_t size);
void bb_set_remove(struct bb_set *set, const struct bb_hash *hash, uint64_t unit, uint32_t size);
static inline bool bb_set_equal(const struct bb_set *a, const struct bb_set *b)
{
    return bb_planted(SET_UNCHECKED) || (a->count == b->count && bb_digest_equal(&a->sum, &b->sum));
}

#endif
