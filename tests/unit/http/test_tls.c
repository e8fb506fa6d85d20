/* SPDX-License-Identifier: Apache-2.0
 * Sessions against a client of OpenSSL in the same thread: whatever way the ciphertext is cut, the
 * plaintext is the same, and what is not allowed is refused. */
#include "bb/tls.h"

#include "bb/bits.h"
#include "bb/random.h"

#include "../base/unit.h"
#include "identities.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#define REQUEST_SIZE 40000u
#define REPLY_SIZE 100000u
#define SENTENCE 512

static struct bb_random random_state;

static int set_up(void **state)
{
    unit_seed(&random_state);
    return make_all(state);
}

/* ---- a client and a session, with two wires between ---- */

struct pair {
    SSL_CTX *client_context;
    SSL *client;
    struct ssl_ctx_st *context;
    struct bb_tls tls;
    uint8_t in[BB_TLS_IN_SIZE], out[BB_TLS_OUT_SIZE];
    size_t cut;    /* bytes carried at a time at most; 0: any number */
    bool finished; /* the client's wire is cut */
};

static struct pair pair;

static struct ssl_ctx_st *open_context(const char *client_ca)
{
    const struct bb_tls_files files = {server.certificate_path, server.key_path, client_ca, false};
    struct ssl_ctx_st *context = NULL;
    char sentence[SENTENCE] = "";
    if (!bb_tls_context_open(&files, &context, sentence, sizeof(sentence)))
        fail_msg("%s", sentence);
    return context;
}

static void open_pair(int version, size_t cut, const char *client_ca,
                      const struct identity *identity)
{
    memset(&pair, 0, sizeof(pair));
    pair.cut = cut;
    pair.context = open_context(client_ca);
    bb_tls_init(&pair.tls, pair.in, pair.out);
    assert_int_equal(bb_tls_begin(&pair.tls, pair.context), 0);
    pair.client_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(pair.client_context, 0);
    (void)SSL_CTX_set_min_proto_version(pair.client_context, version);
    (void)SSL_CTX_set_max_proto_version(pair.client_context, version);
    if (identity != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(pair.client_context, identity->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(pair.client_context, identity->key), 1);
    }
    pair.client = SSL_new(pair.client_context);
    SSL_set_bio(pair.client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(pair.client);
}

static void close_pair(void)
{
    SSL_free(pair.client);
    SSL_CTX_free(pair.client_context);
    bb_tls_end(&pair.tls);
    bb_tls_context_close(pair.context);
}

static size_t some(size_t available)
{
    if (pair.cut > 0)
        return bb_min_u64(pair.cut, available);
    return available == 0 ? 0 : 1 + bb_random_below(&random_state, available);
}

/* Carries what the session sends. */
static void carry_out(void)
{
    uint8_t *at;
    size_t size;
    while ((size = some(bb_tls_unsent(&pair.tls, &at))) > 0) {
        assert_int_equal(BIO_write(SSL_get_rbio(pair.client), at, (int)size), (int)size);
        bb_tls_sent(&pair.tls, size);
    }
}

/* Carries one piece to the session; false when there was none. */
static bool carry_in(void)
{
    uint8_t *at;
    size_t room = bb_tls_room(&pair.tls, &at);
    size_t size = some(bb_min_u64(room, BIO_pending(SSL_get_wbio(pair.client))));
    if (size == 0 && !pair.finished)
        return false;
    if (size > 0)
        assert_int_equal(BIO_read(SSL_get_wbio(pair.client), at, (int)size), (int)size);
    bb_tls_received(&pair.tls, size);
    return true;
}

/* Reads as a worker would; -EAGAIN when the client has to do something first. */
static int session_read(void *buf, size_t size)
{
    for (;;) {
        int result = bb_tls_read(&pair.tls, buf, size);
        carry_out();
        if (result != -EAGAIN || !carry_in())
            return result;
    }
}

static void session_write(const uint8_t *data, size_t size)
{
    while (size > 0) {
        int result = bb_tls_write(&pair.tls, data, size);
        if (result == -EAGAIN) {
            carry_out();
            continue;
        }
        assert_true(result > 0);
        assert_true((size_t)result <= size);
        data += result;
        size -= (size_t)result;
    }
    carry_out();
}

/* Both go on until the client is through or one of them has failed. */
static int shake_hands(void)
{
    uint8_t byte;
    for (int turn = 0; turn < 20; turn++) {
        int done = SSL_do_handshake(pair.client);
        int result = session_read(&byte, 1);
        if (result != -EAGAIN)
            return result;
        if (done == 1 && bb_tls_is_up(&pair.tls))
            return 0;
    }
    return -EAGAIN;
}

/* ---- conversations ---- */

static uint8_t request[REQUEST_SIZE], reply[REPLY_SIZE], got[REPLY_SIZE];

static void converse(int version, size_t cut)
{
    open_pair(version, cut, NULL, NULL);
    assert_int_equal(shake_hands(), 0);
    assert_string_equal(bb_tls_version(&pair.tls), SSL_get_version(pair.client));
    for (size_t i = 0; i < REPLY_SIZE; i++)
        reply[i] = (uint8_t)bb_random_below(&random_state, 256);
    memcpy(request, reply + 1, REQUEST_SIZE);

    assert_int_equal(SSL_write(pair.client, request, REQUEST_SIZE), REQUEST_SIZE);
    for (size_t len = 0; len < REQUEST_SIZE;) {
        size_t size = bb_min_u64(1 + bb_random_below(&random_state, 20000), REQUEST_SIZE - len);
        int result = session_read(got + len, size);
        assert_true(result > 0);
        len += (size_t)result;
    }
    assert_memory_equal(got, request, REQUEST_SIZE);
    assert_int_equal(session_read(got, 1), -EAGAIN);

    session_write(reply, 300); /* a head */
    session_write(reply + 300, REPLY_SIZE - 300);
    for (size_t len = 0; len < REPLY_SIZE;) {
        int result = SSL_read(pair.client, got + len, (int)(REPLY_SIZE - len));
        assert_true(result > 0);
        len += (size_t)result;
    }
    assert_memory_equal(got, reply, REPLY_SIZE);
    assert_false(SSL_SESSION_is_resumable(SSL_get0_session(pair.client)));

    assert_int_equal(SSL_shutdown(pair.client), 0);
    assert_int_equal(session_read(got, 1), 0);
    bb_tls_say_end(&pair.tls);
    carry_out();
    assert_int_equal(SSL_shutdown(pair.client), 1);
    close_pair();
}

static void plaintext_does_not_depend_on_how_ciphertext_was_cut(void **state)
{
    (void)state;
    static const size_t cuts[] = {1, 2, 5, 0, 0, 0, 1000000};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        converse(TLS1_2_VERSION, cuts[i]);
        converse(TLS1_3_VERSION, cuts[i]);
    }
}

/* One cut at each place of all that the client sends for a handshake and a small request. */
static void any_single_cut_is_waited_out(void **state)
{
    (void)state;
    static const char text[] = "GET /livez HTTP/1.1";
    for (size_t at = 1, last = 1; at <= last; at++) {
        open_pair(at % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION, 1000000, NULL, NULL);
        size_t sent = 0;
        int len = -EAGAIN;
        for (int turn = 0; turn < 20 && len == -EAGAIN; turn++) {
            if (SSL_do_handshake(pair.client) == 1 && SSL_pending(pair.client) == 0)
                (void)SSL_write(pair.client, text, turn < 19 ? sizeof(text) : 1);
            size_t waiting = BIO_pending(SSL_get_wbio(pair.client));
            bool here = sent < at && at < sent + waiting;
            pair.cut = here ? at - sent : 1000000;
            sent += waiting;
            if (here) { /* the piece before the cut, alone */
                assert_true(carry_in());
                len = bb_tls_read(&pair.tls, got, sizeof(got));
                assert_true(len == -EAGAIN || len > 0);
                carry_out();
                pair.cut = 1000000;
                if (len > 0)
                    break;
            }
            len = session_read(got, sizeof(got));
        }
        assert_true(len >= (int)sizeof(text));
        assert_memory_equal(got, text, sizeof(text));
        last = bb_max_u64(last, bb_min_u64(sent, 400));
        close_pair();
    }
}

static void a_client_that_goes_without_a_word_has_ended(void **state)
{
    (void)state;
    open_pair(TLS1_3_VERSION, 0, NULL, NULL);
    assert_int_equal(shake_hands(), 0);
    assert_int_equal(SSL_write(pair.client, "abc", 3), 3);
    pair.finished = true;
    assert_int_equal(session_read(got, 3), 3);
    assert_int_equal(session_read(got, 1), 0);
    close_pair();

    open_pair(TLS1_3_VERSION, 0, NULL, NULL);
    (void)SSL_do_handshake(pair.client);
    pair.finished = true; /* in the middle of the handshake */
    assert_int_equal(session_read(got, 1), 0);
    assert_false(bb_tls_is_up(&pair.tls));
    close_pair();
}

/* ---- what is refused ---- */

/* The session is broken and says so to the client. */
static void expect_broken(int result)
{
    assert_int_equal(result, -EPROTO);
    assert_int_equal(bb_tls_read(&pair.tls, got, 1), -EPROTO);
    assert_int_equal(bb_tls_write(&pair.tls, got, 1), -EPROTO);
    assert_true(strlen(bb_tls_reason()) > 0);
    assert_true(BIO_pending(SSL_get_rbio(pair.client)) > 0);
}

static void garbage_is_answered_with_an_alert(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        uint8_t *at;
        open_pair(TLS1_3_VERSION, 1000000, NULL, NULL);
        size_t room = bb_tls_room(&pair.tls, &at);
        for (size_t j = 0; j < room; j++)
            at[j] = (uint8_t)bb_random_below(&random_state, 256);
        at[0] = 22; /* claims to be a handshake, */
        at[1] = 3;  /* of TLS 1.0 or later, */
        at[2] = (uint8_t)(1 + i % 3);
        at[5] |= 2; /* but is no ClientHello */
        bb_tls_received(&pair.tls, room);
        assert_false(bb_tls_is_plain(&pair.tls));
        expect_broken(session_read(got, 1));
        close_pair();
    }
}

/* A ClientHello that says it has 100,000 bytes, and sends them. */
static void a_handshake_without_end_is_cut_off(void **state)
{
    (void)state;
    static const uint8_t start[] = {22, 3, 1, 0x40, 0, 1, 1, 0x86, 0xa0, 3, 3};
    static const uint8_t next[] = {22, 3, 1, 0x40, 0};
    uint8_t *at;
    size_t sent = 0;
    int result = -EAGAIN;
    open_pair(TLS1_3_VERSION, 1000000, NULL, NULL);
    for (; result == -EAGAIN && sent < 100000; sent += 5 + 0x4000) {
        assert_true(bb_tls_room(&pair.tls, &at) >= 5 + 0x4000);
        memset(at, 0, 5 + 0x4000);
        memcpy(at, sent == 0 ? start : next, sent == 0 ? sizeof(start) : sizeof(next));
        bb_tls_received(&pair.tls, 5 + 0x4000);
        result = bb_tls_read(&pair.tls, got, 1);
    }
    assert_int_equal(result, -EPROTO);
    assert_true(sent < 70000);
    close_pair();
}

static void a_changed_byte_is_found(void **state)
{
    (void)state;
    uint8_t *at;
    open_pair(TLS1_3_VERSION, 1000000, NULL, NULL);
    assert_int_equal(shake_hands(), 0);
    assert_int_equal(SSL_write(pair.client, "abc", 3), 3);
    (void)bb_tls_room(&pair.tls, &at);
    int size = BIO_read(SSL_get_wbio(pair.client), at, BB_TLS_IN_SIZE);
    assert_true(size > 5 + 3);
    at[7] ^= 1;
    bb_tls_received(&pair.tls, (size_t)size);
    expect_broken(session_read(got, 3));
    close_pair();
}

static void a_request_without_tls_is_known_by_its_first_byte(void **state)
{
    (void)state;
    uint8_t *at;
    open_pair(TLS1_3_VERSION, 1000000, NULL, NULL);
    (void)bb_tls_room(&pair.tls, &at);
    memcpy(at, "GET / HTTP/1.1\r\n\r\n", 18);
    bb_tls_received(&pair.tls, 18);
    assert_true(bb_tls_is_plain(&pair.tls));
    close_pair();
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (int i = 0; i < 2; i++) {
        open_pair(versions[i], 1000000, NULL, NULL);
        (void)SSL_CTX_set_cipher_list(pair.client_context, "ALL:@SECLEVEL=0");
        (void)SSL_set_cipher_list(pair.client, "ALL:@SECLEVEL=0");
        expect_broken(shake_hands());
        close_pair();
    }
}

static void renegotiation_is_refused_and_the_conversation_goes_on(void **state)
{
    (void)state;
    open_pair(TLS1_2_VERSION, 1000000, NULL, NULL);
    assert_int_equal(shake_hands(), 0);
    assert_int_equal(SSL_renegotiate(pair.client), 1);
    (void)SSL_do_handshake(pair.client);
    assert_int_equal(session_read(got, 1), -EAGAIN);
    assert_int_equal(SSL_do_handshake(pair.client), -1); /* it was told no */
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
    session_write((const uint8_t *)"abc", 3);
    close_pair();
}

static void only_http_1_1_is_agreed_on(void **state)
{
    (void)state;
    const unsigned char *chosen = NULL;
    unsigned len = 0;
    open_pair(TLS1_3_VERSION, 0, NULL, NULL);
    assert_int_equal(SSL_set_alpn_protos(pair.client, (const uint8_t *)"\2h2\10http/1.1", 12), 0);
    assert_int_equal(shake_hands(), 0);
    SSL_get0_alpn_selected(pair.client, &chosen, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(chosen, "http/1.1", 8);
    close_pair();

    open_pair(TLS1_3_VERSION, 1000000, NULL, NULL);
    assert_int_equal(SSL_set_alpn_protos(pair.client, (const uint8_t *)"\2h2", 3), 0);
    expect_broken(shake_hands());
    close_pair();
}

/* ---- certificates of clients ---- */

static void clients_need_a_certificate_by_the_right_authority(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    char subject[BB_TLS_SUBJECT_MAX];
    for (int i = 0; i < 2; i++) {
        open_pair(versions[i], 1000000, authority.certificate_path, &good_client);
        assert_int_equal(shake_hands(), 0);
        assert_string_equal(bb_tls_subject(&pair.tls, subject, sizeof(subject)), "/CN=good-client");
        assert_string_equal(bb_tls_subject(&pair.tls, subject, 8), ""); /* no half names */
        close_pair();

        open_pair(versions[i], 1000000, authority.certificate_path, NULL);
        expect_broken(shake_hands());
        close_pair();

        open_pair(versions[i], 1000000, authority.certificate_path, &stranger);
        expect_broken(shake_hands());
        close_pair();

        open_pair(versions[i], 1000000, NULL, &stranger); /* nobody asks for it */
        assert_int_equal(shake_hands(), 0);
        assert_string_equal(bb_tls_subject(&pair.tls, subject, sizeof(subject)), "");
        close_pair();
    }
}

static void a_session_keeps_its_certificate_when_the_context_is_replaced(void **state)
{
    (void)state;
    open_pair(TLS1_3_VERSION, 0, NULL, NULL);
    bb_tls_context_close(pair.context); /* as a reload does */
    pair.context = NULL;
    assert_int_equal(shake_hands(), 0);
    X509 *seen = SSL_get1_peer_certificate(pair.client);
    assert_int_equal(X509_cmp(seen, server.certificate), 0);
    X509_free(seen);
    close_pair();
}

/* ---- files ---- */

static void refused(const char *certificate, const char *key, const char *ca, const char *path,
                    const char *words)
{
    const struct bb_tls_files files = {certificate, key, ca, false};
    struct ssl_ctx_st *context = NULL;
    char sentence[SENTENCE] = "";
    assert_false(bb_tls_context_open(&files, &context, sentence, sizeof(sentence)));
    assert_null(context);
    if (strncmp(sentence, path, strlen(path)) != 0 || strstr(sentence, words) == NULL)
        fail_msg("\"%s\" is not \"%s: ... %s\"", sentence, path, words);
}

static void each_wrong_file_is_named_with_its_fault(void **state)
{
    (void)state;
    const char *const certificate = server.certificate_path;
    const char *const key = server.key_path;
    char locked[80];
    refused("/nonexistent", key, NULL, "/nonexistent", "No such file");
    refused(certificate, "/nonexistent", NULL, "/nonexistent", "No such file");
    refused(certificate, key, "/nonexistent", "/nonexistent", "No such file");
    refused("/tmp", key, NULL, "/tmp", "not a file");
    refused(certificate, "/tmp", NULL, "/tmp", "not a file");
    refused(key, key, NULL, key, "no certificate in PEM form");
    refused(certificate, key, key, key, "no certificates in PEM form");
    refused(certificate, stranger.key_path, NULL, stranger.key_path, "not the key of the certif");
    refused(expired.certificate_path, expired.key_path, NULL, expired.certificate_path, "expired");
    assert_int_equal(chmod(certificate, 0600), 0);
    refused(certificate, certificate, NULL, certificate, "no key in PEM form");

    (void)snprintf(locked, sizeof(locked), "%s/locked.key", folder);
    FILE *file = fopen(locked, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, server.key, EVP_aes_128_cbc(),
                                          (const unsigned char *)"secret", 6, NULL, NULL),
                     1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(locked, 0600), 0);
    refused(certificate, locked, NULL, locked, "without a passphrase");
    assert_int_equal(unlink(locked), 0);

    static const mode_t modes[] = {0640, 0604, 0660, 0610};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(key, modes[i]), 0);
        refused(certificate, key, NULL, key, "chmod 600");
    }
    /* as systemd leaves a credential: the mask of its access list looks like the group's right */
    assert_int_equal(chmod(key, 0440), 0);
    refused(certificate, key, NULL, key, "chmod 600");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    bb_tls_context_close(open_context(NULL));
    assert_int_equal(chmod(key, 0444), 0);
    refused(certificate, key, NULL, key, "chmod 600");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(chmod(key, 0600), 0);
}

static void the_end_of_the_certificate_is_told(void **state)
{
    (void)state;
    struct ssl_ctx_st *context = open_context(NULL);
    int64_t left = bb_tls_context_expires(context) - time(NULL);
    assert_true(left > 99000 && left <= 100000);
    bb_tls_context_close(context);

    const struct bb_tls_files files = {expired.certificate_path, expired.key_path, NULL, true};
    char sentence[SENTENCE];
    assert_true(bb_tls_context_open(&files, &context, sentence, sizeof(sentence)));
    assert_true(bb_tls_context_expires(context) < time(NULL));
    bb_tls_context_close(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plaintext_does_not_depend_on_how_ciphertext_was_cut),
        cmocka_unit_test(any_single_cut_is_waited_out),
        cmocka_unit_test(a_client_that_goes_without_a_word_has_ended),
        cmocka_unit_test(garbage_is_answered_with_an_alert),
        cmocka_unit_test(a_handshake_without_end_is_cut_off),
        cmocka_unit_test(a_changed_byte_is_found),
        cmocka_unit_test(a_request_without_tls_is_known_by_its_first_byte),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(renegotiation_is_refused_and_the_conversation_goes_on),
        cmocka_unit_test(only_http_1_1_is_agreed_on),
        cmocka_unit_test(clients_need_a_certificate_by_the_right_authority),
        cmocka_unit_test(a_session_keeps_its_certificate_when_the_context_is_replaced),
        cmocka_unit_test(each_wrong_file_is_named_with_its_fault),
        cmocka_unit_test(the_end_of_the_certificate_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, remove_all);
}
