/* SPDX-License-Identifier: Apache-2.0
 * What a worker counts and measures: written by it, read by anybody.
 */
#ifndef BB_COUNTERS_H
#define BB_COUNTERS_H

#include "bb/buckets.h"

/* x(name in /status, family in /metrics without bb_ and _total, label, help); a family with labels
 * stands together. */
/* clang-format off */
#define BB_COUNTERS(x)                                                                             \
    x(accepted, "connections_accepted", "", "Connections accepted.")                               \
    x(refused, "connections_refused", "", "Connections refused because all are in use.")           \
    x(shed, "connections_shed", "", "Transfers ended because others had no room.")                 \
    x(timeouts, "connections_timed_out", "", "Connections that ran out of time.")                  \
    x(tls_done, "tls_handshakes", "result=\"done\"", "TLS handshakes by how they ended.")          \
    x(tls_failed, "tls_handshakes", "result=\"failed\"", "")                                     \
    x(requests, "requests", "", "Requests begun.")                                                 \
    x(bytes_in, "received_bytes", "", "Bytes received from clients.")                              \
    x(bytes_out, "sent_bytes", "", "Bytes sent to clients.")                                       \
    x(created, "operations", "op=\"put_created\"", "Operations that went as asked.")               \
    x(duplicate, "operations", "op=\"put_duplicate\"", "")                                         \
    x(read, "operations", "op=\"get\"", "")                                                        \
    x(deleted, "operations", "op=\"delete\"", "")                                                  \
    x(listed, "operations", "op=\"list\"", "")                                                     \
    x(asked, "operations", "op=\"missing\"", "")                                                   \
    x(proved, "operations", "op=\"proof\"", "")                                                    \
    x(not_found, "not_found", "", "Requests for blocks that are not stored.")                      \
    x(corrupt, "corrupt_reads", "", "Reads whose bytes did not match their name.")                 \
    x(status_2xx, "replies", "class=\"2xx\"", "Replies by class of status.")                       \
    x(status_3xx, "replies", "class=\"3xx\"", "")                                                  \
    x(status_4xx, "replies", "class=\"4xx\"", "")                                                  \
    x(status_5xx, "replies", "class=\"5xx\"", "")                                                  \
    x(enters, "ring_enters", "", "Calls into the kernel's ring.")                                  \
    x(sqes, "ring_submissions", "", "Operations submitted to the ring.")                           \
    x(cqes, "ring_completions", "", "Completions taken from the ring.")                            \
    x(wakes, "ring_wakes", "", "Times another thread woke a sleeping worker.")                     \
    x(retries, "ring_retries", "", "Socket operations repeated because the kernel gave them up.")  \
    x(in_place, "bodies_in_place", "", "Bodies written from where they were received.")

/* Stages of a request, as the connection sees them. x(NAME, label) */
#define BB_STAGES(x)                                                                               \
    x(RECEIVE, "receive") /* of a body */                                                          \
    x(HASH, "hash")       /* computing, all pieces of a body or block together */                  \
    x(BUFFER, "buffer")   /* waiting for one */                                                    \
    x(RESERVE, "reserve") /* room on device, journal and index */                                  \
    x(LOOKUP, "lookup")                                                                            \
    x(COMMIT, "commit")   /* PUT: data write, window wait, journal write and flush; DELETE alike */\
    x(READ, "read")                                                                                \
    x(SEND, "send")
/* clang-format on */

enum bb_stage {
#define BB_STAGE_ENUM(name, label) BB_STAGE_##name,
    BB_STAGES(BB_STAGE_ENUM)
#undef BB_STAGE_ENUM
        BB_STAGE_COUNT
};

/* Whole requests, from the complete head to the end of the reply, by what they ask for. */
enum bb_timed_request {
    BB_TIMED_PUT,
    BB_TIMED_GET,
    BB_TIMED_DELETE,
    BB_TIMED_OTHER,
    BB_TIMED_COUNT
};

#define BB_CONN_STATE_MAX 16 /* at least the number of states of a connection */

struct bb_counters {
#define BB_COUNTER_FIELD(name, ...) _Atomic uint64_t name;
    BB_COUNTERS(BB_COUNTER_FIELD)
#undef BB_COUNTER_FIELD
    struct bb_buckets stages[BB_STAGE_COUNT]; /* microseconds */
    struct bb_buckets requests_us[BB_TIMED_COUNT];
    _Atomic uint64_t in_state[BB_CONN_STATE_MAX]; /* connections now; that of FREE means nothing */
    _Atomic uint64_t device_in_flight;            /* requests at the end of the latest turn */
};

#define BB_COUNT(worker, name, amount) bb_counter_add(&(worker)->counters.name, (amount))
static inline void bb_counter_add(_Atomic uint64_t *counter, uint64_t amount)
{
    /* one writer: no locked instruction needed */
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

#endif
