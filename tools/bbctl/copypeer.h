/* SPDX-License-Identifier: Apache-2.0
 * One connection of bbctl copy to one of its two stores, made when it is first needed and made anew
 * when the store has closed it meanwhile: every request it is used for may be sent twice. A store
 * that is busy is asked again for a while. One thread; the store it belongs to is shared, constant.
 */
#ifndef BB_CTL_COPYPEER_H
#define BB_CTL_COPYPEER_H

#include "bb/hash.h"
#include "bbctl/client.h"

#include <stdatomic.h>

struct bb_copy_store {
    const char *role;  /* "source" or "target", for messages */
    const char *where; /* URL, or the path of a unix socket */
    char token[BB_CTL_TOKEN_MAX + 1];
    char uuid[40];
    uint64_t blocks; /* when it was asked */
};

struct bb_copy_peer {
    const struct bb_copy_store *store;
    const atomic_bool *stop; /* waiting for a busy store ends when it is set */
    struct bb_ctl_client client;
    struct bb_ctl_reply reply;
    bool open;
};

/* Why a copy cannot go on: the exit code and a sentence. code 0: it can. */
struct bb_copy_failure {
    int code;
    char text[512];
};

/* What is wrong with `where`, NULL when nothing is: a URL, unix:PATH or /PATH. */
const char *bb_copy_store_init(struct bb_copy_store *store, const char *role, const char *where);
/* Takes the token from a file; false, *ret_why is a static text then. */
BB_MUST_USE bool bb_copy_store_take_token(struct bb_copy_store *store, const char *file,
                                          const char **ret_why);

void bb_copy_peer_init(struct bb_copy_peer *peer, const struct bb_copy_store *store,
                       const atomic_bool *stop);
void bb_copy_peer_fini(struct bb_copy_peer *peer);

/* Sends a request and waits for the reply, which is in peer->reply until the next one. False with
 * the failure filled in when there is none. */
BB_MUST_USE bool bb_copy_peer_ask(struct bb_copy_peer *peer, const char *method, const char *target,
                                  const void *body, size_t body_len,
                                  struct bb_copy_failure *ret_failure);
/* The same for "/block/<hash>". */
BB_MUST_USE bool bb_copy_peer_ask_block(struct bb_copy_peer *peer, const char *method,
                                        const struct bb_hash *hash, const void *body,
                                        size_t body_len, struct bb_copy_failure *ret_failure);
/* A reply that ends the copy: what it says, and its exit code. Returns false. */
bool bb_copy_peer_refused(const struct bb_copy_peer *peer, struct bb_copy_failure *ret_failure);

#endif
