/* SPDX-License-Identifier: Apache-2.0
 * A session: OpenSSL between two buffers. Its BIO is ours, because the one of OpenSSL for memory
 * grows as long as somebody fills it.
 *
 *   socket -> in -> BIO read -> OpenSSL -> where the machine wants it
 *   socket <- out <- BIO write <- OpenSSL <- head and body of a reply
 *
 * OpenSSL keeps a record that is not whole yet itself, and repeats a write that did not fit.
 */
#include "bb/tls.h"

#include "bb/bits.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>

/* ---- the BIO ---- */

static BIO_METHOD *method;

static int bio_read(BIO *bio, char *data, size_t size, size_t *ret_size)
{
    struct bb_tls *tls = BIO_get_data(bio);
    size_t len = bb_min_u64(size, tls->in_len - tls->in_used);
    BIO_clear_retry_flags(bio);
    if (len == 0) {
        if (!tls->ended)
            BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(data, tls->in + tls->in_used, len);
    tls->in_used += len;
    *ret_size = len;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *ret_size)
{
    struct bb_tls *tls = BIO_get_data(bio);
    size_t len = bb_min_u64(size, BB_TLS_OUT_SIZE - tls->out_len);
    BIO_clear_retry_flags(bio);
    if (len == 0) {
        BIO_set_retry_write(bio);
        return 0;
    }
    memcpy(tls->out + tls->out_len, data, len);
    tls->out_len += len;
    *ret_size = len;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    const struct bb_tls *tls = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH: /* whoever owns the session sends */
        return 1;
    case BIO_CTRL_EOF:
        return tls->ended && tls->in_used == tls->in_len;
    default:
        return 0;
    }
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "two buffers");
    if (method == NULL)
        return;
    (void)BIO_meth_set_read_ex(method, bio_read);
    (void)BIO_meth_set_write_ex(method, bio_write);
    (void)BIO_meth_set_ctrl(method, bio_control);
}

static BIO *open_bio(struct bb_tls *tls)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_method);
    BIO *bio = method != NULL ? BIO_new(method) : NULL;
    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    return bio;
}

/* ---- begin and end ---- */

void bb_tls_init(struct bb_tls *tls, uint8_t *in, uint8_t *out)
{
    *tls = (struct bb_tls){.in = in, .out = out};
}

int bb_tls_begin(struct bb_tls *tls, struct ssl_ctx_st *context)
{
    BB_ASSERT(tls->ssl == NULL);
    BB_ASSERT(tls->in != NULL && tls->out != NULL);
    bb_tls_init(tls, tls->in, tls->out);
    BIO *bio = open_bio(tls);
    tls->ssl = bio != NULL ? SSL_new(context) : NULL;
    if (tls->ssl == NULL) {
        (void)BIO_free(bio);
        ERR_clear_error();
        return -ENOMEM;
    }
    SSL_set_bio(tls->ssl, bio, bio); /* which it frees */
    SSL_set_accept_state(tls->ssl);
    return 0;
}

void bb_tls_end(struct bb_tls *tls)
{
    BB_ASSERT(tls->ssl != NULL);
    SSL_free(tls->ssl);
    tls->ssl = NULL;
}

/* ---- ciphertext ---- */

size_t bb_tls_room(struct bb_tls *tls, uint8_t **ret_at)
{
    BB_ASSERT(!tls->ended);
    if (tls->in_used == tls->in_len)
        tls->in_used = tls->in_len = 0;
    BB_ASSERT(tls->in_len < BB_TLS_IN_SIZE);
    *ret_at = tls->in + tls->in_len;
    return BB_TLS_IN_SIZE - tls->in_len;
}

void bb_tls_received(struct bb_tls *tls, size_t size)
{
    BB_ASSERT(size <= BB_TLS_IN_SIZE - tls->in_len);
    tls->in_len += size;
    tls->ended = size == 0;
    if (!SSL_is_init_finished(tls->ssl)) {
        tls->handshake += size;
        tls->broken = tls->broken || tls->handshake > BB_TLS_HANDSHAKE_MAX;
    }
}

size_t bb_tls_unsent(struct bb_tls *tls, uint8_t **ret_at)
{
    BB_ASSERT(tls->out_sent <= tls->out_len);
    *ret_at = tls->out + tls->out_sent;
    return tls->out_len - tls->out_sent;
}

void bb_tls_sent(struct bb_tls *tls, size_t size)
{
    BB_ASSERT(size <= tls->out_len - tls->out_sent);
    tls->out_sent += size;
    if (tls->out_sent == tls->out_len)
        tls->out_sent = tls->out_len = 0;
}

/* ---- plaintext ---- */

/* What a call of OpenSSL that gave nothing means. */
static int why_not(struct bb_tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        /* the end of the stream is no reason to wait for more of it */
        return tls->ended && tls->in_used == tls->in_len ? 0 : -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        tls->broken = true;
        return tls->ended ? 0 : -EPROTO;
    default:
        /* a peer that went without close_notify has gone like any other: lengths tell what was cut
         */
        tls->broken = true;
        return ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING
                   ? 0
                   : -EPROTO;
    }
}

int bb_tls_read(struct bb_tls *tls, void *buf, size_t size)
{
    size_t total = 0;
    BB_ASSERT(tls->ssl != NULL);
    BB_ASSERT(size > 0 && size <= INT32_MAX);
    if (tls->broken)
        return -EPROTO;
    ERR_clear_error();
    while (total < size) {
        size_t got = 0;
        int result = SSL_read_ex(tls->ssl, (uint8_t *)buf + total, size - total, &got);
        if (result == 1) {
            total += got;
            continue;
        }
        if (total > 0) /* whatever it is, it will be said again */
            break;
        return why_not(tls, result);
    }
    return (int)total;
}

int bb_tls_write(struct bb_tls *tls, const void *data, size_t size)
{
    size_t written = 0;
    BB_ASSERT(tls->ssl != NULL);
    BB_ASSERT(size > 0);
    if (tls->broken)
        return -EPROTO;
    ERR_clear_error();
    int result = SSL_write_ex(tls->ssl, data, bb_min_u64(size, BB_TLS_RECORD_MAX), &written);
    if (result == 1)
        return (int)written;
    int reason = why_not(tls, result);
    return reason == 0 ? -EPROTO : reason;
}

void bb_tls_say_end(struct bb_tls *tls)
{
    ERR_clear_error();
    if (!tls->broken && SSL_is_init_finished(tls->ssl) &&
        (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) == 0)
        (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

/* ---- looking ---- */

bool bb_tls_is_drained(const struct bb_tls *tls)
{
    return !tls->broken && !tls->ended && tls->in_used == tls->in_len &&
           SSL_has_pending(tls->ssl) == 0;
}

bool bb_tls_is_plain(const struct bb_tls *tls)
{
    /* a method, where the type of a record is below 32 */
    return tls->in_used < tls->in_len && tls->in[tls->in_used] >= 'A' &&
           tls->in[tls->in_used] <= 'Z';
}

bool bb_tls_is_up(const struct bb_tls *tls)
{
    return SSL_is_init_finished(tls->ssl) != 0;
}

const char *bb_tls_version(const struct bb_tls *tls)
{
    return SSL_get_version(tls->ssl);
}

char *bb_tls_subject(const struct bb_tls *tls, char *ret, size_t size)
{
    BB_ASSERT(size > 0 && size <= INT32_MAX);
    const X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    ret[0] = '\0';
    if (certificate != NULL)
        (void)X509_NAME_oneline(X509_get_subject_name(certificate), ret, (int)size);
    ret[size - 1] = '\0';
    return ret;
}

const char *bb_tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason != NULL ? reason : "the connection has ended";
}
