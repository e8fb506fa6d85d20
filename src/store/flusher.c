/* SPDX-License-Identifier: Apache-2.0
 * The one issuer of flushes of the data device, one in flight at a time. Owner: the controller.
 *
 * A flush covers the writes that had completed before it was submitted, so a waiter registers only
 * once its own writes have completed, and what registers while a flush is in flight waits for the
 * next one. A failed flush is never tried again: the kernel reports a lost write once (storage.md
 * 7).
 */
#include "engine.h"

static void flush_done(struct bb_io_request *request);

static void flush_submit(struct bb_store *store)
{
    struct flusher *flusher = &store->flusher;
    BB_ASSERT(!flusher->in_flight);
    BB_ASSERT(flusher->covered == NULL);
    flusher->covered = flusher->waiting;
    flusher->waiting = NULL;
    flusher->in_flight = true;
    store->counters.flushes++;
    bb_io_prepare(&flusher->request, BB_IO_FLUSH, BB_IO_BARRIER, 0, NULL, 0, flush_done);
    bb_io_submit(store->config.io, &flusher->request);
}

/* For planted bugs: the waiters of both lists. */
static struct flush_waiter *joined(struct flush_waiter *first, struct flush_waiter *second)
{
    struct flush_waiter **end = &first;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = second;
    return first;
}

static void flush_done(struct bb_io_request *request)
{
    struct bb_store *store = BB_CONTAINER(request, struct bb_store, flusher.request);
    struct flusher *flusher = &store->flusher;
    BB_ASSERT(flusher->in_flight);
    flusher->in_flight = false;
    struct flush_waiter *covered = flusher->covered;
    flusher->covered = NULL;
    if (bb_planted(D_COUNTS_ISSUED)) {
        covered = joined(covered, flusher->waiting);
        flusher->waiting = NULL;
    }
    if (request->result != 0 && bb_planted(FLUSH_TRIED_AGAIN)) {
        flusher->waiting = joined(covered, flusher->waiting);
        flush_submit(store);
        return;
    }
    if (request->result != 0) {
        store_fail(store, request->result, "flush of the data device");
        return;
    }
    while (covered != NULL && store->fatal == 0) {
        struct flush_waiter *waiter = covered;
        covered = waiter->next;
        waiter->next = NULL;
        waiter->done(store);
    }
    if (flusher->waiting != NULL && !flusher->in_flight && store->fatal == 0) {
        flush_submit(store);
    }
}

void flusher_want(struct bb_store *store, struct flush_waiter *waiter,
                  void (*done)(struct bb_store *store))
{
    BB_ASSERT(waiter->next == NULL);
    if (store->fatal != 0) {
        return;
    }
    waiter->done = done;
    waiter->next = store->flusher.waiting;
    store->flusher.waiting = waiter;
    if (!store->flusher.in_flight) {
        flush_submit(store);
    }
}
