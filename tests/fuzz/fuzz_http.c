/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target of the HTTP protocol functions. The first byte of an input chooses:
 *
 *   h  a request head       c  a chunked body       s  a connection: heads and their bodies
 *   f  the value of a field or a query: Host, If-None-Match, If-Range, Range, Digest,
 *      Authorization
 *
 * Whatever comes whole, byte by byte or in random pieces must have one outcome, nothing is read
 * behind the end, and what is accepted must pass a naive second look. The random pieces follow from
 * the input, so a finding repeats. */
#include "../unit/http/feed.h"

#include "bb/token.h"

#define INPUT_MAX 12000
#define MESSAGES_MAX 8
#define RANDOM_ROUNDS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

/* What any server in front of or behind us would take the same bytes for. */
static void accepted_head_check(const char *head, size_t size)
{
    size_t start = size > 2 && memcmp(head, "\r\n", 2) == 0 ? 2 : 0;
    require(size <= BB_HTTP_HEAD_MAX, "head above the limit");
    require(size - start >= 18, "head too short to be one");
    require(memcmp(head + size - 4, "\r\n\r\n", 4) == 0, "head without its end");
    require(memmem(head + start, size - start - 1, "\r\n\r\n", 4) == NULL, "head with two ends");
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)head[i];
        bool lf_follows = i + 1 < size && head[i + 1] == '\n';
        bool blank_follows =
            lf_follows && i + 2 < size && (head[i + 2] == ' ' || head[i + 2] == '\t');
        require(byte != '\r' || lf_follows, "bare CR accepted");
        require(byte != '\n' || (i > 0 && head[i - 1] == '\r'), "bare LF accepted");
        require(byte != '\r' || !blank_follows, "fold accepted");
        require(byte >= ' ' || byte == '\r' || byte == '\n' || byte == '\t', "control accepted");
        require(byte != 0x7f, "DEL accepted");
    }
}

static void accepted_framing_check(const char *head, size_t size,
                                   const struct bb_http_request *request)
{
    char text[BB_HTTP_HEAD_MAX + 1];
    memcpy(text, head, size);
    text[size] = '\0';
    const char *length = strcasestr(text, "\r\nContent-Length:");
    const char *coding = strcasestr(text, "\r\nTransfer-Encoding:");
    require((length != NULL) == request->has_length, "Content-Length seen differently");
    require((coding != NULL) == request->chunked, "Transfer-Encoding seen differently");
    require(length == NULL || coding == NULL, "both framings accepted");
    require(length == NULL || strcasestr(length + 2, "\r\nContent-Length:") == NULL,
            "two lengths accepted");
    require(length == NULL || strtoull(length + sizeof("\r\nContent-Length:") - 1, NULL, 10) ==
                                  request->content_length,
            "Content-Length read differently");
    require(request->minor == 0 || strcasestr(text, "\r\nHost:") != NULL, "no Host accepted");
}

/* One way of reading a connection, as text: requests and bodies until something ends it. */
static void connection_read(const char *data, size_t len, enum feed_cut cut,
                            struct bb_random *random, struct feed_text *ret_text)
{
    for (int message = 0; message < MESSAGES_MAX && len > 0; message++) {
        size_t used;
        struct bb_http_request request = feed_head(data, len, cut, random, ret_text, &used);
        if (used == 0)
            return;
        accepted_head_check(data, used);
        accepted_framing_check(data, used, &request);
        data += used;
        len -= used;
        feed_say(ret_text, "\n");
        if (request.chunked) {
            used = feed_chunked(data, len, cut, random, ret_text);
            if (used == 0)
                return;
        } else {
            used = request.content_length < len ? (size_t)request.content_length : len;
        }
        data += used;
        len -= used;
    }
}

static void one_way(char mode, const char *data, size_t len, enum feed_cut cut,
                    struct bb_random *random, struct feed_text *ret_text)
{
    size_t used;
    feed_clear(ret_text);
    if (mode == 'c') {
        (void)feed_chunked(data, len, cut, random, ret_text);
    } else if (mode == 's') {
        connection_read(data, len, cut, random, ret_text);
    } else {
        struct bb_http_request request = feed_head(data, len, cut, random, ret_text, &used);
        feed_say(ret_text, " %zu", used);
        if (used > 0) {
            accepted_head_check(data, used);
            accepted_framing_check(data, used, &request);
        }
    }
}

static void fields_check(const char *data, size_t len)
{
    static const char *const allowed[] = {"store.example"};
    static const struct bb_hash hash = {{0x2c, 0xf2, 0x4d, 0xba, 0x5f, 0xb0, 0xa3, 0x0e,
                                         0x26, 0xe8, 0x3b, 0x2a, 0xc5, 0xb9, 0xe2, 0x9e,
                                         0x1b, 0x16, 0x1e, 0x5c, 0x1f, 0xa7, 0x42, 0x5e,
                                         0x73, 0x04, 0x33, 0x62, 0x93, 0x8b, 0x98, 0x24}};
    char hex[BB_HASH_HEX_SIZE];
    struct bb_http_span span = {feed_guarded(data, len), len}, value;
    bb_hash_to_hex(&hash, hex);
    bool named = memmem(data, len, hex, sizeof(hex)) != NULL;

    if (bb_http_host_ok(span, allowed, 1))
        require(len > 0 && memchr(data, '@', len) == NULL && memchr(data, ' ', len) == NULL,
                "odd host accepted");
    if (bb_http_etag_matches(span, &hash))
        require(named || memchr(data, '*', len) != NULL, "tag matched that is not there");
    if (bb_http_if_range_matches(span, &hash))
        require(named && len >= sizeof(hex) + 2, "If-Range matched that is not there");

    for (uint64_t size = 0; size < 300; size += 100 - size % 7) {
        uint64_t first = UINT64_MAX, last = UINT64_MAX;
        enum bb_http_range result = bb_http_parse_range(span, size, &first, &last);
        if (result == BB_HTTP_RANGE_ONE)
            require(first <= last && last < size, "range beyond the body");
        else
            require(first == UINT64_MAX && last == UINT64_MAX, "range set without being one");
    }
    struct bb_hash digest;
    if (bb_http_digest_of(span, &digest) == 1)
        require(memmem(data, len, "sha-256=:", 9) != NULL, "digest found that is not there");
    char token[BB_TOKEN_LEN_MAX];
    size_t token_len = bb_token_presented(span, token);
    require(token_len <= sizeof(token) && token_len < len + (len == 0), "token from nowhere");
    if (bb_http_query(span, "limit", &value))
        require(value.at >= span.at + 5 && value.at + value.len <= span.at + len,
                "parameter outside the query");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct feed_text whole, other;
    struct bb_random random;
    if (size == 0 || size > INPUT_MAX)
        return 0;
    const char mode = (char)data[0];
    const char *input = (const char *)data + 1;
    const size_t len = size - 1;
    if (mode == 'f') {
        fields_check(input, len);
        return 0;
    }
    uint64_t seed = size;
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ data[i]) * 0x100000001b3;
    bb_random_seed(&random, seed);

    one_way(mode, input, len, FEED_WHOLE, &random, &whole);
    for (int round = 0; round <= RANDOM_ROUNDS; round++) {
        one_way(mode, input, len, round == 0 ? FEED_BYTEWISE : FEED_RANDOM, &random, &other);
        require(strcmp(whole.at, other.at) == 0, "the cut changes the outcome");
    }
    return 0;
}
