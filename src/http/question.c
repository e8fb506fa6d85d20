/* SPDX-License-Identifier: Apache-2.0
 * A question to the controller and its way back. Owner: the worker of the connection.
 */
#include "question.h"

struct bb_status_request *bb_question_of(struct bb_conn *conn)
{
    return (struct bb_status_request *)(void *)conn->buf;
}

void bb_question_begin(struct bb_conn *conn, bb_question_step ask)
{
    if (!bb_board_ready(&conn->worker->shared->board)) {
        bb_conn_busy(conn);
        return;
    }
    if (bb_worker_want_buffer(conn->worker, conn, BB_QUESTION_BUFFER))
        ask(conn);
}

void bb_question_send(struct bb_conn *conn)
{
    struct bb_status_request *request = bb_question_of(conn);
    request->owner = conn;
    (void)bb_conn_request(conn, BB_CONN_ASK);
    if (!bb_worker_ask_status(conn->worker, request)) {
        conn->request_busy = false;
        bb_conn_busy(conn);
    }
}

void bb_question_go_on(struct bb_conn *conn, int result, bb_question_step ask,
                       bb_question_step answer)
{
    BB_ASSERT(result == 0);
    if (conn->state == BB_CONN_BUFFER) {
        ask(conn);
        return;
    }
    BB_ASSERT(conn->state == BB_CONN_ASK);
    answer(conn);
}
