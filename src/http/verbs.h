/* SPDX-License-Identifier: Apache-2.0
 * What the connection machine does for each kind of request. Internal to the server.
 */
#ifndef BB_HTTP_VERBS_H
#define BB_HTTP_VERBS_H

#include "bb/conn.h"

/* The verbs: begin after routing, step with the result of what was awaited, body when it is in. */
struct bb_verb {
    void (*begin)(struct bb_conn *conn);
    void (*step)(struct bb_conn *conn, int result);
    void (*body)(struct bb_conn *conn);
};
const struct bb_verb *bb_conn_verb(const struct bb_conn *conn);

void bb_put_begin(struct bb_conn *conn);
void bb_put_step(struct bb_conn *conn, int result);
void bb_put_body(struct bb_conn *conn);
void bb_delete_begin(struct bb_conn *conn);
void bb_delete_step(struct bb_conn *conn, int result);
void bb_get_begin(struct bb_conn *conn);
void bb_get_step(struct bb_conn *conn, int result);
void bb_list_begin(struct bb_conn *conn);
void bb_list_step(struct bb_conn *conn, int result);
void bb_missing_begin(struct bb_conn *conn);
void bb_missing_step(struct bb_conn *conn, int result);
void bb_missing_body(struct bb_conn *conn);
void bb_health_begin(struct bb_conn *conn);
void bb_page_begin(struct bb_conn *conn);
void bb_status_begin(struct bb_conn *conn);
void bb_status_step(struct bb_conn *conn, int result);
void bb_map_begin(struct bb_conn *conn);
void bb_map_step(struct bb_conn *conn, int result);
void bb_trim_begin(struct bb_conn *conn);
void bb_trim_step(struct bb_conn *conn, int result);
void bb_scrub_begin(struct bb_conn *conn);
void bb_scrub_step(struct bb_conn *conn, int result);
void bb_settings_begin(struct bb_conn *conn);
void bb_settings_step(struct bb_conn *conn, int result);

#endif
