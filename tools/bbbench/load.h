/* SPDX-License-Identifier: Apache-2.0
 * One load thread: an epoll loop over its share of the connections, each with one request in
 * flight. Closed loop: a connection sends the next request when it has the reply. Open loop:
 * requests have intended starts at even intervals; one that finds no idle connection waits, and its
 * latency counts from the intended start, so that a stall of the server is seen by all whom it held
 * up. A thread owns its connections, the blocks that were acknowledged on them, its random
 * generator and its tally; it shares only the configuration and the base of the bodies, read-only.
 *
 *   CLOSED --retry--> CONNECTING --writable--> IDLE --request--> BUSY --reply--> IDLE
 *     ^                   |                      |                 |
 *     +------failed-------+<---closed by server--+<-----fault------+
 *
 * The price per operation is what counts here, since the client mostly runs on the server's cores:
 * one send and one recv call per small operation, one epoll_wait per batch, no copy of a body.
 * Reading a body that nobody will hash beyond its first bytes is left to the kernel (MSG_TRUNC).
 */
#ifndef BB_BENCH_LOAD_H
#define BB_BENCH_LOAD_H

#include "bb/arena.h"
#include "bb/hash.h"
#include "bb/random.h"
#include "bbbench/acked.h"
#include "bbbench/body.h"
#include "bbbench/reply.h"
#include "bbbench/tally.h"
#include "bbbench/target.h"

#include <sys/uio.h>

#define BB_LOAD_HEAD_MAX 384
#define BB_LOAD_TEXT_MAX 160
#define BB_LOAD_RECV_SIZE BB_BLOCK_SIZE_MAX
#define BB_LOAD_CONNECTIONS_MAX 16384
#define BB_LOAD_THREADS_MAX 64
#define BB_LOAD_BATCH_MAX 10000
#define BB_LOAD_PATH_MAX 128

struct bb_load_config {
    struct bb_target target;
    struct ssl_ctx_st *tls; /* for https, else NULL */
    struct bb_body body;
    uint64_t choices; /* seed of all random choices */
    uint32_t size_min;
    uint32_t size_max;
    uint32_t batch;   /* hashes per request of `missing` */
    const char *path; /* of `plain` and `upload`, at most BB_LOAD_PATH_MAX bytes */
    bool verify;      /* hash every body, not one in 16 */
};

struct bb_phase {
    enum bb_op op;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; UINT64_MAX: none */
    uint64_t request_max; /* of this thread; UINT64_MAX: none */
    uint64_t interval_ns; /* between intended starts of this thread; 0: closed loop */
};

enum bb_conn_state { BB_CONN_CLOSED, BB_CONN_CONNECTING, BB_CONN_IDLE, BB_CONN_BUSY };

struct bb_conn {
    int fd;
    struct ssl_st *tls; /* NULL: plain */
    enum bb_conn_state state;
    enum bb_op op;
    bool checked;  /* the body of this operation is hashed */
    bool mismatch; /* the reply to `missing` differs from `expect` */
    bool parked;   /* in load->parked */
    int iov_at;    /* first part of the request not yet sent in full */
    int iov_count;
    struct iovec iov[2];
    uint64_t since_ns; /* request sent or to be sent, connection begun or closed */
    uint64_t got;      /* bytes of the reply received */
    struct bb_acked_block block;
    struct bb_hasher hasher;
    char *list;   /* request body of `missing` */
    char *expect; /* its expected answer */
    uint32_t expect_len;
    uint32_t text_len;
    uint64_t body_seen;
    char text[BB_LOAD_TEXT_MAX]; /* first bytes of the reply's body */
    char head[BB_LOAD_HEAD_MAX]; /* request head, and the stamp of a body */
    struct bb_reply reply;
};

struct bb_load {
    const struct bb_load_config *config;
    struct bb_phase phase;
    struct bb_conn *conns;
    uint32_t conn_count;
    int epoll_fd;
    uint8_t *recv_buf; /* BB_LOAD_RECV_SIZE */
    struct bb_acked acked;
    /* Prefix of the hash that connection i reads, else 0: DELETE keeps away from blocks being read,
     * so that a 404 is always a violation. */
    uint64_t *reading;
    struct bb_conn **parked; /* ring of conn_count, first come first served: until one is due */
    uint32_t parked_at;
    uint32_t parked_count;
    struct bb_hash plain_hash; /* of the first reply to `plain` that was hashed */
    bool plain_known;
    struct bb_random random;
    uint64_t counter; /* of the next body; the thread's index is in the top byte */
    uint64_t issued;  /* requests of this phase */
    uint64_t started_ns;
    uint32_t in_flight;
    uint32_t reported; /* faults printed */
    bool stopping;
    int suffix_len;
    char suffix[BB_TARGET_HOST_MAX + 32]; /* end of every request line, and Host */
    struct bb_tally tally;
};

uint64_t bb_load_clock_ns(void);

/* Bytes of the arena that bb_load_open takes. */
size_t bb_load_memory(const struct bb_load_config *config, uint32_t conn_count);

/* All but the connections. config outlives load. */
BB_MUST_USE int bb_load_open(struct bb_load *load, const struct bb_load_config *config,
                             uint32_t index, uint32_t conn_count, struct bb_arena *arena);
void bb_load_close(struct bb_load *load);

/* Connects all; -errno when that fails within five seconds. A server waits for their first requests
 * only so long. */
BB_MUST_USE int bb_load_connect(struct bb_load *load);

/* Takes the first `count` bodies of the thread (an earlier run with the same seed, size and number
 * of threads has stored them) as acknowledged, and goes on behind them. Before the first phase;
 * size_min == size_max. */
BB_MUST_USE int bb_load_adopt(struct bb_load *load, uint64_t count);

/* Runs one phase until its deadline, its number of requests, or there is no block left to work on;
 * then waits for the replies in flight. load->tally holds the result. */
void bb_load_run(struct bb_load *load, const struct bb_phase *phase);

#endif
