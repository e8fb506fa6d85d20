/* SPDX-License-Identifier: Apache-2.0
 * The whole store in one thread: the daemon's engine and ports over a simulated device and an index
 * in memory, with a naive model of what must be there. Seeded and repeatable.
 *
 * Blocks are named by a small number, the id; content and size follow from it. The oracle knows per
 * id what was acknowledged and what is still open: after a crash an open operation may have
 * happened or not, and what is observed then stays.
 */
#ifndef RIG_H
#define RIG_H

#include "bb/arena.h"
#include "bb/buddy.h"
#include "bb/port.h"
#include "bb/random.h"
#include "bb/recover.h"
#include "bb/sim.h"
#include "memindex.h"

#define RIG_ID_MAX 4096
#define RIG_OP_MAX 32
#define RIG_PORT_MAX 2

struct rig_config {
    uint64_t seed;
    uint64_t device_size;   /* 0: 40 MiB */
    uint64_t journal_size;  /* 0: 1 MiB */
    uint64_t zone_size;     /* 0: 4 MiB */
    size_t memory;          /* 0: 1 MiB for the delta */
    uint32_t slice_max;     /* 0: 64 */
    uint32_t port_count;    /* 0: 1 */
    unsigned fault_percent; /* index lookups that are not in memory */
    uint32_t id_count;      /* ids in use, 0: 64 */
    uint32_t size_max;      /* largest block, 0: 20000 bytes */
    bool in_order;          /* I/O completes in submission order */
};

enum rig_kind { RIG_PUT = 1, RIG_DELETE, RIG_GET, RIG_HEAD };

/* May be true after a crash or right now. */
#define RIG_ABSENT 1u
#define RIG_PRESENT 2u

struct rig_op {
    struct bb_request request; /* first */
    struct rig *rig;
    enum rig_kind kind;
    uint32_t id, port;
    void *buf;
    bool busy;
    bool settled; /* read before the result was known to be stable: see rig.c */
    uint8_t allowed_at_start;
};

struct rig_queue {
    struct bb_message messages[4096];
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
    uint8_t allowed[RIG_ID_MAX]; /* RIG_ABSENT, RIG_PRESENT or both */
    uint32_t inflight_puts[RIG_ID_MAX], inflight_deletes[RIG_ID_MAX];
    struct bb_uuid index_uuid;
    struct bb_recovered recovered;
    struct bb_explain explain;
    uint64_t now_ms;
    int fatal;
    uint64_t acked, violations, op_count;
    bool running;
};

/* A formatted store that is not running. */
void rig_open(struct rig *rig, const struct rig_config *config);
void rig_close(struct rig *rig);

/* Recovery, engine, allocator: 0, or the error with rig->explain. BB_ERR_CANCELLED when the device
 * died on the way. */
int rig_start(struct rig *rig);
/* Forgets engine and requests, as when the process dies. What was in flight stays allowed both
 * ways. */
void rig_drop(struct rig *rig);
/* Clean stop; the engine is gone afterwards. BB_ERR_CANCELLED when the device died. */
int rig_stop(struct rig *rig);

/* Starts an operation on a free op slot; NULL when all are busy or the id has one running already.
 */
struct rig_op *rig_submit(struct rig *rig, enum rig_kind kind, uint32_t id);
/* One loop turn. False when nothing moved. */
bool rig_turn(struct rig *rig);
/* Turns until no operation is busy (true) or the device is dead or the store failed (false). */
bool rig_settle(struct rig *rig);
/* Lets time pass and turns until nothing moves any more: idle record, idle checkpoint. */
bool rig_idle(struct rig *rig, uint64_t ms);

/* Every id is looked up and read: must be as the oracle allows and is fixed from then on. Then the
 * engine's own invariants. Number of violations, printed. */
uint64_t rig_check(struct rig *rig);

/* Damages the stored bytes of an id that is present; false when it is absent. */
bool rig_rot(struct rig *rig, uint32_t id);

#endif
