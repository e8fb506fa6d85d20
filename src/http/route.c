/* SPDX-License-Identifier: Apache-2.0
 * The router. No decoding, no normalisation: a path is one of the listed ones byte by byte or it
 * does not exist.
 */
#include "bb/route.h"

#include "refuse.h"

#define ANY_METHOD "GET, HEAD, PUT, POST, DELETE"
#define ANY_READ "GET, HEAD, POST"

enum resource {
    RESOURCE_NEW_BLOCK,
    RESOURCE_BLOCK,
    RESOURCE_PROOF,
    RESOURCE_BLOCKS,
    RESOURCE_MISSING,
    RESOURCE_LIVEZ,
    RESOURCE_READYZ,
    RESOURCE_STATUS,
    RESOURCE_ZONES,
    RESOURCE_CHUNKS,
    RESOURCE_METRICS,
    RESOURCE_CONFIG,
    RESOURCE_TRIM_START,
    RESOURCE_TRIM_STOP,
    RESOURCE_SCRUB_START,
    RESOURCE_SCRUB_PAUSE,
    RESOURCE_PAGE,
    RESOURCE_NONE,
};

static const struct {
    const char *path; /* NULL: carries a hash or a number */
    const char *allow;
    unsigned methods; /* bits of enum bb_http_method */
    enum bb_route_op op;
} resources[] = {
#define BIT(method) (1u << BB_HTTP_##method)
#define READS (BIT(GET) | BIT(HEAD))
    [RESOURCE_NEW_BLOCK] = {"/block", "PUT, POST", BIT(PUT) | BIT(POST), BB_ROUTE_PUT},
    [RESOURCE_BLOCK] = {NULL, "GET, HEAD, PUT, DELETE", READS | BIT(PUT) | BIT(DELETE),
                        BB_ROUTE_GET},
    [RESOURCE_PROOF] = {NULL, "GET, HEAD", READS, BB_ROUTE_PROOF},
    [RESOURCE_BLOCKS] = {"/blocks", "GET, HEAD", READS, BB_ROUTE_LIST},
    [RESOURCE_MISSING] = {"/blocks/missing", "POST", BIT(POST), BB_ROUTE_MISSING},
    [RESOURCE_LIVEZ] = {"/livez", "GET, HEAD", READS, BB_ROUTE_LIVEZ},
    [RESOURCE_READYZ] = {"/readyz", "GET, HEAD", READS, BB_ROUTE_READYZ},
    [RESOURCE_STATUS] = {"/status", "GET, HEAD", READS, BB_ROUTE_STATUS},
    [RESOURCE_ZONES] = {"/status/zones", "GET, HEAD", READS, BB_ROUTE_ZONES},
    [RESOURCE_CHUNKS] = {NULL, "GET, HEAD", READS, BB_ROUTE_CHUNKS},
    [RESOURCE_METRICS] = {"/metrics", "GET, HEAD", READS, BB_ROUTE_METRICS},
    [RESOURCE_CONFIG] = {"/config", "GET, HEAD", READS, BB_ROUTE_CONFIG},
    [RESOURCE_TRIM_START] = {"/trim/start", "POST", BIT(POST), BB_ROUTE_TRIM_START},
    [RESOURCE_TRIM_STOP] = {"/trim/stop", "POST", BIT(POST), BB_ROUTE_TRIM_STOP},
    [RESOURCE_SCRUB_START] = {"/scrub/start", "POST", BIT(POST), BB_ROUTE_SCRUB_START},
    [RESOURCE_SCRUB_PAUSE] = {"/scrub/pause", "POST", BIT(POST), BB_ROUTE_SCRUB_PAUSE},
    [RESOURCE_PAGE] = {"/", "GET, HEAD", READS, BB_ROUTE_PAGE},
#undef READS
#undef BIT
};

static bool span_is(struct bb_http_span span, const char *text)
{
    return span.at != NULL && span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

/* Resource of "/block/...": a hash, perhaps with /proof behind it; -1 when the name is no hash. */
static int find_named(struct bb_http_span name, struct bb_hash *ret_hash)
{
    static const char proof[] = "/proof";
    const size_t proof_len = sizeof(proof) - 1;
    if (bb_hash_from_hex(name.at, name.len, ret_hash))
        return RESOURCE_BLOCK;
    if (name.len == BB_HASH_HEX_SIZE + proof_len &&
        memcmp(name.at + BB_HASH_HEX_SIZE, proof, proof_len) == 0 &&
        bb_hash_from_hex(name.at, BB_HASH_HEX_SIZE, ret_hash))
        return RESOURCE_PROOF;
    return -1;
}

/* Resource of "/status/zones/...": a decimal number without leading zeros. */
static enum resource find_zone(struct bb_http_span number, uint32_t *ret_zone)
{
    uint64_t zone = 0;
    if (number.len == 0 || number.len > 10 || (number.len > 1 && number.at[0] == '0'))
        return RESOURCE_NONE;
    for (size_t i = 0; i < number.len; i++) {
        if (number.at[i] < '0' || number.at[i] > '9')
            return RESOURCE_NONE;
        zone = zone * 10 + (uint64_t)(number.at[i] - '0');
    }
    if (zone > UINT32_MAX)
        return RESOURCE_NONE;
    *ret_zone = (uint32_t)zone;
    return RESOURCE_CHUNKS;
}

static bool begins(struct bb_http_span path, const char *prefix, struct bb_http_span *ret_rest)
{
    size_t len = strlen(prefix);
    if (path.at == NULL || path.len < len || memcmp(path.at, prefix, len) != 0)
        return false;
    *ret_rest = (struct bb_http_span){path.at + len, path.len - len};
    return true;
}

static int find_resource(struct bb_http_span path, struct bb_route *ret_route)
{
    struct bb_http_span rest;
    if (begins(path, "/block/", &rest))
        return find_named(rest, &ret_route->hash);
    if (begins(path, "/status/zones/", &rest))
        return find_zone(rest, &ret_route->zone);
    for (int i = 0; i < RESOURCE_NONE; i++)
        if (resources[i].path != NULL && span_is(path, resources[i].path))
            return i;
    return RESOURCE_NONE;
}

static int refuse(struct bb_http_refusal *ret_refusal, int status, const char *what,
                  const struct bb_http_span *found, const char *cure)
{
    const struct bb_http_span none = {NULL, 0};
    (void)bb_http_refuse(ret_refusal, status, what, found != NULL ? *found : none, cure);
    return status;
}

/* MISSING is a question, whatever its method. */
static bool is_reading(enum bb_route_op op, unsigned method)
{
    return method == BB_HTTP_GET || method == BB_HTTP_HEAD || op == BB_ROUTE_MISSING;
}

static const char *allow_reads(int resource)
{
    if (resources[resource].op == BB_ROUTE_MISSING)
        return resources[resource].allow;
    return (resources[resource].methods & 1u << BB_HTTP_GET) != 0 ? "GET, HEAD" : "";
}

int bb_route_find(const struct bb_http_request *http, struct bb_route *ret_route,
                  struct bb_http_refusal *ret_refusal)
{
    struct bb_route route = {.allow = ANY_METHOD, .allow_reads = ANY_READ};
    int resource = find_resource(http->path, &route);
    if (resource >= 0 && resource < RESOURCE_NONE) {
        route.allow = resources[resource].allow;
        route.allow_reads = allow_reads(resource);
    }
    if (http->method == BB_HTTP_REFUSED) {
        *ret_route = route;
        return refuse(ret_refusal, 405, "method: CONNECT, TRACE and OPTIONS are not served", NULL,
                      "use what Allow says");
    }
    if (resource < 0)
        return refuse(ret_refusal, 400, "name", &http->path,
                      "a block's name is 64 lower-case hex digits");
    if (resource == RESOURCE_NONE)
        return refuse(ret_refusal, 404, "path", &http->path, "blocks are at /block/<hash>");
    if ((resources[resource].methods & 1u << http->method) == 0) {
        *ret_route = route;
        return refuse(ret_refusal, 405, "method: not served on this path", NULL,
                      "use what Allow says");
    }
    route.op = resources[resource].op;
    route.named = resource == RESOURCE_BLOCK || resource == RESOURCE_PROOF;
    if (resource == RESOURCE_BLOCK && http->method == BB_HTTP_PUT)
        route.op = BB_ROUTE_PUT;
    if (resource == RESOURCE_BLOCK && http->method == BB_HTTP_DELETE)
        route.op = BB_ROUTE_DELETE;
    route.writes = !is_reading(route.op, http->method);
    route.takes_body = route.op == BB_ROUTE_PUT || route.op == BB_ROUTE_MISSING;
    BB_ASSERT(route.named || (route.op != BB_ROUTE_GET && route.op != BB_ROUTE_DELETE));
    *ret_route = route;
    return 0;
}
