/* SPDX-License-Identifier: Apache-2.0
 * The bytes of every block against its name. Owner: the thread that checks.
 *
 * Blocks come from the descriptors, in the order in which they stand on the device; where those are
 * not right, from the index. What is marked corrupt is known already.
 */
#include "check.h"

#include "bb/bits.h"
#include "bb/err.h"

#include <stdlib.h>

#define PROGRESS_EVERY 256u

struct deep {
    struct check *check;
    uint8_t *buf; /* the work memory holds the pages meanwhile */
};

static int hash_block(struct deep *deep, const struct bb_block *block)
{
    struct check *check = deep->check;
    struct bb_hash hash;
    if (block->corrupt)
        return 0;
    if (check->report.hashed_blocks++ % PROGRESS_EVERY == 0)
        bb_recovery_progress(&check->recovery, "hashing blocks", check->report.hashed_blocks,
                             check->report.blocks);
    int error = bb_io_read(check->config->io, BB_IO_DATA, block->unit * BB_UNIT_SIZE, deep->buf,
                           bb_units_of(block->size) * BB_UNIT_SIZE);
    if (error != 0 && !bb_scan_is_medium_error(error))
        return bb_explain(check->recovery.explain, error, "data device: reading unit %llu: %s",
                          (unsigned long long)block->unit, bb_err_text(error));
    if (error != 0) {
        check_find_block(check, BB_FINDING_BLOCK_UNREADABLE, block, UINT64_MAX,
                         "block %s: unit %llu on cannot be read: %s, store it again",
                         bb_hash_name(&block->hash).text, (unsigned long long)block->unit,
                         bb_err_text(error));
        return 0;
    }
    bb_hash_of(deep->buf, block->size, &hash);
    if (!bb_hash_equal(&hash, &block->hash))
        check_find_block(check, BB_FINDING_BYTES_WRONG, block, UINT64_MAX,
                         "block %s: the %u bytes at unit %llu are those of %s, store it again",
                         bb_hash_name(&block->hash).text, block->size,
                         (unsigned long long)block->unit, bb_hash_name(&hash).text);
    return 0;
}

static int hash_page_block(void *context, const struct bb_block *block)
{
    return hash_block(context, block);
}

static int ignore_clash(void *context, const struct bb_block *first, const struct bb_block *second)
{
    (void)context;
    (void)first;
    (void)second;
    return 0;
}

static int hash_index_block(struct check *check, const struct bb_block *block)
{
    const struct bb_super *super = &check->recovery.super;
    struct deep deep = {.check = check, .buf = check->recovery.work};
    if (!bb_layout_extent_ok(&super->layout, super->open_zone_count, block->unit,
                             bb_units_of(block->size)))
        return 0; /* that is a finding of its own */
    return hash_block(&deep, block);
}

static int hash_index(struct check *check)
{
    uint64_t high = 0;
    for (uint64_t low = 0;; low = high + 1) {
        high = UINT64_MAX;
        int error = check_each_index_block(check, low, &high, hash_index_block, false);
        if (error != 0 || high == UINT64_MAX)
            return error;
    }
}

int check_deep(struct check *check)
{
    if (!check->report.pages_right && check->report.index_right)
        return hash_index(check);
    struct deep deep = {.check = check, .buf = aligned_alloc(BB_UNIT_SIZE, BB_BLOCK_SIZE_MAX)};
    if (deep.buf == NULL)
        return bb_explain(check->recovery.explain, BB_ERR_MEMORY, "memory for a block: %s",
                          bb_err_text(BB_ERR_MEMORY));
    struct bb_walk walk = {.recovery = &check->recovery,
                           .source = BB_WALK_REPORT,
                           .all = true,
                           .visit = hash_page_block,
                           .clash = ignore_clash,
                           .context = &deep};
    check->recovery.mentions.loaded = false;
    int error = bb_walk_run(&walk);
    free(deep.buf);
    return error;
}
