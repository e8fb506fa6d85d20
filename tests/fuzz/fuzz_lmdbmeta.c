/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target of our own reader of an index device: the meta pages, then the trees behind them.
 *
 * Input: one byte of flags, 8-bit device size beyond 8 MiB in units of 64 KiB, two meta pages of
 * 152 bytes, then per page from number 2: 16-bit length of its head, 16-bit length of its tail, the
 * bytes of both. LMDB fills a page from its two ends, so what lies between is zero. Flags:
 *
 *   bits 0-1  where the pages are: a page has 4096 << n bytes
 *   SHORT     a second look at the metas with part of the head; its length is in the last 16 bits
 */
#include "input.h"

#include "bb/err.h"
#include "lmdbpage.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGES_MAX 512u

enum { PAGE_MASK = 3, SHORT = 4 };

static struct bb_device device = {.fd = -1};

static void device_blank(uint64_t size)
{
    if (device.fd < 0)
        device.fd = memfd_create("index", MFD_CLOEXEC);
    require(device.fd >= 0, "no memory file");
    require(ftruncate(device.fd, 0) == 0, "memory file");
    require(ftruncate(device.fd, (off_t)size) == 0, "memory file");
    device.size = size;
}

static void device_put(uint64_t offset, const void *bytes, size_t size)
{
    if (size == 0 || offset + size > device.size)
        return;
    require(pwrite(device.fd, bytes, size, (off_t)offset) == (ssize_t)size, "memory file");
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

/* Everything that a program may rely on after check_metas said yes. */
static void metas_check(const uint8_t *head, const struct bb_lmdb_meta *meta)
{
    struct lmdb_disk_meta metas[2];
    memcpy(&metas[0], head, sizeof(metas[0]));
    memcpy(&metas[1], head + meta->page_size, sizeof(metas[1]));
    uint64_t even = bb_le64_get(metas[0].transaction), odd = bb_le64_get(metas[1].transaction);
    require(meta->page_size >= LMDB_PAGE_SIZE_MIN && meta->page_size <= LMDB_PAGE_SIZE_MAX,
            "page size");
    require((meta->page_size & (meta->page_size - 1)) == 0, "page size is no power of two");
    require(meta->map_size <= device.size && meta->map_size % meta->page_size == 0, "map size");
    require(meta->last_page < meta->map_size / meta->page_size, "last page behind the map");
    require(meta->transaction == (even > odd ? even : odd), "not the newest transaction");
    require(even == odd || (even > odd ? even - odd : odd - even) == 1, "a gap of transactions");
    const struct lmdb_disk_meta *newest = &metas[even >= odd ? 0 : 1];
    require(bb_le64_get(newest->last_page) == meta->last_page, "last page of the older one");
    require(bb_le64_get(newest->map_size) == meta->map_size, "map size of the older one");
}

static int look(const uint8_t *head, size_t size, struct bb_lmdb_meta *ret_meta)
{
    uint8_t *exactly = exact(size > 0 ? size : 1);
    memcpy(exactly, head, size);
    memset(ret_meta, UNTOUCHED, sizeof(*ret_meta));
    int result = bb_lmdb_check_metas(exactly, size, device.size, ret_meta);
    free(exactly);
    if (result != 0) {
        require(result == BB_ERR_NOT_FORMATTED || result == BB_ERR_INDEX_DAMAGED,
                "another error than the contract says");
        require(is_untouched(ret_meta, sizeof(*ret_meta)), "output of a failure");
    } else {
        metas_check(head, ret_meta);
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t head[LMDB_HEAD_SIZE];
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
    require(pread(device.fd, head, sizeof(head), 0) == sizeof(head), "memory file");

    int result = look(head, sizeof(head), &meta);
    if ((flags & SHORT) != 0 && size >= 2) {
        size_t part = (size_t)data[size - 1] << 8 | data[size - 2];
        if (look(head, part, &shorter) == 0)
            require(result == 0 && memcmp(&meta, &shorter, sizeof(meta)) == 0, "less says more");
    }
    if (result != 0)
        return 0;
    result = bb_lmdbtree_check(&device, head, &meta);
    require(result == 0 || result == BB_ERR_INDEX_DAMAGED, "another error than the contract says");
    return 0;
}
