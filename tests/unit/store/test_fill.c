/* SPDX-License-Identifier: Apache-2.0
 * The allocator filled from an index.
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/fill.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct filled {
    void *memory;
    struct bb_buddy *buddy;
    struct bb_filled found;
    struct bb_explain explain;
    int error;
};

static void fill(struct scribe *scribe, struct filled *filled)
{
    struct bb_index index = memindex_index(scribe->mem);
    uint32_t zones = scribe->super.layout.zone_count;
    uint64_t units = bb_layout_zone(&scribe->super.layout, 0).unit_count;
    size_t size = bb_align_up(bb_buddy_memory(zones, units), BB_UNIT_SIZE);
    filled->memory = aligned_alloc(BB_UNIT_SIZE, size);
    memset(filled->memory, 0, size);
    filled->buddy = bb_buddy_init(filled->memory, size, zones, units);
    filled->error =
        bb_fill(&index, &scribe->super, filled->buddy, &filled->found, &filled->explain);
}

static void tamper(struct scribe *scribe, unsigned key, uint64_t unit)
{
    struct bb_change change = {
        .hash = scribe_hash(key), .unit = unit, .size = scribe_size(key), .present = true};
    memindex_tamper(scribe->mem, &change);
}

static struct scribe *three_blocks(void)
{
    struct scribe *scribe = scribe_new(1, 0);
    uint64_t first = bb_layout_zone(&scribe->super.layout, 0).first_unit;
    scribe_put(scribe, 7, first + 16, true);
    scribe_put(scribe, 1, first, true); /* the empty block takes a unit */
    scribe_put(scribe, 3, bb_layout_zone(&scribe->super.layout, 1).first_unit + 510, true);
    assert_true(scribe_record(scribe));
    scribe_flush(scribe);
    scribe_checkpoint(scribe);
    return scribe;
}

static void free_space_is_the_complement_of_the_live_extents(void **state)
{
    (void)state;
    struct scribe *scribe = three_blocks();
    struct filled filled;
    uint64_t first = bb_layout_zone(&scribe->super.layout, 0).first_unit;
    fill(scribe, &filled);
    assert_int_equal(filled.error, 0);
    assert_int_equal(filled.found.set.count, 3);
    assert_true(bb_set_equal(&filled.found.set, &scribe->anchor.set));
    assert_int_equal(filled.found.bytes, scribe_size(7) + scribe_size(1) + scribe_size(3));
    assert_int_equal(bb_buddy_total_units(filled.buddy), 1024);
    assert_int_equal(bb_buddy_free_units(filled.buddy), 1024 - 18 - 1 - 2);
    assert_true(bb_buddy_is_used(filled.buddy, first, 1));
    assert_true(bb_buddy_is_used(filled.buddy, first + 16, 18));
    assert_false(bb_buddy_is_used(filled.buddy, first + 1, 1));
    bb_buddy_verify(filled.buddy);
    free(filled.memory);
    scribe_free(scribe);
}

static void overlap_is_refused_with_both_names(void **state)
{
    (void)state;
    struct scribe *scribe = three_blocks();
    struct filled filled;
    tamper(scribe, 0, scribe->unit[7] + 17);
    fill(scribe, &filled);
    assert_int_equal(filled.error, BB_ERR_OVERLAP);
    for (unsigned key = 0; key <= 7; key += 7) {
        char hex[BB_HASH_HEX_SIZE];
        struct bb_hash hash = scribe_hash(key);
        bb_hash_to_hex(&hash, hex);
        hex[16] = '\0';
        assert_non_null(strstr(filled.explain.text, hex));
    }
    free(filled.memory);
    scribe_free(scribe);
}

static void extent_outside_the_open_zones_is_refused(void **state)
{
    (void)state;
    for (unsigned where = 0; where < 3; where++) {
        struct scribe *scribe = three_blocks();
        struct filled filled;
        struct bb_zone zone = bb_layout_zone(&scribe->super.layout, where == 0 ? 2 : 1);
        uint64_t units[] = {zone.first_unit, zone.first_unit + zone.unit_count - 1, 5};
        tamper(scribe, 5, units[where]); /* five units */
        fill(scribe, &filled);
        assert_int_equal(filled.error, BB_ERR_DAMAGED);
        free(filled.memory);
        scribe_free(scribe);
    }
}

static void other_entries_give_another_set(void **state)
{
    (void)state;
    struct scribe *scribe = three_blocks();
    struct filled filled;
    tamper(scribe, 7, scribe->unit[7] + 100); /* it says so, and nobody else wants the units */
    fill(scribe, &filled);
    assert_int_equal(filled.error, 0);
    assert_int_equal(filled.found.set.count, scribe->anchor.set.count);
    assert_false(bb_set_equal(&filled.found.set, &scribe->anchor.set));
    free(filled.memory);
    scribe_free(scribe);
}

static int failing_scan(void *index, const struct bb_hash *after, const struct bb_hash *below,
                        bb_index_visit_fn *visit, void *context)
{
    (void)after;
    (void)below;
    (void)visit;
    (void)context;
    return *(const int *)index;
}

/* What it says names the device and a way out. */
static void index_that_cannot_be_read_is_an_error(void **state)
{
    static const struct bb_index_ops ops = {.scan = failing_scan};
    int errors[] = {-EIO, BB_ERR_INDEX_DAMAGED};
    (void)state;
    struct scribe *scribe = three_blocks();
    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct filled filled;
        struct bb_index index = {.ops = &ops, .context = &errors[i]};
        uint32_t zones = scribe->super.layout.zone_count;
        uint64_t units = bb_layout_zone(&scribe->super.layout, 0).unit_count;
        size_t size = bb_align_up(bb_buddy_memory(zones, units), BB_UNIT_SIZE);
        filled.memory = aligned_alloc(BB_UNIT_SIZE, size);
        memset(filled.memory, 0, size);
        filled.buddy = bb_buddy_init(filled.memory, size, zones, units);
        assert_int_equal(
            bb_fill(&index, &scribe->super, filled.buddy, &filled.found, &filled.explain),
            errors[i]);
        assert_non_null(strstr(filled.explain.text, "index device"));
        free(filled.memory);
    }
    scribe_free(scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_space_is_the_complement_of_the_live_extents),
        cmocka_unit_test(overlap_is_refused_with_both_names),
        cmocka_unit_test(extent_outside_the_open_zones_is_refused),
        cmocka_unit_test(other_entries_give_another_set),
        cmocka_unit_test(index_that_cannot_be_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
