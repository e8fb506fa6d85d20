/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 of bytes that were hashed before, from memory: an explorer hashes the same records, pages
 * and blocks thousands of times. A program that is linked with --wrap for these three gets them
 * instead of those of hash.h, and the same answers: what is kept is found by all the arguments and
 * 128 bits over the bytes. One thread.
 */
#ifndef MEMO_H
#define MEMO_H

#include "bb/hash.h"

void __wrap_bb_hash_of(const void *data, size_t size, struct bb_hash *ret_hash);
void __wrap_bb_digest_of(const void *data, size_t size, struct bb_digest *ret_digest);
void __wrap_bb_digest_of_unit(const void *data, size_t size, size_t digest_offset,
                              struct bb_digest *ret_digest);

void __real_bb_hash_of(const void *data, size_t size, struct bb_hash *ret_hash);
void __real_bb_digest_of(const void *data, size_t size, struct bb_digest *ret_digest);
void __real_bb_digest_of_unit(const void *data, size_t size, size_t digest_offset,
                              struct bb_digest *ret_digest);

/* 128 bits over bytes, fast and no more: nobody here tries to find two that agree. */
struct memo_key {
    uint64_t a, b;
};
struct memo_key memo_key_of(const void *data, size_t size, uint64_t salt);

#endif
