/* SPDX-License-Identifier: Apache-2.0
 * Access. Who asks is found first, then what that allows is compared with what the route needs.
 *
 * Without tokens a request must also have a Host that cannot be a name which somebody else points
 * at this machine (DNS rebinding: a browser is made to talk to its own localhost under a foreign
 * name). A token is more than such a page has, and a browser does not reach unix sockets.
 */
#include "bb/gate.h"

#include "refuse.h"

#include <openssl/crypto.h>

static const struct bb_http_span nothing = {NULL, 0};

static int refuse(struct bb_http_refusal *ret_refusal, int status, const char *what,
                  const char *cure)
{
    (void)bb_http_refuse(ret_refusal, status, what, nothing, cure);
    return status;
}

/* What the route needs: any one of these bits; 0 for nothing at all. */
static unsigned needs(const struct bb_gate *gate, const struct bb_route *route)
{
    if (route == NULL)
        return BB_SCOPE_ALL;
    switch (route->op) {
    case BB_ROUTE_NONE:
        break;
    case BB_ROUTE_LIVEZ:
    case BB_ROUTE_READYZ:
    case BB_ROUTE_PAGE:
        return 0;
    case BB_ROUTE_GET:
    case BB_ROUTE_PROOF:
    case BB_ROUTE_LIST:
    case BB_ROUTE_MISSING:
    case BB_ROUTE_STATUS:
    case BB_ROUTE_ZONES:
    case BB_ROUTE_CHUNKS:
    case BB_ROUTE_METRICS:
        return BB_SCOPE_READ;
    case BB_ROUTE_PUT:
        return BB_SCOPE_WRITE;
    case BB_ROUTE_DELETE:
        return atomic_load_explicit(&gate->append_only, memory_order_relaxed) ? BB_SCOPE_ADMIN
                                                                              : BB_SCOPE_DELETE;
    case BB_ROUTE_CONFIG:
    case BB_ROUTE_TRIM_START:
    case BB_ROUTE_TRIM_STOP:
    case BB_ROUTE_SCRUB_START:
    case BB_ROUTE_SCRUB_PAUSE:
        return BB_SCOPE_ADMIN;
    }
    return BB_SCOPE_ADMIN;
}

static int scope_missing(const struct bb_route *route, unsigned wanted,
                         struct bb_http_refusal *ret_refusal)
{
    if (route != NULL && route->op == BB_ROUTE_DELETE && wanted == BB_SCOPE_ADMIN)
        return refuse(ret_refusal, 403, "access: this store is append-only, DELETE is for admin",
                      "use a token for admin or the unix socket as root");
    switch (wanted) {
    case BB_SCOPE_READ:
        return refuse(ret_refusal, 403, "access: the token is not for reading",
                      "use one with the scope read");
    case BB_SCOPE_WRITE:
        return refuse(ret_refusal, 403, "access: the token is not for writing",
                      "use one with the scope write");
    case BB_SCOPE_DELETE:
        return refuse(ret_refusal, 403, "access: the token is not for deleting",
                      "use one with the scope delete");
    default:
        return refuse(ret_refusal, 403, "access: this is for admin",
                      "use a token for admin or the unix socket as root");
    }
}

static int check_host(const struct bb_gate *gate, const struct bb_http_request *http,
                      struct bb_http_refusal *ret_refusal)
{
    /* HTTP/1.0 has no Host; no browser speaks it */
    if (http->host.at == NULL && http->minor == 0)
        return 0;
    if (bb_http_host_ok(http->host, gate->hosts, gate->host_count))
        return 0;
    (void)bb_http_refuse(ret_refusal, 421, "host", http->host,
                         "use the server's address or start it with --host");
    return 421;
}

static int check_token(const struct bb_tokens *tokens, const struct bb_http_request *http,
                       unsigned *ret_scopes, struct bb_http_refusal *ret_refusal,
                       const char **ret_name)
{
    char presented[BB_TOKEN_LEN_MAX];
    if (http->authorization.at == NULL)
        return refuse(ret_refusal, 401, "access: no token",
                      "send one as Bearer, or as the password of Basic");
    size_t len = bb_token_presented(http->authorization, presented);
    const struct bb_token *token = len > 0 ? bb_tokens_find(tokens, presented, len) : NULL;
    OPENSSL_cleanse(presented, sizeof(presented));
    if (len == 0)
        return refuse(ret_refusal, 401, "access: malformed Authorization",
                      "send Bearer and a token, or Basic with it as password");
    if (token == NULL)
        return refuse(ret_refusal, 401, "access: unknown token",
                      "use one that is in the server's file of tokens");
    *ret_scopes = token->scopes;
    *ret_name = token->name;
    return 0;
}

/* Who asks, and what that allows. */
static int identify(const struct bb_gate *gate, const struct bb_visitor *visitor,
                    const struct bb_http_request *http, unsigned *ret_scopes,
                    struct bb_http_refusal *ret_refusal, const char **ret_name)
{
    const struct bb_tokens *tokens = atomic_load_explicit(&gate->tokens, memory_order_acquire);
    if (visitor->trusted) {
        BB_ASSERT(visitor->local);
        *ret_scopes = BB_SCOPE_ALL;
        *ret_name = "local-admin";
        return 0;
    }
    if (tokens != NULL)
        return check_token(tokens, http, ret_scopes, ret_refusal, ret_name);
    if (!visitor->loopback && !gate->auth_none)
        return refuse(ret_refusal, 403, "access: no tokens are set up", "use a loopback address");
    *ret_scopes = BB_SCOPE_READ | BB_SCOPE_WRITE | BB_SCOPE_DELETE;
    *ret_name = "anybody";
    return visitor->local ? 0 : check_host(gate, http, ret_refusal);
}

int bb_gate_check(const struct bb_gate *gate, const struct bb_visitor *visitor,
                  const struct bb_http_request *http, const struct bb_route *route,
                  struct bb_http_refusal *ret_refusal, const char **ret_name)
{
    unsigned scopes = 0;
    const char *name = "nobody";
    unsigned wanted = needs(gate, route);
    bool with_tokens = atomic_load_explicit(&gate->tokens, memory_order_acquire) != NULL;
    int status = 0;
    /* health is for everybody who gets here at all, as load balancers have no tokens; so is the
     * page, which asks its reader for one */
    if (wanted != 0 || !with_tokens)
        status = identify(gate, visitor, http, &scopes, ret_refusal, &name);
    if (ret_name != NULL)
        *ret_name = name;
    if (status != 0)
        return status;
    if (wanted != 0 && (scopes & wanted) == 0)
        return scope_missing(route, wanted, ret_refusal);
    if (gate->read_only && route != NULL && route->writes)
        return refuse(ret_refusal, 403, "read-only: this server writes nothing to its devices",
                      "start it without --read-only");
    return 0;
}
