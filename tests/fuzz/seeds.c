/* SPDX-License-Identifier: Apache-2.0
 * Writes or checks the seeds of the codecs' corpora.
 *
 *   seeds_make CORPUS           writes them
 *   seeds_make --check CORPUS   exit 1 if one is missing or other than the encoders make it now:
 *                               after a change of format the corpus would test refusals only
 *
 * Other files of a corpus, those that the fuzzer found, are left alone. */
#include "seeds.h"

#include "bb/codec.h"
#include "bb/indexcodec.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *corpus;
static bool check;
static unsigned count, wrong;

void seed_put(struct seed *seed, const void *bytes, size_t size)
{
    BB_ASSERT(size <= sizeof(seed->bytes) - seed->size);
    if (size > 0)
        memcpy(seed->bytes + seed->size, bytes, size);
    seed->size += size;
}

void seed_number(struct seed *seed, uint64_t value, size_t size)
{
    BB_ASSERT(size <= sizeof(value));
    seed_put(seed, &value, size);
}

void seed_run(void *ret, size_t size, unsigned start)
{
    uint8_t *bytes = ret;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(start + i);
}

static bool same_as_file(const struct seed *seed, const char *path)
{
    static uint8_t bytes[sizeof(seed->bytes) + 1];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    return size == seed->size && memcmp(bytes, seed->bytes, size) == 0;
}

static void write_file(const struct seed *seed, const char *path)
{
    FILE *file = fopen(path, "we");
    bool good = file != NULL && fwrite(seed->bytes, 1, seed->size, file) == seed->size;
    if (file == NULL || fclose(file) != 0 || !good) {
        perror(path);
        exit(EXIT_FAILURE);
    }
}

void seed_end(struct seed *seed, const char *target, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", corpus, target);
    if (!check)
        (void)mkdir(path, 0777);
    (void)snprintf(path, sizeof(path), "%s/%s/%s", corpus, target, name);
    if (!check)
        write_file(seed, path);
    else if (!same_as_file(seed, path) && ++wrong > 0)
        (void)fprintf(stderr, "%s: not what the encoders make; run seeds_make\n", path);
    count++;
    seed->size = 0;
}

/* ---- Superblock ---- */

#define SUPER_BODY offsetof(struct bb_disk_super, shorts)

enum { COPY_BLANK, COPY_BODY, COPY_SAME, COPY_UNREADABLE };
enum {
    COPY_SEAL = 4,
    COPY_PLACE = 8,
    COPY_LATER = 16,
    COPY_POKE = 32,
    COPY_BROKEN = 64,
    COPY_SHORTS = 128
};
#define COPY_WHOLE (COPY_SEAL | COPY_PLACE)

static struct bb_super sample_super(uint64_t device_size, uint64_t generation)
{
    struct bb_super super = {
        .generation = generation,
        .may_ignore = 0x8000000000000001,
        .logical_sector = 512,
        .physical_sector = 4096,
        .open_zone_count = 1,
        .epoch = 3,
        .epoch_first_sequence = 700,
        .anchor = {.sequence = 699, .position = 17, .set.count = 12345},
        .label = "seed",
    };
    seed_run(&super.store, sizeof(super.store), 0xa0);
    seed_run(&super.index, sizeof(super.index), 0xb0);
    seed_run(&super.anchor.digest, sizeof(super.anchor.digest), 0x10);
    seed_run(&super.anchor.set.sum, sizeof(super.anchor.set.sum), 0x20);
    BB_ASSERT(bb_layout_make(device_size, 1 << 20, 4 << 20, &super.layout) == 0);
    return super;
}

static void put_body(struct seed *seed, const struct bb_super *super, unsigned copy, unsigned kind)
{
    struct bb_disk_super disk;
    bb_super_encode(super, copy, &disk);
    seed_number(seed, COPY_BODY | kind, 1);
    seed_put(seed, &disk, SUPER_BODY);
}

/* With COPY_POKE the lowest bit of the byte at `poke` changes. */
static void super_seed_poked(const char *name, const struct bb_super *super,
                             const unsigned kinds[4], size_t poke, unsigned cut_at)
{
    struct seed seed = {.size = 0};
    seed_number(&seed, super->layout.device_size, 8);
    seed_number(&seed, super->logical_sector, 4);
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        if ((kinds[i] & 3) == COPY_BODY)
            put_body(&seed, super, i + 1, kinds[i] & ~3u);
        else
            seed_number(&seed, kinds[i], 1);
        if ((kinds[i] & COPY_POKE) != 0) {
            seed_number(&seed, poke, 2);
            seed_number(&seed, 1, 1);
        }
    }
    seed_number(&seed, cut_at, 1);
    seed_end(&seed, "super", name);
}

static void super_seed(const char *name, const struct bb_super *super, const unsigned kinds[4])
{
    super_seed_poked(name, super, kinds, 0, 0);
}

/* Four equal copies with one field that cannot be, behind a valid digest. */
static void super_field(const char *name, size_t offset, size_t size, uint64_t value)
{
    struct seed seed = {.size = 0};
    struct bb_super super = sample_super(64 << 20, 5);
    struct bb_disk_super disk;
    bb_super_encode(&super, 1, &disk);
    memcpy((uint8_t *)&disk + offset, &value, size);
    seed_number(&seed, super.layout.device_size, 8);
    seed_number(&seed, super.logical_sector, 4);
    seed_number(&seed, COPY_BODY | COPY_SEAL, 1);
    seed_put(&seed, &disk, SUPER_BODY);
    for (unsigned i = 1; i < BB_SUPER_COPY_COUNT; i++)
        seed_number(&seed, COPY_SAME | COPY_WHOLE, 1);
    seed_end(&seed, "super", name);
}

/* The device is larger than the store, which has grown behind short zones; a later head copy says
 * that it has grown once more. */
static void super_grown(void)
{
    struct seed seed = {.size = 0};
    struct bb_super super = sample_super(40 << 20, 5);
    struct bb_disk_super disk;
    const struct bb_short_zone shorts[2] = {{0, 5}, {2, 4}};
    BB_ASSERT(bb_layout_make_grown(60 << 20, 1 << 20, 8 << 20, shorts, 2, &super.layout) == 0);
    super.must_understand = BB_SUPER_SHORT_ZONES;
    for (unsigned larger = 0; larger < 2; larger++) {
        const unsigned kinds[2][4] = {{COPY_SAME, COPY_SAME, COPY_SAME, COPY_SAME},
                                      {COPY_SAME, COPY_SAME, COPY_BLANK, COPY_BLANK}};
        bb_super_encode(&super, 1, &disk);
        seed_number(&seed, super.layout.device_size + larger * (4 << 20), 8);
        seed_number(&seed, super.logical_sector, 4);
        seed_number(&seed, COPY_BODY | COPY_SEAL | COPY_SHORTS, 1);
        seed_put(&seed, &disk, SUPER_BODY + 16);
        for (unsigned i = 1; i < BB_SUPER_COPY_COUNT; i++)
            seed_number(&seed, kinds[larger][i] | COPY_WHOLE, 1);
        seed_end(&seed, "super", larger == 0 ? "short-zones" : "larger-device");
    }
    struct bb_super next = super;
    BB_ASSERT(bb_layout_grow(&super.layout, 1, 80 << 20, &next.layout) == 0);
    next.generation++;
    seed_number(&seed, 80 << 20, 8);
    seed_number(&seed, super.logical_sector, 4);
    for (unsigned i = 0; i < 2; i++) {
        bb_super_encode(i == 0 ? &next : &super, i + 1, &disk);
        seed_number(&seed, COPY_BODY | COPY_SHORTS, 1);
        seed_put(&seed, &disk, SUPER_BODY + 16);
    }
    bb_super_encode(&next, 3, &disk);
    seed_number(&seed, COPY_BODY | COPY_SHORTS, 1);
    seed_put(&seed, &disk, SUPER_BODY + 16);
    seed_number(&seed, COPY_SAME | COPY_WHOLE, 1);
    seed_end(&seed, "super", "cut-growth");
}

static void super_fields(void)
{
    super_field("version", offsetof(struct bb_disk_super, version), 4, 2);
    super_field("feature", offsetof(struct bb_disk_super, must_understand), 8, 2);
    super_field("sector", offsetof(struct bb_disk_super, logical_sector), 4, 8192);
    super_field("ring", offsetof(struct bb_disk_super, journal_units), 8, 255);
    super_field("zone-size", offsetof(struct bb_disk_super, zone_size), 8, 5 << 20);
    super_field("open-zones", offsetof(struct bb_disk_super, open_zone_count), 4, 99);
    super_field("epoch-zero", offsetof(struct bb_disk_super, epoch), 8, 0);
    super_field("last-generation", offsetof(struct bb_disk_super, generation), 8, BB_COUNTER_MAX);
    super_field("mark-left-behind", offsetof(struct bb_disk_super, clean_sequence), 8, 700);
    super_field("label-gap", offsetof(struct bb_disk_super, label) + 20, 1, 'x');
}

static void super_seeds(void)
{
    const unsigned whole = COPY_SAME | COPY_WHOLE, later = whole | COPY_LATER;
    const struct bb_super super = sample_super(64 << 20, 5);
    struct bb_super other = super;
    super_seed("four-equal", &super, (unsigned[]){COPY_BODY, whole, whole, whole});
    super_seed("bodies", &super, (unsigned[]){COPY_BODY, COPY_BODY, COPY_BODY, COPY_BODY});
    super_seed("torn-first-pair", &super,
               (unsigned[]){COPY_BODY | COPY_WHOLE | COPY_LATER, whole, whole, whole});
    super_seed("torn-second-pair", &super, (unsigned[]){COPY_BODY, whole, later, later});
    super_seed("one-unreadable", &super, (unsigned[]){COPY_UNREADABLE, COPY_BODY, whole, whole});
    super_seed("two-unreadable", &super,
               (unsigned[]){COPY_BODY, COPY_UNREADABLE, COPY_UNREADABLE, whole});
    super_seed("one-left", &super,
               (unsigned[]){COPY_BLANK, COPY_BLANK, COPY_BODY, COPY_UNREADABLE});
    super_seed("blank", &super, (unsigned[]){COPY_BLANK, COPY_BLANK, COPY_BLANK, COPY_BLANK});
    super_seed("head-only", &super, (unsigned[]){COPY_BODY, whole, COPY_BLANK, COPY_BLANK});
    super_seed_poked("reserved-byte", &super,
                     (unsigned[]){COPY_BODY, whole, whole, whole | COPY_POKE}, BB_UNIT_SIZE - 1, 0);
    super_seed_poked("one-field-differs", &super,
                     (unsigned[]){COPY_BODY, whole, whole, whole | COPY_POKE},
                     offsetof(struct bb_disk_super, epoch), 0);
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        char name[] = "update-cut-at-0";
        name[sizeof(name) - 2] = (char)('0' + copy);
        super_seed_poked(name, &super, (unsigned[]){COPY_BODY, whole, whole, whole}, 0, copy);
    }
    super_seed("heal-fails", &super,
               (unsigned[]){COPY_BODY, whole, COPY_BLANK, COPY_UNREADABLE | COPY_BROKEN});
    other = sample_super(64 << 20, 1);
    super_seed("cut-format", &other, (unsigned[]){COPY_BODY, COPY_BLANK, COPY_BLANK, COPY_BLANK});
    other.clean = true;
    other.clean_sequence = 900;
    memset(other.label, 'L', sizeof(other.label) - 1);
    super_seed("clean", &other, (unsigned[]){COPY_BODY, whole, whole, whole});
    other = sample_super((33ull << 30) + 12345, 77);
    other.logical_sector = 4096;
    BB_ASSERT(bb_layout_make((33ull << 30) + 12345, BB_JOURNAL_SIZE_MIN, BB_ZONE_SIZE_DEFAULT,
                             &other.layout) == 0);
    super_seed("large", &other, (unsigned[]){COPY_BODY, whole, whole, whole});
}

/* ---- Journal records ---- */

enum { RECORD_SEAL = 1, RECORD_FIT = 2, RECORD_CYCLE = 4 };

static struct bb_record sample_record(void)
{
    struct bb_record record = {
        .epoch = 3,
        .sequence = 720,
        .position = 0x77,
        .durable = 719,
        .anchor = {.sequence = 699, .position = 17, .set.count = 12345},
    };
    seed_run(&record.store, sizeof(record.store), 0xa0);
    seed_run(&record.previous, sizeof(record.previous), 0x30);
    seed_run(&record.anchor.digest, sizeof(record.anchor.digest), 0x10);
    return record;
}

/* A record of item_count items of which `given` stand in the seed. */
static void record_seed(const char *name, unsigned flags, uint32_t item_count, uint32_t given)
{
    static uint8_t buf[BB_RECORD_UNITS_MAX * BB_UNIT_SIZE];
    struct bb_record record = sample_record();
    struct seed seed = {.size = 0};
    for (uint32_t i = 0; i < item_count; i++) {
        struct bb_item item = {
            .op = (enum bb_item_op)(1 + i % given % 3),
            .size = i % given * 4097,
            .unit = 0x1000 + i % given * 2,
        };
        seed_run(&item.hash, sizeof(item.hash), i % given);
        bb_item_encode(&item, buf, i);
    }
    bb_record_encode(&record, item_count, buf);
    seed_number(&seed, flags, 1);
    seed_put(&seed, buf, sizeof(struct bb_disk_record) + given * sizeof(struct bb_disk_item));
    seed_end(&seed, "record", name);
}

static void record_field(const char *name, size_t offset, uint8_t flip)
{
    uint8_t buf[BB_UNIT_SIZE];
    struct bb_record record = sample_record();
    struct bb_item item = {.op = BB_ITEM_PUT, .size = 4096, .unit = 0x1000};
    struct seed seed = {.size = 0};
    bb_item_encode(&item, buf, 0);
    bb_record_encode(&record, 1, buf);
    buf[offset] ^= flip;
    seed_number(&seed, RECORD_SEAL, 1);
    seed_put(&seed, buf, sizeof(struct bb_disk_record) + sizeof(item));
    seed_end(&seed, "record", name);
}

static void record_seeds(void)
{
    const size_t item = sizeof(struct bb_disk_record);
    record_seed("no-items", 0, 0, 0);
    record_seed("one-item", 0, 1, 1);
    record_seed("three-operations", 0, 3, 3);
    record_seed("first-unit-full", RECORD_CYCLE, 82, 2);
    record_seed("two-units", RECORD_CYCLE, 83, 2);
    record_seed("sixteen-units", RECORD_CYCLE, BB_RECORD_ITEMS_MAX, 3);
    record_seed("fifteen-units", RECORD_SEAL | RECORD_FIT | RECORD_CYCLE, 1200, 5);
    record_seed("wrong-digest", 0, 83, 2);
    record_field("magic", 0, 1);
    record_field("version", offsetof(struct bb_disk_record, version), 2);
    record_field("length", offsetof(struct bb_disk_record, units), 3);
    record_field("epoch-zero", offsetof(struct bb_disk_record, epoch), 3);
    record_field("durable-above-itself", offsetof(struct bb_disk_record, durable) + 2, 1);
    record_field("anchor-above-itself", offsetof(struct bb_disk_record, anchor) + 2, 1);
    record_field("count", offsetof(struct bb_disk_record, item_count), 3);
    record_field("reserved", offsetof(struct bb_disk_record, reserved), 1);
    record_field("epoch-too-large", offsetof(struct bb_disk_record, epoch) + 7, 0x80);
    record_field("sequence-too-large", offsetof(struct bb_disk_record, sequence) + 7, 0x80);
    record_field("item-operation", item, 5);
    record_field("item-flags", item + 1, 1);
    record_field("item-size", item + 7, 1);
}

/* ---- Descriptor pages ---- */

enum { PAGE_SEAL = 1 };

static void page_seed(const char *name, unsigned flags, uint32_t entry_count, uint32_t flip)
{
    struct bb_disk_page page;
    struct bb_uuid store;
    struct bb_page_header header = {.page = 0x1234, .generation = 9, .covered = 720};
    struct seed seed = {.size = 0};
    seed_run(&store, sizeof(store), 0xa0);
    bb_page_init(&page);
    for (uint32_t i = 0; i < entry_count; i++) {
        struct bb_entry entry = {.size = i * 9362, .corrupt = i % 5 == 4};
        seed_run(&entry.hash, sizeof(entry.hash), i);
        bb_entry_set(&page, i, &entry);
    }
    bb_page_seal(&page, &store, &header);
    seed_number(&seed, flags, 1);
    seed_put(&seed, &page, offsetof(struct bb_disk_page, entries));
    for (uint32_t i = 0; i < entry_count; i++) {
        uint32_t size_flags = bb_le32_get(page.entries[i].size_flags) ^ (i == 0 ? flip : 0);
        page.entries[i].size_flags = bb_le32_make(size_flags);
        seed_number(&seed, i, 1);
        seed_put(&seed, &page.entries[i], sizeof(page.entries[i]));
    }
    seed_end(&seed, "page", name);
}

static void page_field(const char *name, size_t offset, uint8_t flip)
{
    struct bb_disk_page page;
    struct bb_uuid store;
    struct bb_page_header header = {.page = 7, .generation = 1, .covered = 2};
    struct seed seed = {.size = 0};
    seed_run(&store, sizeof(store), 0xa0);
    bb_page_init(&page);
    bb_page_seal(&page, &store, &header);
    ((uint8_t *)&page)[offset] ^= flip;
    seed_number(&seed, PAGE_SEAL, 1);
    seed_put(&seed, &page, offsetof(struct bb_disk_page, entries));
    seed_end(&seed, "page", name);
}

static void page_seeds(void)
{
    page_seed("empty", 0, 0, 0);
    page_seed("one-entry", 0, 1, 0);
    page_seed("ten-entries", 0, 10, 0);
    page_seed("all-entries", 0, BB_PAGE_ENTRY_COUNT, 0);
    page_seed("wrong-digest", 0, 2, 1);
    page_seed("size-above-the-largest", PAGE_SEAL, 2, BB_BLOCK_SIZE_MAX + 1);
    page_seed("unknown-flag", PAGE_SEAL, 2, 0x01000000);
    page_seed("not-present", PAGE_SEAL, 2, BB_ENTRY_PRESENT);
    page_seed("corrupt", PAGE_SEAL, 2, BB_ENTRY_CORRUPT);
    page_field("magic", 1, 1);
    page_field("version", offsetof(struct bb_disk_page, version), 1);
    page_field("generation", offsetof(struct bb_disk_page, generation) + 7, 0x80);
    page_field("covered", offsetof(struct bb_disk_page, covered) + 7, 0x80);
}

/* ---- Index ---- */

enum { INDEX_ROW = 1, INDEX_SEAL = 2 };

static void value_seed(const char *name, uint64_t place, uint64_t flags, size_t size)
{
    struct bb_disk_index_value value = {.place = bb_le64_make(place), .flags = bb_le64_make(flags)};
    struct seed seed = {.size = 0};
    seed_number(&seed, 0x40, 1);
    seed_put(&seed, &value, size);
    seed_end(&seed, "indexvalue", name);
}

static void encoded_value_seed(const char *name, const struct bb_index_entry *entry)
{
    struct bb_disk_index_value value;
    bb_index_value_encode(entry, &value);
    value_seed(name, bb_le64_get(value.place), bb_le64_get(value.flags), sizeof(value));
}

static void row_seed(const char *name, unsigned flags, size_t offset, uint8_t flip, size_t size)
{
    struct bb_disk_index_state row;
    struct bb_index_state state = {.anchor = {.sequence = 699, .position = 17, .set.count = 12345},
                                   .set.count = 12350};
    struct seed seed = {.size = 0};
    seed_run(&state.store, sizeof(state.store), 0xa0);
    seed_run(&state.index, sizeof(state.index), 0xb0);
    seed_run(&state.set.sum, sizeof(state.set.sum), 0x20);
    bb_index_state_encode(&state, &row);
    ((uint8_t *)&row)[offset] ^= flip;
    seed_number(&seed, INDEX_ROW | flags, 1);
    seed_put(&seed, &row, size);
    seed_end(&seed, "indexvalue", name);
}

static void index_seeds(void)
{
    const size_t row = sizeof(struct bb_disk_index_state);
    encoded_value_seed("value-zero", &(struct bb_index_entry){.unit = 0});
    encoded_value_seed("value", &(struct bb_index_entry){.unit = 0x1234, .size = 70000});
    encoded_value_seed("value-largest", &(struct bb_index_entry){.unit = (1ull << 40) - 1,
                                                                 .size = BB_BLOCK_SIZE_MAX,
                                                                 .flags = BB_INDEX_CORRUPT});
    value_seed("value-too-large", ((uint64_t)BB_BLOCK_SIZE_MAX + 1) << BB_INDEX_UNIT_BITS, 0, 16);
    value_seed("value-unknown-flag", 1, 2, 16);
    value_seed("value-short", 1, 0, 15);
    value_seed("value-empty", 0, 0, 0);
    row_seed("row", 0, 0, 0, row);
    row_seed("row-before-the-scrub", INDEX_SEAL, 8, 1, offsetof(struct bb_disk_index_state, scrub));
    row_seed("row-sealed", INDEX_SEAL | 0xc0, 0, 0, row);
    row_seed("row-damaged", 0, 90, 4, row);
    row_seed("row-magic", INDEX_SEAL, 3, 1, row);
    row_seed("row-version", INDEX_SEAL, 8, 7, row);
    row_seed("row-reserved", INDEX_SEAL, 12, 1, row);
    row_seed("row-short", 0, 0, 0, row - 1);
}

int main(int argc, char **argv)
{
    check = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (argc != (check ? 3 : 2)) {
        (void)fprintf(stderr, "usage: seeds_make [--check] CORPUS\n");
        return 2;
    }
    corpus = argv[argc - 1];
    super_seeds();
    super_fields();
    super_grown();
    record_seeds();
    page_seeds();
    index_seeds();
    seeds_lmdb();
    printf("%u seeds, %u wrong\n", count, wrong);
    return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
