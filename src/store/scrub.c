/* SPDX-License-Identifier: Apache-2.0
 * The scrub's frame: pace, passes, start and pause. Owner: the controller.
 *
 *   REST --due--> one step: a page, a block, a piece of the mend, the row --over--> REST
 *
 * A step is paid for in bytes when it begins; the next one begins when the debt is worked off, and
 * when the time that the device took has been waited out as `share` demands. A slow device, and so
 * a loaded one, slows the scrub down by itself. At a day's pace it wakes at most once per second.
 */
#include "engine.h"

#define DAY_S 86400u
#define CALM_RATE                                                                                  \
    ((uint64_t)1 << 20) /* bytes per second; below, once per second is often enough                \
                         */
#define CALM_MS 1000u
#define BUSY_MS 5u
#define SAVE_MS 600000u
#define RETRY_MS 1000u

int scrub_open(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    struct bb_arena *arena = store->config.arena;
    const struct bb_scrub_config *config = &store->config.scrub;
    scrub->wake_ms = BB_SCRUB_NEVER;
    scrub->rested = true;
    if (config->rate == 0 || config->hasher == NULL)
        return 0;
    BB_ASSERT(config->share >= 1);
    BB_ASSERT(config->share <= 100);
    for (unsigned i = 0; i < 2; i++)
        scrub->slot[i] = bb_arena_alloc(arena, sizeof(struct bb_disk_page), BB_UNIT_SIZE);
    scrub->hashes = bb_arena_alloc(arena, BB_SCRUB_WALK * sizeof(*scrub->hashes), 64);
    scrub->entries = bb_arena_alloc(arena, BB_SCRUB_WALK * sizeof(*scrub->entries), 64);
    scrub->listed = bb_arena_alloc(arena, BB_SCRUB_WALK * sizeof(*scrub->listed), 64);
    scrub->places = bb_arena_alloc(arena, BB_PAGE_ENTRY_COUNT * sizeof(*scrub->places), 64);
    scrub->buffer = bb_arena_alloc(arena, BB_SCRUB_PIECE, BB_UNIT_SIZE);
    if (scrub->slot[1] == NULL || scrub->hashes == NULL || scrub->entries == NULL ||
        scrub->listed == NULL || scrub->places == NULL || scrub->buffer == NULL)
        return BB_ERR_MEMORY;
    scrub_row_restore(store);
    return 0;
}

static bool enabled(const struct bb_store *store)
{
    return store->scrub.buffer != NULL;
}

void scrub_ready(struct bb_store *store)
{
    if (enabled(store))
        store->scrub.wake_ms = 0;
}

static bool has_flag(const struct bb_store *store, uint64_t flag)
{
    return (store->scrub.row.flags & flag) != 0;
}

static uint64_t page_count(const struct bb_store *store)
{
    return bb_layout_pages(&store->super.layout, store->super.open_zone_count);
}

uint64_t scrub_unix_s(const struct bb_store *store)
{
    return (store->config.scrub.unix_ms + store->now_ms) / 1000;
}

/* Between checkpoints pages and index are states of the same anchor. */
bool scrub_is_still(const struct bb_store *store)
{
    return (store->checkpoint.state == CHECKPOINT_IDLE && !store->scrub.pages_ahead) ||
           bb_planted(SCRUB_NOT_STILL);
}

/* ---- pace ---- */

/* Bytes per second to aim at; 0: nothing is to be done. */
static uint64_t rate_now(const struct bb_store *store)
{
    const struct bb_scrub_config *config = &store->config.scrub;
    if (has_flag(store, BB_SCRUB_PAUSED))
        return 0;
    if (has_flag(store, BB_SCRUB_HURRIED))
        return config->rate;
    if (config->days == 0 || page_count(store) == 0)
        return 0;
    uint64_t bytes = (store->used_units + 2 * page_count(store)) * BB_UNIT_SIZE;
    return bb_min_u64(bytes / ((uint64_t)config->days * DAY_S) + 1, config->rate);
}

void scrub_charge(struct bb_store *store, uint64_t bytes)
{
    struct scrub *scrub = &store->scrub;
    scrub->tokens -= (int64_t)bytes;
    scrub->began_ms = store->now_ms;
    scrub->rested = false;
}

/* When the next step may be taken, given what the last one cost. */
static uint64_t next_step_ms(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    uint64_t rate = rate_now(store), now_ms = store->now_ms;
    if (!scrub->rested) {
        uint32_t share = store->config.scrub.share;
        scrub->rested = true;
        scrub->rest_until_ms = now_ms + (now_ms - scrub->began_ms) * (100 - share) / share;
    }
    if (rate == 0)
        return BB_SCRUB_NEVER;
    uint64_t tick = rate <= CALM_RATE ? CALM_MS : BUSY_MS;
    uint64_t passed_ms = bb_min_u64(now_ms - scrub->tokens_ms, CALM_MS);
    if (scrub->tokens <= 0)
        passed_ms = now_ms - scrub->tokens_ms;
    /* whole bytes only; what is left of a millisecond stays for the next time */
    uint64_t earned = rate * bb_min_u64(passed_ms, UINT32_MAX) / 1000;
    if (earned > 0) {
        scrub->tokens += (int64_t)earned;
        scrub->tokens_ms = now_ms;
    }
    int64_t most = (int64_t)(rate * tick / 1000 + 1);
    scrub->tokens = scrub->tokens > most ? most : scrub->tokens;
    uint64_t wake_ms = now_ms;
    if (scrub->tokens <= 0)
        wake_ms += bb_max_u64((uint64_t)(1 - scrub->tokens) * 1000 / rate + 1, tick);
    return bb_max_u64(wake_ms, scrub->rest_until_ms);
}

void scrub_rest(struct bb_store *store)
{
    store->scrub.state = SCRUB_REST;
    store->scrub.wake_ms = 0;
}

void scrub_rest_a_while(struct bb_store *store)
{
    store->scrub.state = SCRUB_REST;
    store->scrub.rest_until_ms =
        store->now_ms + (has_flag(store, BB_SCRUB_HURRIED) ? BUSY_MS : RETRY_MS);
    store->scrub.rested = true;
    store->scrub.wake_ms = 0;
}

/* ---- passes ---- */

static void from_first_page(struct bb_store *store)
{
    struct bb_scrub_row *row = &store->scrub.row;
    row->page = row->set_page = 0;
    row->set = (struct bb_set){0};
    row->flags |= BB_SCRUB_SET;
    store->scrub.named_until = 0;
    store->scrub.row_moved = true;
}

static void pass_begin(struct bb_store *store)
{
    struct bb_scrub_row *row = &store->scrub.row;
    from_first_page(store);
    row->pass_began_s = bb_max_u64(scrub_unix_s(store), 1);
    row->pass_findings = 0;
    row->blocks = row->bytes = 0;
}

static bool set_differs(const struct bb_store *store)
{
    const struct bb_scrub_row *row = &store->scrub.row;
    return has_flag(store, BB_SCRUB_SET) && row->set_page == row->page &&
           !bb_set_equal(&row->set, &store->journal.anchor.set);
}

/* All pages have been seen. True when something else has to be done first. */
static bool pass_end(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    struct bb_scrub_row *row = &scrub->row;
    if (!scrub_is_still(store)) {
        scrub_rest_a_while(store);
        return true;
    }
    if (set_differs(store) && !has_flag(store, BB_SCRUB_DOUBT)) {
        row->flags |= BB_SCRUB_DOUBT; /* the pages once more, without the blocks */
        from_first_page(store);
        scrub_rest(store);
        return true;
    }
    if (set_differs(store))
        scrub_found(store, BB_SCRUB_SET_DIFFERS, BB_SCRUB_LEFT, 0, NULL);
    row->passes++;
    row->last_ended_s = scrub_unix_s(store);
    if (row->pass_findings == 0)
        row->last_clean_s = row->last_ended_s;
    row->flags &= ~(uint64_t)(BB_SCRUB_HURRIED | BB_SCRUB_SET | BB_SCRUB_DOUBT);
    row->pass_began_s = 0;
    row->page = row->set_page = 0;
    scrub->row_moved = scrub->save_now = true;
    scrub_rest(store);
    return true;
}

void scrub_page_over(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    scrub->page_loaded = scrub->mended = false;
    scrub->looks = 0;
    scrub->row.page++;
    scrub->row_moved = true;
}

static void step(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    struct bb_scrub_row *row = &scrub->row;
    if (scrub->mending) {
        scrub_mend_step(store);
        return;
    }
    if (row->pass_began_s == 0)
        pass_begin(store);
    if (scrub->page_loaded && !has_flag(store, BB_SCRUB_DOUBT) && scrub_block_begin(store))
        return;
    if (scrub->page_loaded)
        scrub_page_over(store);
    if (row->page >= page_count(store) && pass_end(store))
        return;
    if (!scrub_is_still(store))
        scrub_rest_a_while(store);
    else
        scrub_page_begin(store);
}

/* True when the row is on its way. */
static bool save(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    bool due = scrub->row_moved &&
               (store->stopping || scrub->save_now || store->now_ms - scrub->saved_ms >= SAVE_MS);
    return due && scrub_is_still(store) && scrub_row_save(store);
}

void scrub_turn(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    scrub->wake_ms = BB_SCRUB_NEVER;
    if (!enabled(store) || store->fatal != 0 || scrub->state != SCRUB_REST || !store->filled)
        return;
    if (save(store) || !store->writable)
        return;
    uint64_t next_ms = next_step_ms(store);
    if (next_ms <= store->now_ms)
        step(store);
    else
        scrub->wake_ms = next_ms;
}

bool scrub_is_quiet(const struct bb_store *store)
{
    return store->scrub.state == SCRUB_REST && (!store->scrub.row_moved || !enabled(store));
}

void scrub_job_done(struct bb_store *store)
{
    if (store->fatal != 0)
        return;
    switch (store->scrub.state) {
    case SCRUB_INDEX:
        scrub_page_answered(store);
        break;
    case SCRUB_LIST:
    case SCRUB_PLACES:
        scrub_mend_answered(store);
        break;
    default:
        BB_ASSERT(store->scrub.state == SCRUB_SAVE);
        scrub_row_saved(store);
    }
}

/* ---- from outside ---- */

void bb_scrub_start(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    if (!enabled(store))
        return;
    scrub->row.flags &= ~(uint64_t)BB_SCRUB_PAUSED;
    scrub->row.flags |= BB_SCRUB_HURRIED;
    scrub->row_moved = scrub->save_now = true;
    scrub->tokens = 0;
    scrub->tokens_ms = store->now_ms;
    scrub->wake_ms = 0;
}

void bb_scrub_pause(struct bb_store *store)
{
    struct scrub *scrub = &store->scrub;
    if (!enabled(store))
        return;
    scrub->row.flags |= BB_SCRUB_PAUSED;
    scrub->row_moved = scrub->save_now = true;
    scrub->wake_ms = 0;
}

void scrub_found(struct bb_store *store, enum bb_scrub_kind kind, enum bb_scrub_outcome outcome,
                 uint64_t unit, const struct bb_hash *hash)
{
    struct scrub *scrub = &store->scrub;
    struct bb_scrub_finding finding = {
        .kind = kind, .outcome = outcome, .page = scrub->row.page, .unit = unit};
    if (hash != NULL)
        finding.hash = *hash;
    scrub->findings[kind]++;
    scrub->outcomes[outcome]++;
    scrub->row.pass_findings++;
    scrub->row_moved = true;
    if (store->config.scrub.found != NULL)
        store->config.scrub.found(store->config.context, &finding);
}

void bb_scrub_get_status(const struct bb_store *store, struct bb_scrub_status *ret_status)
{
    const struct scrub *scrub = &store->scrub;
    struct bb_scrub_status status = {
        .enabled = enabled(store),
        .paused = has_flag(store, BB_SCRUB_PAUSED),
        .hurried = has_flag(store, BB_SCRUB_HURRIED),
        .running = scrub->row.pass_began_s != 0,
        .page = scrub->row.page,
        .page_count = page_count(store),
        .row = scrub->row,
        .blocks = scrub->blocks,
        .bytes = scrub->bytes,
        .looks_again = scrub->looks_again,
        .rate = enabled(store) ? rate_now(store) : 0,
    };
    memcpy(status.findings, scrub->findings, sizeof(status.findings));
    memcpy(status.outcomes, scrub->outcomes, sizeof(status.outcomes));
    *ret_status = status;
}

const char *bb_scrub_kind_name(enum bb_scrub_kind kind)
{
    static const char *const names[BB_SCRUB_KIND_COUNT] = {
#define NAME_OF(id, name, text) [BB_SCRUB_##id] = (name),
        BB_SCRUB_KINDS(NAME_OF)
#undef NAME_OF
    };
    BB_ASSERT(kind < BB_SCRUB_KIND_COUNT);
    return names[kind];
}

const char *bb_scrub_kind_text(enum bb_scrub_kind kind)
{
    static const char *const texts[BB_SCRUB_KIND_COUNT] = {
#define TEXT_OF(id, name, text) [BB_SCRUB_##id] = (text),
        BB_SCRUB_KINDS(TEXT_OF)
#undef TEXT_OF
    };
    BB_ASSERT(kind < BB_SCRUB_KIND_COUNT);
    return texts[kind];
}
