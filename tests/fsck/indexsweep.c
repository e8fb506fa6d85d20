/* SPDX-License-Identifier: Apache-2.0
 * Every page of a small index, the real one of LMDB, damaged one at a time: bits flipped, zeroed,
 * garbage, its neighbour's bytes, an older version of itself; then runs of 64 KiB. Pages that
 * nobody reads are damaged in one way only. The data device is whole. What must hold of each image:
 *
 *   a start ends, with a store whose every answer is right or with a sentence;
 *   a check ends, and finds nothing only where a start finds nothing;
 *   a rebuild brings every block back.
 *
 * Each of the three runs in a child of its own, so that a crash inside LMDB is one more answer. The
 * children see the file, and copies of everything else.
 * usage: fsck_indexsweep [cut | stopped]     (default: both)
 */
#include "scribe.h"

#include "bb/bits.h"
#include "bb/crosscheck.h"
#include "bb/err.h"
#include "bb/fill.h"
#include "bb/pair.h"
#include "bb/rebuild_index.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define INDEX_SIZE BB_LMDB_SIZE_MIN
#define PAGE_SIZE 4096u
#define RUN_PAGES 16u
#define SLICE 16u
#define OLDER_COUNT 2
#define STEP_SECONDS 20
#define PRINTED_MAX 30

enum way { FLIPPED, FLIPPED_TWICE, ZEROED, GARBAGE, NEIGHBOUR, OLDER, OLDEST, WAY_COUNT };

static const char *const way_names[WAY_COUNT] = {
    "a bit flipped",    "two bits flipped",   "zeroed", "garbage", "its neighbour's",
    "an older version", "the oldest version",
};

/* How a step ended, as the exit status of its child. Others are those of a sanitizer. */
enum answer { ANSWER_GOOD = 40, ANSWER_REFUSED, ANSWER_WRONG };

struct sweep {
    struct scribe *scribe;
    struct bb_device device;
    char directory[64], path[80];
    uint8_t *whole, *older[OLDER_COUNT], *image; /* INDEX_SIZE bytes each */
    uint64_t page_count;                         /* of those in use */
    const char *what;
    uint64_t images, opened, refused, found, crashes;
    uint64_t *violations; /* shared with the children */
};

static void *must(void *memory)
{
    BB_ASSERT(memory != NULL && memory != MAP_FAILED);
    return memory;
}

static void violation(struct sweep *sweep, const char *step, const char *what, unsigned key)
{
    if ((*sweep->violations)++ < PRINTED_MAX)
        fprintf(stderr, "%s: %s: key %u: %s\n", sweep->what, step, key, what);
}

/* ---- the store ---- */

static void read_file(const struct sweep *sweep, uint8_t *ret_bytes)
{
    int error = bb_device_read(&sweep->device, 0, ret_bytes, INDEX_SIZE);
    BB_ASSERT(error == 0);
}

static void put(struct scribe *scribe, unsigned key, struct bb_random *random)
{
    scribe_put(scribe, key, scribe_place(scribe, bb_units_of(scribe_size(key)), random), true);
}

static void checkpoint(struct scribe *scribe)
{
    scribe_checkpoint(scribe);
    scribe_flush(scribe);
}

/* Many transactions, so that there is a free list, and pages that were used before. */
static void fill(struct sweep *sweep)
{
    struct scribe *scribe = sweep->scribe;
    struct bb_random random;
    bb_random_seed(&random, 7);
    for (unsigned key = 0; key < SCRIBE_KEYS - 20; key++) {
        put(scribe, key, &random);
        if (key % 30 == 29)
            scribe_commit(scribe);
        if (key % 60 == 59)
            checkpoint(scribe);
    }
    scribe_commit(scribe);
    checkpoint(scribe);
    read_file(sweep, sweep->older[1]);
    for (unsigned key = 0; key < 40; key += 2)
        scribe_delete(scribe, key);
    scribe_mark(scribe, 41);
    scribe_commit(scribe);
    checkpoint(scribe);
    read_file(sweep, sweep->older[0]);
    for (unsigned key = SCRIBE_KEYS - 20; key < SCRIBE_KEYS - 10; key++)
        put(scribe, key, &random);
    scribe_commit(scribe);
    checkpoint(scribe);
    for (unsigned key = SCRIBE_KEYS - 10; key < SCRIBE_KEYS; key++)
        put(scribe, key, &random);
    scribe_delete(scribe, 43);
    scribe_mark(scribe, 45);
    scribe_commit(scribe);
}

static void make_file(struct sweep *sweep)
{
    snprintf(sweep->directory, sizeof(sweep->directory), "%s/bb-indexsweep-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    char *made = mkdtemp(sweep->directory);
    BB_ASSERT(made != NULL);
    snprintf(sweep->path, sizeof(sweep->path), "%s/index", sweep->directory);
    FILE *file = must(fopen(sweep->path, "we"));
    int error = ftruncate(fileno(file), (off_t)INDEX_SIZE);
    BB_ASSERT(error == 0);
    (void)fclose(file);
    error = bb_device_open(sweep->path, BB_DEVICE_EXCLUSIVE, 0, NULL, &sweep->device);
    if (error == 0)
        error = bb_lmdb_format(&sweep->device, sweep->directory);
    BB_ASSERT(error == 0);
}

static void sweep_open(struct sweep *sweep, bool stopped)
{
    struct bb_lmdb *lmdb;
    struct bb_index index, mem;
    struct bb_index_state state;
    struct bb_lmdb_meta meta;
    *sweep = (struct sweep){.scribe = scribe_new(3, SLICE), .what = "making the store"};
    uint8_t *bytes = must(aligned_alloc(PAGE_SIZE, (2 + OLDER_COUNT) * INDEX_SIZE));
    sweep->whole = bytes;
    sweep->image = bytes + INDEX_SIZE;
    for (unsigned i = 0; i < OLDER_COUNT; i++)
        sweep->older[i] = bytes + (2 + i) * INDEX_SIZE;
    sweep->violations =
        must(mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    make_file(sweep);
    int error = bb_lmdb_open(&sweep->device, sweep->directory, false, &lmdb);
    BB_ASSERT(error == 0);
    bb_lmdb_index(lmdb, &index);
    mem = memindex_index(sweep->scribe->mem);
    error = mem.ops->state(mem.context, &state);
    if (error == 0)
        error = bb_lmdb_put_state(lmdb, &state);
    BB_ASSERT(error == 0);
    struct memindex_mirror mirror = {.index = &index};
    memindex_set_mirror(sweep->scribe->mem, &mirror);
    fill(sweep);
    if (stopped)
        scribe_stop(sweep->scribe);
    else
        scribe_commit(sweep->scribe); /* the idle record, which acknowledges the one before */
    memindex_set_mirror(sweep->scribe->mem, NULL);
    bb_lmdb_close(lmdb);
    bb_sim_power_cut(sweep->scribe->sim, bb_sim_choose_all, NULL);
    read_file(sweep, sweep->whole);
    error = bb_lmdb_check_metas(sweep->whole, 1 << 17, INDEX_SIZE, &meta);
    BB_ASSERT(error == 0);
    BB_ASSERT(meta.page_size == PAGE_SIZE);
    sweep->page_count = meta.last_page + 1;
}

static void sweep_close(struct sweep *sweep)
{
    bb_device_close(&sweep->device);
    (void)unlink(sweep->path);
    (void)rmdir(sweep->directory);
    (void)munmap(sweep->violations, PAGE_SIZE);
    free(sweep->whole);
    scribe_free(sweep->scribe);
}

/* As bb_pair_open makes it, with the simulated data device. */
static void make_pair(const struct sweep *sweep, struct bb_pair *ret_pair)
{
    static void *scratch;
    if (scratch == NULL)
        scratch = must(aligned_alloc(PAGE_SIZE, BB_RECOVER_SCRATCH_MIN));
    *ret_pair = (struct bb_pair){.data = {.fd = -1}, .index = sweep->device};
    snprintf(ret_pair->rundir.path, sizeof(ret_pair->rundir.path), "%s", sweep->directory);
    ret_pair->config.io = sweep->scribe->io;
    ret_pair->config.index = &ret_pair->table;
    ret_pair->config.scratch = scratch;
    ret_pair->config.scratch_size = BB_RECOVER_SCRATCH_MIN;
}

/* ---- what must hold ---- */

/* Bytes are those of the name: a GET would serve them. */
static bool serves(const struct sweep *sweep, unsigned key, const struct bb_index_entry *entry)
{
    static uint8_t bytes[BB_BLOCK_SIZE_MAX];
    struct bb_hash wanted = scribe_hash(key), found;
    if ((entry->unit + bb_units_of(entry->size)) * BB_UNIT_SIZE > sweep->scribe->io->device_size)
        return false;
    bb_sim_peek(sweep->scribe->sim, entry->unit * BB_UNIT_SIZE, bytes, entry->size);
    bb_hash_of(bytes, entry->size, &found);
    return bb_hash_equal(&wanted, &found);
}

/* Every answer of an index, as a client would see it. */
static void judge_keys(struct sweep *sweep, const char *step, const struct bb_index *index)
{
    for (unsigned key = 0; key < SCRIBE_KEYS; key++) {
        struct bb_hash hash = scribe_hash(key);
        struct bb_index_entry entry;
        enum scribe_state state = SCRIBE_ABSENT;
        int error = index->ops->lookup(index->context, &hash, &entry);
        if (error == 0)
            state = (entry.flags & BB_INDEX_CORRUPT) != 0 ? SCRIBE_MARKED : SCRIBE_PRESENT;
        else if (error != -ENOENT)
            violation(sweep, step, bb_err_text(error), key);
        if (state != sweep->scribe->acked[key])
            violation(sweep, step, state == SCRIBE_ABSENT ? "gone" : "not as stored", key);
        if (state == SCRIBE_PRESENT && !serves(sweep, key, &entry))
            violation(sweep, step, "its place holds other bytes", key);
    }
}

static enum answer refused(struct sweep *sweep, const char *step, const struct bb_explain *explain)
{
    if (explain->text[0] == '\0') {
        violation(sweep, step, "refused without a sentence", 0);
        return ANSWER_WRONG;
    }
    return ANSWER_REFUSED;
}

/* The allocator of the start. -EILSEQ: count and set hash do not add up, so reads only. */
static int fill_buddy(const struct bb_pair *pair, const struct bb_recovered *recovered,
                      struct bb_explain *explain)
{
    const struct bb_layout *layout = &recovered->super.layout;
    uint64_t zone_units = bb_layout_zone_units_max(layout);
    size_t size = bb_buddy_memory(layout->zone_count, zone_units);
    struct bb_filled filled;
    void *memory = must(aligned_alloc(64, bb_align_up(size, 64)));
    memset(memory, 0, size);
    struct bb_buddy *buddy = bb_buddy_init(memory, size, layout->zone_count, zone_units);
    int error = bb_fill(&pair->table, &recovered->super, buddy, &filled, explain);
    if (error == 0 && !bb_set_equal(&filled.set, &recovered->super.anchor.set))
        error = -EILSEQ;
    free(memory);
    return error;
}

/* Lookups before the allocator is filled are answered already: none may crash. */
static void look_up_all(const struct bb_index *index)
{
    for (unsigned key = 0; key < SCRIBE_KEYS; key++) {
        struct bb_hash hash = scribe_hash(key);
        struct bb_index_entry entry;
        (void)index->ops->lookup(index->context, &hash, &entry);
    }
}

static enum answer start(struct sweep *sweep)
{
    struct bb_pair pair;
    struct bb_recovered recovered;
    struct bb_explain explain = {.text = ""};
    make_pair(sweep, &pair);
    int error = bb_pair_open_index(&pair, false, &explain);
    if (error == 0)
        error = bb_recover(&pair.config, &recovered, &explain);
    if (error == 0) {
        look_up_all(&pair.table);
        error = fill_buddy(&pair, &recovered, &explain);
    }
    if (error == 0)
        judge_keys(sweep, "start", &pair.table);
    bb_pair_close_index(&pair);
    if (error == -EILSEQ)
        return ANSWER_REFUSED; /* bbd says what it says about every such store */
    return error == 0 ? ANSWER_GOOD : refused(sweep, "start", &explain);
}

/* As bbfsck does it. */
static enum answer check(struct sweep *sweep)
{
    struct bb_pair pair;
    struct bb_crosscheck_report report;
    struct bb_crosscheck_options options = {.deep = true};
    struct bb_explain explain = {.text = ""};
    make_pair(sweep, &pair);
    options.index_error = bb_pair_open_index(&pair, true, &explain);
    int error = bb_crosscheck_run(&pair.config, &options, &report, &explain);
    bb_pair_close_index(&pair);
    if (error != 0)
        return refused(sweep, "check", &explain);
    return report.errors > 0 ? ANSWER_REFUSED : ANSWER_GOOD;
}

static enum answer rebuild(struct sweep *sweep)
{
    struct bb_pair pair;
    struct bb_recovered recovered;
    struct bb_rebuild_options options = {.confirm = NULL};
    struct bb_explain explain = {.text = ""};
    make_pair(sweep, &pair);
    int error = bb_rebuild_index(&pair, &options, &recovered, &explain);
    if (error == 0)
        error = bb_pair_open_index(&pair, false, &explain);
    if (error == 0)
        error = bb_recover(&pair.config, &recovered, &explain);
    if (error == 0)
        error = fill_buddy(&pair, &recovered, &explain);
    if (error == 0)
        judge_keys(sweep, "rebuild", &pair.table);
    else
        violation(sweep, "rebuild", error == -EILSEQ ? "does not add up" : explain.text, 0);
    bb_pair_close_index(&pair);
    return ANSWER_GOOD;
}

typedef enum answer step_fn(struct sweep *sweep);

static void write_image(const struct sweep *sweep)
{
    uint64_t size = bb_align_up(2 * sweep->page_count, 64) * PAGE_SIZE; /* nobody wrote behind */
    int error = bb_device_write(&sweep->device, 0, sweep->image, size);
    BB_ASSERT(error == 0);
}

/* A child takes the step on the image. A crash, or no end, is a violation. */
static enum answer take(struct sweep *sweep, const char *name, step_fn *step)
{
    int status;
    write_image(sweep);
    pid_t child = fork();
    BB_ASSERT(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {.rlim_cur = 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        alarm(STEP_SECONDS);
        _exit((int)step(sweep));
    }
    pid_t ended = waitpid(child, &status, 0);
    BB_ASSERT(ended == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) >= ANSWER_GOOD &&
        WEXITSTATUS(status) <= ANSWER_WRONG)
        return (enum answer)WEXITSTATUS(status);
    sweep->crashes++;
    violation(sweep, name,
              WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "no end" : "crashed", 0);
    return ANSWER_WRONG;
}

/* True: nothing was found wrong. */
static bool judge(struct sweep *sweep)
{
    sweep->images++;
    enum answer started = take(sweep, "start", start);
    enum answer checked = take(sweep, "check", check);
    (void)take(sweep, "rebuild", rebuild);
    sweep->opened += started == ANSWER_GOOD;
    sweep->refused += started == ANSWER_REFUSED;
    sweep->found += checked == ANSWER_REFUSED;
    if (started == ANSWER_REFUSED && checked == ANSWER_GOOD)
        violation(sweep, "check", "finds nothing where a start refuses", 0);
    return started == ANSWER_GOOD && checked == ANSWER_GOOD;
}

/* ---- damage ---- */

static void flip(struct bb_random *random, uint8_t *bytes, size_t size)
{
    bytes[bb_random_below(random, size)] ^= (uint8_t)(1u << bb_random_below(random, 8));
}

/* True: nothing was found wrong. */
static bool damage(struct sweep *sweep, enum way way, uint64_t page, uint32_t count)
{
    static char what[128];
    size_t size = count * (size_t)PAGE_SIZE;
    uint64_t other = page >= count ? page - count : page + count;
    uint8_t *bytes = sweep->image + page * PAGE_SIZE;
    struct bb_random random;
    bb_random_seed(&random, page * WAY_COUNT + way + 1);
    memcpy(sweep->image, sweep->whole, INDEX_SIZE);
    switch (way) {
    case FLIPPED_TWICE:
        flip(&random, bytes, 16 + size / 16); /* header and slots */
        flip(&random, bytes, size);
        break;
    case FLIPPED:
        flip(&random, bytes, size);
        break;
    case ZEROED:
        memset(bytes, 0, size);
        break;
    case GARBAGE:
        bb_random_fill(&random, bytes, size);
        break;
    case NEIGHBOUR:
        memcpy(bytes, sweep->whole + other * PAGE_SIZE, size);
        break;
    case OLDER:
    case OLDEST:
        memcpy(bytes, sweep->older[way == OLDER ? 0 : 1] + page * PAGE_SIZE, size);
        break;
    case WAY_COUNT:
    default:
        BB_ASSERT(false);
    }
    if (memcmp(bytes, sweep->whole + page * PAGE_SIZE, size) == 0)
        return true;
    snprintf(what, sizeof(what), "index of a %s store, %u pages from %llu on: %s",
             sweep->scribe->super.clean ? "stopped" : "cut", count, (unsigned long long)page,
             way_names[way]);
    sweep->what = what;
    return judge(sweep);
}

static void damage_all_ways(struct sweep *sweep, uint64_t page, uint32_t count)
{
    if (damage(sweep, GARBAGE, page, count))
        return; /* nobody reads it, whatever it holds */
    for (enum way way = 0; way < WAY_COUNT; way++)
        if (way != GARBAGE)
            (void)damage(sweep, way, page, count);
}

static void sweep_all(struct sweep *sweep)
{
    for (uint64_t page = 0; page < sweep->page_count; page++)
        damage_all_ways(sweep, page, 1);
    for (uint64_t page = 0; page < sweep->page_count; page += RUN_PAGES / 2)
        damage_all_ways(sweep, page, RUN_PAGES);
}

/* ---- canary ---- */

static enum answer crash(struct sweep *sweep)
{
    (void)sweep;
    (void)raise(SIGSEGV);
    return ANSWER_GOOD;
}

static enum answer hang(struct sweep *sweep)
{
    (void)sweep;
    alarm(1);
    (void)pause();
    return ANSWER_GOOD;
}

/* Planted: a crash, no end, and one answer that is not the acknowledged one. The whole image passes
 * before. */
static bool canary(struct sweep *sweep)
{
    sweep->what = "the whole image";
    memcpy(sweep->image, sweep->whole, INDEX_SIZE);
    if (take(sweep, "start", start) != ANSWER_GOOD || take(sweep, "check", check) != ANSWER_GOOD ||
        take(sweep, "rebuild", rebuild) != ANSWER_GOOD || *sweep->violations != 0)
        return false;
    *sweep->violations = PRINTED_MAX; /* nobody needs to read them */
    (void)take(sweep, "canary", crash);
    (void)take(sweep, "canary", hang);
    bool seen = *sweep->violations == PRINTED_MAX + 2;
    sweep->scribe->acked[100] = SCRIBE_ABSENT;
    (void)take(sweep, "canary", start);
    seen = seen && *sweep->violations == PRINTED_MAX + 3;
    sweep->scribe->acked[100] = SCRIBE_PRESENT;
    *sweep->violations = 0;
    sweep->crashes = 0;
    return seen;
}

int main(int argc, char **argv)
{
    uint64_t violations = 0;
    for (unsigned stopped = 0; stopped < 2; stopped++) {
        static struct sweep sweep;
        if (argc > 1 && strcmp(argv[1], stopped ? "stopped" : "cut") != 0)
            continue;
        sweep_open(&sweep, stopped == 1);
        bool seen = canary(&sweep);
        if (seen)
            sweep_all(&sweep);
        else
            fprintf(stderr, "the canary was not seen\n");
        printf("sweep of the index of a %s store: %llu pages, %llu images, %llu opened, %llu "
               "refused, %llu found by the check, %llu crashes, %llu violations\n",
               stopped ? "stopped" : "cut", (unsigned long long)sweep.page_count,
               (unsigned long long)sweep.images, (unsigned long long)sweep.opened,
               (unsigned long long)sweep.refused, (unsigned long long)sweep.found,
               (unsigned long long)sweep.crashes, (unsigned long long)*sweep.violations);
        violations += *sweep.violations + !seen;
        sweep_close(&sweep);
    }
    return violations == 0 ? 0 : 1;
}
