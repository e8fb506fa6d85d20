/* SPDX-License-Identifier: Apache-2.0
 * Places and contents of records: plan.h.
 */
#include "bbpowertest/plan.h"

#include "bb/hash.h"
#include "bb/le.h"
#include "bb/random.h"

static const uint8_t magic[8] = {'B', 'B', 'P', 'O', 'W', 'E', 'R', '1'};

struct record {
    uint8_t magic[8];
    struct bb_digest digest; /* over the record with these bytes zero */
    struct bb_uuid run;
    struct bb_le64 number;
    struct bb_le64 slot;
    uint8_t filling[BB_POWER_RECORD - 56];
};
_Static_assert(sizeof(struct record) == BB_POWER_RECORD, "a record fills its slot");

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Extended Euclid (Knuth, TAOCP 4.5.2): the x with step * x = 1 modulo slots. */
static uint64_t inverse_of(uint64_t step, uint64_t slots)
{
    int64_t x = 0, next_x = 1;
    uint64_t rest = slots, next_rest = step;
    while (next_rest != 0) {
        uint64_t quotient = rest / next_rest, rest_after = rest % next_rest;
        int64_t x_after = x - (int64_t)quotient * next_x;
        x = next_x;
        next_x = x_after;
        rest = next_rest;
        next_rest = rest_after;
    }
    BB_ASSERT(rest == 1);
    return x < 0 ? (uint64_t)(x + (int64_t)slots) : (uint64_t)x;
}

void bb_power_plan_make(const struct bb_uuid *run, uint64_t slots, uint32_t depth,
                        struct bb_power_plan *ret_plan)
{
    BB_ASSERT(slots >= BB_POWER_SLOTS_MIN);
    BB_ASSERT(slots <= BB_POWER_SLOTS_MAX);
    BB_ASSERT(depth >= 1);
    BB_ASSERT(depth <= BB_POWER_DEPTH_MAX);
    uint64_t step = slots / 1000 * 618 + slots % 1000 * 618 / 1000; /* the golden section */
    while (common_divisor(slots, step) != 1)
        step++;
    *ret_plan = (struct bb_power_plan){.run = *run,
                                       .slots = slots,
                                       .depth = depth,
                                       .step = step,
                                       .inverse = inverse_of(step, slots)};
}

uint64_t bb_power_slot(const struct bb_power_plan *plan, uint64_t number)
{
    return number % plan->slots * plan->step % plan->slots;
}

uint64_t bb_power_first(const struct bb_power_plan *plan, uint64_t slot)
{
    BB_ASSERT(slot < plan->slots);
    return slot * plan->inverse % plan->slots;
}

static void digest_of(const struct record *record, struct bb_digest *ret_digest)
{
    bb_digest_of_unit(record, sizeof(*record), sizeof(record->magic), ret_digest);
}

void bb_power_record_make(const struct bb_power_plan *plan, uint64_t number, void *ret_record)
{
    struct record *record = ret_record;
    struct bb_random random;
    uint64_t seed;
    memcpy(&seed, plan->run.bytes, sizeof(seed));
    bb_random_seed(&random, seed + number);
    memcpy(record->magic, magic, sizeof(magic));
    record->run = plan->run;
    record->number = bb_le64_make(number);
    record->slot = bb_le64_make(bb_power_slot(plan, number));
    bb_random_fill(&random, record->filling, sizeof(record->filling));
    digest_of(record, &record->digest);
}

bool bb_power_record_read(const struct bb_power_plan *plan, uint64_t slot, const void *bytes,
                          uint64_t *ret_number)
{
    const struct record *record = bytes;
    struct bb_digest digest;
    uint64_t number = bb_le64_get(record->number);
    if (memcmp(record->magic, magic, sizeof(magic)) != 0 ||
        memcmp(&record->run, &plan->run, sizeof(plan->run)) != 0 ||
        bb_le64_get(record->slot) != slot || bb_power_slot(plan, number) != slot)
        return false;
    digest_of(record, &digest);
    if (!bb_digest_equal(&digest, &record->digest))
        return false;
    *ret_number = number;
    return true;
}
