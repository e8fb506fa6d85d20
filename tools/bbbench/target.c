/* SPDX-License-Identifier: Apache-2.0
 * URL to socket address, and connecting to it. */
#include "bbbench/target.h"

#include "bb/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static const char http[] = "http://";
static const char https[] = "https://";

static bool set_address(struct bb_target *target, const char *host, bool bracketed, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (bracketed) {
        if (inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)
            return false;
        memcpy(&target->address, &v6, sizeof(v6));
        target->address_len = sizeof(v6);
        return true;
    }
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4.sin_addr) != 1)
        return false;
    memcpy(&target->address, &v4, sizeof(v4));
    target->address_len = sizeof(v4);
    return true;
}

bool bb_target_parse(const char *url, struct bb_target *ret_target)
{
    struct bb_target target = {0};
    target.secure = strncmp(url, https, sizeof(https) - 1) == 0;
    if (!target.secure && strncmp(url, http, sizeof(http) - 1) != 0)
        return false;
    const char *authority = url + (target.secure ? sizeof(https) : sizeof(http)) - 1;
    size_t len = strcspn(authority, "/");
    if (len == 0 || len >= sizeof(target.host) ||
        (authority[len] == '/' && authority[len + 1] != 0))
        return false;
    memcpy(target.host, authority, len);

    char host[BB_TARGET_HOST_MAX];
    bool bracketed = target.host[0] == '[';
    size_t start = bracketed ? 1 : 0;
    size_t host_len = strcspn(target.host + start, bracketed ? "]" : ":");
    memcpy(host, target.host + start, host_len);
    host[host_len] = '\0';
    const char *rest = target.host + start + host_len;
    if (bracketed && *rest++ != ']')
        return false;
    uint64_t port = target.secure ? 443 : 80;
    if (*rest != '\0' && (*rest != ':' || !bb_text_to_u64(rest + 1, &port)))
        return false;
    if (port == 0 || port > UINT16_MAX || !set_address(&target, host, bracketed, (uint16_t)port))
        return false;
    *ret_target = target;
    return true;
}

int bb_target_connect(const struct bb_target *target)
{
    int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    int failed = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (failed == 0)
        failed = connect(fd, (const struct sockaddr *)&target->address, target->address_len);
    if (failed != 0 && errno != EINPROGRESS) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}
