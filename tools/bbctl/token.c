/* SPDX-License-Identifier: Apache-2.0
 * bbctl token new: a fresh token from the kernel's random numbers, shown once, and the line of the
 * tokens file that lets it in, which holds its SHA-256 only. Talks to nobody: who may write the
 * tokens file decides.
 */
#include "bb/token.h"
#include "bb/hash.h"
#include "bbctl/command.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define TOKEN_BYTES 32 /* of randomness */
#define NAME_DEFAULT "token"

static bool name_is_plain(const char *name)
{
    if (name[0] == '\0' || strlen(name) >= BB_TOKEN_NAME_MAX)
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && strchr("-_.", *name) == NULL)
            return false;
    return true;
}

int bb_ctl_token(const struct bb_ctl_options *options, char **words)
{
    const char *name = options->name != NULL ? options->name : NAME_DEFAULT;
    uint8_t bytes[TOKEN_BYTES];
    char token[2 * TOKEN_BYTES + 1], hex[BB_HASH_HEX_SIZE + 1] = "";
    struct bb_hash hash;
    if (strcmp(words[0], "new") != 0) {
        bb_ctl_complain("token %s: no such command, say: bbctl token new", words[0]);
        return BB_CTL_USAGE;
    }
    if (bb_scopes_of(options->scopes) == 0 || !name_is_plain(name)) {
        bb_ctl_complain("--scopes takes read, write, delete, admin separated by commas, --name "
                        "1 to 31 letters, digits and -_.");
        return BB_CTL_USAGE;
    }
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        bb_ctl_complain("no random numbers: %s", strerror(errno));
        return BB_CTL_FAILED;
    }
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    bb_hash_of(token, 2 * sizeof(bytes), &hash);
    bb_hash_to_hex(&hash, hex);
    if (options->json)
        printf("{\"token\":\"%s\",\"line\":\"%s %s %s\"}\n", token, name, options->scopes, hex);
    else
        printf("token                  %s\nline of tokens file    %s %s %s\n", token, name,
               options->scopes, hex);
    return BB_CTL_OK;
}
