/* SPDX-License-Identifier: Apache-2.0
 * Connecting, sending, receiving; link.h says what for. Owner: the calling thread.
 */
#include "bbctl/link.h"

#include "bbctl/tls.h"

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

static const char http[] = "http://";
static const char https[] = "https://";

/* Parts of a URL. */
struct address {
    bool secure;
    char host[BB_CTL_HOST_MAX - 16]; /* without brackets */
    char port[6];
};

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

bool bb_ctl_link_is_url(const char *text)
{
    return strncmp(text, http, sizeof(http) - 1) == 0 ||
           strncmp(text, https, sizeof(https) - 1) == 0;
}

/* Splits http://HOST[:PORT][/] or https:; HOST of an IPv6 address stands in brackets. */
static bool split_url(const char *url, struct address *ret_address)
{
    if (!bb_ctl_link_is_url(url))
        return false;
    bool secure = strncmp(url, https, sizeof(https) - 1) == 0;
    const char *at = url + (secure ? sizeof(https) : sizeof(http)) - 1;
    bool bracket = *at == '[';
    at += bracket;
    size_t host_len = strcspn(at, bracket ? "]" : ":/");
    if (host_len == 0 || host_len >= sizeof(ret_address->host) || (bracket && at[host_len] != ']'))
        return false;
    memcpy(ret_address->host, at, host_len);
    ret_address->host[host_len] = '\0';
    at += host_len + bracket;
    const char *port = secure ? "443" : "80";
    size_t port_len = strlen(port);
    if (*at == ':') {
        port = ++at;
        port_len = strspn(port, "0123456789");
        if (port_len == 0 || port_len >= sizeof(ret_address->port))
            return false;
        at += port_len;
    }
    memcpy(ret_address->port, port, port_len);
    ret_address->port[port_len] = '\0';
    ret_address->secure = secure;
    return *at == '\0' || strcmp(at, "/") == 0;
}

static void name_host(struct bb_ctl_link *link, const struct address *address)
{
    bool bracket = strchr(address->host, ':') != NULL;
    int len = snprintf(link->host, sizeof(link->host), "%s%s%s:%s", bracket ? "[" : "",
                       address->host, bracket ? "]" : "", address->port);
    BB_ASSERT(len > 0 && (size_t)len < sizeof(link->host));
}

int bb_ctl_link_open_url(struct bb_ctl_link *link, const char *url, const char **ret_why)
{
    struct address address;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list;
    *link = (struct bb_ctl_link){.fd = -1};
    if (!split_url(url, &address)) {
        *ret_why = "neither http://HOST:PORT nor https://HOST:PORT";
        return -1;
    }
    int found = getaddrinfo(address.host, address.port, &hints, &list);
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
    name_host(link, &address);
    if (error != 0) {
        *ret_why = strerror(-error);
        return -1;
    }
    if (address.secure && bb_ctl_tls_open(link->fd, address.host, &link->tls, ret_why) != 0) {
        bb_ctl_link_close(link);
        return -1;
    }
    return 0;
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
    if (link->tls != NULL)
        return bb_ctl_tls_send(link->tls, data, len);
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
    if (link->tls != NULL)
        return bb_ctl_tls_receive(link->tls, data, len, ret_len);
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
    bb_ctl_tls_close(link->tls);
    link->tls = NULL;
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}
