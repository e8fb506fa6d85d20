/* SPDX-License-Identifier: Apache-2.0
 * OpenSSL on a socket that does not wait. It reads ahead: one call takes what has arrived, not the
 * five bytes that a record begins with. */
#include "bbbench/wire.h"

#include "bb/bits.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#define RECORD_MAX 16384u
#define READ_AHEAD ((size_t)128 << 10)

struct ssl_ctx_st *bb_wire_context(const char *ca, bool insecure, const char **ret_reason)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    *ret_reason = "no memory";
    if (context == NULL)
        return NULL;
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
    int known = ca != NULL ? SSL_CTX_load_verify_file(context, ca)
                           : SSL_CTX_set_default_verify_paths(context);
    if (known == 1) {
        SSL_CTX_set_verify(context, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
        return context;
    }
    *ret_reason = bb_wire_reason();
    SSL_CTX_free(context);
    return NULL;
}

void bb_wire_context_close(struct ssl_ctx_st *context)
{
    SSL_CTX_free(context);
}

/* The name or address that the certificate must be for. */
static bool expect_host(SSL *wire, const char *host)
{
    char name[256];
    bool bracketed = host[0] == '[';
    const char *start = host + bracketed;
    size_t len = strcspn(start, bracketed ? "]" : ":");
    if (len >= sizeof(name))
        return false;
    memcpy(name, start, len);
    name[len] = '\0';
    X509_VERIFY_PARAM *rules = SSL_get0_param(wire);
    if (X509_VERIFY_PARAM_set1_ip_asc(rules, name) == 1)
        return true;
    return SSL_set1_host(wire, name) == 1 && SSL_set_tlsext_host_name(wire, name) == 1;
}

struct ssl_st *bb_wire_open(struct ssl_ctx_st *context, int fd, const char *host)
{
    SSL *wire = SSL_new(context);
    if (wire == NULL)
        return NULL;
    if (SSL_set_fd(wire, fd) != 1 || !expect_host(wire, host)) {
        SSL_free(wire);
        return NULL;
    }
    SSL_set_connect_state(wire);
    return wire;
}

void bb_wire_close(struct ssl_st *wire)
{
    SSL_free(wire);
}

/* Sets errno for a call that gave nothing; 0 at the end of the stream, else -1. */
static int failure(SSL *wire, int result)
{
    switch (SSL_get_error(wire, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = EPROTO;
        return -1;
    }
}

int bb_wire_shake_hands(struct ssl_st *wire)
{
    ERR_clear_error();
    int result = SSL_do_handshake(wire);
    if (result == 1)
        return 0;
    if (failure(wire, result) == 0)
        errno = EPROTO;
    return -1;
}

ssize_t bb_wire_send(struct ssl_st *wire, const struct iovec *parts, int count)
{
    char record[RECORD_MAX];
    const void *data = parts[0].iov_base;
    size_t len = bb_min_u64(parts[0].iov_len, sizeof(record));
    size_t written = 0;
    BB_ASSERT(count == 1 || count == 2);
    if (count == 2 && len < sizeof(record)) {
        size_t more = bb_min_u64(parts[1].iov_len, sizeof(record) - len);
        memcpy(record, data, len);
        memcpy(record + len, parts[1].iov_base, more);
        data = record;
        len += more;
    }
    ERR_clear_error();
    int result = SSL_write_ex(wire, data, len, &written);
    if (result == 1)
        return (ssize_t)written;
    if (failure(wire, result) == 0)
        errno = EPIPE;
    return -1;
}

ssize_t bb_wire_receive(struct ssl_st *wire, void *buf, size_t size)
{
    size_t got = 0;
    ERR_clear_error();
    int result = SSL_read_ex(wire, buf, size, &got);
    return result == 1 ? (ssize_t)got : failure(wire, result);
}

const char *bb_wire_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason != NULL ? reason : "not a server with TLS";
}
