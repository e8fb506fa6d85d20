/* SPDX-License-Identifier: Apache-2.0
 * Health, readiness, /status as JSON; /metrics is in metrics.c. The counters of all workers
 * are read as they stand; the engine's numbers come from the controller by message, into the
 * connection's buffer, in front of the text.
 */
#include "bb/clock.h"
#include "bb/err.h"
#include "bb/log.h"
#include "bb/text.h"
#include "metrics.h"
#include "question.h"
#include "verbs.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define TEXT_OFFSET 1024u

/* the room for the map, at its end, is not used here */
BB_STATIC_ASSERT(offsetof(struct bb_status_request, zones) <= TEXT_OFFSET);

void bb_health_begin(struct bb_conn *conn)
{
    const struct bb_board *board = &conn->worker->shared->board;
    char text[BB_BOARD_TEXT_MAX];
    if (conn->route.op == BB_ROUTE_LIVEZ) {
        bb_conn_line(conn, 200, "alive");
        return;
    }
    (void)bb_board_text(board, text);
    bb_conn_line(conn, bb_board_ready(board) ? 200 : 503, "%s", text);
}

/* Path or label from outside: what JSON would have to escape, or may be no UTF-8, becomes '?'. */
static void add_string(struct bb_sheet *sheet, const char *name, const char *value)
{
    char safe[256];
    size_t len = 0;
    for (; value[len] != '\0' && len + 1 < sizeof(safe); len++) {
        bool plain =
            value[len] >= ' ' && value[len] <= '~' && value[len] != '"' && value[len] != '\\';
        safe[len] = (char)(plain ? value[len] : '?');
    }
    safe[len] = '\0';
    bb_sheet_add(sheet, "\"%s\":\"%s\"", name, safe);
}

/* ---- /status ---- */

static void add_recovered(struct bb_sheet *sheet, const struct bb_shared *shared,
                          const struct bb_recovered *recovered)
{
    const struct bb_recover_report *report = &recovered->report;
    char uuid[37];
    bb_sheet_add(sheet, ",\"store\":{\"uuid\":\"%s\",",
                 bb_text_of_uuid(&recovered->super.store, uuid));
    bb_sheet_add(sheet, "\"index_uuid\":\"%s\",", bb_text_of_uuid(&recovered->super.index, uuid));
    add_string(sheet, "label", recovered->super.label);
    bb_sheet_add(sheet,
                 "},\"recovery\":{\"clean\":%s,\"records\":%" PRIu64 ",\"items\":%" PRIu64
                 ",\"rehashed\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"unreadable\":%" PRIu64
                 ",\"pages_written\":%" PRIu64 ",\"slots_damaged\":%" PRIu64
                 ",\"slots_unexcused\":%" PRIu64,
                 report->was_clean ? "true" : "false", report->records, report->items,
                 report->rehashed, report->dropped, report->unreadable, report->pages_written,
                 report->slots_damaged, report->slots_unexcused);
    bb_sheet_add(sheet, ",\"recovery_ms\":%" PRIu64 ",\"fill_ms\":%" PRIu64 "}",
                 atomic_load_explicit(&shared->recovery_ms, memory_order_relaxed),
                 atomic_load_explicit(&shared->fill_ms, memory_order_relaxed));
}

static void add_engine(struct bb_sheet *sheet, const struct bb_store_status *status)
{
    uint64_t largest =
        status->largest_order < 0 ? 0 : (uint64_t)BB_UNIT_SIZE << status->largest_order;
    bb_sheet_add(sheet,
                 ",\"blocks\":%" PRIu64 ",\"space\":{\"total\":%" PRIu64 ",\"used\":%" PRIu64
                 ",\"free\":%" PRIu64 ",\"quarantined\":%" PRIu64 ",\"padding\":%" PRIu64
                 ",\"largest_free\":%" PRIu64 ",\"zones\":%u,\"zones_open\":%u,\"free_by_order\":[",
                 status->block_count, status->total_units * BB_UNIT_SIZE,
                 status->used_units * BB_UNIT_SIZE, status->free_units * BB_UNIT_SIZE,
                 status->quarantined_units * BB_UNIT_SIZE, status->padding_bytes, largest,
                 status->zone_count, status->open_zone_count);
    for (unsigned order = 0; order < BB_ORDER_COUNT; order++)
        bb_sheet_add(sheet, "%s%" PRIu64, order > 0 ? "," : "", status->free_by_order[order]);
    bb_sheet_add(sheet, "]}");
    bb_sheet_add(sheet,
                 ",\"journal\":{\"epoch\":%" PRIu64 ",\"sequence\":%" PRIu64 ",\"durable\":%" PRIu64
                 ",\"units\":%" PRIu64 ",\"used_units\":%" PRIu64 ",\"windows\":%" PRIu64
                 ",\"window_items\":%" PRIu64 ",\"flushes\":%" PRIu64 "}",
                 status->epoch, status->sequence, status->durable, status->journal_units,
                 status->journal_used_units, status->windows, status->window_items,
                 status->flushes);
    bb_sheet_add(sheet,
                 ",\"delta\":{\"items\":%" PRIu64 ",\"max\":%" PRIu64 ",\"index_room\":%" PRIu64
                 ",\"checkpoint_running\":%s,\"checkpoints\":%" PRIu64
                 ",\"checkpoint_items\":%" PRIu64 ",\"checkpoint_last_ms\":%" PRIu64 "}",
                 status->delta_items, status->delta_max, status->index_room,
                 status->checkpoint_running ? "true" : "false", status->checkpoints,
                 status->checkpoint_items, status->checkpoint_last_ms);
    bb_sheet_add(sheet,
                 ",\"engine\":{\"puts\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"deletes\":%" PRIu64
                 ",\"heals\":%" PRIu64 ",\"marks\":%" PRIu64 "}",
                 status->puts, status->duplicates, status->deletes, status->heals, status->marks);
}

static void add_trim(struct bb_sheet *sheet, const struct bb_trim_status *trim)
{
    static const char *const states[] = {
        [BB_TRIM_OFF] = "off", [BB_TRIM_WAITING] = "waiting", [BB_TRIM_PASSING] = "passing"};
    bb_sheet_add(sheet,
                 ",\"trim\":{\"possible\":%s,\"state\":\"%s\",\"asked\":%s,\"idle_ms\":%" PRIu64
                 ",\"error\":\"%s\",\"passes\":%" PRIu64 ",\"discards\":%" PRIu64
                 ",\"failed\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"pass_bytes\":%" PRIu64
                 ",\"done\":%" PRIu64 ",\"all\":%" PRIu64 "}",
                 trim->possible ? "true" : "false", states[trim->state],
                 trim->asked ? "true" : "false", trim->idle_ms,
                 trim->error != 0 ? bb_err_text(trim->error) : "", trim->passes, trim->discards,
                 trim->failed, trim->bytes, trim->pass_bytes, trim->done_units * BB_UNIT_SIZE,
                 trim->all_units * BB_UNIT_SIZE);
}

static void add_scrub(struct bb_sheet *sheet, const struct bb_scrub_status *scrub)
{
    const char *state = !scrub->enabled   ? "off"
                        : scrub->paused   ? "paused"
                        : scrub->hurried  ? "hurried"
                        : scrub->rate > 0 ? "running"
                                          : "waiting";
    bb_sheet_add(sheet,
                 ",\"scrub\":{\"state\":\"%s\",\"page\":%" PRIu64 ",\"pages\":%" PRIu64
                 ",\"rate\":%" PRIu64 ",\"pass_began\":%" PRIu64 ",\"pass_blocks\":%" PRIu64
                 ",\"pass_bytes\":%" PRIu64 ",\"pass_findings\":%" PRIu64
                 ",\"set_compared\":%s,\"passes\":%" PRIu64 ",\"last_ended\":%" PRIu64
                 ",\"last_clean\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"bytes\":%" PRIu64
                 ",\"looks_again\":%" PRIu64 ",\"findings\":{",
                 state, scrub->page, scrub->page_count, scrub->rate, scrub->row.pass_began_s,
                 scrub->row.blocks, scrub->row.bytes, scrub->row.pass_findings,
                 (scrub->row.flags & BB_SCRUB_SET) != 0 ? "true" : "false", scrub->row.passes,
                 scrub->row.last_ended_s, scrub->row.last_clean_s, scrub->blocks, scrub->bytes,
                 scrub->looks_again);
    for (unsigned i = 0; i < BB_SCRUB_KIND_COUNT; i++)
        bb_sheet_add(sheet, "%s\"%s\":%" PRIu64, i > 0 ? "," : "",
                     bb_scrub_kind_name((enum bb_scrub_kind)i), scrub->findings[i]);
    bb_sheet_add(sheet, "},\"repaired\":%" PRIu64 ",\"marked\":%" PRIu64 ",\"left\":%" PRIu64 "}",
                 scrub->outcomes[BB_SCRUB_REPAIRED], scrub->outcomes[BB_SCRUB_MARKED],
                 scrub->outcomes[BB_SCRUB_LEFT]);
}

/* Counts by power of two since the start, for whoever takes the difference of two looks. */
static void add_latency(struct bb_sheet *sheet, const struct bb_shared *shared)
{
    static const char *const names[BB_TIMED_COUNT] = {
        [BB_TIMED_PUT] = "put",
        [BB_TIMED_GET] = "get",
        [BB_TIMED_DELETE] = "delete",
        [BB_TIMED_OTHER] = "other",
    };
    bb_sheet_add(sheet, ",\"latency_us\":{\"bounds\":[");
    for (unsigned bucket = 0; bucket < BB_BUCKETS_COUNT; bucket++)
        bb_sheet_add(sheet, "%s%" PRIu64, bucket > 0 ? "," : "", bb_buckets_bound(bucket));
    for (unsigned i = 0; i < BB_TIMED_COUNT; i++) {
        bb_sheet_add(sheet, "],\"%s\":[", names[i]);
        for (unsigned bucket = 0; bucket <= BB_BUCKETS_COUNT; bucket++) {
            uint64_t count = 0;
            for (unsigned w = 0; w < shared->worker_count; w++)
                count +=
                    atomic_load_explicit(&shared->workers[w].counters.requests_us[i].counts[bucket],
                                         memory_order_relaxed);
            bb_sheet_add(sheet, "%s%" PRIu64, bucket > 0 ? "," : "", count);
        }
    }
    bb_sheet_add(sheet, "]}");
}

static void add_warnings(struct bb_sheet *sheet)
{
    struct bb_log_kept lines[BB_LOG_KEPT_MAX];
    unsigned count = bb_log_kept(0, lines);
    bb_sheet_add(sheet, ",\"warnings\":[");
    for (unsigned i = 0; i < count; i++) {
        bb_sheet_add(sheet, "%s{\"number\":%" PRIu64 ",\"age_ms\":%" PRIu64 ",\"level\":\"%s\",",
                     i > 0 ? "," : "", lines[i].number, bb_clock_ms() - lines[i].at_ms,
                     lines[i].level == BB_LOG_ERROR ? "error" : "warning");
        add_string(sheet, "text", lines[i].text);
        bb_sheet_add(sheet, "}");
    }
    bb_sheet_add(sheet, "]");
}

static void write_status(struct bb_sheet *sheet, const struct bb_shared *shared,
                         const struct bb_store_status *status)
{
    char text[BB_BOARD_TEXT_MAX];
    struct bb_totals totals;
    bb_totals_sum(shared, &totals);
    (void)bb_board_text(&shared->board, text);
    bb_sheet_add(sheet, "{\"version\":\"%s\",\"state\":\"%s\",", BB_VERSION,
                 bb_board_word(&shared->board));
    add_string(sheet, "detail", text);
    bb_sheet_add(sheet, ",\"read_only\":%s", shared->gate.read_only ? "true" : "false");
    bb_sheet_add(sheet, ",\"uptime_ms\":%" PRIu64 ",", bb_clock_ms() - shared->board.started_ms);
    add_string(sheet, "data", shared->data->path);
    bb_sheet_add(sheet, ",");
    add_string(sheet, "index", shared->index->path);
    const struct bb_recovered *recovered =
        atomic_load_explicit(&shared->recovered, memory_order_acquire);
    if (recovered != NULL)
        add_recovered(sheet, shared, recovered);
    if (status != NULL) {
        add_engine(sheet, status);
        add_trim(sheet, &status->trim);
        add_scrub(sheet, &status->scrub);
    }
    bb_sheet_add(sheet,
                 ",\"memory\":{\"limit\":%" PRIu64 ",\"delta\":%zu,\"space_map\":%zu,\"io\":%zu}",
                 shared->budget.memory, shared->budget.delta, shared->budget.buddy,
                 shared->budget.io_per_worker * shared->worker_count);
    bb_sheet_add(sheet, ",\"workers\":%u,\"controller_inline\":%s", shared->worker_count,
                 shared->controller_inline ? "true" : "false");
    bb_sheet_add(sheet, ",\"connections\":{\"open\":%u,\"max\":%u}", totals.open,
                 shared->budget.connections);
    const struct ssl_ctx_st *tls = atomic_load_explicit(&shared->tls, memory_order_acquire);
    if (tls != NULL)
        bb_sheet_add(sheet, ",\"tls\":{\"connections_max\":%u,\"certificate_expires\":%" PRId64 "}",
                     shared->budget.tls_connections, bb_tls_context_expires(tls));
    add_latency(sheet, shared);
    add_warnings(sheet);
    const char *comma = "";
    bb_sheet_add(sheet, ",\"counters\":{");
#define ADD_COUNTER(name, ...)                                                                     \
    bb_sheet_add(sheet, "%s\"" #name "\":%" PRIu64, comma, totals.name);                           \
    comma = ",";
    BB_COUNTERS(ADD_COUNTER)
#undef ADD_COUNTER
    bb_sheet_add(sheet, "}}\n");
}

/* ---- the request ---- */

static void send_page(struct bb_conn *conn, const struct bb_store_status *status)
{
    const struct bb_shared *shared = conn->worker->shared;
    struct bb_sheet sheet = {.at = (char *)conn->buf + TEXT_OFFSET,
                             .size = BB_QUESTION_BUFFER - TEXT_OFFSET};
    struct bb_http_reply reply = {.status = 200, .content_type = "application/json"};
    if (conn->route.op == BB_ROUTE_METRICS) {
        reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
        bb_metrics_write(&sheet, shared, status);
    } else {
        write_status(&sheet, shared, status);
    }
    bb_conn_send(conn, &reply, sheet.at, sheet.len);
}

static void ask(struct bb_conn *conn)
{
    bb_question_of(conn)->question = BB_QUESTION_STATUS;
    if (bb_board_allows(&conn->worker->shared->board, BB_NEED_READ))
        bb_question_send(conn);
    else
        send_page(conn, NULL);
}

void bb_status_begin(struct bb_conn *conn)
{
    if (bb_worker_want_buffer(conn->worker, conn, BB_QUESTION_BUFFER))
        ask(conn);
}

static void answer(struct bb_conn *conn)
{
    const struct bb_store_status status = bb_question_of(conn)->status;
    send_page(conn, &status);
}

void bb_status_step(struct bb_conn *conn, int result)
{
    bb_question_go_on(conn, result, ask, answer);
}
