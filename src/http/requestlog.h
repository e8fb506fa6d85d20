/* SPDX-License-Identifier: Apache-2.0
 * The log of requests: one in so many, and those that took long with where their time went.
 * Internal to the server.
 *
 *   request method=PUT path=/block status=201 in=5 out=65 us=523 peer=127.0.0.1:4711 as=anybody
 *   slow request method=... receive_us=1000123 commit_us=400 send_us=20
 *
 * The keys stay. A path has no query, and there is never a field or a byte of a body in it; `as` is
 * the name of the token. Status 0: the client went before it was answered.
 */
#ifndef BB_HTTP_REQUESTLOG_H
#define BB_HTTP_REQUESTLOG_H

#include "bb/conn.h"

/* The request has ended after so many microseconds. */
void bb_request_log(struct bb_conn *conn, uint64_t took_us);

#endif
