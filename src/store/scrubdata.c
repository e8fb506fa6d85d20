/* SPDX-License-Identifier: Apache-2.0
 * A block beside its name. Owner: the controller.
 *
 *   FIND: looked up and pinned, as for a reader --still there--> READ: piece by piece, hashed
 *   READ --bytes are right--> unpinned; --wrong, or unreadable--> once more from the start
 *   READ --wrong again--> MARK, still pinned: so the mark cannot meet another block there
 */
#include "engine.h"

#include "bb/scan.h"

static void read_piece(struct bb_store *store);

static void block_over(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    if (scrub->pinned)
        bb_store_message(store, bb_message_word(BB_MSG_UNPIN, 0, 0, scrub->op.unit));
    scrub->pinned = false;
    scrub_rest(store);
}

bool scrub_block_begin(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    struct bb_entry entry;
    while (scrub->next_entry < BB_PAGE_ENTRY_COUNT && !scrub->due[scrub->next_entry])
        scrub->next_entry++;
    if (scrub->next_entry == BB_PAGE_ENTRY_COUNT)
        return false;
    int result = bb_entry_get(scrub->slot[scrub->newest], scrub->next_entry, &entry);
    BB_ASSERT(result == 1);
    scrub->state = SCRUB_FIND;
    scrub->op = (struct bb_op){.kind = BB_OP_LOOKUP,
                               .flags = bb_planted(SCRUB_NO_PIN) ? 0 : BB_OP_PIN,
                               .hash = entry.hash};
    scrub_charge(store, (uint64_t)bb_units_of(entry.size) * BB_UNIT_SIZE);
    bb_store_submit(store, &scrub->op);
    return true;
}

static void read_from_start(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    scrub->state = SCRUB_READ;
    scrub->offset = 0;
    scrub->read_error = 0;
    bb_hasher_begin(store->config.scrub.hasher);
    read_piece(store);
}

static void found_it(struct bb_store *store, int result)
{
    struct scrub *scrub = &store->scrub;
    uint64_t unit = bb_layout_unit_of(&store->super.layout, scrub->row.page, scrub->next_entry++);
    scrub->pinned = result == 0 && (scrub->op.flags & BB_OP_PIN) != 0;
    scrub->reads_of_block = 0;
    /* deleted, healed or marked meanwhile */
    if (result != 0 || scrub->op.unit != unit || scrub->op.size > BB_BLOCK_SIZE_MAX ||
        store->stopping)
        block_over(store);
    else
        read_from_start(store);
}

static void marked(struct bb_store *store, int result)
{
    struct scrub *scrub = &store->scrub;
    enum bb_scrub_kind kind = scrub->read_error != 0 ? BB_SCRUB_READ : BB_SCRUB_DATA;
    if (result != -ENOENT) /* deleted meanwhile */
        scrub_found(store, kind, result == 0 ? BB_SCRUB_MARKED : BB_SCRUB_LEFT, scrub->op.unit,
                    &scrub->op.hash);
    block_over(store);
}

void scrub_answered(struct bb_store *store, int result)
{
    if (store->scrub.state == SCRUB_FIND) {
        found_it(store, result);
        return;
    }
    BB_ASSERT(store->scrub.state == SCRUB_MARK);
    marked(store, result);
}

static void block_wrong(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    scrub->reads_of_block++;
    if (scrub->reads_of_block < 2 && !bb_planted(SCRUB_ONE_LOOK)) {
        read_from_start(store);
        return;
    }
    if (scrub->read_error != 0 && !bb_scan_is_medium_error(scrub->read_error)) {
        scrub_found(store, BB_SCRUB_READ, BB_SCRUB_LEFT, scrub->op.unit, &scrub->op.hash);
        block_over(store);
        return;
    }
    scrub->state = SCRUB_MARK;
    scrub->op.kind = BB_OP_MARK;
    scrub->op.flags = 0;
    bb_store_submit(store, &scrub->op);
}

static void block_read(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    struct bb_hash hash;
    bb_hasher_end(store->config.scrub.hasher, &hash);
    if (!bb_hash_equal(&hash, &scrub->op.hash)) {
        block_wrong(store);
        return;
    }
    scrub->looks_again += scrub->reads_of_block;
    scrub->blocks++;
    scrub->row.blocks++;
    scrub->bytes += scrub->op.size;
    scrub->row.bytes += scrub->op.size;
    block_over(store);
}

static void piece_read(struct bb_io_request *request)
{
    struct bb_store *store = BB_CONTAINER(request, struct bb_store, scrub.read);
    struct scrub *scrub = &store->scrub;
    BB_ASSERT(scrub->state == SCRUB_READ);
    if (store->fatal != 0)
        return;
    if (store->stopping) {
        block_over(store);
        return;
    }
    if (request->result != 0) {
        scrub->read_error = request->result;
        block_wrong(store);
        return;
    }
    uint32_t left = scrub->op.size > scrub->offset ? scrub->op.size - scrub->offset : 0;
    bb_hasher_update(store->config.scrub.hasher, scrub->buffer, bb_min_u64(left, request->size));
    scrub->offset += request->size;
    if (scrub->offset >= scrub->op.size)
        block_read(store);
    else
        read_piece(store);
}

static void read_piece(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    uint32_t all = bb_units_of(scrub->op.size) * BB_UNIT_SIZE;
    BB_ASSERT(scrub->offset < all);
    bb_io_prepare(&scrub->read, BB_IO_READ, BB_IO_DATA,
                  scrub->op.unit * BB_UNIT_SIZE + scrub->offset, scrub->buffer,
                  (uint32_t)bb_min_u64(all - scrub->offset, BB_SCRUB_PIECE), piece_read);
    bb_io_submit(store->config.io, &scrub->read);
}
