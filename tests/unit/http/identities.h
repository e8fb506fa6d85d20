/* SPDX-License-Identifier: Apache-2.0
 * Certificates for the tests of TLS, made when they begin: a server, an authority, clients of its
 * and of nobody's. Included once per test program.
 */
#ifndef HTTP_IDENTITIES_H
#define HTTP_IDENTITIES_H

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char folder[] = "/tmp/bb-tls-XXXXXX";

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
    char key_path[64], certificate_path[64];
};

static struct identity server, authority, good_client, stranger, expired;

static inline void make(struct identity *self, const char *name, const struct identity *issuer,
                        long until)
{
    self->key = EVP_EC_gen("P-256");
    self->certificate = X509_new();
    assert_non_null(self->key);
    assert_int_equal(X509_set_version(self->certificate, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(self->certificate), 1 + until % 100),
                     1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(self->certificate), -100000));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(self->certificate), until));
    assert_int_equal(X509_set_pubkey(self->certificate, self->key), 1);
    X509_NAME *subject = X509_get_subject_name(self->certificate);
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    if (issuer == self) { /* an authority */
        X509_EXTENSION *extension =
            X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
        assert_int_equal(X509_add_ext(self->certificate, extension, -1), 1);
        X509_EXTENSION_free(extension);
    }
    assert_int_equal(
        X509_set_issuer_name(self->certificate, X509_get_subject_name(issuer->certificate)), 1);
    assert_true(X509_sign(self->certificate, issuer->key, EVP_sha256()) > 0);

    (void)snprintf(self->key_path, sizeof(self->key_path), "%s/%s.key", folder, name);
    (void)snprintf(self->certificate_path, sizeof(self->certificate_path), "%s/%s.crt", folder,
                   name);
    FILE *file = fopen(self->key_path, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, self->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(self->key_path, 0600), 0);
    file = fopen(self->certificate_path, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, self->certificate), 1);
    assert_int_equal(fclose(file), 0);
}

static inline int make_all(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    make(&server, "server", &server, 100000);
    make(&authority, "authority", &authority, 100000);
    make(&good_client, "good-client", &authority, 100000);
    make(&stranger, "stranger", &stranger, 100000);
    make(&expired, "expired", &expired, -10);
    return 0;
}

static inline int remove_all(void **state)
{
    (void)state;
    struct identity *all[] = {&server, &authority, &good_client, &stranger, &expired};
    for (size_t i = 0; i < 5; i++) {
        (void)unlink(all[i]->key_path);
        (void)unlink(all[i]->certificate_path);
        EVP_PKEY_free(all[i]->key);
        X509_free(all[i]->certificate);
    }
    return rmdir(folder);
}

#endif
