/* SPDX-License-Identifier: Apache-2.0
 * Listening sockets: ADDR:PORT as people write it, whether it is loopback, the socket. Start-up
 * only; names are not resolved.
 */
#ifndef BB_LISTEN_H
#define BB_LISTEN_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define BB_LISTENER_MAX 16
#define BB_LISTENER_NAME_MAX 72

struct bb_listener {
    struct sockaddr_storage address;
    socklen_t address_len;
    bool loopback;
    int fd;                          /* -1 until open */
    char name[BB_LISTENER_NAME_MAX]; /* "127.0.0.1:10001", with the real port once open */
};

/* "127.0.0.1:10001", "[::1]:10001", "0.0.0.0:80". False, ret_listener untouched, for anything else.
 */
BB_MUST_USE bool bb_listener_parse(const char *text, struct bb_listener *ret_listener);

/* Opens the socket and listens. 0 or -errno. */
BB_MUST_USE int bb_listener_open(struct bb_listener *listener);
void bb_listener_close(struct bb_listener *listener);

#endif
