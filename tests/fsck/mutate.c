/* SPDX-License-Identifier: Apache-2.0
 * Structures of a small store changed field by field: superblock copies, journal records and their
 * items, descriptor pages and their entries, the index's entries and its row; with the digest made
 * right again or not, and for records with the chain behind them made right again or not. A
 * structure under a right digest may tell any lie, so what is asked is that nothing crashes or
 * hangs and that every refusal has its sentence; without it small.h's rules hold in full.
 * usage: fsck_mutate [COUNT [SEED]]     (2,000; BB_SEED also gives the seed)
 */
#include "small.h"

#include "bb/bits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct field {
    size_t offset, size;
};

#define FIELD(type, name)                                                                          \
    {                                                                                              \
        offsetof(struct type, name), sizeof(((struct type *)0)->name)                              \
    }

static const struct field super_fields[] = {FIELD(bb_disk_super, magic),
                                            FIELD(bb_disk_super, version),
                                            FIELD(bb_disk_super, copy),
                                            FIELD(bb_disk_super, store),
                                            FIELD(bb_disk_super, index),
                                            FIELD(bb_disk_super, offset),
                                            FIELD(bb_disk_super, generation),
                                            FIELD(bb_disk_super, must_understand),
                                            FIELD(bb_disk_super, may_ignore),
                                            FIELD(bb_disk_super, device_size),
                                            FIELD(bb_disk_super, logical_sector),
                                            FIELD(bb_disk_super, physical_sector),
                                            FIELD(bb_disk_super, journal_offset),
                                            FIELD(bb_disk_super, journal_units),
                                            FIELD(bb_disk_super, zones_offset),
                                            FIELD(bb_disk_super, zone_size),
                                            FIELD(bb_disk_super, zone_count),
                                            FIELD(bb_disk_super, open_zone_count),
                                            FIELD(bb_disk_super, epoch),
                                            FIELD(bb_disk_super, epoch_first_sequence),
                                            FIELD(bb_disk_super, state),
                                            FIELD(bb_disk_super, reserved_state),
                                            FIELD(bb_disk_super, clean_sequence),
                                            FIELD(bb_disk_super, anchor.sequence),
                                            FIELD(bb_disk_super, anchor.position),
                                            FIELD(bb_disk_super, anchor.digest),
                                            FIELD(bb_disk_super, anchor.count),
                                            FIELD(bb_disk_super, anchor.set_hash),
                                            FIELD(bb_disk_super, label),
                                            FIELD(bb_disk_super, reserved)};

static const struct field record_fields[] = {
    FIELD(bb_disk_record, magic),           FIELD(bb_disk_record, version),
    FIELD(bb_disk_record, units),           FIELD(bb_disk_record, store),
    FIELD(bb_disk_record, epoch),           FIELD(bb_disk_record, sequence),
    FIELD(bb_disk_record, position),        FIELD(bb_disk_record, durable),
    FIELD(bb_disk_record, previous),        FIELD(bb_disk_record, anchor.sequence),
    FIELD(bb_disk_record, anchor.position), FIELD(bb_disk_record, anchor.digest),
    FIELD(bb_disk_record, anchor.count),    FIELD(bb_disk_record, anchor.set_hash),
    FIELD(bb_disk_record, item_count),      FIELD(bb_disk_record, reserved)};

static const struct field item_fields[] = {
    FIELD(bb_disk_item, op),   FIELD(bb_disk_item, flags), FIELD(bb_disk_item, reserved),
    FIELD(bb_disk_item, size), FIELD(bb_disk_item, unit),  FIELD(bb_disk_item, hash)};

static const struct field page_fields[] = {
    FIELD(bb_disk_page, magic), FIELD(bb_disk_page, version),    FIELD(bb_disk_page, page),
    FIELD(bb_disk_page, store), FIELD(bb_disk_page, generation), FIELD(bb_disk_page, covered)};

static const struct field entry_fields[] = {FIELD(bb_disk_entry, hash),
                                            FIELD(bb_disk_entry, size_flags)};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct mutator {
    struct small *small;
    struct scene image;
    struct bb_random random;
    struct small_range damaged;
    bool sealed; /* something stands under a right digest, or more than one place changed */
    unsigned changes;
    char what[160];
    size_t what_len;
};

static uint64_t below(struct mutator *mutator, uint64_t bound)
{
    return bb_random_below(&mutator->random, bound);
}

__attribute__((format(printf, 2, 3))) static void say(struct mutator *mutator, const char *format,
                                                      ...)
{
    va_list arguments;
    size_t room = sizeof(mutator->what) - mutator->what_len;
    va_start(arguments, format);
    int len = vsnprintf(mutator->what + mutator->what_len, room, format, arguments);
    va_end(arguments);
    if (len > 0)
        mutator->what_len += bb_min_u64((uint64_t)len, room - 1);
}

/* One value of a field for another: near it, far from it, or of a kind that programs get wrong. */
static void change_bytes(struct mutator *mutator, uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    size_t low = size < sizeof(value) ? size : sizeof(value);
    memcpy(&value, bytes, low);
    switch (below(mutator, 7)) {
    case 0:
        bytes[below(mutator, size)] ^= (uint8_t)(1u << below(mutator, 8));
        return;
    case 1:
        bb_random_fill(&mutator->random, bytes, size);
        return;
    case 2:
        memset(bytes, below(mutator, 2) == 0 ? 0 : 0xff, size);
        return;
    case 3:
        value += 1 + below(mutator, 3);
        break;
    case 4:
        value -= 1 + below(mutator, 3);
        break;
    case 5:
        value = 1ull << below(mutator, 8 * low);
        break;
    default:
        value = below(mutator, 20000);
        break;
    }
    memcpy(bytes, &value, low);
}

static void change_field(struct mutator *mutator, void *bytes, const struct field *fields,
                         size_t count, const char *name)
{
    size_t at = below(mutator, count);
    change_bytes(mutator, (uint8_t *)bytes + fields[at].offset, fields[at].size);
    say(mutator, "; %s, field %zu", name, at);
}

static void seal(void *bytes, size_t size, size_t digest_offset)
{
    struct bb_digest digest;
    memset((uint8_t *)bytes + digest_offset, 0, sizeof(digest));
    bb_digest_of(bytes, size, &digest);
    memcpy((uint8_t *)bytes + digest_offset, &digest, sizeof(digest));
}

static void store(struct mutator *mutator, uint64_t offset, const void *bytes, size_t size,
                  bool sealed)
{
    bb_sim_poke(mutator->image.sim, offset, bytes, size);
    mutator->sealed = mutator->sealed || sealed || mutator->changes > 0;
    mutator->changes++;
    mutator->damaged =
        (struct small_range){.first = offset / BB_UNIT_SIZE, .count = size / BB_UNIT_SIZE};
    say(mutator, "%s", sealed ? ", sealed" : "");
}

static void mutate_super(struct mutator *mutator)
{
    uint64_t device_size = mutator->small->scribe->io->device_size;
    uint64_t seed = bb_random_next(&mutator->random), copies = 1 + below(mutator, 15);
    bool sealed = below(mutator, 3) > 0;
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        struct bb_disk_super disk;
        uint64_t offset = bb_layout_super_offset(device_size, copy);
        if ((copies >> (copy - 1) & 1) == 0)
            continue;
        bb_sim_peek(mutator->image.sim, offset, &disk, sizeof(disk));
        bb_random_seed(&mutator->random, seed); /* the same change in all of them */
        change_field(mutator, &disk, super_fields, COUNT_OF(super_fields), "superblock");
        if (sealed)
            seal(&disk, sizeof(disk), offsetof(struct bb_disk_super, digest));
        store(mutator, offset, &disk, sizeof(disk), sealed);
    }
}

/* A valid record at the ring unit, in `buf`. */
static bool record_at(struct mutator *mutator, uint64_t position, uint8_t *buf,
                      struct bb_record *ret_record)
{
    const struct bb_super *super = &mutator->small->scribe->super;
    uint64_t offset = super->layout.journal_offset + position * BB_UNIT_SIZE;
    bb_sim_peek(mutator->image.sim, offset, buf, BB_UNIT_SIZE);
    if (bb_record_peek(buf, ret_record) != 0 ||
        position + ret_record->units > super->layout.journal_units)
        return false;
    bb_sim_peek(mutator->image.sim, offset, buf, ret_record->units * BB_UNIT_SIZE);
    return bb_record_decode(buf, ret_record->units, &super->store, position, ret_record) == 0;
}

/* Makes the records behind right again, each in its turn. */
static void rechain(struct mutator *mutator, uint64_t position, const void *changed)
{
    static uint8_t buf[BB_RECORD_UNITS_MAX * BB_UNIT_SIZE];
    const struct bb_layout *layout = &mutator->small->scribe->super.layout;
    struct bb_digest digest = ((const struct bb_disk_record *)changed)->digest;
    struct bb_record record;
    while (position < layout->journal_units && record_at(mutator, position, buf, &record)) {
        struct bb_disk_record *disk = (struct bb_disk_record *)buf;
        disk->previous = digest;
        seal(buf, record.units * BB_UNIT_SIZE, offsetof(struct bb_disk_record, digest));
        digest = disk->digest;
        bb_sim_poke(mutator->image.sim, layout->journal_offset + position * BB_UNIT_SIZE, buf,
                    record.units * BB_UNIT_SIZE);
        position += record.units;
    }
}

static void mutate_record(struct mutator *mutator)
{
    static uint8_t buf[BB_RECORD_UNITS_MAX * BB_UNIT_SIZE];
    const struct bb_layout *layout = &mutator->small->scribe->super.layout;
    struct bb_record record;
    uint64_t position = below(mutator, 40);
    while (!record_at(mutator, position, buf, &record))
        position = position == 0 ? 39 : position - 1;
    if (record.item_count > 0 && below(mutator, 3) > 0)
        change_field(mutator,
                     buf + sizeof(struct bb_disk_record) +
                         below(mutator, record.item_count) * sizeof(struct bb_disk_item),
                     item_fields, COUNT_OF(item_fields), "item");
    else
        change_field(mutator, buf, record_fields, COUNT_OF(record_fields), "record");
    bool sealed = below(mutator, 3) > 0;
    if (sealed)
        seal(buf, record.units * BB_UNIT_SIZE, offsetof(struct bb_disk_record, digest));
    store(mutator, layout->journal_offset + position * BB_UNIT_SIZE, buf,
          record.units * BB_UNIT_SIZE, sealed);
    if (sealed && below(mutator, 2) == 0)
        rechain(mutator, position + record.units, buf);
}

static void mutate_page(struct mutator *mutator)
{
    struct bb_disk_page page;
    const struct bb_super *super = &mutator->small->scribe->super;
    uint64_t number = below(mutator, bb_layout_pages(&super->layout, super->open_zone_count));
    uint64_t offset = bb_layout_slot_offset(&super->layout, number, (unsigned)below(mutator, 2));
    bb_sim_peek(mutator->image.sim, offset, &page, sizeof(page));
    unsigned start = (unsigned)below(mutator, BB_PAGE_ENTRY_COUNT), at = start;
    if (below(mutator, 4) > 0) /* an entry in use, if there is one */
        do
            at = (at + 1) % BB_PAGE_ENTRY_COUNT;
        while (at != start && bb_le32_get(page.entries[at].size_flags) == 0);
    if (below(mutator, 3) > 0)
        change_field(mutator, &page.entries[at], entry_fields, COUNT_OF(entry_fields), "entry");
    else
        change_field(mutator, &page, page_fields, COUNT_OF(page_fields), "page");
    bool sealed = below(mutator, 3) > 0;
    if (sealed)
        seal(&page, sizeof(page), offsetof(struct bb_disk_page, digest));
    store(mutator, offset, &page, sizeof(page), sealed);
}

static void mutate_entry(struct mutator *mutator)
{
    struct bb_index_entry entry = {.unit = below(mutator, 8192), .size = 1};
    unsigned key = (unsigned)below(mutator, SCRIBE_KEYS);
    (void)scribe_lookup(mutator->image.mem, key, &entry);
    struct bb_change change = {.hash = scribe_hash(key),
                               .unit = entry.unit,
                               .size = entry.size,
                               .present = below(mutator, 4) > 0,
                               .corrupt = below(mutator, 4) == 0};
    change_bytes(mutator, (uint8_t *)&change.unit, 5);
    if (below(mutator, 2) == 0)
        change_bytes(mutator, (uint8_t *)&change.size, 3);
    memindex_tamper(mutator->image.mem, &change);
    mutator->sealed = true;
    say(mutator, "; index, key %u", key);
}

static void mutate_row(struct mutator *mutator)
{
    struct bb_index index = memindex_index(mutator->image.mem);
    struct bb_index_state row;
    if (index.ops->state(index.context, &row) != 0)
        return;
    const struct field fields[] = {
        FIELD(bb_index_state, store),           FIELD(bb_index_state, index),
        FIELD(bb_index_state, anchor.sequence), FIELD(bb_index_state, anchor.position),
        FIELD(bb_index_state, anchor.digest),   FIELD(bb_index_state, anchor.set.count),
        FIELD(bb_index_state, anchor.set.sum),  FIELD(bb_index_state, set.count),
        FIELD(bb_index_state, set.sum)};
    change_field(mutator, &row, fields, COUNT_OF(fields), "row");
    memindex_put_state(mutator->image.mem, &row);
    mutator->sealed = true;
}

static void run_case(struct small *small, uint64_t seed, uint64_t number)
{
    static struct mutator mutator;
    mutator = (struct mutator){.small = small};
    bb_random_seed(&mutator.random, seed * 1000003 + number);
    say(&mutator, "seed %llu, mutation %llu", (unsigned long long)seed, (unsigned long long)number);
    small->what = mutator.what;
    scene_init(&mutator.image, bb_sim_clone(small->scribe->sim),
               memindex_clone(small->scribe->mem));
    mutator.image.hurried = true;
    for (uint64_t left = below(&mutator, 4) == 0 ? 1 + below(&mutator, 4) : 1; left > 0; left--) {
        uint64_t dice = below(&mutator, 20);
        if (dice < 4)
            mutate_super(&mutator);
        else if (dice < 10)
            mutate_record(&mutator);
        else if (dice < 15)
            mutate_page(&mutator);
        else if (dice < 18)
            mutate_entry(&mutator);
        else
            mutate_row(&mutator);
    }
    small_judge(small, &mutator.image, &mutator.damaged, mutator.sealed);
    scene_free_clone(&mutator.image);
}

/* The canary: an unchanged structure that is sealed here has the digest that the program gave it;
 * else every mutation would be refused for its digest alone. */
static bool seals_as_the_program(const struct small *small)
{
    static uint8_t buf[2 * BB_UNIT_SIZE];
    const struct bb_layout *layout = &small->scribe->super.layout;
    const struct {
        uint64_t offset;
        size_t digest;
    } places[] = {
        {bb_layout_super_offset(layout->device_size, 1), offsetof(struct bb_disk_super, digest)},
        {layout->journal_offset, offsetof(struct bb_disk_record, digest)},
        {bb_layout_slot_offset(layout, 0, 0), offsetof(struct bb_disk_page, digest)}};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        bb_sim_peek(small->scribe->sim, places[i].offset, buf, BB_UNIT_SIZE);
        memcpy(buf + BB_UNIT_SIZE, buf, BB_UNIT_SIZE);
        seal(buf, BB_UNIT_SIZE, places[i].digest);
        if (memcmp(buf, buf + BB_UNIT_SIZE, BB_UNIT_SIZE) != 0)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct small stores[2];
    const char *env = getenv("BB_SEED");
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000;
    uint64_t seed = argc > 2      ? strtoull(argv[2], NULL, 10)
                    : env != NULL ? strtoull(env, NULL, 10)
                                  : 1;
    uint64_t violations = 0;
    printf("mutate: seed %llu\n", (unsigned long long)seed);
    for (unsigned stopped = 0; stopped < 2; stopped++)
        small_open(&stores[stopped], stopped == 1);
    if (!seals_as_the_program(&stores[0])) {
        fprintf(stderr, "the canary: digests are not those of the program\n");
        return 1;
    }
    for (uint64_t i = 0; i < count; i++) {
        small_watch(&stores[i % 2]);
        run_case(&stores[i % 2], seed, i);
    }
    for (unsigned stopped = 0; stopped < 2; stopped++) {
        const struct small *small = &stores[stopped];
        printf("mutations of a %s store: %llu, %llu opened, %llu refused, %llu rebuilt, %llu "
               "repaired, %llu with loss accepted, %llu beyond repair, %llu violations\n",
               stopped ? "stopped" : "cut", (unsigned long long)small->cases,
               (unsigned long long)small->opened, (unsigned long long)small->refused,
               (unsigned long long)small->rebuilt, (unsigned long long)small->repaired,
               (unsigned long long)small->accepted, (unsigned long long)small->left,
               (unsigned long long)small->violations);
        violations += small->violations;
        small_close(&stores[stopped]);
    }
    return violations == 0 ? 0 : 1;
}
