/* SPDX-License-Identifier: Apache-2.0
 * Descriptor pages: header and 112 entries, edited in place between two seals. Pure.
 *
 * The page's seal says that the bytes are those that were written; whether an entry is possible is
 * asked entry by entry, so that one bad entry does not take the other 111 with it. */
#include "bb/bits.h"
#include "bb/codec.h"
#include "bb/err.h"
#include "bb/plant.h"

BB_STATIC_ASSERT(BB_BLOCK_SIZE_MAX <= BB_ENTRY_SIZE_MASK);

static void page_digest(const struct bb_disk_page *page, struct bb_digest *ret_digest)
{
    bb_digest_of_unit(page, sizeof(*page), offsetof(struct bb_disk_page, digest), ret_digest);
}

void bb_page_init(struct bb_disk_page *page)
{
    memset(page, 0, sizeof(*page));
}

void bb_page_seal(struct bb_disk_page *page, const struct bb_uuid *store,
                  const struct bb_page_header *header)
{
    BB_ASSERT(header->page <= UINT32_MAX);
    memcpy(page->magic, BB_PAGE_MAGIC, sizeof(page->magic));
    page->version = bb_le32_make(BB_FORMAT_VERSION);
    page->page = bb_le32_make((uint32_t)header->page);
    page->store = *store;
    page->generation = bb_le64_make(header->generation);
    page->covered = bb_le64_make(header->covered);
    struct bb_digest digest;
    page_digest(page, &digest);
    page->digest = digest;
}

int bb_page_check(const struct bb_disk_page *page, const struct bb_uuid *store,
                  uint64_t page_number, struct bb_page_header *ret_header)
{
    if (memcmp(page->magic, BB_PAGE_MAGIC, sizeof(page->magic)) != 0)
        return BB_ERR_DAMAGED;
    if (bb_le32_get(page->version) != BB_FORMAT_VERSION ||
        (bb_le32_get(page->page) != page_number && !bb_planted(POSITION_UNCHECKED)) ||
        (memcmp(page->store.bytes, store->bytes, sizeof(store->bytes)) != 0 &&
         !bb_planted(UUID_UNCHECKED)))
        return BB_ERR_DAMAGED;
    struct bb_digest digest;
    page_digest(page, &digest);
    if (!bb_digest_equal(&digest, &page->digest))
        return BB_ERR_DAMAGED;
    struct bb_page_header header = {
        .page = page_number,
        .generation = bb_le64_get(page->generation),
        .covered = bb_le64_get(page->covered),
    };
    if (header.generation > BB_COUNTER_MAX || header.covered > BB_COUNTER_MAX)
        return BB_ERR_DAMAGED;
    *ret_header = header;
    return 0;
}

void bb_entry_set(struct bb_disk_page *page, uint32_t index, const struct bb_entry *entry)
{
    BB_ASSERT(index < BB_PAGE_ENTRY_COUNT);
    BB_ASSERT(entry->size <= BB_BLOCK_SIZE_MAX);
    uint32_t flags = BB_ENTRY_PRESENT | (entry->corrupt ? BB_ENTRY_CORRUPT : 0);
    page->entries[index].hash = entry->hash;
    page->entries[index].size_flags = bb_le32_make(entry->size | flags);
}

void bb_entry_clear(struct bb_disk_page *page, uint32_t index)
{
    BB_ASSERT(index < BB_PAGE_ENTRY_COUNT);
    memset(&page->entries[index], 0, sizeof(page->entries[index]));
}

int bb_entry_get(const struct bb_disk_page *page, uint32_t index, struct bb_entry *ret_entry)
{
    BB_ASSERT(index < BB_PAGE_ENTRY_COUNT);
    const struct bb_disk_entry *disk = &page->entries[index];
    uint32_t size_flags = bb_le32_get(disk->size_flags);
    uint32_t size = size_flags & BB_ENTRY_SIZE_MASK;
    uint32_t flags = size_flags & ~BB_ENTRY_SIZE_MASK;
    if ((flags & BB_ENTRY_PRESENT) == 0)
        return bb_is_zero(disk, sizeof(*disk)) ? 0 : BB_ERR_DAMAGED;
    if ((flags & ~(BB_ENTRY_PRESENT | BB_ENTRY_CORRUPT)) != 0 || size > BB_BLOCK_SIZE_MAX)
        return BB_ERR_DAMAGED;
    *ret_entry = (struct bb_entry){
        .hash = disk->hash,
        .size = size,
        .corrupt = (flags & BB_ENTRY_CORRUPT) != 0,
    };
    return 1;
}
