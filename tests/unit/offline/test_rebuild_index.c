/* SPDX-License-Identifier: Apache-2.0
 * `bbfsck --rebuild` with real files and LMDB: stores written by hand (scribe.h), put on a file.
 */
#include "devices.h"
#include "scribe.h"

#include "bb/crosscheck.h"
#include "bb/lmdbindex.h"
#include "bb/rebuild_index.h"

#define INDEX_SIZE (16 * BB_MIB)

/* A store of `keys` blocks, not stopped, put on the data file. */
static void make_data(const struct devices *devices, unsigned keys)
{
    struct scribe *scribe = scribe_new(1, 0);
    struct bb_random random;
    bb_random_seed(&random, 4);
    for (unsigned key = 0; key < keys; key++)
        scribe_put(scribe, key, scribe_place(scribe, bb_units_of(scribe_size(key)), &random), true);
    assert_true(scribe_record(scribe));
    scribe_flush(scribe);
    scribe_checkpoint(scribe);
    scribe_mark(scribe, 0);
    assert_true(scribe_record(scribe));
    scribe_flush(scribe);
    uint8_t *bytes = malloc(scribe->io->device_size);
    bb_sim_peek(scribe->sim, 0, bytes, scribe->io->device_size);
    devices_make_file(devices->data, scribe->io->device_size);
    devices_poke(devices->data, 0, bytes, scribe->io->device_size);
    free(bytes);
    scribe_free(scribe);
}

static void open_pair(const struct devices *devices, struct bb_pair *pair)
{
    struct bb_explain explain;
    struct bb_pair_options options = {
        .data_path = devices->data, .index_path = devices->index, .memory = BB_RECOVER_SCRATCH_MIN};
    if (bb_pair_open(pair, &options, &explain) != 0)
        fail_msg("%s", explain.text);
}

struct asked {
    bool answer;
    char question[512];
};

static bool ask(void *context, const char *question)
{
    struct asked *asked = context;
    snprintf(asked->question, sizeof(asked->question), "%s", question);
    return asked->answer;
}

static int rebuild(const struct devices *devices, struct asked *asked,
                   struct bb_recovered *ret_recovered, struct bb_explain *ret_explain)
{
    struct bb_pair pair;
    struct bb_rebuild_options options = {.confirm = asked != NULL ? ask : NULL, .context = asked};
    open_pair(devices, &pair);
    int error = bb_rebuild_index(&pair, &options, ret_recovered, ret_explain);
    bb_pair_close(&pair);
    return error;
}

static struct bb_crosscheck_report check(const struct devices *devices)
{
    struct bb_pair pair;
    struct bb_explain explain;
    struct bb_crosscheck_report report;
    open_pair(devices, &pair);
    if (bb_pair_open_index(&pair, true, &explain) != 0)
        fail_msg("%s", explain.text);
    const struct bb_crosscheck_options options = {.deep = true};
    if (bb_crosscheck_run(&pair.config, &options, &report, &explain) != 0)
        fail_msg("%s", explain.text);
    bb_pair_close(&pair);
    return report;
}

static int start(const struct devices *devices, struct bb_recovered *ret_recovered)
{
    struct bb_pair pair;
    struct bb_explain explain;
    open_pair(devices, &pair);
    int error = bb_pair_open_index(&pair, false, &explain);
    if (error == 0)
        error = bb_recover(&pair.config, ret_recovered, &explain);
    bb_pair_close(&pair);
    return error;
}

static void lost_index_is_rebuilt_on_a_new_device(void **state)
{
    struct devices *devices = *state;
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct asked asked = {.answer = true};
    make_data(devices, SCRIBE_KEYS);
    devices_make_file(devices->index, INDEX_SIZE);
    assert_int_equal(rebuild(devices, &asked, &recovered, &explain), 0);
    assert_non_null(strstr(asked.question, "24 blocks"));
    assert_non_null(strstr(asked.question, "nothing known"));
    assert_int_equal(recovered.report.blocks, SCRIBE_KEYS);
    struct bb_crosscheck_report report = check(devices);
    assert_int_equal(report.errors + report.notes, 0);
    assert_int_equal(report.blocks, SCRIBE_KEYS);
    assert_int_equal(report.marked_blocks, 1);
    assert_int_equal(start(devices, &recovered), 0);
    assert_int_equal(recovered.super.epoch, 3);
    assert_int_equal(check(devices).errors, 0);
}

static void old_index_is_refused_afterwards(void **state)
{
    struct devices *devices = *state;
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct asked asked = {.answer = true};
    char kept[128];
    snprintf(kept, sizeof(kept), "%s/kept", devices->directory);
    make_data(devices, 5);
    devices_make_file(devices->index, INDEX_SIZE);
    assert_int_equal(rebuild(devices, NULL, &recovered, &explain), 0);
    assert_int_equal(rename(devices->index, kept), 0);
    devices_make_file(devices->index, 2 * INDEX_SIZE);
    assert_int_equal(rebuild(devices, &asked, &recovered, &explain), 0);
    assert_int_equal(start(devices, &recovered), 0);
    assert_int_equal(rename(kept, devices->index), 0);
    assert_int_equal(start(devices, &recovered), BB_ERR_FOREIGN);
    assert_true(check(devices).errors > 0);
    assert_int_equal(rebuild(devices, &asked, &recovered, &explain), 0);
    assert_non_null(strstr(asked.question, "the old index"));
    assert_int_equal(start(devices, &recovered), 0);
}

static uint8_t *read_all(const char *path, size_t *ret_size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &status), 0);
    uint8_t *bytes = malloc((size_t)status.st_size);
    assert_int_equal(pread(fd, bytes, (size_t)status.st_size, 0), status.st_size);
    close(fd);
    *ret_size = (size_t)status.st_size;
    return bytes;
}

static void nothing_is_written_without_a_yes(void **state)
{
    struct devices *devices = *state;
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct asked asked = {.answer = false};
    size_t size;
    make_data(devices, 5);
    devices_make_file(devices->index, INDEX_SIZE);
    devices_poke(devices->index, 100, "x", 1);
    uint8_t *before[2], *after[2];
    for (unsigned i = 0; i < 2; i++)
        before[i] = read_all(i == 0 ? devices->data : devices->index, &size);
    assert_int_equal(rebuild(devices, &asked, &recovered, &explain), BB_ERR_CANCELLED);
    assert_non_null(strstr(asked.question, "unknown data"));
    for (unsigned i = 0; i < 2; i++) {
        after[i] = read_all(i == 0 ? devices->data : devices->index, &size);
        assert_memory_equal(before[i], after[i], size);
        free(before[i]);
        free(after[i]);
    }
}

static void foreign_contents_and_other_indexes_are_refused(void **state)
{
    struct devices *devices = *state;
    struct bb_recovered recovered;
    struct bb_explain explain;
    make_data(devices, 5);
    devices_make_file(devices->index, INDEX_SIZE);
    devices_poke(devices->index, 0, "LUKS\xba\xbe\0\1", 8);
    assert_int_equal(rebuild(devices, NULL, &recovered, &explain), BB_ERR_REFUSED);
    assert_non_null(strstr(explain.text, "LUKS"));

    /* the index of another store */
    struct bb_format_options options = devices_options(devices);
    struct bb_format_result result;
    char other[128];
    snprintf(other, sizeof(other), "%s/other", devices->directory);
    assert_int_equal(unlink(devices->index), 0);
    options.data_path = other;
    options.data_size = 40 * BB_MIB;
    assert_int_equal(bb_format_devices(&options, &result, &explain), 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(rebuild(devices, NULL, &recovered, &explain), BB_ERR_REFUSED);
    assert_non_null(strstr(explain.text, "another store"));
}

static void too_small_index_is_refused_before_it_is_touched(void **state)
{
    struct devices *devices = *state;
    struct bb_recovered recovered;
    struct bb_explain explain;
    make_data(devices, 5);
    devices_make_file(devices->index, 4 * BB_MIB);
    assert_int_equal(rebuild(devices, NULL, &recovered, &explain), BB_ERR_INDEX_FULL);
}

static void damaged_old_index_is_overwritten(void **state)
{
    struct devices *devices = *state;
    struct bb_recovered recovered;
    struct bb_explain explain;
    struct bb_random random;
    uint8_t garbage[4096];
    bb_random_seed(&random, 8);
    make_data(devices, 9);
    devices_make_file(devices->index, INDEX_SIZE);
    assert_int_equal(rebuild(devices, NULL, &recovered, &explain), 0);
    for (unsigned page = 0; page < 12; page++) { /* each page in turn, the metas too */
        bb_random_fill(&random, garbage, sizeof(garbage));
        devices_poke(devices->index, page * 4096 + 16, garbage, sizeof(garbage) - 16);
        if (rebuild(devices, NULL, &recovered, &explain) != 0)
            fail_msg("page %u: %s", page, explain.text);
        assert_int_equal(start(devices, &recovered), 0);
    }
    assert_int_equal(check(devices).errors, 0);
}

static void data_that_cannot_be_rebuilt_leaves_the_old_index_alone(void **state)
{
    struct devices *devices = *state;
    struct bb_recovered recovered;
    struct bb_explain explain;
    size_t size;
    make_data(devices, 5);
    devices_make_file(devices->index, INDEX_SIZE);
    assert_int_equal(rebuild(devices, NULL, &recovered, &explain), 0);
    uint8_t *before = read_all(devices->index, &size);
    /* the record that the superblock's anchor names */
    devices_poke(devices->data, BB_HEAD_SIZE + recovered.last.position * BB_UNIT_SIZE + 60, "?", 1);
    assert_int_not_equal(rebuild(devices, NULL, &recovered, &explain), 0);
    uint8_t *after = read_all(devices->index, &size);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, devices_setup, devices_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(lost_index_is_rebuilt_on_a_new_device),
        CASE(old_index_is_refused_afterwards),
        CASE(nothing_is_written_without_a_yes),
        CASE(foreign_contents_and_other_indexes_are_refused),
        CASE(too_small_index_is_refused_before_it_is_touched),
        CASE(damaged_old_index_is_overwritten),
        CASE(data_that_cannot_be_rebuilt_leaves_the_old_index_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
