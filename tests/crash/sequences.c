/* SPDX-License-Identifier: Apache-2.0
 * All sequences of a few operations on two blocks, cut everywhere (explore.h).
 * usage: crash_sequences [SEED [LENGTH [MORE [LMDB]]]]
 *     LENGTH: all sequences up to it (4)
 *     MORE: of those one longer, each MORE-th, beginning with SEED (0: none)
 *     LMDB: all sequences up to this length also with the real LMDB under the store (3), and of
 *         those one longer the ones in which a checkpoint starts and finishes
 *
 * With BB_PACE=quick both are one less.
 *
 * Operations: PUT and DELETE of A and of B, start of a checkpoint (up to where the index is asked),
 * its finish, idle time, and healing A, which rots before. A sequence runs twice: each operation
 * is acknowledged before the next begins, or the last begins while the one before it is on its way.
 * The cuts of a sequence are those of its last step; those before belong to a shorter one. Up to
 * six writes that are not flushed go through all combinations of absent, complete and torn in three
 * ways. The first violation ends it.
 */
#include "explore.h"

#include "bb/err.h"
#include "pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum step {
    PUT_A,
    PUT_B,
    DELETE_A,
    DELETE_B,
    CHECKPOINT_START,
    CHECKPOINT_FINISH,
    IDLE,
    HEAL_A,
    STEP_COUNT
};

#define LENGTH_MAX 4

/* Ids of the rig. */
#define A 1
#define B 2
#define C 3 /* is there from the beginning */

struct sequence {
    enum step steps[LENGTH_MAX];
    unsigned length;
    bool overlap; /* of the last two */
};

static const char *const names[STEP_COUNT] = {
    "PUT A", "PUT B", "DELETE A", "DELETE B", "checkpoint starts", "checkpoint finishes",
    "idle",  "heal A"};

static const struct rig_config config = {
    .id_count = 4, .size_fixed = 9000, .slice_max = 2, .device_size = BB_DEVICE_SIZE_MIN};

static struct rig rig;
static struct explorer explorer;
static struct explore_base base;
static uint64_t heals, checkpoints; /* in all sequences */

/* ---- steps ---- */

static void submit(enum rig_kind kind, uint32_t id)
{
    if (rig_submit(&rig, kind, id) == NULL) { /* the one before is on the same block */
        (void)rig_settle(&rig);
        (void)rig_submit(&rig, kind, id);
    }
}

/* Pages are written, the index is asked and does not answer. */
static void checkpoint_start(void)
{
    rig.index_paused = true;
    bb_store_checkpoint(rig.store);
    rig.woken = true;
    for (unsigned still = 0; still < 3 && memindex_pending(rig.mem) == 0;) {
        still = rig_turn(&rig) ? 0 : still + 1;
    }
}

/* As rig_idle, which waits for an index that is told to stand still. */
static void idle(void)
{
    for (unsigned turn = 0; turn < 60; turn++) {
        rig.now_ms += turn % 20 == 0 ? 25 : 0;
        (void)rig_turn(&rig);
    }
}

static void heal(void)
{
    (void)rig_settle(&rig);
    if (rig.allowed[A] == RIG_PRESENT && !rig_rot(&rig, A)) {
        (void)rig_do(&rig, RIG_GET, A); /* so that it is known where it is, */
        idle();                         /* and that no start hashes it again */
        (void)rig_rot(&rig, A);
    }
    if (rig.allowed[A] == RIG_ROTTEN) {
        (void)rig_do(&rig, RIG_GET, A);
        submit(RIG_PUT, A);
    }
}

static void take_step(enum step step)
{
    switch (step) {
    case PUT_A:
    case PUT_B:
        submit(RIG_PUT, step == PUT_A ? A : B);
        break;
    case DELETE_A:
    case DELETE_B:
        submit(RIG_DELETE, step == DELETE_A ? A : B);
        break;
    case CHECKPOINT_START:
        checkpoint_start();
        break;
    case CHECKPOINT_FINISH:
        rig.index_paused = false;
        (void)rig_idle(&rig, 0);
        break;
    case IDLE:
        idle();
        break;
    default:
        heal();
        break;
    }
}

/* ---- sequences ---- */

static void print_sequence(const struct sequence *sequence)
{
    fprintf(stderr, "sequence:");
    for (unsigned i = 0; i < sequence->length; i++) {
        fprintf(stderr, "%s %s",
                i == 0                                           ? ""
                : i + 1 == sequence->length && sequence->overlap ? " with"
                                                                 : ",",
                names[sequence->steps[i]]);
    }
    fprintf(stderr, "\n");
}

static void run_sequence(const struct sequence *sequence, uint64_t seed)
{
    explore_restore(&explorer, &base, seed);
    explorer.on = false;
    int result = rig_start(&rig);
    BB_ASSERT(result == 0);
    for (unsigned i = 0; i < sequence->length; i++) {
        bool last = i + 1 == sequence->length;
        explorer.on = last || (sequence->overlap && i + 2 == sequence->length);
        take_step(sequence->steps[i]);
        if (!explorer.on || last) {
            (void)rig_settle(&rig);
        } else {
            (void)rig_turn(&rig);
        }
    }
    explorer.on = false;
    struct bb_store_status status = rig_status(&rig);
    heals += status.heals;
    checkpoints += status.checkpoints;
    rig_drop(&rig);
    if (explorer.violations + rig.violations > 0) {
        print_sequence(sequence);
    }
}

static struct sequence sequence_of(uint64_t code, unsigned length, bool overlap)
{
    struct sequence sequence = {.length = length, .overlap = overlap};
    for (unsigned i = 0; i < length; i++, code /= STEP_COUNT) {
        sequence.steps[i] = (enum step)(code % STEP_COUNT);
    }
    return sequence;
}

/* Only what a checkpoint finishes is written to the index. */
static bool has_checkpoint(const struct sequence *sequence)
{
    bool started = false, finished = false;
    for (unsigned i = 0; i < sequence->length; i++) {
        finished |= started && sequence->steps[i] == CHECKPOINT_FINISH;
        started |= sequence->steps[i] == CHECKPOINT_START;
    }
    return finished;
}

static void run_length(uint64_t seed, unsigned length, uint64_t every, bool with_checkpoint)
{
    uint64_t codes = 1;
    for (unsigned i = 0; i < length; i++) {
        codes *= STEP_COUNT;
    }
    for (uint64_t code = every == 1 ? 0 : seed % every; code < codes; code += every) {
        for (unsigned overlap = 0; overlap < (length > 1 ? 2 : 1); overlap++) {
            struct sequence sequence = sequence_of(code, length, overlap == 1);
            if (explorer.violations + rig.violations == 0 &&
                (!with_checkpoint || has_checkpoint(&sequence))) {
                run_sequence(&sequence, seed * 1000003 + code);
            }
        }
    }
}

/* ---- stores ---- */

/* A store with C in its first zone, which a checkpoint has seen; or as it was formatted. */
static bool open_store(uint64_t seed, bool with_lmdb, bool fresh)
{
    struct rig_config seeded = config;
    seeded.seed = seed;
    seeded.in_order = seed % 2 == 0;
    rig_open(&rig, &seeded);
    rig.index_steps = 1;
    explore_open(&explorer, &rig);
    explorer.all_up_to = 6;
    explorer.engine_every = 64;
    explorer.nested_every = with_lmdb ? 64 : 24;
    explorer.copy_every = 16;
    if (with_lmdb && !explore_with_lmdb(&explorer)) {
        return false;
    }
    if (!fresh) {
        int result = rig_start(&rig);
        BB_ASSERT(result == 0);
        result = rig_do(&rig, RIG_PUT, C);
        BB_ASSERT(result == 0);
        result = rig_stop(&rig);
        BB_ASSERT(result == 0);
    }
    explore_save(&explorer, &base);
    return true;
}

static void close_store(void)
{
    explore_base_drop(&base);
    explore_close(&explorer);
    rig_close(&rig);
}

struct totals {
    uint64_t violations;
    struct explore_counts counts;
};

static void add(struct totals *totals)
{
    explore_add_counts(&explorer.counts, &totals->counts);
    totals->violations += explorer.violations + rig.violations;
}

/* ---- canaries ---- */

static bool canary(const char *name, unsigned early, bool lose_record, bool lose_page)
{
    if (!open_store(1, lose_page, false)) {
        printf("sequences: canary: %s: no place for LMDB\n", name);
        close_store();
        return false;
    }
    rig.config.quiet = explorer.crash.config.quiet = true;
    rig.config.canary_early = early;
    explorer.lose_record = lose_record;
    explorer.lose_page = lose_page;
    for (unsigned i = 0; i < STEP_COUNT && explorer.violations == 0; i++) {
        struct sequence sequence = {.steps = {PUT_A, lose_page ? CHECKPOINT_START : (enum step)i,
                                              lose_page ? CHECKPOINT_FINISH : DELETE_A},
                                    .length = 3};
        explore_restore(&explorer, &base, 1);
        int result = rig_start(&rig);
        BB_ASSERT(result == 0);
        explorer.on = true;
        for (unsigned at = 0; at < sequence.length; at++) {
            take_step(sequence.steps[at]);
            (void)rig_settle(&rig);
        }
        rig_drop(&rig);
    }
    uint64_t found = explorer.violations;
    close_store();
    printf("sequences: canary: %s: %s (%llu images)\n", name, found > 0 ? "caught" : "MISSED",
           (unsigned long long)found);
    return found > 0;
}

/* The hashes that are kept (memo.h) are those of a hasher that keeps none, and every bit counts. */
static bool memo_is_right(void)
{
    static uint8_t bytes[9000];
    struct bb_random random;
    struct bb_hasher hasher;
    bool right = bb_hasher_open(&hasher) == 0;
    bb_random_seed(&random, 1);
    bb_random_fill(&random, bytes, sizeof(bytes));
    for (unsigned i = 0; i < 2000 && right; i++) {
        struct bb_hash first, again, real;
        size_t size = 1 + bb_random_below(&random, i % 2 == 0 ? 600 : sizeof(bytes));
        bytes[bb_random_below(&random, size)] ^= (uint8_t)(1u << bb_random_below(&random, 8));
        bb_hash_of(bytes, size, &first);
        bb_hash_of(bytes, size, &again);
        bb_hasher_begin(&hasher);
        bb_hasher_update(&hasher, bytes, size);
        bb_hasher_end(&hasher, &real);
        right = bb_hash_equal(&first, &real) && bb_hash_equal(&again, &real);
    }
    bb_hasher_close(&hasher);
    printf("sequences: kept hashes: %s\n", right ? "right" : "WRONG");
    return right;
}

static bool canaries(bool with_lmdb)
{
    bool caught = memo_is_right();
    caught &= canary("PUT acknowledged early", 1, false, false);
    caught &= canary("DELETE acknowledged early", 2, false, false);
    caught &= canary("flushed record lost", 0, true, false);
    if (with_lmdb) {
        caught &= canary("flushed page of the index lost", 0, false, true);
    }
    return caught;
}

static uint64_t argument(int argc, char **argv, int at, uint64_t otherwise)
{
    return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    const char *env = getenv("BB_SEED");
    uint64_t seed = argument(argc, argv, 1, env != NULL ? strtoull(env, NULL, 10) : 1);
    bool quick = pace_is_quick();
    unsigned length = (unsigned)argument(argc, argv, 2, quick ? 3 : 4);
    uint64_t more = argument(argc, argv, 3, 0);
    unsigned lmdb = (unsigned)argument(argc, argv, 4, quick ? 2 : 3);
    BB_ASSERT(length <= LENGTH_MAX && lmdb <= LENGTH_MAX);
    struct totals totals = {0};
    bool caught = canaries(lmdb > 0);
    for (unsigned part = 0; part < 3 && caught && totals.violations == 0; part++) {
        static const char *const parts[] = {"a store in use", "a fresh store", "LMDB"};
        unsigned all = part == 0 ? length : part == 1 ? (length < 2 ? length : 2) : lmdb;
        if (!open_store(seed, part == 2, part == 1)) {
            printf("sequences: no place for LMDB\n");
            caught = false;
        }
        for (unsigned l = 1; l <= all && caught; l++) {
            run_length(seed, l, 1, false);
        }
        if (part == 0 && more > 0 && length < LENGTH_MAX) {
            run_length(seed, length + 1, more, false);
        }
        if (part == 2 && caught && lmdb > 0 && lmdb < LENGTH_MAX) {
            run_length(seed, lmdb + 1, 1, true);
        }
        printf("sequences: %s: ", parts[part]);
        explore_print_counts(&explorer.counts);
        add(&totals);
        close_store();
    }
    printf("sequences: %llu checkpoints, %llu heals\n", (unsigned long long)checkpoints,
           (unsigned long long)heals);
    BB_ASSERT(totals.violations > 0 || length < 3 || (heals > 0 && checkpoints > 0));
    explore_print_sum("sequences", seed, seed, &totals.counts, totals.violations);
    return totals.violations != 0 || !caught;
}
