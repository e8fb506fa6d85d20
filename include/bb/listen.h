/* SPDX-License-Identifier: Apache-2.0
 * Listening sockets: ADDR:PORT or unix:PATH as people write it, whether it is loopback, the socket;
 * made here or inherited from systemd. Start-up only; names are not resolved.
 */
#ifndef BB_LISTEN_H
#define BB_LISTEN_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define BB_LISTENER_MAX 34 /* 16 of each kind, the socket of bbctl, and one of systemd's */
#define BB_LISTENER_NAME_MAX 120

struct bb_listener {
    struct sockaddr_storage address;
    socklen_t address_len;
    bool loopback;                   /* nobody on another machine gets here; unix sockets too */
    bool local;                      /* a unix socket: the kernel says who is at the other end */
    bool tls;                        /* speaks TLS */
    bool inherited;                  /* its path is somebody else's to remove */
    int fd;                          /* -1 until open */
    char name[BB_LISTENER_NAME_MAX]; /* "127.0.0.1:10001", with the real port once open */
};

/* "127.0.0.1:10001", "[::1]:10001", "0.0.0.0:80", "unix:/run/x.sock". False, ret_listener
 * untouched, for anything else. */
BB_MUST_USE bool bb_listener_parse(const char *text, struct bb_listener *ret_listener);

/* Opens the socket and listens. A unix socket is for its owner and group; one that nobody listens
 * on any more is replaced. 0 or -errno. */
BB_MUST_USE int bb_listener_open(struct bb_listener *listener);

/* Sockets that systemd passed to this process (sd_listen_fds(3)): how many, from descriptor
 * BB_LISTEN_FIRST on. Takes the variables out of the environment. */
#define BB_LISTEN_FIRST 3
unsigned bb_listen_inherited(void);
/* Takes one over, if it is a listening stream socket; else -ENOTSOCK or -errno. */
BB_MUST_USE int bb_listener_adopt(int fd, struct bb_listener *ret_listener);
/* Whether both are the same address. */
bool bb_listener_equal(const struct bb_listener *a, const struct bb_listener *b);

/* Removes the path of a unix socket that was made here. */
void bb_listener_close(struct bb_listener *listener);

#endif
