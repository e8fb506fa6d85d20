/* SPDX-License-Identifier: Apache-2.0
 * Health, readiness, /status as JSON and /metrics as Prometheus text. The counters of all workers
 * are read as they stand; the engine's numbers come from the controller by message, into the
 * connection's buffer, in front of the text.
 */
#include "bb/clock.h"
#include "bb/conn.h"
#include "bb/text.h"
#include "bb/worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_SIZE (32u << 10)
#define TEXT_OFFSET 1024u

BB_STATIC_ASSERT(sizeof(struct bb_status_request) <= TEXT_OFFSET);

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

/* ---- text under construction ---- */

struct page {
    char *at;
    size_t len, size;
};

static void add(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct page *page, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(page->at + page->len, page->size - page->len, format, arguments);
    va_end(arguments);
    BB_ASSERT(len >= 0);
    BB_ASSERT((size_t)len < page->size - page->len);
    page->len += (size_t)len;
}

/* Path or label from outside: everything that JSON would have to escape becomes '?'. */
static void add_string(struct page *page, const char *name, const char *value)
{
    char safe[256];
    size_t len = 0;
    for (; value[len] != '\0' && len + 1 < sizeof(safe); len++) {
        bool plain =
            value[len] >= ' ' && value[len] != '"' && value[len] != '\\' && value[len] != 0x7f;
        safe[len] = (char)(plain ? value[len] : '?');
    }
    safe[len] = '\0';
    add(page, "\"%s\":\"%s\"", name, safe);
}

struct totals {
#define TOTAL_FIELD(name) uint64_t name;
    BB_COUNTERS(TOTAL_FIELD)
#undef TOTAL_FIELD
    unsigned open;
};

static void sum_up(const struct bb_shared *shared, struct totals *ret_totals)
{
    struct totals totals = {.open = 0};
    for (unsigned i = 0; i < shared->worker_count; i++) {
        const struct bb_worker *worker = &shared->workers[i];
        totals.open += atomic_load_explicit(&worker->open, memory_order_relaxed);
#define TOTAL_ADD(name)                                                                            \
    totals.name += atomic_load_explicit(&worker->counters.name, memory_order_relaxed);
        BB_COUNTERS(TOTAL_ADD)
#undef TOTAL_ADD
    }
    *ret_totals = totals;
}

/* ---- /status ---- */

static void add_recovered(struct page *page, const struct bb_shared *shared,
                          const struct bb_recovered *recovered)
{
    const struct bb_recover_report *report = &recovered->report;
    char uuid[37];
    add(page, ",\"store\":{\"uuid\":\"%s\",", bb_text_of_uuid(&recovered->super.store, uuid));
    add(page, "\"index_uuid\":\"%s\",", bb_text_of_uuid(&recovered->super.index, uuid));
    add_string(page, "label", recovered->super.label);
    add(page,
        "},\"recovery\":{\"clean\":%s,\"records\":%" PRIu64 ",\"items\":%" PRIu64
        ",\"rehashed\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"unreadable\":%" PRIu64
        ",\"pages_written\":%" PRIu64 ",\"slots_damaged\":%" PRIu64 ",\"slots_unexcused\":%" PRIu64,
        report->was_clean ? "true" : "false", report->records, report->items, report->rehashed,
        report->dropped, report->unreadable, report->pages_written, report->slots_damaged,
        report->slots_unexcused);
    add(page, ",\"recovery_ms\":%" PRIu64 ",\"fill_ms\":%" PRIu64 "}",
        atomic_load_explicit(&shared->recovery_ms, memory_order_relaxed),
        atomic_load_explicit(&shared->fill_ms, memory_order_relaxed));
}

static void add_engine(struct page *page, const struct bb_store_status *status)
{
    uint64_t largest =
        status->largest_order < 0 ? 0 : (uint64_t)BB_UNIT_SIZE << status->largest_order;
    add(page,
        ",\"blocks\":%" PRIu64 ",\"space\":{\"total\":%" PRIu64 ",\"used\":%" PRIu64
        ",\"free\":%" PRIu64 ",\"quarantined\":%" PRIu64 ",\"largest_free\":%" PRIu64
        ",\"zones\":%u,\"zones_open\":%u}",
        status->block_count, status->total_units * BB_UNIT_SIZE, status->used_units * BB_UNIT_SIZE,
        status->free_units * BB_UNIT_SIZE, status->quarantined_units * BB_UNIT_SIZE, largest,
        status->zone_count, status->open_zone_count);
    add(page,
        ",\"journal\":{\"epoch\":%" PRIu64 ",\"sequence\":%" PRIu64 ",\"durable\":%" PRIu64
        ",\"units\":%" PRIu64 ",\"used_units\":%" PRIu64 ",\"windows\":%" PRIu64
        ",\"window_items\":%" PRIu64 ",\"flushes\":%" PRIu64 "}",
        status->epoch, status->sequence, status->durable, status->journal_units,
        status->journal_used_units, status->windows, status->window_items, status->flushes);
    add(page,
        ",\"delta\":{\"items\":%" PRIu64 ",\"max\":%" PRIu64 ",\"index_room\":%" PRIu64
        ",\"checkpoint_running\":%s,\"checkpoints\":%" PRIu64 ",\"checkpoint_items\":%" PRIu64
        ",\"checkpoint_last_ms\":%" PRIu64 "}",
        status->delta_items, status->delta_max, status->index_room,
        status->checkpoint_running ? "true" : "false", status->checkpoints,
        status->checkpoint_items, status->checkpoint_last_ms);
    add(page,
        ",\"engine\":{\"puts\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"deletes\":%" PRIu64
        ",\"heals\":%" PRIu64 ",\"marks\":%" PRIu64 "}",
        status->puts, status->duplicates, status->deletes, status->heals, status->marks);
}

static void write_status(struct page *page, const struct bb_shared *shared,
                         const struct bb_store_status *status)
{
    char text[BB_BOARD_TEXT_MAX];
    struct totals totals;
    sum_up(shared, &totals);
    (void)bb_board_text(&shared->board, text);
    add(page, "{\"version\":\"%s\",\"state\":\"%s\",", BB_VERSION, bb_board_word(&shared->board));
    add_string(page, "detail", text);
    add(page, ",\"uptime_ms\":%" PRIu64 ",", bb_clock_ms() - shared->board.started_ms);
    add_string(page, "data", shared->data->path);
    add(page, ",");
    add_string(page, "index", shared->index->path);
    const struct bb_recovered *recovered =
        atomic_load_explicit(&shared->recovered, memory_order_acquire);
    if (recovered != NULL)
        add_recovered(page, shared, recovered);
    if (status != NULL)
        add_engine(page, status);
    add(page, ",\"memory\":{\"limit\":%" PRIu64 ",\"delta\":%zu,\"space_map\":%zu,\"io\":%zu}",
        shared->budget.memory, shared->budget.delta, shared->budget.buddy,
        shared->budget.io_per_worker * shared->worker_count);
    add(page, ",\"workers\":%u,\"controller_inline\":%s", shared->worker_count,
        shared->controller_inline ? "true" : "false");
    add(page, ",\"connections\":{\"open\":%u,\"max\":%u}", totals.open, shared->budget.connections);
    const char *comma = "";
    add(page, ",\"counters\":{");
#define ADD_COUNTER(name)                                                                          \
    add(page, "%s\"" #name "\":%" PRIu64, comma, totals.name);                                     \
    comma = ",";
    BB_COUNTERS(ADD_COUNTER)
#undef ADD_COUNTER
    add(page, "}}\n");
}

/* ---- /metrics ---- */

static void add_gauge(struct page *page, const char *name, const char *help, uint64_t value)
{
    add(page, "# HELP bb_%s %s\n# TYPE bb_%s gauge\nbb_%s %" PRIu64 "\n", name, help, name, name,
        value);
}

static void add_counter(struct page *page, const char *name, const char *help, uint64_t value)
{
    add(page, "# HELP bb_%s_total %s\n# TYPE bb_%s_total counter\nbb_%s_total %" PRIu64 "\n", name,
        help, name, name, value);
}

static void add_engine_metrics(struct page *page, const struct bb_store_status *status)
{
    add_gauge(page, "blocks", "Blocks stored.", status->block_count);
    add_gauge(page, "space_total_bytes", "Bytes in open zones.",
              status->total_units * BB_UNIT_SIZE);
    add_gauge(page, "space_free_bytes", "Free bytes in open zones.",
              status->free_units * BB_UNIT_SIZE);
    add_gauge(page, "space_quarantined_bytes", "Bytes that a failed write took out of use.",
              status->quarantined_units * BB_UNIT_SIZE);
    add_gauge(page, "journal_units", "Length of the journal ring in 4 KiB units.",
              status->journal_units);
    add_gauge(page, "journal_used_units", "Units of the ring that recovery would read.",
              status->journal_used_units);
    add_gauge(page, "delta_items", "Operations not yet folded into the index.",
              status->delta_items);
    add_gauge(page, "index_room", "Records that the index can still take.", status->index_room);
    add_counter(page, "windows", "Commit windows written.", status->windows);
    add_counter(page, "window_items", "Operations in them.", status->window_items);
    add_counter(page, "flushes", "Flushes of the data device.", status->flushes);
    add_counter(page, "checkpoints", "Checkpoints completed.", status->checkpoints);
    add_counter(page, "heals", "Corrupt blocks stored anew.", status->heals);
    add_counter(page, "marks", "Blocks marked corrupt.", status->marks);
}

static void write_metrics(struct page *page, const struct bb_shared *shared,
                          const struct bb_store_status *status)
{
    struct totals totals;
    sum_up(shared, &totals);
    add_gauge(page, "ready", "1 when reads and writes are served.",
              bb_board_ready(&shared->board) ? 1 : 0);
    add_gauge(page, "connections", "Open connections.", totals.open);
#define ADD_METRIC(name)                                                                           \
    add_counter(page, #name, "See counters." #name " in /status.", totals.name);
    BB_COUNTERS(ADD_METRIC)
#undef ADD_METRIC
    if (status != NULL)
        add_engine_metrics(page, status);
}

/* ---- the request ---- */

static void send_page(struct bb_conn *conn, const struct bb_store_status *status)
{
    const struct bb_shared *shared = conn->worker->shared;
    struct page page = {.at = (char *)conn->buf + TEXT_OFFSET, .size = BUFFER_SIZE - TEXT_OFFSET};
    struct bb_http_reply reply = {.status = 200, .content_type = "application/json"};
    if (conn->route.op == BB_ROUTE_METRICS) {
        reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
        write_metrics(&page, shared, status);
    } else {
        write_status(&page, shared, status);
    }
    bb_conn_send(conn, &reply, page.at, page.len);
}

static void ask(struct bb_conn *conn)
{
    struct bb_worker *worker = conn->worker;
    struct bb_status_request *request = (struct bb_status_request *)(void *)conn->buf;
    request->owner = conn;
    if (!bb_board_allows(&worker->shared->board, BB_NEED_READ)) {
        send_page(conn, NULL);
        return;
    }
    (void)bb_conn_request(conn, BB_CONN_ASK);
    if (!bb_worker_ask_status(worker, request)) {
        conn->request_busy = false;
        bb_conn_busy(conn);
    }
}

void bb_status_begin(struct bb_conn *conn)
{
    if (bb_worker_want_buffer(conn->worker, conn, BUFFER_SIZE))
        ask(conn);
}

void bb_status_step(struct bb_conn *conn, int result)
{
    BB_ASSERT(result == 0);
    if (conn->state == BB_CONN_BUFFER) {
        ask(conn);
        return;
    }
    BB_ASSERT(conn->state == BB_CONN_ASK);
    const struct bb_status_request *request =
        (const struct bb_status_request *)(const void *)conn->buf;
    const struct bb_store_status status = request->status;
    send_page(conn, &status);
}
