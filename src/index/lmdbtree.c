/* SPDX-License-Identifier: Apache-2.0
 * Reads all pages of an index that are in use before LMDB does.
 *
 * LMDB asserts, or follows wild offsets, on a page that is not one of its own, and takes a page of
 * another tree or of an older transaction for a good one. The main database has a known shape: one
 * leaf with our two names. The block tree is walked whole, in the order of its keys, which its
 * separators must keep: a wrong one would hide blocks. So is the free list: its newest key is this
 * transaction (an older list ends with an older one). Numbers are those of the meta page, and no
 * page is used twice or free as well. Values have no checksum: count and set hash speak for them.
 */
#include "bb/arena.h"
#include "bb/err.h"
#include "bb/indexcodec.h"
#include "lmdbpage.h"

#define RUN_PIECE (1u << 20)
#define BLOCK_KEY_SIZE sizeof(struct bb_hash)

struct level {
    uint8_t *page;
    unsigned next, count;
};

struct reader {
    const struct bb_device *device;
    uint32_t page_size;
    uint64_t last_page;
    uint64_t transaction;
    uint64_t *taken; /* a bit for each page: part of a tree, or free */
    struct level levels[LMDB_DEPTH_MAX];
    uint8_t *run; /* RUN_PIECE bytes of an overflow run */
    uint64_t branch_pages, leaf_pages, overflow_pages, entries;
    uint64_t free_pages;
    uint64_t last_key;
    uint8_t floor[BLOCK_KEY_SIZE]; /* the next key of the block tree is above */
    bool floor_allowed;            /* or equal: no block has it yet */
};

static struct lmdb_disk_header page_header(const uint8_t *page)
{
    struct lmdb_disk_header header;
    memcpy(&header, page, sizeof(header));
    return header;
}

static uint32_t node_size(const struct lmdb_disk_node *node)
{
    return (uint32_t)bb_le16_get(node->low) | (uint32_t)bb_le16_get(node->high) << 16;
}

/* Bytes of the page that a node has; 0 when it does not end in it. */
static unsigned node_span(const uint8_t *page, uint32_t page_size, unsigned flags, unsigned offset)
{
    struct lmdb_disk_node node;
    memcpy(&node, page + offset, sizeof(node));
    uint64_t size = sizeof(node) + bb_le16_get(node.key_size);
    if (flags == LMDB_P_LEAF)
        size += (bb_le16_get(node.flags) & LMDB_F_BIGDATA) != 0 ? 8 : node_size(&node);
    size += size % 2;
    return size > page_size - offset ? 0 : (unsigned)size;
}

/* Nodes lie one behind the other up to the end of the page, in any order: LMDB moves those below
 * one that it deletes, and would tear one that overlaps it. */
static bool nodes_fit(const uint8_t *page, uint32_t page_size, unsigned flags, unsigned count)
{
    uint64_t starts[LMDB_PAGE_SIZE_MAX / 2 / 64]; /* a bit for each even offset */
    unsigned upper = bb_le16_get(page_header(page).upper);
    memset(starts, 0, page_size / 2 / 8);
    for (unsigned i = 0; i < count; i++) {
        struct bb_le16 slot;
        memcpy(&slot, page + sizeof(struct lmdb_disk_header) + 2 * i, sizeof(slot));
        unsigned offset = bb_le16_get(slot);
        if (offset < upper || offset % 2 != 0 || offset + sizeof(struct lmdb_disk_node) > page_size)
            return false;
        starts[offset / 128] |= 1ull << offset / 2 % 64;
    }
    unsigned found = 0;
    for (unsigned at = upper; at < page_size; found++) {
        if (at % 2 != 0 || (starts[at / 128] & 1ull << at / 2 % 64) == 0)
            return false;
        unsigned span = node_span(page, page_size, flags, at);
        if (span == 0)
            return false;
        at += span;
    }
    return found == count;
}

/* Reads a page of a tree; *ret_count is its number of nodes. */
static int read_page(const struct reader *reader, uint64_t number, unsigned flags, uint8_t *page,
                     unsigned *ret_count)
{
    if (number < 2 || number > reader->last_page)
        return BB_ERR_INDEX_DAMAGED;
    int rc = bb_device_read(reader->device, number * reader->page_size, page, reader->page_size);
    if (rc < 0)
        return rc;
    struct lmdb_disk_header header = page_header(page);
    unsigned lower = bb_le16_get(header.lower);
    unsigned upper = bb_le16_get(header.upper);
    if (bb_le64_get(header.page) != number || bb_le16_get(header.flags) != flags ||
        lower < sizeof(header) + 2 || lower > upper || upper > reader->page_size || lower % 2 != 0)
        return BB_ERR_INDEX_DAMAGED;
    unsigned count = (lower - (unsigned)sizeof(header)) / 2;
    if (!nodes_fit(page, reader->page_size, flags, count))
        return BB_ERR_INDEX_DAMAGED;
    *ret_count = count;
    return 0;
}

/* False: it was taken before. */
static bool take_page(struct reader *reader, uint64_t number)
{
    uint64_t bit = 1ull << number % 64;
    BB_ASSERT(number <= reader->last_page);
    if ((reader->taken[number / 64] & bit) != 0)
        return false;
    reader->taken[number / 64] |= bit;
    return true;
}

struct node {
    struct lmdb_disk_node head;
    const uint8_t *key;
    unsigned key_size;
    const uint8_t *data;
    unsigned room; /* bytes from data to the end of the page */
};

static int get_node(const struct reader *reader, const uint8_t *page, unsigned at,
                    struct node *ret_node)
{
    struct bb_le16 slot;
    memcpy(&slot, page + sizeof(struct lmdb_disk_header) + 2 * at, sizeof(slot));
    unsigned offset = bb_le16_get(slot);
    if (offset < sizeof(struct lmdb_disk_header) ||
        offset + sizeof(struct lmdb_disk_node) > reader->page_size)
        return BB_ERR_INDEX_DAMAGED;
    memcpy(&ret_node->head, page + offset, sizeof(ret_node->head));
    unsigned key_size = bb_le16_get(ret_node->head.key_size);
    unsigned start = offset + (unsigned)sizeof(ret_node->head);
    if (start + key_size > reader->page_size)
        return BB_ERR_INDEX_DAMAGED;
    ret_node->key = page + start;
    ret_node->key_size = key_size;
    ret_node->data = ret_node->key + key_size;
    ret_node->room = reader->page_size - start - key_size;
    return 0;
}

static uint64_t node_child(const struct lmdb_disk_node *node)
{
    return (uint64_t)bb_le16_get(node->low) | (uint64_t)bb_le16_get(node->high) << 16 |
           (uint64_t)bb_le16_get(node->flags) << 32;
}

static uint64_t get_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

/* One list of free pages, delivered in pieces: a count, then the pages, descending. */
struct list {
    bool started;
    uint64_t left;
    uint64_t previous;
};

static int list_feed(struct reader *reader, struct list *list, const uint8_t *bytes, size_t size,
                     uint64_t slots)
{
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t value = get_u64(bytes + at);
        if (!list->started) {
            if (value >= slots)
                return BB_ERR_INDEX_DAMAGED;
            list->started = true;
            list->left = value;
            list->previous = reader->last_page + 1;
            continue;
        }
        if (list->left == 0)
            return 0;
        if (value < 2 || value >= list->previous || !take_page(reader, value))
            return BB_ERR_INDEX_DAMAGED;
        list->previous = value;
        list->left--;
        reader->free_pages++;
    }
    return 0;
}

static int read_run(struct reader *reader, struct list *list, uint64_t first, uint32_t size)
{
    uint64_t header_size = sizeof(struct lmdb_disk_header);
    uint64_t pages = (header_size + size + reader->page_size - 1) / reader->page_size;
    if (first < 2 || first > reader->last_page || pages > reader->last_page - first + 1)
        return BB_ERR_INDEX_DAMAGED;
    for (uint64_t i = 0; i < pages; i++)
        if (!take_page(reader, first + i))
            return BB_ERR_INDEX_DAMAGED;
    uint64_t end = header_size + size;
    for (uint64_t at = 0; at < end; at += RUN_PIECE) {
        uint64_t length = pages * reader->page_size - at;
        if (length > RUN_PIECE)
            length = RUN_PIECE;
        int rc =
            bb_device_read(reader->device, first * reader->page_size + at, reader->run, length);
        if (rc < 0)
            return rc;
        uint64_t from = at == 0 ? header_size : 0;
        if (at == 0) {
            struct lmdb_disk_header header = page_header(reader->run);
            uint32_t run_pages =
                (uint32_t)bb_le16_get(header.lower) | (uint32_t)bb_le16_get(header.upper) << 16;
            if (bb_le64_get(header.page) != first || bb_le16_get(header.flags) != LMDB_P_OVERFLOW ||
                run_pages != pages)
                return BB_ERR_INDEX_DAMAGED;
        }
        uint64_t until = end - at < length ? end - at : length;
        rc = list_feed(reader, list, reader->run + from, until - from, size / 8);
        if (rc < 0)
            return rc;
    }
    reader->overflow_pages += pages;
    return 0;
}

static int free_node(struct reader *reader, const struct node *node)
{
    uint32_t size = node_size(&node->head);
    unsigned flags = bb_le16_get(node->head.flags);
    if (node->key_size != 8 || size < 8 || size % 8 != 0 || (flags & ~LMDB_F_BIGDATA) != 0)
        return BB_ERR_INDEX_DAMAGED;
    uint64_t key = get_u64(node->key);
    if (key <= reader->last_key || key > reader->transaction)
        return BB_ERR_INDEX_DAMAGED;
    reader->last_key = key;
    reader->entries++;
    struct list list = {.started = false};
    int rc;
    if ((flags & LMDB_F_BIGDATA) != 0)
        rc = node->room < 8 ? BB_ERR_INDEX_DAMAGED
                            : read_run(reader, &list, get_u64(node->data), size);
    else
        rc = node->room < size ? BB_ERR_INDEX_DAMAGED
                               : list_feed(reader, &list, node->data, size, size / 8);
    if (rc == 0 && (!list.started || list.left != 0))
        rc = BB_ERR_INDEX_DAMAGED;
    return rc;
}

/* Puts the page `number` on the stack at `depth` (0 = root of a tree of `height` levels). */
static int push(struct reader *reader, uint64_t number, unsigned depth, unsigned height)
{
    struct level *level = &reader->levels[depth];
    bool leaf = depth + 1 == height;
    int rc =
        read_page(reader, number, leaf ? LMDB_P_LEAF : LMDB_P_BRANCH, level->page, &level->count);
    if (rc < 0)
        return rc;
    level->next = 0;
    reader->leaf_pages += leaf;
    reader->branch_pages += !leaf;
    return take_page(reader, number) ? 0 : BB_ERR_INDEX_DAMAGED; /* else it might never end */
}

typedef int node_fn(struct reader *reader, const struct node *node);

/* Calls `leaf` for every node of the leaves and `branch`, unless NULL, for every node of the
 * branches but the first of each page, whose key is not looked at; in the order of keys. */
static int walk(struct reader *reader, const struct lmdb_disk_db *db, node_fn *leaf,
                node_fn *branch)
{
    unsigned height = bb_le16_get(db->depth);
    unsigned depth = 0;
    if (height == 0)
        return 0;
    BB_ASSERT(height <= LMDB_DEPTH_MAX);
    int rc = push(reader, bb_le64_get(db->root), 0, height);
    while (rc == 0) {
        struct level *level = &reader->levels[depth];
        struct node node;
        if (level->next == level->count) {
            if (depth == 0)
                break;
            depth--;
            continue;
        }
        bool first = level->next == 0;
        rc = get_node(reader, level->page, level->next++, &node);
        if (rc == 0 && depth + 1 == height) {
            rc = leaf(reader, &node);
            continue;
        }
        if (rc == 0 && branch != NULL)
            rc = first ? (level->count < 2 ? BB_ERR_INDEX_DAMAGED : 0) : branch(reader, &node);
        if (rc == 0)
            rc = push(reader, node_child(&node.head), ++depth, height);
    }
    return rc;
}

/* Walks a tree from its root and compares what was counted. */
static int walk_db(struct reader *reader, const struct lmdb_disk_db *db, node_fn *leaf,
                   node_fn *branch)
{
    reader->branch_pages = reader->leaf_pages = reader->overflow_pages = reader->entries = 0;
    int rc = walk(reader, db, leaf, branch);
    if (rc < 0)
        return rc;
    return reader->branch_pages == bb_le64_get(db->branch_pages) &&
                   reader->leaf_pages == bb_le64_get(db->leaf_pages) &&
                   reader->overflow_pages == bb_le64_get(db->overflow_pages) &&
                   reader->entries == bb_le64_get(db->entries)
               ? 0
               : BB_ERR_INDEX_DAMAGED;
}

/* ---- blocks ---- */

static int block_key(struct reader *reader, const struct node *node, bool separator)
{
    if (node->key_size != BLOCK_KEY_SIZE)
        return BB_ERR_INDEX_DAMAGED;
    int order = memcmp(node->key, reader->floor, BLOCK_KEY_SIZE);
    if (order < 0 || (order == 0 && !reader->floor_allowed))
        return BB_ERR_INDEX_DAMAGED;
    memcpy(reader->floor, node->key, BLOCK_KEY_SIZE);
    reader->floor_allowed = separator;
    return 0;
}

static int block_leaf(struct reader *reader, const struct node *node)
{
    if (bb_le16_get(node->head.flags) != 0 ||
        node_size(&node->head) != sizeof(struct bb_disk_index_value))
        return BB_ERR_INDEX_DAMAGED;
    reader->entries++;
    return block_key(reader, node, false);
}

static int block_branch(struct reader *reader, const struct node *node)
{
    return block_key(reader, node, true);
}

static int state_leaf(struct reader *reader, const struct node *node)
{
    if (bb_le16_get(node->head.flags) != 0 || node->key_size != strlen(BB_INDEX_STATE_KEY) ||
        memcmp(node->key, BB_INDEX_STATE_KEY, node->key_size) != 0)
        return BB_ERR_INDEX_DAMAGED;
    reader->entries++;
    return 0;
}

/* ---- everything ---- */

static int check_free(struct reader *reader, const struct lmdb_disk_db *db)
{
    int rc = walk_db(reader, db, free_node, NULL);
    if (rc < 0)
        return rc;
    /* The first transaction frees nothing, each later one at least the main database's old leaf. */
    if (reader->transaction > 1 && reader->last_key != reader->transaction)
        return BB_ERR_INDEX_DAMAGED;
    return 0;
}

/* The leaf of the main database: "block" and "state", nothing else. */
static int check_main(struct reader *reader, const struct lmdb_disk_db *main,
                      struct lmdb_disk_db ret_dbs[static 2])
{
    static const char *const names[2] = {BB_INDEX_BLOCK_NAME, BB_INDEX_STATE_NAME};
    unsigned count;
    if (bb_le16_get(main->depth) != 1 || bb_le64_get(main->entries) != 2)
        return BB_ERR_INDEX_DAMAGED;
    uint8_t *page = reader->levels[0].page;
    int rc = read_page(reader, bb_le64_get(main->root), LMDB_P_LEAF, page, &count);
    if (rc < 0)
        return rc;
    if (count != 2 || bb_le64_get(main->overflow_pages) != 0)
        return BB_ERR_INDEX_DAMAGED;
    for (unsigned i = 0; i < 2; i++) {
        struct node node;
        rc = get_node(reader, page, i, &node);
        if (rc < 0)
            return rc;
        if (node.key_size != strlen(names[i]) || memcmp(node.key, names[i], node.key_size) != 0 ||
            bb_le16_get(node.head.flags) != LMDB_F_SUBDATA ||
            node_size(&node.head) != sizeof(ret_dbs[i]) || node.room < sizeof(ret_dbs[i]))
            return BB_ERR_INDEX_DAMAGED;
        memcpy(&ret_dbs[i], node.data, sizeof(ret_dbs[i]));
        if (bb_le16_get(ret_dbs[i].flags) != 0 ||
            !bb_lmdbmeta_db_plausible(&ret_dbs[i], reader->last_page))
            return BB_ERR_INDEX_DAMAGED;
    }
    return 0;
}

static uint64_t db_pages(const struct lmdb_disk_db *db)
{
    return bb_le64_get(db->branch_pages) + bb_le64_get(db->leaf_pages) +
           bb_le64_get(db->overflow_pages);
}

static int check_all(struct reader *reader, const struct lmdb_disk_meta *meta)
{
    struct lmdb_disk_db dbs[2];
    int rc = check_main(reader, &meta->main, dbs);
    if (rc < 0)
        return rc;
    /* A row below a branch: that has one child, which LMDB asserts against. */
    if (!take_page(reader, bb_le64_get(meta->main.root)) || bb_le64_get(dbs[1].entries) > 1 ||
        bb_le16_get(dbs[1].depth) > 1)
        return BB_ERR_INDEX_DAMAGED;
    reader->floor_allowed = true;
    rc = walk_db(reader, &dbs[0], block_leaf, block_branch);
    if (rc == 0)
        rc = walk_db(reader, &dbs[1], state_leaf, NULL);
    if (rc == 0)
        rc = check_free(reader, &meta->free);
    if (rc < 0)
        return rc;
    uint64_t used =
        2 + db_pages(&meta->free) + db_pages(&meta->main) + db_pages(&dbs[0]) + db_pages(&dbs[1]);
    return used + reader->free_pages > reader->last_page + 1 ? BB_ERR_INDEX_DAMAGED : 0;
}

int bb_lmdbtree_check(const struct bb_device *device, const void *head,
                      const struct bb_lmdb_meta *meta)
{
    struct bb_arena arena;
    struct lmdb_disk_meta newest;
    size_t at = meta->transaction % 2 == 0 ? 0 : meta->page_size;
    BB_ASSERT(meta->page_size <= LMDB_PAGE_SIZE_MAX);
    memcpy(&newest, (const uint8_t *)head + at, sizeof(newest));
    BB_ASSERT(bb_le64_get(newest.transaction) == meta->transaction);
    size_t pages_size = LMDB_DEPTH_MAX * (size_t)meta->page_size;
    size_t taken_size = (size_t)(meta->last_page / 64 + 1) * sizeof(uint64_t);
    int rc = bb_arena_open(pages_size + RUN_PIECE + taken_size, false, false, &arena);
    if (rc < 0)
        return rc;
    struct reader reader = {.device = device,
                            .page_size = meta->page_size,
                            .last_page = meta->last_page,
                            .transaction = meta->transaction};
    for (unsigned i = 0; i < LMDB_DEPTH_MAX; i++)
        reader.levels[i].page = bb_arena_alloc(&arena, meta->page_size, BB_UNIT_SIZE);
    reader.run = bb_arena_alloc(&arena, RUN_PIECE, BB_UNIT_SIZE);
    reader.taken = bb_arena_alloc(&arena, taken_size, sizeof(uint64_t));
    BB_ASSERT(reader.taken != NULL); /* and what came before */
    rc = check_all(&reader, &newest);
    bb_arena_close(&arena);
    return rc;
}

/* ---- the state row alone ---- */

static int read_row(struct reader *reader, const struct lmdb_disk_db *main,
                    struct bb_index_state *ret_state)
{
    struct lmdb_disk_db dbs[2];
    struct node node = {0}; /* for -O3, which does not see that get_node fills it */
    unsigned count;
    if (bb_le64_get(main->root) == LMDB_NO_PAGE)
        return BB_ERR_NOT_FORMATTED;
    int rc = check_main(reader, main, dbs);
    if (rc < 0)
        return rc;
    if (bb_le64_get(dbs[1].root) == LMDB_NO_PAGE)
        return BB_ERR_NOT_FORMATTED;
    uint8_t *page = reader->levels[0].page;
    rc = read_page(reader, bb_le64_get(dbs[1].root), LMDB_P_LEAF, page, &count);
    if (rc == 0)
        rc = count == 1 ? get_node(reader, page, 0, &node) : BB_ERR_INDEX_DAMAGED;
    if (rc < 0)
        return rc;
    uint32_t size = node_size(&node.head);
    if (bb_le16_get(node.head.flags) != 0 || size > node.room)
        return BB_ERR_INDEX_DAMAGED;
    return bb_index_state_decode(node.data, size, ret_state);
}

static int peek(const struct bb_device *device, uint8_t *head, uint8_t *page,
                struct bb_index_state *ret_state)
{
    struct bb_lmdb_meta meta;
    struct lmdb_disk_meta newest;
    int rc = bb_device_read(device, 0, head, LMDB_HEAD_SIZE);
    if (rc == 0)
        rc = bb_lmdb_check_metas(head, LMDB_HEAD_SIZE, device->size, &meta);
    if (rc < 0)
        return rc;
    memcpy(&newest, head + (meta.transaction % 2 == 0 ? 0 : meta.page_size), sizeof(newest));
    struct reader reader = {.device = device,
                            .page_size = meta.page_size,
                            .last_page = meta.last_page,
                            .transaction = meta.transaction};
    reader.levels[0].page = page;
    return read_row(&reader, &newest.main, ret_state);
}

int bb_lmdb_peek_state(const struct bb_device *device, struct bb_index_state *ret_state)
{
    struct bb_arena arena;
    if (device->size < BB_LMDB_SIZE_MIN)
        return BB_ERR_NOT_FORMATTED;
    int rc = bb_arena_open(LMDB_HEAD_SIZE + LMDB_PAGE_SIZE_MAX, false, false, &arena);
    if (rc < 0)
        return rc;
    uint8_t *head = bb_arena_alloc(&arena, LMDB_HEAD_SIZE, BB_UNIT_SIZE);
    uint8_t *page = bb_arena_alloc(&arena, LMDB_PAGE_SIZE_MAX, BB_UNIT_SIZE);
    BB_ASSERT(page != NULL); /* and head, which came first */
    rc = peek(device, head, page, ret_state);
    bb_arena_close(&arena);
    return rc;
}
