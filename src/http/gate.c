/* SPDX-License-Identifier: Apache-2.0
 * Access. There are no tokens yet: a request may do everything when it came in on loopback or when
 * the operator opened the port to everybody, and only if its Host cannot be a name that somebody
 * else points at this machine (DNS rebinding: a browser is made to talk to its own localhost under
 * a foreign name).
 */
#include "bb/gate.h"

#include "refuse.h"

static const struct bb_http_span nothing = {NULL, 0};

int bb_gate_check(const struct bb_gate *gate, bool loopback, const struct bb_http_request *http,
                  struct bb_http_refusal *ret_refusal)
{
    if (!gate->auth_none && !loopback) {
        (void)bb_http_refuse(ret_refusal, 403, "access: no tokens are set up", nothing,
                             "use a loopback address");
        return 403;
    }
    /* HTTP/1.0 has no Host; no browser speaks it */
    if (http->host.at == NULL && http->minor == 0)
        return 0;
    if (!bb_http_host_ok(http->host, gate->hosts, gate->host_count)) {
        (void)bb_http_refuse(ret_refusal, 421, "host", http->host,
                             "use the server's address or start it with --host");
        return 421;
    }
    return 0;
}
