/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target of our own reader of an index device: the meta pages, then the trees behind them.
 *
 * Input: one byte of flags, 8-bit device size beyond 8 MiB in units of 64 KiB, two meta pages of
 * 152 bytes, then per page from number 2: 16-bit length of its head, 16-bit length of its tail, the
 * bytes of both. LMDB fills a page from its two ends, so what lies between is zero. Flags:
 *
 *   bits 0-1  where the pages are: a page has 4096 << n bytes
 *   SHORT     a second look at the metas with part of the head; its length is in the last 16 bits
 *
 * A second opinion, which has the whole device before it, must agree on both. A good index is then
 * damaged in a few places, one at a time; which ones follows from the input. */
#include "input.h"

#include "bb/err.h"
#include "bb/random.h"
#include "lmdbpage.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGES_MAX 512u
#define DAMAGE_ROUNDS 6u

enum { PAGE_MASK = 3, SHORT = 4 };

#define DEVICE_SIZE_MAX (BB_LMDB_SIZE_MIN + (255u << 16))
#define PIECES_MAX (2 + 2 * PAGES_MAX)

static struct bb_device device = {.fd = -1};
static uint8_t image[DEVICE_SIZE_MAX]; /* what is on the device */
static struct {
    uint64_t offset;
    size_t size;
} pieces[PIECES_MAX]; /* all that is not zero in the image */
static unsigned piece_count;

static void device_blank(uint64_t size)
{
    if (device.fd < 0)
        device.fd = memfd_create("index", MFD_CLOEXEC);
    require(device.fd >= 0, "no memory file");
    require(ftruncate(device.fd, 0) == 0, "memory file");
    require(ftruncate(device.fd, (off_t)size) == 0, "memory file");
    device.size = size;
    while (piece_count > 0) {
        piece_count--;
        memset(image + pieces[piece_count].offset, 0, pieces[piece_count].size);
    }
}

static void device_put(uint64_t offset, const void *bytes, size_t size)
{
    if (size == 0 || offset + size > device.size)
        return;
    require(pwrite(device.fd, bytes, size, (off_t)offset) == (ssize_t)size, "memory file");
    memcpy(image + offset, bytes, size);
    require(piece_count < PIECES_MAX, "more pages than there can be");
    pieces[piece_count].offset = offset;
    pieces[piece_count++].size = size;
}

static void place_page(struct input *input, uint32_t number, uint32_t page_size)
{
    static uint8_t bytes[LMDB_PAGE_SIZE_MAX];
    uint64_t offset = (uint64_t)number * page_size;
    size_t head = input_u16(input) % (page_size + 1);
    size_t tail = input_u16(input) % (page_size + 1);
    input_take(input, bytes, head);
    device_put(offset, bytes, head);
    input_take(input, bytes, tail);
    device_put(offset + page_size - tail, bytes, tail);
}

/* ---- Second opinion of the metas; offsets as in lmdbpage.h ---- */

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

static bool meta_good(const uint8_t *meta, unsigned number, uint32_t page_size)
{
    uint64_t map_size = u64_at(meta, 32), last_page = u64_at(meta, 136);
    if (u64_at(meta, 0) != number || u16_at(meta, 8) != 0 || u16_at(meta, 10) != 8 ||
        u32_at(meta, 12) != 0)
        return false;
    if (u32_at(meta, 16) != 0xbeefc0de || u32_at(meta, 20) != 1 || u64_at(meta, 24) != 0)
        return false;
    if (map_size > device.size || map_size % page_size != 0 || last_page == 0 ||
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

static int metas_opinion(const uint8_t *head, size_t size, struct bb_lmdb_meta *ret_meta)
{
    bool magic = size >= 8192 && u32_at(head, 16) == 0xbeefc0de;
    for (uint32_t at = 4096; at <= 32768 && 2 * (size_t)at <= size; at *= 2)
        magic = magic || u32_at(head, at + 16) == 0xbeefc0de;
    if (!magic)
        return BB_ERR_NOT_FORMATTED;
    uint32_t page_size = u32_at(head, META_FREE);
    if (page_size != 4096 && page_size != 8192 && page_size != 16384 && page_size != 32768)
        return BB_ERR_INDEX_DAMAGED;
    if (2 * (size_t)page_size > size || !meta_good(head, 0, page_size) ||
        !meta_good(head + page_size, 1, page_size))
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

/* ---- Second opinion of the trees ---- */

struct tally {
    uint64_t roots[4];
    uint64_t branches, leaves, runs, entries, free, last_key;
};

static const uint8_t *page_at(const struct bb_lmdb_meta *meta, uint64_t number)
{
    return image + number * meta->page_size;
}

/* Number of nodes, 0 if it is no such page. */
static unsigned page_good(const struct bb_lmdb_meta *meta, uint64_t number, unsigned flags)
{
    if (number < 2 || number > meta->last_page)
        return 0;
    const uint8_t *page = page_at(meta, number);
    unsigned lower = u16_at(page, 12), upper = u16_at(page, 14);
    if (u64_at(page, 0) != number || u16_at(page, 10) != flags || lower % 2 != 0)
        return 0;
    return lower > 16 && lower <= upper && upper <= meta->page_size ? (lower - 16) / 2 : 0;
}

/* The node, NULL if it does not lie in its page; *ret_room is what follows its key. */
static const uint8_t *node_at(const struct bb_lmdb_meta *meta, const uint8_t *page, unsigned at,
                              size_t *ret_room)
{
    size_t offset = u16_at(page, 16 + 2 * at);
    if (offset < 16 || offset + 8 > meta->page_size)
        return NULL;
    size_t end = offset + 8 + u16_at(page, offset + 6);
    *ret_room = meta->page_size - end;
    return end <= meta->page_size ? page + offset : NULL;
}

static bool list_good(const struct bb_lmdb_meta *meta, struct tally *tally, const uint8_t *list,
                      uint64_t slots)
{
    uint64_t count = u64_at(list, 0), previous = meta->last_page + 1;
    if (count >= slots)
        return false;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t page = u64_at(list, 8 * i);
        if (page < 2 || page >= previous)
            return false;
        for (unsigned root = 0; root < 4; root++)
            if (page == tally->roots[root])
                return false;
        previous = page;
    }
    tally->free += count;
    return true;
}

static bool free_node_good(const struct bb_lmdb_meta *meta, struct tally *tally,
                           const uint8_t *node, size_t room)
{
    uint64_t size = u32_at(node, 0), key = u64_at(node, 8);
    if (u16_at(node, 6) != 8 || u16_at(node, 4) > 1 || size == 0 || size % 8 != 0)
        return false;
    if (key <= tally->last_key || key > meta->transaction)
        return false;
    tally->last_key = key;
    tally->entries++;
    if (u16_at(node, 4) == 0)
        return size <= room && list_good(meta, tally, node + 16, size / 8);
    uint64_t first = room < 8 ? 0 : u64_at(node, 16);
    uint64_t pages = (16 + size + meta->page_size - 1) / meta->page_size;
    if (first < 2 || first > meta->last_page || pages > meta->last_page + 1 - first)
        return false;
    const uint8_t *run = page_at(meta, first);
    tally->runs += pages;
    return u64_at(run, 0) == first && u16_at(run, 10) == 4 && u32_at(run, 12) == pages &&
           list_good(meta, tally, run + 16, size / 8);
}

static bool free_tree_good(const struct bb_lmdb_meta *meta, struct tally *tally, uint64_t number,
                           unsigned height)
{
    unsigned count = page_good(meta, number, height == 1 ? 2 : 1);
    uint64_t *pages = height == 1 ? &tally->leaves : &tally->branches;
    ++*pages;
    if (count == 0 || tally->leaves + tally->branches > meta->last_page)
        return false;
    const uint8_t *page = page_at(meta, number);
    for (unsigned i = 0; i < count; i++) {
        size_t room;
        const uint8_t *node = node_at(meta, page, i, &room);
        if (node == NULL)
            return false;
        uint64_t child = u32_at(node, 0) | (uint64_t)u16_at(node, 4) << 32;
        if (height == 1 ? !free_node_good(meta, tally, node, room)
                        : !free_tree_good(meta, tally, child, height - 1))
            return false;
    }
    return true;
}

/* One of our two databases in the main one; 0 if that is not what is there. */
static const uint8_t *database_at(const struct bb_lmdb_meta *meta, uint64_t main, unsigned at)
{
    size_t room;
    const uint8_t *node = node_at(meta, page_at(meta, main), at, &room);
    if (node == NULL || u16_at(node, 6) != 5 ||
        memcmp(node + 8, at == 0 ? "block" : "state", 5) != 0)
        return NULL;
    if (u16_at(node, 4) != 2 || u32_at(node, 0) != 48 || room < 48 || u16_at(node, 13 + 4) != 0)
        return NULL;
    return db_good(node + 13, meta->last_page) ? node + 13 : NULL;
}

static bool tree_opinion(const struct bb_lmdb_meta *meta)
{
    const uint8_t *newest = page_at(meta, meta->transaction % 2);
    const uint8_t *free = newest + META_FREE, *main = newest + META_MAIN;
    struct tally tally = {.roots = {0, 0, u64_at(main, 40), u64_at(free, 40)}};
    uint64_t used = 2 + pages_of(free) + pages_of(main);
    if (u16_at(main, 6) != 1 || u64_at(main, 32) != 2 || u64_at(main, 24) != 0 ||
        page_good(meta, u64_at(main, 40), 2) != 2)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *db = database_at(meta, u64_at(main, 40), i);
        if (db == NULL)
            return false;
        tally.roots[i] = u64_at(db, 40);
        used += pages_of(db);
        if (tally.roots[i] != UINT64_MAX &&
            page_good(meta, tally.roots[i], u16_at(db, 6) == 1 ? 2 : 1) == 0)
            return false;
    }
    if (u16_at(free, 6) > 0 && !free_tree_good(meta, &tally, tally.roots[3], u16_at(free, 6)))
        return false;
    if (tally.branches != u64_at(free, 8) || tally.leaves != u64_at(free, 16) ||
        tally.runs != u64_at(free, 24) || tally.entries != u64_at(free, 32))
        return false;
    if (meta->transaction > 1 && tally.last_key != meta->transaction)
        return false;
    return used + tally.free <= meta->last_page + 1;
}

/* ---- */

static int look(size_t size, struct bb_lmdb_meta *ret_meta)
{
    uint8_t *exactly = exact(size > 0 ? size : 1);
    memcpy(exactly, image, size);
    memset(ret_meta, UNTOUCHED, sizeof(*ret_meta));
    int result = bb_lmdb_check_metas(exactly, size, device.size, ret_meta);
    free(exactly);
    struct bb_lmdb_meta opinion;
    require(result == metas_opinion(image, size, &opinion),
            "a second opinion of the metas differs");
    if (result != 0)
        require(is_untouched(ret_meta, sizeof(*ret_meta)), "output of a failure");
    else
        require(ret_meta->page_size == opinion.page_size &&
                    ret_meta->map_size == opinion.map_size &&
                    ret_meta->last_page == opinion.last_page &&
                    ret_meta->transaction == opinion.transaction,
                "metas read wrong");
    return result;
}

static int look_behind(const struct bb_lmdb_meta *meta)
{
    int result = bb_lmdbtree_check(&device, image, meta);
    require(result == (tree_opinion(meta) ? 0 : BB_ERR_INDEX_DAMAGED),
            "a second opinion of the trees differs");
    return result;
}

/* ---- Damage ---- */

static void overwrite(uint64_t offset, const uint8_t bytes[8])
{
    memcpy(image + offset, bytes, 8);
    require(pwrite(device.fd, bytes, 8, (off_t)offset) == 8, "memory file");
}

/* A bit, or a number that is wrong where it stands but right elsewhere. */
static void choose_damage(const struct bb_lmdb_meta *meta, struct bb_random *random,
                          uint8_t bytes[8])
{
    const uint64_t numbers[] = {0,
                                1,
                                2,
                                3,
                                meta->last_page,
                                meta->last_page + 1,
                                meta->page_size,
                                meta->transaction,
                                meta->transaction + 1,
                                UINT64_MAX};
    uint64_t number = numbers[bb_random_below(random, sizeof(numbers) / sizeof(numbers[0]))];
    switch (bb_random_below(random, 4)) {
    case 0:
        memcpy(bytes, &number, 8);
        break;
    case 1:
        memcpy(bytes, &number, 2);
        break;
    case 2:
        bytes[0] = (uint8_t)(bytes[0] + 2 * bb_random_below(random, 8) - 8);
        break;
    default:
        bytes[bb_random_below(random, 2)] ^= (uint8_t)(1u << bb_random_below(random, 8));
        break;
    }
}

static void damage(const struct bb_lmdb_meta *good, struct bb_random *random)
{
    uint8_t before[8], after[8];
    struct bb_lmdb_meta meta;
    unsigned piece = (unsigned)bb_random_below(random, piece_count);
    uint64_t offset = pieces[piece].offset + bb_random_below(random, pieces[piece].size);
    offset -= offset % 2; /* no field is at an odd address */
    if (offset + 8 > device.size)
        return;
    memcpy(before, image + offset, 8);
    memcpy(after, before, 8);
    choose_damage(good, random, after);
    overwrite(offset, after);
    if (look(LMDB_HEAD_SIZE, &meta) == 0)
        (void)look_behind(&meta);
    overwrite(offset, before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bb_random random;
    uint64_t seed = size;
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ data[i]) * 0x100000001b3;
    bb_random_seed(&random, seed);
    uint8_t meta_bytes[sizeof(struct lmdb_disk_meta)];
    struct input input = {data, size};
    struct bb_lmdb_meta meta, shorter;
    uint8_t flags = input_u8(&input);
    uint32_t page_size = LMDB_PAGE_SIZE_MIN << (flags & PAGE_MASK);
    device_blank(BB_LMDB_SIZE_MIN + ((uint64_t)input_u8(&input) << 16));
    for (unsigned i = 0; i < 2; i++) {
        input_take(&input, meta_bytes, sizeof(meta_bytes));
        device_put((uint64_t)i * page_size, meta_bytes, sizeof(meta_bytes));
    }
    for (uint32_t number = 2; number < PAGES_MAX && input.left > 0; number++)
        place_page(&input, number, page_size);

    int result = look(LMDB_HEAD_SIZE, &meta);
    if ((flags & SHORT) != 0 && size >= 2) {
        size_t part = (size_t)data[size - 1] << 8 | data[size - 2];
        (void)look(part, &shorter);
    }
    if (result != 0)
        return 0;
    if (look_behind(&meta) == 0)
        for (unsigned round = 0; round < DAMAGE_ROUNDS; round++)
            damage(&meta, &random);
    return 0;
}
