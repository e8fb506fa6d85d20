/* SPDX-License-Identifier: Apache-2.0
 * Deadlines, and who has to go when connections or buffers run out.
 *
 * There is no timer per connection: a worker looks at all of its connections when the nearest
 * deadline it knows of has passed, at most ten times per second, and sleeps otherwise. A deadline
 * that moved into the future costs one look too many, which is cheap.
 */
#include "bb/bits.h"
#include "bb/conn.h"
#include "bb/worker.h"
#include "peer.h"

#define LOOK_MS 100u  /* between two looks, at least */
#define FRESH_MS 500u /* nobody is called slow before; */
#define RUSH_MS 100u  /* or before this, when more than */
#define RUSH_COUNT 8u /* so many wait */
#define SHED_MAX 16u  /* ended in one look */

int bb_slow_wait(const struct bb_worker *worker, uint64_t now_ms)
{
    if (worker->check_at_ms == UINT64_MAX)
        return -1;
    if (worker->check_at_ms <= now_ms)
        return 0;
    return (int)bb_min_u64(worker->check_at_ms - now_ms, INT32_MAX);
}

/* Milliseconds per KiB moved, as seen from the client's side of what is going on now. */
static uint64_t slowness(const struct bb_conn *conn, uint64_t now_ms)
{
    uint64_t elapsed = now_ms > conn->since_ms ? now_ms - conn->since_ms : 0;
    uint64_t moved = conn->moved;
    if (conn->state == BB_CONN_SEND &&
        elapsed > FRESH_MS) /* since it began: in the sender's favour */
        moved = bb_peer_acked(conn->fd);
    return elapsed * 1024 / (1024 + moved);
}

/* Ends the slowest of those that wait for their client; with buffer_min > 0 of those that hold a
 * buffer of at least so many bytes. */
static bool shed(struct bb_worker *worker, uint64_t now_ms, size_t buffer_min, uint64_t fresh_ms)
{
    struct bb_conn *slowest = NULL;
    uint64_t worst = 0;
    for (struct bb_conn *conn = worker->live; conn != NULL; conn = conn->next) {
        if (!bb_conn_waits_for_client(conn) || conn->expired)
            continue;
        if (buffer_min > 0 && (conn->buf == NULL || conn->buf_size < buffer_min))
            continue;
        if (now_ms < conn->since_ms + fresh_ms)
            continue;
        uint64_t value = slowness(conn, now_ms);
        if (slowest == NULL || value > worst) {
            slowest = conn;
            worst = value;
        }
    }
    if (slowest == NULL)
        return false;
    BB_COUNT(worker, shed, 1);
    bb_conn_abort(slowest);
    return true;
}

static bool is_rush(const struct bb_conn *waiting)
{
    unsigned count = 0;
    for (; waiting != NULL && count <= RUSH_COUNT; waiting = waiting->queue_next)
        count++;
    return count > RUSH_COUNT;
}

/* Those at the head of a queue have waited long enough: for each somebody slow has to give a buffer
 * back, one that is large enough if possible, else a smaller one. */
static void make_room(struct bb_worker *worker, const struct bb_conn *waiting, uint64_t now_ms)
{
    uint64_t fresh_ms = is_rush(waiting) ? RUSH_MS : FRESH_MS;
    unsigned ended = 0;
    for (; waiting != NULL && ended < SHED_MAX; waiting = waiting->queue_next) {
        if (now_ms < waiting->since_ms + LOOK_MS)
            return;
        if (!shed(worker, now_ms, waiting->buf_size, fresh_ms) &&
            !shed(worker, now_ms, 1, fresh_ms))
            return;
        ended++;
    }
}

void bb_slow_check(struct bb_worker *worker, uint64_t now_ms)
{
    if (now_ms < worker->check_at_ms)
        return;
    make_room(worker, worker->waiting_small.head, now_ms);
    make_room(worker, worker->waiting_large.head, now_ms);
    for (struct bb_conn *conn = worker->live, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->deadline_ms <= now_ms)
            bb_conn_expire(conn, now_ms);
    }
    uint64_t nearest = UINT64_MAX;
    for (const struct bb_conn *conn = worker->live; conn != NULL; conn = conn->next)
        nearest = bb_min_u64(nearest, conn->deadline_ms);
    if (worker->waiting_small.head != NULL || worker->waiting_large.head != NULL)
        nearest = now_ms;
    worker->check_at_ms = nearest == UINT64_MAX ? nearest : bb_max_u64(nearest, now_ms + LOOK_MS);
}

bool bb_slow_shed(struct bb_worker *worker, uint64_t now_ms)
{
    return shed(worker, now_ms, 0, 0);
}

void bb_slow_end_all(struct bb_worker *worker, bool idle_only)
{
    for (struct bb_conn *conn = worker->live, *next; conn != NULL; conn = next) {
        next = conn->next;
        bool idle = conn->state == BB_CONN_HEAD && conn->head_len == 0;
        bool waits = bb_conn_waits_for_client(conn) || conn->state == BB_CONN_BUFFER;
        if (!conn->expired && waits && (idle || !idle_only))
            bb_conn_abort(conn);
    }
}
