/* SPDX-License-Identifier: Apache-2.0
 * What bbfsck prints and with which code it ends.
 */
#include "devices.h"

#include "bb/fsck_output.h"

#include <jansson.h>

struct capture {
    char *text;
    size_t size;
    FILE *file;
    struct bb_fsck_output output;
};

static void begin(struct capture *capture, bool json)
{
    capture->file = open_memstream(&capture->text, &capture->size);
    assert_non_null(capture->file);
    bb_fsck_output_init(&capture->output, capture->file, json);
    capture->output.progress.terminal = false;
}

static json_t *end_json(struct capture *capture)
{
    json_error_t error;
    fclose(capture->file);
    json_t *object = json_loads(capture->text, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        fail_msg("%s: %s", error.text, capture->text);
    free(capture->text);
    return object;
}

static int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const struct bb_finding damage = {.kind = BB_FINDING_OVERLAP,
                                         .text = "blocks \"a\" and b overlap"};

static void clean_store_ends_with_0_and_findings_with_4(void **state)
{
    (void)state;
    for (unsigned json = 0; json < 2; json++) {
        for (unsigned errors = 0; errors < 2; errors++) {
            struct capture capture;
            struct bb_crosscheck_report report = {.errors = errors, .blocks = 7};
            begin(&capture, json == 1);
            if (errors)
                bb_fsck_output_finding(&capture.output, &damage);
            int code = bb_fsck_output_checked(&capture.output, &report);
            assert_int_equal(code, errors ? BB_FSCK_ERRORS : BB_FSCK_CLEAN);
            if (json) {
                json_t *object = end_json(&capture);
                assert_int_equal(number(object, "errors"), errors);
                assert_int_equal(number(object, "blocks"), 7);
                assert_int_equal(json_is_true(json_object_get(object, "clean")), !errors);
                json_t *findings = json_object_get(object, "findings");
                assert_int_equal(json_array_size(findings), errors);
                if (errors)
                    assert_string_equal(
                        json_string_value(json_object_get(json_array_get(findings, 0), "kind")),
                        "overlap");
                json_decref(object);
                continue;
            }
            fclose(capture.file);
            assert_non_null(strstr(capture.text, errors ? "overlap" : "clean: 7 blocks"));
            free(capture.text);
        }
    }
}

static void findings_beyond_the_limit_are_counted(void **state)
{
    (void)state;
    struct capture capture;
    struct bb_crosscheck_report report = {.errors = BB_FSCK_FINDINGS_MAX + 5};
    begin(&capture, true);
    for (unsigned i = 0; i < BB_FSCK_FINDINGS_MAX + 5; i++)
        bb_fsck_output_finding(&capture.output, &damage);
    assert_int_equal(bb_fsck_output_checked(&capture.output, &report), BB_FSCK_ERRORS);
    json_t *object = end_json(&capture);
    assert_int_equal(json_array_size(json_object_get(object, "findings")), BB_FSCK_FINDINGS_MAX);
    assert_int_equal(number(object, "findings_left_off"), 5);
    json_decref(object);
}

static void rebuild_names_what_is_lost(void **state)
{
    (void)state;
    struct bb_recovered recovered = {.report = {.blocks = 9,
                                                .pages_lost = 1,
                                                .units_lost = 112,
                                                .set_unproven = true,
                                                .lost_first = {{.first = 1000, .count = 112}}}};
    struct capture capture;
    begin(&capture, false);
    assert_int_equal(bb_fsck_output_rebuilt(&capture.output, &recovered), BB_FSCK_CORRECTED);
    fclose(capture.file);
    assert_non_null(strstr(capture.text, "1000 to 1111"));
    assert_non_null(strstr(capture.text, "cannot be compared"));
    assert_non_null(strstr(capture.text, "a block that was deleted shortly before may be back"));
    free(capture.text);
    begin(&capture, true);
    assert_int_equal(bb_fsck_output_rebuilt(&capture.output, &recovered), BB_FSCK_CORRECTED);
    json_t *object = end_json(&capture);
    assert_int_equal(number(object, "lost_units"), 112);
    assert_true(json_is_false(json_object_get(object, "set_proven")));
    json_decref(object);
}

static void repair_ends_with_1_when_nothing_is_left_and_names_what_was_given_up(void **state)
{
    (void)state;
    for (unsigned left = 0; left < 2; left++) {
        struct bb_repair_report report = {
            .before = {.errors = 2},
            .after = {.errors = left, .blocks = 7},
            .rebuilds = 1,
            .marked = 3,
            .rebuilt = {.report = {.given_up = true, .gap_first = 11, .gap_last = 12}},
            .stuck = left == 1};
        int wanted = left ? BB_FSCK_ERRORS : BB_FSCK_CORRECTED;
        struct capture capture;
        begin(&capture, false);
        assert_int_equal(bb_fsck_output_repaired(&capture.output, &report, "because"), wanted);
        fclose(capture.file);
        assert_non_null(strstr(capture.text, "given up: journal records 11 to 12"));
        assert_non_null(strstr(capture.text, "marked corrupt: 3 blocks"));
        assert_int_equal(strstr(capture.text, "because") != NULL, left == 1);
        free(capture.text);
        begin(&capture, true);
        bb_fsck_output_finding(&capture.output, &damage);
        if (left)
            bb_fsck_output_left(&capture.output, &damage);
        assert_int_equal(bb_fsck_output_repaired(&capture.output, &report, "because"), wanted);
        json_t *object = end_json(&capture);
        assert_int_equal(number(object, "marked"), 3);
        assert_int_equal(number(json_object_get(object, "given_up"), "last_record"), 12);
        assert_int_equal(json_array_size(json_object_get(object, "findings")), 1);
        assert_int_equal(json_array_size(json_object_get(object, "left")), left);
        json_decref(object);
    }
}

static void refusals_leave_errors_and_failures_are_failures(void **state)
{
    (void)state;
    struct capture capture;
    begin(&capture, true);
    assert_int_equal(bb_fsck_output_failed(&capture.output, BB_ERR_LOST_RECORD, "record 5"),
                     BB_FSCK_ERRORS);
    json_t *object = end_json(&capture);
    assert_string_equal(json_string_value(json_object_get(object, "failure")), "record 5");
    json_decref(object);
    begin(&capture, true);
    assert_int_equal(bb_fsck_output_failed(&capture.output, -EIO, "disk"), BB_FSCK_FAILED);
    json_decref(end_json(&capture));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_store_ends_with_0_and_findings_with_4),
        cmocka_unit_test(findings_beyond_the_limit_are_counted),
        cmocka_unit_test(rebuild_names_what_is_lost),
        cmocka_unit_test(repair_ends_with_1_when_nothing_is_left_and_names_what_was_given_up),
        cmocka_unit_test(refusals_leave_errors_and_failures_are_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
