/* SPDX-License-Identifier: Apache-2.0
 * The choke point: every request passes bb_gate_check before anything is done for it, and nothing
 * else decides on access. The default is to refuse. Who asks, and what that allows:
 *
 *   root or the daemon's own user, on a unix socket   everything
 *   a token, where there are tokens                    its scopes
 *   anybody, where there are none: on loopback, on a unix socket, or with --auth none
 *                                                      read, write, delete; never admin
 *
 * Any thread; tokens and append_only may be changed while it runs.
 */
#ifndef BB_GATE_H
#define BB_GATE_H

#include "bb/route.h"
#include "bb/token.h"

#include <stdatomic.h>

struct bb_gate {
    bool read_only;           /* started to serve reads and to write nothing, for anybody */
    bool auth_none;           /* the operator said that anybody who reaches the port may */
    const char *const *hosts; /* names this server answers to, lower case, without port */
    size_t host_count;
    _Atomic bool append_only; /* DELETE is for admin */
    /* NULL: there are none. Who replaces them leaves the old ones until all readers are through. */
    _Atomic(const struct bb_tokens *) tokens;
};

/* How a request came in. */
struct bb_visitor {
    bool loopback; /* the listener is bound to a loopback address, or a unix socket */
    bool local;    /* a unix socket */
    bool trusted;  /* and at its other end is root or the daemon's own user */
};

/* 0, or the status (401, 403, 421) with ret_refusal filled. `route` is NULL for a request that is
 * going to be refused anyway: it still needs somebody who may do anything at all. *ret_name, unless
 * NULL, is who asked, for the log: a token's name, or static text; valid in this turn only. */
BB_MUST_USE int bb_gate_check(const struct bb_gate *gate, const struct bb_visitor *visitor,
                              const struct bb_http_request *http, const struct bb_route *route,
                              struct bb_http_refusal *ret_refusal, const char **ret_name);
/* Value of WWW-Authenticate with a 401. */
#define BB_GATE_CHALLENGE                                                                          \
    "Bearer realm=\"buddy-blocks\", Basic realm=\"buddy-blocks\", charset=\"UTF-8\""

#endif
