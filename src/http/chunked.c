/* SPDX-License-Identifier: Apache-2.0
 * Chunked bodies by the grammar of RFC 9112 7.1, and nothing beyond it: no blanks around sizes and
 * extensions, no bare LF, no fold in trailers. One byte, one step; only data is taken in spans.
 *
 *   SIZE -> EXTENSION* -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *   SIZE_LF -(size 0)-> LINE -> NAME -> VALUE -> VALUE_LF -> LINE ... LINE -> END_LF -> ENDED
 *
 * `digits` counts those of the size; once the size is zero and its line is over, `trailer` counts.
 */
#include "bytes.h"
#include "refuse.h"

#define SIZE_DIGITS_MAX 16
#define LINE_MAX 256
#define TRAILER_MAX 4096

enum state {
    SIZE,
    EXTENSION,       /* behind ';' */
    EXTENSION_NAME,  /* one byte or more of it */
    EXTENSION_VALUE, /* behind '=' */
    EXTENSION_TOKEN,
    EXTENSION_QUOTED,
    EXTENSION_ESCAPED, /* behind a backslash */
    EXTENSION_CLOSED,  /* behind the closing quote */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE, /* start of a trailer line or of the last one */
    NAME,
    VALUE,
    VALUE_LF,
    END_LF,
    ENDED,
    FAILED,
};

static const struct bb_http_span nothing;

void bb_http_chunked_init(struct bb_http_chunked *chunked)
{
    *chunked = (struct bb_http_chunked){.state = SIZE};
}

static int refuse(struct bb_http_chunked *chunked, struct bb_http_refusal *ret_refusal,
                  const char *what, const char *cure)
{
    chunked->state = FAILED;
    return bb_http_refuse(ret_refusal, 400, what, nothing, cure);
}

static unsigned hex_value(char digit)
{
    return bb_http_is_digit(digit) ? (unsigned)(digit - '0')
                                   : (unsigned)(bb_http_lower(digit) - 'a') + 10;
}

/* Whatever may follow a complete size, name or value of an extension. FAILED: nothing else may. */
static enum state extension_end(char byte)
{
    return byte == ';' ? EXTENSION : byte == '\r' ? SIZE_LF : FAILED;
}

static enum state size_step(struct bb_http_chunked *chunked, char byte)
{
    if (!bb_http_byte_is(byte, BB_HTTP_HEX))
        return chunked->digits == 0 ? FAILED : extension_end(byte);
    if (chunked->digits == SIZE_DIGITS_MAX)
        return FAILED;
    chunked->digits++;
    chunked->left = chunked->left << 4 | hex_value(byte);
    return SIZE;
}

static enum state extension_step(enum state state, char byte)
{
    bool token = bb_http_byte_is(byte, BB_HTTP_TOKEN);
    switch (state) {
    case EXTENSION:
        return token ? EXTENSION_NAME : FAILED;
    case EXTENSION_NAME:
        if (byte == '=')
            return EXTENSION_VALUE;
        return token ? EXTENSION_NAME : extension_end(byte);
    case EXTENSION_VALUE:
        if (byte == '"')
            return EXTENSION_QUOTED;
        return token ? EXTENSION_TOKEN : FAILED;
    case EXTENSION_TOKEN:
        return token ? EXTENSION_TOKEN : extension_end(byte);
    case EXTENSION_QUOTED:
        if (byte == '"')
            return EXTENSION_CLOSED;
        if (byte == '\\')
            return EXTENSION_ESCAPED;
        return bb_http_byte_is(byte, BB_HTTP_VALUE) ? EXTENSION_QUOTED : FAILED;
    case EXTENSION_ESCAPED:
        return bb_http_byte_is(byte, BB_HTTP_VALUE) ? EXTENSION_QUOTED : FAILED;
    default:
        BB_ASSERT(state == EXTENSION_CLOSED);
        return extension_end(byte);
    }
}

/* The size line, up to and with its LF. */
static enum state line_step(struct bb_http_chunked *chunked, char byte)
{
    enum state state = chunked->state;
    if (state == SIZE)
        return size_step(chunked, byte);
    if (state != SIZE_LF)
        return extension_step(state, byte);
    chunked->digits = 0;
    chunked->line = 0;
    if (byte != '\n')
        return FAILED;
    return chunked->left == 0 ? LINE : DATA;
}

static enum state trailer_step(enum state state, char byte)
{
    bool token = bb_http_byte_is(byte, BB_HTTP_TOKEN);
    switch (state) {
    case LINE:
        if (byte == '\r')
            return END_LF;
        return token ? NAME : FAILED;
    case NAME:
        if (byte == ':')
            return VALUE;
        return token ? NAME : FAILED;
    case VALUE:
        if (byte == '\r')
            return VALUE_LF;
        return bb_http_byte_is(byte, BB_HTTP_VALUE) ? VALUE : FAILED;
    case VALUE_LF:
        return byte == '\n' ? LINE : FAILED;
    default:
        BB_ASSERT(state == END_LF);
        return byte == '\n' ? ENDED : FAILED;
    }
}

/* One byte that is not data. -1: refused. */
static int step(struct bb_http_chunked *chunked, char byte, struct bb_http_refusal *ret_refusal)
{
    enum state state = chunked->state;
    BB_ASSERT(state != DATA);
    if (state < DATA) {
        if (++chunked->line > LINE_MAX)
            return refuse(chunked, ret_refusal, "chunk size line", "use at most 256 bytes");
        chunked->state = (uint8_t)line_step(chunked, byte);
        if (chunked->state == FAILED)
            return refuse(chunked, ret_refusal, "malformed chunk size line",
                          "send at most 16 hex digits and CR LF");
        return 0;
    }
    if (state < LINE) {
        if (byte != (state == DATA_CR ? '\r' : '\n'))
            return refuse(chunked, ret_refusal, "chunk longer than its size",
                          "end its data with CR LF");
        chunked->state = state == DATA_CR ? DATA_LF : SIZE;
        return 0;
    }
    if (++chunked->trailer > TRAILER_MAX)
        return refuse(chunked, ret_refusal, "trailers", "use at most 4096 bytes");
    chunked->state = (uint8_t)trailer_step(state, byte);
    if (chunked->state == FAILED)
        return refuse(chunked, ret_refusal, "malformed trailer", "send name: value and CR LF");
    return 0;
}

int bb_http_chunked_feed(struct bb_http_chunked *chunked, const char *in, size_t len,
                         size_t *ret_used, struct bb_http_span *ret_data,
                         struct bb_http_refusal *ret_refusal)
{
    BB_ASSERT(chunked->state < ENDED);
    *ret_data = nothing;
    size_t used = 0;
    while (used < len && chunked->state != DATA) {
        if (step(chunked, in[used++], ret_refusal) < 0)
            return -1;
        if (chunked->state == ENDED) {
            *ret_used = used;
            return 1;
        }
    }
    if (used < len) {
        BB_ASSERT(chunked->left > 0);
        size_t size = chunked->left < len - used ? (size_t)chunked->left : len - used;
        *ret_data = (struct bb_http_span){in + used, size};
        used += size;
        chunked->left -= size;
        if (chunked->left == 0)
            chunked->state = DATA_CR;
    }
    *ret_used = used;
    return 0;
}
