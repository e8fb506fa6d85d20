/* SPDX-License-Identifier: Apache-2.0
 * Pages of the list; copyplan.h says what for. Everything read here comes from outside and is
 * checked.
 */
#include "bbctl/copyplan.h"

#include "bb/text.h"

#define LINE_SIZE (BB_HASH_HEX_SIZE + 1u)
#define SIZE_MAX_DIGITS 7u /* of 1 MiB */
#define BLOCK_SIZE_MAX (1u << 20)

void bb_copy_page_begin(struct bb_copy_page *page, const struct bb_hash *after)
{
    page->from_start = after == NULL;
    if (after != NULL)
        page->after = *after;
    page->count = 0;
    page->missing_count = 0;
    page->missing_bytes = 0;
    page->next = 0;
}

/* A name that fills a line up to `end`, which is not part of it. */
static bool read_entry(const char *at, const char *end, struct bb_copy_entry *ret_entry)
{
    char digits[SIZE_MAX_DIGITS + 1];
    uint64_t size;
    if (end - at < BB_HASH_HEX_SIZE + 2 || at[BB_HASH_HEX_SIZE] != ' ' ||
        !bb_hash_from_hex(at, BB_HASH_HEX_SIZE, &ret_entry->hash))
        return false;
    at += BB_HASH_HEX_SIZE + 1;
    size_t len = (size_t)(end - at);
    if (len > SIZE_MAX_DIGITS)
        return false;
    memcpy(digits, at, len);
    digits[len] = '\0';
    if (!bb_text_to_u64(digits, &size) || size > BLOCK_SIZE_MAX)
        return false;
    ret_entry->size = (uint32_t)size;
    ret_entry->missing = false;
    ret_entry->done = false;
    return true;
}

bool bb_copy_page_take_list(struct bb_copy_page *page, const char *text)
{
    BB_ASSERT(page->count == 0);
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        struct bb_copy_entry *entry = &page->entries[page->count];
        const struct bb_hash *before = bb_copy_page_last(page);
        if (end == NULL || page->count == BB_COPY_PAGE_MAX || !read_entry(text, end, entry))
            return false;
        if (before != NULL && bb_hash_compare(before, &entry->hash) >= 0)
            return false;
        page->count++;
        text = end + 1;
    }
    return true;
}

size_t bb_copy_page_lines(const struct bb_copy_page *page, char ret_text[static BB_COPY_LINES_MAX])
{
    for (uint32_t i = 0; i < page->count; i++) {
        bb_hash_to_hex(&page->entries[i].hash, ret_text + (size_t)i * LINE_SIZE);
        ret_text[(size_t)i * LINE_SIZE + BB_HASH_HEX_SIZE] = '\n';
    }
    return (size_t)page->count * LINE_SIZE;
}

bool bb_copy_page_take_missing(struct bb_copy_page *page, const char *text)
{
    uint32_t at = 0;
    for (; *text != '\0'; text += LINE_SIZE) {
        struct bb_hash hash;
        const char *end = strchr(text, '\n');
        if (end == NULL || !bb_hash_from_hex(text, (size_t)(end - text), &hash))
            return false;
        while (at < page->count && !bb_hash_equal(&page->entries[at].hash, &hash))
            at++;
        if (at == page->count)
            return false;
        page->entries[at].missing = true;
        page->missing_count++;
        page->missing_bytes += page->entries[at].size;
        at++;
    }
    return true;
}

struct bb_copy_entry *bb_copy_page_take(struct bb_copy_page *page, bool all)
{
    while (page->next < page->count) {
        struct bb_copy_entry *entry = &page->entries[page->next++];
        if (all || entry->missing)
            return entry;
        entry->done = true;
    }
    return NULL;
}

bool bb_copy_page_mark(const struct bb_copy_page *page, struct bb_hash *ret_mark)
{
    uint32_t done = 0;
    while (done < page->count && page->entries[done].done)
        done++;
    if (done == 0 && page->from_start)
        return false;
    *ret_mark = done == 0 ? page->after : page->entries[done - 1].hash;
    return true;
}

const struct bb_hash *bb_copy_page_last(const struct bb_copy_page *page)
{
    if (page->count > 0)
        return &page->entries[page->count - 1].hash;
    return page->from_start ? NULL : &page->after;
}

double bb_copy_part(const struct bb_hash *hash)
{
    double part = 0, weight = 1;
    for (unsigned i = 0; i < 6; i++) {
        weight /= 256;
        part += weight * hash->bytes[i];
    }
    return part;
}
