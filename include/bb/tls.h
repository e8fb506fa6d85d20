/* SPDX-License-Identifier: Apache-2.0
 * TLS 1.2 and 1.3 by OpenSSL, without a socket: ciphertext goes in and out through two buffers of
 * fixed size, and whoever owns the session moves it. Nothing here blocks or waits.
 *
 * A context is what all sessions of a listener have in common: certificate, key, rules. It may be
 * used by any thread; a session keeps the one it began with, however often that is replaced. No
 * renegotiation, no session tickets, no early data, no compression; ALPN knows http/1.1 only.
 *
 * Owner of a session: one thread. OpenSSL allocates within its layer, at most BB_TLS_OPENSSL_SIZE
 * for each session (tests/e2e/tls measures it).
 */
#ifndef BB_TLS_H
#define BB_TLS_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BB_TLS_RECORD_MAX 16384u /* plaintext of a record (RFC 8446 5.1) */
/* A whole record and something small before or behind it. Any size works; small ones are slow. */
#define BB_TLS_IN_SIZE (20u << 10)
#define BB_TLS_OUT_SIZE (20u << 10)
/* What OpenSSL allocates for a session, in the worst moment of a handshake with certificates. */
#define BB_TLS_OPENSSL_SIZE (64u << 10)
/* What a connection costs on top of one without TLS. */
#define BB_TLS_COST (BB_TLS_IN_SIZE + BB_TLS_OUT_SIZE + BB_TLS_OPENSSL_SIZE + 512u)
#define BB_TLS_CHAIN_MAX (32u << 10) /* bytes of certificates that a client may present */
/* Bytes that a client may send before the handshake is through. OpenSSL would take a hello of 128
 * KiB.
 */
#define BB_TLS_HANDSHAKE_MAX (BB_TLS_CHAIN_MAX + (16u << 10))
#define BB_TLS_SUBJECT_MAX 100u

struct ssl_st;
struct ssl_ctx_st;

/* ---- context ---- */

struct bb_tls_files {
    const char *certificate; /* PEM: the server's, then those between it and the root */
    const char *key;         /* PEM, without a passphrase; nobody else may read it */
    const char *client_ca;   /* PEM; NULL: clients need no certificate */
    bool expired_too;        /* a certificate that has ended is better than none */
};

/* Reads the files. False with a sentence that names file and reason. The context is freed when its
 * last session and whoever opened it have closed it. */
BB_MUST_USE bool bb_tls_context_open(const struct bb_tls_files *files,
                                     struct ssl_ctx_st **ret_context, char *ret_sentence,
                                     size_t size);
void bb_tls_context_close(struct ssl_ctx_st *context); /* NULL is allowed */
/* When its certificate ends to be valid, in seconds since 1970. */
int64_t bb_tls_context_expires(const struct ssl_ctx_st *context);

/* ---- session ---- */

struct bb_tls {
    struct ssl_st *ssl;       /* NULL: not in use */
    uint8_t *in, *out;        /* BB_TLS_IN_SIZE and BB_TLS_OUT_SIZE */
    size_t in_used, in_len;   /* received and not decrypted: in[in_used..in_len) */
    size_t out_sent, out_len; /* to be sent: out[out_sent..out_len) */
    size_t handshake;         /* bytes received before it was through */
    bool ended;               /* the peer sends nothing more */
    bool broken;              /* an error that nothing comes after but an alert */
};

/* Start-up: a session without buffers is given them. */
void bb_tls_init(struct bb_tls *tls, uint8_t *in, uint8_t *out);
/* Begins to serve a client. 0 or -ENOMEM. */
BB_MUST_USE int bb_tls_begin(struct bb_tls *tls, struct ssl_ctx_st *context);
void bb_tls_end(struct bb_tls *tls);

/* Where ciphertext is received, once a read or write has said -EAGAIN and nothing is unsent. */
size_t bb_tls_room(struct bb_tls *tls, uint8_t **ret_at);
void bb_tls_received(struct bb_tls *tls, size_t size); /* 0: the peer has finished */
/* Ciphertext that is to be sent; 0 bytes: none. */
size_t bb_tls_unsent(struct bb_tls *tls, uint8_t **ret_at);
void bb_tls_sent(struct bb_tls *tls, size_t size);

/* Plaintext, as much as is there and fits. Bytes; 0: the peer has finished; -EAGAIN: send what is
 * unsent, receive more, try again; -EPROTO: broken, send what is unsent (an alert) and close. The
 * handshake runs inside. */
BB_MUST_USE int bb_tls_read(struct bb_tls *tls, void *buf, size_t size);
/* Encrypts a part of the bytes, at most a record. How many; -EAGAIN: send first, then try again
 * with the same bytes; -EPROTO as above. */
BB_MUST_USE int bb_tls_write(struct bb_tls *tls, const void *data, size_t size);
/* Says that nothing more is sent (close_notify), where that can be said. */
void bb_tls_say_end(struct bb_tls *tls);

/* Whether nothing that was received waits to be read. */
bool bb_tls_is_drained(const struct bb_tls *tls);
/* Whether what came first looks like a request without TLS. */
bool bb_tls_is_plain(const struct bb_tls *tls);
/* Whether the handshake is through. */
bool bb_tls_is_up(const struct bb_tls *tls);
/* "TLSv1.3". */
const char *bb_tls_version(const struct bb_tls *tls);
/* The subject of the client's certificate in one line, without what does not fit; empty without
 * one. Returns ret. */
char *bb_tls_subject(const struct bb_tls *tls, char *ret, size_t size);
/* Why it is broken: a static text. */
const char *bb_tls_reason(void);

#endif
