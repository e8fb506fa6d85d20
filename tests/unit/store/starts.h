/* SPDX-License-Identifier: Apache-2.0
 * What the tests of recovery share: stores written by hand (scribe.h), their crashes and starts.
 * Included once per test program.
 */
#ifndef STORE_STARTS_H
#define STORE_STARTS_H

#include "../base/unit.h"

#include "scribe.h"

#include "bb/bits.h"
#include "bb/err.h"

static inline uint64_t place(struct scribe *scribe, unsigned key)
{
    struct bb_random random;
    bb_random_seed(&random, key + 77);
    return scribe_place(scribe, bb_units_of(scribe_size(key)), &random);
}

static inline void put(struct scribe *scribe, unsigned key)
{
    scribe_put(scribe, key, place(scribe, key), true);
}

static inline int recover(struct scribe *scribe, struct bb_recovered *ret_recovered)
{
    struct bb_explain explain;
    int error = scribe_recover(scribe->sim, scribe->mem, ret_recovered, &explain);
    if (error != 0)
        print_message("  %s\n", explain.text);
    assert_true(error == 0 || explain.text[0] != '\0');
    return error;
}

static inline struct bb_recovered recover_ok(struct scribe *scribe)
{
    struct bb_recovered recovered;
    assert_int_equal(recover(scribe, &recovered), 0);
    scribe_check(scribe, scribe->sim, scribe->mem);
    return recovered;
}

static inline uint64_t ring_offset(const struct scribe *scribe, uint64_t position)
{
    return scribe->super.layout.journal_offset + position * BB_UNIT_SIZE;
}

static inline void flip(struct scribe *scribe, uint64_t offset)
{
    uint8_t byte;
    bb_sim_peek(scribe->sim, offset, &byte, 1);
    byte ^= 1;
    bb_sim_poke(scribe->sim, offset, &byte, 1);
}

static inline void cut_none(struct scribe *scribe)
{
    bb_sim_power_cut(scribe->sim, bb_sim_choose_none, NULL);
}

static inline void cut_all(struct scribe *scribe)
{
    bb_sim_power_cut(scribe->sim, bb_sim_choose_all, NULL);
}

#endif
