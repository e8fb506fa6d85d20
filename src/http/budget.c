/* SPDX-License-Identifier: Apache-2.0
 * The division of --memory. The resident set stays within it plus 16 MiB for what is not ours to
 * divide: stacks, libraries, LMDB's own tables.
 */
#include "bb/budget.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/index.h"
#include "bb/text.h"

#include <stdio.h>

#define SLICE_KEY_COST 4608u /* a dirty leaf page, its share of the branches, its list entries */
#define SLICE_MIN 256u
#define WORKER_IO_MIN ((uint64_t)2 << 20)
#define WORKER_IO_GOOD ((uint64_t)4 << 20)
#define FIXED ((uint64_t)1 << 20) /* queues, jobs of the index service, ports */

uint64_t bb_budget_default_memory(uint64_t machine_memory)
{
    uint64_t share = bb_align_down(machine_memory / 32, BB_MIB);
    return bb_min_u64(bb_max_u64(share, BB_MEMORY_MIN), BB_MEMORY_DEFAULT_MAX);
}

/* What --memory would have to be, in whole MiB. The delta and LMDB take 3/8 of whatever it is. */
static uint64_t enough_for(uint64_t others)
{
    uint64_t needed = bb_div_ceil((others + WORKER_IO_MIN) * 8, 5);
    return bb_max_u64(bb_align_up(needed, BB_MIB), BB_MEMORY_MIN);
}

static int refuse(const struct bb_budget_need *need, uint64_t enough, char *ret_sentence,
                  size_t sentence_size)
{
    char have[32];
    char buddy[32];
    (void)snprintf(
        ret_sentence, sentence_size,
        "memory: %s do not hold the map of free space of this device (%s), %u connections "
        "and the I/O buffers, start with --memory %lluM or more",
        bb_text_of_size(need->memory, have, sizeof(have)),
        bb_text_of_size(need->buddy, buddy, sizeof(buddy)), need->connections,
        (unsigned long long)(enough / BB_MIB));
    return BB_ERR_MEMORY;
}

/* Pages are touched as they are needed: beyond the limit the process would be killed some day. */
static int refuse_limit(const struct bb_budget_need *need, char *ret_sentence, size_t sentence_size)
{
    char have[32];
    char limit[32];
    (void)snprintf(ret_sentence, sentence_size,
                   "memory: the control group allows %s in all, too little for --memory %s and the "
                   "%lluM beside it, raise MemoryMax or lower --memory",
                   bb_text_of_size(need->limit, limit, sizeof(limit)),
                   bb_text_of_size(need->memory, have, sizeof(have)),
                   (unsigned long long)(BB_MEMORY_EXTRA / BB_MIB));
    return BB_ERR_MEMORY;
}

int bb_budget_make(const struct bb_budget_need *need, struct bb_budget *ret_budget,
                   char *ret_sentence, size_t sentence_size)
{
    BB_ASSERT(need->workers > 0);
    BB_ASSERT(need->connections > 0);
    if (need->limit > 0 && need->limit < need->memory + BB_MEMORY_EXTRA)
        return refuse_limit(need, ret_sentence, sentence_size);
    uint64_t others = FIXED + need->buddy + (uint64_t)need->connections * need->connection_cost +
                      (uint64_t)need->tls_connections * need->tls_cost;
    uint64_t enough = enough_for(others);
    if (need->memory < enough)
        return refuse(need, enough, ret_sentence, sentence_size);

    struct bb_budget budget = {.memory = need->memory,
                               .buddy = need->buddy,
                               .connections = need->connections,
                               .tls_connections = need->tls_connections};
    budget.delta = (size_t)(need->memory / BB_BUDGET_DELTA_SHARE);
    uint64_t lmdb = need->memory / 8;
    budget.slice_max =
        (uint32_t)bb_min_u64(bb_max_u64(lmdb / SLICE_KEY_COST, SLICE_MIN), BB_INDEX_SLICE_MAX);
    uint64_t io = need->memory - budget.delta - lmdb - others;
    BB_ASSERT(io >= WORKER_IO_MIN);
    uint64_t affordable = bb_max_u64(io / WORKER_IO_GOOD, 1);
    budget.workers = (unsigned)bb_min_u64(need->workers, affordable);
    budget.io_per_worker = (size_t)bb_align_down(io / budget.workers, BB_MIB);
    BB_ASSERT(budget.io_per_worker >= WORKER_IO_MIN);
    *ret_budget = budget;
    return 0;
}
