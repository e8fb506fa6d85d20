/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 with OpenSSL's EVP. The algorithm is fetched once per process (a fetch costs more than
 * hashing a small message) and contexts are restarted, never remade.
 *
 * Each thread that calls a one-shot owns one context; it is freed when the thread ends. A failure
 * of EVP on a context that was set up once is a bug or a broken library: it panics, because a wrong
 * hash would damage data. */
#include "bb/hash.h"

#include "bb/le.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

#define SET_ELEMENT_SIZE 44

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_result;
static OSSL_LIB_CTX *library;
static EVP_MD *sha256;
static pthread_key_t context_key; /* carries the destructor; the value is in thread_context */
static _Thread_local EVP_MD_CTX *thread_context;

static void thread_context_free(void *context)
{
    /* Another destructor of this thread may still hash: it then gets a new context. */
    thread_context = NULL;
    EVP_MD_CTX_free(context);
}

static void fetch(void)
{
    /* In a context of our own: the default one reads the machine's openssl.cnf, and OpenSSL 3.0
     * crashes where there was no memory for it. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1)
        library = OSSL_LIB_CTX_new();
    if (library == NULL) {
        once_result = -ENOMEM;
        return;
    }
    sha256 = EVP_MD_fetch(library, "SHA256", NULL);
    if (sha256 == NULL || EVP_MD_get_size(sha256) != (int)sizeof(struct bb_hash)) {
        once_result = -ENOTSUP;
        return;
    }
    once_result = -pthread_key_create(&context_key, thread_context_free);
}

int bb_hash_init(void)
{
    int error = -pthread_once(&once, fetch);
    return error != 0 ? error : once_result;
}

/* NULL when there is no memory or no SHA-256. */
static EVP_MD_CTX *context_make(void)
{
    if (bb_hash_init() != 0)
        return NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context != NULL && EVP_DigestInit_ex2(context, sha256, NULL) != 1) {
        EVP_MD_CTX_free(context);
        return NULL;
    }
    return context;
}

static __attribute__((noinline)) void thread_context_make(void)
{
    EVP_MD_CTX *context = context_make();
    BB_ASSERT(context != NULL);
    BB_ASSERT(pthread_setspecific(context_key, context) == 0);
    thread_context = context;
}

static void restart(EVP_MD_CTX *context)
{
    BB_ASSERT(EVP_DigestInit_ex2(context, NULL, NULL) == 1);
}

static void update(EVP_MD_CTX *context, const void *data, size_t size)
{
    BB_ASSERT(EVP_DigestUpdate(context, data, size) == 1);
}

static void finish(EVP_MD_CTX *context, struct bb_hash *ret_hash)
{
    unsigned size = 0;
    BB_ASSERT(EVP_DigestFinal_ex(context, ret_hash->bytes, &size) == 1);
    BB_ASSERT(size == sizeof(ret_hash->bytes));
}

static EVP_MD_CTX *thread_context_restart(void)
{
    if (__builtin_expect(thread_context == NULL, 0))
        thread_context_make();
    restart(thread_context);
    return thread_context;
}

static void cut(const struct bb_hash *hash, struct bb_digest *ret_digest)
{
    memcpy(ret_digest->bytes, hash->bytes, sizeof(ret_digest->bytes));
}

void bb_hash_of(const void *data, size_t size, struct bb_hash *ret_hash)
{
    EVP_MD_CTX *context = thread_context_restart();
    update(context, data, size);
    finish(context, ret_hash);
}

void bb_digest_of(const void *data, size_t size, struct bb_digest *ret_digest)
{
    struct bb_hash hash;
    bb_hash_of(data, size, &hash);
    cut(&hash, ret_digest);
}

void bb_digest_of_unit(const void *data, size_t size, size_t digest_offset,
                       struct bb_digest *ret_digest)
{
    static const struct bb_digest zero;
    BB_ASSERT(size >= sizeof(zero));
    BB_ASSERT(digest_offset <= size - sizeof(zero));

    const uint8_t *bytes = data;
    size_t rest_offset = digest_offset + sizeof(zero);
    struct bb_hash hash;
    EVP_MD_CTX *context = thread_context_restart();
    update(context, bytes, digest_offset);
    update(context, zero.bytes, sizeof(zero.bytes));
    update(context, bytes + rest_offset, size - rest_offset);
    finish(context, &hash);
    cut(&hash, ret_digest);
}

int bb_hasher_open(struct bb_hasher *hasher)
{
    int error = bb_hash_init();
    if (error != 0)
        return error;
    EVP_MD_CTX *context = context_make();
    if (context == NULL)
        return -ENOMEM;
    hasher->context = context;
    return 0;
}

void bb_hasher_close(struct bb_hasher *hasher)
{
    EVP_MD_CTX_free(hasher->context);
    hasher->context = NULL;
}

void bb_hasher_begin(struct bb_hasher *hasher)
{
    BB_ASSERT(hasher->context != NULL);
    restart(hasher->context);
}

void bb_hasher_update(struct bb_hasher *hasher, const void *data, size_t size)
{
    BB_ASSERT(hasher->context != NULL);
    update(hasher->context, data, size);
}

void bb_hasher_end(struct bb_hasher *hasher, struct bb_hash *ret_hash)
{
    BB_ASSERT(hasher->context != NULL);
    finish(hasher->context, ret_hash);
}

void bb_hash_to_hex(const struct bb_hash *hash, char ret_hex[static BB_HASH_HEX_SIZE])
{
    static const char digits[16] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof(hash->bytes); i++) {
        ret_hex[2 * i] = digits[hash->bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[hash->bytes[i] & 15];
    }
}

/* -1 for anything but a lower-case hex digit. */
static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

bool bb_hash_from_hex(const char *hex, size_t len, struct bb_hash *ret_hash)
{
    if (len != BB_HASH_HEX_SIZE)
        return false;
    struct bb_hash hash;
    for (size_t i = 0; i < sizeof(hash.bytes); i++) {
        int high = digit_value(hex[2 * i]);
        int low = digit_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_hash = hash;
    return true;
}

static unsigned __int128 set_element(const struct bb_hash *hash, uint64_t unit, uint32_t size)
{
    uint8_t message[SET_ELEMENT_SIZE];
    struct bb_le64 unit_le = bb_le64_make(unit);
    struct bb_le32 size_le = bb_le32_make(size);
    BB_STATIC_ASSERT(sizeof(*hash) + sizeof(unit_le) + sizeof(size_le) == SET_ELEMENT_SIZE);
    memcpy(message, hash, sizeof(*hash));
    memcpy(message + sizeof(*hash), &unit_le, sizeof(unit_le));
    memcpy(message + sizeof(*hash) + sizeof(unit_le), &size_le, sizeof(size_le));

    struct bb_digest digest;
    unsigned __int128 value;
    bb_digest_of(message, sizeof(message), &digest);
    memcpy(&value, digest.bytes, sizeof(value));
    return value;
}

void bb_set_add(struct bb_set *set, const struct bb_hash *hash, uint64_t unit, uint32_t size)
{
    unsigned __int128 sum;
    BB_ASSERT(set->count < UINT64_MAX);
    memcpy(&sum, set->sum.bytes, sizeof(sum));
    sum += set_element(hash, unit, size);
    memcpy(set->sum.bytes, &sum, sizeof(sum));
    set->count++;
}

void bb_set_remove(struct bb_set *set, const struct bb_hash *hash, uint64_t unit, uint32_t size)
{
    unsigned __int128 sum;
    BB_ASSERT(set->count > 0);
    memcpy(&sum, set->sum.bytes, sizeof(sum));
    sum -= set_element(hash, unit, size);
    memcpy(set->sum.bytes, &sum, sizeof(sum));
    set->count--;
}
