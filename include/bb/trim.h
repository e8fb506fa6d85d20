/* SPDX-License-Identifier: Apache-2.0
 * Trim: tells the device which bytes nobody wants any more, so that it need not keep them (flash
 * wears less, thin storage gives space back). Off until it is asked for. Owner: the controller.
 *
 * What is discarded: extents that the allocator has as free, that were free all the time since a
 * look at least age_ms ago, and of whose DELETEs every one that stood in the journal at that look
 * is folded into descriptor pages and index by a checkpoint whose anchor a durable record carries.
 *
 * Why nobody can want those bytes again:
 *   - While the store runs, bytes are read through an entry at D, under a pin. A free extent has
 *     neither: it becomes free when its DELETE is <= D and the last pin is gone (storage.md, rule
 *     6), or it was in no entry ever (an aborted PUT, the tail of an exact fit, a new zone).
 *   - For the same reason the allocator may hand it to a PUT, which writes there before anything is
 *     in the journal. A crash image with a discard in it is like one with the data write of a PUT
 *     that never committed, and every recovery and rebuild must live with those anyway: what it
 *     re-hashes are entries of the final maps, and none of them is at a free extent. (An undone
 *     heal gives a hash its old extent back, with its mark: its bytes are wrong as they are.)
 *   - Waiting for the fold goes further than rule 6. As long as a DELETE stands in the journal
 * only, `bbfsck --repair --accept-loss` of a ring that has lost that record would bring the block
 *     back; its bytes may be overwritten then, but need not be. After the fold both slots'
 *     successor, the index and the anchor agree that it is gone.
 * Why no byte written later is lost:
 *   - The extent is taken out of the allocator before the discard is submitted and comes back when
 *     it has completed, so no write to it can be in flight beside it or be older than it. What the
 *     device makes of a discard and a later, flushed write of the same place is the device's word,
 *     as for two writes.
 *   - A discard that fails stops trimming until it is asked for again, and its extent is
 *     quarantined until restart, as that of a failed data write is: the device may be carrying it
 *     out still. One that the device or the kernel refuses (-EOPNOTSUPP) has done nothing, and its
 *     extent comes back.
 *   - A process that dies keeps its claim on the device until its discard is over.
 *
 * How it goes on: a look empties the list of chunks (1 MiB) in which something was freed since;
 * after age_ms the pass goes over the zones once, in order, and leaves out the chunks that are on
 * the list again, and those that were discarded already and in which nothing was freed since.
 * That is two bits per MiB of the device, in memory, kept from the first look on; before, a free
 * costs one compare. Runs shorter than BB_TRIM_SIZE_MIN or than the device's granularity stay.
 *
 * Pace: one discard in flight, at most BB_TRIM_SIZE_MAX; then a pause of nine times as long as it
 * took if something was written since the last one, else of as long as it took, 1 ms at least. A
 * reservation that finds no space while an extent is out waits for it.
 */
#ifndef BB_TRIM_H
#define BB_TRIM_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stdint.h>

#define BB_TRIM_AGE_MS 2000u         /* of a pass that was asked for */
#define BB_TRIM_SIZE_MIN (64u << 10) /* bytes */
#define BB_TRIM_SIZE_MAX (8u << 20)  /* bytes */

enum bb_trim_state {
    BB_TRIM_OFF,     /* nothing to do, or nothing asked for */
    BB_TRIM_WAITING, /* until what is free has been so for long enough, and is folded */
    BB_TRIM_PASSING,
};

struct bb_trim_status {
    enum bb_trim_state state;
    bool possible;    /* the device discards */
    bool asked;       /* this pass was asked for; else it is one of idle trim */
    int error;        /* that ended the newest pass, 0: none */
    uint64_t idle_ms; /* of idle trim, 0: off */
    uint64_t passes;  /* that came to their end */
    uint64_t discards, failed;
    uint64_t bytes;                 /* discarded since the start */
    uint64_t pass_bytes;            /* by the newest pass */
    uint64_t done_units, all_units; /* of the open zones, of this pass or the newest one */
};

struct bb_store;

/* A pass from now on; 0 also when one that was asked for is under way. -EOPNOTSUPP where the device
 * has no discard, BB_ERR_NOT_READY, BB_ERR_FATAL. The engine wants a turn then, soon. */
BB_MUST_USE int bb_store_trim_start(struct bb_store *store);
/* Ends the pass behind the discard in flight. Idle trim goes on when its time has come. */
void bb_store_trim_stop(struct bb_store *store);

/* Bytes that a store on a device of this size wants for its lists. */
uint64_t bb_trim_memory(uint64_t device_size);

#endif
