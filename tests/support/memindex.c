/* SPDX-License-Identifier: Apache-2.0
 * Sorted arrays, one per version, shared between clones and readers.
 *
 *   mem -> newest  --- what the device holds
 *       -> visible --- what lookup sees; becomes newest at refresh
 */
#include "memindex.h"

#include "bb/err.h"
#include "bb/random.h"

#include <errno.h>
#include <stdlib.h>

struct record {
    struct bb_hash hash;
    struct bb_index_entry entry;
};

BB_STATIC_ASSERT(sizeof(struct bb_index_state) == 248); /* no padding: it is digested */

struct version {
    unsigned references;
    bool has_state;
    bool has_digest;
    struct bb_index_state state;
    struct bb_digest digest; /* computed when first asked for */
    uint64_t count;
    struct record records[];
};

struct task {
    struct bb_index_job *job;
    bool executed;
};

struct memindex {
    struct memindex_config config;
    struct bb_random random;
    struct version *newest;
    struct version *visible;
    uint64_t fold_count;
    uint64_t fail_at; /* fold_count at which the planned failure happens, 0: none */
    int fail_error;
    bool fail_applied;
    struct task *tasks; /* in order of submission */
    unsigned task_count, task_max;
    memindex_done_fn *done;
    void *done_context;
    struct memindex_mirror mirror; /* index NULL: none */
    int broken;                    /* what the mirror said last when its device died, 0: it lives */
};

static void *must(void *memory)
{
    BB_ASSERT(memory != NULL);
    return memory;
}

static struct version *version_new(uint64_t count_max)
{
    struct version *version = must(calloc(1, sizeof(*version) + count_max * sizeof(struct record)));
    version->references = 1;
    return version;
}

static struct version *version_ref(struct version *version)
{
    version->references++;
    return version;
}

static void version_unref(struct version *version)
{
    BB_ASSERT(version->references > 0);
    if (--version->references == 0)
        free(version);
}

/* First position whose hash is >= hash. */
static uint64_t version_find(const struct version *version, const struct bb_hash *hash)
{
    uint64_t low = 0, high = version->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (bb_hash_compare(&version->records[middle].hash, hash) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int version_lookup(const struct version *version, const struct bb_hash *hash,
                          struct bb_index_entry *ret_entry)
{
    uint64_t at = version_find(version, hash);
    if (at == version->count || !bb_hash_equal(&version->records[at].hash, hash))
        return -ENOENT;
    *ret_entry = version->records[at].entry;
    return 0;
}

/* Merges `changes` into `old`; the set follows unless `tamper`. */
static struct version *version_merge(const struct version *old, const struct bb_change *changes,
                                     uint32_t change_count, bool tamper)
{
    struct version *merged = version_new(old->count + change_count);
    merged->has_state = old->has_state;
    merged->state = old->state;
    uint64_t from = 0, to = 0;
    for (uint32_t i = 0; i < change_count; i++) {
        const struct bb_change *change = &changes[i];
        BB_ASSERT(i == 0 || bb_hash_compare(&changes[i - 1].hash, &change->hash) < 0);
        uint64_t at = from;
        while (at < old->count && bb_hash_compare(&old->records[at].hash, &change->hash) < 0)
            at++;
        memcpy(&merged->records[to], &old->records[from], (at - from) * sizeof(struct record));
        to += at - from;
        from = at;
        if (at < old->count && bb_hash_equal(&old->records[at].hash, &change->hash)) {
            const struct bb_index_entry *gone = &old->records[at].entry;
            if (!tamper)
                bb_set_remove(&merged->state.set, &change->hash, gone->unit, gone->size);
            from++;
        }
        if (change->present) {
            struct record *record = &merged->records[to++];
            record->hash = change->hash;
            record->entry.unit = change->unit;
            record->entry.size = change->size;
            record->entry.flags = change->corrupt ? BB_INDEX_CORRUPT : 0;
            if (!tamper)
                bb_set_add(&merged->state.set, &change->hash, change->unit, change->size);
        }
    }
    memcpy(&merged->records[to], &old->records[from], (old->count - from) * sizeof(struct record));
    merged->count = to + old->count - from;
    return merged;
}

static bool entry_equal(const struct bb_index_entry *a, const struct bb_index_entry *b)
{
    return a->unit == b->unit && a->size == b->size && a->flags == b->flags;
}

static void set_newest(struct memindex *mem, struct version *version)
{
    version_unref(mem->newest);
    mem->newest = version;
}

static int op_state(void *index, struct bb_index_state *ret_state)
{
    const struct memindex *mem = index;
    int result = mem->newest->has_state ? 0 : BB_ERR_NOT_FORMATTED;
    if (mem->broken != 0)
        return mem->broken;
    if (mem->mirror.index != NULL) {
        struct bb_index_state state;
        int real = mem->mirror.index->ops->state(mem->mirror.index->context, &state);
        BB_ASSERT(real == result);
        BB_ASSERT(result != 0 || memcmp(&state, &mem->newest->state, sizeof(state)) == 0);
    }
    if (result == 0)
        *ret_state = mem->newest->state;
    return result;
}

static int op_lookup(void *index, const struct bb_hash *hash, struct bb_index_entry *ret_entry)
{
    const struct memindex *mem = index;
    int result = version_lookup(mem->visible, hash, ret_entry);
    if (mem->broken != 0)
        return mem->broken;
    if (mem->mirror.index != NULL) {
        struct bb_index_entry entry;
        int real = mem->mirror.index->ops->lookup(mem->mirror.index->context, hash, &entry);
        BB_ASSERT(real == result);
        BB_ASSERT(result != 0 || entry_equal(&entry, ret_entry));
    }
    return result;
}

/* A row that counts fewer records than a fold replaces or removes is not one that folds made. */
static bool counts_too_few(const struct version *version, const struct bb_index_fold *fold)
{
    struct bb_index_entry unused;
    uint64_t there = 0;
    for (uint32_t i = 0; i < fold->count; i++)
        there += version_lookup(version, &fold->changes[i].hash, &unused) == 0 ? 1 : 0;
    return there > version->state.set.count;
}

static uint64_t op_room(void *index)
{
    const struct memindex *mem = index;
    if (mem->config.capacity == 0)
        return UINT64_MAX;
    return mem->config.capacity > mem->newest->count ? mem->config.capacity - mem->newest->count
                                                     : 0;
}

static int fold_mirror(struct memindex *mem, const struct bb_index_fold *fold,
                       const struct version *merged)
{
    const struct bb_index *real = mem->mirror.index;
    struct bb_set set;
    uint64_t room;
    if (real == NULL || mem->broken != 0)
        return mem->broken;
    int error = real->ops->fold(real->context, fold, &set, &room);
    BB_ASSERT(error != 0 || bb_set_equal(&set, &merged->state.set));
    mem->broken = error == BB_ERR_INDEX_FULL ? 0 : error;
    return error;
}

static int op_fold(void *index, const struct bb_index_fold *fold, struct bb_set *ret_set,
                   uint64_t *ret_room)
{
    struct memindex *mem = index;
    BB_ASSERT(fold->count <= mem->config.slice_max);
    mem->fold_count++;
    bool fail = mem->fail_at != 0 && mem->fold_count == mem->fail_at;
    if (fail && !mem->fail_applied)
        return mem->fail_error;
    if (!mem->newest->has_state)
        return BB_ERR_NOT_FORMATTED;
    if (counts_too_few(mem->newest, fold))
        return BB_ERR_INDEX_DAMAGED;
    struct version *merged = version_merge(mem->newest, fold->changes, fold->count, false);
    if (mem->config.capacity != 0 && merged->count > mem->config.capacity &&
        merged->count > mem->newest->count) {
        version_unref(merged);
        return BB_ERR_INDEX_FULL;
    }
    if (fold->anchor != NULL)
        merged->state.anchor = *fold->anchor;
    if (fold->epoch != 0)
        merged->state.epoch = fold->epoch;
    if (fold->scrub != NULL)
        merged->state.scrub = *fold->scrub;
    int error = fold_mirror(mem, fold, merged);
    if (error != 0) {
        version_unref(merged);
        return error;
    }
    set_newest(mem, merged);
    if (fail)
        return mem->fail_error;
    *ret_set = merged->state.set;
    *ret_room = op_room(mem);
    return 0;
}

struct comparison {
    const struct version *version;
    uint64_t at;
};

static int compare_one(void *context, const struct bb_hash *hash,
                       const struct bb_index_entry *entry)
{
    struct comparison *comparison = context;
    BB_ASSERT(comparison->at < comparison->version->count);
    const struct record *record = &comparison->version->records[comparison->at++];
    BB_ASSERT(bb_hash_equal(hash, &record->hash));
    BB_ASSERT(entry_equal(entry, &record->entry));
    return 0;
}

static void compare_all(const struct memindex *mem)
{
    const struct bb_index *real = mem->mirror.index;
    struct comparison comparison = {.version = mem->newest};
    int result = real->ops->scan(real->context, NULL, NULL, compare_one, &comparison);
    BB_ASSERT(result == 0);
    BB_ASSERT(comparison.at == mem->newest->count);
}

static int op_scan(void *index, const struct bb_hash *after, const struct bb_hash *below,
                   bb_index_visit_fn *visit, void *context)
{
    struct memindex *mem = index;
    if (mem->broken != 0)
        return mem->broken;
    if (mem->mirror.index != NULL)
        compare_all(mem);
    struct version *version = version_ref(mem->newest); /* visit may fold */
    uint64_t at = 0;
    if (after != NULL) {
        at = version_find(version, after);
        if (at < version->count && bb_hash_equal(&version->records[at].hash, after))
            at++;
    }
    int result = 0;
    for (; at < version->count && result == 0; at++) {
        const struct record *record = &version->records[at];
        if (below != NULL && bb_hash_compare(&record->hash, below) >= 0)
            break;
        result = visit(context, &record->hash, &record->entry);
    }
    version_unref(version);
    return result;
}

static void op_refresh(void *index)
{
    struct memindex *mem = index;
    struct version *newest = version_ref(mem->newest);
    version_unref(mem->visible);
    mem->visible = newest;
    if (mem->mirror.index != NULL && mem->broken == 0)
        mem->mirror.index->ops->refresh(mem->mirror.index->context);
}

static const struct bb_index_ops memindex_ops = {
    .state = op_state,
    .lookup = op_lookup,
    .fold = op_fold,
    .scan = op_scan,
    .refresh = op_refresh,
    .room = op_room,
};

struct bb_index memindex_index(struct memindex *mem)
{
    return (struct bb_index){
        .ops = &memindex_ops, .context = mem, .slice_max = mem->config.slice_max};
}

struct memindex *memindex_new(const struct memindex_config *config)
{
    struct memindex *mem = must(calloc(1, sizeof(*mem)));
    mem->config = *config;
    if (mem->config.slice_max == 0)
        mem->config.slice_max = BB_INDEX_SLICE_MAX;
    BB_ASSERT(mem->config.slice_max <= BB_INDEX_SLICE_MAX);
    BB_ASSERT(config->fault_percent <= 100);
    bb_random_seed(&mem->random, config->seed);
    mem->newest = version_new(0);
    mem->visible = version_ref(mem->newest);
    return mem;
}

struct memindex *memindex_clone(const struct memindex *mem)
{
    struct memindex *clone = must(calloc(1, sizeof(*clone)));
    clone->config = mem->config;
    bb_random_seed(&clone->random, clone->config.seed);
    clone->newest = version_ref(mem->newest);
    clone->visible = version_ref(mem->newest);
    return clone;
}

void memindex_free(struct memindex *mem)
{
    version_unref(mem->newest);
    version_unref(mem->visible);
    free(mem->tasks);
    free(mem);
}

void memindex_forget_jobs(struct memindex *mem)
{
    mem->task_count = 0;
}

void memindex_wipe(struct memindex *mem)
{
    if (mem->mirror.index != NULL) {
        int error = mem->mirror.wipe(mem->mirror.context);
        BB_ASSERT(error == 0);
    }
    set_newest(mem, version_new(0));
    op_refresh(mem);
}

void memindex_put_state(struct memindex *mem, const struct bb_index_state *state)
{
    struct version *version = version_merge(mem->newest, NULL, 0, true);
    version->has_state = true;
    version->state = *state;
    if (mem->mirror.index != NULL) {
        mem->broken = mem->mirror.put_state(mem->mirror.context, state);
        if (mem->broken != 0) { /* whoever asks will hear of it */
            version_unref(version);
            return;
        }
    }
    set_newest(mem, version);
}

void memindex_set_mirror(struct memindex *mem, const struct memindex_mirror *mirror)
{
    mem->mirror = mirror != NULL ? *mirror : (struct memindex_mirror){0};
    mem->broken = 0;
    BB_ASSERT(mirror == NULL || mirror->index->slice_max >= mem->config.slice_max);
    op_refresh(mem); /* a lookup that rests would see the next fold at once */
}

struct loading {
    struct version *version;
    uint64_t count_max;
};

static int load_one(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct loading *loading = context;
    struct version *version = loading->version;
    if (version->count == loading->count_max) {
        loading->count_max *= 2;
        version = must(
            realloc(version, sizeof(*version) + loading->count_max * sizeof(version->records[0])));
        loading->version = version;
    }
    struct record *record = &version->records[version->count++];
    memset(record, 0, sizeof(*record)); /* padding */
    record->hash = *hash;
    record->entry.unit = entry->unit;
    record->entry.size = entry->size;
    record->entry.flags = entry->flags;
    return 0;
}

int memindex_load(struct memindex *mem, const struct bb_index *index)
{
    struct loading loading = {.version = version_new(16), .count_max = 16};
    int result = index->ops->state(index->context, &loading.version->state);
    loading.version->has_state = result == 0;
    if (result == 0 || result == BB_ERR_NOT_FORMATTED)
        result = index->ops->scan(index->context, NULL, NULL, load_one, &loading);
    if (result != 0) {
        version_unref(loading.version);
        return result;
    }
    set_newest(mem, loading.version);
    op_refresh(mem);
    return 0;
}

void memindex_tamper(struct memindex *mem, const struct bb_change *change)
{
    set_newest(mem, version_merge(mem->newest, change, 1, true));
    op_refresh(mem);
}

void memindex_digest(struct memindex *mem, struct bb_digest *ret_digest)
{
    struct version *version = mem->newest;
    if (!version->has_digest) {
        struct bb_digest parts[3];
        memset(parts, 0, sizeof(parts));
        bb_digest_of(version->records, version->count * sizeof(struct record), &parts[0]);
        bb_digest_of(&version->state, sizeof(version->state), &parts[1]);
        parts[2].bytes[0] = version->has_state;
        bb_digest_of(parts, sizeof(parts), &version->digest);
        version->has_digest = true;
    }
    *ret_digest = version->digest;
}

uint64_t memindex_count(const struct memindex *mem)
{
    return mem->newest->count;
}

uint64_t memindex_fold_count(const struct memindex *mem)
{
    return mem->fold_count;
}

void memindex_fail_fold(struct memindex *mem, uint64_t k, int error, bool applied)
{
    BB_ASSERT(k == 0 || error < 0);
    mem->fail_at = k == 0 ? 0 : mem->fold_count + k;
    mem->fail_error = error;
    mem->fail_applied = applied;
}

static int port_lookup(void *context, const struct bb_hash *hash, struct bb_index_entry *ret_entry)
{
    struct memindex *mem = context;
    if (mem->config.fault_percent > 0 &&
        bb_random_below(&mem->random, 100) < mem->config.fault_percent)
        return BB_ERR_WOULD_FAULT;
    return op_lookup(mem, hash, ret_entry);
}

static void port_submit(void *context, struct bb_index_job *job)
{
    struct memindex *mem = context;
    if (mem->task_count == mem->task_max) {
        mem->task_max = mem->task_max == 0 ? 16 : mem->task_max * 2;
        mem->tasks = must(realloc(mem->tasks, mem->task_max * sizeof(*mem->tasks)));
    }
    mem->tasks[mem->task_count++] = (struct task){.job = job};
}

struct bb_index_port memindex_port(struct memindex *mem)
{
    return (struct bb_index_port){
        .context = mem, .lookup = port_lookup, .submit = port_submit, .refresh = op_refresh};
}

void memindex_on_done(struct memindex *mem, memindex_done_fn *done, void *context)
{
    mem->done = done;
    mem->done_context = context;
}

struct lister {
    struct bb_index_job *job;
    uint32_t count;
};

static int list_one(void *context, const struct bb_hash *hash, const struct bb_index_entry *entry)
{
    struct lister *lister = context;
    if (lister->count == lister->job->count)
        return 1;
    struct bb_listed *listed = &lister->job->listed[lister->count++];
    listed->hash = *hash;
    listed->size = entry->size;
    listed->flags = (uint32_t)entry->flags;
    return 0;
}

/* Lookup threads have read transactions of their own: they see the newest version. */
static void execute(struct memindex *mem, struct bb_index_job *job)
{
    job->result = 0;
    switch (job->kind) {
    case BB_JOB_LOOKUP:
        for (uint32_t i = 0; i < job->count; i++)
            if (version_lookup(mem->newest, &job->hashes[i], &job->entries[i]) == -ENOENT)
                job->entries[i].unit = UINT64_MAX;
        break;
    case BB_JOB_LIST: {
        struct lister lister = {.job = job};
        (void)op_scan(mem, job->from_start ? NULL : &job->after, NULL, list_one, &lister);
        job->count = lister.count;
        break;
    }
    case BB_JOB_FOLD:
        job->result = op_fold(mem, &job->fold, &job->set, &job->room);
        break;
    default:
        BB_ASSERT(false);
    }
}

/* Folds are executed one after the other and handed over in that order. */
static bool may_step(const struct memindex *mem, unsigned at)
{
    if (mem->tasks[at].job->kind != BB_JOB_FOLD)
        return true;
    for (unsigned i = 0; i < at; i++)
        if (mem->tasks[i].job->kind == BB_JOB_FOLD &&
            (mem->tasks[at].executed || !mem->tasks[i].executed))
            return false;
    return true;
}

unsigned memindex_run(struct memindex *mem, unsigned max)
{
    unsigned steps = 0;
    for (; steps < max && mem->task_count > 0; steps++) {
        unsigned at = (unsigned)bb_random_below(&mem->random, mem->task_count);
        while (!may_step(mem, at))
            at--;
        struct task *task = &mem->tasks[at];
        if (!task->executed) {
            execute(mem, task->job);
            task->executed = true;
            continue;
        }
        struct bb_index_job *job = task->job;
        mem->task_count--;
        memmove(task, task + 1, (mem->task_count - at) * sizeof(*task));
        BB_ASSERT(mem->done != NULL);
        mem->done(mem->done_context, job);
    }
    return steps;
}

unsigned memindex_pending(const struct memindex *mem)
{
    return mem->task_count;
}
