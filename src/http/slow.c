/* SPDX-License-Identifier: Apache-2.0
 * Deadlines, and who has to go when connections or buffers run out.
 *
 * There is no timer per connection: a worker looks at all of its connections when the nearest
 * deadline it knows of has passed, at most ten times per second, and sleeps otherwise. A deadline
 * that moved into the future costs one look too many, which is cheap.
 *
 * For a buffer only those go that are really slow: whoever keeps up FAST_BYTES per second is done
 * with it soon, and those who wait for it have their own deadline and a 503. For a connection the
 * slowest goes, whoever it is, but not one that was of use a moment ago while others never were.
 */
#include "bb/bits.h"
#include "bb/conn.h"
#include "bb/worker.h"
#include "peer.h"

#define LOOK_MS 100u                 /* between two looks, at least */
#define FRESH_MS 500u                /* nobody is called slow before; */
#define RUSH_MS 150u                 /* or before this, when more than */
#define RUSH_COUNT 8u                /* so many wait */
#define FAST_BYTES (256u << 10)      /* per second: never ended for a buffer */
#define GRACE_MS 10000u              /* that a request earns its connection */
#define USELESS_MAX 8u               /* ended at a time for descriptors */
#define CHOICE_MS 100u               /* that a choice of victims is good for */
#define FAST_RUSH_BYTES (512u << 10) /* the same in a rush */
#define MS_PER_KIB(bytes_per_second) (1000u * 1024u / (bytes_per_second) + 1)
#define OF_NO_USE ((uint64_t)1 << 40) /* blame that outweighs any slowness */

/* What somebody is to be ended for. */
struct want {
    bool tls;          /* only of those with TLS */
    size_t buffer_min; /* a buffer of at least so many bytes; 0: the connection itself */
    uint64_t fresh_ms; /* spared when it began later than this ago, */
    uint64_t slow_min; /* or, for a buffer, when it takes less than so many ms per KiB */
};

int bb_slow_wait(const struct bb_worker *worker, uint64_t now_ms)
{
    if (worker->check_at_ms == UINT64_MAX)
        return -1;
    if (worker->check_at_ms <= now_ms)
        return 0;
    return (int)bb_min_u64(worker->check_at_ms - now_ms, INT32_MAX);
}

static uint64_t since(uint64_t from_ms, uint64_t now_ms)
{
    return now_ms > from_ms ? now_ms - from_ms : 0;
}

/* Milliseconds per KiB moved, as seen from the client's side of what is going on now. What a send
 * has moved only the kernel knows; from its first mark on, which is set here if it is not yet. */
static uint64_t slowness(struct bb_conn *conn, uint64_t now_ms, uint64_t fresh_ms)
{
    uint64_t elapsed = since(conn->since_ms, now_ms);
    uint64_t moved = conn->moved;
    if (conn->state == BB_CONN_SEND && elapsed > fresh_ms) {
        uint64_t acked = conn->listener->local ? conn->moved : bb_peer_acked(conn->fd);
        if (conn->mark_ms == conn->since_ms) {
            conn->mark_ms = now_ms;
            conn->mark_moved = acked;
            conn->deadline_ms = now_ms + BB_CONN_LIMIT(conn, slow_ms);
        }
        elapsed = since(conn->mark_ms, now_ms);
        moved = acked - conn->mark_moved;
        if (elapsed < fresh_ms)
            return 0;
    }
    return elapsed * 1024 / (1024 + moved);
}

/* The more, the sooner it goes; 0: it stays. */
static uint64_t blame(struct bb_conn *conn, const struct want *want, uint64_t now_ms)
{
    if (!bb_conn_waits_for_client(conn) || conn->expired || (want->tls && conn->tls == NULL))
        return 0;
    if (want->buffer_min > 0) {
        if (conn->buf == NULL || conn->buf_size < want->buffer_min ||
            since(conn->since_ms, now_ms) < want->fresh_ms)
            return 0;
        uint64_t value = slowness(conn, now_ms, want->fresh_ms);
        return value < want->slow_min ? 0 : value;
    }
    if (since(conn->since_ms, now_ms) < want->fresh_ms)
        return 0;
    uint64_t value = slowness(conn, now_ms, FRESH_MS) + 1;
    bool spared = conn->useful && since(conn->since_ms, now_ms) < GRACE_MS;
    return spared ? value : value + OF_NO_USE;
}

/* The ones to blame most, the first of them first; one walk for all, since every step of it is a
 * cache miss. */
static unsigned choose(struct bb_worker *worker, const struct want *want, uint64_t now_ms,
                       unsigned max, struct bb_victim *ret_victims)
{
    unsigned count = 0;
    BB_ASSERT(max <= BB_VICTIM_MAX);
    for (struct bb_conn *conn = worker->live; conn != NULL; conn = conn->next) {
        uint64_t value = blame(conn, want, now_ms);
        if (value == 0 || (count == max && value <= ret_victims[count - 1].blame))
            continue;
        unsigned at = count < max ? count++ : max - 1;
        for (; at > 0 && ret_victims[at - 1].blame < value; at--)
            ret_victims[at] = ret_victims[at - 1];
        ret_victims[at] =
            (struct bb_victim){.conn = conn, .since_ms = conn->since_ms, .blame = value};
    }
    return count;
}

/* Those that have waited long enough, from the head of the queue. */
static unsigned count_waiting(const struct bb_conn *waiting, uint64_t now_ms)
{
    unsigned count = 0;
    for (; waiting != NULL && count < BB_VICTIM_MAX; waiting = waiting->queue_next)
        if (since(waiting->since_ms, now_ms) < LOOK_MS)
            return count;
        else
            count++;
    return count;
}

/* For each that has waited long enough somebody slow has to give a buffer back, one that is large
 * enough if possible, else a smaller one. */
static void make_room(struct bb_worker *worker, const struct bb_conn *waiting, uint64_t now_ms)
{
    struct bb_victim victims[BB_VICTIM_MAX];
    unsigned wanted = count_waiting(waiting, now_ms);
    if (wanted == 0)
        return;
    struct want want = {.buffer_min = bb_max_u64(waiting->buf_size, 1), /* an empty block has 0 */
                        .fresh_ms = FRESH_MS,
                        .slow_min = MS_PER_KIB(FAST_BYTES)};
    if (wanted > RUSH_COUNT) {
        want.fresh_ms = RUSH_MS;
        want.slow_min = MS_PER_KIB(FAST_RUSH_BYTES);
    }
    unsigned count = choose(worker, &want, now_ms, wanted, victims);
    if (count == 0) {
        want.buffer_min = 1;
        count = choose(worker, &want, now_ms, wanted, victims);
    }
    BB_COUNT(worker, shed, count);
    for (unsigned i = 0; i < count; i++)
        bb_conn_shed(victims[i].conn);
}

void bb_slow_check(struct bb_worker *worker, uint64_t now_ms)
{
    if (now_ms < worker->check_at_ms)
        return;
    make_room(worker, worker->waiting_small.head, now_ms);
    make_room(worker, worker->waiting_large.head, now_ms);
    uint64_t nearest = UINT64_MAX;
    for (struct bb_conn *conn = worker->live, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->deadline_ms <= now_ms)
            bb_conn_expire(conn, now_ms); /* sets another, or none */
        nearest = bb_min_u64(nearest, conn->deadline_ms);
    }
    if (worker->waiting_small.head != NULL || worker->waiting_large.head != NULL)
        nearest = now_ms;
    worker->check_at_ms = nearest == UINT64_MAX ? nearest : bb_max_u64(nearest, now_ms + LOOK_MS);
}

/* Chooses several at a time: in a flood every connection that comes in ends another. But only those
 * of no use: among the others every newcomer changes the choice. */
static void choose_for_connection(struct bb_worker *worker, uint64_t now_ms)
{
    static const struct want connection = {.buffer_min = 0};
    unsigned count = choose(worker, &connection, now_ms, BB_VICTIM_MAX, worker->victims);
    while (count > 1 && worker->victims[count - 1].blame < OF_NO_USE)
        count--;
    worker->victim_count = count;
    worker->victim_next = 0;
    worker->victims_ms = now_ms;
}

/* The next of those chosen that still waits for the same as then. */
static struct bb_conn *next_victim(struct bb_worker *worker)
{
    while (worker->victim_next < worker->victim_count) {
        const struct bb_victim *victim = &worker->victims[worker->victim_next++];
        struct bb_conn *conn = victim->conn;
        if (conn->since_ms == victim->since_ms && !conn->expired && bb_conn_waits_for_client(conn))
            return conn;
    }
    return NULL;
}

bool bb_slow_shed(struct bb_worker *worker, uint64_t now_ms)
{
    struct bb_conn *conn = NULL;
    if (now_ms < worker->victims_ms + CHOICE_MS)
        conn = next_victim(worker);
    if (conn == NULL) {
        choose_for_connection(worker, now_ms);
        conn = next_victim(worker);
    }
    if (conn == NULL)
        return false;
    BB_COUNT(worker, shed, 1);
    bb_conn_abort(conn);
    return true;
}

bool bb_slow_shed_tls(struct bb_worker *worker, uint64_t now_ms)
{
    static const struct want connection = {.tls = true};
    struct bb_victim victim;
    if (choose(worker, &connection, now_ms, 1, &victim) == 0)
        return false;
    BB_COUNT(worker, shed, 1);
    bb_conn_abort(victim.conn);
    return true;
}

void bb_slow_shed_useless(struct bb_worker *worker, uint64_t now_ms)
{
    static const struct want connection = {.buffer_min = 0, .fresh_ms = FRESH_MS};
    struct bb_victim victims[USELESS_MAX];
    unsigned count = choose(worker, &connection, now_ms, USELESS_MAX, victims);
    for (unsigned i = 0; i < count && victims[i].blame >= OF_NO_USE; i++) {
        BB_COUNT(worker, shed, 1);
        bb_conn_abort(victims[i].conn);
    }
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
