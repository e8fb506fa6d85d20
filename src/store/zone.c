/* SPDX-License-Identifier: Apache-2.0
 * Opening the next zone while the store runs. Owner: the controller.
 *
 *   IDLE --space low--> PAGES: both slots of every page, empty, in large writes
 *   PAGES --all written--> FLUSH --flushed--> READY --superblocks not busy-->
 *   SUPER: the count is raised in all copies --durable--> IDLE
 *
 * Only then is the zone given to the allocator: in an open zone an invalid slot is damage.
 */
#include "engine.h"

int zone_open(struct bb_store *store)
{
    store->zone.buffer = bb_arena_alloc(
        store->config.arena, BB_ZONE_WRITE_PAGES * sizeof(struct bb_disk_page), BB_UNIT_SIZE);
    return store->zone.buffer == NULL ? BB_ERR_MEMORY : 0;
}

static void super_done(struct bb_store *store)
{
    struct zone_opening *opening = &store->zone;
    BB_ASSERT(opening->state == ZONE_SUPER);
    BB_KILL_POINT(ZONE_OPENED);
    opening->state = ZONE_IDLE;
    scrub_ready(store); /* there is something to be read now */
    if (!bb_planted(ZONE_USED_EARLY)) {
        bb_buddy_add_zone(store->buddy, opening->zone.first_unit, opening->zone.unit_count);
    }
    store->reserve.retry = true;
}

static void pages_flushed(struct bb_store *store)
{
    BB_ASSERT(store->zone.state == ZONE_FLUSH);
    store->zone.state = ZONE_READY;
    BB_KILL_POINT(ZONE_FLUSHED);
}

static void pages_write(struct bb_store *store);

static void pages_done(struct bb_io_request *request)
{
    struct bb_store *store = BB_CONTAINER(request, struct bb_store, zone.request);
    BB_ASSERT(store->zone.state == ZONE_PAGES);
    if (request->result != 0) {
        store_fail(store, request->result, "write of descriptor pages of a new zone");
    }
    if (store->fatal == 0) {
        pages_write(store);
    }
}

static void pages_write(struct bb_store *store)
{
    struct zone_opening *opening = &store->zone;
    if (opening->page == opening->zone.page_count) {
        opening->page = 0;
        opening->slot++;
    }
    if (opening->slot == 2) {
        opening->state = ZONE_FLUSH;
        BB_KILL_POINT(ZONE_WRITTEN);
        if (bb_planted(ZONE_NOT_FLUSHED)) {
            pages_flushed(store);
            return;
        }
        flusher_want(store, &opening->waiter, pages_flushed);
        return;
    }
    uint32_t count =
        (uint32_t)bb_min_u64(BB_ZONE_WRITE_PAGES, opening->zone.page_count - opening->page);
    for (uint32_t i = 0; i < count; i++) {
        struct bb_page_header header = {.page = opening->zone.first_page + opening->page + i,
                                        .generation = 1 + opening->slot,
                                        .covered = store->journal.durable.at.sequence};
        bb_page_init(&opening->buffer[i]);
        bb_page_seal(&opening->buffer[i], &store->super.store, &header);
    }
    uint64_t offset =
        opening->slot == 0 ? opening->zone.slot_a_offset : opening->zone.slot_b_offset;
    bb_io_prepare(&opening->request, BB_IO_WRITE, BB_IO_DESCRIPTOR,
                  offset + (uint64_t)opening->page * BB_UNIT_SIZE, opening->buffer,
                  count * BB_UNIT_SIZE, pages_done);
    opening->page += count;
    bb_io_submit(store->config.io, &opening->request);
    BB_KILL_POINT(ZONE_SUBMITTED);
}

/* Half a zone free and a whole 1 MiB extent: below that the next zone is opened. Its pages are
 * written one piece after the other behind what clients write, which takes 50 to 150 ms of a disk
 * that is busy; an eighth was filled sooner than that at 1 GB/s. */
static bool space_is_low(const struct bb_store *store)
{
    uint32_t open = store->super.open_zone_count;
    if (open == 0) {
        return true;
    }
    uint64_t low = bb_layout_zone_units_max(&store->super.layout) / 2;
    return bb_buddy_free_units(store->buddy) < low ||
           bb_buddy_largest_order(store->buddy) < BB_ORDER_MAX;
}

bool zone_is_opening_or_can(const struct bb_store *store)
{
    return store->zone.state != ZONE_IDLE ||
           store->super.open_zone_count < store->super.layout.zone_count;
}

void zone_turn(struct bb_store *store)
{
    struct zone_opening *opening = &store->zone;
    if (store->fatal != 0 || !store->filled) {
        return;
    }
    if (opening->state == ZONE_READY && !super_write_busy(store)) {
        opening->state = ZONE_SUPER;
        if (bb_planted(ZONE_USED_EARLY)) {
            bb_buddy_add_zone(store->buddy, opening->zone.first_unit, opening->zone.unit_count);
            store->reserve.retry = true;
        }
        store->super.open_zone_count++;
        super_write_start(store, super_done);
    }
    if (opening->state != ZONE_IDLE || store->stopping ||
        store->super.open_zone_count == store->super.layout.zone_count || trim_holds(store) ||
        !space_is_low(store)) {
        return;
    }
    opening->zone = bb_layout_zone(&store->super.layout, store->super.open_zone_count);
    opening->state = ZONE_PAGES;
    opening->slot = 0;
    opening->page = 0;
    pages_write(store);
}
