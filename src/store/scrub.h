/* SPDX-License-Identifier: Apache-2.0
 * The inside of the scrub; a part of engine.h, which explains whose it is.
 *
 *   scrub.c       pace, passes, start and pause       scrubpage.c   a page beside the index
 *   scrubdata.c   a block beside its name             scrubmend.c   a page anew from the index
 *   scrubrow.c    where it stands, over restarts
 */
#ifndef BB_STORE_SCRUB_H
#define BB_STORE_SCRUB_H

#include "bb/codec.h"
#include "bb/index.h"
#include "bb/io.h"
#include "bb/scrub.h"
#include "bb/store.h"

#define BB_SCRUB_PIECE ((size_t)64 << 10) /* read and hashed in one turn */
#define BB_SCRUB_WALK 256u                /* records of the index looked at together */
#define BB_SCRUB_NEVER UINT64_MAX

enum scrub_state {
    SCRUB_REST,   /* nothing is out; the next step when wake_ms has come */
    SCRUB_SLOTS,  /* both slots of the page are read */
    SCRUB_INDEX,  /* the index is asked for its entries */
    SCRUB_FIND,   /* a block is looked up */
    SCRUB_READ,   /* a piece of it is read */
    SCRUB_MARK,   /* it is marked */
    SCRUB_LIST,   /* mend: names from the index */
    SCRUB_PLACES, /* mend: where they are */
    SCRUB_WRITE,  /* mend: slots are written */
    SCRUB_FLUSH,  /* mend: and flushed */
    SCRUB_SAVE,   /* the row is written */
};

/* What the index says of one unit of the page that is mended. */
struct scrub_place {
    struct bb_hash hash;
    uint32_t size;
    bool present, corrupt;
};

struct scrub {
    enum scrub_state state;
    uint64_t wake_ms; /* the one thing a turn compares */
    struct bb_scrub_row row;
    struct bb_scrub_row saving; /* what a fold is given */
    uint64_t saved_ms;          /* when the row was last stored */
    bool row_moved;             /* since then */
    bool save_now;
    /* pace */
    int64_t tokens; /* bytes */
    uint64_t tokens_ms;
    uint64_t rest_until_ms;
    uint64_t began_ms; /* what was last asked of the device or the index */
    bool rested;       /* the time it took has been waited out */
    /* the page */
    bool page_loaded;     /* its entries are in slot[newest] and compared */
    uint64_t named_until; /* DOUBT: the units below belong to entries of the pages before */
    bool pages_ahead;     /* a checkpoint wrote pages and could not fold */
    bool touched;         /* a checkpoint wrote the page since it was read */
    unsigned looks;
    unsigned newest;
    bool good[2];
    unsigned pending;
    uint64_t generation; /* of the store, when the page was read */
    struct bb_page_header headers[2];
    struct bb_disk_page *slot[2];
    struct bb_io_request reads[2];
    bool due[BB_PAGE_ENTRY_COUNT];   /* blocks to be hashed */
    bool wrong[BB_PAGE_ENTRY_COUNT]; /* entries that are not what the index says */
    uint32_t next_entry;
    struct bb_hash *hashes;          /* BB_SCRUB_WALK */
    struct bb_index_entry *entries;  /* BB_SCRUB_WALK */
    uint8_t at[BB_PAGE_ENTRY_COUNT]; /* entry of the page that hashes[i] is of */
    struct bb_index_job job;
    /* the block */
    struct bb_op op;
    bool pinned;
    uint32_t offset; /* bytes of it that are hashed */
    unsigned reads_of_block;
    int read_error;
    uint8_t *buffer;
    struct bb_io_request read;
    /* mend */
    bool mending;                       /* between REST and the end: the walk */
    bool holds_pages;                   /* SLOTS, WRITE and FLUSH: no checkpoint may begin */
    bool mended;                        /* this page, in this pass */
    bool walk_ended;                    /* all of the index was seen */
    bool verifying;                     /* what it said is asked again */
    bool repaired[BB_PAGE_ENTRY_COUNT]; /* entries that the new page has otherwise */
    unsigned walks;
    struct bb_hash walk_after;
    bool walk_started;
    struct bb_listed *listed;   /* BB_SCRUB_WALK */
    struct scrub_place *places; /* BB_PAGE_ENTRY_COUNT */
    struct bb_io_request writes[2];
    struct flush_waiter waiter;
    unsigned bad_slots, bad_entries; /* of the page, by the second look */
    /* counts since the start */
    uint64_t findings[BB_SCRUB_KIND_COUNT];
    uint64_t outcomes[BB_SCRUB_OUTCOME_COUNT];
    uint64_t blocks, bytes, looks_again;
};

#endif
