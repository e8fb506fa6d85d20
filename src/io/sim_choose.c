/* SPDX-License-Identifier: Apache-2.0
 * The ready choosers of the simulated device (sim.h): which writes a power cut leaves. Pure but for
 * the generator that the random one is given.
 */
#include "bb/sim.h"

struct bb_sim_fate bb_sim_choose_none(void *unused, const struct bb_sim_write *write)
{
    (void)unused;
    (void)write;
    return (struct bb_sim_fate){.part = BB_SIM_ABSENT};
}

struct bb_sim_fate bb_sim_choose_all(void *unused, const struct bb_sim_write *write)
{
    (void)unused;
    (void)write;
    return (struct bb_sim_fate){.part = BB_SIM_COMPLETE};
}

struct bb_sim_fate bb_sim_choose_all_but(void *index, const struct bb_sim_write *write)
{
    bool missing = write->index == *(const size_t *)index;
    return (struct bb_sim_fate){.part = missing ? BB_SIM_ABSENT : BB_SIM_COMPLETE};
}

struct bb_sim_fate bb_sim_choose_random(void *random, const struct bb_sim_write *write)
{
    uint32_t sector_count = write->size / 512;
    uint64_t draw = bb_random_below(random, 5);
    if (draw < 2)
        return (struct bb_sim_fate){.part = BB_SIM_ABSENT};
    if (draw < 4 || sector_count < 2)
        return (struct bb_sim_fate){.part = BB_SIM_COMPLETE};
    return (struct bb_sim_fate){
        .part = BB_SIM_PREFIX + (unsigned)bb_random_below(random, 3),
        .sectors = 1 + (uint32_t)bb_random_below(random, sector_count - 1),
    };
}

struct bb_sim_fate bb_sim_choose_code(void *code_u64, const struct bb_sim_write *write)
{
    static const enum bb_sim_part parts[BB_SIM_CODE_BASE] = {
        BB_SIM_ABSENT, BB_SIM_COMPLETE, BB_SIM_PREFIX, BB_SIM_SUFFIX, BB_SIM_ALTERNATE};
    uint64_t code = *(const uint64_t *)code_u64;
    for (size_t i = 0; i < write->index && code > 0; i++)
        code /= BB_SIM_CODE_BASE;
    return (struct bb_sim_fate){.part = parts[code % BB_SIM_CODE_BASE],
                                .sectors = write->size / 512 / 2};
}
