/* SPDX-License-Identifier: Apache-2.0
 * Seeds of the index reader: small environments, laid out by hand as LMDB lays them out, because
 * its own depend on the machine's page size.
 *
 *   page 2  main database: "block", "state"     page 5  root of the free list
 *   page 3  "block", one record                 page 6, 7  leaves below it, or an overflow run
 *   page 4  "state", the row                    8 ..       free
 */
#include "seeds.h"

#include "bb/indexcodec.h"
#include "lmdbpage.h"

#include <stdbool.h>

#define PAGE_COUNT 8u
#define TRANSACTION 4u

enum { MAIN = 2, BLOCK = 3, STATE = 4, FREE = 5, BELOW = 6 };
enum free_shape { FREE_LEAF, FREE_BRANCH, FREE_RUN, FREE_LONG_RUN };

#define RUN_SIZE (4096u + 512)
#define LONG_RUN_SIZE ((1u << 20) + 8192) /* more than the reader takes at once */

struct env {
    uint32_t page_size;
    uint32_t last_page;
    struct lmdb_disk_meta metas[2];
    uint8_t pages[PAGE_COUNT][LMDB_PAGE_SIZE_MAX];
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

static void make_blocks(void)
{
    struct bb_hash hash;
    struct bb_disk_index_value value;
    struct bb_index_entry entry = {.unit = 0x1000, .size = 4096};
    struct bb_index_state state = {.set.count = 1};
    struct bb_disk_index_state row;
    seed_run(&hash, sizeof(hash), 0x40);
    bb_index_value_encode(&entry, &value);
    page_begin(BLOCK, LMDB_P_LEAF);
    node_add(BLOCK, &hash, sizeof(hash), &value, sizeof(value), sizeof(value), 0);
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

/* The root of "block" is a branch; what is below it is not read. */
static void make_deep_block(void)
{
    struct lmdb_disk_db dbs[2] = {make_db(BLOCK, 2, 2), make_db(STATE, 1, 1)};
    page_begin(BLOCK, LMDB_P_BRANCH);
    node_add(BLOCK, "", 0, NULL, 0, 10, 0);
    node_add(BLOCK, "\x80", 1, NULL, 0, 11, 0);
    make_main(dbs);
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
    for (unsigned i = 2; i < PAGE_COUNT; i++)
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
    make_env(4096, FREE_LEAF);
    make_deep_block();
    env_seed("block-below-a-branch");
    seed_first_transaction();
    seed_empty();
    damage_seeds();
}
