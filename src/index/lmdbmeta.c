/* SPDX-License-Identifier: Apache-2.0
 * Our own reader of LMDB's two meta pages. LMDB has no checksum there and trusts what it finds: one
 * bad field is a crash or a wiped tree. Everything that the two pages can say about each other is
 * checked; transactions are numbered without gaps, so the older page is exactly one behind.
 */
#include "bb/err.h"
#include "lmdbpage.h"

bool bb_lmdbmeta_db_plausible(const struct lmdb_disk_db *db, uint64_t last_page)
{
    uint64_t root = bb_le64_get(db->root);
    uint64_t branch = bb_le64_get(db->branch_pages);
    uint64_t leaf = bb_le64_get(db->leaf_pages);
    uint64_t overflow = bb_le64_get(db->overflow_pages);
    unsigned depth = bb_le16_get(db->depth);
    if (root == LMDB_NO_PAGE)
        return depth == 0 && branch == 0 && leaf == 0 && overflow == 0 &&
               bb_le64_get(db->entries) == 0;
    if (root < 2 || root > last_page || depth == 0 || depth > LMDB_DEPTH_MAX)
        return false;
    if (branch > last_page || leaf > last_page || overflow > last_page ||
        branch + leaf + overflow > last_page - 1)
        return false;
    if (leaf == 0 || bb_le64_get(db->entries) < leaf)
        return false;
    return depth == 1 ? branch == 0 && leaf == 1 : branch >= depth - 1u;
}

static bool has_magic(const uint8_t *page)
{
    struct bb_le32 magic;
    memcpy(&magic, page + offsetof(struct lmdb_disk_meta, magic), sizeof(magic));
    return bb_le32_get(magic) == LMDB_MAGIC;
}

static bool any_magic(const uint8_t *head, size_t head_size)
{
    if (has_magic(head))
        return true;
    for (size_t size = LMDB_PAGE_SIZE_MIN; size <= LMDB_PAGE_SIZE_MAX; size *= 2)
        if (2 * size <= head_size && has_magic(head + size))
            return true;
    return false;
}

static bool page_size_plausible(uint32_t size)
{
    return size >= LMDB_PAGE_SIZE_MIN && size <= LMDB_PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

static bool meta_plausible(const struct lmdb_disk_meta *meta, unsigned at, uint64_t device_size)
{
    if (bb_le64_get(meta->header.page) != at || bb_le16_get(meta->header.pad) != 0 ||
        bb_le16_get(meta->header.flags) != LMDB_P_META || bb_le16_get(meta->header.lower) != 0 ||
        bb_le16_get(meta->header.upper) != 0)
        return false;
    if (bb_le32_get(meta->magic) != LMDB_MAGIC || bb_le32_get(meta->version) != LMDB_VERSION ||
        bb_le64_get(meta->address) != 0)
        return false;
    uint32_t page_size = bb_le32_get(meta->free.pad);
    uint64_t map_size = bb_le64_get(meta->map_size);
    uint64_t last_page = bb_le64_get(meta->last_page);
    if (!page_size_plausible(page_size) || map_size > device_size || map_size % page_size != 0 ||
        last_page < 1 || last_page >= map_size / page_size)
        return false;
    return (bb_le16_get(meta->free.flags) & ~LMDB_DB_NOSUBDIR) == LMDB_DB_INTEGERKEY &&
           bb_le32_get(meta->main.pad) == 0 && bb_le16_get(meta->main.flags) == 0;
}

static bool roots_plausible(const struct lmdb_disk_meta *meta, uint64_t last_page)
{
    return bb_lmdbmeta_db_plausible(&meta->free, last_page) &&
           bb_lmdbmeta_db_plausible(&meta->main, last_page);
}

/* When the write of a meta page fails, LMDB puts transaction and last page of that place back but
 * not the roots: those of the older page may lie behind its last one. */
static bool trees_plausible(const struct lmdb_disk_meta *newest, const struct lmdb_disk_meta *older)
{
    uint64_t map_pages = bb_le64_get(older->map_size) / bb_le32_get(older->free.pad);
    return roots_plausible(newest, bb_le64_get(newest->last_page)) &&
           roots_plausible(older, map_pages - 1);
}

static bool pair_plausible(const struct lmdb_disk_meta *even, const struct lmdb_disk_meta *odd)
{
    uint64_t a = bb_le64_get(even->transaction);
    uint64_t b = bb_le64_get(odd->transaction);
    if (bb_le32_get(even->free.pad) != bb_le32_get(odd->free.pad))
        return false;
    if (a == 0 && b == 0)
        return true;
    return a % 2 == 0 && b % 2 == 1 && (a > b ? a - b : b - a) == 1;
}

int bb_lmdb_check_metas(const void *head, size_t head_size, uint64_t device_size,
                        struct bb_lmdb_meta *ret_newest)
{
    const uint8_t *bytes = head;
    struct lmdb_disk_meta metas[2];
    if (head_size < 2 * LMDB_PAGE_SIZE_MIN || !any_magic(bytes, head_size))
        return BB_ERR_NOT_FORMATTED;
    memcpy(&metas[0], bytes, sizeof(metas[0]));
    uint32_t page_size = bb_le32_get(metas[0].free.pad);
    if (!page_size_plausible(page_size) || head_size < 2 * (size_t)page_size)
        return BB_ERR_INDEX_DAMAGED;
    memcpy(&metas[1], bytes + page_size, sizeof(metas[1]));
    if (!meta_plausible(&metas[0], 0, device_size) || !meta_plausible(&metas[1], 1, device_size) ||
        !pair_plausible(&metas[0], &metas[1]))
        return BB_ERR_INDEX_DAMAGED;
    unsigned newer = bb_le64_get(metas[1].transaction) > bb_le64_get(metas[0].transaction);
    const struct lmdb_disk_meta *newest = &metas[newer];
    if (!trees_plausible(newest, &metas[1 - newer]))
        return BB_ERR_INDEX_DAMAGED;
    ret_newest->page_size = page_size;
    ret_newest->map_size = bb_le64_get(newest->map_size);
    ret_newest->last_page = bb_le64_get(newest->last_page);
    ret_newest->transaction = bb_le64_get(newest->transaction);
    return 0;
}
