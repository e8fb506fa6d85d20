/* SPDX-License-Identifier: Apache-2.0
 * Tokens: who may do what. The file has one line for each, NAME SCOPES SHA256:
 *
 *   # made by bbctl token new
 *   backup read,write 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
 *
 * SHA256 is that of the token, 64 lower-case hex digits; the token itself is nowhere but with its
 * holder. The file belongs to root or to the daemon's user, and nobody else may read or write it.
 * Looking one up takes the same time whatever is presented. Pure but for bb_tokens_read.
 */
#ifndef BB_TOKEN_H
#define BB_TOKEN_H

#include "bb/http.h"

#define BB_TOKEN_COUNT_MAX 256u
#define BB_TOKEN_NAME_MAX 32u /* letters, digits, '-', '_', '.', with the terminator */
#define BB_TOKEN_LEN_MAX 512u
#define BB_TOKEN_USER "buddy-blocks" /* who runs the daemon as a service */

enum bb_scope {
    BB_SCOPE_READ = 1,
    BB_SCOPE_WRITE = 2,
    BB_SCOPE_DELETE = 4,
    BB_SCOPE_ADMIN = 8, /* all of the others too */
};
#define BB_SCOPE_ALL 15u

struct bb_token {
    char name[BB_TOKEN_NAME_MAX];
    unsigned scopes; /* bits of enum bb_scope; with ADMIN all of them */
    struct bb_hash hash;
};

struct bb_tokens {
    unsigned count;
    struct bb_token tokens[BB_TOKEN_COUNT_MAX];
};

/* Reads a file. False with a sentence of up to `size` bytes, `FILE:LINE: what was found; what is
 * allowed`, and ret_tokens undefined, when anything is wrong with it. No line at all is allowed:
 * then nobody gets in. The sentence never has a byte of a hash or of what could be a token. Root
 * may read the file of BB_TOKEN_USER too, as it does to check the settings of a service. */
BB_MUST_USE bool bb_tokens_read(const char *path, struct bb_tokens *ret_tokens, char *ret_sentence,
                                size_t size);

/* The token whose hash is that of token[0..len), or NULL. */
const struct bb_token *bb_tokens_find(const struct bb_tokens *tokens, const char *token,
                                      size_t len);

/* What an Authorization field presents: the bearer token, or the password of Basic. Bytes written
 * to ret_token, 0 when it is neither or malformed. */
size_t bb_token_presented(struct bb_http_span authorization,
                          char ret_token[static BB_TOKEN_LEN_MAX]);

/* Scopes of "read,write"; 0 when malformed. */
unsigned bb_scopes_of(const char *text);

#endif
