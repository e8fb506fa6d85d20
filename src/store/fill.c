/* SPDX-License-Identifier: Apache-2.0
 * The allocator of a starting store, from the index: one visit per block claims its extent and
 * counts it into the set. Owner: the calling thread, until it returns.
 */
#include "bb/fill.h"

#include "bb/err.h"
#include "bb/recovery.h"

#include <errno.h>

struct filling {
    struct bb_buddy *buddy;
    struct bb_filled filled;
    struct bb_hash hash; /* of the block whose extent could not be claimed */
    struct bb_index_entry entry;
    int error;
};

static int claim(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct filling *filling = context;
    int error = bb_buddy_claim(filling->buddy, entry->unit, bb_units_of(entry->size));
    if (error != 0) {
        filling->hash = *hash;
        filling->entry = *entry;
        filling->error = error;
        return 1;
    }
    bb_set_add(&filling->filled.set, hash, entry->unit, entry->size);
    filling->filled.bytes += entry->size;
    return 0;
}

struct finding {
    const struct filling *filling;
    struct bb_hash hash;
};

/* Stops at the other block on the units of the one that could not be claimed. */
static int find_other(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct finding *finding = context;
    const struct bb_index_entry *mine = &finding->filling->entry;
    if (bb_hash_equal(hash, &finding->filling->hash) ||
        entry->unit >= mine->unit + bb_units_of(mine->size) ||
        mine->unit >= entry->unit + bb_units_of(entry->size))
        return 0;
    finding->hash = *hash;
    return 1;
}

static int refuse(const struct bb_index *index, const struct filling *filling,
                  struct bb_explain *explain)
{
    unsigned long long unit = filling->entry.unit;
    if (filling->error != -EEXIST)
        return bb_explain(explain, BB_ERR_DAMAGED,
                          "index device: block %s at unit %llu lies outside the open zones, run "
                          "bbfsck",
                          bb_hash_name(&filling->hash).text, unit);
    struct finding finding = {.filling = filling};
    int found = index->ops->scan(index->context, NULL, NULL, find_other, &finding);
    return bb_explain(explain, BB_ERR_OVERLAP,
                      "index device: blocks %s and %s both claim units from %llu on, run bbfsck",
                      bb_hash_name(&filling->hash).text,
                      found == 1 ? bb_hash_name(&finding.hash).text : "(another)", unit);
}

int bb_fill(const struct bb_index *index, const struct bb_super *super, struct bb_buddy *buddy,
            struct bb_filled *ret_filled, struct bb_explain *ret_explain)
{
    struct filling filling = {.buddy = buddy};
    for (uint32_t i = 0; i < super->open_zone_count; i++) {
        struct bb_zone zone = bb_layout_zone(&super->layout, i);
        bb_buddy_add_zone(buddy, zone.first_unit, zone.unit_count);
    }
    int error = index->ops->scan(index->context, NULL, NULL, claim, &filling);
    if (filling.error != 0)
        return refuse(index, &filling, ret_explain);
    if (error != 0) {
        const char *cure = bb_err_cure(error);
        return bb_explain(ret_explain, error, "index device: reading it: %s, %s",
                          bb_err_text(error), cure != NULL ? cure : "run bbfsck --rebuild");
    }
    bb_buddy_ready(buddy);
    *ret_filled = filling.filled;
    return 0;
}
