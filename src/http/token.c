/* SPDX-License-Identifier: Apache-2.0
 * The file of tokens and the field that presents one. Tokens are random and long (bbctl makes 256
 * bits), so that a plain SHA-256 of them gives nothing away; short ones of one's own would.
 */
#include "bb/token.h"

#include "bytes.h"
#include "secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_SIZE 256

/* ---- the file ---- */

struct reading {
    const char *path;
    unsigned line;
    char *sentence;
    size_t size;
};

static bool refuse(const struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool refuse(const struct reading *reading, const char *format, ...)
{
    va_list arguments;
    int len = reading->line > 0
                  ? snprintf(reading->sentence, reading->size, "%.255s:%u: ", reading->path,
                             reading->line)
                  : snprintf(reading->sentence, reading->size, "%.255s: ", reading->path);
    va_start(arguments, format);
    if (len > 0 && (size_t)len < reading->size)
        (void)vsnprintf(reading->sentence + len, reading->size - (size_t)len, format, arguments);
    va_end(arguments);
    return false;
}

unsigned bb_scopes_of(const char *text)
{
    static const struct {
        const char *name;
        enum bb_scope scope;
    } names[] = {{"read", BB_SCOPE_READ},
                 {"write", BB_SCOPE_WRITE},
                 {"delete", BB_SCOPE_DELETE},
                 {"admin", BB_SCOPE_ADMIN}};
    unsigned scopes = 0;
    for (;;) {
        size_t len = strcspn(text, ",");
        unsigned scope = 0;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strlen(names[i].name) == len && memcmp(names[i].name, text, len) == 0)
                scope = names[i].scope;
        if (scope == 0 || (scopes & scope) != 0)
            return 0;
        scopes |= scope;
        if (text[len] == '\0')
            return (scopes & BB_SCOPE_ADMIN) != 0 ? BB_SCOPE_ALL : scopes;
        text += len + 1;
    }
}

static bool name_ok(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (!bb_http_byte_is(*at, BB_HTTP_NAME) || *at == '~')
            return false;
    return name[0] != '\0' && strlen(name) < BB_TOKEN_NAME_MAX;
}

/* Cuts the next word off `*line`; empty at the end. */
static char *word_take(char **line)
{
    char *word = *line + strspn(*line, " \t");
    char *end = word + strcspn(word, " \t");
    *line = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

static bool take_line(const struct reading *reading, char *line, struct bb_tokens *tokens)
{
    struct bb_token token = {.scopes = 0};
    const char *name = word_take(&line);
    const char *scopes = word_take(&line);
    const char *hash = word_take(&line);
    if (name[0] == '\0' || name[0] == '#')
        return true;
    token.scopes = bb_scopes_of(scopes);
    if (!name_ok(name))
        return refuse(reading, "a bad name; allowed: up to %u letters, digits, '-', '_' and '.'",
                      BB_TOKEN_NAME_MAX - 1);
    if (token.scopes == 0)
        return refuse(reading,
                      "bad scopes of %s; allowed: one or more of read, write, delete, "
                      "admin with commas between them",
                      name);
    if (!bb_hash_from_hex(hash, strlen(hash), &token.hash) || *word_take(&line) != '\0')
        return refuse(reading,
                      "no SHA-256 behind the scopes of %s; allowed: 64 lower-case hex "
                      "digits, as bbctl token new prints them",
                      name);
    for (unsigned i = 0; i < tokens->count; i++) {
        if (strcmp(tokens->tokens[i].name, name) == 0)
            return refuse(reading, "%s for the second time; allowed: a name of its own", name);
        if (bb_hash_equal(&tokens->tokens[i].hash, &token.hash))
            return refuse(reading, "%s has the token of %s; allowed: each its own", name,
                          tokens->tokens[i].name);
    }
    if (tokens->count == BB_TOKEN_COUNT_MAX)
        return refuse(reading, "one more token; allowed: %u", BB_TOKEN_COUNT_MAX);
    memcpy(token.name, name, strlen(name) + 1);
    tokens->tokens[tokens->count++] = token;
    return true;
}

/* Cuts the end off a line, LF or CR LF. `last` is without one. */
static bool end_cut(const struct reading *reading, char *line, bool last)
{
    size_t len = strlen(line);
    if (len > 0 && line[len - 1] == '\n')
        line[--len] = '\0';
    else if (!last)
        return refuse(reading, "a line of more than %d bytes; allowed: fewer", LINE_SIZE - 2);
    if (len > 0 && line[len - 1] == '\r')
        line[--len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
            return refuse(reading, "a control byte; allowed: text");
    return true;
}

bool bb_tokens_read(const char *path, struct bb_tokens *ret_tokens, char *ret_sentence, size_t size)
{
    struct reading reading = {.path = path, .sentence = ret_sentence, .size = size};
    char line[LINE_SIZE];
    ret_tokens->count = 0;
    char reason[BB_SECRET_SENTENCE_MAX];
    int fd;
    if (!bb_secret_open(path, &fd, reason, sizeof(reason)))
        return refuse(&reading, "%s", reason);
    FILE *file = fdopen(fd, "r");
    if (file == NULL) {
        (void)refuse(&reading, "%s", strerror(errno));
        (void)close(fd);
        return false;
    }
    bool ok = true;
    while (ok && fgets(line, sizeof(line), file) != NULL) {
        reading.line++;
        ok = end_cut(&reading, line, feof(file) != 0) && take_line(&reading, line, ret_tokens);
    }
    if (ok && ferror(file)) /* half of the tokens would look like a file with few */
        ok = refuse(&reading, "cannot be read to its end");
    (void)fclose(file);
    OPENSSL_cleanse(line, sizeof(line));
    return ok;
}

/* ---- the field ---- */

const struct bb_token *bb_tokens_find(const struct bb_tokens *tokens, const char *token, size_t len)
{
    struct bb_hash hash;
    const struct bb_token *found = NULL;
    bb_hash_of(token, len, &hash);
    /* all of them, whatever was found: the time shall tell nothing */
    for (unsigned i = 0; i < tokens->count; i++)
        if (CRYPTO_memcmp(&tokens->tokens[i].hash, &hash, sizeof(hash)) == 0)
            found = &tokens->tokens[i];
    return found;
}

/* Bytes of a token68 (RFC 9110 11.2), with its padding at the end only. */
static bool token68_ok(struct bb_http_span text)
{
    size_t len = text.len;
    while (len > 0 && text.at[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        char byte = text.at[i];
        if (!bb_http_byte_is(byte, BB_HTTP_NAME) && byte != '+' && byte != '/')
            return false;
    }
    return len > 0;
}

/* The password of "base64(user:password)". */
static size_t password_of(struct bb_http_span text, char *ret_token)
{
    unsigned char bytes[BB_TOKEN_LEN_MAX * 2];
    unsigned padding = 0;
    if (text.len % 4 != 0 || text.len / 4 * 3 > sizeof(bytes))
        return 0;
    while (padding < 2 && text.at[text.len - 1 - padding] == '=')
        padding++;
    int size = EVP_DecodeBlock(bytes, (const unsigned char *)text.at, (int)text.len);
    const unsigned char *colon = NULL;
    size_t len = 0;
    if (size > (int)padding) {
        size -= (int)padding;
        colon = memchr(bytes, ':', (size_t)size);
    }
    if (colon != NULL) {
        len = (size_t)(bytes + size - (colon + 1));
        if (len > BB_TOKEN_LEN_MAX)
            len = 0;
        memcpy(ret_token, colon + 1, len);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return len;
}

size_t bb_token_presented(struct bb_http_span authorization,
                          char ret_token[static BB_TOKEN_LEN_MAX])
{
    if (authorization.at == NULL)
        return 0;
    size_t scheme_len = 0;
    while (scheme_len < authorization.len && authorization.at[scheme_len] != ' ')
        scheme_len++;
    const struct bb_http_span scheme = {authorization.at, scheme_len};
    const struct bb_http_span text =
        bb_http_span_trim(bb_http_span_after(authorization, scheme_len));
    if (!token68_ok(text))
        return 0;
    if (bb_http_span_is(scheme, "basic"))
        return password_of(text, ret_token);
    if (!bb_http_span_is(scheme, "bearer") || text.len > BB_TOKEN_LEN_MAX)
        return 0;
    memcpy(ret_token, text.at, text.len);
    return text.len;
}
