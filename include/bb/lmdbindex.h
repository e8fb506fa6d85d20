/* SPDX-License-Identifier: Apache-2.0
 * The index on its own device: LMDB (Debian's 0.9.24) straight on the bare partition, no filesystem.
 *
 * LMDB takes a blank device for a broken file, so format writes the first two pages of an environment
 * made in memory with the same map size. The environment is opened by a symlink in the runtime
 * directory (the lock file lands beside it), with MDB_NOSUBDIR and MDB_NORDAHEAD; never WRITEMAP,
 * NOSYNC, NOMETASYNC or NOMEMINIT. Databases: "block" (32-byte key, 16-byte value: 40-bit unit, 24-bit
 * size, 64 bits of flags and references) and "state" (one row).
 *
 * Both meta pages are checked by our own reader before LMDB sees them: it would crash on garbage.
 * An I/O error under the map arrives as SIGBUS; the program that maps it names the device and exits.
 */
#ifndef BB_LMDBINDEX_H
#define BB_LMDBINDEX_H

#include "bb/device.h"
#include "bb/index.h"

struct bb_lmdb;

/* Writes the two meta pages of an empty environment (a fresh, durable, valid index without rows) to
 * the claimed device and zeroes what precedes a fresh state. Afterwards bb_lmdb_open works. */
BB_MUST_USE int bb_lmdb_format(const struct bb_device *device, const char *runtime_dir);
/* Makes the device unreadable as an index (both meta pages zeroed, synced). */
BB_MUST_USE int bb_lmdb_invalidate(const struct bb_device *device);

struct bb_lmdb_meta {
    uint32_t page_size;
    uint64_t map_size;
    uint64_t last_page;
    uint64_t transaction;
};
/* Pure check of the first bytes of an index device (at least 2 pages of up to 64 KiB): BB_ERR_NOT_FORMATTED
 * (no LMDB magic in either), BB_ERR_INDEX_DAMAGED (one bad, or roots and sizes implausible). */
BB_MUST_USE int bb_lmdb_check_metas(const void *head, size_t head_size, uint64_t device_size,
                                    struct bb_lmdb_meta *ret_newest);

/* Opens the environment on a claimed device (bb_device.h holds the O_EXCL fd meanwhile). runtime_dir is
 * an existing directory for symlink and lock file; both get a name with our pid and are removed on
 * close. BB_ERR_NOT_FORMATTED, BB_ERR_INDEX_DAMAGED or -errno. Start-up and tools only. */
BB_MUST_USE int bb_lmdb_open(const struct bb_device *device, const char *runtime_dir, bool read_only,
                             struct bb_lmdb **ret_lmdb);
void bb_lmdb_close(struct bb_lmdb *lmdb);

/* The table over this environment. Writer calls (fold) by one thread, the checkpointer; lookup and
 * refresh use one read transaction and belong to one thread; scan opens its own and may run on any. */
void bb_lmdb_index(struct bb_lmdb *lmdb, struct bb_index *ret_index);

/* First write to a fresh environment: the state row. Rebuild: rows in bulk with appended sorted keys,
 * in transactions of at most slice_max. */
BB_MUST_USE int bb_lmdb_put_state(struct bb_lmdb *lmdb, const struct bb_index_state *state);
/* A further reader (lookup threads): its own read transaction. */
struct bb_lmdb_reader;
BB_MUST_USE int bb_lmdb_reader_open(struct bb_lmdb *lmdb, struct bb_lmdb_reader **ret_reader);
void bb_lmdb_reader_close(struct bb_lmdb_reader *reader);

struct bb_lmdb_stats {
    uint64_t records;
    uint64_t block_pages; /* pages of the block database, for bytes per record */
    uint64_t used_pages, map_pages;
    uint32_t page_size;
};
BB_MUST_USE int bb_lmdb_get_stats(struct bb_lmdb *lmdb, struct bb_lmdb_stats *ret_stats);

#endif
