/* SPDX-License-Identifier: Apache-2.0
 * bbctl list and bbctl verify: the names of all blocks, page by page, and whether the bytes behind
 * one name are really its bytes, hashed here and not only there.
 */
#include "bb/bits.h"
#include "bb/err.h"
#include "bb/hash.h"
#include "bbctl/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BLOCKS 10000u

/* Prints the lines of a page, at most *left of them; true while there may be more. `last` becomes
 * the last hash. False with *ret_bad when a line is none. */
static bool print_page(const struct bb_ctl_options *options, const char *text, uint64_t *left,
                       char last[static BB_HASH_HEX_SIZE + 1], bool *first, bool *ret_bad)
{
    const char *at = text;
    uint64_t count = 0;
    *ret_bad = false;
    while (*at != '\0' && *left > 0) {
        const char *end = strchr(at, '\n');
        struct bb_hash hash;
        char *number_end;
        if (end == NULL || end - at < BB_HASH_HEX_SIZE + 2 ||
            !bb_hash_from_hex(at, BB_HASH_HEX_SIZE, &hash)) {
            *ret_bad = true;
            return false;
        }
        unsigned long long size = strtoull(at + BB_HASH_HEX_SIZE + 1, &number_end, 10);
        if (options->json)
            printf("%s\n{\"hash\":\"%.*s\",\"size\":%llu}", *first ? "" : ",", BB_HASH_HEX_SIZE, at,
                   size);
        else
            printf("%.*s %llu\n", BB_HASH_HEX_SIZE, at, size);
        memcpy(last, at, BB_HASH_HEX_SIZE);
        last[BB_HASH_HEX_SIZE] = '\0';
        *first = false;
        at = end + 1;
        count++;
        --*left;
    }
    return count > 0 && *left > 0;
}

int bb_ctl_list(const struct bb_ctl_options *options, char **words)
{
    char target[160], last[BB_HASH_HEX_SIZE + 1] = "";
    struct bb_ctl_client client;
    struct bb_hash hash;
    uint64_t left = options->limit != 0 ? options->limit : UINT64_MAX;
    bool first = true, bad = false, more = true;
    (void)words;
    if (options->after != NULL) {
        if (!bb_hash_from_hex(options->after, strlen(options->after), &hash)) {
            bb_ctl_complain("--after: %s is no hash, give 64 lower-case hex digits",
                            options->after);
            return BB_CTL_USAGE;
        }
        memcpy(last, options->after, sizeof(last));
    }
    int code = bb_ctl_connect(options, &client);
    if (code != BB_CTL_OK)
        return code;
    if (options->json)
        printf("{\"blocks\":[");
    while (more && code == BB_CTL_OK) {
        struct bb_ctl_reply reply;
        (void)snprintf(target, sizeof(target), "/blocks?after=%s&limit=%llu", last,
                       (unsigned long long)bb_min_u64(left, PAGE_BLOCKS));
        int error = bb_ctl_client_get(&client, target, &reply);
        if (error != 0) {
            bb_ctl_complain("the list broke off: %s", strerror(-error));
            code = BB_CTL_FAILED;
            break;
        }
        if (reply.status != 200)
            code = bb_ctl_refused(&reply);
        else
            more = print_page(options, reply.body, &left, last, &first, &bad);
        free(reply.body);
    }
    bb_ctl_client_close(&client);
    if (bad) {
        bb_ctl_complain("a line of the list is no hash and size: is this a Buddy Blocks daemon?");
        code = BB_CTL_FAILED;
    }
    if (options->json)
        printf("%s],\"complete\":%s}\n", first ? "" : "\n", code == BB_CTL_OK ? "true" : "false");
    return code;
}

static void print_verdict(const struct bb_ctl_options *options, const char *name,
                          const char *verdict, size_t size)
{
    if (options->json)
        printf("{\"hash\":\"%s\",\"verdict\":\"%s\",\"size\":%zu}\n", name, verdict, size);
    else if (strcmp(verdict, "good") == 0)
        printf("%s: good, %zu bytes\n", name, size);
    else
        printf("%s: %s\n", name, verdict);
}

/* What the reply to a GET of `hash` comes to. */
static int judge(const struct bb_ctl_options *options, const char *name, const struct bb_hash *hash,
                 const struct bb_ctl_reply *reply)
{
    struct bb_hash found;
    if (reply->status == 404) {
        print_verdict(options, name, "absent", 0);
        return BB_CTL_ABSENT;
    }
    if (reply->status == 500 && strstr(reply->body, bb_err_text(BB_ERR_CORRUPT)) != NULL) {
        print_verdict(options, name, "corrupt", 0);
        return BB_CTL_DEGRADED;
    }
    if (reply->status != 200)
        return bb_ctl_refused(reply);
    bb_hash_of(reply->body, reply->len, &found);
    if (!bb_hash_equal(&found, hash)) {
        print_verdict(options, name, "corrupt", reply->len);
        return BB_CTL_DEGRADED;
    }
    print_verdict(options, name, "good", reply->len);
    return BB_CTL_OK;
}

int bb_ctl_verify(const struct bb_ctl_options *options, char **words)
{
    char target[16 + BB_HASH_HEX_SIZE];
    struct bb_ctl_client client;
    struct bb_ctl_reply reply;
    struct bb_hash hash;
    if (!bb_hash_from_hex(words[0], strlen(words[0]), &hash)) {
        bb_ctl_complain("%s is no hash, give 64 lower-case hex digits", words[0]);
        return BB_CTL_USAGE;
    }
    int code = bb_ctl_connect(options, &client);
    if (code != BB_CTL_OK)
        return code;
    (void)snprintf(target, sizeof(target), "/block/%s", words[0]);
    int error = bb_ctl_client_get(&client, target, &reply);
    bb_ctl_client_close(&client);
    if (error != 0) {
        bb_ctl_complain("no answer: %s", strerror(-error));
        return BB_CTL_FAILED;
    }
    code = judge(options, words[0], &hash, &reply);
    free(reply.body);
    return code;
}
