/* SPDX-License-Identifier: Apache-2.0
 * A table of hashes, each place of it taken by the newest that fell there (memo.h). Owner: the one
 * thread of the program. */
#include "memo.h"

#include "bb/assert.h"

#include <stdlib.h>

#define ENTRY_COUNT ((size_t)1 << 18)
#define SIZE_MIN 256u /* smaller ones cost less than looking */
#define OF_HASH 1u
#define OF_UNIT 2u /* and up: with the place of the digest */

struct entry {
    struct memo_key key;
    struct bb_hash hash;
};

static struct entry *entries;

static uint64_t fold(uint64_t x, uint64_t y)
{
    unsigned __int128 product = (unsigned __int128)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Four lanes that do not wait for each other; each word goes into two of them. */
struct memo_key memo_key_of(const void *data, size_t size, uint64_t salt)
{
    const uint64_t p = 0xa0761d6478bd642full, q = 0xe7037ed1a0b428dbull, r = 0x8ebc6af09c88c6e3ull,
                   s = 0x589965cc75374cc3ull;
    uint64_t a = size ^ p, b = salt ^ q, c = size ^ r, d = salt ^ s;
    uint8_t rest[64] = {0};
    for (const uint8_t *at = data; size > 0; at += sizeof(rest)) {
        if (size < sizeof(rest)) {
            memcpy(rest, at, size);
            at = rest;
            size = sizeof(rest);
        }
        uint64_t w[8];
        memcpy(w, at, sizeof(w));
        a = fold(w[0] ^ p, w[1] ^ a) + (w[4] ^ w[7]);
        b = fold(w[2] ^ q, w[3] ^ b) + (w[5] ^ w[0]);
        c = fold(w[4] ^ r, w[5] ^ c) + (w[6] ^ w[2]);
        d = fold(w[6] ^ s, w[7] ^ d) + (w[1] ^ w[3]);
        size -= sizeof(rest);
    }
    return (struct memo_key){.a = fold(a ^ s, b ^ q) ^ fold(c ^ p, d ^ r),
                             .b = fold(a ^ r, c ^ s) + fold(b ^ p, d ^ q)};
}

/* The place for these bytes; true when it holds their hash. */
static bool find(const void *data, size_t size, uint64_t kind, struct entry **ret_entry)
{
    if (entries == NULL) {
        entries = calloc(ENTRY_COUNT, sizeof(*entries));
        BB_ASSERT(entries != NULL);
    }
    struct memo_key key = memo_key_of(data, size, kind);
    struct entry *entry = &entries[key.a % ENTRY_COUNT];
    *ret_entry = entry;
    if (entry->key.a == key.a && entry->key.b == key.b) {
        return true;
    }
    entry->key = key;
    return false;
}

void __wrap_bb_hash_of(const void *data, size_t size, struct bb_hash *ret_hash)
{
    struct entry *entry;
    if (size < SIZE_MIN) {
        __real_bb_hash_of(data, size, ret_hash);
        return;
    }
    if (!find(data, size, OF_HASH, &entry)) {
        __real_bb_hash_of(data, size, &entry->hash);
    }
    *ret_hash = entry->hash;
}

void __wrap_bb_digest_of(const void *data, size_t size, struct bb_digest *ret_digest)
{
    struct bb_hash hash;
    if (size < SIZE_MIN) {
        __real_bb_digest_of(data, size, ret_digest);
        return;
    }
    __wrap_bb_hash_of(data, size, &hash);
    memcpy(ret_digest->bytes, hash.bytes, sizeof(ret_digest->bytes));
}

void __wrap_bb_digest_of_unit(const void *data, size_t size, size_t digest_offset,
                              struct bb_digest *ret_digest)
{
    struct entry *entry;
    BB_ASSERT(size >= SIZE_MIN);
    if (!find(data, size, OF_UNIT + digest_offset, &entry)) {
        struct bb_digest digest;
        __real_bb_digest_of_unit(data, size, digest_offset, &digest);
        memcpy(entry->hash.bytes, digest.bytes, sizeof(digest.bytes));
    }
    memcpy(ret_digest->bytes, entry->hash.bytes, sizeof(ret_digest->bytes));
}
