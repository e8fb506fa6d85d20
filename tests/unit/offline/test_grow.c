/* SPDX-License-Identifier: Apache-2.0
 * Growing a store (grow.h) over the simulated device, cut at every request, with every combination
 * of what the device had kept of the last writes. Every image must open with the old size or the
 * new one, hold every block, check clean, take blocks, grow on when it is asked again (cut again),
 * and rebuild its index from what then stands there.
 */
#include "rig.h"

#include "bb/bits.h"
#include "bb/crosscheck.h"
#include "bb/err.h"
#include "bb/grow.h"
#include "bb/superblock.h"
#include "seen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SUPERS_MAX 6u /* places: two in the head, two in each tail */
#define CODES_MAX 3u  /* writes before a cut of which all combinations are tried */

/* ---- a store, and copies of it ---- */

/* A device that runs a copy of a store; the oracle's certainty is the store's. */
static struct rig copy;

static void replace(struct rig *rig, struct bb_sim *sim, struct memindex *mem)
{
    rig_drop(rig);
    bb_sim_close(rig->sim);
    memindex_free(rig->mem);
    rig->sim = sim;
    rig->mem = mem;
}

static void copy_is(const struct rig *rig, const struct bb_sim *sim)
{
    copy.index_uuid = rig->index_uuid;
    memcpy(copy.allowed, rig->allowed, sizeof(copy.allowed));
    replace(&copy, bb_sim_clone(sim), memindex_clone(rig->mem));
}

/* The same bytes on a larger device, zeros or what somebody left there behind them. */
static struct bb_sim *enlarged(const struct bb_sim *sim, uint64_t old_size, uint64_t size,
                               bool garbage)
{
    static uint8_t bytes[BB_MIB];
    struct bb_sim_config config = {.size = size, .in_order = true};
    struct bb_sim *larger = bb_sim_open(&config);
    for (uint64_t offset = 0; offset < size; offset += sizeof(bytes)) {
        uint64_t count = bb_min_u64(sizeof(bytes), size - offset);
        uint64_t kept = offset < old_size ? bb_min_u64(count, old_size - offset) : 0;
        memset(bytes, garbage ? 0x5a : 0, sizeof(bytes));
        if (kept > 0)
            bb_sim_peek(sim, offset, bytes, kept);
        if (garbage || !bb_is_zero(bytes, count))
            bb_sim_poke(larger, offset, bytes, count);
    }
    return larger;
}

static void enlarge(struct rig *rig, uint64_t size, bool garbage)
{
    struct bb_sim *larger = enlarged(rig->sim, bb_sim_io(rig->sim)->device_size, size, garbage);
    bb_sim_close(rig->sim);
    rig->sim = larger;
}

static void start(struct rig *rig)
{
    int error = rig_start(rig);
    if (error != 0)
        fail_msg("start: %d: %s", error, rig->explain.text);
}

static void stop(struct rig *rig)
{
    assert_int_equal(rig_stop(rig), 0);
}

/* PUTs ids from `first` on until one does not fit, or the last; the one behind the last stored. */
static uint32_t fill_up(struct rig *rig, uint32_t first, uint32_t end)
{
    for (uint32_t id = first; id < end; id++) {
        if (rig->allowed[id] == RIG_PRESENT)
            continue;
        int result = rig_do(rig, RIG_PUT, id);
        if (result != 0)
            return id;
    }
    return end;
}

static int check(struct rig *rig, struct bb_crosscheck_report *ret_report)
{
    struct bb_index index = memindex_index(rig->mem);
    struct bb_crosscheck_options options = {.deep = true};
    struct bb_recover_config config = {.io = bb_sim_io(rig->sim),
                                       .index = &index,
                                       .scratch = rig->scratch,
                                       .scratch_size = RIG_SCRATCH_SIZE};
    return bb_crosscheck_run(&config, &options, ret_report, &rig->explain);
}

static void assert_clean(struct rig *rig)
{
    struct bb_crosscheck_report report;
    if (check(rig, &report) != 0)
        fail_msg("check: %s", rig->explain.text);
    assert_int_equal(report.errors, 0);
    assert_int_equal(report.notes, 0);
}

static int grow(struct rig *rig, bool dry_run, struct bb_grow_report *ret_report)
{
    struct bb_index index = memindex_index(rig->mem);
    struct bb_grow_options options = {.dry_run = dry_run};
    struct bb_recover_config config = {.io = bb_sim_io(rig->sim),
                                       .index = &index,
                                       .scratch = rig->scratch,
                                       .scratch_size = RIG_SCRATCH_SIZE};
    return bb_grow_run(&config, &options, ret_report, &rig->explain);
}

static struct bb_layout layout_of(struct bb_sim *sim)
{
    struct bb_super_copies copies;
    int error = bb_super_load(bb_sim_io(sim), &copies);
    if (error != 0)
        fail_msg("superblocks: %d", error);
    return copies.super.layout;
}

/* ---- one growth, cut everywhere ---- */

struct growth {
    struct rig *rig; /* stopped, on the enlarged device */
    struct bb_layout old, new;
    struct seen seen;
    uint64_t cuts, images, old_count, new_count;
    bool nested;
};

/* What tells images apart: nothing else is written but zeros. */
static uint64_t identity_of(const struct growth *growth, const struct bb_sim *sim)
{
    static uint8_t units[SUPERS_MAX][BB_UNIT_SIZE];
    uint64_t sizes[2] = {growth->old.device_size, growth->new.device_size}, identity;
    struct bb_hash hash;
    for (unsigned i = 0; i < SUPERS_MAX; i++)
        bb_sim_peek(sim, bb_layout_super_offset(sizes[i / 4], i % 4 < 2 && i >= 4 ? i - 1 : i + 1),
                    units[i], BB_UNIT_SIZE);
    bb_hash_of(units, sizeof(units), &hash);
    memcpy(&identity, &hash, sizeof(identity));
    return identity;
}

/* The partition was enlarged once more before anybody looked: only the superblocks matter. */
static void assert_opens_on_a_larger_device(const struct growth *growth, const struct bb_sim *sim)
{
    uint8_t unit[BB_UNIT_SIZE];
    uint64_t sizes[2] = {growth->old.device_size, growth->new.device_size};
    struct bb_sim_config config = {.size = growth->new.device_size + 3 * BB_MIB};
    struct bb_sim *larger = bb_sim_open(&config);
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 1; i <= BB_SUPER_COPY_COUNT; i++) {
            bb_sim_peek(sim, bb_layout_super_offset(sizes[k], i), unit, sizeof(unit));
            bb_sim_poke(larger, bb_layout_super_offset(sizes[k], i), unit, sizeof(unit));
        }
    }
    (void)layout_of(larger);
    bb_sim_close(larger);
}

/* The store in `copy` as every start, check and rebuild sees it. */
static void judge_copy(const struct rig *rig, const struct bb_sim *image)
{
    uint64_t before = copy.violations;
    start(&copy);
    assert_int_equal(rig_check(&copy), 0);
    for (uint32_t id = 0; id < 6; id++)
        (void)rig_do(&copy, id % 3 == 2 ? RIG_DELETE : RIG_PUT, copy.config.id_count - 1 - id);
    stop(&copy);
    assert_clean(&copy);
    copy_is(rig, image);
    memindex_wipe(copy.mem);
    if (rig_rebuild(&copy) != 0)
        fail_msg("rebuild: %s", copy.explain.text);
    start(&copy);
    assert_int_equal(rig_check(&copy), 0); /* also: what was deleted is not back */
    rig_drop(&copy);
    assert_int_equal(copy.violations, before);
}

static void cut_everywhere(struct growth *growth, const struct bb_sim *base);

static void judge(struct growth *growth, struct bb_sim *image, bool finished)
{
    struct bb_layout layout = layout_of(image);
    bool is_new = layout.device_size == growth->new.device_size;
    assert_true(is_new || layout.device_size == growth->old.device_size);
    assert_true(is_new || !finished);
    if (seen_before(&growth->seen, identity_of(growth, image)))
        return;
    growth->images++;
    growth->old_count += is_new ? 0 : 1;
    growth->new_count += is_new ? 1 : 0;
    assert_opens_on_a_larger_device(growth, image);
    copy_is(growth->rig, image);
    judge_copy(growth->rig, image);
    if (!growth->nested) {
        growth->nested = true;
        cut_everywhere(growth, image);
        growth->nested = false;
    }
}

struct first_write {
    uint64_t number; /* 0: none yet */
};

static struct bb_sim_fault note_write(void *context, const struct bb_io_request *request,
                                      uint64_t number)
{
    struct first_write *first = context;
    if (request->op != BB_IO_READ && request->class == BB_IO_SUPER && first->number == 0)
        first->number = number;
    return (struct bb_sim_fault){.kind = BB_SIM_PASS};
}

/* Which of the writes that are not durable are there: the digits say it of the last ones, `rest` of
 * those before. */
struct kept {
    uint64_t code;
    bool rest;
};

static struct bb_sim_fate choose(void *context, const struct bb_sim_write *write)
{
    const struct kept *kept = context;
    if (write->count > CODES_MAX && write->index < write->count - CODES_MAX)
        return (struct bb_sim_fate){.part = kept->rest ? BB_SIM_COMPLETE : BB_SIM_ABSENT};
    struct bb_sim_write shifted = *write;
    shifted.index -= write->count > CODES_MAX ? write->count - CODES_MAX : 0;
    uint64_t code = kept->code;
    return bb_sim_choose_code(&code, &shifted);
}

/* A device may leave a unit that it was writing with neither content: those of the last writes that
 * `mask` names. A superblock differs from the one before in one sector, so tearing does not do it.
 */
static void spoil(const struct bb_sim *at_cut, struct bb_sim *image, unsigned mask)
{
    size_t count = bb_sim_undurable_count(at_cut);
    for (unsigned i = 0; i < CODES_MAX && i < count; i++) {
        struct bb_sim_write write = bb_sim_undurable(at_cut, count - 1 - i);
        uint8_t byte = 0xa5;
        if ((mask >> i & 1) != 0 && write.size == BB_UNIT_SIZE)
            bb_sim_poke(image, write.offset + 300, &byte, 1);
    }
}

static void judge_spoilt(struct growth *growth, const struct bb_sim *at_cut, bool finished)
{
    for (unsigned how = 0; how < 2u << CODES_MAX; how++) {
        struct bb_sim *image = bb_sim_clone(at_cut);
        bb_sim_power_cut(image, how % 2 == 0 ? bb_sim_choose_none : bb_sim_choose_all, NULL);
        spoil(at_cut, image, how / 2);
        judge(growth, image, finished);
        bb_sim_close(image);
    }
}

static void judge_cuts(struct growth *growth, const struct bb_sim *at_cut, bool finished)
{
    size_t undurable = bb_sim_undurable_count(at_cut);
    uint64_t codes = 1;
    for (size_t i = 0; i < undurable && i < CODES_MAX; i++)
        codes *= BB_SIM_CODE_BASE;
    for (unsigned rest = 0; rest < (undurable > CODES_MAX ? 2u : 1u); rest++) {
        for (uint64_t code = 0; code < codes; code++) {
            struct kept kept = {.code = code, .rest = rest == 1};
            struct bb_sim *image = bb_sim_clone(at_cut);
            bb_sim_power_cut(image, choose, &kept);
            judge(growth, image, finished);
            bb_sim_close(image);
        }
    }
    judge_spoilt(growth, at_cut, finished);
    growth->cuts++;
}

static void cut_everywhere(struct growth *growth, const struct bb_sim *base)
{
    struct first_write first = {.number = 0};
    struct bb_grow_report report;
    struct rig *rig = growth->rig;
    copy_is(rig, base);
    bb_sim_set_fault(copy.sim, note_write, &first);
    uint64_t before = bb_sim_submitted(copy.sim);
    if (grow(&copy, false, &report) != 0)
        fail_msg("grow: %s", copy.explain.text);
    uint64_t total = bb_sim_submitted(copy.sim) - before;
    struct bb_layout layout = layout_of(copy.sim);
    assert_int_equal(layout.device_size, growth->new.device_size);
    if (first.number == 0) /* it had grown, and all four copies were equal */
        return;
    for (uint64_t n = first.number - before; n <= total + 1; n++) {
        copy_is(rig, base);
        bb_sim_cut_at(copy.sim, n);
        int error = grow(&copy, false, &report);
        assert_int_equal(error, n <= total ? BB_ERR_CANCELLED : 0);
        struct bb_sim *at_cut = bb_sim_clone(copy.sim);
        judge_cuts(growth, at_cut, error == 0);
        bb_sim_close(at_cut);
    }
}

/* The rig is stopped and stands on the enlarged device. */
static void explore(struct rig *rig, uint64_t old_size)
{
    struct growth growth = {.rig = rig};
    struct bb_grow_report report;
    growth.old = layout_of(rig->sim);
    assert_int_equal(growth.old.device_size, old_size);
    copy_is(rig, rig->sim);
    assert_int_equal(grow(&copy, true, &report), 0);
    growth.new = report.after;
    assert_int_equal(layout_of(copy.sim).device_size, old_size);
    assert_int_equal(growth.new.device_size, bb_sim_io(rig->sim)->device_size);
    cut_everywhere(&growth, rig->sim);
    print_message("%llu to %llu MiB: %llu cuts, %llu images, %llu of them old, %llu new\n",
                  (unsigned long long)(old_size / BB_MIB),
                  (unsigned long long)(growth.new.device_size / BB_MIB),
                  (unsigned long long)growth.cuts, (unsigned long long)growth.images,
                  (unsigned long long)growth.old_count, (unsigned long long)growth.new_count);
    assert_true(growth.old_count >= 3 && growth.new_count >= 3);
    seen_free(&growth.seen);
}

/* A store of 33 MiB whose zones are `full` of blocks, some of them deleted again. */
static void open_store(struct rig *rig, uint64_t size, uint64_t zone_size, bool full)
{
    struct rig_config config = {.seed = 7,
                                .device_size = size,
                                .zone_size = zone_size,
                                .id_count = full ? 400 : 60,
                                .size_max = full ? 300000 : 20000,
                                .in_order = true};
    rig_open(rig, &config);
    rig_open(&copy, &config);
    start(rig);
    uint32_t end = fill_up(rig, 0, full ? 390 : 40);
    for (uint32_t id = 0; id < end; id += 3)
        assert_int_equal(rig_do(rig, RIG_DELETE, id), 0);
    stop(rig);
}

static void close_store(struct rig *rig)
{
    rig_close(rig);
    rig_close(&copy);
}

static void cut(uint64_t size, uint64_t zone_size, bool full, uint64_t more)
{
    static struct rig rig;
    open_store(&rig, size, zone_size, full);
    enlarge(&rig, size + more, more % 2 == 0);
    explore(&rig, size);
    close_store(&rig);
}

static void cut_anywhere_it_is_the_old_size_or_the_new(void **state)
{
    (void)state;
    cut(33 * BB_MIB, 4 * BB_MIB, false, 20 * BB_MIB);
}

/* 4 MiB more: the new copy 3 stands where the old copy 4 was. */
static void cut_anywhere_where_the_tails_overlap(void **state)
{
    (void)state;
    cut(33 * BB_MIB, 4 * BB_MIB, false, 4 * BB_MIB);
}

/* The last zone has 5 of 8 MiB, and blocks in it. */
static void cut_anywhere_behind_an_open_short_zone(void **state)
{
    (void)state;
    cut(30 * BB_MIB, 8 * BB_MIB, true, 11 * BB_MIB + 5 * BB_UNIT_SIZE);
}

/* ---- several growths ---- */

static uint32_t grow_and_fill(struct rig *rig, uint64_t size, uint32_t end)
{
    struct bb_grow_report report;
    struct bb_layout before = layout_of(rig->sim);
    enlarge(rig, size, true);
    start(rig); /* nobody has grown it yet */
    assert_int_equal(rig_check(rig), 0);
    stop(rig);
    if (grow(rig, false, &report) != 0)
        fail_msg("grow: %s", rig->explain.text);
    struct bb_layout after = layout_of(rig->sim);
    assert_int_equal(report.grown, after.device_size != before.device_size);
    uint64_t more = bb_layout_units(&after, after.zone_count);
    assert_true(report.grown == (more > bb_layout_units(&before, before.zone_count)));
    assert_clean(rig);
    start(rig);
    assert_int_equal(rig_check(rig), 0);
    uint32_t now = fill_up(rig, end, rig->config.id_count);
    assert_true(rig_status(rig).total_units == more);
    assert_true(!report.grown || now > end);
    assert_int_equal(rig_check(rig), 0);
    stop(rig);
    assert_clean(rig);
    return now;
}

static void many_growths_in_a_row_lose_nothing_and_use_everything(void **state)
{
    (void)state;
    static struct rig rig;
    static const uint64_t steps[] = {BB_UNIT_SIZE, BB_MIB - BB_UNIT_SIZE,
                                     3 * BB_MIB,   5 * BB_MIB + 512 * 9,
                                     4 * BB_MIB,   7 * BB_MIB + BB_UNIT_SIZE,
                                     8 * BB_MIB,   2 * BB_MIB,
                                     20 * BB_MIB,  BB_MIB / 2,
                                     4 * BB_MIB,   33 * BB_MIB + 17 * BB_UNIT_SIZE};
    struct rig_config config = {.seed = 3,
                                .device_size = 31 * BB_MIB,
                                .zone_size = 8 * BB_MIB,
                                .id_count = 4000,
                                .size_max = BB_BLOCK_SIZE_MAX,
                                .in_order = true};
    rig_open(&rig, &config);
    start(&rig);
    uint32_t end = fill_up(&rig, 0, config.id_count);
    stop(&rig);
    uint64_t size = config.device_size;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        size += bb_align_up(steps[i], BB_UNIT_SIZE);
        end = grow_and_fill(&rig, size, end);
    }
    end = grow_and_fill(&rig, 10 * size, end);
    struct bb_layout layout = layout_of(rig.sim);
    print_message("%llu MiB, %u zones, %u of them short, %u blocks\n",
                  (unsigned long long)(layout.device_size / BB_MIB), layout.zone_count,
                  layout.short_count, end);
    assert_true(layout.short_count >= 4);
    memindex_wipe(rig.mem);
    assert_int_equal(rig_rebuild(&rig), 0);
    start(&rig);
    assert_int_equal(rig_check(&rig), 0);
    rig_close(&rig);
}

/* ---- refusals ---- */

static void a_store_that_was_not_stopped_is_refused(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    struct bb_hash before, after;
    open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
    start(&rig);
    assert_int_equal(rig_do(&rig, RIG_PUT, 50), 0);
    rig_drop(&rig);
    bb_sim_power_cut(rig.sim, bb_sim_choose_all, NULL);
    enlarge(&rig, 60 * BB_MIB, false);
    bb_sim_digest(rig.sim, &before);
    assert_int_equal(grow(&rig, false, &report), BB_ERR_REFUSED);
    assert_non_null(strstr(rig.explain.text, "not stopped cleanly"));
    bb_sim_digest(rig.sim, &after);
    assert_true(bb_hash_equal(&before, &after));
    close_store(&rig);
}

static void a_damaged_store_is_refused(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    uint8_t byte = 0xa5;
    open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
    struct bb_layout layout = layout_of(rig.sim);
    bb_sim_poke(rig.sim, bb_layout_slot_offset(&layout, 0, 0) + 100, &byte, 1);
    enlarge(&rig, 60 * BB_MIB, false);
    assert_int_equal(grow(&rig, false, &report), BB_ERR_REFUSED);
    assert_non_null(strstr(rig.explain.text, "--repair"));
    close_store(&rig);
}

static void a_smaller_device_is_refused(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
    enlarge(&rig, 33 * BB_MIB - BB_UNIT_SIZE, false);
    assert_int_equal(grow(&rig, false, &report), BB_ERR_GEOMETRY);
    assert_int_equal(rig_start(&rig), BB_ERR_GEOMETRY);
    close_store(&rig);
}

static void a_damaged_superblock_copy_is_healed_on_the_way(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    for (unsigned copy_number = 1; copy_number <= BB_SUPER_COPY_COUNT; copy_number++) {
        uint8_t byte = 0xa5;
        open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
        bb_sim_poke(rig.sim, bb_layout_super_offset(33 * BB_MIB, copy_number) + 900, &byte, 1);
        enlarge(&rig, 60 * BB_MIB, false);
        assert_int_equal(grow(&rig, false, &report), 0);
        assert_true(report.grown);
        assert_int_equal(report.healed, 1);
        assert_clean(&rig);
        assert_int_equal(layout_of(rig.sim).device_size, 60 * BB_MIB);
        close_store(&rig);
    }
}

/* ---- what is left behind ---- */

static void the_old_tail_is_no_superblock_any_more(void **state)
{
    (void)state;
    static struct rig rig;
    static const uint64_t more[] = {4 * BB_MIB, 5 * BB_MIB, 7 * BB_MIB, 20 * BB_MIB};
    struct bb_grow_report report;
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        uint64_t size = 33 * BB_MIB;
        open_store(&rig, size, 4 * BB_MIB, false);
        enlarge(&rig, size + more[i], true);
        assert_int_equal(grow(&rig, false, &report), 0);
        for (unsigned number = 3; number <= BB_SUPER_COPY_COUNT; number++) {
            struct bb_disk_super disk;
            struct bb_super super;
            uint64_t offset = bb_layout_super_offset(size, number);
            bb_sim_peek(rig.sim, offset, &disk, sizeof(disk));
            if (offset != bb_layout_super_offset(size + more[i], 3))
                assert_true(bb_is_zero(&disk, sizeof(disk)));
            assert_int_not_equal(bb_super_decode(&disk, offset, number, &super), 0);
        }
        /* and the new tail is zero but for its copies */
        static uint8_t tail[BB_TAIL_SIZE];
        bb_sim_peek(rig.sim, size + more[i] - BB_TAIL_SIZE, tail, sizeof(tail));
        memset(tail + BB_MIB, 0, BB_UNIT_SIZE);
        memset(tail + 5 * BB_MIB, 0, BB_UNIT_SIZE);
        assert_true(bb_is_zero(tail, sizeof(tail)));
        close_store(&rig);
    }
}

/* Every superblock that was being written is left with neither content. */
static void spoil_supers(const struct bb_sim *at_cut, struct bb_sim *image)
{
    for (size_t i = 0; i < bb_sim_undurable_count(at_cut); i++) {
        struct bb_sim_write write = bb_sim_undurable(at_cut, i);
        uint8_t byte = 0xa5;
        if (write.class == BB_IO_SUPER)
            bb_sim_poke(image, write.offset + 300, &byte, 1);
    }
}

/* As long as nobody has grown it, only the head says where the tail is. */
static void on_a_larger_device_one_head_copy_can_always_be_read(void **state)
{
    (void)state;
    static struct rig rig;
    uint64_t spoilt = 0;
    open_store(&rig, 33 * BB_MIB, 4 * BB_MIB, false);
    enlarge(&rig, 60 * BB_MIB, false);
    for (uint64_t n = 1;; n++) {
        copy_is(&rig, rig.sim);
        bb_sim_cut_at(copy.sim, n);
        int error = rig_start(&copy);
        for (uint32_t id = 40; error == 0 && id < 60; id++) /* until a zone is opened */
            (void)rig_submit(&copy, RIG_PUT, id);
        if (error == 0)
            error = rig_stop(&copy);
        rig_drop(&copy);
        if (error == 0)
            break;
        struct bb_sim *image = bb_sim_clone(copy.sim);
        bb_sim_power_cut(image, bb_sim_choose_none, NULL);
        spoil_supers(copy.sim, image);
        struct bb_super_copies copies;
        assert_int_equal(bb_super_load(bb_sim_io(image), &copies), 0);
        spoilt += copies.equal_count < BB_SUPER_COPY_COUNT;
        /* a start that heals them is cut as well */
        for (uint64_t k = 1; k <= 8 && copies.equal_count < BB_SUPER_COPY_COUNT; k++) {
            struct bb_sim *again = bb_sim_clone(image), *cut_again;
            struct bb_super_copies healing = copies;
            bb_sim_cut_at(again, k);
            int error_again = bb_super_heal(bb_sim_io(again), &healing);
            assert_true(error_again == 0 || error_again == BB_ERR_CANCELLED);
            cut_again = bb_sim_clone(again);
            bb_sim_power_cut(cut_again, bb_sim_choose_none, NULL);
            spoil_supers(again, cut_again);
            (void)layout_of(cut_again);
            bb_sim_close(cut_again);
            bb_sim_close(again);
        }
        bb_sim_close(image);
    }
    assert_true(spoilt > 10);
    close_store(&rig);
}

/* Somebody puts the device's image from before back, without the end: what stands there is newer,
 * and not this store's. */
static void an_image_from_before_does_not_see_the_new_tail(void **state)
{
    (void)state;
    static struct rig rig;
    struct bb_grow_report report;
    uint64_t size = 33 * BB_MIB;
    open_store(&rig, size, 4 * BB_MIB, false);
    copy_is(&rig, rig.sim);
    struct bb_sim *before = bb_sim_clone(rig.sim);
    enlarge(&rig, 60 * BB_MIB, false);
    assert_int_equal(grow(&rig, false, &report), 0);
    start(&rig);
    stop(&rig);
    static uint8_t bytes[33 << 20];
    bb_sim_peek(before, 0, bytes, size);
    bb_sim_poke(rig.sim, 0, bytes, size);
    bb_sim_close(before);
    assert_int_equal(layout_of(rig.sim).device_size, size);
    replace(&rig, bb_sim_clone(rig.sim), memindex_clone(copy.mem));
    start(&rig);
    assert_int_equal(rig_check(&rig), 0);
    stop(&rig);
    assert_int_equal(grow(&rig, false, &report), 0);
    assert_clean(&rig);
    close_store(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_anywhere_it_is_the_old_size_or_the_new),
        cmocka_unit_test(cut_anywhere_where_the_tails_overlap),
        cmocka_unit_test(cut_anywhere_behind_an_open_short_zone),
        cmocka_unit_test(many_growths_in_a_row_lose_nothing_and_use_everything),
        cmocka_unit_test(a_store_that_was_not_stopped_is_refused),
        cmocka_unit_test(a_damaged_store_is_refused),
        cmocka_unit_test(a_smaller_device_is_refused),
        cmocka_unit_test(a_damaged_superblock_copy_is_healed_on_the_way),
        cmocka_unit_test(the_old_tail_is_no_superblock_any_more),
        cmocka_unit_test(on_a_larger_device_one_head_copy_can_always_be_read),
        cmocka_unit_test(an_image_from_before_does_not_see_the_new_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
