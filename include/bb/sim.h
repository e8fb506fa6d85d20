/* SPDX-License-Identifier: Apache-2.0
 * A simulated data device: the `sim` back end of io.h. In memory, sparse, with a volatile write
 * cache, faults, process death and power cuts; same seed, same bytes. Test equipment: it allocates
 * with malloc and a wrong use of it is an assertion.
 *
 * The cache: a write becomes visible to reads when it completes. It is durable only when a flush
 * that was submitted after that completion has itself completed. Until then it stands in the list
 * of undurable writes, every version, oldest first. Writes in flight (also hung ones) follow it, in
 * the order of submission.
 *
 * A discard is a write of bytes that nobody chose: each unit becomes, by seed, zeros or garbage on
 * the medium, and before that, for reads, also what it was. So what is read after it, after a flush
 * and after a power cut differs, as it does on devices.
 *
 * One thread owns a device and all clones of it: they share units by plain reference counts.
 * Caught as bugs of the engine by assertion: a buffer changed while its write was in flight, a
 * request on units that a write in flight covers, a write on units that a read in flight covers.
 */
#ifndef BB_SIM_H
#define BB_SIM_H

#include "bb/hash.h"
#include "bb/io.h"
#include "bb/random.h"

struct bb_sim;

struct bb_sim_config {
    uint64_t size;            /* bytes, multiple of 4096; costs 8 bytes per 2 MiB until written */
    uint32_t logical_sector;  /* 0: 512 */
    uint32_t physical_sector; /* 0: 4096 */
    uint64_t seed;
    /* A poll completes all that was queued, in order, instead of a random non-empty part of it. */
    bool in_order;
    bool allow_overlap; /* no assertion on overlapping requests in flight */
    bool no_discard;    /* a device without discard; else granularity 4096, at most 8 MiB */
    uint32_t discard_granularity; /* 0: 4096 */
};

struct bb_sim *bb_sim_open(const struct bb_sim_config *config);
void bb_sim_close(struct bb_sim *sim);

/* A copy that goes its own way: content, cache, random state, counters, whether it is dead. What is
 * in flight in the original is in flight in the copy as writes that never complete (their owners
 * are the original's). Fault hook and armed cut are not taken over. Microseconds: untouched units
 * are shared. */
struct bb_sim *bb_sim_clone(const struct bb_sim *sim);
void bb_sim_reseed(struct bb_sim *sim, uint64_t seed);

/* The device as the engine sees it. poll(wait) returns -ETIMEDOUT when only hung requests are in
 * flight, since nothing can ever come. */
struct bb_io *bb_sim_io(struct bb_sim *sim);

/* Death at a chosen request: the n-th one submitted from now (1 is the next, 0 disarms) and
 * everything in flight or later never completes; poll and the blocking helpers return
 * BB_ERR_CANCELLED. From then on no request and no buffer of the engine is touched. */
void bb_sim_cut_at(struct bb_sim *sim, uint64_t n);
bool bb_sim_is_dead(const struct bb_sim *sim);

/* ---- Power cut ---- */

/* An undurable or in-flight write, as a chooser sees it. */
struct bb_sim_write {
    size_t index; /* in the list, 0 is the oldest */
    size_t count; /* of the list */
    enum bb_io_class class;
    uint64_t offset;
    uint32_t size;   /* bytes, multiple of 512 (a short write leaves less than asked) */
    uint64_t number; /* of its request, 1 is the first after open, cut or kill */
    bool in_flight;
};

enum bb_sim_part {
    BB_SIM_ABSENT,
    BB_SIM_COMPLETE,
    BB_SIM_PREFIX,   /* the first `sectors` sectors of 512 bytes */
    BB_SIM_SUFFIX,   /* the last `sectors` sectors */
    BB_SIM_ALTERNATE /* every other sector, the first of them number `sectors` % 2 */
};

struct bb_sim_fate {
    enum bb_sim_part part;
    uint32_t sectors;
};

typedef struct bb_sim_fate (*bb_sim_chooser)(void *context, const struct bb_sim_write *write);

/* Makes the crash image: the durable image, over it the undurable and in-flight writes in order,
 * each as far as the chooser says. As they are laid over each other, each sector ends as any of its
 * versions. Afterwards the device is alive, the cache empty, numbers and counters are 0, requests
 * in flight are forgotten (their done never runs). Works on a live device too. */
void bb_sim_power_cut(struct bb_sim *sim, bb_sim_chooser chooser, void *context);

struct bb_sim_fate bb_sim_choose_none(void *unused, const struct bb_sim_write *write);
struct bb_sim_fate bb_sim_choose_all(void *unused, const struct bb_sim_write *write);
/* All but the one whose index is *(size_t *)index. */
struct bb_sim_fate bb_sim_choose_all_but(void *index, const struct bb_sim_write *write);
/* From a struct bb_random: absent and complete two times in five each, else torn. */
struct bb_sim_fate bb_sim_choose_random(void *random, const struct bb_sim_write *write);
/* Exhaustive: the code in base BB_SIM_CODE_BASE has one digit per write, the oldest first, 0
 * absent, 1 complete, 2 first half, 3 second half, 4 alternating. BB_SIM_CODE_BASE to the power of
 * the count, codes in all. */
#define BB_SIM_CODE_BASE 5
struct bb_sim_fate bb_sim_choose_code(void *code_u64, const struct bb_sim_write *write);

/* Undurable writes and writes in flight: what a chooser would be asked about. */
size_t bb_sim_undurable_count(const struct bb_sim *sim);
struct bb_sim_write bb_sim_undurable(const struct bb_sim *sim, size_t index);

/* Death of the process, the machine lives on: each write in flight is applied or not, by seed. The
 * cache stays visible and stays undurable. Else as after a power cut. */
void bb_sim_kill(struct bb_sim *sim);

/* ---- Faults ---- */

enum bb_sim_fault_kind {
    BB_SIM_PASS,
    BB_SIM_FAIL,  /* completes with `error`, applied as told */
    BB_SIM_SHORT, /* completes with BB_ERR_SHORT_IO, partly applied */
    BB_SIM_HANG,  /* never completes; its write stays in flight until cut or kill */
    BB_SIM_LATE   /* cannot complete in the next `polls` polls (a waiting poll waits it out) */
};
enum bb_sim_applied { BB_SIM_NOT, BB_SIM_PARTLY, BB_SIM_FULLY };

struct bb_sim_fault {
    enum bb_sim_fault_kind kind;
    int32_t error;               /* FAIL, negative */
    enum bb_sim_applied applied; /* FAIL; PARTLY is a random prefix, for a flush it means NOT */
    uint32_t polls;              /* LATE */
};

/* Called at each submit on a live device with the number of the request. NULL takes it away. It
 * survives cut and kill. */
typedef struct bb_sim_fault (*bb_sim_fault_fn)(void *context, const struct bb_io_request *request,
                                               uint64_t number);
void bb_sim_set_fault(struct bb_sim *sim, bb_sim_fault_fn fault, void *context);

/* ---- Looking and damaging ---- */

/* Visible content; any offset and size inside the device. */
void bb_sim_peek(const struct bb_sim *sim, uint64_t offset, void *buf, size_t size);
/* Changes bytes, at once visible and durable. A cached write on the same sectors may still come
 * over them in a power cut. */
void bb_sim_poke(struct bb_sim *sim, uint64_t offset, const void *buf, size_t size);

/* Digest of the durable image: equal exactly for equal bytes. Cached per 2 MiB, so that the digest
 * of a clone costs what changed. */
void bb_sim_digest(struct bb_sim *sim, struct bb_hash *ret_digest);

struct bb_sim_counts {
    uint64_t submitted[BB_IO_CLASS_COUNT][BB_IO_OP_COUNT]; /* [class][op] */
    uint64_t completed[BB_IO_CLASS_COUNT][BB_IO_OP_COUNT];
    uint64_t failed; /* completions with an error */
};
const struct bb_sim_counts *bb_sim_get_counts(const struct bb_sim *sim);
/* Requests submitted since open, cut or kill; a dead device counts no further. */
uint64_t bb_sim_submitted(const struct bb_sim *sim);

#endif
