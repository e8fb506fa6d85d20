/* SPDX-License-Identifier: Apache-2.0
 * The server under load: http://127.0.0.1:PORT, http://[::1]:PORT or http://localhost:PORT (which
 * is 127.0.0.1). Any other IP literal works too; names are not resolved. The same with https.
 */
#ifndef BB_BENCH_TARGET_H
#define BB_BENCH_TARGET_H

#include "bb/assert.h"

#include <stdbool.h>
#include <sys/socket.h>

#define BB_TARGET_HOST_MAX 64

struct bb_target {
    struct sockaddr_storage address;
    socklen_t address_len;
    bool secure;                   /* https */
    char host[BB_TARGET_HOST_MAX]; /* value of the Host field, terminated */
};

/* Returns false, ret_target untouched, for anything but the forms above (a trailing '/' is allowed;
 * the port defaults to 80 or 443). */
BB_MUST_USE bool bb_target_parse(const char *url, struct bb_target *ret_target);

/* Starts a non-blocking connection. Returns the descriptor, which becomes writable when the
 * connection stands or has failed, or -errno. */
BB_MUST_USE int bb_target_connect(const struct bb_target *target);

#endif
