/* SPDX-License-Identifier: Apache-2.0
 * Requests and replies over a socket (client.h).
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

void client_init(struct client *client)
{
    client->fd = -1;
}

void client_close(struct client *client)
{
    if (client->fd >= 0)
        (void)close(client->fd);
    client->fd = -1;
}

static int fail(struct client *client, int error)
{
    client_close(client);
    return error;
}

static int connect_to_store(struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(CLIENT_PORT),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = CLIENT_WAIT_S};
    int one = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return CLIENT_REFUSED;
    (void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    (void)setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    if (connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return fail(client, CLIENT_REFUSED);
    return 0;
}

static int send_all(struct client *client, const void *data, size_t size, int flags)
{
    for (size_t done = 0; done < size;) {
        ssize_t sent =
            send(client->fd, (const uint8_t *)data + done, size - done, MSG_NOSIGNAL | flags);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? CLIENT_HANGS : CLIENT_LOST;
        done += (size_t)sent;
    }
    return 0;
}

/* Reads until the buffer holds `size` bytes, or, with size 0, a whole head. */
static int receive(struct client *client, size_t *len, size_t size)
{
    while (size == 0 ? memmem(client->reply, *len, "\r\n\r\n", 4) == NULL : *len < size) {
        size_t room = sizeof(client->reply) - 1 - *len;
        if (room == 0)
            return CLIENT_STRANGE;
        ssize_t got = recv(client->fd, client->reply + *len, room, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return CLIENT_HANGS;
        if (got <= 0)
            return CLIENT_LOST;
        *len += (size_t)got;
    }
    return 0;
}

static int read_reply(struct client *client)
{
    size_t len = 0;
    int status, error = receive(client, &len, 0);
    if (error != 0)
        return error;
    uint8_t *head_end = memmem(client->reply, len, "\r\n\r\n", 4);
    head_end[2] = '\0';
    const char *head = (const char *)client->reply;
    const char *length = strcasestr(head, "\r\nContent-Length: ");
    if (sscanf(head, "HTTP/1.1 %d ", &status) != 1)
        return CLIENT_STRANGE;
    client->body = head_end + 4;
    client->body_size =
        length != NULL ? strtoul(length + strlen("\r\nContent-Length: "), NULL, 10) : 0;
    bool last = strcasestr(head, "\r\nConnection: close") != NULL;
    size_t head_size = (size_t)(client->body - client->reply);
    if (client->body_size > sizeof(client->reply) - 1 - head_size)
        return CLIENT_STRANGE;
    error = receive(client, &len, head_size + client->body_size);
    if (error != 0)
        return error;
    if (last)
        client_close(client);
    return status;
}

int client_request(struct client *client, const char *method, const char *path, const void *body,
                   size_t body_size)
{
    char head[512];
    int error = client->fd < 0 ? connect_to_store(client) : 0;
    if (error != 0)
        return error;
    int len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path);
    if (body != NULL)
        len +=
            snprintf(head + len, sizeof(head) - (size_t)len, "Content-Length: %zu\r\n", body_size);
    len += snprintf(head + len, sizeof(head) - (size_t)len, "\r\n");
    error = send_all(client, head, (size_t)len, body_size > 0 ? MSG_MORE : 0);
    if (error == 0 && body_size > 0)
        error = send_all(client, body, body_size, 0);
    int status = error == 0 ? read_reply(client) : error;
    return status < 0 ? fail(client, status) : status;
}
