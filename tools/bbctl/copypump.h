/* SPDX-License-Identifier: Apache-2.0
 * The connections of bbctl copy: a few threads, each with one connection to either store, that work
 * off one page at a time. A block is read from the source, hashed here and sent to the target under
 * its name; nothing else is in memory than the one block of each thread.
 *
 * All functions are for the thread that started the pump. It must not touch a page between give and
 * the moment at which wait says that the pump is idle.
 */
#ifndef BB_CTL_COPYPUMP_H
#define BB_CTL_COPYPUMP_H

#include "bbctl/copypeer.h"
#include "bbctl/copyplan.h"

#include <pthread.h>

#define BB_COPY_CONNECTIONS_MAX 64u
#define BB_COPY_FINDINGS_MAX 1000u /* named at the end; further ones are only counted */

enum bb_copy_finding {
    BB_COPY_SOURCE_CORRUPT, /* the source cannot give the bytes of this name: not copied */
    BB_COPY_TARGET_CORRUPT, /* the target could not, and it is still so */
    BB_COPY_TARGET_MENDED,  /* the target could not; it was copied anew */
    BB_COPY_FINDING_COUNT,
};

struct bb_copy_found {
    struct bb_hash hash;
    enum bb_copy_finding finding;
};

struct bb_copy_tally {
    uint64_t copied, copied_bytes; /* sent and acknowledged as new */
    uint64_t present;              /* sent, but stored meanwhile */
    uint64_t vanished;             /* deleted at the source meanwhile */
    uint64_t verified, verified_bytes;
    uint64_t deleted;
    uint64_t findings[BB_COPY_FINDING_COUNT];
};

struct bb_copy_orders {
    const struct bb_copy_store *source, *target;
    unsigned connections;
    bool verify;               /* read every block of the page back from the target */
    uint64_t bytes_per_second; /* 0: no limit */
};

struct bb_copy_pump;

/* Starts the threads; NULL when there is no memory or no thread for it. *stop, set by anybody, lets
 * each thread end the block it is at and take no other. */
struct bb_copy_pump *bb_copy_pump_start(const struct bb_copy_orders *orders, atomic_bool *stop);
/* Begins with a page of the source, or, to remove what is missing at the source, of the target; the
 * pump is idle. */
void bb_copy_pump_give(struct bb_copy_pump *pump, struct bb_copy_page *page, bool remove);
/* Waits at most so long; true when the pump is idle: the page is done, or a failure or *stop ended
 * the work on it, which its mark tells. */
BB_MUST_USE bool bb_copy_pump_wait(struct bb_copy_pump *pump, unsigned ms);
/* So far. */
struct bb_copy_tally bb_copy_pump_tally(struct bb_copy_pump *pump);
/* The first failure; code 0: none. */
struct bb_copy_failure bb_copy_pump_failure(struct bb_copy_pump *pump);
/* Findings in the order they were made, *ret_count of them. The pump is idle. */
const struct bb_copy_found *bb_copy_pump_findings(const struct bb_copy_pump *pump,
                                                  uint32_t *ret_count);
/* Ends the threads and frees everything; NULL is allowed. */
void bb_copy_pump_end(struct bb_copy_pump *pump);

#endif
