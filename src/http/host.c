/* SPDX-License-Identifier: Apache-2.0
 * Host and authority, and the rule against DNS rebinding: a page of evil.example whose name was
 * pointed at this machine still says evil.example in Host. Names that no public zone can hold (one
 * label, localhost) and IP literals are safe, and what the operator listed. */
#include "host.h"

#include "bytes.h"

#include <arpa/inet.h>

/* Whether `name` is an address of `family` in the text form that inet_pton takes. */
static bool address_is(int family, struct bb_http_span name)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (name.len >= sizeof(text))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.at[i];
        if (!bb_http_byte_is(byte, BB_HTTP_HEX) && byte != ':' && byte != '.')
            return false;
    }
    memcpy(text, name.at, name.len);
    text[name.len] = '\0';
    return inet_pton(family, text, &address) == 1;
}

static bool port_ok(struct bb_http_span port)
{
    uint64_t number;
    if (port.len == 0)
        return true;
    return bb_http_span_number(port, &number) == 0 && number <= UINT16_MAX;
}

/* Length of "[address]" at the start of `host`; 0 when malformed. */
static size_t bracket_len(struct bb_http_span host)
{
    const char *end = memchr(host.at, ']', host.len);
    if (end == NULL)
        return 0;
    size_t len = (size_t)(end - host.at) + 1;
    return address_is(AF_INET6, (struct bb_http_span){host.at + 1, len - 2}) ? len : 0;
}

bool bb_http_host_split(struct bb_http_span host, struct bb_http_span *ret_name)
{
    size_t len;
    BB_ASSERT(host.at != NULL);
    if (host.len > 0 && host.at[0] == '[') {
        len = bracket_len(host);
        if (len == 0)
            return false;
    } else {
        len = bb_http_span_of(host, BB_HTTP_NAME);
    }
    struct bb_http_span rest = bb_http_span_after(host, len);
    if (rest.len > 0 && (rest.at[0] != ':' || !port_ok(bb_http_span_after(rest, 1))))
        return false;
    *ret_name = (struct bb_http_span){host.at, len};
    return true;
}

static bool listed(struct bb_http_span name, const char *const *allowed, size_t allowed_count)
{
    for (size_t i = 0; i < allowed_count; i++) {
        if (bb_http_span_is(name, allowed[i]))
            return true;
    }
    return false;
}

bool bb_http_host_ok(struct bb_http_span host, const char *const *allowed, size_t allowed_count)
{
    struct bb_http_span name;
    if (host.at == NULL)
        return true;
    if (!bb_http_host_split(host, &name) || name.len == 0)
        return false;
    if (name.at[0] == '[' || address_is(AF_INET, name))
        return true;

    bool dot = name.at[name.len - 1] == '.';
    name.len -= dot;
    if (bb_http_span_is(name, "localhost") || listed(name, allowed, allowed_count))
        return true;
    return !dot && name.len > 0 && memchr(name.at, '.', name.len) == NULL;
}
