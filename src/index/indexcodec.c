/* SPDX-License-Identifier: Apache-2.0
 * Encode and decode the value of a block and the state row. Pure functions over bytes, which come
 * from LMDB's map and may stand at any address.
 */
#include "bb/indexcodec.h"

#include "bb/err.h"

void bb_index_value_encode(const struct bb_index_entry *entry,
                           struct bb_disk_index_value *ret_value)
{
    BB_ASSERT(entry->unit >> BB_INDEX_UNIT_BITS == 0);
    BB_ASSERT(entry->size <= BB_BLOCK_SIZE_MAX);
    BB_ASSERT((entry->flags & ~BB_INDEX_FLAGS_KNOWN) == 0);
    ret_value->place = bb_le64_make(entry->unit | (uint64_t)entry->size << BB_INDEX_UNIT_BITS);
    ret_value->flags = bb_le64_make(entry->flags);
}

int bb_index_value_decode(const void *value, size_t size, struct bb_index_entry *ret_entry)
{
    struct bb_disk_index_value disk;
    if (size != sizeof(disk))
        return BB_ERR_INDEX_DAMAGED;
    memcpy(&disk, value, sizeof(disk));
    uint64_t place = bb_le64_get(disk.place);
    uint64_t flags = bb_le64_get(disk.flags);
    uint32_t block_size = (uint32_t)(place >> BB_INDEX_UNIT_BITS);
    if (block_size > BB_BLOCK_SIZE_MAX || (flags & ~BB_INDEX_FLAGS_KNOWN) != 0)
        return BB_ERR_INDEX_DAMAGED;
    ret_entry->unit = place & ((1ull << BB_INDEX_UNIT_BITS) - 1);
    ret_entry->size = block_size;
    ret_entry->flags = flags;
    return 0;
}

/* Of the first `size` bytes of it: all that the version has. */
static void row_digest(const struct bb_disk_index_state *row, size_t size,
                       struct bb_digest *ret_digest)
{
    struct bb_disk_index_state blank = *row;
    memset(&blank.digest, 0, sizeof(blank.digest));
    bb_digest_of(&blank, size, ret_digest);
}

static void scrub_encode(const struct bb_scrub_row *from, struct bb_disk_scrub_row *ret_row)
{
    *ret_row = (struct bb_disk_scrub_row){
        .page = bb_le64_make(from->page),
        .set_page = bb_le64_make(from->set_page),
        .set_count = bb_le64_make(from->set.count),
        .set_hash = from->set.sum,
        .of_count = bb_le64_make(from->of.count),
        .of_hash = from->of.sum,
        .passes = bb_le64_make(from->passes),
        .pass_began = bb_le64_make(from->pass_began_s),
        .pass_findings = bb_le64_make(from->pass_findings),
        .last_ended = bb_le64_make(from->last_ended_s),
        .last_clean = bb_le64_make(from->last_clean_s),
        .blocks = bb_le64_make(from->blocks),
        .bytes = bb_le64_make(from->bytes),
        .flags = bb_le64_make(from->flags),
    };
}

static void scrub_decode(const struct bb_disk_scrub_row *row, struct bb_scrub_row *ret_row)
{
    *ret_row = (struct bb_scrub_row){
        .page = bb_le64_get(row->page),
        .set_page = bb_le64_get(row->set_page),
        .set = {.count = bb_le64_get(row->set_count), .sum = row->set_hash},
        .of = {.count = bb_le64_get(row->of_count), .sum = row->of_hash},
        .passes = bb_le64_get(row->passes),
        .pass_began_s = bb_le64_get(row->pass_began),
        .pass_findings = bb_le64_get(row->pass_findings),
        .last_ended_s = bb_le64_get(row->last_ended),
        .last_clean_s = bb_le64_get(row->last_clean),
        .blocks = bb_le64_get(row->blocks),
        .bytes = bb_le64_get(row->bytes),
        .flags = bb_le64_get(row->flags),
    };
}

void bb_index_state_encode(const struct bb_index_state *state, struct bb_disk_index_state *ret_row)
{
    struct bb_disk_index_state row;
    memset(&row, 0, sizeof(row));
    memcpy(row.magic, BB_INDEX_STATE_MAGIC, sizeof(row.magic));
    row.version = bb_le32_make(BB_INDEX_VERSION);
    row.store = state->store;
    row.index = state->index;
    bb_anchor_encode(&state->anchor, &row.anchor);
    row.count = bb_le64_make(state->set.count);
    row.set_hash = state->set.sum;
    row.epoch = bb_le64_make(state->epoch);
    scrub_encode(&state->scrub, &row.scrub);
    row_digest(&row, sizeof(row), &row.digest);
    *ret_row = row;
}

int bb_index_state_decode(const void *bytes, size_t size, struct bb_index_state *ret_state)
{
    struct bb_disk_index_state row;
    memset(&row, 0, sizeof(row));
    if (size != sizeof(row) && size != offsetof(struct bb_disk_index_state, scrub))
        return BB_ERR_INDEX_DAMAGED;
    memcpy(&row, bytes, size);
    struct bb_digest digest;
    row_digest(&row, size, &digest);
    if (memcmp(row.magic, BB_INDEX_STATE_MAGIC, sizeof(row.magic)) != 0 ||
        !bb_digest_equal(&row.digest, &digest) || bb_le32_get(row.reserved) != 0)
        return BB_ERR_INDEX_DAMAGED;
    if (bb_le32_get(row.version) != (size == sizeof(row) ? BB_INDEX_VERSION : BB_INDEX_VERSION_2))
        return BB_ERR_VERSION;
    ret_state->store = row.store;
    ret_state->index = row.index;
    bb_anchor_decode(&row.anchor, &ret_state->anchor);
    ret_state->set = (struct bb_set){.count = bb_le64_get(row.count), .sum = row.set_hash};
    ret_state->epoch = bb_le64_get(row.epoch);
    scrub_decode(&row.scrub, &ret_state->scrub);
    return 0;
}
