/* SPDX-License-Identifier: Apache-2.0
 * Writes small stores by hand, record by record and page by page, with the codecs only: an engine
 * without an engine, so that recovery can be tested against every state that the protocol allows
 * and many that it does not. One thread; a wrong use, or an I/O error on a live device, is an
 * assertion.
 *
 * Blocks are keys 0 .. SCRIBE_KEYS-1 with fixed contents. What a client may expect is kept along:
 * the acknowledged state of each key, and the states that unacknowledged operations would leave.
 *
 * After the simulated device died (bb_sim_cut_at) every call does nothing: a script runs to its end
 * and the crash is made afterwards.
 */
#ifndef SCRIBE_H
#define SCRIBE_H

#include "bb/recover.h"
#include "bb/sim.h"
#include "memindex.h"

#ifndef SCRIBE_KEYS /* a program with scribes of its own may have more */
#define SCRIBE_KEYS 24
#endif
#define SCRIBE_ITEMS_MAX 4096
#define SCRIBE_PAST_MAX 256

enum scribe_state { SCRIBE_ABSENT, SCRIBE_PRESENT, SCRIBE_MARKED };

struct scribe_item {
    uint64_t sequence;
    unsigned key;
    struct bb_item item;
    enum scribe_state after;
};

/* A record behind the anchor, and the set with its items. */
struct scribe_past {
    struct bb_ring_position at;
    struct bb_set set;
};

struct scribe {
    struct bb_sim *sim;
    struct bb_io *io;
    struct memindex *mem;
    struct bb_super super;
    struct bb_ring_position last;
    struct bb_anchor anchor;  /* newest complete checkpoint */
    struct bb_anchor carried; /* by the last record */
    struct bb_anchor tail;    /* oldest one kept */
    struct scribe_past past[SCRIBE_PAST_MAX];
    unsigned past_count;
    uint64_t durable;   /* D */
    bool checkpointing; /* pages are written up to `target`, the index not yet */
    uint64_t target;
    struct bb_set set; /* with every item of a record */
    struct scribe_item
        items[SCRIBE_ITEMS_MAX]; /* behind the anchor, and those of the open window */
    unsigned item_count;
    unsigned window_first;                /* first item that is in no record yet */
    enum scribe_state state[SCRIBE_KEYS]; /* with every item */
    uint64_t unit[SCRIBE_KEYS];
    enum scribe_state acked[SCRIBE_KEYS]; /* at D */
    unsigned allowed[SCRIBE_KEYS];        /* bits of enum scribe_state a start may find */
    bool used[1 << 14];                   /* units, by number on the device */
};

/* 33 MiB: a ring of 1 MiB and four zones of 4 MiB, two of them open. */
struct scribe *scribe_new(uint64_t seed, uint32_t slice_max);
/* The same with another ring and a device that is larger by the difference. */
struct scribe *scribe_new_with_ring(uint64_t seed, uint32_t slice_max, uint64_t ring_mib);
void scribe_free(struct scribe *scribe);

uint32_t scribe_size(unsigned key);
void scribe_bytes(unsigned key, uint8_t *ret_bytes); /* scribe_size bytes */
struct bb_hash scribe_hash(unsigned key);

/* A data unit where `units` are free; from `random` on. */
uint64_t scribe_place(struct scribe *scribe, uint32_t units, struct bb_random *random);

/* Add to the open window. put writes the data unless told not to. */
void scribe_put(struct scribe *scribe, unsigned key, uint64_t unit, bool write_data);
void scribe_delete(struct scribe *scribe, unsigned key);
void scribe_mark(struct scribe *scribe, unsigned key);
void scribe_heal(struct scribe *scribe, unsigned key, uint64_t unit, bool write_data);
/* An item as given, without any bookkeeping: what no engine writes. */
void scribe_raw(struct scribe *scribe, const struct bb_item *item);

/* Writes the window, also an empty one, as a record. False: the ring has no room. */
bool scribe_record(struct scribe *scribe);
/* D becomes the last record. */
void scribe_flush(struct scribe *scribe);
/* Both; the ring must have room. */
void scribe_commit(struct scribe *scribe);
/* Up to D; then a record that carries the anchor, if the ring has room. */
void scribe_checkpoint(struct scribe *scribe);
/* The pages only, flushed or not; the index only, up to `slices` slices. Called again while a
 * checkpoint is under way they go on with that one. */
void scribe_checkpoint_pages(struct scribe *scribe, bool flush);
void scribe_checkpoint_index(struct scribe *scribe, unsigned slices);
/* Everything the engine does at a clean stop. */
void scribe_stop(struct scribe *scribe);

/* Power cut with any subset of the undurable writes; the device lives again. */
void scribe_cut(struct scribe *scribe, struct bb_random *random);

/* Runs recovery on sim and mem with 4 MiB of scratch. */
int scribe_recover(struct bb_sim *sim, struct memindex *mem, struct bb_recovered *ret_recovered,
                   struct bb_explain *ret_explain);
/* Wipes mem and rebuilds it. */
int scribe_rebuild(struct bb_sim *sim, struct memindex *mem, struct bb_recovered *ret_recovered,
                   struct bb_explain *ret_explain);

/* Digest of the entries of an index, without its state row. */
struct bb_digest scribe_entries(struct memindex *mem);
/* The index holds what clients may expect, every block's bytes are there, the allocator fills, and
 * a rebuild of a copy gives the same entries and row. */
void scribe_check(const struct scribe *scribe, struct bb_sim *sim, struct memindex *mem);
/* State of a key in an index. */
enum scribe_state scribe_lookup(struct memindex *mem, unsigned key,
                                struct bb_index_entry *ret_entry);

#endif
