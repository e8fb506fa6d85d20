/* SPDX-License-Identifier: Apache-2.0
 * Addresses and listening sockets.
 */
#include "bb/listen.h"

#include "bb/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define UNIX_PREFIX "unix:"
#define INHERITED_MAX 64u

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

static bool parse_unix(const char *path, struct bb_listener *listener)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&listener->address;
    size_t len = strlen(path);
    if (path[0] != '/' || len >= sizeof(un->sun_path))
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    listener->address_len = sizeof(*un);
    listener->loopback = listener->local = true;
    return true;
}

static void name_it(struct bb_listener *listener)
{
    char host[INET6_ADDRSTRLEN] = "?";
    int len;
    if (listener->address.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)&listener->address;
        len = snprintf(listener->name, sizeof(listener->name), UNIX_PREFIX "%.*s",
                       (int)sizeof(un->sun_path), un->sun_path);
    } else if (listener->address.ss_family == AF_INET) {
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
    if (strncmp(text, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0) {
        struct bb_listener local = {.fd = -1};
        if (!parse_unix(text + sizeof(UNIX_PREFIX) - 1, &local))
            return false;
        name_it(&local);
        *ret_listener = local;
        return true;
    }
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

/* A socket that nobody listens on is what a process left that was killed. */
static int remove_stale(const struct bb_listener *listener)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&listener->address;
    struct stat status;
    if (lstat(un->sun_path, &status) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EADDRINUSE;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    bool stale =
        connect(fd, (const struct sockaddr *)un, sizeof(*un)) != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    if (!stale)
        return -EADDRINUSE;
    return unlink(un->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int bind_it(const struct bb_listener *listener, int fd)
{
    const int one = 1;
    const struct sockaddr *address = (const struct sockaddr *)&listener->address;
    if (listener->local) {
        int error = remove_stale(listener);
        if (error != 0)
            return error;
        /* nobody connects before listen(), so the mode is set in time */
        if (bind(fd, address, listener->address_len) != 0 ||
            chmod(((const struct sockaddr_un *)address)->sun_path, 0660) != 0)
            return -errno;
        return 0;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
        return -errno;
    /* [::] shall not take 0.0.0.0 with it: what listens where is said explicitly */
    if (listener->address.ss_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0)
        return -errno;
    return bind(fd, address, listener->address_len) == 0 ? 0 : -errno;
}

int bb_listener_open(struct bb_listener *listener)
{
    BB_ASSERT(listener->fd == -1);
    int fd = socket(listener->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    socklen_t len = sizeof(listener->address);
    int error = bind_it(listener, fd);
    if (error == 0 && listen(fd, BACKLOG) != 0)
        error = -errno;
    if (error == 0 && !listener->local &&
        getsockname(fd, (struct sockaddr *)&listener->address, &len) != 0)
        error = -errno;
    if (error != 0) {
        (void)close(fd);
        return error;
    }
    listener->fd = fd;
    name_it(listener);
    return 0;
}

/* ---- inherited ---- */

unsigned bb_listen_inherited(void)
{
    const char *pid_text = getenv("LISTEN_PID");
    const char *count_text = getenv("LISTEN_FDS");
    uint64_t pid = 0;
    uint64_t count = 0;
    bool ours = pid_text != NULL && count_text != NULL && bb_text_to_u64(pid_text, &pid) &&
                bb_text_to_u64(count_text, &count) && pid == (uint64_t)getpid();
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (!ours)
        return 0;
    return count < INHERITED_MAX ? (unsigned)count : INHERITED_MAX;
}

static int socket_option(int fd, int option, int *ret_value)
{
    socklen_t len = sizeof(*ret_value);
    return getsockopt(fd, SOL_SOCKET, option, ret_value, &len) == 0 ? 0 : -errno;
}

int bb_listener_adopt(int fd, struct bb_listener *ret_listener)
{
    struct bb_listener listener = {.fd = fd, .inherited = true};
    int type = 0;
    int listening = 0;
    listener.address_len = sizeof(listener.address);
    int error = socket_option(fd, SO_TYPE, &type);
    if (error == 0)
        error = socket_option(fd, SO_ACCEPTCONN, &listening);
    if (error != 0)
        return error;
    if (type != SOCK_STREAM || listening == 0)
        return -ENOTSOCK;
    if (getsockname(fd, (struct sockaddr *)&listener.address, &listener.address_len) != 0)
        return -errno;
    if (listener.address.ss_family == AF_INET)
        listener.loopback =
            ntohl(((struct sockaddr_in *)&listener.address)->sin_addr.s_addr) >> 24 == 127;
    else if (listener.address.ss_family == AF_INET6)
        listener.loopback =
            IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&listener.address)->sin6_addr);
    else if (listener.address.ss_family == AF_UNIX)
        listener.loopback = listener.local = true;
    else
        return -EAFNOSUPPORT;
    /* systemd hands out sockets that do not wait; a ring wants them to */
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return -errno;
    name_it(&listener);
    *ret_listener = listener;
    return 0;
}

bool bb_listener_equal(const struct bb_listener *a, const struct bb_listener *b)
{
    return strcmp(a->name, b->name) == 0;
}

void bb_listener_close(struct bb_listener *listener)
{
    if (listener->fd < 0)
        return;
    /* while it is ours: once it is closed, another daemon may put its own there */
    if (listener->local && !listener->inherited)
        (void)unlink(((const struct sockaddr_un *)&listener->address)->sun_path);
    (void)close(listener->fd);
    listener->fd = -1;
}
