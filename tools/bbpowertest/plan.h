/* SPDX-License-Identifier: Apache-2.0
 * Which record stands where, and what is in it: all that `write` and `check` must agree on.
 *
 * A run writes records 0, 1, 2, ... of 4096 bytes. Record n goes to slot (n mod slots) * step mod
 * slots, so each round over the device takes every slot once, in an order that looks random to the
 * device, and a slot holds the newest record of its residue. A record carries run, number and slot
 * and a digest over all its bytes, which are a function of run and number: torn, older, misplaced
 * and foreign records are told apart. Pure; any thread.
 */
#ifndef BB_POWER_PLAN_H
#define BB_POWER_PLAN_H

#include "bb/assert.h"
#include "bb/format.h"

#include <stdbool.h>
#include <stdint.h>

#define BB_POWER_RECORD 4096u
#define BB_POWER_SLOTS_MIN 64u
#define BB_POWER_SLOTS_MAX (UINT64_C(1) << 31) /* 8 TiB; products of two stay in 64 bits */
#define BB_POWER_DEPTH_MAX 1024u

struct bb_power_plan {
    struct bb_uuid run;
    uint64_t slots;
    uint32_t depth;   /* records between two flushes */
    uint64_t step;    /* has no divisor in common with slots */
    uint64_t inverse; /* step * inverse = 1 modulo slots */
};

/* BB_POWER_SLOTS_MIN <= slots <= BB_POWER_SLOTS_MAX, 1 <= depth <= BB_POWER_DEPTH_MAX. */
void bb_power_plan_make(const struct bb_uuid *run, uint64_t slots, uint32_t depth,
                        struct bb_power_plan *ret_plan);

uint64_t bb_power_slot(const struct bb_power_plan *plan, uint64_t number);
/* The lowest number that goes to the slot; the others follow at distances of plan->slots. */
uint64_t bb_power_first(const struct bb_power_plan *plan, uint64_t slot);

/* ret_record: BB_POWER_RECORD bytes. */
void bb_power_record_make(const struct bb_power_plan *plan, uint64_t number, void *ret_record);
/* Whether these bytes are a whole record of this run that belongs into this slot. */
BB_MUST_USE bool bb_power_record_read(const struct bb_power_plan *plan, uint64_t slot,
                                      const void *record, uint64_t *ret_number);

#endif
