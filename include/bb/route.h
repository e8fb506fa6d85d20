/* SPDX-License-Identifier: Apache-2.0
 * From method and path to what is to be done: the table of the HTTP contract. Pure.
 *
 *   /block                 PUT POST              store a block, named by its content
 *   /block/<hash>          GET HEAD PUT DELETE
 *   /block/<hash>/proof    GET HEAD
 *   /blocks                GET HEAD              list
 *   /blocks/missing        POST
 *   /livez /readyz /status /metrics /config   GET HEAD
 *   /status/zones          GET HEAD              how full they are
 *   /status/zones/<n>      GET HEAD              and the chunks of one
 *   /trim/start /trim/stop POST                  discarding what is free
 *   /scrub/start /scrub/pause  POST          reading everything again
 *   /                      GET HEAD              the status page
 */
#ifndef BB_ROUTE_H
#define BB_ROUTE_H

#include "bb/http.h"

enum bb_route_op {
    BB_ROUTE_NONE, /* refused */
    BB_ROUTE_PUT,
    BB_ROUTE_GET, /* HEAD too */
    BB_ROUTE_DELETE,
    BB_ROUTE_PROOF,
    BB_ROUTE_LIST,
    BB_ROUTE_MISSING,
    BB_ROUTE_LIVEZ,
    BB_ROUTE_READYZ,
    BB_ROUTE_STATUS,
    BB_ROUTE_ZONES,  /* how full the zones are */
    BB_ROUTE_CHUNKS, /* and the chunks of one */
    BB_ROUTE_METRICS,
    BB_ROUTE_CONFIG, /* the effective settings, for admin */
    BB_ROUTE_TRIM_START,
    BB_ROUTE_TRIM_STOP,
    BB_ROUTE_SCRUB_START,
    BB_ROUTE_SCRUB_PAUSE,
    BB_ROUTE_PAGE, /* the status page: no data in it, it asks for them */
};

struct bb_route {
    enum bb_route_op op;
    bool takes_body;     /* PUT and MISSING */
    bool named;          /* the path carries a hash */
    struct bb_hash hash; /* valid when named */
    uint32_t zone;       /* CHUNKS */
    const char *allow;   /* with 405: value of Allow; static */
    /* the same of a server that writes nothing; "" where it serves no method at all */
    const char *allow_reads;
    bool writes; /* it changes the store, or what runs in it */
};

/* 0 with op, takes_body, named and hash set; else 400 (a name that is not a hash), 404 or 405 with
 * ret_refusal filled and ret_route->allow set for 405. */
BB_MUST_USE int bb_route_find(const struct bb_http_request *http, struct bb_route *ret_route,
                              struct bb_http_refusal *ret_refusal);

#endif
