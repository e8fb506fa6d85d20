/* SPDX-License-Identifier: Apache-2.0
 * Starts, repairs and rebuilds on devices that fail at each of their requests in turn: each ends
 * with an error and a sentence, or gets over it, and leaves what the next one can go on from.
 */
#include "starts.h"

#include "bb/superblock.h"

#include <errno.h>

static void *scratch;

/* ---- scenes ---- */

static uint64_t unit_at(const struct scribe *scribe, uint64_t page, uint32_t entry)
{
    return bb_layout_unit_of(&scribe->super.layout, page, entry);
}

static void wipe(struct scribe *scribe, uint64_t offset)
{
    static const uint8_t zero[64];
    bb_sim_poke(scribe->sim, offset, zero, sizeof(zero));
}

static void wipe_slot(struct scribe *scribe, uint64_t page, unsigned slot)
{
    wipe(scribe, bb_layout_slot_offset(&scribe->super.layout, page, slot));
}

/* Blocks in a checkpoint, then items of every kind, the last ones above D: a block and a heal whose
 * data is missing, a block that is there. */
static struct scribe *cut_store(void)
{
    struct scribe *scribe = scribe_new(1, 2);
    scribe_put(scribe, 0, unit_at(scribe, 0, 3), true);
    scribe_put(scribe, 4, unit_at(scribe, 1, 30), true);
    scribe_put(scribe, 7, unit_at(scribe, 2, 10), true);
    scribe_put(scribe, 9, unit_at(scribe, 4, 50), true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_put(scribe, 1, unit_at(scribe, 0, 10), true);
    scribe_delete(scribe, 4);
    scribe_mark(scribe, 7);
    scribe_commit(scribe);
    scribe_put(scribe, 3, unit_at(scribe, 1, 60), false);
    scribe_put(scribe, 5, unit_at(scribe, 3, 60), true);
    scribe_heal(scribe, 7, unit_at(scribe, 5, 1), false);
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    return scribe;
}

static struct scribe *bad_slots(void)
{
    struct scribe *scribe = cut_store();
    wipe_slot(scribe, 0, 0);
    wipe_slot(scribe, 0, 1);
    wipe_slot(scribe, 1, 0);
    wipe_slot(scribe, 4, 1);
    return scribe;
}

static struct scribe *lost_record(void)
{
    struct scribe *scribe = scribe_new(1, 2);
    scribe_put(scribe, 0, unit_at(scribe, 0, 3), true);
    scribe_put(scribe, 4, unit_at(scribe, 1, 30), true);
    scribe_put(scribe, 7, unit_at(scribe, 2, 10), true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_delete(scribe, 7);
    scribe_delete(scribe, 4);
    scribe_commit(scribe);
    uint64_t lost = scribe->last.position;
    scribe_put(scribe, 3, unit_at(scribe, 2, 15), true);
    scribe_put(scribe, 4, unit_at(scribe, 3, 7), true);
    scribe_put(scribe, 5, unit_at(scribe, 5, 7), false);
    scribe_commit(scribe);
    scribe_delete(scribe, 0);
    scribe_mark(scribe, 4);
    scribe_commit(scribe);
    assert_true(scribe_record(scribe));
    cut_all(scribe);
    wipe(scribe, ring_offset(scribe, lost));
    return scribe;
}

/* The anchor's record is gone, with records behind it or none. */
static struct scribe *lost_anchor(bool alone)
{
    struct scribe *scribe = scribe_new(1, 2);
    scribe_put(scribe, 0, unit_at(scribe, 0, 3), true);
    scribe_commit(scribe);
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
    uint64_t position = scribe->anchor.position;
    if (!alone) {
        scribe_put(scribe, 1, unit_at(scribe, 0, 10), true);
        scribe_commit(scribe);
    }
    cut_all(scribe);
    if (alone) {
        (void)recover_ok(scribe);
        wipe(scribe, ring_offset(scribe, scribe->last.position));
    } else {
        wipe(scribe, ring_offset(scribe, position));
    }
    return scribe;
}

static struct scribe *bridged(void)
{
    return lost_anchor(false);
}

static struct scribe *bridgeless(void)
{
    return lost_anchor(true);
}

/* ---- runs ---- */

enum run { START, REPAIR, CHECK, REBUILD, REBUILD_LOSS, REBUILD_CHECK, RUN_COUNT };

static void quiet(void *context, const char *step, uint64_t done, uint64_t total)
{
    (void)context;
    (void)done;
    (void)total;
    assert_non_null(step);
}

struct image {
    struct bb_sim *sim;
    struct memindex *mem;
};

static struct image image_of(const struct scribe *scribe)
{
    return (struct image){.sim = bb_sim_clone(scribe->sim), .mem = memindex_clone(scribe->mem)};
}

static void image_free(struct image *image)
{
    bb_sim_close(image->sim);
    memindex_free(image->mem);
}

static int run(enum run what, struct image *image, const struct scribe *scribe,
               struct bb_index index)
{
    struct bb_recovered recovered;
    struct bb_explain explain = {.text = ""};
    struct bb_recover_config config = {.io = bb_sim_io(image->sim),
                                       .index = &index,
                                       .scratch = scratch,
                                       .scratch_size = BB_RECOVER_SCRATCH_MIN,
                                       .progress = quiet};
    struct bb_index_state fresh = {.store = scribe->super.store, .index = {.bytes = {7}}};
    int error = 0;
    config.repair.on = what == REPAIR || what == REBUILD_LOSS;
    config.repair.accept_loss = what == REBUILD_LOSS;
    if (what == REBUILD || what == REBUILD_LOSS) {
        memindex_wipe(image->mem);
        memindex_put_state(image->mem, &fresh);
    }
    if (what == START || what == REPAIR)
        error = bb_recover(&config, &recovered, &explain);
    else if (what == CHECK)
        error = bb_recover_check(&config, &recovered, &explain);
    else if (what == REBUILD_CHECK)
        error = bb_rebuild_check(&config, &recovered, &explain);
    else
        error = bb_rebuild(&config, &fresh.index, &recovered, &explain);
    assert_true(error == 0 || explain.text[0] != '\0');
    return error;
}

struct plan {
    uint64_t at; /* request that fails */
    int error;
    bool onwards; /* and all later ones */
};

static struct bb_sim_fault fail_one(void *context, const struct bb_io_request *request,
                                    uint64_t number)
{
    struct plan *plan = context;
    (void)request;
    if (number == plan->at || (plan->onwards && number > plan->at))
        return (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = plan->error};
    return (struct bb_sim_fault){.kind = BB_SIM_PASS};
}

/* A run with the fault, then the same without: it must end as if nothing had been. */
static bool with_fault(enum run what, const struct scribe *scribe, struct plan *plan, int expected)
{
    struct image image = image_of(scribe);
    bb_sim_kill(image.sim); /* numbers count from here */
    bb_sim_set_fault(image.sim, fail_one, plan);
    (void)run(what, &image, scribe, memindex_index(image.mem));
    bool reached = bb_sim_submitted(image.sim) >= plan->at;
    bb_sim_set_fault(image.sim, NULL, NULL);
    int error = run(what, &image, scribe, memindex_index(image.mem));
    if (expected == 0 && error != 0)
        fail_msg("run %d, request %llu, error %d: afterwards %d", (int)what,
                 (unsigned long long)plan->at, plan->error, error);
    image_free(&image);
    return reached;
}

static void fail_everywhere(struct scribe *(*make)(void))
{
    static const struct plan plans[] = {
        {.error = -EIO}, {.error = -ENXIO}, {.error = -EIO, .onwards = true}};
    struct scribe *scribe = make();
    for (enum run what = START; what < RUN_COUNT; what++) {
        struct image image = image_of(scribe);
        int expected = run(what, &image, scribe, memindex_index(image.mem));
        image_free(&image);
        for (unsigned i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
            struct plan plan = plans[i];
            for (plan.at = 1; with_fault(what, scribe, &plan, expected);)
                plan.at++;
        }
    }
    scribe_free(scribe);
}

static void requests_of_a_store_that_was_cut_fail(void **state)
{
    (void)state;
    fail_everywhere(cut_store);
}

static void requests_of_a_store_with_bad_slots_fail(void **state)
{
    (void)state;
    fail_everywhere(bad_slots);
}

static void requests_of_a_store_with_a_lost_record_fail(void **state)
{
    (void)state;
    fail_everywhere(lost_record);
}

static void requests_of_a_store_without_its_anchor_fail(void **state)
{
    (void)state;
    fail_everywhere(bridged);
    fail_everywhere(bridgeless);
}

/* ---- an index that fails ---- */

struct broken {
    struct bb_index index;
    unsigned left; /* calls until it fails */
    int error;
    uint64_t count; /* not 0: what the state row claims to hold */
};

static bool fails(struct broken *broken)
{
    return broken->left > 0 && --broken->left == 0;
}

static int broken_state(void *context, struct bb_index_state *ret_state)
{
    struct broken *broken = context;
    int error =
        fails(broken) ? broken->error : broken->index.ops->state(broken->index.context, ret_state);
    if (error == 0 && broken->count != 0)
        ret_state->set.count = broken->count;
    return error;
}

static int broken_fold(void *context, const struct bb_index_fold *fold, struct bb_set *ret_set,
                       uint64_t *ret_room)
{
    struct broken *broken = context;
    return fails(broken) ? broken->error
                         : broken->index.ops->fold(broken->index.context, fold, ret_set, ret_room);
}

static int broken_scan(void *context, const struct bb_hash *after, const struct bb_hash *below,
                       bb_index_visit_fn *visit, void *visitor)
{
    struct broken *broken = context;
    return fails(broken)
               ? broken->error
               : broken->index.ops->scan(broken->index.context, after, below, visit, visitor);
}

static int broken_lookup(void *context, const struct bb_hash *hash,
                         struct bb_index_entry *ret_entry)
{
    struct broken *broken = context;
    return fails(broken) ? broken->error
                         : broken->index.ops->lookup(broken->index.context, hash, ret_entry);
}

static uint64_t broken_room(void *context)
{
    struct broken *broken = context;
    return broken->index.ops->room(broken->index.context);
}

static void broken_refresh(void *context)
{
    struct broken *broken = context;
    broken->index.ops->refresh(broken->index.context);
}

static const struct bb_index_ops broken_ops = {
    .state = broken_state,
    .lookup = broken_lookup,
    .fold = broken_fold,
    .scan = broken_scan,
    .refresh = broken_refresh,
    .room = broken_room,
};

static void calls_of_the_index_fail(void **state)
{
    static const int errors[] = {-EIO, BB_ERR_INDEX_FULL, BB_ERR_INDEX_DAMAGED,
                                 BB_ERR_NOT_FORMATTED};
    (void)state;
    struct scribe *scribe = bad_slots();
    for (enum run what = START; what < RUN_COUNT; what++) {
        for (unsigned e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
            for (unsigned at = 1;; at++) {
                struct image image = image_of(scribe);
                struct broken broken = {
                    .index = memindex_index(image.mem), .left = at, .error = errors[e]};
                struct bb_index index = {&broken_ops, &broken, broken.index.slice_max};
                int error = run(what, &image, scribe, index);
                bool reached = broken.left == 0;
                if (reached)
                    assert_int_equal(error, errors[e]);
                image_free(&image);
                if (!reached)
                    break;
            }
        }
    }
    scribe_free(scribe);
}

static void index_that_claims_more_than_the_device_holds_is_damaged(void **state)
{
    (void)state;
    struct scribe *scribe = cut_store();
    struct image image = image_of(scribe);
    struct broken broken = {.index = memindex_index(image.mem), .count = 1u << 30};
    struct bb_index index = {&broken_ops, &broken, broken.index.slice_max};
    assert_int_equal(run(START, &image, scribe, index), BB_ERR_INDEX_DAMAGED);
    image_free(&image);
    scribe_free(scribe);
}

static int make_scratch(void **state)
{
    (void)state;
    scratch = aligned_alloc(BB_UNIT_SIZE, BB_RECOVER_SCRATCH_MIN);
    return scratch == NULL;
}

static int free_scratch(void **state)
{
    (void)state;
    free(scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_a_store_that_was_cut_fail),
        cmocka_unit_test(requests_of_a_store_with_bad_slots_fail),
        cmocka_unit_test(requests_of_a_store_with_a_lost_record_fail),
        cmocka_unit_test(requests_of_a_store_without_its_anchor_fail),
        cmocka_unit_test(calls_of_the_index_fail),
        cmocka_unit_test(index_that_claims_more_than_the_device_holds_is_damaged),
    };
    return cmocka_run_group_tests(tests, make_scratch, free_scratch);
}
