/* SPDX-License-Identifier: Apache-2.0
 * The table of findings: numbers and names are one per finding and in order.
 */
#include "bb/findings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void numbers_ascend_and_names_differ(void **state)
{
    (void)state;
    unsigned last = 100;
    for (unsigned kind = 0; kind < BB_FINDING_COUNT; kind++) {
        const struct bb_finding_info *info = bb_finding_info(kind);
        assert_true(info->number > last && info->number < 600);
        last = info->number;
        for (unsigned other = 0; other < kind; other++)
            assert_string_not_equal(info->name, bb_finding_info(other)->name);
        assert_true(info->name[0] != '\0' && info->sentence[0] != '\0' && info->repair[0] != '\0');
    }
}

/* What is left to the next start needs nobody; everything else must not end with "clean". */
static void notes_are_what_a_start_repairs(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < BB_FINDING_COUNT; kind++) {
        const struct bb_finding_info *info = bb_finding_info(kind);
        assert_int_equal(info->severity == BB_NOTE, info->cure == BB_CURE_START);
    }
}

/* Programs and people keep these: a number is never given to something else. */
static void numbers_are_those_of_the_first_release(void **state)
{
    (void)state;
    static const struct {
        enum bb_finding_kind kind;
        unsigned number;
    } known[] = {{BB_FINDING_SUPER_DAMAGED, 101}, {BB_FINDING_RECORD_LOST, 204},
                 {BB_FINDING_SLOT_DAMAGED, 302},  {BB_FINDING_OVERLAP, 305},
                 {BB_FINDING_INDEX_DAMAGED, 402}, {BB_FINDING_NOT_IN_INDEX, 407},
                 {BB_FINDING_BYTES_WRONG, 501}};
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal(bb_finding_info(known[i].kind)->number, known[i].number);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_ascend_and_names_differ),
        cmocka_unit_test(notes_are_what_a_start_repairs),
        cmocka_unit_test(numbers_are_those_of_the_first_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
