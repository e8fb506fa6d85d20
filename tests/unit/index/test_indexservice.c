/* SPDX-License-Identifier: Apache-2.0
 * The service threads: answers against a naive model under random load, order of folds, lists, the
 * switch to threads after a major fault.
 */
#include "fixture.h"

#include "bb/arena.h"
#include "bb/indexservice.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#define SIZE (64ull << 20)
#define JOB_MAX 64u
#define UNIVERSE 3000u
#define BATCH_MAX 200u
#define TURNS 600u
#define FOLDS_MAX (JOB_MAX * TURNS)

static struct fixture fixture;
static struct bb_arena arena;
static struct bb_index_service *service;
static struct bb_index_port port;
static int wake_fd;

static void wake(void *context)
{
    uint64_t one = 1;
    assert_ptr_equal(context, &fixture);
    assert_int_equal(write(wake_fd, &one, sizeof(one)), sizeof(one));
}

static void start(unsigned lookup_threads)
{
    struct bb_index_service_config config = {.lmdb = fixture.lmdb,
                                             .arena = &arena,
                                             .job_max = JOB_MAX,
                                             .lookup_threads = lookup_threads,
                                             .on_done = wake,
                                             .context = &fixture};
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(wake_fd >= 0);
    assert_int_equal(bb_arena_open(1 << 20, false, false, &arena), 0);
    assert_int_equal(bb_index_service_start(&config, &service), 0);
    bb_arena_seal(&arena);
    bb_index_service_port(service, &port);
}

static void stop(void)
{
    bb_index_service_stop(service);
    bb_arena_close(&arena);
    close(wake_fd);
}

/* Waits until the threads say that something was answered, then polls. */
static unsigned wait_and_poll(void (*done)(void *, struct bb_index_job *), void *context)
{
    struct pollfd fd = {.fd = wake_fd, .events = POLLIN};
    uint64_t count;
    assert_int_equal(poll(&fd, 1, 120000), 1);
    assert_int_equal(read(wake_fd, &count, sizeof(count)), sizeof(count));
    return bb_index_service_poll(service, done, context);
}

static void count_done(void *context, struct bb_index_job *job)
{
    assert_non_null(job);
    ++*(unsigned *)context;
}

static void wait_for(unsigned wanted)
{
    unsigned done = 0;
    while (done < wanted)
        (void)wait_and_poll(count_done, &done);
    assert_int_equal(done, wanted);
}

/* ---- Random load ---- */

/* Each fold gives every hash it mentions the fold's number as unit, so that an answer tells which
 * fold it saw. */
struct asked {
    struct bb_index_job job;
    bool busy;
    struct bb_hash hashes[BATCH_MAX];
    struct bb_index_entry entries[BATCH_MAX];
    struct bb_listed listed[BATCH_MAX];
    struct bb_change changes[UNIVERSE];
    uint32_t at[BATCH_MAX]; /* place of the hash in the universe */
    uint64_t fold_done;     /* folds done when it was submitted */
    uint64_t fold_number;
};

enum mention { SILENT, PUT, GONE };

struct load {
    struct bb_random random;
    struct model model;
    uint8_t (*mentions)[UNIVERSE]; /* per fold and hash: enum mention */
    struct asked asked[JOB_MAX];
    uint64_t submitted, done;    /* folds */
    uint64_t units[UNIVERSE][2]; /* newest submitted, newest done */
    unsigned answered[3];
};

/* Whether some fold between the newest one done at submission and the newest one submitted now left
 * the hash as it was answered. */
static bool answer_is_possible(const struct load *load, const struct asked *asked, uint32_t i)
{
    uint32_t at = asked->at[i];
    uint64_t unit = asked->entries[i].unit;
    if (unit != UINT64_MAX) {
        if (unit == 0 || unit > load->submitted || load->mentions[unit][at] != PUT)
            return false;
        for (uint64_t fold = unit + 1; fold <= asked->fold_done; fold++)
            if (load->mentions[fold][at] != SILENT)
                return false;
        return asked->entries[i].size == unit % 1000;
    }
    for (uint64_t fold = load->submitted; fold > asked->fold_done; fold--)
        if (load->mentions[fold][at] == GONE)
            return true;
    uint64_t fold = asked->fold_done;
    while (fold > 0 && load->mentions[fold][at] == SILENT)
        fold--;
    return fold == 0 || load->mentions[fold][at] == GONE;
}

static void check_lookup(const struct load *load, const struct asked *asked)
{
    for (uint32_t i = 0; i < asked->job.count; i++)
        assert_true(answer_is_possible(load, asked, i));
}

static void check_list(const struct asked *asked)
{
    for (uint32_t i = 0; i < asked->job.count; i++) {
        if (i > 0)
            assert_true(bb_hash_compare(&asked->listed[i - 1].hash, &asked->listed[i].hash) < 0);
        else if (!asked->job.from_start)
            assert_true(bb_hash_compare(&asked->job.after, &asked->listed[0].hash) < 0);
    }
}

static void on_answer(void *context, struct bb_index_job *job)
{
    struct load *load = context;
    struct asked *asked = BB_CONTAINER(job, struct asked, job);
    assert_true(asked->busy);
    assert_int_equal(job->result, 0);
    load->answered[job->kind]++;
    switch (job->kind) {
    case BB_JOB_LOOKUP:
        check_lookup(load, asked);
        break;
    case BB_JOB_LIST:
        check_list(asked);
        break;
    case BB_JOB_FOLD:
        assert_int_equal(asked->fold_number, load->done + 1); /* in order */
        load->done++;
        port.refresh(port.context); /* as the engine does between slices */
        for (uint32_t i = 0, at = 0; i < job->fold.count; i++) {
            while (!bb_hash_equal(&load->model.hashes[at], &asked->changes[i].hash))
                at++;
            load->model.now[at] = asked->changes[i];
        }
        struct bb_set set = model_set(&load->model);
        assert_true(bb_set_equal(&job->set, &set));
        break;
    }
    asked->busy = false;
}

static void ask(struct load *load, struct asked *asked)
{
    struct bb_random *random = &load->random;
    memset(&asked->job, 0, sizeof(asked->job));
    asked->busy = true;
    asked->job.kind = (enum bb_index_job_kind)bb_random_below(random, 3);
    asked->job.count = 1 + (uint32_t)bb_random_below(random, BATCH_MAX);
    asked->fold_done = load->done;
    if (asked->job.kind == BB_JOB_LOOKUP) {
        for (uint32_t i = 0; i < asked->job.count; i++) {
            asked->at[i] = (uint32_t)bb_random_below(random, UNIVERSE);
            asked->hashes[i] = load->model.hashes[asked->at[i]];
        }
        asked->job.hashes = asked->hashes;
        asked->job.entries = asked->entries;
    } else if (asked->job.kind == BB_JOB_LIST) {
        asked->job.from_start = bb_random_below(random, 4) == 0;
        asked->job.after = load->model.hashes[bb_random_below(random, UNIVERSE)];
        asked->job.listed = asked->listed;
    } else {
        assert_true(load->submitted + 1 < FOLDS_MAX);
        uint32_t count = model_changes(&load->model, random, fixture.index.slice_max, 60);
        asked->fold_number = ++load->submitted;
        memcpy(asked->changes, load->model.changes, count * sizeof(*asked->changes));
        for (uint32_t i = 0, at = 0; i < count; i++) {
            struct bb_change *change = &asked->changes[i];
            while (!bb_hash_equal(&load->model.hashes[at], &change->hash))
                at++;
            change->unit = change->present ? asked->fold_number : 0;
            change->size = (uint32_t)(change->unit % 1000);
            load->mentions[asked->fold_number][at] = change->present ? PUT : GONE;
        }
        asked->job.fold.changes = asked->changes;
        asked->job.fold.count = count;
    }
    port.submit(port.context, &asked->job);
}

static void random_load_is_answered_as_the_model_says(void **state)
{
    (void)state;
    struct load *load = calloc(1, sizeof(*load));
    assert_non_null(load);
    fixture_seed(&load->random);
    for (unsigned threads = 1; threads <= 2; threads++) {
        fixture_make_open(&fixture, 0, SIZE);
        start(threads);
        model_make(&load->model, &load->random, UNIVERSE);
        load->mentions = calloc(FOLDS_MAX, sizeof(*load->mentions));
        assert_non_null(load->mentions);
        load->submitted = load->done = 0;
        for (unsigned turn = 0; turn < TURNS; turn++) {
            for (unsigned i = 0; i < JOB_MAX; i++)
                if (!load->asked[i].busy && bb_random_below(&load->random, 4) == 0)
                    ask(load, &load->asked[i]);
            if (turn % 2 == 0)
                (void)bb_index_service_poll(service, on_answer, load);
            else if (load->asked[turn % JOB_MAX].busy)
                (void)wait_and_poll(on_answer, load);
        }
        for (unsigned i = 0; i < JOB_MAX; i++)
            while (load->asked[i].busy)
                (void)wait_and_poll(on_answer, load);
        assert_int_equal(load->done, load->submitted);
        port.refresh(port.context);
        fixture.index.ops->refresh(fixture.lmdb);
        model_refresh(&load->model);
        model_check_all(&load->model, &fixture.index);
        stop();
        model_free(&load->model);
        free(load->mentions);
        fixture_end(&fixture);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_true(load->answered[i] > 50);
    free(load);
}

/* ---- One job at a time ---- */

static void a_fold_is_seen_by_lookups_after_refresh(void **state)
{
    (void)state;
    struct bb_change change = {.present = true, .unit = 7, .size = 9};
    struct bb_index_entry entry;
    struct bb_index_job job = {.kind = BB_JOB_FOLD, .fold = {.changes = &change, .count = 1}};
    memset(&change.hash, 0x31, sizeof(change.hash));
    fixture_make_open(&fixture, 0, SIZE);
    start(1);
    assert_int_equal(port.lookup(port.context, &change.hash, &entry), -ENOENT);
    port.submit(port.context, &job);
    wait_for(1);
    assert_int_equal(job.result, 0);
    assert_int_equal(job.set.count, 1);
    assert_int_equal(port.lookup(port.context, &change.hash, &entry), -ENOENT);
    port.refresh(port.context);
    assert_int_equal(port.lookup(port.context, &change.hash, &entry), 0);
    assert_int_equal(entry.unit, 7);
    struct bb_index_job lookup = {
        .kind = BB_JOB_LOOKUP, .hashes = &change.hash, .entries = &entry, .count = 1};
    entry.unit = 0;
    port.submit(port.context, &lookup);
    wait_for(1);
    assert_int_equal(entry.unit, 7);
    stop();
    fixture_end(&fixture);
}

static void a_list_fills_its_capacity_and_says_how_many(void **state)
{
    (void)state;
    static struct bb_change changes[100];
    static struct bb_listed listed[200];
    for (unsigned i = 0; i < 100; i++) {
        changes[i] = (struct bb_change){.present = true, .size = i, .corrupt = i % 2 == 1};
        memset(&changes[i].hash, (int)i + 1, sizeof(changes[i].hash));
    }
    struct bb_index_job fold = {.kind = BB_JOB_FOLD, .fold = {.changes = changes, .count = 100}};
    fixture_make_open(&fixture, 0, SIZE);
    start(1);
    port.submit(port.context, &fold);
    wait_for(1);
    static const struct {
        unsigned after, capacity, expected;
    } cases[] = {{0, 200, 100}, {0, 30, 30}, {40, 30, 30}, {90, 30, 10}, {100, 30, 0}, {3, 0, 0}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bb_index_job job = {.kind = BB_JOB_LIST,
                                   .count = cases[i].capacity,
                                   .from_start = cases[i].after == 0,
                                   .listed = listed};
        memset(&job.after, (int)cases[i].after, sizeof(job.after));
        port.submit(port.context, &job);
        wait_for(1);
        assert_int_equal(job.result, 0);
        assert_int_equal(job.count, cases[i].expected);
        for (unsigned j = 0; j < job.count; j++) {
            unsigned at = cases[i].after + j;
            assert_true(bb_hash_equal(&listed[j].hash, &changes[at].hash));
            assert_int_equal(listed[j].size, at);
            assert_int_equal(listed[j].flags, at % 2 == 1 ? BB_INDEX_CORRUPT : 0);
        }
    }
    stop();
    fixture_end(&fixture);
}

static void errors_come_back_in_the_job(void **state)
{
    (void)state;
    struct bb_index_job job = {.kind = BB_JOB_FOLD};
    fixture_make(&fixture, 0, SIZE);
    assert_int_equal(bb_lmdb_format(&fixture.device, fixture.directory), 0);
    assert_int_equal(fixture_open(&fixture), 0);
    start(1);
    port.submit(port.context, &job);
    wait_for(1);
    assert_int_equal(job.result, BB_ERR_NOT_FORMATTED);
    stop();
    fixture_end(&fixture);
}

static void a_start_without_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    struct bb_index_service_config config = {.lmdb = NULL,
                                             .arena = &arena,
                                             .job_max = 1u << 16,
                                             .lookup_threads = 4,
                                             .on_done = wake,
                                             .context = &fixture};
    fixture_make_open(&fixture, 0, SIZE);
    config.lmdb = fixture.lmdb;
    assert_int_equal(bb_arena_open(3 << 20, false, false, &arena), 0);
    assert_int_equal(bb_index_service_start(&config, &service), -ENOMEM);
    bb_arena_close(&arena);
    fixture_end(&fixture); /* asserts that all readers were closed */
}

/* No snapshot may stay behind that keeps LMDB from reusing pages: on the smallest device the same
 * records are folded until each page has been written many times over. */
static void pages_are_reused_while_the_service_runs(void **state)
{
    (void)state;
    static struct bb_change changes[BATCH_MAX];
    struct bb_random random;
    struct bb_index_entry entry;
    fixture_seed(&random);
    fixture_make_open(&fixture, 0, BB_LMDB_SIZE_MIN);
    fixture.index.ops->refresh(fixture.lmdb); /* as recovery does */
    (void)fixture.index.ops->lookup(fixture.lmdb, &changes[0].hash, &entry);
    start(4);
    uint32_t count = fixture.index.slice_max < BATCH_MAX ? fixture.index.slice_max : BATCH_MAX;
    for (uint32_t i = 0; i < count; i++) {
        bb_random_fill(&random, &changes[i].hash, sizeof(changes[i].hash));
        changes[i].present = true;
    }
    qsort(changes, count, sizeof(changes[0]), model_compare);
    for (uint64_t round = 1; round < 2000; round++) {
        struct bb_index_job fold = {.kind = BB_JOB_FOLD,
                                    .fold = {.changes = changes, .count = count}};
        struct bb_index_job lookup = {
            .kind = BB_JOB_LOOKUP, .hashes = &changes[0].hash, .entries = &entry, .count = 1};
        for (uint32_t i = 0; i < count; i++)
            changes[i].unit = round;
        port.submit(port.context, &fold);
        port.submit(port.context, &lookup);
        wait_for(2);
        assert_int_equal(fold.result, 0);
        port.refresh(port.context);
    }
    struct bb_lmdb_stats stats;
    assert_int_equal(bb_lmdb_get_stats(fixture.lmdb, &stats), 0);
    assert_true(stats.used_pages < 100);
    stop();
    fixture_end(&fixture);
}

/* ---- Cold pages ---- */

#define COLD_COUNT 20000u

static void a_major_fault_sends_lookups_to_the_threads_for_a_while(void **state)
{
    (void)state;
    struct bb_random random;
    struct bb_index_entry entry;
    unsigned done = 0, inline_answers = 0;
    struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
    static struct bb_change changes[COLD_COUNT];
    fixture_seed(&random);
    fixture_make_open(&fixture, 512, SIZE);
    for (unsigned i = 0; i < COLD_COUNT; i++) {
        bb_random_fill(&random, &changes[i].hash, sizeof(changes[i].hash));
        changes[i].present = true;
    }
    qsort(changes, COLD_COUNT, sizeof(changes[0]), model_compare); /* the hash comes first */
    for (unsigned at = 0; at < COLD_COUNT; at += fixture.index.slice_max) {
        uint32_t left = COLD_COUNT - at;
        assert_int_equal(
            bb_lmdb_append(fixture.lmdb, changes + at,
                           left < fixture.index.slice_max ? left : fixture.index.slice_max),
            0);
    }
    fixture_close(&fixture);
    assert_int_equal(fixture_open(&fixture), 0);
    start(1);
    /* Warm: everything was just written. */
    for (unsigned i = 0; i < COLD_COUNT; i++)
        assert_int_equal(port.lookup(port.context, &changes[i].hash, &entry), 0);
    (void)bb_index_service_poll(service, count_done, &done);
    (void)bb_index_service_poll(service, count_done, &done);
    stop();
    fixture_close(&fixture);
    assert_int_equal(fixture_open(&fixture), 0);
    assert_int_equal(ioctl(fixture.device.fd, BLKFLSBUF, 0), 0); /* drops what the check read */
    start(1);
    assert_false(bb_index_service_is_cold(service));
    assert_int_equal(port.lookup(port.context, &changes[COLD_COUNT / 2].hash, &entry), 0);
    (void)bb_index_service_poll(service, count_done, &done);
    assert_true(bb_index_service_is_cold(service));
    assert_int_equal(port.lookup(port.context, &changes[1].hash, &entry), BB_ERR_WOULD_FAULT);
    struct bb_index_job job = {
        .kind = BB_JOB_LOOKUP, .hashes = &changes[1].hash, .entries = &entry, .count = 1};
    port.submit(port.context, &job);
    wait_for(1);
    assert_int_equal(job.result, 0);
    for (unsigned i = 0; i < 500 && inline_answers == 0; i++) { /* the page is in memory now */
        if (port.lookup(port.context, &changes[1].hash, &entry) == 0)
            inline_answers++;
        else
            (void)nanosleep(&nap, NULL);
    }
    assert_int_equal(inline_answers, 1);
    (void)bb_index_service_poll(service, count_done, &done);
    assert_false(bb_index_service_is_cold(service));
    stop();
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_load_is_answered_as_the_model_says),
        cmocka_unit_test(a_fold_is_seen_by_lookups_after_refresh),
        cmocka_unit_test(a_list_fills_its_capacity_and_says_how_many),
        cmocka_unit_test(errors_come_back_in_the_job),
        cmocka_unit_test(a_start_without_memory_leaves_nothing_behind),
        cmocka_unit_test(pages_are_reused_while_the_service_runs),
        cmocka_unit_test(a_major_fault_sends_lookups_to_the_threads_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
