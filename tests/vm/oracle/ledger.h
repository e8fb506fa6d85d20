/* SPDX-License-Identifier: Apache-2.0
 * What the oracle knows: for a fixed number of blocks whether the store must have each of them.
 *
 * The ledger is a file in memory of the guest, outside of every device under test, and stays when
 * the store, its devices' power and the oracle itself end. Each slot belongs to one thread at a
 * time. The intent is noted before a request is sent, the outcome after its reply was read; what
 * was between the two is in doubt and settled by the next look.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_THREADS 8
#define LEDGER_SLOTS_EACH 24
#define LEDGER_SLOTS (LEDGER_THREADS * LEDGER_SLOTS_EACH)
#define LEDGER_BLOCK_MAX (1u << 20)
#define LEDGER_NAME_SIZE 64

enum slot_state {
    SLOT_ABSENT,  /* never sent, or its DELETE was acknowledged */
    SLOT_PRESENT, /* its PUT was acknowledged */
    SLOT_IN_DOUBT /* a PUT or DELETE was sent and not answered with success */
};

struct slot {
    uint64_t number; /* which content; never used again for another one */
    uint32_t size;   /* bytes */
    uint32_t state;
    char name[LEDGER_NAME_SIZE + 8]; /* hex, terminated */
};

struct ledger {
    uint64_t magic;
    uint64_t seed;
    _Atomic uint64_t next_number;
    struct slot slots[LEDGER_SLOTS];
};

/* Makes the file with every slot absent. Ends the program when that fails. */
void ledger_make(const char *path, uint64_t seed);
/* Maps it for reading and writing; stays mapped. Ends the program when that fails. */
struct ledger *ledger_open(const char *path);

/* Another content for an absent slot. body has LEDGER_BLOCK_MAX bytes and is overwritten. */
void ledger_renew(struct ledger *ledger, struct slot *slot, uint8_t *body);
/* The bytes of a slot's block. */
void ledger_body(const struct ledger *ledger, const struct slot *slot, uint8_t *ret_body);

/* Next number of a generator (splitmix64). */
uint64_t ledger_random(uint64_t *state);

#endif
