/* SPDX-License-Identifier: Apache-2.0
 * One operation of the ring at a time. On a plain socket bytes go between the kernel and where they
 * are needed, without a copy of ours.
 */
#include "socket.h"

#include "bb/worker.h"
#include "tlsconn.h"

#include <sys/socket.h>
#include <unistd.h>

void bb_conn_receive(struct bb_conn *conn, void *buf, size_t size)
{
    BB_ASSERT(!conn->socket_busy);
    BB_ASSERT(size > 0);
    conn->socket_busy = true;
    if (conn->tls != NULL)
        bb_tlsconn_receive(conn, buf, size);
    else
        bb_ring_recv(conn->worker->ring, conn->fd, buf, size, &conn->event);
}

void bb_socket_send(struct bb_conn *conn)
{
    BB_ASSERT(!conn->socket_busy);
    conn->socket_busy = true;
    if (conn->tls != NULL)
        bb_tlsconn_send(conn);
    else
        bb_ring_send(conn->worker->ring, conn->fd, &conn->message, &conn->event);
}

void bb_socket_cancel(struct bb_conn *conn)
{
    BB_ASSERT(conn->socket_busy);
    if (conn->tls != NULL)
        bb_tlsconn_cancel(conn);
    else
        bb_ring_cancel(conn->worker->ring, &conn->event);
}

static void done(struct bb_event *event, int result, bool more)
{
    struct bb_conn *conn = BB_CONTAINER(event, struct bb_conn, event);
    BB_ASSERT(conn->socket_busy);
    BB_ASSERT(!more);
    conn->socket_busy = false;
    if (result > 0)
        conn->moved += (uint64_t)result;
    bb_conn_step(conn, result);
}

void bb_socket_open(struct bb_conn *conn, int fd)
{
    conn->fd = fd;
    conn->event.done = conn->tls != NULL ? bb_tlsconn_done : done;
}

void bb_socket_bare(struct bb_conn *conn)
{
    BB_ASSERT(!conn->socket_busy);
    if (conn->tls != NULL)
        bb_tlsconn_detach(conn);
    conn->event.done = done;
}

bool bb_socket_shut(struct bb_conn *conn)
{
    bb_socket_bare(conn);
    return shutdown(conn->fd, SHUT_WR) == 0;
}

void bb_socket_close(struct bb_conn *conn)
{
    bb_socket_bare(conn);
    if (conn->reset) {
        const struct linger hard = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    }
    (void)close(conn->fd);
    conn->fd = -1;
}
