/* SPDX-License-Identifier: Apache-2.0
 * One HTTP connection: a state machine that is stepped by completions and never blocks. At most one
 * thing is outstanding at a time: a socket operation, a request to the store, a place in a queue.
 * The table of transitions is in conn.c.
 *
 * Owner: the worker that adopted the connection. The objects are made at start and used again.
 */
#ifndef BB_CONN_H
#define BB_CONN_H

#include "bb/counters.h"
#include "bb/http.h"
#include "bb/listen.h"
#include "bb/port.h"
#include "bb/ring.h"
#include "bb/route.h"
#include "bb/token.h"

#include <sys/uio.h>

#define BB_PIECE_SIZE (64u << 10) /* received and hashed at a time */
#define BB_MISSING_MAX 10000u     /* hashes in one question */
#define BB_LIST_MAX 10000u
#define BB_LIST_DEFAULT 1000u

enum bb_conn_state {
    BB_CONN_FREE,
    BB_CONN_HEAD,     /* receiving a head; idle while there is no byte of it */
    BB_CONN_LOOKUP,   /* store: is it there, where */
    BB_CONN_RESERVE,  /* store: room for a body */
    BB_CONN_BUFFER,   /* waiting for an I/O buffer */
    BB_CONN_CONTINUE, /* sending 100 Continue */
    BB_CONN_BODY,     /* receiving a body */
    BB_CONN_COMMIT,   /* store: put or delete until durable */
    BB_CONN_READ,     /* store: bytes of the block */
    BB_CONN_VERIFY,   /* waiting for its turn to be hashed */
    BB_CONN_MARK,     /* store: marking the block corrupt */
    BB_CONN_ASK,      /* store: list, missing, status */
    BB_CONN_SEND,     /* sending the reply */
    BB_CONN_LINGER,   /* reply sent, reading until the client closes */
    BB_CONN_CLOSING,  /* waiting for the cancelled socket operation */
};
#define BB_CONN_STATE_COUNT (BB_CONN_CLOSING + 1)

struct bb_worker;

struct bb_conn {
    struct bb_event event; /* the socket operation */
    struct bb_worker *worker;
    const struct bb_listener *listener;
    struct bb_tls_link *tls;         /* NULL: plain */
    struct bb_conn *next, *previous; /* in the worker's list */
    struct bb_conn *queue_next;      /* in one of its queues */
    int fd;
    enum bb_conn_state state;
    bool socket_busy;  /* event is pending */
    bool request_busy; /* request, or the status request in buf, is somebody else's */
    bool expired;      /* ran out of time: answer 408 when the cancelled receive returns */
    bool shed;         /* expired, because its buffer is needed: answer 503 */
    bool useful;       /* has had an answer */
    bool reset;        /* close hard, drop what was not sent */
    bool counted;      /* the request counts as running for a stop */
    bool trusted;      /* root or our own user, on a unix socket */
    bool close;        /* after this reply */
    bool body_unread;  /* the request announced a body that was not taken in whole */
    bool reserved;     /* request holds a reservation */
    bool pinned;       /* request holds a pin */

    /* measurements: when this state and this request began, and where its time went */
    uint64_t entered_us, began_us;
    uint32_t spent_us[BB_STAGE_COUNT];
    char who[BB_TOKEN_NAME_MAX]; /* asks, by the name of the token */
    int status;                  /* of the reply, 0 before it */
    uint64_t reply_size;         /* bytes of its body */

    /* progress of what waits for the client */
    uint64_t since_ms, deadline_ms, mark_ms;
    uint64_t moved, mark_moved; /* bytes */

    /* request */
    struct bb_http_request http; /* spans point into head */
    struct bb_route route;
    struct bb_request request; /* to the store */
    uint64_t reserved_unit;    /* while a lookup uses the request that holds the reservation */
    uint32_t reserved_order;
    bool if_absent;  /* PUT: refuse when stored */
    bool has_digest; /* the client said what the body hashes to */
    struct bb_hash digest;
    uint8_t nonce[64];
    uint32_t nonce_size;
    uint32_t list_limit, list_count; /* LIST: wanted and found; MISSING: asked */

    /* body in, block out */
    uint8_t *buf;
    size_t buf_size; /* as asked from the pool */
    size_t body_len; /* bytes in buf */
    struct bb_http_chunked chunked;
    struct bb_hasher hasher;
    bool hashing; /* hasher has begun; else the body came whole */

    /* reply */
    struct msghdr message;
    struct iovec iov[2];
    char reply_head[BB_HTTP_REPLY_HEAD_MAX];
    char text[512];
    char link[160];

    /* Bytes received and not used: head[head_used..head_len). head lies in area, two units among
     * the registered buffers, such that a small body behind a head as long as that of the last PUT
     * fills the second unit: the device takes it from there. */
    size_t head_len, head_used, head_scanned;
    char *head;
    char *area;
    size_t head_guess; /* length of the next head, 0: no guess */
};

/* Start-up: prepares an object. area: BB_HTTP_HEAD_MAX bytes, aligned to a unit. */
BB_MUST_USE int bb_conn_init(struct bb_conn *conn, struct bb_worker *worker, void *area);
void bb_conn_fini(struct bb_conn *conn);

/* Serves a fresh socket, which the connection closes. */
void bb_conn_start(struct bb_conn *conn, int fd, const struct bb_listener *listener);
/* What was awaited has happened. */
void bb_conn_step(struct bb_conn *conn, int result);
/* Ends a connection that waits for its client or for a buffer. May finish at once. */
void bb_conn_abort(struct bb_conn *conn);
/* Its buffer is needed by others: a body is answered with 503, all else ends. */
void bb_conn_shed(struct bb_conn *conn);
/* Its deadline has passed. */
void bb_conn_expire(struct bb_conn *conn, uint64_t now_ms);
/* Whether it waits for its client, not for us. */
bool bb_conn_waits_for_client(const struct bb_conn *conn);

/* ---- between the files of the machine ---- */

/* Every change of state: charges the time since the last one to the stage that ends. */
void bb_conn_enter(struct bb_conn *conn, enum bb_conn_state state);
/* Charges time to a stage of the request by hand. */
void bb_conn_spent(struct bb_conn *conn, enum bb_stage stage, uint64_t spent_us);
/* Sets the deadline; `state` waits for the client from now on. */
void bb_conn_watch(struct bb_conn *conn, enum bb_conn_state state, uint64_t limit_ms);
/* The request goes to the store; step is called with its result. The caller submits it. */
struct bb_request *bb_conn_request(struct bb_conn *conn, enum bb_conn_state state);
void bb_conn_receive(struct bb_conn *conn, void *buf, size_t size);
/* For a body of known length: makes the second unit of the area conn->buf if the body begins there
 * and nothing follows it. It counts as no buffer of the pool (buf_size is 0). */
BB_MUST_USE bool bb_conn_body_in_place(struct bb_conn *conn);
static inline bool bb_conn_buffer_is_own(const struct bb_conn *conn)
{
    return conn->buf == (const uint8_t *)conn->area + BB_UNIT_SIZE;
}
/* Gives reservation and pin back, if held. */
void bb_conn_let_go(struct bb_conn *conn);
/* Everything is over: closes the socket, gives the object back. */
void bb_conn_finish(struct bb_conn *conn);

/* Replies (answer.c). Each ends the request; what it holds is given back at once, a buffer that the
 * body lies in when it is sent. */
void bb_conn_send(struct bb_conn *conn, struct bb_http_reply *reply, const void *body, size_t size);
void bb_conn_line(struct bb_conn *conn, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* an error line without newline */
void bb_conn_refuse(struct bb_conn *conn, const struct bb_http_refusal *refusal);
void bb_conn_fail(struct bb_conn *conn, int error);
void bb_conn_busy(struct bb_conn *conn); /* 503 with what the board says */
void bb_conn_sent(struct bb_conn *conn, int result);

/* Bodies (body.c). `limit` bytes fit in conn->buf; body() of the verb runs when it is complete. */
void bb_body_begin(struct bb_conn *conn);
void bb_body_step(struct bb_conn *conn, int result);
void bb_body_digest(struct bb_conn *conn, struct bb_hash *ret_hash);

#endif
