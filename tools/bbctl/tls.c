/* SPDX-License-Identifier: Apache-2.0
 * OpenSSL's client side; tls.h says what for. One context serves all sessions of the process and is
 * never freed; a session belongs to one thread.
 */
#include "bbctl/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>

static pthread_once_t once = PTHREAD_ONCE_INIT, trust_once = PTHREAD_ONCE_INIT;
static SSL_CTX *context;
static bool system_trusted; /* the system's authorities are in the context */
static bool own_trusted;    /* instead of them, those of a file */

static void make_context(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}

static void trust_system(void)
{
    if (!own_trusted)
        system_trusted = SSL_CTX_set_default_verify_paths(context) == 1;
}

/* The context; NULL: no memory. */
static SSL_CTX *get_context(void)
{
    (void)pthread_once(&once, make_context);
    return context;
}

int bb_ctl_tls_trust(const char *ca_file)
{
    if (get_context() == NULL)
        return -1;
    BB_ASSERT(!system_trusted);
    own_trusted = SSL_CTX_load_verify_file(context, ca_file) == 1;
    return own_trusted ? 0 : -1;
}

int bb_ctl_tls_present(const char *certificate_file, const char *key_file)
{
    bool good = get_context() != NULL &&
                SSL_CTX_use_certificate_chain_file(context, certificate_file) == 1 &&
                SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) == 1 &&
                SSL_CTX_check_private_key(context) == 1;
    return good ? 0 : -1;
}

/* The certificate must be for this name, or, when it is one, for this address. */
static bool expect_host(SSL *session, const char *host)
{
    struct in6_addr address;
    bool numeric =
        inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    if (numeric)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1;
    SSL_set_hostflags(session, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(session, host) == 1 && SSL_set_tlsext_host_name(session, host) == 1;
}

static const char *reason(const SSL *session)
{
    long verdict = SSL_get_verify_result(session);
    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    unsigned long error = ERR_peek_last_error();
    if (ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER)
        return "what answers speaks no TLS";
    const char *text = error != 0 ? ERR_reason_error_string(error) : NULL;
    return text != NULL ? text : "the TLS handshake broke off: is TLS spoken there?";
}

int bb_ctl_tls_open(int fd, const char *host, SSL **ret_session, const char **ret_why)
{
    *ret_why = "no memory for TLS, or no certificate authorities";
    if (get_context() == NULL)
        return -1;
    (void)pthread_once(&trust_once, trust_system);
    if (!system_trusted && !own_trusted)
        return -1;
    SSL *session = SSL_new(context);
    if (session == NULL)
        return -1;
    ERR_clear_error();
    if (!expect_host(session, host) || SSL_set_fd(session, fd) != 1) {
        SSL_free(session);
        return -1;
    }
    if (SSL_connect(session) != 1) {
        *ret_why = reason(session);
        SSL_free(session);
        return -1;
    }
    *ret_session = session;
    return 0;
}

/* What a call that gave `result` failed with: 0: call it again. */
static int failure(SSL *session, int result)
{
    switch (SSL_get_error(session, result)) {
    case SSL_ERROR_WANT_READ: /* a signal, or the limit on waiting */
    case SSL_ERROR_WANT_WRITE:
        return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : 0;
    case SSL_ERROR_ZERO_RETURN:
        return -ECONNRESET;
    case SSL_ERROR_SYSCALL:
        return errno != 0 ? -errno : -ECONNRESET;
    default: /* an alert, or a stream that is none */
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)
            return -ENOKEY;
        return -ECONNRESET;
    }
}

int bb_ctl_tls_send(SSL *session, const void *data, size_t len)
{
    size_t sent = 0;
    while (len > 0) {
        ERR_clear_error();
        errno = 0;
        int result = SSL_write_ex(session, data, len, &sent); /* all of it or nothing yet */
        if (result == 1) {
            BB_ASSERT(sent == len);
            return 0;
        }
        int error = failure(session, result);
        if (error != 0)
            return error;
    }
    return 0;
}

int bb_ctl_tls_receive(SSL *session, void *data, size_t len, size_t *ret_len)
{
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int result = SSL_read_ex(session, data, len, ret_len);
        if (result == 1)
            return 0;
        int error = failure(session, result);
        if (error != 0)
            return error;
    }
}

void bb_ctl_tls_close(SSL *session)
{
    SSL_free(session); /* without a goodbye: each reply says how long it is */
}
