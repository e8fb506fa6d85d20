/* SPDX-License-Identifier: Apache-2.0
 * Content-Digest and Repr-Digest (RFC 9530): a dictionary of byte sequences (RFC 8941 3.2), of
 * which we want sha-256. The last member of a name counts. Parameters are read over. The base64
 * must be canonical, only the padding may be missing. */
#include "bytes.h"

#include <openssl/evp.h>

#define BASE64_LEN 44 /* of 32 bytes, with one '=' */

/* Takes bytes off `rest` as long as they are of a key: lower case, digits, "_-.*". */
static struct bb_http_span key_take(struct bb_http_span *rest)
{
    size_t len = 0;
    for (; len < rest->len; len++) {
        char byte = rest->at[len];
        bool letter = byte >= 'a' && byte <= 'z';
        bool other = bb_http_is_digit(byte) || byte == '_' || byte == '-' || byte == '.';
        if (!letter && byte != '*' && (len == 0 || !other))
            break;
    }
    struct bb_http_span key = {rest->at, len};
    *rest = bb_http_span_after(*rest, len);
    return key;
}

static bool byte_take(struct bb_http_span *rest, char byte)
{
    if (rest->len == 0 || rest->at[0] != byte)
        return false;
    *rest = bb_http_span_after(*rest, 1);
    return true;
}

static void blanks_skip(struct bb_http_span *rest)
{
    while (rest->len > 0 && bb_http_is_blank(rest->at[0]))
        *rest = bb_http_span_after(*rest, 1);
}

/* The text of ":base64:". Padding only at the end. */
static bool bytes_take(struct bb_http_span *rest, struct bb_http_span *ret_text)
{
    size_t len = 0, padding = 0;
    if (!byte_take(rest, ':'))
        return false;
    for (; len < rest->len && rest->at[len] != ':'; len++) {
        char byte = rest->at[len];
        bool letter = bb_http_lower(byte) >= 'a' && bb_http_lower(byte) <= 'z';
        padding += byte == '=';
        if (!letter && !bb_http_is_digit(byte) && byte != '+' && byte != '/' && byte != '=')
            return false;
        if (padding > 0 && byte != '=')
            return false;
    }
    *ret_text = (struct bb_http_span){rest->at, len};
    *rest = bb_http_span_after(*rest, len);
    return padding <= 2 && byte_take(rest, ':');
}

static bool string_skip(struct bb_http_span *rest)
{
    while (rest->len > 0) {
        if (byte_take(rest, '"'))
            return true;
        if (byte_take(rest, '\\') &&
            (rest->len == 0 || (rest->at[0] != '"' && rest->at[0] != '\\')))
            return false;
        *rest = bb_http_span_after(*rest, 1);
    }
    return false;
}

/* One bare item behind '=' of a parameter: a string, a byte sequence, or anything like a token. */
static bool item_skip(struct bb_http_span *rest)
{
    struct bb_http_span text;
    if (byte_take(rest, '"'))
        return string_skip(rest);
    if (rest->len > 0 && rest->at[0] == ':')
        return bytes_take(rest, &text);
    size_t len = 0;
    while (len < rest->len && bb_http_byte_is(rest->at[len], BB_HTTP_TARGET) &&
           rest->at[len] != ';' && rest->at[len] != ',')
        len++;
    *rest = bb_http_span_after(*rest, len);
    return len > 0;
}

static bool parameters_skip(struct bb_http_span *rest)
{
    while (byte_take(rest, ';')) {
        while (byte_take(rest, ' '))
            continue;
        if (key_take(rest).len == 0)
            return false;
        if (byte_take(rest, '=') && !item_skip(rest))
            return false;
    }
    return true;
}

static bool hash_decode(struct bb_http_span text, struct bb_hash *ret_hash)
{
    uint8_t base64[BASE64_LEN + 1], bytes[BASE64_LEN / 4 * 3], again[BASE64_LEN + 1];
    if (text.len != BASE64_LEN && text.len != BASE64_LEN - 1)
        return false;
    memcpy(base64, text.at, text.len);
    if (text.len < BASE64_LEN)
        base64[text.len] = '=';
    base64[BASE64_LEN] = '\0';
    if (EVP_DecodeBlock(bytes, base64, BASE64_LEN) != (int)sizeof(bytes))
        return false;
    BB_STATIC_ASSERT(sizeof(bytes) == sizeof(*ret_hash) + 1);
    /* Bits under the padding, or one '=' too many, do not come back. */
    if (EVP_EncodeBlock(again, bytes, sizeof(*ret_hash)) != BASE64_LEN ||
        memcmp(again, base64, BASE64_LEN) != 0)
        return false;
    memcpy(ret_hash->bytes, bytes, sizeof(*ret_hash));
    return true;
}

int bb_http_digest_of(struct bb_http_span field, struct bb_hash *ret_hash)
{
    struct bb_http_span text;
    struct bb_hash hash;
    int found = 0;
    if (field.at == NULL)
        return 0;
    struct bb_http_span rest = bb_http_span_trim(field);
    bool more = rest.len > 0;
    while (more) {
        struct bb_http_span key = key_take(&rest);
        if (key.len == 0 || !byte_take(&rest, '=') || !bytes_take(&rest, &text) ||
            !parameters_skip(&rest))
            return -1;
        if (bb_http_span_equal(key, "sha-256")) {
            if (!hash_decode(text, &hash))
                return -1;
            found = 1;
        }
        blanks_skip(&rest);
        more = byte_take(&rest, ',');
        blanks_skip(&rest);
    }
    if (rest.len > 0)
        return -1;
    if (found == 1)
        *ret_hash = hash;
    return found;
}
