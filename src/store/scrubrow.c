/* SPDX-License-Identifier: Apache-2.0
 * Where the scrub stands, over restarts: in the index's row, set by the last slice of every
 * checkpoint and by folds without changes. Owner: the controller.
 *
 * The set of the pages seen is worth something only beside the index that it was taken from: `of`
 * is the whole set then. A start that rolled the journal forward finds another one, and the pass
 * goes on without.
 */
#include "engine.h"

void scrub_row_restore(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    struct bb_scrub_row *row = &scrub->row;
    *row = store->config.scrub_row;
    if (!bb_set_equal(&row->of, &store->super.anchor.set) || row->set_page > row->page)
        scrub_set_lost(store);
    if (row->page > bb_layout_pages(&store->super.layout, store->super.open_zone_count))
        *row = (struct bb_scrub_row){.flags = row->flags & BB_SCRUB_PAUSED};
}

const struct bb_scrub_row *scrub_row_at(struct bb_store *store, const struct bb_set *set)
{
    struct scrub *scrub = &store->scrub;
    if (scrub->buffer == NULL)
        return NULL;
    if (scrub->state == SCRUB_SAVE) { /* its row is older than this fold: once more */
        scrub->row_moved = true;
        return NULL;
    }
    scrub->row.of = (struct bb_set){.count = set->count, .sum = set->sum};
    scrub->saving = scrub->row;
    scrub->row_moved = scrub->save_now = false;
    scrub->saved_ms = store->now_ms;
    return &scrub->saving;
}

bool scrub_row_save(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    BB_ASSERT(scrub->state == SCRUB_REST);
    BB_ASSERT(store->checkpoint.state == CHECKPOINT_IDLE);
    const struct bb_scrub_row *row = scrub_row_at(store, &store->journal.anchor.set);
    scrub->state = SCRUB_SAVE;
    scrub->job = (struct bb_index_job){
        .kind = BB_JOB_FOLD,
        .owner = scrub,
        .fold = {.changes = store->checkpoint.changes, .count = 0, .scrub = row},
    };
    store->config.index.submit(store->config.index.context, &scrub->job);
    return true;
}

void scrub_row_saved(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    /* a full index keeps the old row, and everything else */
    if (scrub->job.result != 0 && scrub->job.result != BB_ERR_INDEX_FULL) {
        store_fail(store, scrub->job.result, "commit of the index");
        return;
    }
    if (scrub->job.result == 0)
        store->config.index.refresh(store->config.index.context);
    scrub_rest(store);
}
