/* SPDX-License-Identifier: Apache-2.0
 * Connecting, asking, reading; client.h says what for. Owner: the calling thread.
 */
#include "bbctl/client.h"

#include "bb/bits.h"
#include "bbbench/reply.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 2048
#define PIECE_SIZE ((size_t)64 << 10)
#define PORT_DEFAULT "80"

static int start(struct bb_ctl_client *client, int family, const void *address, socklen_t len)
{
    const struct timeval limit = {.tv_sec = BB_CTL_TIMEOUT_S};
    client->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return -errno;
    (void)setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(client->fd, address, len) == 0)
        return 0;
    int error = -errno;
    bb_ctl_client_close(client);
    return error;
}

int bb_ctl_client_open_unix(struct bb_ctl_client *client, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *client = (struct bb_ctl_client){.fd = -1, .host = "localhost"};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    return start(client, AF_UNIX, &address, sizeof(address));
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

int bb_ctl_client_open_url(struct bb_ctl_client *client, const char *url, const char **ret_why)
{
    char host[BB_CTL_HOST_MAX - 16], port[BB_CTL_HOST_MAX - 16];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list;
    *client = (struct bb_ctl_client){.fd = -1};
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
        error = start(client, at->ai_family, at->ai_addr, at->ai_addrlen);
        if (error == 0)
            break;
    }
    freeaddrinfo(list);
    const char *form = strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s";
    int len = form[0] == '[' ? snprintf(client->host, sizeof(client->host), "[%s]:%s", host, port)
                             : snprintf(client->host, sizeof(client->host), "%s:%s", host, port);
    BB_ASSERT(len > 0 && (size_t)len < sizeof(client->host));
    if (error != 0)
        *ret_why = strerror(-error);
    return error == 0 ? 0 : -1;
}

/* A token goes into a header field: printable characters without blanks. */
static bool token_is_plain(const char *token)
{
    for (; *token != '\0'; token++)
        if (*token <= ' ' || *token > '~')
            return false;
    return true;
}

int bb_ctl_client_take_token(struct bb_ctl_client *client, const char *path, const char **ret_why)
{
    char line[BB_CTL_TOKEN_MAX + 2] = "";
    struct stat stat;
    FILE *file = fopen(path, "re");
    if (file == NULL || fstat(fileno(file), &stat) != 0) {
        *ret_why = strerror(errno);
        if (file != NULL)
            (void)fclose(file);
        return -1;
    }
    bool open = (stat.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    bool some = fgets(line, sizeof(line), file) != NULL;
    (void)fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    if (S_ISREG(stat.st_mode) && open) {
        *ret_why = "others may read it, type chmod 600";
        return -1;
    }
    if (!some || line[0] == '\0' || strlen(line) > BB_CTL_TOKEN_MAX || !token_is_plain(line)) {
        *ret_why = "its first line is no token";
        return -1;
    }
    memcpy(client->token, line, strlen(line) + 1);
    return 0;
}

static int send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        data += sent;
        len -= (size_t)sent;
    }
    return 0;
}

static int append(struct bb_ctl_reply *reply, size_t *capacity, const char *data, size_t len)
{
    if (reply->len + len > BB_CTL_BODY_MAX)
        return -EFBIG;
    if (reply->len + len + 1 > *capacity) {
        size_t wanted = bb_max_u64(2 * *capacity, reply->len + len + PIECE_SIZE);
        char *body = realloc(reply->body, wanted);
        if (body == NULL)
            return -ENOMEM;
        reply->body = body;
        *capacity = wanted;
    }
    if (len > 0)
        memcpy(reply->body + reply->len, data, len);
    reply->len += len;
    reply->body[reply->len] = '\0';
    return 0;
}

static int receive(int fd, struct bb_ctl_reply *reply)
{
    struct bb_reply parser;
    size_t capacity = 0;
    char piece[4096];
    bb_reply_begin(&parser, false);
    int error = append(reply, &capacity, NULL, 0);
    while (error == 0 && parser.state != BB_REPLY_DONE) {
        ssize_t got = recv(fd, piece, sizeof(piece), 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ECONNRESET;
        const char *body;
        size_t body_len;
        size_t used = bb_reply_feed(&parser, piece, (size_t)got, &body, &body_len);
        if (parser.state == BB_REPLY_BAD || used < (size_t)got)
            return -EPROTO;
        error = append(reply, &capacity, body, body_len);
    }
    reply->status = parser.status;
    return error;
}

int bb_ctl_client_get(struct bb_ctl_client *client, const char *target,
                      struct bb_ctl_reply *ret_reply)
{
    char request[REQUEST_MAX];
    BB_ASSERT(client->fd >= 0);
    int len =
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", target,
                 client->host, client->token[0] != '\0' ? "Authorization: Bearer " : "",
                 client->token, client->token[0] != '\0' ? "\r\n" : "");
    BB_ASSERT(len > 0 && (size_t)len < sizeof(request));
    struct bb_ctl_reply reply = {.status = 0};
    int error = send_all(client->fd, request, (size_t)len);
    if (error == 0 || error == -EPIPE) /* it may have answered before it closed */
        error = receive(client->fd, &reply);
    if (error != 0) {
        free(reply.body);
        return error;
    }
    *ret_reply = reply;
    return 0;
}

void bb_ctl_client_close(struct bb_ctl_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}
