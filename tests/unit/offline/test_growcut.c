/* SPDX-License-Identifier: Apache-2.0
 * Growing a store (grow.h) over the simulated device, cut at every request, with every combination
 * of what the device had kept of the last writes. Every image must open with the old size or the
 * new one, hold every block, check clean, take blocks, grow on when it is asked again (cut again),
 * and rebuild its index from what then stands there.
 */
#include "growths.h"
#include "seen.h"

#define SUPERS_MAX 6u /* places: two in the head, two in each tail */
#define CODES_MAX 3u  /* writes before a cut of which all combinations are tried */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_anywhere_it_is_the_old_size_or_the_new),
        cmocka_unit_test(cut_anywhere_where_the_tails_overlap),
        cmocka_unit_test(cut_anywhere_behind_an_open_short_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
