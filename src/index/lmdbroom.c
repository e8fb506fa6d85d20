/* SPDX-License-Identifier: Apache-2.0
 * How much the index still takes. Copy on write needs free pages even to delete, so three times the
 * largest transaction stays free: one to write, and the pages of the two before it, which LMDB does
 * not reuse yet. On small devices the transactions are made small instead.
 *
 * Deletes leave holes in leaves and hardly ever free pages, so counted in pages a full index would
 * stay full. A sixth of the reserve above the reserve is therefore kept for records that go where
 * others have been: the leaves held them all once, and what splits all the same is paid from there.
 */
#include "bb/indexcodec.h"
#include "lmdbenv.h"

#define FREE_LIST ((MDB_dbi)0) /* LMDB's numbers of its own two databases */
#define MAIN_LIST ((MDB_dbi)1)

#define RESERVE_TRANSACTIONS 3
#define RESERVE_SHARE 8      /* of the map, on small devices */
#define TRANSACTION_FIXED 16 /* pages: roots, state row, free list */
#define SLICE_MIN 16u
#define RECORD_SIZE                                                                                \
    (8 + 32 + sizeof(struct bb_disk_index_value) + 2) /* with node head and slot                   \
                                                       */
#define HOLES_SHARE 6                                 /* of the reserve, on top of it */
#define GROWTH_MIN 128u     /* new pages per 1024 records are not taken to be fewer */
#define GROWTH_MEMORY 8192u /* records over which growth is averaged */

/* Each key dirties a leaf of its own; an eighth more for branches and new leaves. */
static uint64_t transaction_pages(uint64_t keys)
{
    return TRANSACTION_FIXED + keys + keys / 8;
}

uint32_t bb_lmdb_slice_max(uint64_t map_pages)
{
    uint64_t largest = map_pages / (RESERVE_TRANSACTIONS * RESERVE_SHARE);
    if (largest < transaction_pages(SLICE_MIN))
        return SLICE_MIN;
    uint64_t keys = (largest - TRANSACTION_FIXED) * 8 / 9;
    return keys < BB_INDEX_SLICE_MAX ? (uint32_t)keys : BB_INDEX_SLICE_MAX;
}

/* Records that fit where deleted ones were, with every leaf they go to split at worst. */
static uint64_t room_in_holes(const struct bb_lmdb_stats *stats, uint64_t reserve)
{
    if (stats->peak_records <= stats->records || stats->map_pages <= stats->used_pages + reserve)
        return 0;
    uint64_t holes = stats->peak_records - stats->records;
    uint64_t pages = stats->map_pages - stats->used_pages - reserve;
    uint64_t splits = (pages - pages / 40) * ((stats->page_size - 16) / RECORD_SIZE) / 2;
    return holes < splits ? holes : splits;
}

uint64_t bb_lmdb_room(const struct bb_lmdb_stats *stats)
{
    uint64_t reserve =
        RESERVE_TRANSACTIONS * transaction_pages(bb_lmdb_slice_max(stats->map_pages));
    BB_ASSERT(stats->page_size > 16);
    uint64_t holes = room_in_holes(stats, reserve);
    reserve += reserve / HOLES_SHARE;
    if (stats->map_pages <= stats->used_pages + reserve)
        return holes;
    uint64_t spare = stats->map_pages - stats->used_pages - reserve;
    uint64_t per_page = (stats->page_size - 16) / RECORD_SIZE;
    /* Certain: a leaf that was split is half full, whatever comes. A fortieth goes to branches. */
    uint64_t pages = stats->block_pages + spare;
    uint64_t certain = (pages - pages / 40) * per_page / 2;
    certain = certain > stats->records ? certain - stats->records : 0;
    /* Beyond that it depends on how many leaves are about to split: all, after a bulk load. */
    uint64_t growth = 2 * (uint64_t)stats->growth;
    growth = growth < GROWTH_MIN ? GROWTH_MIN : growth > 1024 ? 1024 : growth;
    uint64_t likely = (spare - spare / 40) * 1024 / growth;
    uint64_t room = certain > likely ? certain : likely;
    return room > holes ? room : holes;
}

static int add_pages(MDB_txn *txn, MDB_dbi dbi, uint64_t *pages, MDB_stat *ret_stat)
{
    int rc = mdb_stat(txn, dbi, ret_stat);
    if (rc == 0)
        *pages += ret_stat->ms_branch_pages + ret_stat->ms_leaf_pages + ret_stat->ms_overflow_pages;
    return rc;
}

int bb_lmdbroom_count(struct bb_lmdb *lmdb, MDB_txn *txn, struct bb_lmdb_stats *ret_stats)
{
    uint64_t block_pages = 0, other_pages = 2;
    MDB_stat block, other;
    int rc = add_pages(txn, lmdb->block, &block_pages, &block);
    if (rc == 0)
        rc = add_pages(txn, lmdb->state, &other_pages, &other);
    if (rc == 0)
        rc = add_pages(txn, FREE_LIST, &other_pages, &other);
    if (rc == 0)
        rc = add_pages(txn, MAIN_LIST, &other_pages, &other);
    if (rc != 0)
        return bb_lmdb_error(rc);
    ret_stats->records = block.ms_entries;
    ret_stats->block_pages = block_pages;
    ret_stats->used_pages = block_pages + other_pages;
    ret_stats->map_pages = lmdb->map_pages;
    ret_stats->page_size = lmdb->page_size;
    ret_stats->growth = atomic_load_explicit(&lmdb->growth, memory_order_relaxed);
    ret_stats->peak_records = atomic_load_explicit(&lmdb->peak_records, memory_order_relaxed);
    return 0;
}

/* Takes notice of folds that mostly add: others move the leaves both ways. */
static void learn_growth(struct bb_lmdb *lmdb, uint64_t block_pages, uint32_t added,
                         uint32_t removed)
{
    if (added == 0 || removed > added / 8)
        return;
    lmdb->grown_records += added;
    lmdb->grown_pages += block_pages > lmdb->block_pages ? block_pages - lmdb->block_pages : 0;
    while (lmdb->grown_records > GROWTH_MEMORY) {
        lmdb->grown_records -= lmdb->grown_records / 4;
        lmdb->grown_pages -= lmdb->grown_pages / 4;
    }
    uint64_t growth = lmdb->grown_pages * 1024 / lmdb->grown_records;
    atomic_store_explicit(
        &lmdb->growth, growth < BB_LMDB_GROWTH_UNKNOWN ? (uint32_t)growth : BB_LMDB_GROWTH_UNKNOWN,
        memory_order_relaxed);
}

int bb_lmdbroom_update(struct bb_lmdb *lmdb, uint32_t added, uint32_t removed)
{
    struct bb_lmdb_stats stats;
    int rc = bb_lmdb_reader_refresh(&lmdb->account);
    if (rc == 0)
        rc = bb_lmdbroom_count(lmdb, lmdb->account.txn, &stats);
    bb_lmdb_reader_rest(&lmdb->account);
    if (rc < 0)
        return rc;
    learn_growth(lmdb, stats.block_pages, added, removed);
    if (stats.records > stats.peak_records) {
        stats.peak_records = stats.records;
        atomic_store_explicit(&lmdb->peak_records, stats.records, memory_order_relaxed);
    }
    stats.growth = atomic_load_explicit(&lmdb->growth, memory_order_relaxed);
    lmdb->block_pages = stats.block_pages;
    atomic_store_explicit(&lmdb->room, bb_lmdb_room(&stats), memory_order_relaxed);
    return 0;
}

int bb_lmdbroom_reset(struct bb_lmdb *lmdb)
{
    lmdb->grown_records = lmdb->grown_pages = GROWTH_MEMORY;
    atomic_store_explicit(&lmdb->growth, BB_LMDB_GROWTH_UNKNOWN, memory_order_relaxed);
    atomic_store_explicit(&lmdb->peak_records, 0, memory_order_relaxed);
    return bb_lmdbroom_update(lmdb, 0, 0);
}

int bb_lmdb_get_stats(struct bb_lmdb *lmdb, struct bb_lmdb_stats *ret_stats)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return bb_lmdb_error(rc);
    rc = bb_lmdbroom_count(lmdb, txn, ret_stats);
    mdb_txn_abort(txn);
    return rc;
}
