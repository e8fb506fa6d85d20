/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target of the superblock: decode, quorum of four copies, healing, repair, update.
 *
 * Input: 64-bit device size, 32-bit logical sector, then per copy one byte:
 *   bits 0-1  0 blank, 1 a body of 272 bytes follows, 2 the body of the copy before, 3 read error
 *   SEAL      the digest is made right
 *   PLACE     copy number and offset are made right
 *   LATER     generation one higher
 *   POKE      16-bit offset, 8-bit value: one byte is changed
 *   BROKEN    healing it fails
 *   SHORTS    behind the body two short zones, 16 bytes
 *
 * and one byte: the copy (1..4, else none) at which the next update is cut.
 *
 * Copies 3 and 4 are those at the end of the device. A head copy that says a smaller size leads to
 * other places, which are blank unless they are those of a copy.
 *
 * A second opinion says which bytes are a superblock; what decodes must encode to the same bytes;
 * the quorum is compared with one that counts equal bytes. */
#include "input.h"

#include "bb/err.h"
#include "bb/superblock.h"

#include <errno.h>

#define BODY_SIZE offsetof(struct bb_disk_super, shorts)
#define SHORTS_SIZE 16u
#define COPIES BB_SUPER_COPY_COUNT
#define PLACES (COPIES + 4) /* two tails more */

enum { KIND_MASK = 3, SEAL = 4, PLACE = 8, LATER = 16, POKE = 32, BROKEN = 64, SHORTS = 128 };

struct copy {
    struct bb_disk_super disk;
    uint64_t place; /* bytes on the device */
    bool unreadable, broken;
    /* Second opinion. */
    int error;
    struct bb_super super;
    struct bb_disk_super canonical; /* as copy 1, when it decodes */
};

struct fake {
    struct bb_io io;
    struct bb_io_request *queue;
    struct copy copies[PLACES]; /* of the input, then others that were looked at */
    unsigned place_count;
    unsigned cut_at;
    bool updating;
    unsigned dirty; /* bit i: copies[i] was written after the last flush */
};

/* The four copies as a device of `size` bytes has them. */
struct view {
    uint64_t size;
    struct copy copies[COPIES];
};

static struct copy *copy_at(struct fake *fake, uint64_t offset)
{
    for (unsigned i = 0; i < fake->place_count; i++)
        if (fake->copies[i].place == offset)
            return &fake->copies[i];
    require(fake->place_count < PLACES, "access beside the copies");
    fake->copies[fake->place_count].place = offset;
    return &fake->copies[fake->place_count++];
}

static struct copy *copy_of(struct fake *fake, uint64_t size, unsigned number)
{
    return copy_at(fake, bb_layout_super_offset(size, number));
}

static int32_t serve(struct fake *fake, const struct bb_io_request *request)
{
    if (request->op == BB_IO_FLUSH) {
        fake->dirty = 0;
        return 0;
    }
    struct copy *copy = copy_at(fake, request->offset);
    require(request->size == sizeof(copy->disk), "access beside the copies");
    if (request->op == BB_IO_READ) {
        if (copy->unreadable)
            return -EIO;
        memcpy(request->buf, &copy->disk, sizeof(copy->disk));
        return 0;
    }
    if (copy->broken)
        return -EIO;
    memcpy(&copy->disk, request->buf, sizeof(copy->disk));
    copy->unreadable = false; /* a drive maps the sector away */
    unsigned index = (unsigned)(copy - fake->copies);
    require(!fake->updating || index < 2 || (fake->dirty & 3) == 0, "second pair before the flush");
    fake->dirty |= 1u << index;
    return 0;
}

static void fake_submit(struct bb_io *io, struct bb_io_request *request)
{
    struct fake *fake = BB_CONTAINER(io, struct fake, io);
    require(fake->queue == NULL, "two requests at once");
    fake->queue = request;
}

static int fake_poll(struct bb_io *io, bool wait)
{
    struct fake *fake = BB_CONTAINER(io, struct fake, io);
    struct bb_io_request *request = fake->queue;
    (void)wait;
    require(request != NULL, "waits for nothing");
    fake->queue = NULL;
    bb_io_finish(io, request, serve(fake, request));
    return 1;
}

static const struct bb_io_ops fake_ops = {.submit = fake_submit, .poll = fake_poll};

static void build(struct fake *fake, struct input *input)
{
    uint8_t body[BODY_SIZE + SHORTS_SIZE] = {0};
    memset(fake, 0, sizeof(*fake));
    fake->io.ops = &fake_ops;
    fake->io.device_size = input_u64(input);
    fake->io.logical_sector = input_u32(input);
    fake->place_count = COPIES;
    for (unsigned i = 0; i < COPIES; i++) {
        struct copy *copy = &fake->copies[i];
        uint8_t kind = input_u8(input);
        copy->unreadable = (kind & KIND_MASK) == 3;
        copy->broken = (kind & BROKEN) != 0;
        copy->place = bb_layout_super_offset(fake->io.device_size, i + 1);
        if ((kind & KIND_MASK) == 1)
            input_take(input, body, (kind & SHORTS) != 0 ? sizeof(body) : BODY_SIZE);
        if ((kind & KIND_MASK) == 1 || (kind & KIND_MASK) == 2)
            memcpy(&copy->disk, body, sizeof(body));
        if ((kind & LATER) != 0)
            copy->disk.generation = bb_le64_make(bb_le64_get(copy->disk.generation) + 1);
        if ((kind & PLACE) != 0) {
            copy->disk.copy = bb_le32_make(i + 1);
            copy->disk.offset = bb_le64_make(bb_layout_super_offset(fake->io.device_size, i + 1));
        }
        if ((kind & POKE) != 0) {
            size_t at = input_u16(input) % sizeof(copy->disk);
            ((uint8_t *)&copy->disk)[at] ^= input_u8(input);
        }
        if ((kind & SEAL) != 0)
            reseal(&copy->disk, sizeof(copy->disk), offsetof(struct bb_disk_super, digest));
    }
    fake->cut_at = input_u8(input);
}

static bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static uint64_t pages_of(uint64_t zone_size)
{
    uint64_t mib = zone_size >> 20, slots = (mib + 113) / 114;
    return ((mib - 2 * slots) * 256 + 111) / 112;
}

static unsigned short_count(const void *disk)
{
    unsigned count = 0;
    while (count < 32 && u32_at(disk, 276 + 8 * count) != 0)
        count++;
    return count;
}

/* Whether the geometry is what the device size, the ring and the zone size give. */
static bool second_opinion_of_geometry(const void *disk)
{
    const uint64_t mib = 1 << 20, head = 8 * mib, tail = 8 * mib;
    uint64_t device_size = u64_at(disk, 80), ring_units = u64_at(disk, 104);
    uint64_t zones_offset = u64_at(disk, 112), zone_size = u64_at(disk, 120), pages = 0, zones = 0;
    if (u64_at(disk, 96) != head || ring_units == 0 || ring_units % 256 != 0 ||
        ring_units > device_size / 4096 || zones_offset != head + ring_units * 4096)
        return false;
    if (!is_power_of_two(zone_size) || zone_size < 4 * mib || device_size < zones_offset + tail)
        return false;
    uint64_t space = device_size / mib * mib - tail - zones_offset;
    uint64_t full_pages = pages_of(zone_size);
    for (unsigned row = 0; row < short_count(disk); row++) {
        uint64_t index = u32_at(disk, 272 + 8 * row), size = u32_at(disk, 276 + 8 * row) * mib;
        if (index < zones || size < 4 * mib || size >= zone_size ||
            index - zones > space / zone_size)
            return false;
        uint64_t taken = (index - zones) * zone_size + size;
        if (taken > space)
            return false;
        space -= taken;
        zones = index + 1;
    }
    uint64_t before = zones;
    pages = zones * full_pages; /* the limit counts a short one as full */
    zones += space / zone_size;
    pages += space / zone_size * full_pages;
    if (space % zone_size >= 4 * mib) {
        zones++;
        pages += pages_of(space % zone_size);
    }
    return zones > before && pages <= UINT32_MAX && u32_at(disk, 128) == zones &&
           u32_at(disk, 132) <= zones && u64_at(disk, 176) < ring_units;
}

/* What the decoder must say of these bytes at the place of copy 1..4, as format.h says. */
static int second_opinion(const void *disk, uint64_t offset, unsigned copy)
{
    const size_t counters[] = {56, 136, 144, 160, 168}; /* generation, epoch, sequences */
    if (memcmp(disk, "BBSUPER\n", 8) != 0)
        return BB_ERR_NOT_FORMATTED;
    if (u32_at(disk, 8) != 1)
        return BB_ERR_VERSION;
    if (!sealed(disk, 4096, 256))
        return BB_ERR_DAMAGED;
    if (u64_at(disk, 64) > 1)
        return BB_ERR_VERSION;
    if (!second_opinion_of_geometry(disk))
        return BB_ERR_DAMAGED;
    uint64_t end = u64_at(disk, 80) >> 20 << 20;
    const uint64_t places[COPIES] = {64 << 10, 4 << 20, end - (7 << 20), end - (3 << 20)};
    bool good = u32_at(disk, 12) == copy && u64_at(disk, 48) == offset &&
                places[copy - 1] == offset && u64_at(disk, 136) != 0;
    for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        good = good && u64_at(disk, counters[i]) >> 63 == 0;
    uint32_t logical = u32_at(disk, 88), state = u32_at(disk, 152);
    good = good && is_power_of_two(logical) && logical >= 512 && logical <= 4096 &&
           is_power_of_two(u32_at(disk, 92));
    good = good && state <= 1 && u32_at(disk, 156) == 0 && (state == 1 || u64_at(disk, 160) == 0);
    for (size_t i = 224; i + 1 < 256; i++)
        good = good && (((const uint8_t *)disk)[i] != 0 || ((const uint8_t *)disk)[i + 1] == 0);
    unsigned shorts = short_count(disk);
    good = good && u64_at(disk, 64) == (shorts > 0 ? 1 : 0);
    return good && zeros_at(disk, 272 + 8 * shorts, 4096 - 272 - 8 * shorts) ? 0 : BB_ERR_DAMAGED;
}

/* Another bit somewhere, or another value of a field that does not live on single bits. */
static void change(struct bb_disk_super *disk, uint64_t seed)
{
    if (seed % 4 != 0) {
        size_t at = seed / 4 % offsetof(struct bb_disk_super, digest);
        ((uint8_t *)disk)[at] ^= (uint8_t)(1u << (seed >> 32) % 8);
        return;
    }
    uint32_t value = (uint32_t)(seed >> 32) % 4;
    switch (seed / 4 % 4) {
    case 0:
        disk->logical_sector = bb_le32_make(512u << value);
        break;
    case 1:
        disk->physical_sector = bb_le32_make(512u << value);
        break;
    case 2:
        disk->open_zone_count = bb_le32_make(value);
        break;
    default:
        disk->state = bb_le32_make(value);
        disk->clean_sequence = bb_le64_make(0);
        break;
    }
}

/* Changed and sealed again: no superblock, or one that is not equal. */
static void change_check(const struct copy *copy, unsigned number, uint64_t offset)
{
    struct bb_disk_super disk = copy->disk;
    struct bb_super super;
    change(&disk, u64_at(&disk, offsetof(struct bb_disk_super, digest)));
    bool unchanged = memcmp(&disk, &copy->disk, sizeof(disk)) == 0;
    reseal(&disk, sizeof(disk), offsetof(struct bb_disk_super, digest));
    int result = bb_super_decode(&disk, offset, number, &super);
    require(result == second_opinion(&disk, offset, number), "a second opinion differs");
    require(result != 0 || bb_super_equal(&super, &copy->super) == unchanged, "equal, or not");
}

/* A copy alone: what comes out encodes to the same bytes. */
static void decode_check(struct copy *copy, unsigned number)
{
    struct bb_disk_super again;
    struct bb_super other;
    copy->error = -EIO;
    if (copy->unreadable)
        return;
    memset(&copy->super, UNTOUCHED, sizeof(copy->super));
    copy->error = bb_super_decode(&copy->disk, copy->place, number, &copy->super);
    require(copy->error == second_opinion(&copy->disk, copy->place, number),
            "a second opinion differs");
    if (copy->error != 0) {
        require(is_untouched(&copy->super, sizeof(copy->super)), "output of a failure");
        return;
    }
    bb_super_encode(&copy->super, number, &again);
    require(memcmp(&again, &copy->disk, sizeof(again)) == 0, "encode(decode(x)) != x");
    bb_super_encode(&copy->super, 1, &copy->canonical);
    require(bb_super_decode(&copy->disk, copy->place, number % COPIES + 1, &other) ==
                BB_ERR_DAMAGED,
            "taken for another copy");
    require(bb_super_decode(&copy->disk, copy->place ^ 4096, number, &other) == BB_ERR_DAMAGED,
            "taken at another place");
    change_check(copy, number, copy->place);
}

static void view_make(struct fake *fake, uint64_t size, struct view *view)
{
    view->size = size;
    for (unsigned i = 0; i < COPIES; i++) {
        static const struct copy nothing;
        struct copy *copy = &view->copies[i];
        *copy = i >= 2 && size > fake->io.device_size ? nothing : *copy_of(fake, size, i + 1);
        copy->place = bb_layout_super_offset(size, i + 1);
        decode_check(copy, i + 1);
    }
}

/* One for each size that a head copy says; with none that of the device. */
static unsigned views_make(struct fake *fake, struct view *views)
{
    unsigned count = 0;
    struct view whole;
    view_make(fake, fake->io.device_size, &whole);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t size = whole.copies[i].super.layout.device_size;
        if (whole.copies[i].error == 0 && (count == 0 || views[0].size != size))
            view_make(fake, size, &views[count++]);
    }
    if (count == 0)
        views[count++] = whole;
    return count;
}

static bool same(const struct copy *a, const struct copy *b)
{
    return a->error == 0 && b->error == 0 &&
           memcmp(&a->canonical, &b->canonical, sizeof(a->canonical)) == 0;
}

/* Whether two are equal; *ret_generation is the newest of those. */
static bool newest_pair(const struct view *view, uint64_t *ret_generation)
{
    bool found = false;
    for (unsigned i = 0; i < COPIES; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct copy *copy = &view->copies[i];
            if (!same(copy, &view->copies[j]))
                continue;
            if (!found || copy->super.generation > *ret_generation)
                *ret_generation = copy->super.generation;
            found = true;
        }
    }
    return found;
}

static void quorum_check(const struct view *view, const struct bb_super_copies *copies,
                         uint64_t newest)
{
    struct bb_disk_super quorum;
    unsigned equal_count = 0;
    bb_super_encode(&copies->super, 1, &quorum);
    require(copies->super.generation == newest, "not the newest pair");
    for (unsigned i = 0; i < COPIES; i++) {
        const struct copy *copy = &view->copies[i];
        bool equal = copy->error == 0 && memcmp(&copy->canonical, &quorum, sizeof(quorum)) == 0;
        require(copies->error[i] == copy->error, "error of a copy");
        require(copies->differs[i] == !equal, "copy differs, or does not");
        require(copies->generation[i] == (copy->error == 0 ? copy->super.generation : 0),
                "generation of a copy");
        equal_count += equal ? 1 : 0;
    }
    require(copies->equal_count == equal_count && equal_count >= 2, "number of equal copies");
}

static void no_quorum_check(const struct view *view, int result)
{
    bool io = false, version = false, blank = true, later = false, tail_blank = true;
    for (unsigned i = 0; i < COPIES; i++) {
        const struct copy *copy = &view->copies[i];
        io = io || copy->error == -EIO;
        version = version || copy->error == BB_ERR_VERSION;
        blank = blank && copy->error == BB_ERR_NOT_FORMATTED;
        tail_blank = tail_blank && (i < 2 || copy->error == BB_ERR_NOT_FORMATTED);
        later = later || (copy->error == 0 && copy->super.generation > 1);
    }
    if (io || version)
        require(result == (io ? -EIO : BB_ERR_VERSION), "why there is no quorum");
    else if (blank)
        require(result == BB_ERR_NOT_FORMATTED, "blank, but not that");
    else if (later)
        require(result == BB_ERR_DAMAGED, "a store that lost its copies");
    else if (tail_blank)
        require(result == BB_ERR_NOT_FORMATTED, "what a cut format leaves");
    else
        require(result == BB_ERR_NOT_FORMATTED || result == BB_ERR_DAMAGED, "another error");
}

static bool fits(const struct fake *fake, const struct bb_super *super)
{
    return super->layout.device_size <= fake->io.device_size &&
           super->logical_sector == fake->io.logical_sector;
}

static void reload(struct fake *fake, struct bb_super_copies *copies, const struct bb_super *super)
{
    require(bb_super_load(&fake->io, copies) == 0, "no quorum any more");
    require(bb_super_equal(&copies->super, super), "another one than was written");
}

/* A new generation. Cut in its first pair it never was, cut in its second it stands. */
static void update(struct fake *fake, struct bb_super_copies *copies)
{
    struct bb_super before = copies->super, super = before;
    bool cut = fake->cut_at >= 1 && fake->cut_at <= COPIES;
    if (super.generation == BB_COUNTER_MAX || super.epoch == BB_COUNTER_MAX)
        return; /* written by nobody who counted up to it; the next start would refuse */
    if (cut)
        copy_of(fake, super.layout.device_size, fake->cut_at)->broken = true;
    super.epoch++;
    fake->updating = true;
    require(bb_super_write(&fake->io, &super) == (cut ? -EIO : 0), "write");
    require(cut || fake->dirty == 0, "no flush after the last copy");
    require(super.generation == before.generation + 1, "generation of an update");
    reload(fake, copies, cut && fake->cut_at <= 2 ? &before : &super);
    if (!cut)
        require(copies->equal_count == COPIES, "not all equal after a write");
}

/* What start-up does: heal, then a new generation. */
static void start(struct fake *fake, struct bb_super_copies *copies)
{
    struct bb_super super = copies->super;
    bool broken = false;
    for (unsigned i = 0; i < COPIES; i++)
        broken = broken ||
                 (copies->differs[i] && copy_of(fake, super.layout.device_size, i + 1)->broken);
    require(bb_super_heal(&fake->io, copies) == (broken ? -EIO : 0), "heal");
    reload(fake, copies, &super);
    if (broken)
        return;
    require(copies->equal_count == COPIES, "not all equal after healing");
    require(fake->dirty == 0, "no flush after healing");
    for (unsigned i = 0; i < PLACES; i++)
        fake->copies[i].broken = false;
    update(fake, copies);
}

/* What a repair does without a quorum: the newest that can be read, in all four places. */
static void repair(struct fake *fake, const struct view *views, unsigned view_count)
{
    struct bb_super_copies copies;
    const struct copy *best = NULL;
    bool broken = false;
    for (unsigned i = 0; i < view_count * COPIES; i++) {
        const struct copy *copy = &views[i / COPIES].copies[i % COPIES];
        if (copy->error == 0 && (best == NULL || copy->super.generation > best->super.generation))
            best = copy;
    }
    int result = bb_super_choose_newest(&fake->io, &copies);
    if (best == NULL) {
        require(result == BB_ERR_DAMAGED, "chose from nothing");
        return;
    }
    require(bb_super_equal(&copies.super, &best->super), "chose another than the newest");
    require(result == (fits(fake, &copies.super) ? 0 : BB_ERR_GEOMETRY), "geometry");
    if (result != 0)
        return;
    for (unsigned i = 1; i <= COPIES; i++) {
        const struct copy *copy = copy_of(fake, best->super.layout.device_size, i);
        broken = broken || (copy->broken && copy->place != best->place);
    }
    require(bb_super_adopt(&fake->io, &copies) == (broken ? -EIO : 0), "adopt");
    if (broken)
        return;
    require(fake->dirty == 0, "no flush after a repair");
    reload(fake, &copies, &best->super);
    require(copies.equal_count == COPIES, "not all equal after a repair");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake fake;
    struct input input = {data, size};
    struct bb_super_copies copies;
    uint64_t newest = 0;
    build(&fake, &input);
    int result = bb_super_load(&fake.io, &copies);
    if (fake.io.device_size < BB_HEAD_SIZE + BB_TAIL_SIZE) {
        require(result == BB_ERR_NOT_FORMATTED, "too small, but formatted");
        return 0;
    }
    struct view views[2];
    const struct view *best = NULL;
    unsigned view_count = views_make(&fake, views);
    for (unsigned i = 0; i < view_count; i++) {
        uint64_t generation = 0;
        if (newest_pair(&views[i], &generation) && (best == NULL || generation > newest)) {
            best = &views[i];
            newest = generation;
        }
    }
    if (best == NULL) {
        no_quorum_check(&views[0], result);
        repair(&fake, views, view_count);
        return 0;
    }
    quorum_check(best, &copies, newest);
    require(result == (fits(&fake, &copies.super) ? 0 : BB_ERR_GEOMETRY), "geometry");
    if (result == 0)
        start(&fake, &copies);
    return 0;
}
