/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target of descriptor pages: the seal of the page and every entry of it.
 *
 * Input: one byte of flags (SEAL: the digest is made right), the header of 64 bytes, then any
 * number of {8-bit index, entry of 36 bytes}; entries that are not named are zero.
 *
 * A page that is accepted must seal to the same bytes, an entry must be set to the same bytes, and
 * neither may look at more than its own. */
#include "input.h"

#include "bb/bits.h"
#include "bb/codec.h"
#include "bb/err.h"

#define DIGEST_OFFSET offsetof(struct bb_disk_page, digest)

enum { SEAL = 1 };

static void build(struct input *input, struct bb_disk_page *page)
{
    uint8_t flags = input_u8(input);
    memset(page, 0, sizeof(*page));
    input_take(input, page, offsetof(struct bb_disk_page, entries));
    while (input->left > 0) {
        uint32_t index = input_u8(input) % BB_PAGE_ENTRY_COUNT;
        input_take(input, &page->entries[index], sizeof(page->entries[index]));
    }
    if ((flags & SEAL) != 0)
        reseal(page, sizeof(*page), DIGEST_OFFSET);
}

static void refused(const struct bb_disk_page *page, const struct bb_uuid *store, uint64_t number,
                    const char *what)
{
    struct bb_page_header header;
    memset(&header, UNTOUCHED, sizeof(header));
    require(bb_page_check(page, store, number, &header) == BB_ERR_DAMAGED, what);
    require(is_untouched(&header, sizeof(header)), "output of a failure");
}

/* Whether these are the bytes of a page of its own store and number, as format.h says. */
static bool second_opinion_of_page(const void *page)
{
    return memcmp(page, "BBDESCR\n", 8) == 0 && u32_at(page, 8) == 1 &&
           u64_at(page, 32) >> 63 == 0 && u64_at(page, 40) >> 63 == 0 && sealed(page, 4096, 48);
}

static void page_check(const struct bb_disk_page *page)
{
    struct bb_page_header header;
    uint64_t number = bb_le32_get(page->page);
    memset(&header, UNTOUCHED, sizeof(header));
    int result = bb_page_check(page, &page->store, number, &header);
    require((result == 0) == second_opinion_of_page(page), "a second opinion differs");
    if (result != 0) {
        require(result == BB_ERR_DAMAGED, "another error than the contract says");
        require(is_untouched(&header, sizeof(header)), "output of a failure");
        return;
    }
    require(header.page == number, "another page");
    require(header.generation == bb_le64_get(page->generation), "another generation");
    require(header.covered == bb_le64_get(page->covered), "another sequence");
    struct bb_disk_page again = *page;
    memset(&again, 0xee, offsetof(struct bb_disk_page, entries));
    bb_page_seal(&again, &page->store, &header);
    require(memcmp(&again, page, sizeof(again)) == 0, "seal(check(x)) != x");

    struct bb_uuid other = page->store;
    other.bytes[header.covered % sizeof(other.bytes)] ^= 1;
    refused(page, &other, number, "page of another store");
    refused(page, &page->store, number ^ 1, "page of another place");
    refused(page, &page->store, number + (1ull << 32), "page number of 33 bits");
    again.entries[header.generation % BB_PAGE_ENTRY_COUNT].hash.bytes[7] ^= 0x80;
    refused(&again, &page->store, number, "changed entry below the seal");
}

/* What any reader must make of the 36 bytes. */
static int second_opinion_of_entry(const uint8_t *bytes)
{
    uint32_t size_flags = u32_at(bytes, 32);
    if (zeros_at(bytes, 0, 36))
        return 0;
    bool flags_ok = size_flags >> 24 == 0x80 || size_flags >> 24 == 0xc0;
    return flags_ok && (size_flags & 0xffffff) <= 1048576 ? 1 : BB_ERR_DAMAGED;
}

/* `blank` is a page without entries, before and after. */
static void entry_check(const struct bb_disk_page *page, uint32_t index, struct bb_disk_page *blank)
{
    struct bb_entry entry;
    memset(&entry, UNTOUCHED, sizeof(entry));
    int result = bb_entry_get(page, index, &entry);
    require(result == second_opinion_of_entry((const uint8_t *)&page->entries[index]),
            "entry read wrong");
    if (result != 1) {
        require(is_untouched(&entry, sizeof(entry)), "output of a failure");
        return;
    }
    require(entry.size <= BB_BLOCK_SIZE_MAX, "block above 1 MiB");
    bb_entry_set(blank, index, &entry);
    require(memcmp(&blank->entries[index], &page->entries[index], sizeof(page->entries[index])) ==
                0,
            "set(get(x)) != x");
    bb_entry_clear(blank, index);
    require(bb_entry_get(blank, index, &entry) == 0, "entry that was cleared");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct bb_disk_page *page = exact(sizeof(*page));
    build(&input, page);
    page_check(page);
    struct bb_disk_page blank;
    bb_page_init(&blank);
    for (uint32_t index = 0; index < BB_PAGE_ENTRY_COUNT; index++)
        entry_check(page, index, &blank);
    require(bb_is_zero(&blank, sizeof(blank)), "set or clear touched another entry");
    free(page);
    return 0;
}
