/* SPDX-License-Identifier: Apache-2.0
 * Lookups whose index page is not in memory: they go to the index in batches and are stepped again
 * with the answer. Owner: the controller.
 *
 * The answer was read in a snapshot that is at least as new as the generation noted at submission.
 * If the delta has dropped entries since, it proves nothing and the op looks again (op_find).
 */
#include "engine.h"

static void batch_submit(struct bb_store *store, struct lookup_batch *batch)
{
    BB_ASSERT(!batch->busy);
    uint32_t count = 0;
    while (count < BB_LOOKUP_BATCH && store->faulting.head != NULL) {
        struct bb_op *op = op_pop(&store->faulting);
        batch->hashes[count++] = op->hash;
        op_push(&batch->ops, op);
    }
    batch->busy = true;
    batch->generation = store->generation;
    batch->job = (struct bb_index_job){.kind = BB_JOB_LOOKUP,
                                       .hashes = batch->hashes,
                                       .entries = batch->entries,
                                       .count = count,
                                       .owner = batch};
    store->config.index.submit(store->config.index.context, &batch->job);
}

void lookups_turn(struct bb_store *store)
{
    for (unsigned i = 0; i < BB_LOOKUP_JOBS && store->faulting.head != NULL; i++) {
        if (!store->lookups[i].busy) {
            batch_submit(store, &store->lookups[i]);
        }
    }
}

void lookups_done(struct bb_store *store, struct bb_index_job *job)
{
    struct lookup_batch *batch = job->owner;
    BB_ASSERT(batch->busy);
    batch->busy = false;
    struct bb_op_list ops = op_take_all(&batch->ops);
    uint32_t index = 0;
    for (struct bb_op *op = op_pop(&ops); op != NULL; op = op_pop(&ops)) {
        op->generation = batch->generation;
        op->entry = batch->entries[index];
        op->entry_result = job->result != 0                           ? job->result
                           : batch->entries[index].unit == UINT64_MAX ? -ENOENT
                                                                      : 0;
        index++;
        op_step(store, op);
    }
    BB_ASSERT(index == job->count);
}
