/* SPDX-License-Identifier: Apache-2.0
 * One damage per finding of bbfsck. Each is found by its number, and repaired as the table says:
 * the next check finds nothing at all, every block is there, and a repair that is cut at any of its
 * requests is finished by the next one. What the table calls beyond repair is left as it was.
 */
#include "damages.h"

static uint64_t open_findings(const struct scene *scene)
{
    return scene->report.errors + scene->report.notes;
}

/* Nothing is found, and what must be there is there. */
static void assert_whole(struct act *act, struct scene *scene)
{
    int error = scene_check(scene, true);
    if (error != 0 || open_findings(scene) != 0)
        for (unsigned kind = 0; kind < BB_FINDING_COUNT; kind++)
            if (scene->report.count[kind] > 0)
                print_error("left: %s\n", scene->last[kind].text);
    assert_int_equal(error, 0);
    assert_int_equal(open_findings(scene), 0);
    if (!act->lossy) {
        struct scene next;
        struct bb_recovered recovered;
        scene_clone(&next, scene); /* without the faults */
        assert_int_equal(scene_recover(&next, &recovered), 0);
        scribe_check(act->scribe, next.sim, next.mem);
        scene_free_clone(&next);
        return;
    }
    for (unsigned key = 0; key < SCRIBE_KEYS; key++) {
        struct bb_index_entry entry;
        if ((act->survivors >> key & 1) != 0)
            assert_int_equal(scribe_lookup(scene->mem, key, &entry), SCRIBE_PRESENT);
    }
}

static const struct damage *damage_of(void **state)
{
    return *state;
}

static void damage_is_found_by_its_number(void **state)
{
    struct act act;
    start(&act);
    damage_of(state)->make(&act);
    assert_int_equal(scene_check(&act.scene, true), 0);
    assert_true(act.scene.report.count[damage_of(state)->kind] > 0);
    end(&act);
}

static void damage_is_repaired_as_the_table_says(void **state)
{
    enum bb_finding_kind kind = damage_of(state)->kind;
    enum bb_cure cure = bb_finding_info(kind)->cure;
    struct bb_repair_report report;
    struct act act;
    start(&act);
    damage_of(state)->make(&act);
    if (cure == BB_CURE_NONE || cure == BB_CURE_ACCEPT) {
        struct bb_hash before, after;
        bb_sim_digest(act.scene.sim, &before);
        assert_int_equal(scene_repair(&act.scene, cure == BB_CURE_NONE, true, &report), 0);
        bb_sim_digest(act.scene.sim, &after);
        assert_true(bb_hash_equal(&before, &after));
        assert_true(report.after.count[kind] > 0);
    }
    if (cure != BB_CURE_NONE) {
        assert_int_equal(scene_repair(&act.scene, cure == BB_CURE_ACCEPT, true, &report), 0);
        assert_true(report.before.count[kind] > 0);
        assert_int_equal(report.after.errors + report.after.notes, 0);
        if (report.stuck)
            fail_msg("%s", act.scene.explain.text);
        assert_whole(&act, &act.scene);
        /* a second repair has nothing to do */
        assert_int_equal(scene_repair(&act.scene, cure == BB_CURE_ACCEPT, true, &report), 0);
        assert_int_equal(report.supers + report.recoveries + report.rebuilds, 0);
    }
    end(&act);
}

/* The n-th request never completes; any part of what was not flushed is lost. */
static bool repair_cut_at(struct act *act, uint64_t n, bool accept, struct bb_random *random)
{
    struct bb_repair_report report;
    struct scene scene;
    scene_clone(&scene, &act->scene);
    if (act->bad_offset != 0)
        bb_sim_set_fault(scene.sim, fail_over, act);
    bb_sim_cut_at(scene.sim, n);
    int error = scene_repair(&scene, accept, true, &report);
    bool died = bb_sim_is_dead(scene.sim);
    assert_true(died || error == 0);
    if (died) {
        bb_sim_power_cut(scene.sim, bb_sim_choose_random, random);
        error = scene_repair(&scene, accept, true, &report);
        if (error != 0 || report.stuck)
            print_error("cut at request %llu: %s\n", (unsigned long long)n, scene.explain.text);
        assert_int_equal(error, 0);
        assert_whole(act, &scene);
    }
    scene_free_clone(&scene);
    return died;
}

static void repair_may_be_cut_anywhere(void **state)
{
    enum bb_cure cure = bb_finding_info(damage_of(state)->kind)->cure;
    struct bb_random random;
    struct act act;
    if (cure == BB_CURE_NONE)
        return;
    bb_random_seed(&random, 1);
    start(&act);
    damage_of(state)->make(&act);
    for (uint64_t n = 1; repair_cut_at(&act, n, cure == BB_CURE_ACCEPT, &random); n++)
        continue;
    end(&act);
}

static void every_finding_has_a_damage(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < BB_FINDING_COUNT; kind++) {
        bool found = false;
        for (size_t i = 0; i < DAMAGE_COUNT; i++)
            found = found || damages[i].kind == kind;
        if (!found)
            fail_msg("no damage for %s", bb_finding_info(kind)->name);
    }
}

static void assert_left_alone(struct act *act, bool stuck)
{
    struct bb_repair_report report;
    struct bb_hash before, after;
    bb_sim_digest(act->scene.sim, &before);
    assert_int_equal(scene_repair(&act->scene, true, false, &report), 0);
    bb_sim_digest(act->scene.sim, &after);
    assert_true(bb_hash_equal(&before, &after));
    assert_true(report.after.errors > 0);
    assert_int_equal(report.stuck, stuck);
    if (stuck)
        assert_true(act->scene.explain.text[0] != '\0');
}

/* The journal was written to since: taking it would lose what stands there. */
static void superblock_of_an_older_epoch_is_not_taken(void **state)
{
    (void)state;
    struct bb_recovered recovered;
    struct act act;
    uint8_t old[BB_UNIT_SIZE];
    start(&act);
    cut(&act);
    assert_int_equal(scene_recover(&act.scene, &recovered), 0);
    bb_sim_peek(act.scribe->sim, copy_offset(&act, 3), old, sizeof(old));
    assert_int_equal(scene_recover(&act.scene, &recovered), 0);
    act.scribe->super = recovered.super; /* a record of the new epoch */
    act.scribe->last = recovered.last;
    act.scribe->anchor = recovered.super.anchor;
    assert_true(scribe_record(act.scribe));
    bb_sim_power_cut(act.scribe->sim, bb_sim_choose_all, NULL);
    for (unsigned copy = 1; copy <= BB_SUPER_COPY_COUNT; copy++)
        scene_flip(&act.scene, copy_offset(&act, copy) + 99);
    bb_sim_poke(act.scribe->sim, copy_offset(&act, 3), old, sizeof(old));
    assert_left_alone(&act, true);
    end(&act);
}

static void nothing_is_written_when_neither_side_is_right(void **state)
{
    (void)state;
    struct act act;
    start(&act);
    stop(&act);
    tamper(&act, 0, false, 0, false);
    edit_page(&act, 2, without_block_7);
    assert_int_equal(scene_check(&act.scene, false), 0);
    assert_true(act.scene.report.compared);
    assert_left_alone(&act, false);
    end(&act);
}

/* More than one kind at a time: each step leaves what the next one needs. */
static void damages_together_are_repaired(void **state)
{
    (void)state;
    struct bb_repair_report report;
    struct act act;
    start(&act);
    bytes_wrong(&act);
    super_damaged_again(&act);
    damage_slot(&act, 0, 1);
    damage_slot(&act, 2, 0);
    damage_slot(&act, 2, 1);
    scene_flip(&act.scene, ring_offset(&act, act.scribe->anchor.position) + 9);
    assert_int_equal(scene_repair(&act.scene, false, true, &report), 0);
    assert_int_equal(report.marked, 1);
    assert_whole(&act, &act.scene);
    end(&act);
}

/* The canary of this file: an undamaged store has no findings, so the others come from the damage.
 */
static void undamaged_store_is_clean(void **state)
{
    (void)state;
    struct act act;
    start(&act);
    stop(&act);
    assert_whole(&act, &act.scene);
    end(&act);
}

int main(void)
{
    static struct CMUnitTest tests[3 * DAMAGE_COUNT + 5];
    static char names[3 * DAMAGE_COUNT][80];
    static const struct {
        const char *end;
        CMUnitTestFunction run;
    } kinds[3] = {{"is found", damage_is_found_by_its_number},
                  {"is repaired as the table says", damage_is_repaired_as_the_table_says},
                  {"may be cut anywhere in its repair", repair_may_be_cut_anywhere}};
    size_t count = 0;
    for (size_t i = 0; i < DAMAGE_COUNT; i++) {
        const struct bb_finding_info *info = bb_finding_info(damages[i].kind);
        for (unsigned k = 0; k < 3; k++, count++) {
            snprintf(names[count], sizeof(names[count]), "%u_%s %s", info->number, info->name,
                     kinds[k].end);
            tests[count] = (struct CMUnitTest){.name = names[count],
                                               .test_func = kinds[k].run,
                                               .initial_state = (void *)&damages[i]};
        }
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(every_finding_has_a_damage);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(superblock_of_an_older_epoch_is_not_taken);
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(nothing_is_written_when_neither_side_is_right);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(damages_together_are_repaired);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(undamaged_store_is_clean);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
