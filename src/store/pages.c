/* SPDX-License-Identifier: Apache-2.0
 * Batches of descriptor pages. Owner: the caller's thread.
 *
 *   memory | slot A of page 0 .. 127 | slot B of page 0 .. 127 |     neighbours on the device are
 *                                                                    neighbours here: one request
 * A page is written to the older slot, never in place, so that a cut leaves the newest one.
 */
#include "bb/pages.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"
#include "bb/scan.h"

#define LOST_EPOCH_SHIFT 32
#define LOST_EPOCH_MAX (BB_COUNTER_MAX >> (LOST_EPOCH_SHIFT + 1))

void bb_pages_init(struct bb_pages *pages, struct bb_io *io, const struct bb_super *super,
                   void *memory)
{
    BB_ASSERT(bb_is_aligned((uintptr_t)memory, BB_UNIT_SIZE));
    pages->io = io;
    pages->super = super;
    pages->memory = memory;
    pages->count = 0;
    pages->pending = 0;
    pages->error = 0;
}

void bb_pages_begin(struct bb_pages *pages)
{
    BB_ASSERT(pages->pending == 0);
    pages->count = 0;
}

void bb_pages_add(struct bb_pages *pages, uint64_t number)
{
    BB_ASSERT(pages->count < BB_PAGES_MAX);
    BB_ASSERT(pages->count == 0 || pages->page[pages->count - 1].number < number);
    uint32_t at = pages->count++;
    pages->page[at] = (struct bb_page){
        .number = number,
        .slot = {&pages->memory[at], &pages->memory[BB_PAGES_MAX + at]},
    };
}

static uint64_t slot_offset(const struct bb_pages *pages, uint32_t at, unsigned slot)
{
    return bb_layout_slot_offset(&pages->super->layout, pages->page[at].number, slot);
}

static void request_done(struct bb_io_request *request)
{
    struct bb_pages *pages = BB_CONTAINER(request, struct bb_pages_request, io)->pages;
    BB_ASSERT(pages->pending > 0);
    pages->pending--;
    if (request->result != 0 && pages->error == 0)
        pages->error = request->result;
}

static void submit(struct bb_pages *pages, uint32_t index, enum bb_io_op op, uint32_t first,
                   uint32_t count, unsigned slot)
{
    struct bb_pages_request *request = &pages->requests[index];
    request->pages = pages;
    bb_io_prepare(&request->io, op, BB_IO_DESCRIPTOR, slot_offset(pages, first, slot),
                  pages->page[first].slot[slot], count * BB_UNIT_SIZE, request_done);
    pages->pending++;
    bb_io_submit(pages->io, &request->io);
}

static int wait_all(struct bb_pages *pages)
{
    while (pages->pending > 0) {
        int run = bb_io_poll(pages->io, true);
        if (run < 0 && pages->pending > 0) {
            pages->pending = 0;
            return run;
        }
    }
    return pages->error;
}

static bool wanted(const struct bb_pages *pages, uint32_t at, unsigned slot, enum bb_io_op op)
{
    const struct bb_page *page = &pages->page[at];
    if (op == BB_IO_READ)
        return true;
    if (bb_planted(RECOVER_SLOT_IN_PLACE))
        return page->write && (int)slot == page->newest;
    return page->write && (page->trust == BB_PAGE_LOST || (int)slot != page->newest);
}

/* Submits the wanted slots, neighbours together. */
static int transfer(struct bb_pages *pages, enum bb_io_op op)
{
    uint32_t requests = 0;
    pages->error = 0;
    for (unsigned slot = 0; slot < 2; slot++) {
        for (uint32_t first = 0; first < pages->count;) {
            uint32_t end = first;
            while (end < pages->count && wanted(pages, end, slot, op) &&
                   slot_offset(pages, end, slot) ==
                       slot_offset(pages, first, slot) + (uint64_t)(end - first) * BB_UNIT_SIZE)
                end++;
            if (end > first)
                submit(pages, requests++, op, first, end - first, slot);
            first = end > first ? end : first + 1;
        }
    }
    return wait_all(pages);
}

/* After a read error among many: each slot alone, to know which. */
static int read_singly(struct bb_pages *pages)
{
    for (uint32_t i = 0; i < pages->count; i++) {
        for (unsigned slot = 0; slot < 2; slot++) {
            struct bb_page *page = &pages->page[i];
            int error = bb_io_read(pages->io, BB_IO_DESCRIPTOR, slot_offset(pages, i, slot),
                                   page->slot[slot], BB_UNIT_SIZE);
            if (error != 0 && !bb_scan_is_medium_error(error))
                return error;
            if (error != 0)
                memset(page->slot[slot], 0, BB_UNIT_SIZE);
        }
    }
    return 0;
}

static void choose(const struct bb_pages *pages, struct bb_page *page, uint64_t anchor)
{
    struct bb_page_header header[2];
    for (unsigned slot = 0; slot < 2; slot++)
        page->bad[slot] =
            bb_page_check(page->slot[slot], &pages->super->store, page->number, &header[slot]) != 0;
    if (page->bad[0] && page->bad[1]) {
        page->trust = BB_PAGE_LOST;
        page->newest = 0;
        return;
    }
    if (page->bad[1] || (!page->bad[0] && header[0].generation > header[1].generation))
        page->newest = 0;
    else
        page->newest = 1;
    page->generation = header[page->newest].generation;
    page->covered = header[page->newest].covered;
    bool proven = (!page->bad[0] && !page->bad[1]) || page->covered >= anchor;
    page->trust = proven ? BB_PAGE_NEWEST : BB_PAGE_SINGLE;
}

int bb_pages_read(struct bb_pages *pages, uint64_t anchor)
{
    int error = transfer(pages, BB_IO_READ);
    if (error != 0 && bb_scan_is_medium_error(error))
        error = read_singly(pages);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < pages->count; i++)
        choose(pages, &pages->page[i], anchor);
    return 0;
}

/* Slots that could not be read may come back, and a cut may leave one of them beside a new one: new
 * ones of a lost page count from above all that earlier epochs wrote. */
static uint64_t generation_before(const struct bb_pages *pages, const struct bb_page *page)
{
    if (page->trust != BB_PAGE_LOST)
        return page->generation;
    return bb_min_u64(pages->super->epoch, LOST_EPOCH_MAX) << LOST_EPOCH_SHIFT;
}

static void seal(const struct bb_pages *pages, struct bb_page *page, uint64_t covered)
{
    struct bb_disk_page *from = page->slot[page->newest], *to = page->slot[1 - page->newest];
    struct bb_page_header header = {.page = page->number,
                                    .generation = generation_before(pages, page) + 1,
                                    .covered = bb_max_u64(covered, page->covered)};
    if (page->trust == BB_PAGE_LOST) {
        bb_page_seal(from, &pages->super->store, &header);
        header.generation++;
    }
    if (bb_planted(RECOVER_SLOT_IN_PLACE))
        to = from;
    else
        memcpy(to, from, sizeof(*to));
    bb_page_seal(to, &pages->super->store, &header);
}

int bb_pages_write(struct bb_pages *pages, uint64_t covered)
{
    for (uint32_t i = 0; i < pages->count; i++) {
        if (pages->page[i].write)
            seal(pages, &pages->page[i], covered);
    }
    return transfer(pages, BB_IO_WRITE);
}
