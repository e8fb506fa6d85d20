/* SPDX-License-Identifier: Apache-2.0
 * The whole store in one thread: the daemon's engine and ports over a simulated device and an index
 * in memory, with a naive model of what must be there. Seeded and repeatable.
 *
 * Blocks are named by a small number, the id; content and size follow from it. The oracle knows per
 * id what was acknowledged and what is still open: after a crash an open operation may have
 * happened or not, and what is observed then, or by a read meanwhile, stays. On one id several PUTs
 * and reads may run at a time, or one DELETE and reads; tests that want more send requests of their
 * own through rig->ports.
 *
 * The loop is as honest as the daemon's: the engine gets a turn only when a message, a completion
 * or an answer arrived, or when the time has come that its last turn asked for. So an operation
 * that nobody wakes is seen: rig_settle counts it as a violation.
 */
#ifndef RIG_H
#define RIG_H

#include "bb/arena.h"
#include "bb/buddy.h"
#include "bb/port.h"
#include "bb/random.h"
#include "bb/recover.h"
#include "bb/replay.h"
#include "bb/sim.h"
#include "memindex.h"

#define RIG_ID_MAX 4096
#define RIG_OP_MAX 128
#define RIG_PORT_MAX 2
#define RIG_QUEUE_MAX 16384
#define RIG_SCRATCH_SIZE ((size_t)8 << 20)

struct rig_config {
    uint64_t seed;
    uint64_t device_size;    /* 0: 40 MiB */
    uint64_t journal_size;   /* 0: 1 MiB */
    uint64_t zone_size;      /* 0: 4 MiB */
    size_t memory;           /* 0: 1 MiB for the delta */
    uint32_t slice_max;      /* 0: 64 */
    uint64_t index_capacity; /* records, 0: no limit */
    uint32_t port_count;     /* 0: 1 */
    unsigned fault_percent;  /* index lookups that are not in memory */
    uint32_t id_count;       /* ids in use, 0: 64 */
    uint32_t size_max;       /* largest block, 0: 20000 bytes */
    uint32_t size_fixed;     /* not 0: every block has this size */
    bool in_order;           /* I/O completes in submission order */
    bool io_errors;          /* the test plans I/O errors: operations may fail with them */
    bool trims;              /* trim may be asked for: time goes on by itself, and ages of passes
                                are 1 ms */
    uint64_t trim_idle_ms;
    bool no_discard;
    struct bb_scrub_config scrub; /* rate 0: none runs */
    bool quiet;                   /* violations are counted, not printed */
    unsigned canary_early; /* planted fault: the oracle believes each PUT (1) or DELETE (2) at
                              once, as if the store had acknowledged early */
};

/* ABORT: a PUT whose body never came: reserves and gives back. */
enum rig_kind { RIG_PUT = 1, RIG_DELETE, RIG_GET, RIG_HEAD, RIG_ABORT };

/* What may be true of an id, after a crash or right now. */
#define RIG_ABSENT 1u
#define RIG_PRESENT 2u
#define RIG_ROTTEN 4u /* stored, bytes wrong, nobody has noticed */
#define RIG_MARKED 8u /* stored, bytes wrong, known */

struct rig_op {
    struct bb_request request; /* first */
    struct rig *rig;
    enum rig_kind kind;
    uint32_t id, port;
    void *buf;
    bool busy;
    uint8_t allowed_at_start;
    uint8_t allowed_since;    /* and all that became possible since */
    bool saw_put, saw_delete; /* one was in flight on the id at some time since the start */
};

struct rig_queue {
    struct bb_message messages[RIG_QUEUE_MAX];
    uint32_t first, count;
};

struct rig {
    struct rig_config config;
    struct bb_random random;
    struct bb_sim *sim;
    struct memindex *mem;
    struct bb_arena arena;
    struct bb_store *store;
    struct bb_buddy *buddy;
    struct bb_port *ports[RIG_PORT_MAX];
    struct rig_queue to_store[RIG_PORT_MAX], to_port[RIG_PORT_MAX];
    struct rig_op ops[RIG_OP_MAX];
    struct bb_hash hashes[RIG_ID_MAX];
    uint32_t sizes[RIG_ID_MAX];
    uint8_t allowed[RIG_ID_MAX];  /* RIG_ABSENT.., one bit when certain */
    uint64_t unit[RIG_ID_MAX];    /* where it was last seen, 0: unknown */
    uint64_t seen_at[RIG_ID_MAX]; /* D when it was seen there */
    struct bb_uuid index_uuid;
    struct bb_recovered recovered;
    struct bb_hasher hasher;         /* the scrub's */
    struct bb_scrub_finding finding; /* the newest */
    uint64_t finding_count;
    struct bb_replay replay; /* while it runs and only reads */
    bool read_only;
    void *scratch; /* of recovery; each rig has its own: one may start inside another's request */
    struct bb_explain explain;
    uint64_t now_ms, wake_ms; /* wake_ms: when the engine wants its next turn */
    uint64_t fold_count;      /* folds of the index when the last turn ended */
    int fatal;
    const char *fatal_what;
    uint64_t acked, violations, op_count;
    uint64_t rebuilds;                      /* tried: each has an index UUID of its own */
    unsigned index_steps;                   /* of the index per turn, 0: random */
    bool woken;                             /* the engine gets a turn whatever it asked for */
    bool queue_full;                        /* nothing can be sent to the controller */
    bool index_paused;                      /* the index answers no jobs */
    const struct bb_index_port *index_port; /* for the engine, NULL: memindex_port */
    bool running;
    void (*after_turn)(void *context); /* called at the end of each rig_turn, NULL: not */
    void *turn_context;
};

/* A formatted store that is not running. */
void rig_open(struct rig *rig, const struct rig_config *config);
void rig_close(struct rig *rig);

/* Recovery, engine, allocator: 0, or the error with rig->explain. BB_ERR_CANCELLED when the device
 * died on the way. */
int rig_start(struct rig *rig);
/* Only the first part of it: rig->recovered. */
int rig_recover(struct rig *rig);
/* As bbd --read-only: nothing is written, rig->replay lies over the index; only GET and HEAD are
 * for it. rig_stop or rig_drop ends it. */
int rig_start_read_only(struct rig *rig);
/* Requests to the device that are no reads, and folds of the index, so far. */
uint64_t rig_written(const struct rig *rig);
/* Rebuilds a lost index (memindex_wipe first); the next rig_start uses it. */
int rig_rebuild(struct rig *rig);
/* Forgets engine and requests, as when the process dies. What was in flight stays allowed both
 * ways. */
void rig_drop(struct rig *rig);
/* Clean stop; the engine is gone afterwards. BB_ERR_CANCELLED when the device died. */
int rig_stop(struct rig *rig);

/* Starts an operation on a free op slot; NULL when all are busy, or the id has one running that
 * this one must not meet. */
struct rig_op *rig_submit(struct rig *rig, enum rig_kind kind, uint32_t id);
/* The same, and waits for it: its result. */
int rig_do(struct rig *rig, enum rig_kind kind, uint32_t id);
/* One loop turn. False when nothing moved. */
bool rig_turn(struct rig *rig);
/* Turns until no operation is busy (true) or the device is dead or the store failed (false). An
 * operation that only a timer would end is a violation. */
bool rig_settle(struct rig *rig);
/* The same for the request of a test: until *done is true. */
bool rig_wait(struct rig *rig, const bool *done);
/* Lets time pass and turns until nothing moves any more: idle record, idle checkpoint. */
bool rig_idle(struct rig *rig, uint64_t ms);
/* A checkpoint now, if there is anything to fold; waits until its anchor is durable. */
bool rig_checkpoint(struct rig *rig);

/* Every id is looked up and read: must be as the oracle allows and is fixed from then on. Then the
 * engine's own invariants. Number of violations, printed. */
uint64_t rig_check(struct rig *rig);
/* Nothing leaks: every unit is used, free, quarantined or in a pool, every credit is in a pool.
 * When no operation is in flight. False: printed. */
bool rig_balance(struct rig *rig);
/* rig_check without an engine, right after rig_recover: from the index and the device. Fixes
 * nothing in the oracle. */
uint64_t rig_check_index(struct rig *rig);

/* A pass of trim from now on; needs config.trims. Its result. */
int rig_trim(struct rig *rig);
/* Damages the stored bytes of an id; false unless it is certainly present, and certainly never
 * re-hashed by a recovery. */
bool rig_rot(struct rig *rig, uint32_t id);

void rig_content(const struct rig *rig, uint32_t id, uint8_t *ret_bytes);
struct bb_store_status rig_status(const struct rig *rig);
/* Ring unit behind the last record. */
uint64_t rig_ring_head(const struct rig *rig);
bool rig_zone_is_opening(const struct rig *rig);
/* The open window finds no room in the ring. */
bool rig_ring_is_full(const struct rig *rig);
/* A record is being written. */
bool rig_record_is_written(const struct rig *rig);
/* Reports and counts what must not be. */
void rig_violation(struct rig *rig, uint32_t id, int result, const char *what);

#endif
