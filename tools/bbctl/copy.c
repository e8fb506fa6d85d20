/* SPDX-License-Identifier: Apache-2.0
 * bbctl copy: all blocks of one running store into another one, over HTTP.
 *
 * The source's list is walked page by page; the target is asked which names of a page it lacks, and
 * the pump copies those while the next page is asked for. A second run therefore moves only what is
 * new. With --delete the target's list is walked in the same way, once before anything is copied,
 * to count what would go and to refuse what looks like a mistake, and once behind it.
 */
#include "bb/clock.h"
#include "bb/text.h"
#include "bbctl/command.h"
#include "bbctl/copyreport.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 100u

static atomic_bool stop;
static atomic_int stop_signal;

struct run {
    const struct bb_ctl_options *options;
    struct bb_copy_store source, target;
    struct bb_copy_peer from, to; /* for lists */
    struct bb_copy_page *pages[2];
    char *lines; /* of a page */
    struct bb_copy_pump *pump;
    struct bb_copy_progress progress;
    struct bb_copy_failure failure;
    struct bb_copy_sum sum;
    bool some_done;      /* done is valid */
    struct bb_hash done; /* everything up to it is copied */
};

/* What one walk does with the names that the other side lacks. */
enum walk { WALK_COPY, WALK_COUNT_SURPLUS, WALK_DELETE };

static void on_signal(int number)
{
    atomic_store(&stop_signal, number);
    atomic_store(&stop, true);
}

static bool fail(struct run *run, int code, const char *text)
{
    run->failure.code = code;
    (void)snprintf(run->failure.text, sizeof(run->failure.text), "%s", text);
    return false;
}

/* ---- one page ---- */

/* Fills a page with names from `lister` behind `after` and with which of them `other` lacks. */
static bool plan_page(struct run *run, struct bb_copy_peer *lister, struct bb_copy_peer *other,
                      const struct bb_hash *after, struct bb_copy_page *page)
{
    char target[128], hex[BB_HASH_HEX_SIZE + 1] = "";
    if (after != NULL)
        bb_hash_to_hex(after, hex);
    (void)snprintf(target, sizeof(target), "/blocks?after=%s&limit=%u", hex, BB_COPY_PAGE_MAX);
    bb_copy_page_begin(page, after);
    if (!bb_copy_peer_ask(lister, "GET", target, NULL, 0, &run->failure))
        return false;
    if (lister->reply.status != 200)
        return bb_copy_peer_refused(lister, &run->failure);
    if (!bb_copy_page_take_list(page, lister->reply.body))
        return fail(run, BB_CTL_FAILED,
                    "a list is not one of names in order: is this a Buddy Blocks daemon?");
    if (page->count == 0)
        return true;
    size_t len = bb_copy_page_lines(page, run->lines);
    if (!bb_copy_peer_ask(other, "POST", "/blocks/missing", run->lines, len, &run->failure))
        return false;
    if (other->reply.status != 200)
        return bb_copy_peer_refused(other, &run->failure);
    if (!bb_copy_page_take_missing(page, other->reply.body))
        return fail(run, BB_CTL_FAILED,
                    "an answer about missing blocks is none: is this a Buddy Blocks daemon?");
    return true;
}

static void count_page(struct run *run, enum walk walk, const struct bb_copy_page *page)
{
    if (walk == WALK_COPY) {
        run->sum.listed += page->count;
        run->sum.missing += page->missing_count;
        run->sum.missing_bytes += page->missing_bytes;
    } else if (walk == WALK_COUNT_SURPLUS) {
        run->sum.surplus += page->missing_count;
    }
}

/* With --dry-run: what would be done, a line for each block. */
static void show_page(const struct run *run, enum walk walk, const struct bb_copy_page *page)
{
    if (!run->options->dry_run || run->options->json)
        return;
    for (uint32_t i = 0; i < page->count; i++) {
        char hex[BB_HASH_HEX_SIZE + 1] = "";
        if (!page->entries[i].missing)
            continue;
        bb_hash_to_hex(&page->entries[i].hash, hex);
        printf("%s %s %" PRIu32 "\n", walk == WALK_COPY ? "copy" : "delete", hex,
               page->entries[i].size);
    }
}

/* ---- walks ---- */

static const char *word_of(enum walk walk)
{
    static const char *const words[] = {
        [WALK_COPY] = "copying", [WALK_COUNT_SURPLUS] = "comparing", [WALK_DELETE] = "deleting"};
    return words[walk];
}

/* Until the pump has nothing to do any more. page NULL: it had nothing. False when it failed or was
 * told to stop. */
static bool settle(struct run *run, enum walk walk, const struct bb_copy_page *page)
{
    struct bb_copy_tally tally = {0};
    if (run->pump != NULL) {
        while (!bb_copy_pump_wait(run->pump, WAIT_MS)) {
            tally = bb_copy_pump_tally(run->pump);
            bb_copy_progress_draw(&run->progress, word_of(walk), &tally, bb_copy_page_last(page));
        }
        struct bb_copy_failure failure = bb_copy_pump_failure(run->pump);
        tally = bb_copy_pump_tally(run->pump);
        if (failure.code != 0)
            run->failure = failure;
    }
    if (page != NULL)
        bb_copy_progress_draw(&run->progress, word_of(walk), &tally, bb_copy_page_last(page));
    if (page != NULL && walk == WALK_COPY && run->pump != NULL)
        run->some_done = bb_copy_page_mark(page, &run->done);
    return run->failure.code == 0 && !atomic_load(&stop);
}

/* Goes through all names of one side. While the pump works on one page the next one is planned. */
static bool walk_names(struct run *run, enum walk walk, const struct bb_hash *after)
{
    bool forward = walk == WALK_COPY;
    struct bb_copy_peer *lister = forward ? &run->from : &run->to;
    struct bb_copy_peer *other = forward ? &run->to : &run->from;
    struct bb_copy_page *working = NULL;
    bb_copy_progress_begin(&run->progress, run->progress.shown, after);
    for (unsigned which = 0;; which ^= 1) {
        struct bb_copy_page *page = run->pages[which];
        bool planned = !atomic_load(&stop) && plan_page(run, lister, other, after, page);
        if (!settle(run, walk, working) || !planned)
            return false;
        if (page->count == 0)
            return true;
        count_page(run, walk, page);
        show_page(run, walk, page);
        if (run->pump != NULL && walk != WALK_COUNT_SURPLUS)
            bb_copy_pump_give(run->pump, page, walk == WALK_DELETE);
        working = page;
        after = bb_copy_page_last(page);
    }
}

/* Whether deleting looks like what was meant: a source that has lost its blocks, or is another one,
 * must not empty its backup. */
static bool deleting_is_sane(struct run *run)
{
    char text[256];
    if (run->options->force || run->sum.surplus == 0)
        return true;
    if (run->source.blocks > 0 && run->sum.surplus <= run->target.blocks / 2)
        return true;
    (void)snprintf(text, sizeof(text),
                   "--delete would remove %" PRIu64 " of the %" PRIu64 " blocks of the target, as "
                   "the source has only %" PRIu64 " blocks; is it the right one? Look with "
                   "--dry-run, or insist with --force",
                   run->sum.surplus, run->target.blocks, run->source.blocks);
    return fail(run, BB_CTL_FAILED, text);
}

static bool carry_out(struct run *run, const struct bb_hash *after)
{
    const struct bb_ctl_options *options = run->options;
    const struct bb_copy_orders orders = {.source = &run->source,
                                          .target = &run->target,
                                          .connections = (unsigned)options->connections,
                                          .verify = options->verify,
                                          .bytes_per_second = options->rate};
    if (options->remove && !walk_names(run, WALK_COUNT_SURPLUS, NULL))
        return false;
    if (options->remove && !options->dry_run && !deleting_is_sane(run))
        return false;
    if (!options->dry_run) {
        run->pump = bb_copy_pump_start(&orders, &stop);
        if (run->pump == NULL)
            return fail(run, BB_CTL_FAILED, "no memory or no threads for the connections");
    }
    if (!walk_names(run, WALK_COPY, after))
        return false;
    return !options->remove || options->dry_run || walk_names(run, WALK_DELETE, NULL);
}

/* ---- begin and end ---- */

/* Which store it is and how many blocks it has. */
static bool identify(struct run *run, struct bb_copy_peer *peer, struct bb_copy_store *store)
{
    if (!bb_copy_peer_ask(peer, "GET", "/status", NULL, 0, &run->failure))
        return false;
    if (peer->reply.status != 200)
        return bb_copy_peer_refused(peer, &run->failure);
    json_t *object = json_loadb(peer->reply.body, peer->reply.len, 0, NULL);
    const char *uuid = json_string_value(json_object_get(json_object_get(object, "store"), "uuid"));
    bool known = uuid != NULL && strlen(uuid) < sizeof(store->uuid);
    if (known)
        memcpy(store->uuid, uuid, strlen(uuid) + 1);
    store->blocks = (uint64_t)json_integer_value(json_object_get(object, "blocks"));
    bool daemon = json_is_object(object);
    json_decref(object);
    if (known)
        return true;
    char text[256];
    (void)snprintf(text, sizeof(text), "the %s %s: %s", store->role, store->where,
                   daemon ? "its store is not open yet" : "it is no Buddy Blocks daemon");
    return fail(run, daemon ? BB_CTL_DEGRADED : BB_CTL_FAILED, text);
}

static bool identify_both(struct run *run)
{
    if (!identify(run, &run->from, &run->source) || !identify(run, &run->to, &run->target))
        return false;
    if (strcmp(run->source.uuid, run->target.uuid) != 0)
        return true;
    return fail(run, BB_CTL_USAGE, "source and target are the same store");
}

/* One side as it was named; BB_CTL_OK or the complaint was said. */
static int take_side(struct bb_copy_store *store, const char *role, const char *where,
                     const char *token_file)
{
    const char *why = bb_copy_store_init(store, role, where);
    if (why != NULL) {
        bb_ctl_complain("%s: %s", where, why);
        return BB_CTL_USAGE;
    }
    if (token_file == NULL || bb_copy_store_take_token(store, token_file, &why))
        return BB_CTL_OK;
    bb_ctl_complain("%s: %s", token_file, why);
    return BB_CTL_FAILED;
}

static int check_options(const struct bb_ctl_options *options, struct bb_hash *ret_after)
{
    const char *wrong = NULL;
    if (options->after != NULL &&
        !bb_hash_from_hex(options->after, strlen(options->after), ret_after))
        wrong = "--after takes 64 lower-case hex digits";
    else if (options->after != NULL && options->remove)
        wrong = "--delete looks at all blocks, leave --after out";
    else if (options->force && !options->remove)
        wrong = "--force is for --delete only";
    else if (options->connections < 1 || options->connections > BB_COPY_CONNECTIONS_MAX)
        wrong = "--connections takes 1 to 64";
    if (wrong == NULL)
        return BB_CTL_OK;
    bb_ctl_complain("%s", wrong);
    return BB_CTL_USAGE;
}

/* Says why it ended early and how to go on. */
static void say_failure(const struct run *run)
{
    bb_ctl_complain("%s", run->failure.text);
    if (run->sum.listed == 0 || run->options->dry_run)
        return;
    if (run->sum.after == NULL)
        bb_ctl_complain("to go on, say the same again: what is there already is not sent again");
    else if (run->options->remove)
        bb_ctl_complain("everything up to %s is copied; to go on, say the same again",
                        run->sum.after);
    else
        bb_ctl_complain("everything up to %s is copied; to go on from there, say the same with "
                        "--after %s",
                        run->sum.after, run->sum.after);
}

static int conclude(struct run *run, bool complete, uint64_t begin_us)
{
    struct bb_copy_sum *sum = &run->sum;
    char after[BB_HASH_HEX_SIZE + 1] = "";
    if (atomic_load(&stop) && run->failure.code == 0)
        (void)fail(run, 128 + atomic_load(&stop_signal), "interrupted");
    if (run->pump != NULL) {
        sum->tally = bb_copy_pump_tally(run->pump);
        sum->found = bb_copy_pump_findings(run->pump, &sum->found_count);
    }
    if (!complete && run->some_done) {
        bb_hash_to_hex(&run->done, after);
        sum->after = after;
    }
    sum->complete = complete;
    sum->error = complete ? NULL : run->failure.text;
    sum->seconds = (double)(bb_clock_us() - begin_us) / 1e6;
    bb_copy_progress_wipe(&run->progress);
    if (complete || sum->listed > 0 || run->options->json)
        bb_copy_sum_print(sum, run->options->json);
    if (!complete) {
        say_failure(run);
        return run->failure.code;
    }
    for (int i = 0; i < BB_COPY_FINDING_COUNT; i++)
        if (sum->tally.findings[i] > 0)
            return BB_CTL_DEGRADED;
    return BB_CTL_OK;
}

static int copy(struct run *run, const struct bb_hash *after)
{
    uint64_t begin_us = bb_clock_us();
    run->sum.source = &run->source;
    run->sum.target = &run->target;
    run->sum.dry_run = run->options->dry_run;
    run->sum.verify = run->options->verify;
    run->sum.remove = run->options->remove;
    run->progress.shown = isatty(STDERR_FILENO) && !run->options->json;
    if (after != NULL) {
        run->done = *after;
        run->some_done = true;
    }
    bb_copy_peer_init(&run->from, &run->source, &stop);
    bb_copy_peer_init(&run->to, &run->target, &stop);
    bool complete = identify_both(run) && carry_out(run, after);
    int code = conclude(run, complete, begin_us);
    bb_copy_pump_end(run->pump);
    bb_copy_peer_fini(&run->from);
    bb_copy_peer_fini(&run->to);
    return code;
}

int bb_ctl_copy(const struct bb_ctl_options *options, char **words)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct run run = {.options = options};
    struct bb_hash after;
    int code = check_options(options, &after);
    if (code == BB_CTL_OK)
        code = take_side(&run.source, "source", words[0], options->from_token);
    if (code == BB_CTL_OK)
        code = take_side(&run.target, "target", words[1], options->to_token);
    if (code != BB_CTL_OK)
        return code;
    run.lines = malloc(BB_COPY_LINES_MAX);
    run.pages[0] = malloc(sizeof(*run.pages[0]));
    run.pages[1] = malloc(sizeof(*run.pages[1]));
    if (run.lines == NULL || run.pages[0] == NULL || run.pages[1] == NULL) {
        bb_ctl_complain("%s", strerror(ENOMEM));
        code = BB_CTL_FAILED;
    } else {
        (void)sigaction(SIGINT, &action, NULL); /* a second one ends it at once */
        (void)sigaction(SIGTERM, &action, NULL);
        code = copy(&run, options->after != NULL ? &after : NULL);
    }
    free(run.lines);
    free(run.pages[0]);
    free(run.pages[1]);
    return code;
}
