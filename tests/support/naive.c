/* SPDX-License-Identifier: Apache-2.0
 * One digest over all blocks of an index, in the order of the scan. */
#include "naive.h"

#include <string.h>

struct content {
    struct bb_hash so_far;
    struct bb_hash hash;
    struct bb_index_entry entry;
};

static int add(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct content *content = context;
    content->hash = *hash;
    memset(&content->entry, 0, sizeof(content->entry)); /* padding */
    content->entry.unit = entry->unit;
    content->entry.size = entry->size;
    content->entry.flags = entry->flags;
    bb_hash_of(content, sizeof(*content), &content->so_far);
    return 0;
}

void naive_content_of(const struct bb_index *index, struct bb_hash *ret_content)
{
    struct content content;
    memset(&content, 0, sizeof(content));
    int result = index->ops->scan(index->context, NULL, NULL, add, &content);
    BB_ASSERT(result == 0);
    *ret_content = content.so_far;
}

void naive_content(struct memindex *mem, struct bb_hash *ret_content)
{
    struct bb_index index = memindex_index(mem);
    naive_content_of(&index, ret_content);
}
