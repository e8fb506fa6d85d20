/* SPDX-License-Identifier: Apache-2.0
 * The second opinions themselves (opinion_lmdb.h); offsets as in lmdbpage.h.
 *
 * Trees are read by descending from their roots. A page belongs to one thing only, so whoever comes
 * to it claims it: that also ends the descent where pages form a loop. */
#include "opinion_lmdb.h"

#include "bb/err.h"
#include "input.h"

/* ---- The metas ---- */

#define META_FREE 40
#define META_MAIN 88

static uint16_t u16_at(const void *bytes, size_t offset)
{
    const uint8_t *at = (const uint8_t *)bytes + offset;
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint64_t pages_of(const uint8_t *db)
{
    return u64_at(db, 8) + u64_at(db, 16) + u64_at(db, 24);
}

static bool db_good(const uint8_t *db, uint64_t last_page)
{
    unsigned depth = u16_at(db, 6);
    uint64_t branches = u64_at(db, 8), leaves = u64_at(db, 16), entries = u64_at(db, 32);
    if (u64_at(db, 40) == UINT64_MAX)
        return depth == 0 && zeros_at(db, 8, 32);
    if (branches > last_page || leaves > last_page || u64_at(db, 24) > last_page)
        return false;
    if (u64_at(db, 40) < 2 || u64_at(db, 40) > last_page || pages_of(db) >= last_page)
        return false;
    if (depth < 1 || depth > 32 || leaves < 1 || entries < leaves)
        return false;
    return depth == 1 ? branches == 0 && leaves == 1 : branches + 1 >= depth;
}

static bool meta_good(const uint8_t *meta, unsigned number, uint32_t page_size,
                      uint64_t device_size)
{
    uint64_t map_size = u64_at(meta, 32), last_page = u64_at(meta, 136);
    if (u64_at(meta, 0) != number || u16_at(meta, 8) != 0 || u16_at(meta, 10) != 8 ||
        u32_at(meta, 12) != 0)
        return false;
    if (u32_at(meta, 16) != 0xbeefc0de || u32_at(meta, 20) != 1 || u64_at(meta, 24) != 0)
        return false;
    if (map_size > device_size || map_size % page_size != 0 || last_page == 0 ||
        last_page >= map_size / page_size)
        return false;
    unsigned flags = u16_at(meta, META_FREE + 4);
    if (u32_at(meta, META_FREE) != page_size || (flags != 8 && flags != 0x4008))
        return false;
    return u32_at(meta, META_MAIN) == 0 && u16_at(meta, META_MAIN + 4) == 0;
}

static bool dbs_good(const uint8_t *meta, uint64_t last_page)
{
    return db_good(meta + META_FREE, last_page) && db_good(meta + META_MAIN, last_page);
}

int opinion_metas(const uint8_t *head, size_t size, uint64_t device_size,
                  struct bb_lmdb_meta *ret_meta)
{
    bool magic = size >= 8192 && u32_at(head, 16) == 0xbeefc0de;
    for (uint32_t at = 4096; at <= 32768 && 2 * (size_t)at <= size; at *= 2)
        magic = magic || u32_at(head, at + 16) == 0xbeefc0de;
    if (!magic)
        return BB_ERR_NOT_FORMATTED;
    uint32_t page_size = u32_at(head, META_FREE);
    if (page_size != 4096 && page_size != 8192 && page_size != 16384 && page_size != 32768)
        return BB_ERR_INDEX_DAMAGED;
    if (2 * (size_t)page_size > size || !meta_good(head, 0, page_size, device_size) ||
        !meta_good(head + page_size, 1, page_size, device_size))
        return BB_ERR_INDEX_DAMAGED;
    uint64_t even = u64_at(head, 144), odd = u64_at(head + page_size, 144);
    bool fresh = even == 0 && odd == 0;
    if (!fresh && (even % 2 != 0 || (odd > even ? odd - even : even - odd) != 1))
        return BB_ERR_INDEX_DAMAGED;
    const uint8_t *newest = even >= odd ? head : head + page_size;
    const uint8_t *older = even >= odd ? head + page_size : head;
    /* after a failed write the roots of the older one may lie behind its last page */
    if (!dbs_good(newest, u64_at(newest, 136)) ||
        !dbs_good(older, u64_at(older, 32) / page_size - 1))
        return BB_ERR_INDEX_DAMAGED;
    ret_meta->page_size = page_size;
    ret_meta->map_size = u64_at(newest, 32);
    ret_meta->last_page = u64_at(newest, 136);
    ret_meta->transaction = u64_at(newest, 144);
    return 0;
}

/* ---- Pages and nodes ---- */

#define PAGES_MAX (32u << 20 >> 12) /* devices of the target are smaller than 32 MiB */
#define HALVES_MAX (32768u / 2)

enum { BRANCH = 1, LEAF = 2, RUN = 4 };

/* The device, and what was found of one tree. */
struct view {
    const uint8_t *image;
    const struct bb_lmdb_meta *meta;
    bool claimed[PAGES_MAX];
    uint64_t branches, leaves, runs, entries;
    uint64_t newest; /* key of the free list */
};

static const uint8_t *page_at(const struct view *view, uint64_t number)
{
    return view->image + number * view->meta->page_size;
}

static bool claim(struct view *view, uint64_t number)
{
    if (number < 2 || number > view->meta->last_page || view->claimed[number])
        return false;
    view->claimed[number] = true;
    return true;
}

static const uint8_t *node_at(const uint8_t *page, unsigned at)
{
    return page + u16_at(page, 16 + 2 * at);
}

/* Data in the page: none of a branch, a page number instead of what is in a run. */
static uint64_t data_size(const uint8_t *node, unsigned kind)
{
    if (kind == BRANCH)
        return 0;
    return (u16_at(node, 4) & 1) != 0 ? 8 : u32_at(node, 0);
}

/* The nodes cover what is behind `upper`: each byte belongs to exactly one. */
static bool nodes_cover(const uint8_t *page, uint32_t page_size, unsigned kind, unsigned count)
{
    static bool covered[HALVES_MAX];
    unsigned upper = u16_at(page, 14);
    memset(covered, 0, sizeof(covered));
    for (unsigned i = 0; i < count; i++) {
        uint64_t start = u16_at(page, 16 + 2 * i);
        if (start % 2 != 0 || start < upper || start + 8 > page_size)
            return false;
        const uint8_t *node = page + start;
        uint64_t end = start + 8 + u16_at(node, 6) + data_size(node, kind);
        if (end > page_size)
            return false;
        for (uint64_t half = start / 2; half < (end + 1) / 2; half++) {
            if (covered[half])
                return false;
            covered[half] = true;
        }
    }
    for (unsigned half = (upper + 1) / 2; half < page_size / 2; half++)
        if (!covered[half])
            return false;
    return upper % 2 == 0;
}

/* Claims a page of a tree. Number of its nodes, 0 if it is no such page. */
static unsigned enter(struct view *view, uint64_t number, unsigned kind)
{
    if (!claim(view, number))
        return 0;
    const uint8_t *page = page_at(view, number);
    unsigned lower = u16_at(page, 12), upper = u16_at(page, 14);
    if (u64_at(page, 0) != number || u16_at(page, 10) != kind || lower % 2 != 0)
        return 0;
    if (lower < 16 || lower > upper || upper > view->meta->page_size)
        return 0;
    unsigned count = (lower - 16) / 2;
    return nodes_cover(page, view->meta->page_size, kind, count) ? count : 0;
}

static uint64_t child_of(const uint8_t *node)
{
    return u32_at(node, 0) | (uint64_t)u16_at(node, 4) << 32;
}

/* The numbers kept of a tree are those that were found; the next tree begins at 0. */
static bool totals_good(struct view *view, const uint8_t *db)
{
    bool good = view->branches == u64_at(db, 8) && view->leaves == u64_at(db, 16) &&
                view->runs == u64_at(db, 24) && view->entries == u64_at(db, 32);
    view->branches = view->leaves = view->runs = view->entries = 0;
    return good;
}

/* ---- The free list ---- */

static bool list_good(struct view *view, const uint8_t *list, uint64_t slots)
{
    uint64_t count = u64_at(list, 0);
    if (count >= slots)
        return false;
    for (uint64_t i = 1; i <= count; i++)
        if ((i > 1 && u64_at(list, 8 * i) >= u64_at(list, 8 * (i - 1))) ||
            !claim(view, u64_at(list, 8 * i)))
            return false;
    return true;
}

static bool run_good(struct view *view, uint64_t first, uint64_t size)
{
    uint64_t pages = (16 + size + view->meta->page_size - 1) / view->meta->page_size;
    for (uint64_t i = 0; i < pages; i++)
        if (!claim(view, first + i))
            return false;
    const uint8_t *run = page_at(view, first);
    view->runs += pages;
    return u64_at(run, 0) == first && u16_at(run, 10) == RUN && u32_at(run, 12) == pages &&
           list_good(view, run + 16, size / 8);
}

static bool free_node_good(struct view *view, const uint8_t *node)
{
    uint64_t size = u32_at(node, 0);
    if (u16_at(node, 6) != 8 || u16_at(node, 4) > 1 || size == 0 || size % 8 != 0)
        return false;
    uint64_t key = u64_at(node, 8);
    if (key <= view->newest || key > view->meta->transaction)
        return false;
    view->newest = key;
    view->entries++;
    return u16_at(node, 4) == 0 ? list_good(view, node + 16, size / 8)
                                : run_good(view, u64_at(node, 16), size);
}

static bool free_tree_good(struct view *view, uint64_t number, unsigned height)
{
    unsigned count = enter(view, number, height == 1 ? LEAF : BRANCH);
    const uint8_t *page = page_at(view, count == 0 ? 0 : number);
    uint64_t *pages = height == 1 ? &view->leaves : &view->branches;
    ++*pages;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *node = node_at(page, i);
        if (height == 1 ? !free_node_good(view, node)
                        : !free_tree_good(view, child_of(node), height - 1))
            return false;
    }
    return count > 0;
}

/* ---- The blocks ---- */

#define KEY_SIZE 32

/* Where the keys of a subtree lie: not below `from`, below `until`; NULL is no bound. */
struct range {
    const uint8_t *from, *until;
};

static bool block_leaf_good(struct view *view, const uint8_t *page, unsigned count,
                            struct range range)
{
    const uint8_t *previous = NULL;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *node = node_at(page, i), *key = node + 8;
        if (u16_at(node, 6) != KEY_SIZE || u16_at(node, 4) != 0 || u32_at(node, 0) != 16)
            return false;
        if (range.from != NULL && memcmp(key, range.from, KEY_SIZE) < 0)
            return false;
        if (range.until != NULL && memcmp(key, range.until, KEY_SIZE) >= 0)
            return false;
        if (previous != NULL && memcmp(key, previous, KEY_SIZE) <= 0)
            return false;
        previous = key;
        view->entries++;
    }
    view->leaves++;
    return true;
}

/* The keys of a branch, but for its first, which means nothing, are bounds of its children. */
static bool block_tree_good(struct view *view, uint64_t number, unsigned height, struct range range)
{
    unsigned count = enter(view, number, height == 1 ? LEAF : BRANCH);
    if (count == 0)
        return false;
    const uint8_t *page = page_at(view, number);
    if (height == 1)
        return block_leaf_good(view, page, count, range);
    for (unsigned i = 1; i < count; i++)
        if (u16_at(node_at(page, i), 6) != KEY_SIZE)
            return false;
    for (unsigned i = 0; i < count; i++) {
        struct range below = range;
        if (i > 0)
            below.from = node_at(page, i) + 8;
        if (i + 1 < count)
            below.until = node_at(page, i + 1) + 8;
        if (!block_tree_good(view, child_of(node_at(page, i)), height - 1, below))
            return false;
    }
    view->branches++;
    return count > 1;
}

/* ---- The other databases ---- */

/* No row, or one, and then nothing but the leaf that it is in. */
static bool state_good(struct view *view, const uint8_t *db)
{
    if (u64_at(db, 40) == UINT64_MAX)
        return true;
    if (u16_at(db, 6) != 1 || enter(view, u64_at(db, 40), LEAF) != 1)
        return false;
    const uint8_t *node = node_at(page_at(view, u64_at(db, 40)), 0);
    view->leaves = view->entries = 1;
    return u16_at(node, 4) == 0 && u16_at(node, 6) == 3 && memcmp(node + 8, "row", 3) == 0;
}

/* One of our two databases in the main one; NULL if that is not what is there. */
static const uint8_t *database_at(const struct view *view, const uint8_t *node, const char name[5])
{
    if (u16_at(node, 6) != 5 || memcmp(node + 8, name, 5) != 0)
        return NULL;
    const uint8_t *db = node + 13;
    if (u16_at(node, 4) != 2 || u32_at(node, 0) != 48 || u16_at(db, 4) != 0)
        return NULL;
    return db_good(db, view->meta->last_page) ? db : NULL;
}

static bool blocks_and_state_good(struct view *view, const uint8_t *main)
{
    uint64_t root = u64_at(main, 40);
    if (u16_at(main, 6) != 1 || u64_at(main, 32) != 2 || u64_at(main, 24) != 0 ||
        enter(view, root, LEAF) != 2)
        return false;
    const uint8_t *blocks = database_at(view, node_at(page_at(view, root), 0), "block");
    const uint8_t *state = database_at(view, node_at(page_at(view, root), 1), "state");
    if (blocks == NULL || state == NULL)
        return false;
    unsigned height = u16_at(blocks, 6);
    const struct range all = {NULL, NULL};
    if (height > 0 && !block_tree_good(view, u64_at(blocks, 40), height, all))
        return false;
    return totals_good(view, blocks) && state_good(view, state) && totals_good(view, state);
}

bool opinion_trees(const uint8_t *image, const struct bb_lmdb_meta *meta)
{
    static struct view view;
    view = (struct view){.image = image, .meta = meta};
    require(meta->last_page < PAGES_MAX, "a device larger than there can be");
    const uint8_t *newest = page_at(&view, meta->transaction % 2);
    const uint8_t *free = newest + META_FREE;
    if (!blocks_and_state_good(&view, newest + META_MAIN))
        return false;
    unsigned height = u16_at(free, 6);
    if (height > 0 && !free_tree_good(&view, u64_at(free, 40), height))
        return false;
    /* the first transaction frees nothing, all others do */
    return totals_good(&view, free) && (meta->transaction <= 1 || view.newest == meta->transaction);
}
