/* SPDX-License-Identifier: Apache-2.0
 * A dense array: picking at random is one index, removing moves the last entry into the gap. */
#include "bbbench/acked.h"

#include <errno.h>
#include <sys/mman.h>

#define FIRST_ROOM ((size_t)16384)

int bb_acked_open(struct bb_acked *acked)
{
    void *map = mmap(NULL, FIRST_ROOM * sizeof(*acked->blocks), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -errno;
    acked->blocks = map;
    acked->count = 0;
    acked->room = FIRST_ROOM;
    return 0;
}

void bb_acked_close(struct bb_acked *acked)
{
    munmap(acked->blocks, acked->room * sizeof(*acked->blocks));
    acked->blocks = NULL;
    acked->count = 0;
    acked->room = 0;
}

int bb_acked_add(struct bb_acked *acked, const struct bb_acked_block *block)
{
    BB_ASSERT(acked->count <= acked->room);
    if (acked->count == acked->room) {
        size_t size = acked->room * sizeof(*acked->blocks);
        void *map = mremap(acked->blocks, size, 2 * size, MREMAP_MAYMOVE);
        if (map == MAP_FAILED)
            return -errno;
        acked->blocks = map;
        acked->room *= 2;
    }
    acked->blocks[acked->count++] = *block;
    return 0;
}

void bb_acked_remove(struct bb_acked *acked, size_t index)
{
    BB_ASSERT(index < acked->count);
    acked->blocks[index] = acked->blocks[--acked->count];
}
