/* SPDX-License-Identifier: Apache-2.0
 * Asking and reading; client.h says what for. Owner: the calling thread.
 */
#include "bbctl/client.h"

#include "bb/bits.h"
#include "bbbench/reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEAD_MAX 2048
#define PIECE_SIZE 4096

int bb_ctl_client_open_unix(struct bb_ctl_client *client, const char *path)
{
    client->token[0] = '\0';
    return bb_ctl_link_open_unix(&client->link, path);
}

int bb_ctl_client_open_url(struct bb_ctl_client *client, const char *url, const char **ret_why)
{
    client->token[0] = '\0';
    return bb_ctl_link_open_url(&client->link, url, ret_why);
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

/* Room for `more` bytes and the terminator. */
static int reserve(struct bb_ctl_reply *reply, uint64_t more)
{
    if (more > BB_CTL_BODY_MAX - reply->len)
        return -EFBIG;
    size_t wanted = reply->len + (size_t)more + 1;
    if (wanted <= reply->capacity)
        return 0;
    char *body = realloc(reply->body, wanted);
    if (body == NULL)
        return -ENOMEM;
    reply->body = body;
    reply->capacity = wanted;
    return 0;
}

/* The head and what came with it. */
static int receive_head(struct bb_ctl_link *link, struct bb_reply *parser,
                        struct bb_ctl_reply *reply)
{
    char piece[PIECE_SIZE];
    while (parser->state == BB_REPLY_HEAD) {
        const char *body;
        size_t body_len, got;
        int error = bb_ctl_link_receive(link, piece, sizeof(piece), &got);
        if (error != 0)
            return error;
        size_t used = bb_reply_feed(parser, piece, got, &body, &body_len);
        if (parser->state == BB_REPLY_BAD || used < got)
            return -EPROTO;
        if (parser->state == BB_REPLY_HEAD)
            continue;
        error = reserve(reply, body_len + parser->body_left);
        if (error != 0)
            return error;
        if (body_len > 0)
            memcpy(reply->body, body, body_len);
        reply->len = body_len;
    }
    return 0;
}

static int receive(struct bb_ctl_link *link, bool bodiless, struct bb_ctl_reply *reply)
{
    struct bb_reply parser;
    bb_reply_begin(&parser, bodiless);
    int error = receive_head(link, &parser, reply);
    while (error == 0 && parser.state == BB_REPLY_BODY) {
        size_t got;
        error = bb_ctl_link_receive(link, reply->body + reply->len, parser.body_left, &got);
        if (error != 0)
            break;
        reply->len += got;
        bb_reply_skip(&parser, got);
    }
    if (error != 0)
        return error;
    reply->body[reply->len] = '\0';
    reply->status = parser.status;
    reply->close = parser.close;
    return 0;
}

int bb_ctl_client_ask(struct bb_ctl_client *client, const struct bb_ctl_request *request,
                      struct bb_ctl_reply *reply)
{
    char head[HEAD_MAX], length[40] = "";
    bool token = client->token[0] != '\0';
    if (request->body != NULL)
        (void)snprintf(length, sizeof(length), "Content-Length: %zu\r\n", request->body_len);
    int len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s%s%s\r\n",
                       request->method, request->target, client->link.host, length,
                       token ? "Authorization: Bearer " : "", client->token, token ? "\r\n" : "");
    BB_ASSERT(len > 0 && (size_t)len < sizeof(head));
    reply->status = 0;
    reply->len = 0;
    int error = bb_ctl_link_send(&client->link, head, (size_t)len, request->body_len > 0);
    if (error == 0 && request->body_len > 0)
        error = bb_ctl_link_send(&client->link, request->body, request->body_len, false);
    if (error != 0 && error != -EPIPE && error != -ECONNRESET)
        return error; /* else it may have answered before it closed */
    return receive(&client->link, strcmp(request->method, "HEAD") == 0, reply);
}

int bb_ctl_client_get(struct bb_ctl_client *client, const char *target,
                      struct bb_ctl_reply *ret_reply)
{
    const struct bb_ctl_request request = {.method = "GET", .target = target};
    struct bb_ctl_reply reply = {.status = 0};
    int error = bb_ctl_client_ask(client, &request, &reply);
    if (error != 0) {
        free(reply.body);
        return error;
    }
    *ret_reply = reply;
    return 0;
}

void bb_ctl_client_close(struct bb_ctl_client *client)
{
    bb_ctl_link_close(&client->link);
}
