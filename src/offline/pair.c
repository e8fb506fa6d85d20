/* SPDX-License-Identifier: Apache-2.0
 * Opening a pair for an offline tool. Owner: the calling thread.
 */
#include "bb/pair.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/recovery.h"
#include "target.h"

#include <errno.h>

static int refuse(const char *path, int error, struct bb_explain *explain)
{
    const char *cure = "check path and rights";
    if (error == BB_ERR_HELD)
        cure = "stop bbd or unmount it";
    else if (error == -EROFS)
        cure = "make it writable";
    return bb_explain(explain, error, "%s: %s, %s", path, bb_err_text(error), cure);
}

static int open_device(const struct bb_pair_options *options, const char *path,
                       struct bb_device *device, struct bb_explain *explain)
{
    int error =
        bb_device_open(path, BB_DEVICE_EXCLUSIVE, options->wait_ms, options->on_wait, device);
    if ((error == -EROFS || error == -EACCES) && options->may_read_only)
        error = bb_device_open(path, BB_DEVICE_READ, 0, NULL, device);
    if (error == 0)
        error = bb_device_sync(device);
    return error == 0 ? 0 : refuse(path, error, explain);
}

static int refuse_same(const struct bb_pair_options *options, struct bb_explain *explain)
{
    return bb_explain(explain, BB_ERR_REFUSED,
                      "%s and %s: the same device, or one is part of the other, name two",
                      options->data_path, options->index_path);
}

int bb_pair_open(struct bb_pair *pair, const struct bb_pair_options *options,
                 struct bb_explain *explain)
{
    *pair = (struct bb_pair){.data = {.fd = -1}, .index = {.fd = -1}};
    explain->text[0] = '\0';
    if (options->memory < BB_RECOVER_SCRATCH_MIN)
        return bb_explain(explain, BB_ERR_USAGE, "memory: %llu bytes, allow at least %llu",
                          (unsigned long long)options->memory,
                          (unsigned long long)BB_RECOVER_SCRATCH_MIN);
    if (target_same(options->data_path, options->index_path))
        return refuse_same(options, explain); /* before the claim on the one holds up the other */
    int error = open_device(options, options->data_path, &pair->data, explain);
    if (error == 0)
        error = open_device(options, options->index_path, &pair->index, explain);
    if (error != 0)
        return error;
    if (bb_device_overlap(&pair->data, &pair->index))
        return refuse_same(options, explain);
    size_t size = (size_t)bb_align_down(options->memory, BB_UNIT_SIZE);
    error = bb_arena_open(size, false, false, &pair->arena);
    if (error == 0)
        error = bb_rundir_make(&pair->rundir);
    if (error != 0)
        return bb_explain(explain, error,
                          "memory or temporary directory: %s, allow less memory or "
                          "set TMPDIR",
                          bb_err_text(error));
    bb_syncio_init(&pair->sync, &pair->data);
    pair->config.io = &pair->sync.io;
    pair->config.index = &pair->table;
    pair->config.scratch = bb_arena_alloc(&pair->arena, size, BB_UNIT_SIZE);
    pair->config.scratch_size = size;
    BB_ASSERT(pair->config.scratch != NULL);
    return 0;
}

int bb_pair_open_index(struct bb_pair *pair, bool read_only, struct bb_explain *explain)
{
    BB_ASSERT(pair->lmdb == NULL);
    int error = bb_lmdb_open(&pair->index, pair->rundir.path, read_only, &pair->lmdb);
    if (error != 0) {
        pair->lmdb = NULL;
        return bb_explain(explain, error,
                          "%s: as an index: %s, name the right device or run bbfsck --rebuild",
                          pair->index.path, bb_err_text(error));
    }
    bb_lmdb_index(pair->lmdb, &pair->table);
    return 0;
}

void bb_pair_close_index(struct bb_pair *pair)
{
    if (pair->lmdb != NULL)
        bb_lmdb_close(pair->lmdb);
    pair->lmdb = NULL;
}

void bb_pair_close(struct bb_pair *pair)
{
    bb_pair_close_index(pair);
    bb_rundir_remove(&pair->rundir);
    if (pair->arena.base != NULL)
        bb_arena_close(&pair->arena);
    if (pair->index.fd >= 0)
        bb_device_close(&pair->index);
    if (pair->data.fd >= 0)
        bb_device_close(&pair->data);
}
