/* SPDX-License-Identifier: Apache-2.0
 * What the kernel knows about the other end of a connection. Internal to the server.
 */
#ifndef BB_HTTP_PEER_H
#define BB_HTTP_PEER_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that the peer has acknowledged since the connection began; 0 when unknown. This is what a
 * slow reader has really taken, while a send is complete or not begun as far as the ring knows. */
uint64_t bb_peer_acked(int fd);

/* Of a unix socket: whether root or this process's own user is at the other end. */
bool bb_peer_trusted(int fd);

#endif
