/* SPDX-License-Identifier: Apache-2.0
 * Quorum over four copies of one unit. Owner: the caller's thread.
 *
 *   head: copy 1 at 64 KiB, copy 2 at 4 MiB        written first, then a flush
 *   tail: copy 3 at 1 MiB, copy 4 at 5 MiB         written next, then a flush
 *
 * When the store grows the tail moves: copies 3-4 at the new end, flush, copy 1, flush, copy 2,
 * flush, the old 3-4 are zeroed. Up to copy 1 the old four are whole (one of them less when the new
 * tail lies over the old one) and no head copy names the new end. From then on copy 1 and the new
 * tail are three equal ones, and while copy 2 is torn copy 1 says where they are.
 */
#include "bb/superblock.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"

/* Smallest device on which all four places exist and differ. */
#define DEVICE_SIZE_MIN (BB_HEAD_SIZE + BB_TAIL_SIZE)
#define ZERO_SIZE ((uint32_t)256 << 10)

union unit {
    _Alignas(BB_UNIT_SIZE) struct bb_disk_super disk;
    uint8_t bytes[BB_UNIT_SIZE];
};

static void read_copy(struct bb_io *io, uint64_t device_size, unsigned i,
                      struct bb_super *ret_super, struct bb_super_copies *copies)
{
    union unit unit;
    uint64_t offset = bb_layout_super_offset(device_size, i + 1);
    int error = device_size > io->device_size ? BB_ERR_NOT_FORMATTED : 0; /* no such place */
    if (error == 0)
        error = bb_io_read(io, BB_IO_SUPER, offset, unit.bytes, BB_UNIT_SIZE);
    if (error == 0)
        error = bb_super_decode(&unit.disk, offset, i + 1, ret_super);
    copies->error[i] = error;
    copies->generation[i] = error == 0 ? ret_super->generation : 0;
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

/* Four copies as the device of one size has them. */
struct reading {
    struct bb_super supers[BB_SUPER_COPY_COUNT];
    struct bb_super_copies copies;
};

/* The places of copies 3 and 4 follow from the store's size, which a head copy says: the device may
 * have become larger since. Two sizes, if a growth was cut between its head copies; what stands at
 * the end of the device counts only when no head copy can be read. */
static unsigned read_all(struct bb_io *io, struct reading *readings)
{
    uint64_t sizes[2];
    unsigned count = 0;
    struct reading *first = &readings[0];
    *first = (struct reading){.copies.equal_count = 0};
    for (unsigned i = 0; i < 2; i++) {
        read_copy(io, io->device_size, i, &first->supers[i], &first->copies);
        uint64_t size = first->supers[i].layout.device_size;
        if (first->copies.error[i] == 0 && (count == 0 || sizes[0] != size))
            sizes[count++] = size;
    }
    if (count == 0)
        sizes[count++] = io->device_size;
    for (unsigned k = 0; k < count; k++) {
        if (k > 0)
            readings[k] = *first;
        for (unsigned i = 2; i < BB_SUPER_COPY_COUNT; i++)
            read_copy(io, sizes[k], i, &readings[k].supers[i], &readings[k].copies);
    }
    return count;
}

static int geometry_check(const struct bb_io *io, const struct bb_super *super)
{
    return super->layout.device_size <= io->device_size &&
                   super->logical_sector == io->logical_sector
               ? 0
               : BB_ERR_GEOMETRY;
}

int bb_super_load(struct bb_io *io, struct bb_super_copies *ret_copies)
{
    struct reading readings[2];
    *ret_copies = (struct bb_super_copies){.equal_count = 0};
    if (io->device_size < DEVICE_SIZE_MIN) {
        for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++)
            ret_copies->error[i] = BB_ERR_NOT_FORMATTED;
        return BB_ERR_NOT_FORMATTED;
    }
    unsigned count = read_all(io, readings);
    const struct reading *best = NULL;
    int best_copy = -1;
    for (unsigned k = 0; k < count; k++) {
        int copy = quorum_of(readings[k].supers, &readings[k].copies);
        if (copy < 0 || (best != NULL &&
                         best->supers[best_copy].generation >= readings[k].supers[copy].generation))
            continue;
        best = &readings[k];
        best_copy = copy;
    }
    if (best == NULL) {
        *ret_copies = readings[0].copies;
        return no_quorum(ret_copies);
    }
    *ret_copies = best->copies;
    ret_copies->super = best->supers[best_copy];
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
        ret_copies->differs[i] =
            ret_copies->error[i] != 0 || !bb_super_equal(&best->supers[i], &ret_copies->super);
        ret_copies->equal_count += ret_copies->differs[i] ? 0 : 1;
    }
    BB_ASSERT(ret_copies->equal_count >= 2 || bb_planted(SUPER_LONE_COPY));
    return geometry_check(io, &ret_copies->super);
}

static int write_copy(struct bb_io *io, const struct bb_super *super, unsigned copy)
{
    union unit unit;
    uint64_t device_size = super->layout.device_size;
    BB_ASSERT(device_size <= io->device_size);
    bb_super_encode(super, copy, &unit.disk);
    return bb_io_write(io, BB_IO_SUPER, bb_layout_super_offset(device_size, copy), unit.bytes,
                       BB_UNIT_SIZE);
}

/* A head copy that only the other one can stand in for: on a larger device nothing else says where
 * the tail is. It is durable before the other one is written. */
static bool is_alone(const struct bb_io *io, const struct bb_super *super, unsigned copy)
{
    return copy <= 2 && io->device_size > super->layout.device_size &&
           !bb_planted(GROW_HEADS_AT_ONCE);
}

/* Those that nobody can read come first: one that can be read is not given up for another. */
static int write_differing(struct bb_io *io, const struct bb_super_copies *copies, bool *ret_wrote)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
            if (!copies->differs[i] || (copies->error[i] != 0) != (pass == 0))
                continue;
            int error = write_copy(io, &copies->super, i + 1);
            if (error == 0 && is_alone(io, &copies->super, i + 1))
                error = bb_io_flush(io);
            if (error != 0)
                return error;
            *ret_wrote = true;
        }
    }
    return 0;
}

int bb_super_heal(struct bb_io *io, struct bb_super_copies *copies)
{
    bool wrote = false;
    BB_ASSERT(copies->equal_count >= 2 || bb_planted(SUPER_LONE_COPY));
    if (bb_planted(SUPER_NOT_HEALED))
        return 0;
    int error = write_differing(io, copies, &wrote);
    if (error == 0 && wrote)
        error = bb_io_flush(io);
    if (error != 0)
        return error;
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
    struct reading readings[2];
    const struct reading *best = NULL;
    unsigned best_copy = 0;
    if (io->device_size < DEVICE_SIZE_MIN)
        return BB_ERR_DAMAGED;
    unsigned count = read_all(io, readings);
    for (unsigned k = 0; k < count; k++) {
        for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++) {
            if (readings[k].copies.error[i] != 0 ||
                (best != NULL &&
                 readings[k].supers[i].generation <= best->supers[best_copy].generation))
                continue;
            best = &readings[k];
            best_copy = i;
        }
    }
    if (best == NULL)
        return BB_ERR_DAMAGED;
    *copies = best->copies;
    copies->super = best->supers[best_copy];
    copies->equal_count = 1;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++)
        copies->differs[i] = i != best_copy;
    return geometry_check(io, &copies->super);
}

int bb_super_adopt(struct bb_io *io, struct bb_super_copies *copies)
{
    bool wrote = false;
    BB_ASSERT(copies->equal_count == 1);
    int error = write_differing(io, copies, &wrote);
    return error == 0 ? bb_io_flush(io) : error;
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
        if (error == 0 && (copy % 2 == 0 || is_alone(io, super, copy))) {
            error = bb_io_flush(io);
            BB_KILL_POINT(EPOCH_PAIR_FLUSHED);
        }
        if (error != 0)
            return error;
    }
    return 0;
}

/* ---- growing ---- */

static uint64_t tail_end_of(const struct bb_layout *layout)
{
    return layout->tail_offset + BB_TAIL_SIZE;
}

/* A tail is zero but for its copies: here its part that the old one does not cover, and what is
 * left of the device behind it. */
static int zero_new_tail(struct bb_io *io, const struct bb_layout *old,
                         const struct bb_layout *grown)
{
    static _Alignas(BB_UNIT_SIZE) uint8_t zeros[ZERO_SIZE]; /* never written */
    uint64_t offset = bb_max_u64(grown->tail_offset, tail_end_of(old));
    uint64_t end = bb_align_down(grown->device_size, BB_UNIT_SIZE);
    while (offset < end) {
        uint32_t size = (uint32_t)bb_min_u64(end - offset, ZERO_SIZE);
        int error = bb_io_write(io, BB_IO_SUPER, offset, zeros, size);
        if (error != 0)
            return error;
        offset += size;
    }
    return 0;
}

/* The old tail is going to hold blocks. */
static int zero_old_copies(struct bb_io *io, const struct bb_layout *old,
                           const struct bb_layout *grown)
{
    union unit unit;
    memset(unit.bytes, 0, sizeof(unit.bytes));
    for (unsigned copy = 3; copy <= BB_SUPER_COPY_COUNT; copy++) {
        uint64_t offset = bb_layout_super_offset(old->device_size, copy);
        if (offset == bb_layout_super_offset(grown->device_size, 3))
            continue; /* 4 MiB more */
        int error = bb_io_write(io, BB_IO_SUPER, offset, unit.bytes, BB_UNIT_SIZE);
        if (error != 0)
            return error;
    }
    return 0;
}

/* One or two copies of a grown superblock, then a flush. */
static int write_grown(struct bb_io *io, const struct bb_super *super, unsigned first,
                       unsigned count)
{
    for (unsigned copy = first; copy < first + count; copy++) {
        int error = write_copy(io, super, copy);
        if (error != 0)
            return error;
    }
    return bb_planted(GROW_NOT_FLUSHED) ? 0 : bb_io_flush(io);
}

int bb_super_grow(struct bb_io *io, struct bb_super *super, const struct bb_layout *layout)
{
    const struct bb_layout old = super->layout;
    BB_ASSERT(layout->tail_offset > old.tail_offset);
    BB_ASSERT(super->generation < UINT64_MAX);
    super->layout = *layout;
    super->must_understand = layout->short_count > 0 ? BB_SUPER_SHORT_ZONES : 0;
    super->generation++;
    int error = zero_new_tail(io, &old, layout);
    if (error == 0 && !bb_planted(GROW_HEAD_FIRST))
        error = write_grown(io, super, 3, 2);
    if (error == 0)
        error = write_grown(io, super, 1, bb_planted(GROW_HEADS_AT_ONCE) ? 2 : 1);
    if (error == 0 && !bb_planted(GROW_HEADS_AT_ONCE))
        error = write_grown(io, super, 2, 1);
    if (error == 0 && bb_planted(GROW_HEAD_FIRST))
        error = write_grown(io, super, 3, 2);
    if (error == 0 && !bb_planted(GROW_OLD_TAIL_KEPT))
        error = zero_old_copies(io, &old, layout);
    return error == 0 ? bb_io_flush(io) : error;
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
