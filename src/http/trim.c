/* SPDX-License-Identifier: Apache-2.0
 * POST /trim/start and /trim/stop: asks the engine to discard what is free, or not to go on. The
 * reply comes at once; how far it is stands in /status.
 */
#include "bb/err.h"
#include "question.h"
#include "verbs.h"

#include <errno.h>

static void ask(struct bb_conn *conn)
{
    bb_question_of(conn)->question =
        conn->route.op == BB_ROUTE_TRIM_START ? BB_QUESTION_TRIM_START : BB_QUESTION_TRIM_STOP;
    bb_question_send(conn);
}

void bb_trim_begin(struct bb_conn *conn)
{
    BB_ASSERT(conn->route.op == BB_ROUTE_TRIM_START || conn->route.op == BB_ROUTE_TRIM_STOP);
    bb_question_begin(conn, ask);
}

static void answer(struct bb_conn *conn)
{
    const struct bb_status_request *request = bb_question_of(conn);
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
    bb_question_go_on(conn, result, ask, answer);
}
