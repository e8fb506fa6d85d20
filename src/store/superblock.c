/* SPDX-License-Identifier: Apache-2.0
 * Quorum over four copies of one unit. Owner: the caller's thread.
 *
 *   head: copy 1 at 64 KiB, copy 2 at 4 MiB        written first, then a flush
 *   tail: copy 3 at 1 MiB, copy 4 at 5 MiB         written next, then a flush
 */
#include "bb/superblock.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"

/* Smallest device on which all four places exist and differ. */
#define DEVICE_SIZE_MIN (BB_HEAD_SIZE + BB_TAIL_SIZE)

union unit {
    _Alignas(BB_UNIT_SIZE) struct bb_disk_super disk;
    uint8_t bytes[BB_UNIT_SIZE];
};

static void read_copies(struct bb_io *io, struct bb_super *supers, struct bb_super_copies *copies)
{
    union unit unit;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        uint64_t offset = bb_layout_super_offset(io->device_size, i + 1);
        int error = bb_io_read(io, BB_IO_SUPER, offset, unit.bytes, BB_UNIT_SIZE);
        if (error == 0)
            error = bb_super_decode(&unit.disk, offset, i + 1, &supers[i]);
        copies->error[i] = error;
        copies->generation[i] = error == 0 ? supers[i].generation : 0;
    }
}

/* Index of a copy of the newest generation that two copies have; -1: there is none. */
static int quorum_of(const struct bb_super *supers, const struct bb_super_copies *copies)
{
    int best = -1;
    for (int i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        for (int j = bb_planted(SUPER_LONE_COPY) ? i : i + 1; j < BB_SUPER_COPY_COUNT; j++) {
            if (copies->error[i] != 0 || copies->error[j] != 0)
                continue;
            if (!bb_super_equal(&supers[i], &supers[j]))
                continue;
            if (best < 0 || supers[i].generation > supers[best].generation)
                best = i;
        }
    }
    return best;
}

static bool is_format_error(int error)
{
    return error == BB_ERR_NOT_FORMATTED || error == BB_ERR_DAMAGED || error == BB_ERR_VERSION;
}

/* Why there is no quorum. Format writes copies 1-2 over a wiped device, so a cut leaves at most one
 * whole copy of the first generation, and no trace of copies 3-4. */
static int no_quorum(const struct bb_super_copies *copies)
{
    bool version = false, later = false, whole = false;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        if (copies->error[i] != 0 && !is_format_error(copies->error[i]))
            return copies->error[i];
        version = version || copies->error[i] == BB_ERR_VERSION;
        whole = whole || copies->error[i] == 0;
        later = later || copies->generation[i] > 1;
    }
    if (version)
        return BB_ERR_VERSION;
    bool tail_blank =
        copies->error[2] == BB_ERR_NOT_FORMATTED && copies->error[3] == BB_ERR_NOT_FORMATTED;
    if (tail_blank && !later)
        return BB_ERR_NOT_FORMATTED;
    return whole && !later ? BB_ERR_NOT_FORMATTED : BB_ERR_DAMAGED;
}

int bb_super_load(struct bb_io *io, struct bb_super_copies *ret_copies)
{
    struct bb_super supers[BB_SUPER_COPY_COUNT];
    *ret_copies = (struct bb_super_copies){.equal_count = 0};
    if (io->device_size < DEVICE_SIZE_MIN) {
        for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++)
            ret_copies->error[i] = BB_ERR_NOT_FORMATTED;
        return BB_ERR_NOT_FORMATTED;
    }
    read_copies(io, supers, ret_copies);
    int best = quorum_of(supers, ret_copies);
    if (best < 0)
        return no_quorum(ret_copies);
    ret_copies->super = supers[best];
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        ret_copies->differs[i] =
            ret_copies->error[i] != 0 || !bb_super_equal(&supers[i], &supers[best]);
        ret_copies->equal_count += ret_copies->differs[i] ? 0 : 1;
    }
    BB_ASSERT(ret_copies->equal_count >= 2 || bb_planted(SUPER_LONE_COPY));
    if (ret_copies->super.layout.device_size != io->device_size ||
        ret_copies->super.logical_sector != io->logical_sector)
        return BB_ERR_GEOMETRY;
    return 0;
}

static int write_copy(struct bb_io *io, const struct bb_super *super, unsigned copy)
{
    union unit unit;
    BB_ASSERT(super->layout.device_size == io->device_size);
    bb_super_encode(super, copy, &unit.disk);
    return bb_io_write(io, BB_IO_SUPER, bb_layout_super_offset(io->device_size, copy), unit.bytes,
                       BB_UNIT_SIZE);
}

int bb_super_heal(struct bb_io *io, struct bb_super_copies *copies)
{
    bool wrote = false;
    BB_ASSERT(copies->equal_count >= 2 || bb_planted(SUPER_LONE_COPY));
    if (bb_planted(SUPER_NOT_HEALED))
        return 0;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        if (!copies->differs[i])
            continue;
        int error = write_copy(io, &copies->super, i + 1);
        if (error != 0)
            return error;
        wrote = true;
    }
    if (wrote) {
        int error = bb_io_flush(io);
        if (error != 0)
            return error;
    }
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        copies->differs[i] = false;
        copies->error[i] = 0;
        copies->generation[i] = copies->super.generation;
    }
    copies->equal_count = BB_SUPER_COPY_COUNT;
    return 0;
}

int bb_super_choose_newest(struct bb_io *io, struct bb_super_copies *copies)
{
    struct bb_super supers[BB_SUPER_COPY_COUNT];
    int best = -1;
    if (io->device_size < DEVICE_SIZE_MIN)
        return BB_ERR_DAMAGED;
    read_copies(io, supers, copies);
    for (int i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        if (copies->error[i] == 0 && (best < 0 || copies->generation[i] > copies->generation[best]))
            best = i;
    }
    if (best < 0)
        return BB_ERR_DAMAGED;
    copies->super = supers[best];
    copies->equal_count = 1;
    for (int i = 0; i < BB_SUPER_COPY_COUNT; i++)
        copies->differs[i] = i != best;
    if (copies->super.layout.device_size != io->device_size ||
        copies->super.logical_sector != io->logical_sector)
        return BB_ERR_GEOMETRY;
    return 0;
}

int bb_super_adopt(struct bb_io *io, struct bb_super_copies *copies)
{
    BB_ASSERT(copies->equal_count == 1);
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        int error = copies->differs[i] ? write_copy(io, &copies->super, i + 1) : 0;
        if (error != 0)
            return error;
    }
    return bb_io_flush(io);
}

int bb_super_write(struct bb_io *io, struct bb_super *super)
{
    BB_ASSERT(super->generation < UINT64_MAX);
    super->generation++;
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        if (bb_planted(SUPER_ONE_COPY) && copy > 1)
            return bb_io_flush(io);
        int error = write_copy(io, super, copy);
        BB_KILL_POINT(EPOCH_COPY_WRITTEN);
        if (bb_planted(SUPER_ONE_PAIR) && copy == 2)
            continue;
        if (error == 0 && copy % 2 == 0) {
            error = bb_io_flush(io);
            BB_KILL_POINT(EPOCH_PAIR_FLUSHED);
        }
        if (error != 0)
            return error;
    }
    return 0;
}

int bb_super_wipe(struct bb_io *io)
{
    union unit unit;
    BB_ASSERT(io->device_size >= DEVICE_SIZE_MIN);
    memset(unit.bytes, 0, sizeof(unit.bytes));
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++) {
        int error = bb_io_write(io, BB_IO_SUPER, bb_layout_super_offset(io->device_size, copy),
                                unit.bytes, BB_UNIT_SIZE);
        if (error != 0)
            return error;
    }
    return bb_io_flush(io);
}
