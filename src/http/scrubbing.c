/* SPDX-License-Identifier: Apache-2.0
 * POST /scrub/start and /scrub/pause, for admin: the engine's scrub goes as fast as it may, or
 * rests. The reply comes at once; where it stands is in /status.
 */
#include "question.h"
#include "verbs.h"

static void ask(struct bb_conn *conn)
{
    bb_question_of(conn)->question =
        conn->route.op == BB_ROUTE_SCRUB_START ? BB_QUESTION_SCRUB_START : BB_QUESTION_SCRUB_PAUSE;
    bb_question_send(conn);
}

void bb_scrub_begin(struct bb_conn *conn)
{
    BB_ASSERT(conn->route.op == BB_ROUTE_SCRUB_START || conn->route.op == BB_ROUTE_SCRUB_PAUSE);
    bb_question_begin(conn, ask);
}

static void answer(struct bb_conn *conn)
{
    const struct bb_status_request *request = bb_question_of(conn);
    if (!request->status.scrub.enabled)
        bb_conn_line(conn, 409, "scrub: it is switched off, start the server with a scrub-rate");
    else if (request->question == BB_QUESTION_SCRUB_START)
        bb_conn_line(conn, 200, "scrub: started");
    else
        bb_conn_line(conn, 200, "scrub: paused");
}

void bb_scrub_step(struct bb_conn *conn, int result)
{
    bb_question_go_on(conn, result, ask, answer);
}
