/* SPDX-License-Identifier: Apache-2.0
 * See scribe.h: recovery and rebuild of what a scribe left, and what must be there then.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/fill.h"
#include "bb/superblock.h"

#include <errno.h>
#include <stdlib.h>

#define SCRATCH_SIZE ((size_t)4 << 20)

static void *buffer_new(size_t size)
{
    void *buffer = aligned_alloc(BB_UNIT_SIZE, bb_align_up(size, BB_UNIT_SIZE));
    BB_ASSERT(buffer != NULL);
    return buffer;
}

int scribe_recover(struct bb_sim *sim, struct memindex *mem, struct bb_recovered *ret_recovered,
                   struct bb_explain *ret_explain)
{
    struct bb_index index = memindex_index(mem);
    struct bb_recover_config config = {.io = bb_sim_io(sim),
                                       .index = &index,
                                       .scratch = buffer_new(SCRATCH_SIZE),
                                       .scratch_size = SCRATCH_SIZE};
    int error = bb_recover(&config, ret_recovered, ret_explain);
    free(config.scratch);
    return error;
}

int scribe_rebuild(struct bb_sim *sim, struct memindex *mem, struct bb_recovered *ret_recovered,
                   struct bb_explain *ret_explain)
{
    struct bb_super_copies copies;
    int error = bb_super_load(bb_sim_io(sim), &copies);
    if (error != 0) {
        *ret_explain = (struct bb_explain){.text = "no superblock"};
        return error;
    }
    struct bb_index_state state = {.store = copies.super.store};
    bb_random_from_kernel(&state.index, sizeof(state.index));
    memindex_wipe(mem);
    memindex_put_state(mem, &state);
    struct bb_index index = memindex_index(mem);
    struct bb_recover_config config = {.io = bb_sim_io(sim),
                                       .index = &index,
                                       .scratch = buffer_new(SCRATCH_SIZE),
                                       .scratch_size = SCRATCH_SIZE};
    error = bb_rebuild(&config, &state.index, ret_recovered, ret_explain);
    free(config.scratch);
    return error;
}

static int digest_one(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    uint64_t words[3] = {entry->unit, entry->size, entry->flags};
    bb_hasher_update(context, hash, sizeof(*hash));
    bb_hasher_update(context, words, sizeof(words));
    return 0;
}

struct bb_digest scribe_entries(struct memindex *mem)
{
    struct bb_index index = memindex_index(mem);
    struct bb_hasher hasher;
    struct bb_hash hash;
    struct bb_digest digest;
    int error = bb_hasher_open(&hasher);
    BB_ASSERT(error == 0);
    bb_hasher_begin(&hasher);
    error = index.ops->scan(index.context, NULL, NULL, digest_one, &hasher);
    BB_ASSERT(error == 0);
    bb_hasher_end(&hasher, &hash);
    bb_hasher_close(&hasher);
    memcpy(&digest, &hash, sizeof(digest));
    return digest;
}

enum scribe_state scribe_lookup(struct memindex *mem, unsigned key,
                                struct bb_index_entry *ret_entry)
{
    struct bb_index index = memindex_index(mem);
    struct bb_hash hash = scribe_hash(key);
    index.ops->refresh(index.context);
    int error = index.ops->lookup(index.context, &hash, ret_entry);
    if (error == -ENOENT)
        return SCRIBE_ABSENT;
    BB_ASSERT(error == 0);
    return (ret_entry->flags & BB_INDEX_CORRUPT) != 0 ? SCRIBE_MARKED : SCRIBE_PRESENT;
}

static void check_keys(const struct scribe *scribe, struct bb_sim *sim, struct memindex *mem)
{
    uint8_t *bytes = buffer_new(BB_BLOCK_SIZE_MAX);
    for (unsigned key = 0; key < SCRIBE_KEYS; key++) {
        struct bb_index_entry entry;
        enum scribe_state state = scribe_lookup(mem, key, &entry);
        BB_ASSERT((scribe->allowed[key] >> state & 1) != 0);
        if (state != SCRIBE_PRESENT)
            continue;
        struct bb_hash wanted = scribe_hash(key), found;
        BB_ASSERT(entry.size == scribe_size(key));
        bb_sim_peek(sim, entry.unit * BB_UNIT_SIZE, bytes, bb_units_of(entry.size) * BB_UNIT_SIZE);
        bb_hash_of(bytes, entry.size, &found);
        BB_ASSERT(bb_hash_equal(&wanted, &found));
    }
    free(bytes);
}

static void check_fill(const struct bb_super *super, struct memindex *mem)
{
    struct bb_index index = memindex_index(mem);
    struct bb_index_state state;
    uint64_t zone_units = bb_layout_zone_units_max(&super->layout);
    size_t size = bb_buddy_memory(super->layout.zone_count, zone_units);
    void *memory = buffer_new(size);
    memset(memory, 0, size);
    struct bb_buddy *buddy = bb_buddy_init(memory, size, super->layout.zone_count, zone_units);
    struct bb_filled filled;
    struct bb_explain explain;
    int error = bb_fill(&index, super, buddy, &filled, &explain);
    BB_ASSERT(error == 0);
    error = index.ops->state(index.context, &state);
    BB_ASSERT(error == 0);
    BB_ASSERT(bb_set_equal(&filled.set, &state.set));
    BB_ASSERT(bb_set_equal(&filled.set, &state.anchor.set));
    BB_ASSERT(bb_set_equal(&filled.set, &super->anchor.set));
    free(memory);
}

static void check_rebuild(struct bb_sim *sim, struct memindex *mem)
{
    struct bb_sim *sim_copy = bb_sim_clone(sim);
    struct memindex *mem_copy = memindex_clone(mem);
    struct bb_recovered recovered;
    struct bb_explain explain;
    int error = scribe_rebuild(sim_copy, mem_copy, &recovered, &explain);
    BB_ASSERT(error == 0);
    BB_ASSERT(recovered.report.slots_unexcused == 0);
    BB_ASSERT(recovered.report.pages_written == 0);
    struct bb_digest here = scribe_entries(mem), there = scribe_entries(mem_copy);
    BB_ASSERT(bb_digest_equal(&here, &there));
    bb_sim_close(sim_copy);
    memindex_free(mem_copy);
}

void scribe_check(const struct scribe *scribe, struct bb_sim *sim, struct memindex *mem)
{
    struct bb_super_copies copies;
    int error = bb_super_load(bb_sim_io(sim), &copies);
    BB_ASSERT(error == 0);
    BB_ASSERT(copies.equal_count == BB_SUPER_COPY_COUNT);
    check_keys(scribe, sim, mem);
    check_fill(&copies.super, mem);
    check_rebuild(sim, mem);
}
