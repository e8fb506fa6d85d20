/* SPDX-License-Identifier: Apache-2.0
 * TLS between a connection and its socket: the machine of conn.c asks for plaintext and sends
 * plaintext, as on a plain socket. Internal to the server; owner: the worker.
 */
#ifndef BB_HTTP_TLSCONN_H
#define BB_HTTP_TLSCONN_H

#include "bb/conn.h"
#include "bb/tls.h"

struct bb_tls_link;
struct bb_tls_pool;

/* Start-up: sessions for `count` connections and a few that are being ended. */
BB_MUST_USE int bb_tlsconn_open_pool(unsigned count, struct bb_tls_pool **ret_pool);
void bb_tlsconn_close_pool(struct bb_tls_pool *pool); /* NULL is allowed */

/* For a newcomer: where all sessions are in use, the slowest connection that has one is ended.
 * False when none is free yet. */
BB_MUST_USE bool bb_tlsconn_make_room(struct bb_worker *worker);
/* Keeps a newcomer until a session is free. False: too many wait already. */
BB_MUST_USE bool bb_tlsconn_wait(struct bb_tls_pool *pool, int fd,
                                 const struct bb_listener *listener);
/* The next of them; `any`: whether a session is free or not. False when there is none. */
BB_MUST_USE bool bb_tlsconn_next(struct bb_tls_pool *pool, bool any, int *ret_fd,
                                 const struct bb_listener **ret_listener);
/* Gives a connection one of the free sessions. False without memory. */
BB_MUST_USE bool bb_tlsconn_attach(struct bb_conn *conn);
/* Says that nothing more is sent, if that can be sent at once, and takes the session away: what the
 * connection does from then on it does on the plain socket. */
void bb_tlsconn_detach(struct bb_conn *conn);

/* As their namesakes of the ring; conn->event.done is bb_tlsconn_done, the machine is stepped with
 * plain bytes. */
void bb_tlsconn_receive(struct bb_conn *conn, void *buf, size_t size);
void bb_tlsconn_send(struct bb_conn *conn);
void bb_tlsconn_cancel(struct bb_conn *conn);
void bb_tlsconn_done(struct bb_event *event, int result, bool more);

/* " tls=TLSv1.3 subject=\"/CN=backup\"" for a line about a request, empty without TLS. Returns ret.
 */
char *bb_tlsconn_text(const struct bb_conn *conn, char *ret, size_t size);
/* Steps the connections for which something was there already. */
void bb_tlsconn_turn(struct bb_tls_pool *pool);
/* Whether the next turn has something to do at once. */
bool bb_tlsconn_has_work(const struct bb_worker *worker);

/* ---- what the machine does about it (conn.c) ---- */

/* The session is broken, an alert was sent: reads what the client still sends, then closes. */
void bb_conn_broken(struct bb_conn *conn);
/* What came is HTTP without TLS. */
void bb_conn_not_tls(struct bb_conn *conn);

#endif
