/* SPDX-License-Identifier: Apache-2.0
 * TLS on a connection of the load, non-blocking. Results are those of send(2) and recv(2): bytes, 0
 * at the end, -1 with errno, EAGAIN when the socket has to be waited for.
 */
#ifndef BB_BENCH_WIRE_H
#define BB_BENCH_WIRE_H

#include "bb/assert.h"

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

struct ssl_st;
struct ssl_ctx_st;

/* What the connections of a run share. ca: a file of certificates to trust, NULL: those of the
 * system; `insecure`: whatever the server shows. NULL with *ret_reason, a static text. */
struct ssl_ctx_st *bb_wire_context(const char *ca, bool insecure, const char **ret_reason);
void bb_wire_context_close(struct ssl_ctx_st *context); /* NULL is allowed */

/* host: as in the Host field. NULL when there is no memory. */
struct ssl_st *bb_wire_open(struct ssl_ctx_st *context, int fd, const char *host);
void bb_wire_close(struct ssl_st *wire); /* NULL is allowed */
/* 0 when the handshake is through; -1 with errno, EAGAIN or EPROTO. */
BB_MUST_USE int bb_wire_shake_hands(struct ssl_st *wire);
/* The parts become one record, as far as they fit. After EAGAIN the same again. */
BB_MUST_USE ssize_t bb_wire_send(struct ssl_st *wire, const struct iovec *parts, int count);
BB_MUST_USE ssize_t bb_wire_receive(struct ssl_st *wire, void *buf, size_t size);
/* "certificate verify failed": of the last failure in this thread. */
const char *bb_wire_reason(void);

#endif
