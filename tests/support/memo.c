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

static uint64_t load(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

struct memo_key memo_key_of(const void *data, size_t size, uint64_t salt)
{
    const uint64_t p = 0xa0761d6478bd642full, q = 0xe7037ed1a0b428dbull, r = 0x8ebc6af09c88c6e3ull,
                   s = 0x589965cc75374cc3ull;
    uint64_t a = size ^ p, b = salt ^ q;
    const uint8_t *at = data;
    for (; size >= 32; at += 32, size -= 32) {
        a = fold(load(at) ^ p, load(at + 8) ^ a);
        b = fold(load(at + 16) ^ r, load(at + 24) ^ b);
        a += load(at + 16) * s; /* so that each lane depends on all bytes */
        b += load(at) * q;
        a ^= load(at + 24) + (a << 7);
        b ^= load(at + 8) + (b << 9);
    }
    if (size > 0) {
        uint8_t rest[32] = {0};
        memcpy(rest, at, size);
        a = fold(load(rest) ^ p, load(rest + 8) ^ a) + load(rest + 16) * s;
        b = fold(load(rest + 16) ^ r, load(rest + 24) ^ b) + load(rest) * q;
        a ^= load(rest + 24);
        b ^= load(rest + 8);
    }
    return (struct memo_key){.a = fold(a ^ s, b ^ q), .b = fold(b ^ p, a ^ r) + a};
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
