/* SPDX-License-Identifier: Apache-2.0
 * Descriptor pages in batches: both slots read, the newest one chosen, written back to the older or
 * bad slot. For recovery, rebuild and check; blocking, over bb_io, many requests in flight, pages
 * that follow each other in one request. One thread.
 */
#ifndef BB_PAGES_H
#define BB_PAGES_H

#include "bb/codec.h"
#include "bb/io.h"

#define BB_PAGES_MAX 128u
/* Memory of a batch for slots, 4096 aligned. */
#define BB_PAGES_SLOTS_SIZE ((size_t)2 * BB_PAGES_MAX * BB_UNIT_SIZE)

/* What the two slots say. */
enum bb_page_trust {
    BB_PAGE_NEWEST, /* both are valid, or the valid one covers the anchor */
    BB_PAGE_SINGLE, /* one is bad, and the other may be the older one */
    BB_PAGE_LOST,   /* both are bad */
};

struct bb_page {
    uint64_t number;
    struct bb_disk_page *slot[2];
    bool bad[2];
    int newest; /* the slot that counts; 0 when lost */
    enum bb_page_trust trust;
    uint64_t generation; /* of the slot that counts, and what it covers; 0 when lost */
    uint64_t covered;
    bool write; /* to be written by bb_pages_write */
};

struct bb_pages_request {
    struct bb_io_request io;
    struct bb_pages *pages;
};

struct bb_pages {
    struct bb_io *io;
    const struct bb_super *super;
    struct bb_disk_page *memory; /* BB_PAGES_SLOTS_SIZE */
    uint32_t count;
    uint32_t pending;
    int error;
    struct bb_page page[BB_PAGES_MAX];
    struct bb_pages_request requests[2 * BB_PAGES_MAX];
};

void bb_pages_init(struct bb_pages *pages, struct bb_io *io, const struct bb_super *super,
                   void *memory);

/* Empties the batch; then add, in ascending order, at most BB_PAGES_MAX. */
void bb_pages_begin(struct bb_pages *pages);
void bb_pages_add(struct bb_pages *pages, uint64_t number);

/* Reads both slots of all of them. A slot that cannot be read is bad. A valid slot that covers the
 * sequence `anchor` is the newest, whatever became of the other. */
BB_MUST_USE int bb_pages_read(struct bb_pages *pages, uint64_t anchor);

/* The entries to look at and to change: the slot that counts. */
static inline struct bb_disk_page *bb_page_entries(struct bb_page *page)
{
    return page->slot[page->newest];
}

/* Writes the pages marked `write` to their other slot, with the next generation; of a lost page
 * both slots, with generations that no older slot has (epoch << 32). What a page covers never goes
 * back. No flush. */
BB_MUST_USE int bb_pages_write(struct bb_pages *pages, uint64_t covered);

#endif
