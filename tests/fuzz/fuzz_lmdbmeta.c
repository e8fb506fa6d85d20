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
 * A second opinion (opinion_lmdb.h), which has the whole device before it, must agree on both. A
 * good index is then damaged in a few places, one at a time; which ones follows from the input. */
#include "input.h"
#include "opinion_lmdb.h"

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

static int look(size_t size, struct bb_lmdb_meta *ret_meta)
{
    uint8_t *exactly = exact(size > 0 ? size : 1);
    memcpy(exactly, image, size);
    memset(ret_meta, UNTOUCHED, sizeof(*ret_meta));
    int result = bb_lmdb_check_metas(exactly, size, device.size, ret_meta);
    free(exactly);
    struct bb_lmdb_meta opinion;
    require(result == opinion_metas(image, size, device.size, &opinion),
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
    require(result == (opinion_trees(image, meta) ? 0 : BB_ERR_INDEX_DAMAGED),
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
