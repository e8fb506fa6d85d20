/* SPDX-License-Identifier: Apache-2.0
 * One HTTP connection to the store under test; blocking. Belongs to one thread.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_PORT 10001
#define CLIENT_WAIT_S 90 /* without a byte of a reply for so long the store hangs */
#define CLIENT_REPLY_MAX ((1u << 20) + (64u << 10))

enum client_error {
    CLIENT_REFUSED = -1, /* nobody listens */
    CLIENT_LOST = -2,    /* the connection ended before the whole reply was here */
    CLIENT_HANGS = -3,   /* CLIENT_WAIT_S passed */
    CLIENT_STRANGE = -4  /* that is no HTTP */
};

struct client {
    int fd; /* -1: not connected */
    const uint8_t *body;
    size_t body_size;
    uint8_t reply[CLIENT_REPLY_MAX];
};

void client_init(struct client *client);
/* Connects if it must, sends the request and reads the whole reply, whose body stays valid until
 * the next call. Returns the HTTP status, or an error after which the outcome is unknown, except
 * that nothing was sent after CLIENT_REFUSED. */
int client_request(struct client *client, const char *method, const char *path, const void *body,
                   size_t body_size);
void client_close(struct client *client);

#endif
