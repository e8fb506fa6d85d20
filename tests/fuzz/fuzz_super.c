/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target of the superblock: decode, quorum of four copies, healing, the next update.
 *
 * Input: 64-bit device size, 32-bit logical sector, then per copy one byte:
 *   bits 0-1  0 blank, 1 a body of 272 bytes follows, 2 the body of the copy before, 3 read error
 *   SEAL      the digest is made right
 *   PLACE     copy number and offset are made right
 *   LATER     generation one higher
 *   POKE      16-bit offset, 8-bit value: one byte is changed
 *   BROKEN    healing it fails
 *
 * and one byte: the copy (1..4, else none) at which the next update is cut.
 *
 * What decodes must encode to the same bytes; the quorum is compared with one that counts equal
 * bytes. */
#include "input.h"

#include "bb/err.h"
#include "bb/superblock.h"

#include <errno.h>

#define BODY_SIZE offsetof(struct bb_disk_super, reserved)
#define COPIES BB_SUPER_COPY_COUNT

enum { KIND_MASK = 3, SEAL = 4, PLACE = 8, LATER = 16, POKE = 32, BROKEN = 64 };

struct copy {
    struct bb_disk_super disk;
    bool unreadable, broken;
    /* Second opinion. */
    int error;
    struct bb_super super;
    struct bb_disk_super canonical; /* as copy 1, when it decodes */
};

struct fake {
    struct bb_io io;
    struct bb_io_request *queue;
    struct copy copies[COPIES];
    unsigned cut_at;
};

static struct copy *copy_at(struct fake *fake, uint64_t offset)
{
    for (unsigned i = 0; i < COPIES; i++)
        if (bb_layout_super_offset(fake->io.device_size, i + 1) == offset)
            return &fake->copies[i];
    return NULL;
}

static int32_t serve(struct fake *fake, const struct bb_io_request *request)
{
    if (request->op == BB_IO_FLUSH)
        return 0;
    struct copy *copy = copy_at(fake, request->offset);
    require(copy != NULL && request->size == sizeof(copy->disk), "access beside the copies");
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
    uint8_t body[BODY_SIZE] = {0};
    memset(fake, 0, sizeof(*fake));
    fake->io.ops = &fake_ops;
    fake->io.device_size = input_u64(input);
    fake->io.logical_sector = input_u32(input);
    for (unsigned i = 0; i < COPIES; i++) {
        struct copy *copy = &fake->copies[i];
        uint8_t kind = input_u8(input);
        copy->unreadable = (kind & KIND_MASK) == 3;
        copy->broken = (kind & BROKEN) != 0;
        if ((kind & KIND_MASK) == 1)
            input_take(input, body, sizeof(body));
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

static void decoded_check(const struct bb_super *super)
{
    const struct bb_layout *layout = &super->layout;
    require(super->must_understand == 0, "feature not understood");
    require(super->epoch >= 1, "no epoch");
    require(super->open_zone_count <= layout->zone_count, "more zones open than there are");
    require(super->clean || super->clean_sequence == 0, "clean sequence without the mark");
    require(super->anchor.position < layout->journal_units, "anchor outside the ring");
    require(layout->zone_count > 0, "no zone");
    require(layout->tail_offset + BB_TAIL_SIZE <= layout->device_size, "tail behind the device");
    struct bb_zone last = bb_layout_zone(layout, layout->zone_count - 1);
    require(last.slot_b_offset < layout->tail_offset, "zone in the tail");
    require(super->label[32] == '\0', "label without end");
    require(super->logical_sector <= BB_UNIT_SIZE, "sector above a unit");
}

/* Decodes each copy alone: what comes out encodes to the same bytes. */
static void second_opinion(struct fake *fake)
{
    for (unsigned i = 0; i < COPIES; i++) {
        struct copy *copy = &fake->copies[i];
        uint64_t offset = bb_layout_super_offset(fake->io.device_size, i + 1);
        struct bb_disk_super again;
        copy->error = -EIO;
        if (copy->unreadable)
            continue;
        memset(&copy->super, UNTOUCHED, sizeof(copy->super));
        copy->error = bb_super_decode(&copy->disk, offset, i + 1, &copy->super);
        if (copy->error != 0) {
            require(copy->error == BB_ERR_NOT_FORMATTED || copy->error == BB_ERR_VERSION ||
                        copy->error == BB_ERR_DAMAGED,
                    "another error than the contract says");
            require(is_untouched(&copy->super, sizeof(copy->super)), "output of a failure");
            continue;
        }
        decoded_check(&copy->super);
        bb_super_encode(&copy->super, i + 1, &again);
        require(memcmp(&again, &copy->disk, sizeof(again)) == 0, "encode(decode(x)) != x");
        bb_super_encode(&copy->super, 1, &copy->canonical);
        struct bb_super other;
        unsigned next = (i + 1) % COPIES + 1;
        require(bb_super_decode(&copy->disk, offset, next, &other) == BB_ERR_DAMAGED,
                "taken for another copy");
    }
}

static bool same(const struct copy *a, const struct copy *b)
{
    return a->error == 0 && b->error == 0 &&
           memcmp(&a->canonical, &b->canonical, sizeof(a->canonical)) == 0;
}

/* Whether two are equal; *ret_generation is the newest of those. */
static bool newest_pair(const struct fake *fake, uint64_t *ret_generation)
{
    bool found = false;
    for (unsigned i = 0; i < COPIES; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct copy *copy = &fake->copies[i];
            if (!same(copy, &fake->copies[j]))
                continue;
            if (!found || copy->super.generation > *ret_generation)
                *ret_generation = copy->super.generation;
            found = true;
        }
    }
    return found;
}

static void quorum_check(struct fake *fake, const struct bb_super_copies *copies, uint64_t newest)
{
    struct bb_disk_super quorum;
    unsigned equal_count = 0;
    bb_super_encode(&copies->super, 1, &quorum);
    require(copies->super.generation == newest, "not the newest pair");
    for (unsigned i = 0; i < COPIES; i++) {
        const struct copy *copy = &fake->copies[i];
        bool equal = copy->error == 0 && memcmp(&copy->canonical, &quorum, sizeof(quorum)) == 0;
        require(copies->error[i] == copy->error, "error of a copy");
        require(copies->differs[i] == !equal, "copy differs, or does not");
        require(copies->generation[i] == (copy->error == 0 ? copy->super.generation : 0),
                "generation of a copy");
        equal_count += equal ? 1 : 0;
    }
    require(copies->equal_count == equal_count && equal_count >= 2, "number of equal copies");
}

static void no_quorum_check(const struct fake *fake, int result)
{
    bool io = false, version = false;
    for (unsigned i = 0; i < COPIES; i++) {
        io = io || fake->copies[i].error == -EIO;
        version = version || fake->copies[i].error == BB_ERR_VERSION;
    }
    int expected = io ? -EIO : version ? BB_ERR_VERSION : 0;
    require(expected != 0 ? result == expected
                          : result == BB_ERR_NOT_FORMATTED || result == BB_ERR_DAMAGED,
            "why there is no quorum");
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
    if (cut)
        fake->copies[fake->cut_at - 1].broken = true;
    super.epoch++;
    require(bb_super_write(&fake->io, &super) == (cut ? -EIO : 0), "write");
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
        broken = broken || (copies->differs[i] && fake->copies[i].broken);
    require(bb_super_heal(&fake->io, copies) == (broken ? -EIO : 0), "heal");
    reload(fake, copies, &super);
    if (broken)
        return;
    require(copies->equal_count == COPIES, "not all equal after healing");
    for (unsigned i = 0; i < COPIES; i++)
        fake->copies[i].broken = false;
    update(fake, copies);
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
    second_opinion(&fake);
    if (!newest_pair(&fake, &newest)) {
        no_quorum_check(&fake, result);
        return 0;
    }
    quorum_check(&fake, &copies, newest);
    bool fits = copies.super.layout.device_size == fake.io.device_size &&
                copies.super.logical_sector == fake.io.logical_sector;
    require(result == (fits ? 0 : BB_ERR_GEOMETRY), "geometry");
    if (result == 0)
        start(&fake, &copies);
    return 0;
}
