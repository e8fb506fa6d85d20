/* SPDX-License-Identifier: Apache-2.0
 * The threads that stand between the engine and LMDB in the daemon: one checkpointer (folds) and
 * up to four lookup threads (what may fault, listing, batch existence). They fill struct
 * bb_index_port.
 *
 * The controller's own lookups go straight to LMDB as long as they do not fault: after a loop turn
 * in which its thread took a major fault, lookups answer BB_ERR_WOULD_FAULT for a second and go to
 * the lookup threads, which read the pages in. Each waits for one page at a time, so their number
 * is how many reads of the index a cold one has in flight.
 *
 * Jobs and answers cross in bounded queues (queue.h); on_done is called by a service thread after
 * an answer was pushed and must only wake the controller, which then calls bb_index_service_poll.
 * Call poll once per loop turn in any case: it is what notices the faults.
 *
 * Folds are done one after the other in the order of submission; lookups and lists in any order,
 * each in a snapshot not older than its submission.
 */
#ifndef BB_INDEXSERVICE_H
#define BB_INDEXSERVICE_H

#include "bb/arena.h"
#include "bb/lmdbindex.h"

struct bb_index_service;

struct bb_index_service_config {
    struct bb_lmdb *lmdb;
    struct bb_arena *arena;
    uint32_t job_max;        /* jobs in flight at most, power of two */
    unsigned lookup_threads; /* 1..4 */
    void (*on_done)(void *context);
    void *context;
};

/* From here on lookups go through the port: the table's own (bb_lmdb_index) rests. */
BB_MUST_USE int bb_index_service_start(const struct bb_index_service_config *config,
                                       struct bb_index_service **ret_service);
/* All jobs must have been answered. */
void bb_index_service_stop(struct bb_index_service *service);

/* The port and poll belong to the thread that uses one of them first after this call. */
void bb_index_service_port(struct bb_index_service *service, struct bb_index_port *ret_port);
/* Whether lookups are answered with BB_ERR_WOULD_FAULT just now; for the status page. */
bool bb_index_service_is_cold(const struct bb_index_service *service);

/* Hands every answered job to done(context, job). Number handed over. */
unsigned bb_index_service_poll(struct bb_index_service *service,
                               void (*done)(void *context, struct bb_index_job *job),
                               void *context);

#endif
