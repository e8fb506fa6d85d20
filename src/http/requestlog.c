/* SPDX-License-Identifier: Apache-2.0
 * Lines about requests. Both kinds are off or rare unless asked for; with both off this is two
 * loads. Owner: the worker of the connection.
 */
#include "requestlog.h"

#include "bb/log.h"
#include "bb/worker.h"
#include "tlsconn.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>

#define PATH_SHOWN 160 /* the longest that is served has 76 bytes */
#define TLS_SHOWN (BB_TLS_SUBJECT_MAX + 40u)

static const char *const methods[] = {
    [BB_HTTP_GET] = "GET",   [BB_HTTP_HEAD] = "HEAD",     [BB_HTTP_PUT] = "PUT",
    [BB_HTTP_POST] = "POST", [BB_HTTP_DELETE] = "DELETE", [BB_HTTP_REFUSED] = "other",
};

static void name_peer(const struct bb_conn *conn, char *ret, size_t size)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "?";
    (void)getpeername(conn->fd, (struct sockaddr *)&address, &len); /* gone: it is shown as "?" */
    if (conn->listener->local) {
        (void)snprintf(ret, size, "unix");
    } else if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        (void)snprintf(ret, size, "%s:%u", host, (unsigned)ntohs(in->sin_port));
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&address;
        (void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
        (void)snprintf(ret, size, "[%s]:%u", host, (unsigned)ntohs(in->sin6_port));
    } else {
        (void)snprintf(ret, size, "?");
    }
}

/* A chunked body has passed through the memory of the head: its path is told from the route. */
static void name_path(const struct bb_conn *conn, char *ret, size_t size)
{
    const struct bb_http_span path = conn->http.path;
    char hex[BB_HASH_HEX_SIZE + 1] = "";
    if (!conn->route.takes_body) {
        (void)snprintf(ret, size, "%.*s", (int)path.len, path.at != NULL ? path.at : "");
    } else if (conn->route.op == BB_ROUTE_MISSING) {
        (void)snprintf(ret, size, "/blocks/missing");
    } else {
        if (conn->route.named)
            bb_hash_to_hex(&conn->route.hash, hex);
        (void)snprintf(ret, size, "/block%s%s", conn->route.named ? "/" : "", hex);
    }
}

static void list_stages(const struct bb_conn *conn, char *ret, size_t size)
{
    static const char *const names[] = {
#define STAGE_NAME(name, label) [BB_STAGE_##name] = label,
        BB_STAGES(STAGE_NAME)
#undef STAGE_NAME
    };
    size_t len = 0;
    ret[0] = '\0';
    for (int stage = 0; stage < BB_STAGE_COUNT && len < size; stage++) {
        if (conn->spent_us[stage] > 0)
            len += (size_t)snprintf(ret + len, size - len, " %s_us=%" PRIu32, names[stage],
                                    conn->spent_us[stage]);
    }
}

static void write_line(const struct bb_conn *conn, uint64_t took_us, bool slow)
{
    char peer[80];
    char stages[BB_STAGE_COUNT * 24] = "";
    char path[PATH_SHOWN + 1];
    char tls[TLS_SHOWN];
    BB_ASSERT(conn->http.method <= BB_HTTP_REFUSED);
    name_peer(conn, peer, sizeof(peer));
    name_path(conn, path, sizeof(path));
    if (slow)
        list_stages(conn, stages, sizeof(stages));
    bb_log((slow ? BB_LOG_WARNING : BB_LOG_INFO) | BB_LOG_PRIVATE,
           "%srequest method=%s path=%s status=%d in=%zu out=%" PRIu64 " us=%" PRIu64
           " peer=%s as=%s%s%s",
           slow ? "slow " : "", methods[conn->http.method], path, conn->status,
           conn->route.takes_body ? conn->body_len : 0, conn->reply_size, took_us, peer, conn->who,
           bb_tlsconn_text(conn, tls, sizeof(tls)), stages);
}

void bb_request_log(struct bb_conn *conn, uint64_t took_us)
{
    struct bb_worker *worker = conn->worker;
    unsigned every = BB_CONN_LIMIT(conn, log_every);
    unsigned slow_ms = BB_CONN_LIMIT(conn, log_slow_ms);
    if (slow_ms > 0 && took_us >= (uint64_t)slow_ms * 1000)
        write_line(conn, took_us, true);
    if (every == 0)
        return;
    worker->log_turn++;
    if (worker->log_turn < every)
        return;
    worker->log_turn = 0;
    write_line(conn, took_us, false);
}
