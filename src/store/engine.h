/* SPDX-License-Identifier: Apache-2.0
 * The inside of the engine: one struct per noun, each with its own file, all owned by the
 * controller.
 *
 *   store.c       open, turn, stop, status          ops.c         PUT, DELETE, MARK, LOOKUP
 *   reserve.c     room for PUTs, recall of pools    journal.c     windows, records, watermark D
 *   flusher.c     the one issuer of flushes         checkpoint.c  descriptor pages, then folds
 *   zone.c        opening zones                     superwrite.c  superblock updates
 *   listing.c     EXISTS and LIST                   lookups.c     answers that are not in memory
 *   trim.c        discarding what is free
 */
#ifndef BB_STORE_ENGINE_H
#define BB_STORE_ENGINE_H

#include "bb/buddy.h"
#include "bb/delta.h"
#include "bb/err.h"
#include "bb/pins.h"
#include "bb/plant.h"
#include "bb/store.h"

#include <errno.h>

#define BB_IDLE_RECORD_MS 50u
#define BB_WINDOW_PATIENCE 8u   /* turns; more gain nothing, fewer gain less */
#define BB_WINDOW_SLOW_MS 8u    /* from here on a window is worth holding, */
#define BB_WINDOW_HOLD_SHARE 8u /* for this part of what the last one took, */
#define BB_WINDOW_HOLD_MAX_MS 20u
#define BB_WINDOW_SIBLINGS 4u /* if it was not one writer's or two's */
#define BB_IDLE_CHECKPOINT_MS 5000u
#define BB_FULL_CHECKPOINT_MS 5000u /* until a full index is tried again */
#define BB_EXISTS_MAX 10000u
#define BB_EXISTS_BATCH 256u
#define BB_LIST_MAX 10000u
#define BB_LOOKUP_BATCH 128u
#define BB_LOOKUP_JOBS 4u
#define BB_PAGE_JOBS 8u
#define BB_ZONE_WRITE_PAGES 32u

struct bb_op_list {
    struct bb_op *head, *tail;
};

/* ---- flusher.c ---- */
struct flush_waiter {
    void (*done)(struct bb_store *store);
    struct flush_waiter *next;
};
struct flusher {
    struct bb_io_request request;
    struct flush_waiter *waiting; /* their writes have completed */
    struct flush_waiter *covered; /* by the flush in flight */
    bool in_flight;
};

/* ---- journal.c ---- */
enum journal_state { JOURNAL_IDLE, JOURNAL_WRITING, JOURNAL_FLUSHING };

struct journal_mark { /* a record and what the map is once it is applied */
    struct bb_ring_position at;
    struct bb_set set;
    uint64_t delta_end; /* items below this position have sequence <= at.sequence */
};

struct journal {
    enum journal_state state;
    struct bb_ring_position last; /* last record built */
    struct journal_mark durable;  /* the record D */
    struct journal_mark flight;   /* being written or flushed */
    uint64_t flight_watermark;    /* D that the record in flight carries */
    uint64_t flight_anchor, flight_anchor_position;
    uint64_t flight_first;       /* delta position of its first item */
    uint64_t disk_watermark;     /* newest D carried by a durable record */
    uint64_t last_item_sequence; /* newest record with items */
    uint64_t tail_sequence;      /* oldest anchor that the ring must keep */
    uint64_t tail_position;
    struct bb_anchor anchor; /* newest complete checkpoint */
    bool anchor_due;         /* no record carries it yet */
    struct bb_set set;       /* with every item appended so far */
    uint64_t window_first;   /* delta position: items of the open window start here */
    struct bb_op_list window_ops, flight_ops;
    uint64_t quiet_since_ms; /* last time an item was appended, or became durable */
    bool stuck;              /* ring has no room for the open window */
    unsigned patience;       /* turns that the open window may still wait for data on its way */
    uint64_t flight_since_ms;
    uint32_t answered;      /* items that became durable since the last turn */
    uint64_t hold_until_ms; /* the open window may wait until then, */
    uint32_t hold_items;    /* for so many */
    uint8_t *buffer;
    struct bb_io_request request;
    struct flush_waiter waiter;
};

/* ---- superwrite.c ---- */
struct super_write {
    struct bb_disk_super *copies; /* four units */
    struct bb_io_request requests[2];
    struct flush_waiter waiter;
    unsigned next_copy; /* 0: idle, else 1 or 3: pair being written */
    unsigned pending;
    void (*done)(struct bb_store *store);
};

/* ---- zone.c ---- */
enum zone_state { ZONE_IDLE, ZONE_PAGES, ZONE_FLUSH, ZONE_READY, ZONE_SUPER };
struct zone_opening {
    enum zone_state state;
    struct bb_zone zone;
    unsigned slot;
    uint32_t page; /* next page within the zone */
    struct bb_disk_page *buffer;
    struct bb_io_request request;
    struct flush_waiter waiter;
};

/* ---- checkpoint.c ---- */
enum checkpoint_state { CHECKPOINT_IDLE, CHECKPOINT_PAGES, CHECKPOINT_FLUSH, CHECKPOINT_FOLD };
struct sort_entry {
    uint32_t key;
    uint32_t index; /* item = first + index */
};
struct page_job {
    struct bb_store *store;
    struct bb_io_request reads[2];
    struct bb_io_request write;
    struct bb_disk_page *pages; /* two slots */
    uint64_t page;
    uint32_t from, to; /* range of the unit order */
    unsigned pending;
    bool busy;
};
struct checkpoint {
    enum checkpoint_state state;
    struct bb_anchor anchor; /* T as the anchor to be */
    uint64_t first, end;     /* delta positions */
    struct sort_entry *order, *spare;
    uint32_t count, next; /* entries of `order`, next one to take */
    unsigned unit_shift;
    struct page_job jobs[BB_PAGE_JOBS];
    unsigned busy_jobs;
    struct bb_change *changes;
    struct bb_index_job job;
    struct flush_waiter waiter;
    bool wanted;
    uint64_t put_off_ms;           /* none begins before this: the index was full */
    uint64_t started_ms, ended_ms; /* the newest one */
};

/* ---- lookups.c ---- */
struct lookup_batch {
    struct bb_index_job job;
    struct bb_hash hashes[BB_LOOKUP_BATCH];
    struct bb_index_entry entries[BB_LOOKUP_BATCH];
    struct bb_op_list ops;
    uint64_t generation;
    bool busy;
};

/* ---- listing.c ---- */
struct listing {
    struct bb_op_list exists_queue, list_queue;
    struct bb_op *exists_op, *list_op; /* being answered */
    struct bb_index_job exists_job, list_job;
    uint32_t exists_from;           /* first hash of the batch that is asked about */
    struct bb_index_entry *entries; /* BB_EXISTS_BATCH */
    struct bb_listed *indexed;      /* BB_LIST_MAX: what the index holds */
    struct bb_listed *fresh;        /* BB_LIST_MAX: what only the delta holds */
    uint64_t exists_generation, list_generation;
};

/* ---- reserve.c ---- */
struct reserve {
    uint64_t credits; /* granted and not yet used: ring unit, delta item, index record each */
    struct bb_op_list waiting;
    uint32_t recalled_left;  /* ports that have not answered the recall yet */
    uint64_t recall_round;   /* rounds finished */
    uint64_t recall_started; /* rounds started */
    bool retry;
};

#include "scrub.h"
#include "trim.h"

struct bb_store {
    struct bb_store_config config;
    struct bb_super super;
    uint64_t now_ms;
    uint64_t generation; /* raised when the delta forgets */
    uint64_t used_units, quarantined_units, index_room;
    uint64_t block_bytes; /* in used_units; what is missing to their size is padding */
    int fatal;
    bool filled; /* the allocator is known */
    bool writable;
    bool stopping, clean_written, stopped;
    bool retry; /* D moved or room appeared: waiting ops may go on */
    struct bb_buddy *buddy;
    struct bb_op_list waiting;  /* PUT, DELETE, MARK behind another operation or out of room */
    struct bb_op_list faulting; /* ops whose answer is not in memory */
    struct bb_delta delta;
    struct bb_pins pins;
    struct flusher flusher;
    struct journal journal;
    struct super_write super_write;
    struct zone_opening zone;
    struct checkpoint checkpoint;
    struct reserve reserve;
    struct listing listing;
    struct lookup_batch lookups[BB_LOOKUP_JOBS];
    struct scrub scrub;
    struct trim trim;
    struct bb_store_status counters; /* only the counters in it */
};

/* store.c */
static inline bool store_only_reads(const struct bb_store *store)
{
    return store->config.replayed != NULL;
}
void store_fail(struct bb_store *store, int error, const char *what);
void store_reply(struct bb_store *store, struct bb_op *op, int result);
void store_free(struct bb_store *store, uint64_t unit, uint64_t count);
static inline void op_push(struct bb_op_list *list, struct bb_op *op)
{
    op->next = NULL;
    if (list->tail != NULL) {
        list->tail->next = op;
    } else {
        list->head = op;
    }
    list->tail = op;
}
static inline struct bb_op *op_pop(struct bb_op_list *list)
{
    struct bb_op *op = list->head;
    if (op != NULL) {
        list->head = op->next;
        if (list->head == NULL) {
            list->tail = NULL;
        }
        op->next = NULL;
    }
    return op;
}
static inline struct bb_op_list op_take_all(struct bb_op_list *list)
{
    struct bb_op_list taken = *list;
    *list = (struct bb_op_list){0};
    return taken;
}

/* ops.c: answers, joins the window or parks the op on store->waiting or store->faulting */
void op_step(struct bb_store *store, struct bb_op *op);
/* State of a hash at sequence `up_to`: 0 with the entry, -ENOENT, BB_ERR_WOULD_FAULT, or an error
 */
int op_find(struct bb_store *store, struct bb_op *op, uint64_t up_to,
            struct bb_index_entry *ret_entry);

/* flusher.c */
void flusher_want(struct bb_store *store, struct flush_waiter *waiter,
                  void (*done)(struct bb_store *store));

/* journal.c */
int journal_open(struct bb_store *store);
void journal_turn(struct bb_store *store);
bool journal_has_room(const struct bb_store *store, uint32_t items);
void journal_append(struct bb_store *store, const struct bb_item *item);
/* For an engine that only reads: the item stands at D, and in memory alone. */
void journal_remember(struct bb_store *store, const struct bb_item *item);
uint64_t journal_window_sequence(const struct bb_store *store);
uint64_t journal_used_units(const struct bb_store *store);
uint64_t journal_units_since_anchor(const struct bb_store *store);
bool journal_is_quiet(const struct bb_store *store);
/* The open window waits for writers that were just answered. */
bool journal_holds(const struct bb_store *store);
/* Items wait for others: a turn is wanted soon even if nothing happens. */
bool journal_waits(const struct bb_store *store);
bool journal_idle_due(const struct bb_store *store);

/* checkpoint.c */
int checkpoint_open(struct bb_store *store);
void checkpoint_turn(struct bb_store *store);
/* Somebody waits for what a checkpoint frees. */
void checkpoint_want(struct bb_store *store);
bool checkpoint_is_put_off(const struct bb_store *store);
void checkpoint_folded(struct bb_store *store);
/* Stable radix sort of `count` entries by key, through `spare`; see sort.c. */
void sort_entries(struct sort_entry *entries, struct sort_entry *spare, uint32_t count);

/* superwrite.c: store->super with a new generation; done when durable */
int super_write_open(struct bb_store *store);
void super_write_start(struct bb_store *store, void (*done)(struct bb_store *store));
static inline bool super_write_busy(const struct bb_store *store)
{
    return store->super_write.next_copy != 0;
}

/* zone.c */
int zone_open(struct bb_store *store);
void zone_turn(struct bb_store *store);
bool zone_is_opening_or_can(const struct bb_store *store);

/* reserve.c */
void reserve_submit(struct bb_store *store, struct bb_op *op);
void reserve_turn(struct bb_store *store);
void reserve_recalled(struct bb_store *store);

/* listing.c */
int listing_open(struct bb_store *store);
void listing_submit(struct bb_store *store, struct bb_op *op);
void listing_turn(struct bb_store *store);
void listing_exists_done(struct bb_store *store);
void listing_list_done(struct bb_store *store);

/* scrub.c: see scrub.h */
int scrub_open(struct bb_store *store);
void scrub_ready(struct bb_store *store);
void scrub_turn(struct bb_store *store);
void scrub_rest(struct bb_store *store);
void scrub_rest_a_while(struct bb_store *store);
void scrub_charge(struct bb_store *store, uint64_t bytes);
bool scrub_is_still(const struct bb_store *store);
bool scrub_is_quiet(const struct bb_store *store);
void scrub_job_done(struct bb_store *store);
uint64_t scrub_unix_s(const struct bb_store *store);
void scrub_page_over(struct bb_store *store);
void scrub_found(struct bb_store *store, enum bb_scrub_kind kind, enum bb_scrub_outcome outcome,
                 uint64_t unit, const struct bb_hash *hash);
/* scrubpage.c; item_paged: a checkpoint has put the item into its page */
void scrub_page_begin(struct bb_store *store);
void scrub_page_answered(struct bb_store *store);
void scrub_item_paged(struct bb_store *store, uint64_t page, const struct bb_delta_item *item);
void scrub_put_off(struct bb_store *store);
void scrub_set_lost(struct bb_store *store);
/* scrubdata.c: false when no block of the page is left */
bool scrub_block_begin(struct bb_store *store);
void scrub_answered(struct bb_store *store, int result);
/* scrubmend.c */
void scrub_mend_begin(struct bb_store *store);
void scrub_mend_step(struct bb_store *store);
void scrub_mend_answered(struct bb_store *store);
/* scrubrow.c; row_at: what a fold that leads to `set` is to store, or NULL */
void scrub_row_restore(struct bb_store *store);
bool scrub_row_save(struct bb_store *store);
void scrub_row_saved(struct bb_store *store);
const struct bb_scrub_row *scrub_row_at(struct bb_store *store, const struct bb_set *set);

/* lookups.c */
void lookups_turn(struct bb_store *store);
void lookups_done(struct bb_store *store, struct bb_index_job *job);

#endif
