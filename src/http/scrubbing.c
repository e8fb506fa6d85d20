/* SPDX-License-Identifier: Apache-2.0
 * POST /scrub/start and /scrub/pause, for admin: the engine's scrub goes as fast as it may, or
 * rests. The reply comes at once; where it stands is in /status.
 */
#include "bb/conn.h"
#include "bb/worker.h"
#include "verbs.h"

#define BUFFER_SIZE (64u << 10)

BB_STATIC_ASSERT(sizeof(struct bb_status_request) <= BUFFER_SIZE);

static void ask(struct bb_conn *conn)
{
    struct bb_status_request *request = (struct bb_status_request *)(void *)conn->buf;
    request->owner = conn;
    request->question =
        conn->route.op == BB_ROUTE_SCRUB_START ? BB_QUESTION_SCRUB_START : BB_QUESTION_SCRUB_PAUSE;
    (void)bb_conn_request(conn, BB_CONN_ASK);
    if (!bb_worker_ask_status(conn->worker, request)) {
        conn->request_busy = false;
        bb_conn_busy(conn);
    }
}

void bb_scrub_begin(struct bb_conn *conn)
{
    BB_ASSERT(conn->route.op == BB_ROUTE_SCRUB_START || conn->route.op == BB_ROUTE_SCRUB_PAUSE);
    if (!bb_board_ready(&conn->worker->shared->board)) {
        bb_conn_busy(conn);
        return;
    }
    if (bb_worker_want_buffer(conn->worker, conn, BUFFER_SIZE))
        ask(conn);
}

void bb_scrub_step(struct bb_conn *conn, int result)
{
    BB_ASSERT(result == 0);
    if (conn->state == BB_CONN_BUFFER) {
        ask(conn);
        return;
    }
    BB_ASSERT(conn->state == BB_CONN_ASK);
    const struct bb_status_request *request =
        (const struct bb_status_request *)(const void *)conn->buf;
    if (!request->status.scrub.enabled)
        bb_conn_line(conn, 409, "scrub: it is switched off, start the server with a scrub-rate");
    else if (request->question == BB_QUESTION_SCRUB_START)
        bb_conn_line(conn, 200, "scrub: started");
    else
        bb_conn_line(conn, 200, "scrub: paused");
}
