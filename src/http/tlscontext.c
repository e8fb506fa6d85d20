/* SPDX-License-Identifier: Apache-2.0
 * From files to a context: what every session of a listener starts from. Main thread, at the start
 * and at each reload.
 *
 * Sessions are not resumed: without tickets there is no key that outlives a connection and that
 * would have to be kept and turned over, and connections here are few and long. With that, nothing
 * can be sent early either, which could be replayed.
 */
#include "bb/tls.h"
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* With forward secrecy and authenticated encryption only. AES with 128 bits first: the longer key
 * costs a quarter more and nobody breaks the shorter one. */
#define CIPHERS_1_2 "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

struct answer {
    char *sentence;
    size_t size;
};

static bool refuse(const struct answer *answer, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool refuse(const struct answer *answer, const char *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = snprintf(answer->sentence, answer->size, "%.255s: ", path);
    if (len > 0 && (size_t)len < answer->size)
        (void)vsnprintf(answer->sentence + len, answer->size - (size_t)len, format, arguments);
    va_end(arguments);
    ERR_clear_error();
    return false;
}

static const char *openssl_reason(void)
{
    unsigned long error = ERR_peek_last_error();
    if (ERR_SYSTEM_ERROR(error))
        return strerror(ERR_GET_REASON(error));
    const char *reason = ERR_reason_error_string(error);
    return reason != NULL ? reason : "not to be read";
}

/* OpenSSL opens these by name, and would wait for the writer of a FIFO. */
static bool is_file(const struct answer *answer, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return refuse(answer, path, "%s", strerror(errno));
    bool ok = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    (void)close(fd);
    return ok || refuse(answer, path, "not a file");
}

static int no_passphrase(char *buf, int size, int writing, void *context)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static bool take_certificate(SSL_CTX *context, const struct answer *answer, const char *path,
                             bool expired_too)
{
    if (!is_file(answer, path))
        return false;
    if (SSL_CTX_use_certificate_chain_file(context, path) != 1)
        return refuse(answer, path, "no certificate in PEM form: %s", openssl_reason());
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    if (!expired_too && X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        return refuse(answer, path, "the certificate has expired, get a new one");
    return true;
}

static bool take_key(SSL_CTX *context, const struct answer *answer,
                     const struct bb_tls_files *files)
{
    char reason[BB_SECRET_SENTENCE_MAX];
    int fd;
    if (!bb_secret_open(files->key, &fd, reason, sizeof(reason)))
        return refuse(answer, files->key, "%s", reason);
    BIO *bio = BIO_new_fd(fd, BIO_CLOSE);
    if (bio == NULL) {
        (void)close(fd);
        return refuse(answer, files->key, "no memory");
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    (void)BIO_free(bio);
    if (key == NULL)
        return refuse(answer, files->key, "no key in PEM form without a passphrase: %s",
                      openssl_reason());
    bool fits = SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    return fits || refuse(answer, files->key, "not the key of the certificate in %.255s: %s",
                          files->certificate, openssl_reason());
}

static bool take_client_ca(SSL_CTX *context, const struct answer *answer, const char *path)
{
    if (!is_file(answer, path))
        return false;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (names == NULL || SSL_CTX_load_verify_file(context, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return refuse(answer, path, "no certificates in PEM form: %s", openssl_reason());
    }
    SSL_CTX_set_client_CA_list(context, names); /* which it frees */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return true;
}

static int choose_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                           const unsigned char *offered, unsigned offered_len, void *context)
{
    static const char wanted[] = "http/1.1";
    (void)ssl;
    (void)context;
    for (unsigned at = 0; at < offered_len; at += offered[at] + 1u) {
        if (offered[at] == sizeof(wanted) - 1 && at + sizeof(wanted) <= offered_len &&
            memcmp(offered + at + 1, wanted, sizeof(wanted) - 1) == 0) {
            *ret_name = offered + at + 1;
            *ret_len = sizeof(wanted) - 1;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2: no_application_protocol */
}

static bool set_rules(SSL_CTX *context)
{
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                           SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(context, BB_TLS_CHAIN_MAX);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_num_tickets(context, 0) == 1 &&
           SSL_CTX_set_max_early_data(context, 0) == 1 &&
           SSL_CTX_set_ciphersuites(context, CIPHERS_1_3) == 1 &&
           SSL_CTX_set_cipher_list(context, CIPHERS_1_2) == 1;
}

bool bb_tls_context_open(const struct bb_tls_files *files, struct ssl_ctx_st **ret_context,
                         char *ret_sentence, size_t size)
{
    const struct answer answer = {ret_sentence, size};
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || !set_rules(context)) {
        SSL_CTX_free(context);
        return refuse(&answer, "tls", "%s", openssl_reason());
    }
    if (take_certificate(context, &answer, files->certificate, files->expired_too) &&
        take_key(context, &answer, files) &&
        (files->client_ca == NULL || take_client_ca(context, &answer, files->client_ca))) {
        *ret_context = context;
        return true;
    }
    SSL_CTX_free(context);
    return false;
}

void bb_tls_context_close(struct ssl_ctx_st *context)
{
    SSL_CTX_free(context);
}

int64_t bb_tls_context_expires(const struct ssl_ctx_st *context)
{
    struct tm end;
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    BB_ASSERT(certificate != NULL);
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1)
        return 0;
    return timegm(&end);
}
