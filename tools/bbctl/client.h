/* SPDX-License-Identifier: Apache-2.0
 * A blocking HTTP client for one request after the other on one connection. The reply is read by
 * bbbench's parser, which accepts what our daemon sends and nothing else. One thread.
 */
#ifndef BB_CTL_CLIENT_H
#define BB_CTL_CLIENT_H

#include "bbctl/link.h"

#define BB_CTL_TOKEN_MAX 256
#define BB_CTL_BODY_MAX ((size_t)4 << 20)

struct bb_ctl_client {
    struct bb_ctl_link link;
    char token[BB_CTL_TOKEN_MAX + 1]; /* empty: none */
};

struct bb_ctl_request {
    const char *method, *target;
    const void *body; /* NULL: none */
    size_t body_len;
};

/* Begins as {0}; the same one may take the replies to many requests. */
struct bb_ctl_reply {
    unsigned status;
    bool close; /* the daemon closes the connection */
    size_t len;
    char *body; /* terminated; of the caller, who frees it */
    size_t capacity;
};

/* Connects to a unix socket, without a token; 0 or -errno. */
BB_MUST_USE int bb_ctl_client_open_unix(struct bb_ctl_client *client, const char *path);
/* As bb_ctl_link_open_url, without a token. */
BB_MUST_USE int bb_ctl_client_open_url(struct bb_ctl_client *client, const char *url,
                                       const char **ret_why);
/* Takes the token from the first line of a file that nobody but its owner can read. 0 or -1. */
BB_MUST_USE int bb_ctl_client_take_token(struct bb_ctl_client *client, const char *path,
                                         const char **ret_why);
/* Sends a request and waits for the reply; 0, or -errno: no whole reply came, the connection is of
 * no more use and reply->status is 0. */
BB_MUST_USE int bb_ctl_client_ask(struct bb_ctl_client *client,
                                  const struct bb_ctl_request *request, struct bb_ctl_reply *reply);
/* GET of a target into a fresh reply; -errno as above, there is nothing to free then. */
BB_MUST_USE int bb_ctl_client_get(struct bb_ctl_client *client, const char *target,
                                  struct bb_ctl_reply *ret_reply);
void bb_ctl_client_close(struct bb_ctl_client *client);

#endif
