/* SPDX-License-Identifier: Apache-2.0
 * Superblock updates of the running engine: copies 1-2, flush, copies 3-4, flush. One at a time.
 * Owner: the controller. After the start all four copies are equal, which is the precondition of a
 * new generation (storage.md, Superblock).
 *
 *   idle -> pair 1-2 written -> flushed -> pair 3-4 written -> flushed -> idle, done called
 *
 * On a device that is larger than the store only copies 1 and 2 say where 3 and 4 are: there copy 1
 * is durable before copy 2 is written, so that one of them can always be read.
 */
#include "engine.h"

static void pair_submit(struct bb_store *store);

int super_write_open(struct bb_store *store)
{
    store->super_write.copies = bb_arena_alloc(
        store->config.arena, BB_SUPER_COPY_COUNT * sizeof(struct bb_disk_super), BB_UNIT_SIZE);
    return store->super_write.copies == NULL ? BB_ERR_MEMORY : 0;
}

/* Copies that are written before the next flush. */
static unsigned copy_count(const struct bb_store *store)
{
    bool alone = store->config.io->device_size > store->super.layout.device_size;
    return alone && store->super_write.next_copy < 3 ? 1 : 2;
}

static void pair_flushed(struct bb_store *store)
{
    struct super_write *write = &store->super_write;
    BB_ASSERT(write->pending == 0);
    BB_KILL_POINT(SUPER_FLUSHED);
    if (write->next_copy < 3) {
        write->next_copy += copy_count(store);
        pair_submit(store);
        return;
    }
    BB_ASSERT(write->next_copy == 3);
    write->next_copy = 0;
    write->done(store);
}

static void copy_done(struct bb_store *store, struct bb_io_request *request)
{
    struct super_write *write = &store->super_write;
    BB_ASSERT(write->pending > 0);
    write->pending--;
    if (request->result != 0) {
        store_fail(store, request->result, "write of a superblock copy");
        return;
    }
    if (write->pending == 0) {
        flusher_want(store, &write->waiter, pair_flushed);
    }
}

static void first_done(struct bb_io_request *request)
{
    copy_done(BB_CONTAINER(request, struct bb_store, super_write.requests[0]), request);
}

static void second_done(struct bb_io_request *request)
{
    copy_done(BB_CONTAINER(request, struct bb_store, super_write.requests[1]), request);
}

static void pair_submit(struct bb_store *store)
{
    struct super_write *write = &store->super_write;
    uint64_t device_size = store->super.layout.device_size;
    write->pending = copy_count(store);
    for (unsigned i = 0, count = write->pending; i < count; i++) {
        unsigned copy = write->next_copy + i;
        bb_io_prepare(&write->requests[i], BB_IO_WRITE, BB_IO_SUPER,
                      bb_layout_super_offset(device_size, copy), &write->copies[copy - 1],
                      BB_UNIT_SIZE, i == 0 ? first_done : second_done);
        bb_io_submit(store->config.io, &write->requests[i]);
    }
    BB_KILL_POINT(SUPER_SUBMITTED);
}

void super_write_start(struct bb_store *store, void (*done)(struct bb_store *store))
{
    struct super_write *write = &store->super_write;
    BB_ASSERT(write->next_copy == 0);
    BB_ASSERT(store->fatal == 0);
    store->super.generation++;
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        bb_super_encode(&store->super, copy, &write->copies[copy - 1]);
    }
    write->done = done;
    write->next_copy = 1;
    pair_submit(store);
}
