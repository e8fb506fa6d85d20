/* SPDX-License-Identifier: Apache-2.0
 * Connecting, sending, receiving; link.h says what for. Owner: the calling thread.
 */
#include "bbctl/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT_DEFAULT "80"

static int start(struct bb_ctl_link *link, int family, const void *address, socklen_t len)
{
    const struct timeval limit = {.tv_sec = BB_CTL_TIMEOUT_S};
    const int yes = 1;
    link->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return -errno;
    (void)setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); /* not on AF_UNIX */
    if (connect(link->fd, address, len) == 0)
        return 0;
    int error = -errno;
    bb_ctl_link_close(link);
    return error;
}

int bb_ctl_link_open_unix(struct bb_ctl_link *link, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *link = (struct bb_ctl_link){.fd = -1, .host = "localhost"};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    return start(link, AF_UNIX, &address, sizeof(address));
}

/* Splits http://HOST[:PORT][/]; HOST of an IPv6 address stands in brackets. */
static bool split_url(const char *url, char *ret_host, char *ret_port, size_t size)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *at = url + sizeof(scheme) - 1;
    bool bracket = *at == '[';
    at += bracket;
    size_t host_len = strcspn(at, bracket ? "]" : ":/");
    if (host_len == 0 || host_len >= size || (bracket && at[host_len] != ']'))
        return false;
    memcpy(ret_host, at, host_len);
    ret_host[host_len] = '\0';
    at += host_len + bracket;
    size_t port_len = 0;
    if (*at == ':') {
        port_len = strspn(++at, "0123456789");
        if (port_len == 0 || port_len > 5)
            return false;
        memcpy(ret_port, at, port_len);
    } else {
        port_len = sizeof(PORT_DEFAULT) - 1;
        memcpy(ret_port, PORT_DEFAULT, port_len);
        at -= port_len;
    }
    ret_port[port_len] = '\0';
    at += port_len;
    return *at == '\0' || strcmp(at, "/") == 0;
}

int bb_ctl_link_open_url(struct bb_ctl_link *link, const char *url, const char **ret_why)
{
    char host[BB_CTL_HOST_MAX - 16], port[BB_CTL_HOST_MAX - 16];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list;
    *link = (struct bb_ctl_link){.fd = -1};
    if (!split_url(url, host, port, sizeof(host))) {
        *ret_why = "not http://HOST:PORT; for https name the TLS terminator's plain side";
        return -1;
    }
    int found = getaddrinfo(host, port, &hints, &list);
    if (found != 0) {
        *ret_why = gai_strerror(found);
        return -1;
    }
    int error = -EADDRNOTAVAIL;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        error = start(link, at->ai_family, at->ai_addr, at->ai_addrlen);
        if (error == 0)
            break;
    }
    freeaddrinfo(list);
    int len = strchr(host, ':') != NULL
                  ? snprintf(link->host, sizeof(link->host), "[%s]:%s", host, port)
                  : snprintf(link->host, sizeof(link->host), "%s:%s", host, port);
    BB_ASSERT(len > 0 && (size_t)len < sizeof(link->host));
    if (error != 0)
        *ret_why = strerror(-error);
    return error == 0 ? 0 : -1;
}

/* A limit on waiting that ran out is no reason to try again. */
static int failure(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
}

int bb_ctl_link_send(struct bb_ctl_link *link, const void *data, size_t len, bool more)
{
    const char *at = data;
    BB_ASSERT(link->fd >= 0);
    while (len > 0) {
        ssize_t sent = send(link->fd, at, len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return failure();
        at += sent;
        len -= (size_t)sent;
    }
    return 0;
}

int bb_ctl_link_receive(struct bb_ctl_link *link, void *data, size_t len, size_t *ret_len)
{
    ssize_t got;
    BB_ASSERT(link->fd >= 0);
    do
        got = recv(link->fd, data, len, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got < 0 ? failure() : -ECONNRESET;
    *ret_len = (size_t)got;
    return 0;
}

void bb_ctl_link_close(struct bb_ctl_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}
