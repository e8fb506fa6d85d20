/* SPDX-License-Identifier: Apache-2.0
 * Verbs that ask the controller one question: /status, /metrics, /status/zones, /trim, /scrub. The
 * question lies in front of the connection's buffer, its answer comes to the same place. Internal
 * to the server; owner: the worker of the connection.
 */
#ifndef BB_HTTP_QUESTION_H
#define BB_HTTP_QUESTION_H

#include "bb/conn.h"
#include "bb/worker.h"

#define BB_QUESTION_BUFFER (64u << 10) /* bytes: the question, and room for what is told of it */

BB_STATIC_ASSERT(sizeof(struct bb_status_request) <= BB_QUESTION_BUFFER);

typedef void (*bb_question_step)(struct bb_conn *conn);

struct bb_status_request *bb_question_of(struct bb_conn *conn);

/* Has it asked as soon as there is a buffer; 503 without one, and until all is served. */
void bb_question_begin(struct bb_conn *conn, bb_question_step ask);

/* What `ask` ends with: the question is on its way, or 503. */
void bb_question_send(struct bb_conn *conn);

/* The verb's step. */
void bb_question_go_on(struct bb_conn *conn, int result, bb_question_step ask,
                       bb_question_step answer);

#endif
