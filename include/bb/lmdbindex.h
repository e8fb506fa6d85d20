/* SPDX-License-Identifier: Apache-2.0
 * The index on its own device: LMDB (Debian's 0.9.24) straight on the bare partition, no
 * filesystem.
 *
 * LMDB takes a blank device for a broken file, so format writes the first pages of an environment
 * made in a file with the same map size. Its pages have 4 KiB on every machine, also where those of
 * memory have 16 or 64; whatever size it finds it reads. The environment is opened by a symlink in
 * the runtime directory (the lock file lands beside it), with MDB_NOSUBDIR and MDB_NORDAHEAD; never
 * WRITEMAP, NOSYNC, NOMETASYNC or NOMEMINIT. What is stored: indexcodec.h.
 *
 * Both meta pages, and the pages they point to, are checked by our own reader before LMDB sees
 * them: it would crash on garbage. An I/O error under the map arrives as SIGBUS; the program that
 * maps it names the device and exits.
 */
#ifndef BB_LMDBINDEX_H
#define BB_LMDBINDEX_H

#include "bb/device.h"
#include "bb/index.h"

struct bb_lmdb;

#define BB_LMDB_SIZE_MIN (8ull << 20) /* smallest index device, bytes */
#define BB_LMDB_READERS_MAX 8u        /* bb_lmdb_reader_open at one time */

/* Writes an empty environment (a fresh, durable, valid index without rows) to the claimed device;
 * what was there is invalid from the first write on. runtime_dir holds a small file meanwhile.
 * BB_ERR_GEOMETRY: device below BB_LMDB_SIZE_MIN. Afterwards bb_lmdb_open works. */
BB_MUST_USE int bb_lmdb_format(const struct bb_device *device, const char *runtime_dir);
/* Makes the device unreadable as an index (both meta pages zeroed, synced). */
BB_MUST_USE int bb_lmdb_invalidate(const struct bb_device *device);

struct bb_lmdb_meta {
    uint32_t page_size;
    uint64_t map_size;
    uint64_t last_page;
    uint64_t transaction;
};
/* Pure check of the first bytes of an index device (128 KiB hold every page size):
 * BB_ERR_NOT_FORMATTED (no LMDB magic in either), BB_ERR_INDEX_DAMAGED (one bad, or roots and sizes
 * implausible). */
BB_MUST_USE int bb_lmdb_check_metas(const void *head, size_t head_size, uint64_t device_size,
                                    struct bb_lmdb_meta *ret_newest);

/* Opens the environment on a claimed device (bb_device.h holds the O_EXCL fd meanwhile).
 * runtime_dir is an existing directory for symlink and lock file; both get a name with our pid and
 * are removed on close. BB_ERR_NOT_FORMATTED, BB_ERR_INDEX_DAMAGED, BB_ERR_REFUSED (path leads to
 * another device than the claimed one) or -errno. Start-up and tools only. */
BB_MUST_USE int bb_lmdb_open(const struct bb_device *device, const char *runtime_dir,
                             bool read_only, struct bb_lmdb **ret_lmdb);
void bb_lmdb_close(struct bb_lmdb *lmdb);

/* The table over this environment. Writer calls (fold, append, put_state) by one thread, the
 * checkpointer; lookup and refresh use one read transaction and belong to one thread; state, room
 * and scan may run on any. Before the first put_state, state and fold say BB_ERR_NOT_FORMATTED.
 *
 * A snapshot keeps pages from being reused: between folds every reader must refresh or rest, else
 * the index fills up with old pages. The table's lookup rests after open. */
void bb_lmdb_index(struct bb_lmdb *lmdb, struct bb_index *ret_index);
/* Lets go of the snapshot of the table's lookup; the next lookup or refresh takes a new one. */
void bb_lmdb_rest(struct bb_lmdb *lmdb);

/* The state row read by our own reader, without LMDB and without a claim: tells whose half a device
 * is. BB_ERR_NOT_FORMATTED: no index of ours, or one without a row yet. BB_ERR_INDEX_DAMAGED: also
 * when somebody writes to it at the moment; try again. */
BB_MUST_USE int bb_lmdb_peek_state(const struct bb_device *device,
                                   struct bb_index_state *ret_state);

/* The state row, in a transaction of its own: first write to a fresh environment, last of a
 * rebuild. */
BB_MUST_USE int bb_lmdb_put_state(struct bb_lmdb *lmdb, const struct bb_index_state *state);
/* Rebuild: adds changes (all present, ascending, above every hash in the map, at most slice_max) in
 * one transaction; lookup rests: for tools, which do all in one thread. The state row is left
 * alone: the caller keeps the set and puts the row last.
 * -EEXIST: a hash was not above; BB_ERR_INDEX_FULL: nothing changed. */
BB_MUST_USE int bb_lmdb_append(struct bb_lmdb *lmdb, const struct bb_change *changes,
                               uint32_t count);

/* A further reader (lookup threads): its own read transaction. Opened and closed by the thread that
 * opens the environment, used by one thread. It sees the newest fold before its last refresh; rest
 * lets go of that snapshot (whose pages cannot be reused meanwhile) until the next refresh. */
struct bb_lmdb_reader;
BB_MUST_USE int bb_lmdb_reader_open(struct bb_lmdb *lmdb, struct bb_lmdb_reader **ret_reader);
void bb_lmdb_reader_close(struct bb_lmdb_reader *reader);
BB_MUST_USE int bb_lmdb_reader_refresh(struct bb_lmdb_reader *reader);
void bb_lmdb_reader_rest(struct bb_lmdb_reader *reader);
/* 0, -ENOENT or an error. The reader does not rest. */
BB_MUST_USE int bb_lmdb_reader_lookup(struct bb_lmdb_reader *reader, const struct bb_hash *hash,
                                      struct bb_index_entry *ret_entry);

struct bb_lmdb_stats {
    uint64_t records;
    uint64_t block_pages; /* pages of the block database, for bytes per record */
    uint64_t used_pages;  /* by all databases, the free list and the metas */
    uint64_t map_pages;
    uint32_t page_size;
    /* New pages per 1024 new records in the latest folds; BB_LMDB_GROWTH_UNKNOWN while leaves may
     * be packed (after open, append, a fold above all others): every record may split one. */
    uint32_t growth;
    uint64_t peak_records; /* most that were there since open: what was deleted left holes */
};
#define BB_LMDB_GROWTH_UNKNOWN 1024u

/* Of the newest fold. Any thread. */
BB_MUST_USE int bb_lmdb_get_stats(struct bb_lmdb *lmdb, struct bb_lmdb_stats *ret_stats);

/* Asks the kernel to read the used pages in, in order, where they fit into half of the free memory
 * and of what the control group may have: before a scan of all of them. Returns when all are asked
 * for. Any thread. */
void bb_lmdb_read_in(struct bb_lmdb *lmdb);

/* Pure arithmetic. Keys of one transaction on a map of that many pages: three of the largest
 * transactions take at most an eighth of the map, or BB_INDEX_SLICE_MAX. */
uint32_t bb_lmdb_slice_max(uint64_t map_pages);
/* Records that can still be added: certain as long as every leaf is at least half full after it was
 * split, beyond that extrapolated from growth, twofold. Pages of the free list count as free, but
 * LMDB gives a leaf back only when it is less than a quarter full: an index that was filled to the
 * last record, emptied in part at random and filled again a few times ends with half-full leaves
 * everywhere and takes no more until about half of its records are deleted, or a rebuild packs it.
 */
uint64_t bb_lmdb_room(const struct bb_lmdb_stats *stats);

#endif
