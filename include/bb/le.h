/* SPDX-License-Identifier: Apache-2.0
 * Little-endian integers as they stand on disk. They are structs, so that a disk value and a native
 * integer cannot be mixed by accident. Byte arrays inside: alignment 1, no padding anywhere.
 */
#ifndef BB_LE_H
#define BB_LE_H

#include "bb/plant.h"

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "little-endian machines only: add byte swaps here first"
#endif

struct bb_le16 {
    uint8_t bytes[2];
};
struct bb_le32 {
    uint8_t bytes[4];
};
struct bb_le64 {
    uint8_t bytes[8];
};

static inline uint16_t bb_le16_get(struct bb_le16 field)
{
    uint16_t value;
    memcpy(&value, field.bytes, sizeof(value));
    return bb_planted(BIG_ENDIAN) ? __builtin_bswap16(value) : value;
}
static inline uint32_t bb_le32_get(struct bb_le32 field)
{
    uint32_t value;
    memcpy(&value, field.bytes, sizeof(value));
    return bb_planted(BIG_ENDIAN) ? __builtin_bswap32(value) : value;
}
static inline uint64_t bb_le64_get(struct bb_le64 field)
{
    uint64_t value;
    memcpy(&value, field.bytes, sizeof(value));
    return bb_planted(BIG_ENDIAN) ? __builtin_bswap64(value) : value;
}
static inline struct bb_le16 bb_le16_make(uint16_t value)
{
    struct bb_le16 field;
    value = bb_planted(BIG_ENDIAN) ? __builtin_bswap16(value) : value;
    memcpy(field.bytes, &value, sizeof(value));
    return field;
}
static inline struct bb_le32 bb_le32_make(uint32_t value)
{
    struct bb_le32 field;
    value = bb_planted(BIG_ENDIAN) ? __builtin_bswap32(value) : value;
    memcpy(field.bytes, &value, sizeof(value));
    return field;
}
static inline struct bb_le64 bb_le64_make(uint64_t value)
{
    struct bb_le64 field;
    value = bb_planted(BIG_ENDIAN) ? __builtin_bswap64(value) : value;
    memcpy(field.bytes, &value, sizeof(value));
    return field;
}

#endif
