/* SPDX-License-Identifier: Apache-2.0
 * GET /config: the effective settings as JSON, prepared by the main thread. They are copied,
 * because a reload may replace them while a slow client still takes the reply.
 */
#include "bb/conn.h"
#include "bb/worker.h"
#include "verbs.h"

#include <string.h>

BB_STATIC_ASSERT(BB_CONFIG_PAGE_MAX <= 32u << 10);

static void send_page(struct bb_conn *conn)
{
    const char *page =
        atomic_load_explicit(&conn->worker->shared->settings_page, memory_order_acquire);
    struct bb_http_reply reply = {.status = 200, .content_type = "application/json"};
    size_t len = strlen(page);
    BB_ASSERT(len < BB_CONFIG_PAGE_MAX);
    memcpy(conn->buf, page, len);
    bb_conn_send(conn, &reply, conn->buf, len);
}

void bb_settings_begin(struct bb_conn *conn)
{
    if (bb_worker_want_buffer(conn->worker, conn, BB_CONFIG_PAGE_MAX))
        send_page(conn);
}

void bb_settings_step(struct bb_conn *conn, int result)
{
    BB_ASSERT(result == 0);
    BB_ASSERT(conn->state == BB_CONN_BUFFER);
    send_page(conn);
}
