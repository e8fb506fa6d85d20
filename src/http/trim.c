/* SPDX-License-Identifier: Apache-2.0
 * POST /trim/start and /trim/stop: asks the engine to discard what is free, or not to go on. The
 * reply comes at once; how far it is stands in /status.
 */
#include "bb/conn.h"
#include "bb/err.h"
#include "bb/worker.h"
#include "verbs.h"

#include <errno.h>

#define BUFFER_SIZE (64u << 10)

BB_STATIC_ASSERT(sizeof(struct bb_status_request) <= BUFFER_SIZE);

static struct bb_status_request *request_of(struct bb_conn *conn)
{
    return (struct bb_status_request *)(void *)conn->buf;
}

static void ask(struct bb_conn *conn)
{
    struct bb_status_request *request = request_of(conn);
    bool start = conn->route.op == BB_ROUTE_TRIM_START;
    request->owner = conn;
    request->question = start ? BB_QUESTION_TRIM_START : BB_QUESTION_TRIM_STOP;
    (void)bb_conn_request(conn, BB_CONN_ASK);
    if (!bb_worker_ask_status(conn->worker, request)) {
        conn->request_busy = false;
        bb_conn_busy(conn);
    }
}

void bb_trim_begin(struct bb_conn *conn)
{
    BB_ASSERT(conn->route.op == BB_ROUTE_TRIM_START || conn->route.op == BB_ROUTE_TRIM_STOP);
    if (!bb_board_ready(&conn->worker->shared->board)) {
        bb_conn_busy(conn);
        return;
    }
    if (bb_worker_want_buffer(conn->worker, conn, BUFFER_SIZE))
        ask(conn);
}

static void answer(struct bb_conn *conn)
{
    const struct bb_status_request *request = request_of(conn);
    int result = request->result;
    bool start = request->question == BB_QUESTION_TRIM_START;
    if (result == -EOPNOTSUPP && !conn->worker->shared->data->is_block)
        bb_conn_line(conn, 409,
                     "trim: the data device is a file, whose holes would be missing room later, "
                     "use a block device");
    else if (result == -EOPNOTSUPP)
        bb_conn_line(conn, 409, "trim: the data device has no discard, nothing can be done");
    else if (result != 0)
        bb_conn_fail(conn, result);
    else
        bb_conn_line(conn, 200, "trim: %s", start ? "started" : "stopped");
}

void bb_trim_step(struct bb_conn *conn, int result)
{
    BB_ASSERT(result == 0);
    if (conn->state == BB_CONN_BUFFER) {
        ask(conn);
        return;
    }
    BB_ASSERT(conn->state == BB_CONN_ASK);
    answer(conn);
}
