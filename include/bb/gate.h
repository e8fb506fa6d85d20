/* SPDX-License-Identifier: Apache-2.0
 * The choke point: every request passes bb_gate_check before it is routed, and nothing else decides
 * on access. The default is to refuse. Pure.
 */
#ifndef BB_GATE_H
#define BB_GATE_H

#include "bb/http.h"

struct bb_gate {
    bool auth_none;           /* the operator said that anybody who reaches the port may */
    const char *const *hosts; /* names this server answers to, lower case, without port */
    size_t host_count;
};

/* 0, or the status (421) with ret_refusal filled. `loopback`: the listener is bound to a loopback
 * address. */
BB_MUST_USE int bb_gate_check(const struct bb_gate *gate, bool loopback,
                              const struct bb_http_request *http,
                              struct bb_http_refusal *ret_refusal);

#endif
