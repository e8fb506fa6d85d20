/* SPDX-License-Identifier: Apache-2.0
 * The pages of LMDB 0.9 on a 64-bit little-endian machine, as far as our own reader looks at them
 * (mdb.c: MDB_page, MDB_meta, MDB_db, MDB_node; data version 1).
 *
 *   page 0, 1   meta: the transaction with an even number writes 0, an odd one writes 1
 *   others      16-byte header, then branch or leaf nodes, or the data of an overflow run
 *
 * Internal to src/index.
 */
#ifndef BB_LMDBPAGE_H
#define BB_LMDBPAGE_H

#include "bb/device.h"
#include "bb/le.h"
#include "bb/lmdbindex.h"

#include <stddef.h>

#define LMDB_MAGIC 0xBEEFC0DEu
#define LMDB_VERSION 1u
#define LMDB_PAGE_SIZE 4096u      /* that we make, whatever the machine's is; */
#define LMDB_PAGE_SIZE_MIN 4096u  /* others are read, too */
#define LMDB_PAGE_SIZE_MAX 32768u /* LMDB's own limit */
#define LMDB_HEAD_SIZE (2 * LMDB_PAGE_SIZE_MAX)
#define LMDB_DEPTH_MAX 32
#define LMDB_NO_PAGE UINT64_MAX

#define LMDB_P_BRANCH 0x01u
#define LMDB_P_LEAF 0x02u
#define LMDB_P_OVERFLOW 0x04u
#define LMDB_P_META 0x08u
#define LMDB_F_BIGDATA 0x01u
#define LMDB_F_SUBDATA 0x02u
#define LMDB_DB_INTEGERKEY 0x08u
#define LMDB_DB_NOSUBDIR 0x4000u /* the flags of the environment are kept beside */

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

struct lmdb_disk_header {
    struct bb_le64 page;
    struct bb_le16 pad;
    struct bb_le16 flags;
    struct bb_le16 lower; /* end of the node offsets; overflow: low half of the run's length */
    struct bb_le16 upper; /* start of the nodes; overflow: high half */
};

struct lmdb_disk_db {
    struct bb_le32 pad; /* free list in a meta page: the page size */
    struct bb_le16 flags;
    struct bb_le16 depth;
    struct bb_le64 branch_pages;
    struct bb_le64 leaf_pages;
    struct bb_le64 overflow_pages;
    struct bb_le64 entries;
    struct bb_le64 root;
};

struct lmdb_disk_meta {
    struct lmdb_disk_header header;
    struct bb_le32 magic;
    struct bb_le32 version;
    struct bb_le64 address;
    struct bb_le64 map_size;
    struct lmdb_disk_db free;
    struct lmdb_disk_db main;
    struct bb_le64 last_page;
    struct bb_le64 transaction;
};

struct lmdb_disk_node {
    struct bb_le16 low; /* size of the data, or page of the child */
    struct bb_le16 high;
    struct bb_le16 flags; /* of a branch: bits 32..47 of the child */
    struct bb_le16 key_size;
};

#pragma GCC diagnostic pop

BB_STATIC_ASSERT(sizeof(struct lmdb_disk_header) == 16);
BB_STATIC_ASSERT(sizeof(struct lmdb_disk_db) == 48);
BB_STATIC_ASSERT(sizeof(struct lmdb_disk_meta) == 152);
BB_STATIC_ASSERT(sizeof(struct lmdb_disk_node) == 8);

/* Whether the numbers of a database fit each other and `last_page`. */
bool bb_lmdbmeta_db_plausible(const struct lmdb_disk_db *db, uint64_t last_page);

/* What the meta page alone cannot say: the main database holds exactly our two, every page of the
 * trees is one that LMDB could have written there, keys and separators are in order, the free list
 * can be read to its end and is that of this transaction, and no page is used twice. On others LMDB
 * would crash, miss blocks, or reuse live pages. `head` is LMDB_HEAD_SIZE bytes that passed
 * bb_lmdb_check_metas as *meta. Reads every page in use. Start-up only. */
BB_MUST_USE int bb_lmdbtree_check(const struct bb_device *device, const void *head,
                                  const struct bb_lmdb_meta *meta);

#endif
