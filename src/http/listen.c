/* SPDX-License-Identifier: Apache-2.0
 * Addresses and listening sockets.
 */
#include "bb/listen.h"

#include "bb/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 1024

static bool parse_v4(const char *host, uint16_t port, struct bb_listener *listener)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&listener->address;
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
        return false;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    listener->address_len = sizeof(*in);
    listener->loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
    return true;
}

static bool parse_v6(const char *host, uint16_t port, struct bb_listener *listener)
{
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)&listener->address;
    if (inet_pton(AF_INET6, host, &in->sin6_addr) != 1)
        return false;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    listener->address_len = sizeof(*in);
    listener->loopback = IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
    return true;
}

static void name_it(struct bb_listener *listener)
{
    char host[INET6_ADDRSTRLEN] = "?";
    int len;
    if (listener->address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&listener->address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        len = snprintf(listener->name, sizeof(listener->name), "%s:%u", host,
                       (unsigned)ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&listener->address;
        (void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
        len = snprintf(listener->name, sizeof(listener->name), "[%s]:%u", host,
                       (unsigned)ntohs(in->sin6_port));
    }
    BB_ASSERT(len > 0 && (size_t)len < sizeof(listener->name));
}

bool bb_listener_parse(const char *text, struct bb_listener *ret_listener)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || !bb_text_to_u64(colon + 1, &port) || port > 65535)
        return false;
    bool brackets = text[0] == '[';
    size_t skip = brackets ? 1 : 0;
    size_t len = (size_t)(colon - text);
    char host[INET6_ADDRSTRLEN];
    if (brackets && (len < 3 || text[len - 1] != ']'))
        return false;
    len -= 2 * skip;
    if (len == 0 || len >= sizeof(host))
        return false;
    memcpy(host, text + skip, len);
    host[len] = '\0';

    struct bb_listener listener = {.fd = -1};
    bool ok = brackets ? parse_v6(host, (uint16_t)port, &listener)
                       : parse_v4(host, (uint16_t)port, &listener);
    if (!ok)
        return false;
    name_it(&listener);
    *ret_listener = listener;
    return true;
}

int bb_listener_open(struct bb_listener *listener)
{
    BB_ASSERT(listener->fd == -1);
    const int one = 1;
    int fd = socket(listener->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = 0;
    socklen_t len = sizeof(listener->address);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
        error = -errno;
    /* [::] shall not take 0.0.0.0 with it: what listens where is said explicitly */
    else if (listener->address.ss_family == AF_INET6 &&
             setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0)
        error = -errno;
    else if (bind(fd, (const struct sockaddr *)&listener->address, listener->address_len) != 0)
        error = -errno;
    else if (listen(fd, BACKLOG) != 0)
        error = -errno;
    else if (getsockname(fd, (struct sockaddr *)&listener->address, &len) != 0)
        error = -errno;
    if (error != 0) {
        (void)close(fd);
        return error;
    }
    listener->fd = fd;
    name_it(listener);
    return 0;
}

void bb_listener_close(struct bb_listener *listener)
{
    if (listener->fd >= 0)
        (void)close(listener->fd);
    listener->fd = -1;
}
