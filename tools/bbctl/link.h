/* SPDX-License-Identifier: Apache-2.0
 * One byte stream to a daemon, over a unix socket or TCP, with or without TLS. Blocking, with a
 * limit on how long it waits for the other side. One thread.
 */
#ifndef BB_CTL_LINK_H
#define BB_CTL_LINK_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>

#define BB_CTL_HOST_MAX 256
#define BB_CTL_TIMEOUT_S 60

struct bb_ctl_link {
    int fd;                     /* -1: closed */
    struct ssl_st *tls;         /* NULL: none */
    char host[BB_CTL_HOST_MAX]; /* value of the Host field */
};

/* Connects to a unix socket; 0 or -errno. */
BB_MUST_USE int bb_ctl_link_open_unix(struct bb_ctl_link *link, const char *path);
/* True for what open_url takes: http:// or https://, whatever is behind. */
BB_MUST_USE bool bb_ctl_link_is_url(const char *text);
/* http://HOST[:PORT][/] or https:; names are resolved. 0 or -1, *ret_why is a static text then. */
BB_MUST_USE int bb_ctl_link_open_url(struct bb_ctl_link *link, const char *url,
                                     const char **ret_why);
/* Sends all of it; 0 or -errno. more: further bytes of the same request follow at once. */
BB_MUST_USE int bb_ctl_link_send(struct bb_ctl_link *link, const void *data, size_t len, bool more);
/* Waits for bytes and takes up to len: 0 or -errno, -ECONNRESET at the end of the stream. */
BB_MUST_USE int bb_ctl_link_receive(struct bb_ctl_link *link, void *data, size_t len,
                                    size_t *ret_len);
void bb_ctl_link_close(struct bb_ctl_link *link);

#endif
