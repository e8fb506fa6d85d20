/* SPDX-License-Identifier: Apache-2.0
 * Connecting again and asking again; copypeer.h says what for. Owner: the calling thread.
 */
#include "bbctl/copypeer.h"

#include "bbctl/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUSY_TRIES 60
#define BUSY_WAIT_MS 500
#define UNIX_PREFIX "unix:"

/* The path of a unix socket; NULL: it is none. */
static const char *socket_of(const char *where)
{
    if (strncmp(where, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0)
        return where + sizeof(UNIX_PREFIX) - 1;
    return where[0] == '/' ? where : NULL;
}

const char *bb_copy_store_init(struct bb_copy_store *store, const char *role, const char *where)
{
    *store = (struct bb_copy_store){.role = role, .where = where};
    if (socket_of(where) != NULL || bb_ctl_link_is_url(where))
        return NULL;
    return "none of http://HOST:PORT, https://HOST:PORT and unix:PATH";
}

bool bb_copy_store_take_token(struct bb_copy_store *store, const char *file, const char **ret_why)
{
    struct bb_ctl_client client;
    if (bb_ctl_client_take_token(&client, file, ret_why) != 0)
        return false;
    memcpy(store->token, client.token, sizeof(store->token));
    return true;
}

void bb_copy_peer_init(struct bb_copy_peer *peer, const struct bb_copy_store *store,
                       const atomic_bool *stop)
{
    *peer = (struct bb_copy_peer){.store = store, .stop = stop};
}

static void hang_up(struct bb_copy_peer *peer)
{
    if (peer->open)
        bb_ctl_client_close(&peer->client);
    peer->open = false;
}

void bb_copy_peer_fini(struct bb_copy_peer *peer)
{
    hang_up(peer);
    free(peer->reply.body);
    peer->reply = (struct bb_ctl_reply){0};
}

static bool fail(const struct bb_copy_peer *peer, int code, const char *why,
                 struct bb_copy_failure *ret_failure)
{
    ret_failure->code = code;
    (void)snprintf(ret_failure->text, sizeof(ret_failure->text), "the %s %s: %s", peer->store->role,
                   peer->store->where, why);
    return false;
}

static bool hang_on(struct bb_copy_peer *peer, struct bb_copy_failure *ret_failure)
{
    const struct bb_copy_store *store = peer->store;
    const char *path = socket_of(store->where), *why = "";
    if (path != NULL) {
        int error = bb_ctl_client_open_unix(&peer->client, path);
        if (error != 0)
            return fail(peer, error == -EACCES ? BB_CTL_DENIED : BB_CTL_FAILED, strerror(-error),
                        ret_failure);
    } else if (bb_ctl_client_open_url(&peer->client, store->where, &why) != 0) {
        return fail(peer, BB_CTL_FAILED, why, ret_failure);
    }
    memcpy(peer->client.token, store->token, sizeof(store->token));
    peer->open = true;
    return true;
}

/* One request and its reply. A connection that was in use before may have been closed by the store
 * for good reasons: then it is made anew and the request is sent again. */
static bool exchange(struct bb_copy_peer *peer, const struct bb_ctl_request *request,
                     struct bb_copy_failure *ret_failure)
{
    for (int attempt = 0;; attempt++) {
        if (!peer->open && !hang_on(peer, ret_failure))
            return false;
        int error = bb_ctl_client_ask(&peer->client, request, &peer->reply);
        if (error != 0 || peer->reply.close)
            hang_up(peer);
        if (error == 0)
            return true;
        if (attempt > 0 || error == -ETIMEDOUT || error == -EFBIG || error == -ENOMEM)
            return fail(peer, BB_CTL_FAILED,
                        error == -EPROTO ? "what it answers is no reply of a Buddy Blocks daemon"
                                         : strerror(-error),
                        ret_failure);
    }
}

bool bb_copy_peer_ask(struct bb_copy_peer *peer, const char *method, const char *target,
                      const void *body, size_t body_len, struct bb_copy_failure *ret_failure)
{
    const struct timespec wait = {.tv_nsec = BUSY_WAIT_MS * 1000000L};
    const struct bb_ctl_request request = {
        .method = method, .target = target, .body = body, .body_len = body_len};
    for (int attempt = 0; exchange(peer, &request, ret_failure); attempt++) {
        if (peer->reply.status != 503 || attempt == BUSY_TRIES || atomic_load(peer->stop))
            return true;
        (void)nanosleep(&wait, NULL);
    }
    return false;
}

bool bb_copy_peer_ask_block(struct bb_copy_peer *peer, const char *method,
                            const struct bb_hash *hash, const void *body, size_t body_len,
                            struct bb_copy_failure *ret_failure)
{
    char target[] = "/block/0123456789012345678901234567890123456789012345678901234567890123";
    BB_STATIC_ASSERT(sizeof(target) == 7 + BB_HASH_HEX_SIZE + 1);
    bb_hash_to_hex(hash, target + 7);
    return bb_copy_peer_ask(peer, method, target, body, body_len, ret_failure);
}

bool bb_copy_peer_refused(const struct bb_copy_peer *peer, struct bb_copy_failure *ret_failure)
{
    char why[384];
    unsigned status = peer->reply.status;
    (void)snprintf(why, sizeof(why), "it says %u: %.*s", status,
                   (int)strcspn(peer->reply.body, "\n"), peer->reply.body);
    int code = BB_CTL_FAILED;
    if (status == 401 || status == 403)
        code = BB_CTL_DENIED;
    else if (status == 503)
        code = BB_CTL_DEGRADED;
    else if (status == 507)
        code = BB_CTL_FULL;
    return fail(peer, code, why, ret_failure);
}
