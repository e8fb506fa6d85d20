/* SPDX-License-Identifier: Apache-2.0
 * TLS 1.2 and 1.3 of a client, by OpenSSL, on a blocking socket. The certificate of the other side
 * is always verified, and that it is for the name or address that was asked for.
 */
#ifndef BB_CTL_TLS_H
#define BB_CTL_TLS_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>

struct ssl_st;

/* Before the first session and before there are threads, for a certificate authority of one's own:
 * certificates are verified by this file (PEM) instead of by those of the system. 0 or -1. */
BB_MUST_USE int bb_ctl_tls_trust(const char *ca_file);
/* At the same time, for servers that want a certificate: that, and its key (PEM). 0 or -1. */
BB_MUST_USE int bb_ctl_tls_present(const char *certificate_file, const char *key_file);

/* Handshake on a connected socket, which stays the caller's. 0 or -1, *ret_why is a static text
 * then. SIGPIPE is ignored from the first one on. */
BB_MUST_USE int bb_ctl_tls_open(int fd, const char *host, struct ssl_st **ret_session,
                                const char **ret_why);
/* As bb_ctl_link_send and bb_ctl_link_receive. */
BB_MUST_USE int bb_ctl_tls_send(struct ssl_st *session, const void *data, size_t len);
BB_MUST_USE int bb_ctl_tls_receive(struct ssl_st *session, void *data, size_t len, size_t *ret_len);
/* NULL is allowed. */
void bb_ctl_tls_close(struct ssl_st *session);

#endif
