/* SPDX-License-Identifier: Apache-2.0
 * Seeds of the index reader: small environments, laid out by hand as LMDB lays them out, because
 * its own depend on the machine's page size.
 *
 *   page 2  main database: "block", "state"     page 5  root of the free list
 *   page 3  "block", one record                 page 6, 7  leaves below it, or an overflow run
 *   page 4  "state", the row                    8 ..       free
 *
 * Where "block" has branches, pages 6 and 7 are below its root, and 8 to 11 below them.
 */
#include "seeds.h"

#include "bb/indexcodec.h"
#include "lmdbpage.h"

#include <stdbool.h>

#define PAGE_COUNT 8u
#define PAGE_COUNT_MAX 12u
#define TRANSACTION 4u

enum { MAIN = 2, BLOCK = 3, STATE = 4, FREE = 5, BELOW = 6 };
enum free_shape { FREE_LEAF, FREE_BRANCH, FREE_RUN, FREE_LONG_RUN };

#define RUN_SIZE (4096u + 512)
#define LONG_RUN_SIZE ((1u << 20) + 8192) /* more than the reader takes at once */

struct env {
    uint32_t page_size;
    uint32_t last_page;
    uint32_t page_count; /* the others are zeros */
    struct lmdb_disk_meta metas[2];
    uint8_t pages[PAGE_COUNT_MAX][LMDB_PAGE_SIZE_MAX];
};

static struct env env;

static void page_begin(uint32_t number, unsigned flags)
{
    struct lmdb_disk_header header = {
        .page = bb_le64_make(number),
        .flags = bb_le16_make((uint16_t)flags),
        .lower = bb_le16_make(sizeof(header)),
        .upper = bb_le16_make((uint16_t)env.page_size),
    };
    memset(env.pages[number], 0, sizeof(env.pages[number]));
    memcpy(env.pages[number], &header, sizeof(header));
}

/* Appends a node; `low` is the size of the data or the page of the child. */
static void node_add(uint32_t number, const void *key, size_t key_size, const void *data,
                     size_t data_size, uint32_t low, unsigned flags)
{
    uint8_t *page = env.pages[number];
    struct lmdb_disk_header header;
    struct lmdb_disk_node node = {
        .low = bb_le16_make((uint16_t)low),
        .high = bb_le16_make((uint16_t)(low >> 16)),
        .flags = bb_le16_make((uint16_t)flags),
        .key_size = bb_le16_make((uint16_t)key_size),
    };
    memcpy(&header, page, sizeof(header));
    unsigned lower = bb_le16_get(header.lower);
    size_t size = (sizeof(node) + key_size + data_size + 1) / 2 * 2;
    unsigned upper = bb_le16_get(header.upper) - (unsigned)size;
    struct bb_le16 slot = bb_le16_make((uint16_t)upper);
    BB_ASSERT(lower + 2 <= upper);
    memcpy(page + lower, &slot, sizeof(slot));
    memcpy(page + upper, &node, sizeof(node));
    if (key_size > 0)
        memcpy(page + upper + sizeof(node), key, key_size);
    if (data_size > 0)
        memcpy(page + upper + sizeof(node) + key_size, data, data_size);
    header.lower = bb_le16_make((uint16_t)(lower + 2));
    header.upper = bb_le16_make((uint16_t)upper);
    memcpy(page, &header, sizeof(header));
}

static struct lmdb_disk_db make_db(uint64_t root, unsigned depth, uint64_t entries)
{
    bool empty = root == LMDB_NO_PAGE;
    return (struct lmdb_disk_db){
        .depth = bb_le16_make((uint16_t)depth),
        .branch_pages = bb_le64_make(depth > 1 ? 1 : 0),
        .leaf_pages = bb_le64_make(empty ? 0 : depth),
        .entries = bb_le64_make(entries),
        .root = bb_le64_make(root),
    };
}

static void make_main(const struct lmdb_disk_db dbs[2])
{
    static const char *const names[2] = {BB_INDEX_BLOCK_NAME, BB_INDEX_STATE_NAME};
    page_begin(MAIN, LMDB_P_LEAF);
    for (unsigned i = 0; i < 2; i++)
        node_add(MAIN, names[i], strlen(names[i]), &dbs[i], sizeof(dbs[i]), sizeof(dbs[i]),
                 LMDB_F_SUBDATA);
}

/* A block whose key begins with the byte `first`. */
static void block_add_sized(uint32_t number, unsigned first, size_t key_size, size_t value_size)
{
    struct bb_hash hash;
    struct bb_disk_index_value value;
    struct bb_index_entry entry = {.unit = 0x1000, .size = 4096};
    seed_run(&hash, sizeof(hash), first);
    bb_index_value_encode(&entry, &value);
    BB_ASSERT(key_size <= sizeof(hash) && value_size <= sizeof(value));
    node_add(number, &hash, key_size, &value, value_size, (uint32_t)value_size, 0);
}

static void block_add(uint32_t number, unsigned first)
{
    block_add_sized(number, first, sizeof(struct bb_hash), sizeof(struct bb_disk_index_value));
}

static void make_blocks(void)
{
    struct bb_index_state state = {.set.count = 1};
    struct bb_disk_index_state row;
    page_begin(BLOCK, LMDB_P_LEAF);
    block_add(BLOCK, 0x40);
    bb_index_state_encode(&state, &row);
    page_begin(STATE, LMDB_P_LEAF);
    node_add(STATE, BB_INDEX_STATE_KEY, strlen(BB_INDEX_STATE_KEY), &row, sizeof(row), sizeof(row),
             0);

    struct lmdb_disk_db dbs[2] = {make_db(BLOCK, 1, 1), make_db(STATE, 1, 1)};
    make_main(dbs);
}

/* A record of the free list: pages first + count - 1 down to first, freed by `transaction`. */
static void free_add(uint32_t number, uint64_t transaction, uint64_t first, uint64_t count)
{
    uint64_t list[8] = {count};
    BB_ASSERT(count < sizeof(list) / sizeof(list[0]));
    for (uint64_t i = 0; i < count; i++)
        list[1 + i] = first + count - 1 - i;
    size_t size = (size_t)(count + 1) * sizeof(list[0]);
    node_add(number, &transaction, sizeof(transaction), list, size, (uint32_t)size, 0);
}

/* A run of several pages, in which most of the list is room; their number. */
static uint32_t make_run(uint32_t size)
{
    const uint64_t transaction = TRANSACTION, run = BELOW;
    const uint32_t pages = (uint32_t)(sizeof(struct lmdb_disk_header) + size - 1) / 4096 + 1;
    const uint64_t list[3] = {2, BELOW + pages + 1, BELOW + pages};
    BB_ASSERT(env.page_size == 4096);
    page_begin(FREE, LMDB_P_LEAF);
    node_add(FREE, &transaction, sizeof(transaction), &run, sizeof(run), size, LMDB_F_BIGDATA);
    struct lmdb_disk_header header = {.page = bb_le64_make(BELOW),
                                      .flags = bb_le16_make(LMDB_P_OVERFLOW),
                                      .lower = bb_le16_make((uint16_t)pages)};
    memset(env.pages[BELOW], 0, 2 * sizeof(env.pages[BELOW]));
    memcpy(env.pages[BELOW], &header, sizeof(header));
    memcpy(env.pages[BELOW] + sizeof(header), list, sizeof(list));
    env.last_page = BELOW + pages + 1;
    return pages;
}

static void make_branch(void)
{
    const uint64_t keys[2] = {0, 3};
    page_begin(FREE, LMDB_P_BRANCH);
    node_add(FREE, &keys[0], 0, NULL, 0, BELOW, 0);
    node_add(FREE, &keys[1], sizeof(keys[1]), NULL, 0, BELOW + 1, 0);
    page_begin(BELOW, LMDB_P_LEAF);
    page_begin(BELOW + 1, LMDB_P_LEAF);
    free_add(BELOW, 2, 8, 2);
    free_add(BELOW + 1, 3, 10, 3);
    free_add(BELOW + 1, TRANSACTION, 13, 1);
}

static struct lmdb_disk_db make_free(enum free_shape shape)
{
    struct lmdb_disk_db db = make_db(FREE, 1, 2);
    if (shape == FREE_BRANCH) {
        make_branch();
        db = make_db(FREE, 2, 3);
    } else if (shape == FREE_RUN || shape == FREE_LONG_RUN) {
        uint32_t pages = make_run(shape == FREE_RUN ? RUN_SIZE : LONG_RUN_SIZE);
        db = make_db(FREE, 1, 1);
        db.overflow_pages = bb_le64_make(pages);
    } else {
        page_begin(FREE, LMDB_P_LEAF);
        free_add(FREE, 3, 6, 2);
        free_add(FREE, TRANSACTION, 8, 3);
    }
    db.pad = bb_le32_make(env.page_size);
    db.flags = bb_le16_make(LMDB_DB_INTEGERKEY | LMDB_DB_NOSUBDIR);
    return db;
}

/* Transaction 4 in meta page 0, 3 in meta page 1, which differs in nothing else. */
static void make_env(uint32_t page_size, enum free_shape shape)
{
    memset(&env, 0, sizeof(env));
    env.page_size = page_size;
    env.last_page = 20;
    env.page_count = PAGE_COUNT;
    make_blocks();
    struct lmdb_disk_db free = make_free(shape);
    for (unsigned i = 0; i < 2; i++)
        env.metas[i] = (struct lmdb_disk_meta){
            .header = {.page = bb_le64_make(i), .flags = bb_le16_make(LMDB_P_META)},
            .magic = bb_le32_make(LMDB_MAGIC),
            .version = bb_le32_make(LMDB_VERSION),
            .map_size = bb_le64_make(BB_LMDB_SIZE_MIN),
            .free = free,
            .main = make_db(MAIN, 1, 2),
            .last_page = bb_le64_make(env.last_page),
            .transaction = bb_le64_make(TRANSACTION - i),
        };
}

/* A branch of two children; `first` begins the key that separates them. */
static void branch_make(uint32_t number, uint32_t left, uint32_t right, unsigned first)
{
    struct bb_hash hash;
    seed_run(&hash, sizeof(hash), first);
    page_begin(number, LMDB_P_BRANCH);
    node_add(number, NULL, 0, NULL, 0, left, 0);
    node_add(number, &hash, sizeof(hash), NULL, 0, right, 0);
}

static void leaf_make(uint32_t number, unsigned first, unsigned second)
{
    page_begin(number, LMDB_P_LEAF);
    block_add(number, first);
    block_add(number, second);
}

static void make_free_from(uint64_t first)
{
    page_begin(FREE, LMDB_P_LEAF);
    free_add(FREE, 3, first, 2);
    free_add(FREE, TRANSACTION, first + 2, 3);
}

/* The root of "block" is a branch with two leaves. */
static void make_deep_block(void)
{
    make_env(4096, FREE_LEAF);
    make_main((struct lmdb_disk_db[]){make_db(BLOCK, 2, 4), make_db(STATE, 1, 1)});
    branch_make(BLOCK, BELOW, BELOW + 1, 0x80);
    leaf_make(BELOW, 0x20, 0x40);
    leaf_make(BELOW + 1, 0x80, 0xa0);
    make_free_from(8);
}

/* It has two branches with two leaves each. */
static void make_deeper_block(void)
{
    struct lmdb_disk_db dbs[2] = {make_db(BLOCK, 3, 8), make_db(STATE, 1, 1)};
    make_env(4096, FREE_LEAF);
    env.page_count = PAGE_COUNT_MAX;
    dbs[0].branch_pages = bb_le64_make(3);
    dbs[0].leaf_pages = bb_le64_make(4);
    make_main(dbs);
    branch_make(BLOCK, BELOW, BELOW + 1, 0x80);
    branch_make(BELOW, 8, 9, 0x40);
    branch_make(BELOW + 1, 10, 11, 0xc0);
    leaf_make(8, 0x20, 0x30);
    leaf_make(9, 0x40, 0x50);
    leaf_make(10, 0x80, 0x90);
    leaf_make(11, 0xc0, 0xd0);
    make_free_from(12);
}

/* The longest run of zeros of a page separates its head from its tail. */
static void put_page(struct seed *seed, const uint8_t *page)
{
    size_t best = 0, best_end = 0, start = 0;
    for (size_t i = 0; i < env.page_size; i++) {
        if (page[i] != 0)
            start = i + 1;
        else if (i + 1 - start > best_end - best)
            best = start, best_end = i + 1;
    }
    seed_number(seed, best, 2);
    seed_number(seed, env.page_size - best_end, 2);
    seed_put(seed, page, best);
    seed_put(seed, page + best_end, env.page_size - best_end);
}

static void env_seed(const char *name)
{
    struct seed seed = {.size = 0};
    unsigned shift = 0;
    while (LMDB_PAGE_SIZE_MIN << shift < env.page_size)
        shift++;
    seed_number(&seed, shift, 1);
    seed_number(&seed, 0, 1);
    seed_put(&seed, env.metas, sizeof(env.metas));
    for (unsigned i = 2; i < env.page_count; i++)
        put_page(&seed, env.pages[i]);
    seed_end(&seed, "lmdbmeta", name);
}

/* What a first transaction leaves: two empty databases, nothing free. */
static void seed_first_transaction(void)
{
    make_env(4096, FREE_LEAF);
    struct lmdb_disk_db none = make_db(LMDB_NO_PAGE, 0, 0);
    make_main((struct lmdb_disk_db[]){none, none});
    none.pad = env.metas[0].free.pad;
    none.flags = env.metas[0].free.flags;
    for (unsigned i = 0; i < 2; i++) {
        env.metas[i].free = none;
        env.metas[i].last_page = bb_le64_make(MAIN);
        env.metas[i].transaction = bb_le64_make(i);
    }
    env_seed("first-transaction");
}

/* What mdb_env_create leaves: no database at all. */
static void seed_empty(void)
{
    make_env(4096, FREE_LEAF);
    for (unsigned i = 0; i < 2; i++) {
        struct lmdb_disk_db none = make_db(LMDB_NO_PAGE, 0, 0);
        env.metas[i].main = none;
        none.pad = env.metas[i].free.pad;
        none.flags = bb_le16_make(LMDB_DB_INTEGERKEY);
        env.metas[i].free = none;
        env.metas[i].last_page = bb_le64_make(1);
        env.metas[i].transaction = bb_le64_make(0);
    }
    env_seed("empty");
}

static void damage_seeds(void)
{
    make_env(4096, FREE_LEAF);
    env.metas[1].magic = bb_le32_make(0);
    env_seed("one-magic");
    env.metas[0].magic = bb_le32_make(0);
    env_seed("no-magic");
    make_env(4096, FREE_LEAF);
    env.metas[0].transaction = bb_le64_make(TRANSACTION + 2);
    env_seed("transaction-gap");
    make_env(4096, FREE_LEAF);
    env.metas[0].map_size = bb_le64_make(1ull << 40);
    env_seed("map-larger-than-the-device");
    make_env(4096, FREE_LEAF);
    page_begin(FREE, LMDB_P_LEAF);
    free_add(FREE, 3, 6, 2);
    free_add(FREE, TRANSACTION, BLOCK, 1);
    env_seed("root-is-free");
    make_env(4096, FREE_LEAF);
    page_begin(FREE, LMDB_P_LEAF);
    free_add(FREE, 2, 6, 2);
    free_add(FREE, 3, 8, 3);
    env_seed("older-free-list");
    make_env(4096, FREE_BRANCH);
    page_begin(FREE, LMDB_P_BRANCH);
    node_add(FREE, "", 0, NULL, 0, FREE, 0);
    node_add(FREE, "", 0, NULL, 0, FREE, 0);
    env_seed("loop");
    make_env(4096, FREE_RUN);
    env.pages[BELOW][12] = 3; /* length of the run */
    env_seed("run-of-another-length");
}

static void seeds_of_order(void)
{
    make_deep_block();
    env_seed("block-below-a-branch");
    branch_make(BLOCK, BELOW, BELOW + 1, 0x81);
    env_seed("separator-hides-a-block");
    branch_make(BLOCK, BELOW, BELOW + 1, 0x40);
    env_seed("separator-of-the-left");
    make_deep_block();
    leaf_make(BELOW, 0x40, 0x20);
    env_seed("keys-out-of-order");
    leaf_make(BELOW, 0x40, 0x40);
    env_seed("key-twice");
    make_deeper_block();
    env_seed("block-below-two-branches");
    leaf_make(9, 0x40, 0x85);
    env_seed("key-of-the-next-branch");
    make_deeper_block();
    leaf_make(10, 0x7f, 0x90);
    env_seed("key-of-the-branch-before");
}

static void seeds_of_nodes(void)
{
    const size_t key = sizeof(struct bb_hash), value = sizeof(struct bb_disk_index_value);
    make_deep_block();
    page_begin(BELOW, LMDB_P_LEAF);
    block_add_sized(BELOW, 0x20, key - 1, value);
    block_add(BELOW, 0x40);
    env_seed("short-key");
    page_begin(BELOW, LMDB_P_LEAF);
    block_add_sized(BELOW, 0x20, key, value - 1);
    block_add(BELOW, 0x40);
    env_seed("short-value");

    /* The first node moves down over the value of the second: no key changes. */
    make_deep_block();
    uint8_t *page = env.pages[BELOW];
    size_t size = sizeof(struct lmdb_disk_node) + key + value;
    size_t from = env.page_size - size, to = from - value;
    struct bb_le16 slot = bb_le16_make((uint16_t)to);
    memmove(page + to, page + from, size);
    memcpy(page + sizeof(struct lmdb_disk_header), &slot, sizeof(slot));
    env_seed("nodes-overlap");
    make_deep_block();
    slot = bb_le16_make((uint16_t)(env.page_size - 2 * size - 2));
    memcpy(page + offsetof(struct lmdb_disk_header, upper), &slot, sizeof(slot));
    env_seed("nodes-do-not-fill");
}

static void seeds_of_pages(void)
{
    struct lmdb_disk_db block, state = make_db(STATE, 1, 1);
    make_deep_block();
    make_free_from(BELOW + 1);
    env_seed("leaf-is-free");
    page_begin(FREE, LMDB_P_LEAF);
    free_add(FREE, 3, 8, 2);
    free_add(FREE, TRANSACTION, 9, 3);
    env_seed("page-free-twice");
    make_deep_block();
    make_main((struct lmdb_disk_db[]){make_db(BLOCK, 2, 5), state});
    env_seed("another-count");

    /* LMDB asserts where a branch has one child. */
    make_deep_block();
    page_begin(BLOCK, LMDB_P_BRANCH);
    node_add(BLOCK, NULL, 0, NULL, 0, BELOW, 0);
    block = make_db(BLOCK, 2, 2);
    block.leaf_pages = bb_le64_make(1);
    make_main((struct lmdb_disk_db[]){block, state});
    env_seed("branch-of-one");
    make_blocks();
    memcpy(env.pages[BELOW], env.pages[STATE], env.page_size);
    env.pages[BELOW][0] = BELOW;
    page_begin(STATE, LMDB_P_BRANCH);
    node_add(STATE, NULL, 0, NULL, 0, BELOW, 0);
    state = make_db(STATE, 2, 1);
    state.leaf_pages = bb_le64_make(1);
    make_main((struct lmdb_disk_db[]){make_db(BLOCK, 1, 1), state});
    env_seed("state-below-a-branch");
}

void seeds_lmdb(void)
{
    for (uint32_t size = LMDB_PAGE_SIZE_MIN; size <= 16384; size *= 2) {
        make_env(size, FREE_LEAF);
        env_seed(size == 4096 ? "leaf-4096" : size == 8192 ? "leaf-8192" : "leaf-16384");
    }
    make_env(4096, FREE_BRANCH);
    env_seed("branch");
    make_env(4096, FREE_RUN);
    env_seed("run");
    make_env(4096, FREE_LONG_RUN);
    env_seed("long-run");
    seeds_of_order();
    seeds_of_nodes();
    seeds_of_pages();
    seed_first_transaction();
    seed_empty();
    damage_seeds();
}
