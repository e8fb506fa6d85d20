/* SPDX-License-Identifier: Apache-2.0
 * A blocking HTTP client for one request after the other on one connection, over a unix socket or
 * TCP. The reply is read by bbbench's parser, which accepts what our daemon sends and nothing else.
 * One thread.
 */
#ifndef BB_CTL_CLIENT_H
#define BB_CTL_CLIENT_H

#include "bb/assert.h"

#include <stddef.h>

#define BB_CTL_HOST_MAX 256
#define BB_CTL_TOKEN_MAX 256
#define BB_CTL_BODY_MAX ((size_t)4 << 20)
#define BB_CTL_TIMEOUT_S 60

struct bb_ctl_client {
    int fd;
    char host[BB_CTL_HOST_MAX];       /* value of the Host field */
    char token[BB_CTL_TOKEN_MAX + 1]; /* empty: none */
};

struct bb_ctl_reply {
    unsigned status;
    size_t len;
    char *body; /* terminated; of the caller, who frees it */
};

/* Connects to a unix socket; 0 or -errno. */
BB_MUST_USE int bb_ctl_client_open_unix(struct bb_ctl_client *client, const char *path);
/* http://HOST[:PORT][/]; names are resolved. 0 or -1, *ret_why is a static text then. */
BB_MUST_USE int bb_ctl_client_open_url(struct bb_ctl_client *client, const char *url,
                                       const char **ret_why);
/* Takes the token from the first line of a file that nobody but its owner can read. 0 or -1. */
BB_MUST_USE int bb_ctl_client_take_token(struct bb_ctl_client *client, const char *path,
                                         const char **ret_why);
/* GET of a target; 0, or -errno: no whole reply came. */
BB_MUST_USE int bb_ctl_client_get(struct bb_ctl_client *client, const char *target,
                                  struct bb_ctl_reply *ret_reply);
void bb_ctl_client_close(struct bb_ctl_client *client);

#endif
