/* SPDX-License-Identifier: Apache-2.0
 * GET /: the status page for browsers. It is the same for everybody and has no data in it; its
 * script asks /status and the map for them, with a token where there are tokens.
 */
#include "page.h"

#include "bb/conn.h"
#include "verbs.h"

void bb_page_begin(struct bb_conn *conn)
{
    BB_ASSERT(conn->buf == NULL);
    struct bb_http_reply reply = {
        .status = 200, .content_type = "text/html; charset=utf-8", .policy = bb_page_policy};
    bb_conn_send(conn, &reply, bb_page_bytes, bb_page_size);
}
