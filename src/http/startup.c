/* SPDX-License-Identifier: Apache-2.0
 * Start-up. Steps in order, each undone by bb_startup_close as far as it got. The engine itself is
 * opened and made ready by the controller's thread, on whose ring it lives.
 */
#include "bb/startup.h"

#include "bb/bits.h"
#include "bb/clock.h"
#include "bb/err.h"
#include "bb/fill.h"
#include "bb/log.h"
#include "bb/notify.h"
#include "bb/replay.h"
#include "bb/syncio.h"
#include "bb/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ENGINE_EXTRA ((size_t)16 << 20) /* address space beside the delta; touched as needed */
#define JOB_MAX 64u
#define NOTIFY_EVERY_MS 1000u
#define PATIENCE_USEC 60000000u       /* until the next word of a step that tells how far it is */
#define LOOKUP_THREADS 4u             /* which the pages of a cold index are read by */
#define PATIENCE_STEP_USEC 900000000u /* for a whole step that does not: reading a large index */

struct bb_startup {
    struct bb_startup_config config;
    struct bb_lmdb *lmdb;
    struct bb_index index;
    struct bb_recovered recovered;
    struct bb_replay replay; /* with config.read_only */
    struct bb_arena arena;   /* this, the engine, the index service, the replay */
    struct bb_arena buddy_arena;
    struct bb_index_service *service;
    struct bb_store_config store;
    struct bb_hasher hasher; /* the scrub's; opened with the store */
    uint64_t notified_ms;
    const char *notified_step;
    _Atomic bool cancelled;
};

int bb_startup_open(const struct bb_startup_config *config, struct bb_startup **ret_startup)
{
    struct bb_arena arena;
    size_t size = config->budget.delta + ENGINE_EXTRA + bb_trim_memory(config->data->size);
    int error = bb_arena_open(size, false, false, &arena);
    if (error != 0)
        return error;
    struct bb_startup *startup =
        bb_arena_alloc(&arena, sizeof(*startup), _Alignof(struct bb_startup));
    BB_ASSERT(startup != NULL);
    startup->config = *config;
    startup->arena = arena;
    *ret_startup = startup;
    return 0;
}

/* The layers below know the devices as data and index only; a person wants their paths. */
static int explained(const struct bb_startup *startup, int error, const struct bb_explain *explain)
{
    bb_log(BB_LOG_ERROR, "%s", explain->text[0] != '\0' ? explain->text : bb_err_text(error));
    bb_log(BB_LOG_ERROR, "the data device is %s, the index device is %s",
           startup->config.data->path, startup->config.index->path);
    return error;
}

static int failed(int error, const char *what)
{
    const char *cure = bb_err_cure(error);
    bb_log(BB_LOG_ERROR, "%s: %s%s%s", what, bb_err_text(error), cure != NULL ? "; " : "",
           cure != NULL ? cure : "");
    return error;
}

/* Shows the step on the board and, when it begins and once a second, to systemd, which would
 * otherwise lose patience with a long recovery. */
static void progress(void *context, const char *step, uint64_t done, uint64_t total)
{
    struct bb_startup *startup = context;
    struct bb_board *board = &bb_server_shared(startup->config.server)->board;
    char text[BB_BOARD_TEXT_MAX];
    char state[BB_BOARD_TEXT_MAX + 64];
    bb_board_progress(board, step, done, total);
    uint64_t now_ms = bb_clock_ms();
    if (step == startup->notified_step && now_ms < startup->notified_ms + NOTIFY_EVERY_MS)
        return;
    startup->notified_step = step;
    startup->notified_ms = now_ms;
    (void)bb_board_text(board, text);
    (void)snprintf(state, sizeof(state), "STATUS=%s\nEXTEND_TIMEOUT_USEC=%u", text,
                   total > 0 ? PATIENCE_USEC : PATIENCE_STEP_USEC);
    bb_notify(state);
}

static int sync_device(const struct bb_device *device)
{
    int error = bb_device_sync(device);
    if (error != 0)
        bb_log(BB_LOG_ERROR, "%s: flush before reading: %s; check the device, then start again",
               device->path, bb_err_text(error));
    return error;
}

static int sync_devices(struct bb_startup *startup)
{
    if (startup->config.read_only)
        return 0;
    progress(startup, "flushing what the last process wrote", 0, 0);
    int error = sync_device(startup->config.data);
    return error == 0 ? sync_device(startup->config.index) : error;
}

/* Formatting is advice for a device that was never an index, and a danger for any other. */
static const char *index_cure(int error)
{
    if (bb_err_cure(error) != NULL)
        return bb_err_cure(error);
    switch (error) {
    case BB_ERR_NOT_FORMATTED:
        return "name the right device, or bring a lost index back with bbfsck --rebuild";
    case BB_ERR_INDEX_DAMAGED:
        return "bring it back with bbfsck --rebuild";
    default:
        return "check the device, then start again";
    }
}

static int open_index(struct bb_startup *startup)
{
    progress(startup, "opening the index", 0, 0);
    int error = bb_lmdb_open(startup->config.index, startup->config.runtime_dir,
                             startup->config.read_only, &startup->lmdb);
    if (error != 0) {
        bb_log(BB_LOG_ERROR, "index %s: %s; %s", startup->config.index->path, bb_err_text(error),
               index_cure(error));
        return error;
    }
    bb_lmdb_index(startup->lmdb, &startup->index);
    startup->index.slice_max =
        (uint32_t)bb_min_u64(startup->index.slice_max, startup->config.budget.slice_max);
    return 0;
}

static void log_dropped(const struct bb_recover_report *report)
{
    const size_t named_max = sizeof(report->dropped_first) / sizeof(report->dropped_first[0]);
    for (size_t i = 0; i < report->dropped && i < named_max; i++) {
        char hex[BB_HASH_HEX_SIZE];
        bb_hash_to_hex(&report->dropped_first[i], hex);
        bb_log(BB_LOG_INFO, "recovery dropped=%.64s acknowledged=no", hex);
    }
}

static void log_report(const struct bb_startup *startup, uint64_t took_ms)
{
    const struct bb_recover_report *report = &startup->recovered.report;
    char uuid[37];
    bb_log(BB_LOG_INFO,
           "recovery store=%s clean=%s first=%" PRIu64 " last=%" PRIu64 " durable=%" PRIu64
           " records=%" PRIu64 " items=%" PRIu64 " rehashed=%" PRIu64 " dropped=%" PRIu64
           " unreadable=%" PRIu64 " pages_written=%" PRIu64 " slots_damaged=%" PRIu64
           " epoch=%" PRIu64 " ms=%" PRIu64,
           bb_text_of_uuid(&startup->recovered.super.store, uuid), report->was_clean ? "yes" : "no",
           report->first_sequence, report->last_sequence, report->durable, report->records,
           report->items, report->rehashed, report->dropped, report->unreadable,
           report->pages_written, report->slots_damaged + report->slots_unexcused, report->epoch,
           took_ms);
    log_dropped(report);
}

/* Before anything is used: two disks may have changed places. */
static int check_store(const struct bb_startup *startup)
{
    const char *wanted = startup->config.store;
    char uuid[37];
    (void)bb_text_of_uuid(&startup->recovered.super.store, uuid);
    if (wanted == NULL || strcmp(wanted, uuid) == 0)
        return 0;
    bb_log(BB_LOG_ERROR, "%s: store %s, but %s is to be served; name its devices",
           startup->config.data->path, uuid, wanted);
    return BB_ERR_FOREIGN;
}

static int replay(struct bb_startup *startup, const struct bb_recover_config *config,
                  struct bb_explain *explain)
{
    int error = bb_replay_run(config, &startup->arena, startup->config.budget.delta,
                              &startup->replay, &startup->recovered, explain);
    uint64_t wanted = startup->replay.wanted;
    if (error == BB_ERR_MEMORY && wanted > 0) {
        uint64_t memory = wanted * BB_REPLAY_ITEM_COST * BB_BUDGET_DELTA_SHARE;
        (void)snprintf(explain->text, sizeof(explain->text),
                       "memory: the journal holds %" PRIu64 " changes that the index does not "
                       "have; to replay them in memory start with --memory %" PRIu64 "M or more",
                       wanted, bb_div_ceil(memory, BB_MIB));
        return error;
    }
    return error;
}

static void log_replayed(const struct bb_startup *startup)
{
    const struct bb_recover_report *report = &startup->recovered.report;
    bb_log(BB_LOG_INFO, "read-only replayed=%" PRIu64, startup->replay.wanted);
    if (report->super_copies_healed > 0)
        bb_log(BB_LOG_WARNING,
               "%s: superblock copies that are damaged or old: %" PRIu64
               ", left as they are; a start without --read-only repairs them",
               startup->config.data->path, report->super_copies_healed);
}

/* The device became larger and nobody has told the store. */
static void log_room(const struct bb_startup *startup)
{
    const struct bb_super *super = &startup->recovered.super;
    const struct bb_device *data = startup->config.data;
    struct bb_layout grown;
    char more[16];
    if (data->size <= super->layout.device_size ||
        bb_layout_grow(&super->layout, super->open_zone_count, data->size, &grown) != 0)
        return;
    uint64_t units = bb_layout_units(&grown, grown.zone_count) -
                     bb_layout_units(&super->layout, super->layout.zone_count);
    if (units > 0)
        bb_log(BB_LOG_INFO, "%s: larger than the store; bbfsck --grow %s %s makes %s more of it",
               data->path, data->path, startup->config.index->path,
               bb_text_of_size(units * BB_UNIT_SIZE, more, sizeof(more)));
}

static int recover(struct bb_startup *startup)
{
    struct bb_shared *shared = bb_server_shared(startup->config.server);
    struct bb_arena scratch;
    struct bb_syncio sync;
    struct bb_explain explain = {.text = ""};
    uint64_t began_ms = bb_clock_ms();
    size_t size = startup->config.budget.delta;
    if (startup->config.read_only)
        size /= 2; /* beside the replay; LMDB's share is not needed */
    size = (size_t)bb_align_up(bb_max_u64(size, BB_RECOVER_SCRATCH_MIN), BB_UNIT_SIZE);
    int error = bb_arena_open(size, false, false, &scratch);
    if (error != 0)
        return failed(error, "memory for recovery");
    bb_syncio_init(&sync, startup->config.data);
    struct bb_recover_config config = {
        .io = &sync.io,
        .index = &startup->index,
        .scratch = scratch.base,
        .scratch_size = size,
        .progress = progress,
        .context = startup,
        .no_flush = startup->config.read_only,
    };
    if (startup->config.read_only)
        error = replay(startup, &config, &explain);
    else
        error = bb_recover(&config, &startup->recovered, &explain);
    bb_arena_close(&scratch);
    if (error != 0)
        return explained(startup, error, &explain);
    uint64_t took_ms = bb_clock_ms() - began_ms;
    atomic_store(&shared->recovery_ms, took_ms);
    atomic_store_explicit(&shared->recovered, &startup->recovered, memory_order_release);
    log_report(startup, took_ms);
    log_room(startup);
    if (startup->config.read_only)
        log_replayed(startup);
    return check_store(startup);
}

/* What the scrub needs beside the settings. */
static int prepare_scrub(struct bb_startup *startup)
{
    struct bb_store_config *store = &startup->store;
    struct bb_index_state state;
    struct timespec now;
    store->scrub = startup->config.scrub;
    if (startup->config.read_only || store->scrub.rate == 0)
        return 0;
    int error = startup->index.ops->state(startup->index.context, &state);
    if (error == 0)
        error = bb_hasher_open(&startup->hasher);
    if (error != 0)
        return failed(error, "scrub");
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    store->scrub.unix_ms = unix_ms - bb_min_u64(unix_ms, bb_clock_ms());
    store->scrub.hasher = &startup->hasher;
    store->scrub_row = state.scrub;
    return 0;
}

static int open_store(struct bb_startup *startup)
{
    struct bb_control *control = bb_server_shared(startup->config.server)->control;
    const struct bb_budget *budget = &startup->config.budget;
    progress(startup, "opening the store", 0, 0);
    struct bb_index_service_config service = {
        .lmdb = startup->lmdb,
        .arena = &startup->arena,
        .job_max = JOB_MAX,
        .lookup_threads = LOOKUP_THREADS,
        .on_done = bb_control_answered,
        .context = control,
    };
    int error = bb_index_service_start(&service, &startup->service);
    if (error != 0)
        return failed(error, "index service");
    startup->store = (struct bb_store_config){
        .slice_max = startup->index.slice_max,
        .index_room = startup->index.ops->room(startup->index.context),
        .super = startup->recovered.super,
        .last = startup->recovered.last,
        .arena = &startup->arena,
        .memory = budget->delta,
        .trim_idle_ms = startup->config.trim_idle_ms,
        .trim_age_ms = BB_TRIM_AGE_MS,
        .replayed = startup->config.read_only ? &startup->replay.delta : NULL,
    };
    error = prepare_scrub(startup);
    if (error != 0)
        return error;
    error = bb_control_open_store(control, &startup->store, startup->service);
    if (error != 0)
        return failed(error, "engine");
    bb_arena_seal(&startup->arena);
    bb_server_set_phase(startup->config.server, BB_PHASE_READING);
    return 0;
}

static int open_buddy(struct bb_startup *startup, struct bb_buddy **ret_buddy)
{
    const struct bb_layout *layout = &startup->recovered.super.layout;
    uint64_t zone_units = bb_layout_zone_units_max(layout);
    size_t size = bb_buddy_memory(layout->zone_count, zone_units);
    if (size > startup->config.budget.buddy + BB_MIB) {
        char text[32];
        bb_log(BB_LOG_ERROR,
               "memory: the map of free space needs %s with the zones of this store, start with a "
               "larger --memory",
               bb_text_of_size(size, text, sizeof(text)));
        return BB_ERR_MEMORY;
    }
    int error = bb_arena_open(size, false, false, &startup->buddy_arena);
    if (error != 0)
        return failed(error, "memory for the map of free space");
    void *memory = bb_arena_alloc(&startup->buddy_arena, size, 64);
    BB_ASSERT(memory != NULL);
    *ret_buddy = bb_buddy_init(memory, size, layout->zone_count, zone_units);
    return 0;
}

static int reads_only(struct bb_startup *startup, int error)
{
    struct bb_board *board = &bb_server_shared(startup->config.server)->board;
    bb_log(BB_LOG_ERROR, "reads only: %s; stop and run bbfsck %s %s", bb_err_text(error),
           startup->config.data->path, startup->config.index->path);
    atomic_store(&board->read_only,
                 "reads only: the index does not add up, stop the server and run bbfsck");
    bb_notify("READY=1\nSTATUS=reads only, run bbfsck");
    return 0;
}

static void notify_ready(const struct bb_startup *startup)
{
    char text[BB_BOARD_TEXT_MAX];
    char state[BB_BOARD_TEXT_MAX + 32];
    (void)bb_board_text(&bb_server_shared(startup->config.server)->board, text);
    (void)snprintf(state, sizeof(state), "READY=1\nSTATUS=%s", text);
    bb_notify(state);
}

static int fill(struct bb_startup *startup)
{
    struct bb_shared *shared = bb_server_shared(startup->config.server);
    struct bb_explain explain = {.text = ""};
    struct bb_buddy *buddy;
    struct bb_filled filled;
    uint64_t began_ms = bb_clock_ms();
    progress(startup, "reading the map of free space from the index", 0, 0);
    int error = open_buddy(startup, &buddy);
    if (error != 0)
        return error;
    bb_lmdb_read_in(startup->lmdb);
    struct bb_index index = startup->index;
    if (startup->config.read_only)
        bb_replay_index(&startup->replay, &index);
    error = bb_fill(&index, &startup->recovered.super, buddy, &filled, &explain);
    if (error != 0) {
        (void)explained(startup, error, &explain);
        return bb_err_cure(error) != NULL ? error : reads_only(startup, error);
    }
    error = bb_control_ready(shared->control, buddy, &filled);
    if (error != 0)
        return reads_only(startup, error);
    atomic_store(&shared->fill_ms, bb_clock_ms() - began_ms);
    bb_log(BB_LOG_INFO, "ready blocks=%" PRIu64 " fill_ms=%" PRIu64, filled.set.count,
           bb_clock_ms() - began_ms);
    if (startup->config.read_only)
        atomic_store(&shared->board.read_only,
                     "read-only: serves reads and writes nothing to its devices");
    bb_server_set_phase(startup->config.server, BB_PHASE_READY);
    notify_ready(startup);
    return 0;
}

void bb_startup_cancel(struct bb_startup *startup)
{
    atomic_store(&startup->cancelled, true);
}

int bb_startup_run(struct bb_startup *startup)
{
    static int (*const steps[])(struct bb_startup *) = {sync_devices, open_index, recover,
                                                        open_store, fill};
    int error = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && error == 0; i++)
        error = atomic_load(&startup->cancelled) ? BB_ERR_CANCELLED : steps[i](startup);
    if (startup->config.read_only && bb_err_exit(error) == BB_EXIT_REFUSED)
        bb_log(BB_LOG_ERROR, "read-only: nothing was written; bbfsck --repair and --rebuild write: "
                             "if these devices must not be touched, use them on copies");
    return error;
}

void bb_startup_close(struct bb_startup *startup)
{
    if (startup->service != NULL)
        bb_index_service_stop(startup->service);
    if (startup->lmdb != NULL)
        bb_lmdb_close(startup->lmdb);
    if (startup->hasher.context != NULL)
        bb_hasher_close(&startup->hasher);
    bb_arena_close(&startup->buddy_arena);
    struct bb_arena arena = startup->arena; /* which this stands in */
    bb_arena_close(&arena);
}
