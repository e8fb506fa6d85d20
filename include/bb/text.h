/* SPDX-License-Identifier: Apache-2.0
 * Numbers and sizes as people write and read them. Pure.
 */
#ifndef BB_TEXT_H
#define BB_TEXT_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a whole decimal number without sign, blank or overflow. */
BB_MUST_USE bool bb_text_to_u64(const char *text, uint64_t *ret_value);

/* Reads a size: digits with an optional K, M, G, T or KiB, MiB, GiB, TiB (all powers of 1024). */
BB_MUST_USE bool bb_text_to_size(const char *text, uint64_t *ret_size);

/* Reads a time: digits with an optional ms, s or min; seconds without. In milliseconds. */
BB_MUST_USE bool bb_text_to_ms(const char *text, uint64_t *ret_ms);

/* "10s", "500ms", terminated, as bb_text_to_ms reads it. ret has at least 24 bytes; returns it. */
char *bb_text_of_ms(uint64_t ms, char *ret, size_t ret_size);

/* "1.5 GiB", "512 MiB", "17 B", rounded down, terminated. ret has at least 16 bytes; returns it. */
char *bb_text_of_size(uint64_t size, char *ret, size_t ret_size);

struct bb_uuid;
/* 36 characters and a terminator. */
char *bb_text_of_uuid(const struct bb_uuid *uuid, char ret[static 37]);

#endif
