/* SPDX-License-Identifier: Apache-2.0
 * See scribe.h. Naive on purpose: whole pages and items are looked through each time.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/superblock.h"

#include <stdlib.h>

#define DEVICE_MIB 32 /* without the ring */

static void *must(void *memory)
{
    BB_ASSERT(memory != NULL);
    return memory;
}

static void *buffer_new(size_t size)
{
    return must(aligned_alloc(BB_UNIT_SIZE, bb_align_up(size, BB_UNIT_SIZE)));
}

static void expect(const struct scribe *scribe, int error)
{
    BB_ASSERT(error == 0 || bb_sim_is_dead(scribe->sim));
}

static bool dead(const struct scribe *scribe)
{
    return bb_sim_is_dead(scribe->sim);
}

uint32_t scribe_size(unsigned key)
{
    static const uint32_t sizes[] = {4096, 0, 1, 5000, 8192, 20000, 4095, 70000};
    return sizes[key % 8] + (key < 8 ? 0 : key);
}

void scribe_bytes(unsigned key, uint8_t *ret_bytes)
{
    struct bb_random random;
    bb_random_seed(&random, 1000 + key);
    bb_random_fill(&random, ret_bytes, scribe_size(key));
}

/* Padded with zeros; returns the size. */
static uint32_t contents(unsigned key, uint8_t *ret_bytes)
{
    uint32_t size = scribe_size(key);
    memset(ret_bytes, 0, bb_units_of(size) * (size_t)BB_UNIT_SIZE);
    scribe_bytes(key, ret_bytes);
    return size;
}

struct bb_hash scribe_hash(unsigned key)
{
    static struct bb_hash hashes[SCRIBE_KEYS];
    static bool made[SCRIBE_KEYS];
    BB_ASSERT(key < SCRIBE_KEYS);
    if (!made[key]) {
        uint8_t *bytes = buffer_new(BB_BLOCK_SIZE_MAX);
        bb_hash_of(bytes, contents(key, bytes), &hashes[key]);
        made[key] = true;
        free(bytes);
    }
    return hashes[key];
}

/* ---- format ---- */

static void append_record(struct scribe *scribe, uint32_t item_count, uint64_t position)
{
    uint8_t *buf = buffer_new(BB_RECORD_UNITS_MAX * BB_UNIT_SIZE);
    for (uint32_t i = 0; i < item_count; i++)
        bb_item_encode(&scribe->items[scribe->window_first + i].item, buf, i);
    bool first = scribe->last.units == 0;
    struct bb_record record = {.store = scribe->super.store,
                               .epoch = scribe->super.epoch,
                               .sequence = first ? 0 : scribe->last.sequence + 1,
                               .position = position,
                               .durable = scribe->durable,
                               .previous = scribe->last.digest,
                               .anchor = scribe->anchor};
    bb_record_encode(&record, item_count, buf);
    expect(scribe, bb_io_write(scribe->io, BB_IO_JOURNAL,
                               scribe->super.layout.journal_offset + position * BB_UNIT_SIZE, buf,
                               record.units * BB_UNIT_SIZE));
    scribe->last = (struct bb_ring_position){.sequence = record.sequence,
                                             .position = position,
                                             .units = record.units,
                                             .digest = record.digest};
    scribe->carried = scribe->anchor;
    if (!first) {
        BB_ASSERT(scribe->past_count < SCRIBE_PAST_MAX);
        scribe->past[scribe->past_count++] =
            (struct scribe_past){.at = scribe->last, .set = scribe->set};
    }
    free(buf);
}

static void open_zones(struct scribe *scribe, uint32_t count)
{
    struct bb_disk_page *page = buffer_new(sizeof(*page));
    uint64_t pages = bb_layout_pages(&scribe->super.layout, count);
    for (uint64_t number = 0; number < pages; number++) {
        for (unsigned slot = 0; slot < 2; slot++) {
            struct bb_page_header header = {.page = number, .generation = 1 + slot};
            bb_page_init(page);
            bb_page_seal(page, &scribe->super.store, &header);
            expect(scribe, bb_io_write(scribe->io, BB_IO_DESCRIPTOR,
                                       bb_layout_slot_offset(&scribe->super.layout, number, slot),
                                       page, BB_UNIT_SIZE));
        }
    }
    expect(scribe, bb_io_flush(scribe->io));
    scribe->super.open_zone_count = count;
    free(page);
}

struct scribe *scribe_new_with_ring(uint64_t seed, uint32_t slice_max, uint64_t ring_mib)
{
    uint64_t device_size = (DEVICE_MIB + ring_mib) * BB_MIB;
    struct scribe *scribe = must(calloc(1, sizeof(*scribe)));
    struct bb_sim_config sim_config = {.size = device_size, .seed = seed, .in_order = true};
    struct memindex_config mem_config = {.slice_max = slice_max, .seed = seed};
    scribe->sim = must(bb_sim_open(&sim_config));
    scribe->io = bb_sim_io(scribe->sim);
    scribe->mem = must(memindex_new(&mem_config));
    struct bb_super *super = &scribe->super;
    int error = bb_layout_make(device_size, ring_mib * BB_MIB, BB_ZONE_SIZE_MIN, &super->layout);
    BB_ASSERT(device_size / BB_UNIT_SIZE <= sizeof(scribe->used));
    BB_ASSERT(error == 0);
    struct bb_random random;
    bb_random_seed(&random, seed);
    bb_random_fill(&random, &super->store, sizeof(super->store));
    bb_random_fill(&random, &super->index, sizeof(super->index));
    super->logical_sector = scribe->io->logical_sector;
    super->physical_sector = scribe->io->physical_sector;
    super->epoch = 1;
    append_record(scribe, 0, 0);
    scribe->anchor = (struct bb_anchor){.digest = scribe->last.digest};
    scribe->carried = scribe->anchor;
    scribe->tail = scribe->anchor;
    super->anchor = scribe->anchor;
    super->epoch_first_sequence = 1;
    open_zones(scribe, 2);
    struct bb_index_state state = {.store = super->store,
                                   .index = super->index,
                                   .anchor = scribe->anchor,
                                   .epoch = super->epoch};
    memindex_put_state(scribe->mem, &state);
    error = bb_super_write(scribe->io, super);
    BB_ASSERT(error == 0);
    for (unsigned key = 0; key < SCRIBE_KEYS; key++)
        scribe->allowed[key] = 1u << SCRIBE_ABSENT;
    return scribe;
}

struct scribe *scribe_new(uint64_t seed, uint32_t slice_max)
{
    return scribe_new_with_ring(seed, slice_max, 1);
}

void scribe_free(struct scribe *scribe)
{
    bb_sim_close(scribe->sim);
    memindex_free(scribe->mem);
    free(scribe);
}

/* ---- operations ---- */

static bool is_free(const struct scribe *scribe, uint64_t unit, uint32_t units)
{
    if (!bb_layout_extent_ok(&scribe->super.layout, scribe->super.open_zone_count, unit, units))
        return false;
    for (uint32_t i = 0; i < units; i++)
        if (scribe->used[unit + i])
            return false;
    return true;
}

uint64_t scribe_place(struct scribe *scribe, uint32_t units, struct bb_random *random)
{
    uint64_t total = scribe->io->device_size / BB_UNIT_SIZE;
    uint64_t start = bb_random_below(random, total);
    for (uint64_t i = 0; i < total; i++)
        if (is_free(scribe, (start + i) % total, units))
            return (start + i) % total;
    BB_ASSERT(false);
    return 0;
}

void scribe_raw(struct scribe *scribe, const struct bb_item *item)
{
    BB_ASSERT(scribe->item_count < SCRIBE_ITEMS_MAX);
    scribe->items[scribe->item_count++] = (struct scribe_item){.key = SCRIBE_KEYS, .item = *item};
}

static void add_item(struct scribe *scribe, unsigned key, enum bb_item_op op, uint64_t unit,
                     enum scribe_state after)
{
    struct bb_item item = {
        .op = op, .size = scribe_size(key), .unit = unit, .hash = scribe_hash(key)};
    scribe_raw(scribe, &item);
    scribe->items[scribe->item_count - 1].key = key;
    scribe->items[scribe->item_count - 1].after = after;
    scribe->allowed[key] |= 1u << after;
    scribe->state[key] = after;
    if (op == BB_ITEM_PUT)
        bb_set_add(&scribe->set, &item.hash, unit, item.size);
    else if (op == BB_ITEM_DELETE)
        bb_set_remove(&scribe->set, &item.hash, unit, item.size);
}

static void write_data(struct scribe *scribe, unsigned key, uint64_t unit)
{
    uint32_t units = bb_units_of(scribe_size(key));
    uint8_t *bytes = buffer_new(units * BB_UNIT_SIZE);
    (void)contents(key, bytes);
    expect(scribe,
           bb_io_write(scribe->io, BB_IO_DATA, unit * BB_UNIT_SIZE, bytes, units * BB_UNIT_SIZE));
    free(bytes);
}

static void take(struct scribe *scribe, unsigned key, uint64_t unit, bool data)
{
    uint32_t units = bb_units_of(scribe_size(key));
    BB_ASSERT(is_free(scribe, unit, units));
    if (data)
        write_data(scribe, key, unit);
    if (dead(scribe))
        return;
    for (uint32_t i = 0; i < units; i++)
        scribe->used[unit + i] = true;
    add_item(scribe, key, BB_ITEM_PUT, unit, SCRIBE_PRESENT);
    scribe->unit[key] = unit;
}

void scribe_put(struct scribe *scribe, unsigned key, uint64_t unit, bool data)
{
    BB_ASSERT(scribe->state[key] == SCRIBE_ABSENT);
    if (!dead(scribe))
        take(scribe, key, unit, data);
}

void scribe_delete(struct scribe *scribe, unsigned key)
{
    BB_ASSERT(scribe->state[key] != SCRIBE_ABSENT);
    if (!dead(scribe))
        add_item(scribe, key, BB_ITEM_DELETE, scribe->unit[key], SCRIBE_ABSENT);
}

void scribe_mark(struct scribe *scribe, unsigned key)
{
    BB_ASSERT(scribe->state[key] == SCRIBE_PRESENT);
    if (!dead(scribe))
        add_item(scribe, key, BB_ITEM_MARK, scribe->unit[key], SCRIBE_MARKED);
}

void scribe_heal(struct scribe *scribe, unsigned key, uint64_t unit, bool data)
{
    BB_ASSERT(scribe->state[key] == SCRIBE_MARKED);
    if (dead(scribe))
        return;
    unsigned allowed = scribe->allowed[key];
    if (data)
        write_data(scribe, key, unit);
    if (dead(scribe))
        return;
    add_item(scribe, key, BB_ITEM_DELETE, scribe->unit[key], SCRIBE_ABSENT);
    scribe->allowed[key] = allowed; /* the pair is one: never absent */
    take(scribe, key, unit, false);
}

/* ---- journal ---- */

/* Units [tail, head) are kept. */
static bool ring_place(const struct scribe *scribe, uint32_t units, uint64_t *ret_position)
{
    uint64_t size = scribe->super.layout.journal_units;
    uint64_t head = scribe->last.position + scribe->last.units, tail = scribe->tail.position;
    if (head > tail) {
        *ret_position = head + units <= size ? head : 0;
        return head + units <= size || units <= tail;
    }
    *ret_position = head;
    return head + units <= tail;
}

bool scribe_record(struct scribe *scribe)
{
    uint32_t count = scribe->item_count - scribe->window_first;
    uint64_t position;
    if (dead(scribe))
        return true;
    if (!ring_place(scribe, bb_record_units(count), &position))
        return false;
    append_record(scribe, count, position);
    for (unsigned i = scribe->window_first; i < scribe->item_count; i++)
        scribe->items[i].sequence = scribe->last.sequence;
    scribe->window_first = scribe->item_count;
    return true;
}

void scribe_flush(struct scribe *scribe)
{
    uint64_t from = scribe->durable;
    if (dead(scribe))
        return;
    expect(scribe, bb_io_flush(scribe->io));
    if (dead(scribe))
        return;
    scribe->durable = scribe->last.sequence;
    for (unsigned i = 0; i < scribe->window_first; i++) {
        const struct scribe_item *item = &scribe->items[i];
        if (item->sequence <= from || item->key == SCRIBE_KEYS)
            continue;
        scribe->acked[item->key] = item->after;
        if (item->item.op == BB_ITEM_DELETE)
            memset(&scribe->used[item->item.unit], 0, bb_units_of(item->item.size));
    }
    for (unsigned key = 0; key < SCRIBE_KEYS; key++)
        scribe->allowed[key] = 1u << scribe->acked[key];
    for (unsigned i = scribe->window_first; i < scribe->item_count; i++)
        if (scribe->items[i].key < SCRIBE_KEYS)
            scribe->allowed[scribe->items[i].key] |= 1u << scribe->items[i].after;
    scribe->tail = scribe->carried;
}

void scribe_commit(struct scribe *scribe)
{
    bool written = scribe_record(scribe);
    BB_ASSERT(written);
    scribe_flush(scribe);
}

/* ---- checkpoint ---- */

static bool page_read(struct scribe *scribe, uint64_t number, unsigned slot,
                      struct bb_disk_page *page, uint64_t *ret_generation)
{
    struct bb_page_header header;
    expect(scribe, bb_io_read(scribe->io, BB_IO_DESCRIPTOR,
                              bb_layout_slot_offset(&scribe->super.layout, number, slot), page,
                              BB_UNIT_SIZE));
    if (dead(scribe) || bb_page_check(page, &scribe->super.store, number, &header) != 0)
        return false;
    *ret_generation = header.generation;
    return true;
}

static void write_page(struct scribe *scribe, uint64_t number)
{
    struct bb_disk_page *pages = buffer_new(2 * sizeof(*pages));
    uint64_t generation[2] = {0, 0};
    bool good[2];
    for (unsigned slot = 0; slot < 2; slot++)
        good[slot] = page_read(scribe, number, slot, &pages[slot], &generation[slot]);
    if (dead(scribe)) {
        free(pages);
        return;
    }
    BB_ASSERT(good[0] || good[1]);
    unsigned newest = generation[0] > generation[1] ? 0 : 1;
    for (unsigned i = 0; i < scribe->window_first; i++) {
        const struct bb_item *item = &scribe->items[i].item;
        uint32_t at;
        if (scribe->items[i].sequence > scribe->target ||
            bb_layout_page_of(&scribe->super.layout, item->unit, &at) != number)
            continue;
        struct bb_entry entry = {
            .hash = item->hash, .size = item->size, .corrupt = item->op == BB_ITEM_MARK};
        if (item->op == BB_ITEM_DELETE)
            bb_entry_clear(&pages[newest], at);
        else
            bb_entry_set(&pages[newest], at, &entry);
    }
    struct bb_page_header header = {
        .page = number, .generation = generation[newest] + 1, .covered = scribe->target};
    bb_page_seal(&pages[newest], &scribe->super.store, &header);
    expect(scribe, bb_io_write(scribe->io, BB_IO_DESCRIPTOR,
                               bb_layout_slot_offset(&scribe->super.layout, number, 1 - newest),
                               &pages[newest], BB_UNIT_SIZE));
    free(pages);
}

void scribe_checkpoint_pages(struct scribe *scribe, bool flush)
{
    uint64_t pages = bb_layout_pages(&scribe->super.layout, scribe->super.open_zone_count);
    bool again = scribe->checkpointing;
    if (!again) {
        scribe->checkpointing = true;
        scribe->target = scribe->durable;
    }
    bool *mentioned = must(calloc(pages, sizeof(bool)));
    for (unsigned i = 0; i < scribe->window_first; i++) {
        uint32_t at;
        if (scribe->items[i].sequence <= scribe->target)
            mentioned[bb_layout_page_of(&scribe->super.layout, scribe->items[i].item.unit, &at)] =
                true;
    }
    for (uint64_t number = 0; number < pages && !again && !dead(scribe); number++)
        if (mentioned[number])
            write_page(scribe, number);
    free(mentioned);
    /* D stays: not a flush of the journal's */
    if (flush && !dead(scribe))
        expect(scribe, bb_io_flush(scribe->io));
}

static int compare_changes(const void *a, const void *b)
{
    return bb_hash_compare(&((const struct bb_change *)a)->hash,
                           &((const struct bb_change *)b)->hash);
}

/* Final state per key of the items up to the target. */
static uint32_t final_changes(const struct scribe *scribe, struct bb_change *changes)
{
    uint32_t count = 0;
    for (unsigned key = 0; key < SCRIBE_KEYS; key++) {
        const struct scribe_item *last = NULL;
        for (unsigned i = 0; i < scribe->window_first; i++)
            if (scribe->items[i].key == key && scribe->items[i].sequence <= scribe->target)
                last = &scribe->items[i];
        if (last != NULL)
            changes[count++] = (struct bb_change){.hash = last->item.hash,
                                                  .unit = last->item.unit,
                                                  .size = last->item.size,
                                                  .present = last->after != SCRIBE_ABSENT,
                                                  .corrupt = last->after == SCRIBE_MARKED};
    }
    qsort(changes, count, sizeof(*changes), compare_changes);
    return count;
}

/* At the record where the checkpoint ends. */
static struct bb_anchor anchor_at_target(const struct scribe *scribe)
{
    for (unsigned i = 0; i < scribe->past_count; i++) {
        const struct scribe_past *past = &scribe->past[i];
        if (past->at.sequence == scribe->target)
            return (struct bb_anchor){.sequence = past->at.sequence,
                                      .position = past->at.position,
                                      .digest = past->at.digest,
                                      .set = past->set};
    }
    BB_ASSERT(scribe->anchor.sequence == scribe->target);
    return scribe->anchor;
}

/* Forgets what the checkpoint covers. */
static void drop_covered(struct scribe *scribe)
{
    unsigned covered = 0;
    while (covered < scribe->window_first &&
           scribe->items[covered].sequence <= scribe->anchor.sequence)
        covered++;
    scribe->item_count -= covered;
    scribe->window_first -= covered;
    memmove(scribe->items, &scribe->items[covered], scribe->item_count * sizeof(*scribe->items));
    covered = 0;
    while (covered < scribe->past_count &&
           scribe->past[covered].at.sequence <= scribe->anchor.sequence)
        covered++;
    scribe->past_count -= covered;
    memmove(scribe->past, &scribe->past[covered], scribe->past_count * sizeof(*scribe->past));
}

void scribe_checkpoint_index(struct scribe *scribe, unsigned slices)
{
    struct bb_change changes[SCRIBE_KEYS];
    struct bb_index index = memindex_index(scribe->mem);
    if (dead(scribe))
        return;
    uint32_t count = final_changes(scribe, changes);
    struct bb_anchor anchor = anchor_at_target(scribe);
    uint32_t done = 0;
    for (unsigned slice = 0; slice < slices; slice++) {
        uint32_t here = (uint32_t)bb_min_u64(count - done, index.slice_max);
        bool last = done + here == count;
        struct bb_index_fold fold = {
            .changes = &changes[done], .count = here, .anchor = last ? &anchor : NULL};
        struct bb_set set;
        uint64_t room;
        int error = index.ops->fold(index.context, &fold, &set, &room);
        BB_ASSERT(error == 0);
        done += here;
        if (!last)
            continue;
        BB_ASSERT(bb_set_equal(&set, &anchor.set));
        scribe->anchor = anchor;
        scribe->checkpointing = false;
        drop_covered(scribe);
        return;
    }
}

void scribe_checkpoint(struct scribe *scribe)
{
    scribe_checkpoint_pages(scribe, true);
    scribe_checkpoint_index(scribe, UINT32_MAX);
    (void)scribe_record(scribe);
}

void scribe_stop(struct scribe *scribe)
{
    bool fitted = scribe_record(scribe);
    scribe_flush(scribe);
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
    if (dead(scribe))
        return;
    BB_ASSERT(fitted);
    scribe->super.clean = true;
    scribe->super.clean_sequence = scribe->last.sequence;
    expect(scribe, bb_super_write(scribe->io, &scribe->super));
}

void scribe_cut(struct scribe *scribe, struct bb_random *random)
{
    bb_sim_power_cut(scribe->sim, bb_sim_choose_random, random);
}
