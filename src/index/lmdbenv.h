/* SPDX-License-Identifier: Apache-2.0
 * The open environment, shared by the files of src/index that include lmdb.h.
 *
 *   lmdbenv.c    format, open, close         lmdbindex.c    table of functions, fold, scan
 *   lmdbreader.c read transactions           lmdbroom.c     stats and room
 */
#ifndef BB_LMDBENV_H
#define BB_LMDBENV_H

#include "bb/arena.h"
#include "bb/lmdbindex.h"

#include <lmdb.h>
#include <stdatomic.h>

/* A read transaction that is kept and renewed. Owner: the thread that looks up. */
struct bb_lmdb_reader {
    struct bb_lmdb *lmdb;
    MDB_txn *txn;
    bool resting; /* txn holds no snapshot */
    bool taken;
};

struct bb_lmdb {
    struct bb_arena arena;
    MDB_env *env;
    MDB_dbi block, state;
    bool read_only;
    uint32_t slice_max;
    uint32_t page_size;
    uint64_t map_pages;
    char link_path[256];
    char lock_path[256];
    struct bb_lmdb_reader lookup;  /* behind lookup and refresh of the table */
    struct bb_lmdb_reader account; /* writer's: counts pages after a commit */
    struct bb_lmdb_reader readers[BB_LMDB_READERS_MAX];
    uint64_t block_pages;   /* writer's: as of the newest fold */
    uint64_t grown_records; /* writer's: in the latest folds, with the pages they took */
    uint64_t grown_pages;
    _Atomic uint64_t peak_records;
    _Atomic uint32_t growth; /* as in struct bb_lmdb_stats; both written by the writer */
    _Atomic uint64_t room;   /* as of the newest fold */
};

/* LMDB's codes and errno in ours: 0, -errno or BB_ERR_*. */
int bb_lmdb_error(int rc);

/* begin leaves the reader with a snapshot. */
BB_MUST_USE int bb_lmdbreader_begin(struct bb_lmdb *lmdb, struct bb_lmdb_reader *reader);
void bb_lmdbreader_end(struct bb_lmdb_reader *reader);

/* Asks the kernel for the first `size` bytes, where they fit into half of the free memory. */
void bb_lmdbreadin_ask(int fd, uint64_t size);

/* Counts pages in the snapshot of `txn`. */
BB_MUST_USE int bb_lmdbroom_count(struct bb_lmdb *lmdb, MDB_txn *txn,
                                  struct bb_lmdb_stats *ret_stats);
/* Counts anew after a transaction that brought `added` new records and took `removed` away. Writer
 * only. */
BB_MUST_USE int bb_lmdbroom_update(struct bb_lmdb *lmdb, uint32_t added, uint32_t removed);
/* The same when leaves may be packed: after open, append, and a fold above all that was there. */
BB_MUST_USE int bb_lmdbroom_reset(struct bb_lmdb *lmdb);

#endif
