/* SPDX-License-Identifier: Apache-2.0
 * Reads the main database and the free list of an index before LMDB does.
 *
 * A flipped bit in a root makes LMDB follow a page of another tree or of an older transaction. The
 * main database has a known shape: one leaf with our two names. The free list is walked whole: its
 * numbers must be those of the meta page, its newest key this transaction (an older list ends with
 * an older one), and no root may stand on it (an older root always does). Block pages are not read:
 * they have no checksum, count and set hash speak for them.
 */
#include "bb/arena.h"
#include "bb/err.h"
#include "bb/indexcodec.h"
#include "lmdbpage.h"

#define RUN_PIECE (1u << 20)
#define ROOT_COUNT 4

struct level {
    uint8_t *page;
    unsigned next, count;
};

struct reader {
    const struct bb_device *device;
    uint32_t page_size;
    uint64_t last_page;
    uint64_t transaction;
    uint64_t roots[ROOT_COUNT]; /* pages that must not be free */
    struct level levels[LMDB_DEPTH_MAX];
    uint8_t *run; /* RUN_PIECE bytes of an overflow run */
    uint64_t branch_pages, leaf_pages, overflow_pages, entries;
    uint64_t free_pages;
    uint64_t last_key;
};

static struct lmdb_disk_header page_header(const uint8_t *page)
{
    struct lmdb_disk_header header;
    memcpy(&header, page, sizeof(header));
    return header;
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
    *ret_count = (lower - (unsigned)sizeof(header)) / 2;
    return 0;
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

static uint32_t node_size(const struct lmdb_disk_node *node)
{
    return (uint32_t)bb_le16_get(node->low) | (uint32_t)bb_le16_get(node->high) << 16;
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
        if (value < 2 || value >= list->previous)
            return BB_ERR_INDEX_DAMAGED;
        for (unsigned i = 0; i < ROOT_COUNT; i++)
            if (value == reader->roots[i])
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
    /* A tree that loops back on itself would never end. */
    return reader->leaf_pages + reader->branch_pages > reader->last_page ? BB_ERR_INDEX_DAMAGED : 0;
}

static int walk_free(struct reader *reader, const struct lmdb_disk_db *db)
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
        rc = get_node(reader, level->page, level->next++, &node);
        if (rc == 0 && depth + 1 == height)
            rc = free_node(reader, &node);
        else if (rc == 0)
            rc = push(reader, node_child(&node.head), ++depth, height);
    }
    return rc;
}

static int check_free(struct reader *reader, const struct lmdb_disk_db *db)
{
    int rc = walk_free(reader, db);
    if (rc < 0)
        return rc;
    if (reader->branch_pages != bb_le64_get(db->branch_pages) ||
        reader->leaf_pages != bb_le64_get(db->leaf_pages) ||
        reader->overflow_pages != bb_le64_get(db->overflow_pages) ||
        reader->entries != bb_le64_get(db->entries))
        return BB_ERR_INDEX_DAMAGED;
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
    unsigned count;
    int rc = check_main(reader, &meta->main, dbs);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < 2; i++) {
        reader->roots[i] = bb_le64_get(dbs[i].root);
        if (reader->roots[i] == LMDB_NO_PAGE)
            continue;
        rc = read_page(reader, reader->roots[i],
                       bb_le16_get(dbs[i].depth) == 1 ? LMDB_P_LEAF : LMDB_P_BRANCH,
                       reader->levels[0].page, &count);
        if (rc < 0)
            return rc;
    }
    reader->roots[2] = bb_le64_get(meta->main.root);
    reader->roots[3] = bb_le64_get(meta->free.root);
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
    int rc = bb_arena_open(pages_size + RUN_PIECE, false, false, &arena);
    if (rc < 0)
        return rc;
    struct reader reader = {.device = device,
                            .page_size = meta->page_size,
                            .last_page = meta->last_page,
                            .transaction = meta->transaction};
    for (unsigned i = 0; i < LMDB_DEPTH_MAX; i++)
        reader.levels[i].page = bb_arena_alloc(&arena, meta->page_size, BB_UNIT_SIZE);
    reader.run = bb_arena_alloc(&arena, RUN_PIECE, BB_UNIT_SIZE);
    BB_ASSERT(reader.run != NULL);
    rc = check_all(&reader, &newest);
    bb_arena_close(&arena);
    return rc;
}

/* ---- the state row alone ---- */

static int read_row(struct reader *reader, const struct lmdb_disk_db *main,
                    struct bb_index_state *ret_state)
{
    struct lmdb_disk_db dbs[2];
    struct node node;
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
