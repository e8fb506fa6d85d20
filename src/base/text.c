/* SPDX-License-Identifier: Apache-2.0
 * Reading is strict: what is not entirely a number is none. Pure; any thread. */
#include "bb/text.h"

#include <stdio.h>
#include <string.h>

/* Reads at least one digit and moves *cursor behind the last. */
static bool digits_read(const char **cursor, uint64_t *ret_value)
{
    const char *text = *cursor;
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    if (text == *cursor)
        return false;
    *cursor = text;
    *ret_value = value;
    return true;
}

bool bb_text_to_u64(const char *text, uint64_t *ret_value)
{
    uint64_t value;
    if (!digits_read(&text, &value) || *text != '\0')
        return false;
    *ret_value = value;
    return true;
}

bool bb_text_to_size(const char *text, uint64_t *ret_size)
{
    static const char letters[] = "KMGT";
    uint64_t value;
    if (!digits_read(&text, &value))
        return false;
    unsigned shift = 0;
    if (*text != '\0') {
        const char *letter = strchr(letters, *text);
        if (letter == NULL || (text[1] != '\0' && strcmp(text + 1, "iB") != 0))
            return false;
        shift = 10 * (unsigned)(letter - letters + 1);
    }
    if (value > UINT64_MAX >> shift)
        return false;
    *ret_size = value << shift;
    return true;
}

bool bb_text_to_ms(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"min", 60000}};
    uint64_t value;
    if (!digits_read(&text, &value))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text, units[i].name) == 0)
            return !__builtin_mul_overflow(value, units[i].ms, ret_ms);
    }
    return false;
}

char *bb_text_of_ms(uint64_t ms, char *ret, size_t ret_size)
{
    BB_ASSERT(ret_size >= 24);
    bool whole = ms % 1000 == 0;
    (void)snprintf(ret, ret_size, "%llu%s", (unsigned long long)(whole ? ms / 1000 : ms),
                   whole ? "s" : "ms");
    return ret;
}

char *bb_text_of_size(uint64_t size, char *ret, size_t ret_size)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    BB_ASSERT(ret_size >= 16);
    unsigned power = 0;
    while (power < 6 && size >> (10 * (power + 1)) != 0)
        power++;
    uint64_t whole = size >> (10 * power);
    uint64_t rest = size - (whole << (10 * power)); /* below 2^60: ten times it fits */
    unsigned tenths = (unsigned)(rest * 10 >> (10 * power));
    if (tenths == 0)
        (void)snprintf(ret, ret_size, "%llu %s", (unsigned long long)whole, names[power]);
    else
        (void)snprintf(ret, ret_size, "%llu.%u %s", (unsigned long long)whole, tenths,
                       names[power]);
    return ret;
}

char *bb_text_of_uuid(const struct bb_uuid *uuid, char ret[static 37])
{
    static const char digits[16] = "0123456789abcdef";
    /* A UUID is its 16 bytes; the type belongs to the layer above (format.h). */
    const uint8_t *bytes = (const uint8_t *)uuid;
    char *out = ret;
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
    BB_ASSERT(out == ret + 36);
    return ret;
}
