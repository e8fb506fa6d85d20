/* SPDX-License-Identifier: Apache-2.0
 * What is asked and what the answer must be: builds the next request of a connection and judges its
 * reply. Owned by the load thread of the connection.
 *
 * Every operation has one expected status: put 201 (or 200: an
 * earlier run with the same seed stored it), get, head,
 * dup and missing 200, delete 204, absent 404. All else is a fault (tally.h).
 *
 * plain and upload are for other servers, to be measured with the same client: a GET of one path
 * (200, or 204), which must always have the same bytes, and a PUT of a new body to the path with a
 * number behind it (201 or 204).
 */
#ifndef BB_BENCH_REQUEST_H
#define BB_BENCH_REQUEST_H

#include "bbbench/load.h"

/* Fills conn->iov and what the judgement needs. Returns false when the operation needs an
 * acknowledged block and there is none. */
BB_MUST_USE bool bb_request_build(struct bb_load *load, struct bb_conn *conn);

/* Takes a piece of the reply's body. */
void bb_request_take(struct bb_conn *conn, const char *data, size_t len);

/* True when the rest of the body need not be seen. */
bool bb_request_may_skip(const struct bb_conn *conn);

/* Judges a complete reply: tallies it and updates the set of acknowledged blocks. */
void bb_request_judge(struct bb_load *load, struct bb_conn *conn, uint64_t now_ns);

/* Tallies a request that found no complete reply. */
void bb_request_fail(struct bb_load *load, struct bb_conn *conn, enum bb_fault fault);

#endif
