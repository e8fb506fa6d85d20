/* SPDX-License-Identifier: Apache-2.0
 * The socket of a connection, plain or with TLS between. Internal to the server.
 */
#ifndef BB_HTTP_SOCKET_H
#define BB_HTTP_SOCKET_H

#include "bb/conn.h"

/* Sends conn->message; the machine is stepped with how many bytes of it are gone. */
void bb_socket_send(struct bb_conn *conn);
/* Asks for the end of what is pending; the machine is stepped with -ECANCELED or its result. */
void bb_socket_cancel(struct bb_conn *conn);
/* Who is called when an operation on the ring is done. */
void bb_socket_open(struct bb_conn *conn, int fd);
/* From here on the socket is plain. */
void bb_socket_bare(struct bb_conn *conn);
/* Closes our half; what the client still sends is received as it comes. False: it has gone. */
BB_MUST_USE bool bb_socket_shut(struct bb_conn *conn);
void bb_socket_close(struct bb_conn *conn);

#endif
