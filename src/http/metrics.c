/* SPDX-License-Identifier: Apache-2.0
 * /metrics: every name once with its help, base units in the names, no hashes in labels. What
 * workers and controller measure is read as it stands. Owner: the worker that was asked.
 */
#include "metrics.h"

#include "bb/clock.h"
#include "bb/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MILLI 1000.0

void bb_sheet_add(struct bb_sheet *sheet, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(sheet->at + sheet->len, sheet->size - sheet->len, format, arguments);
    va_end(arguments);
    BB_ASSERT(len >= 0);
    BB_ASSERT((size_t)len < sheet->size - sheet->len);
    sheet->len += (size_t)len;
}

void bb_totals_sum(const struct bb_shared *shared, struct bb_totals *ret_totals)
{
    struct bb_totals totals = {.open = 0};
    for (unsigned i = 0; i < shared->worker_count; i++) {
        const struct bb_worker *worker = &shared->workers[i];
        totals.open += atomic_load_explicit(&worker->open, memory_order_relaxed);
#define TOTAL_ADD(name, ...)                                                                       \
    totals.name += atomic_load_explicit(&worker->counters.name, memory_order_relaxed);
        BB_COUNTERS(TOTAL_ADD)
#undef TOTAL_ADD
    }
    *ret_totals = totals;
}

/* ---- single values ---- */

static void family(struct bb_sheet *sheet, const char *name, const char *type, const char *help)
{
    bb_sheet_add(sheet, "# HELP bb_%s %s\n# TYPE bb_%s %s\n", name, help, name, type);
}

static void gauge(struct bb_sheet *sheet, const char *name, const char *help, uint64_t value)
{
    family(sheet, name, "gauge", help);
    bb_sheet_add(sheet, "bb_%s %" PRIu64 "\n", name, value);
}

static void seconds(struct bb_sheet *sheet, const char *name, const char *help, uint64_t value_ms)
{
    family(sheet, name, "gauge", help);
    bb_sheet_add(sheet, "bb_%s %.3f\n", name, (double)value_ms / MILLI);
}

static void counter(struct bb_sheet *sheet, const char *name, const char *help, uint64_t value)
{
    char total[64];
    (void)snprintf(total, sizeof(total), "%s_total", name);
    family(sheet, total, "counter", help);
    bb_sheet_add(sheet, "bb_%s %" PRIu64 "\n", total, value);
}

static void labelled(struct bb_sheet *sheet, const char *name, const char *label, const char *help,
                     uint64_t value)
{
    char total[64];
    if (label[0] == '\0') {
        counter(sheet, name, help, value);
        return;
    }
    (void)snprintf(total, sizeof(total), "%s_total", name);
    if (help[0] != '\0')
        family(sheet, total, "counter", help);
    bb_sheet_add(sheet, "bb_%s{%s} %" PRIu64 "\n", total, label, value);
}

/* ---- histograms ---- */

struct sum {
    uint64_t counts[BB_BUCKETS_COUNT + 1];
    uint64_t sum;
};

static void collect(struct sum *sum, const struct bb_buckets *buckets)
{
    for (unsigned i = 0; i <= BB_BUCKETS_COUNT; i++)
        sum->counts[i] += atomic_load_explicit(&buckets->counts[i], memory_order_relaxed);
    sum->sum += atomic_load_explicit(&buckets->sum, memory_order_relaxed);
}

/* label ends with a comma, or is empty; scale is what one is in the unit of the name. */
static void histogram(struct bb_sheet *sheet, const char *name, const char *label,
                      const struct sum *sum, double scale)
{
    uint64_t count = 0;
    char alone[64];
    for (unsigned i = 0; i <= BB_BUCKETS_COUNT; i++) {
        count += sum->counts[i];
        if (i < BB_BUCKETS_COUNT)
            bb_sheet_add(sheet, "bb_%s_bucket{%sle=\"%.9g\"} %" PRIu64 "\n", name, label,
                         (double)bb_buckets_bound(i) * scale, count);
        else
            bb_sheet_add(sheet, "bb_%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, label, count);
    }
    alone[0] = '\0';
    if (label[0] != '\0') /* without the comma */
        (void)snprintf(alone, sizeof(alone), "{%.*s}", (int)strlen(label) - 1, label);
    bb_sheet_add(sheet, "bb_%s_sum%s %.9g\nbb_%s_count%s %" PRIu64 "\n", name, alone,
                 (double)sum->sum * scale, name, alone, count);
}

static void stage(struct bb_sheet *sheet, const char *name, const struct sum *sum)
{
    char label[64];
    (void)snprintf(label, sizeof(label), "stage=\"%s\",", name);
    histogram(sheet, "stage_seconds", label, sum, 1e-6);
}

static void add_stages(struct bb_sheet *sheet, const struct bb_shared *shared)
{
    static const char *const names[] = {
#define STAGE_NAME(name, label) label,
        BB_STAGES(STAGE_NAME)
#undef STAGE_NAME
    };
    static const char *const timed[BB_RING_TIMED_COUNT] = {
        [BB_RING_DATA_READ] = "data_read",
        [BB_RING_DATA_WRITE] = "data_write",
        [BB_RING_JOURNAL_WRITE] = "journal_write",
        [BB_RING_OTHER] = "other_io",
        [BB_RING_FLUSH] = "flush",
    };
    family(sheet, "stage_seconds", "histogram",
           "Time in the stages of requests and on the data device.");
    for (unsigned i = 0; i < BB_STAGE_COUNT; i++) {
        struct sum sum = {.sum = 0};
        for (unsigned w = 0; w < shared->worker_count; w++)
            collect(&sum, &shared->workers[w].counters.stages[i]);
        stage(sheet, names[i], &sum);
    }
    const struct bb_ring *control = bb_control_ring(shared->control);
    for (unsigned i = 0; i < BB_RING_TIMED_COUNT; i++) {
        struct sum sum = {.sum = 0};
        for (unsigned w = 0; w < shared->worker_count; w++) {
            const struct bb_ring *ring =
                atomic_load_explicit(&shared->workers[w].link->ring, memory_order_acquire);
            if (ring != NULL)
                collect(&sum, &bb_ring_get_stats(ring)->timed[i]);
        }
        if (control != NULL && !shared->controller_inline)
            collect(&sum, &bb_ring_get_stats(control)->timed[i]);
        stage(sheet, timed[i], &sum);
    }
    struct sum wait = {.sum = 0};
    collect(&wait, &bb_control_measured(shared->control)->window_wait);
    stage(sheet, "window_wait", &wait);
}

static void add_requests(struct bb_sheet *sheet, const struct bb_shared *shared)
{
    static const char *const labels[BB_TIMED_COUNT] = {
        [BB_TIMED_PUT] = "op=\"put\",",
        [BB_TIMED_GET] = "op=\"get\",",
        [BB_TIMED_DELETE] = "op=\"delete\",",
        [BB_TIMED_OTHER] = "op=\"other\",",
    };
    family(sheet, "request_seconds", "histogram",
           "From the complete head of a request to the end of its reply.");
    for (unsigned i = 0; i < BB_TIMED_COUNT; i++) {
        struct sum sum = {.sum = 0};
        for (unsigned w = 0; w < shared->worker_count; w++)
            collect(&sum, &shared->workers[w].counters.requests_us[i]);
        histogram(sheet, "request_seconds", labels[i], &sum, 1e-6);
    }
    struct sum items = {.sum = 0};
    collect(&items, &bb_control_measured(shared->control)->window_items);
    family(sheet, "window_operations", "histogram", "Operations in one commit window.");
    histogram(sheet, "window_operations", "", &items, 1);
}

/* ---- groups ---- */

static void add_connections(struct bb_sheet *sheet, const struct bb_shared *shared)
{
    static const char *const states[BB_CONN_STATE_COUNT] = {
        [BB_CONN_HEAD] = "head",     [BB_CONN_LOOKUP] = "lookup", [BB_CONN_RESERVE] = "reserve",
        [BB_CONN_BUFFER] = "buffer", [BB_CONN_CONTINUE] = "send", [BB_CONN_BODY] = "receive",
        [BB_CONN_COMMIT] = "commit", [BB_CONN_READ] = "read",     [BB_CONN_VERIFY] = "hash",
        [BB_CONN_MARK] = "commit",   [BB_CONN_ASK] = "ask",       [BB_CONN_SEND] = "send",
        [BB_CONN_LINGER] = "close",  [BB_CONN_CLOSING] = "close",
    };
    uint64_t device = 0;
    family(sheet, "connections_waiting", "gauge", "Connections by what they wait for.");
    for (unsigned i = 0; i < BB_CONN_STATE_COUNT; i++) {
        uint64_t count = 0;
        bool first = states[i] != NULL;
        for (unsigned j = 0; j < i && first; j++)
            first = states[j] == NULL || strcmp(states[i], states[j]) != 0;
        if (!first)
            continue;
        for (unsigned j = i; j < BB_CONN_STATE_COUNT; j++)
            for (unsigned w = 0; states[j] != NULL && w < shared->worker_count; w++)
                if (strcmp(states[i], states[j]) == 0)
                    count += atomic_load_explicit(&shared->workers[w].counters.in_state[j],
                                                  memory_order_relaxed);
        bb_sheet_add(sheet, "bb_connections_waiting{for=\"%s\"} %" PRIu64 "\n", states[i], count);
    }
    for (unsigned w = 0; w < shared->worker_count; w++)
        device += atomic_load_explicit(&shared->workers[w].counters.device_in_flight,
                                       memory_order_relaxed);
    gauge(sheet, "connections_max", "Connections at a time.", shared->budget.connections);
    gauge(sheet, "device_requests", "Requests of the workers on the data device now.", device);
}

static void add_space(struct bb_sheet *sheet, const struct bb_store_status *status)
{
    uint64_t largest =
        status->largest_order < 0 ? 0 : (uint64_t)BB_UNIT_SIZE << status->largest_order;
    gauge(sheet, "blocks", "Blocks stored.", status->block_count);
    gauge(sheet, "space_total_bytes", "Bytes for blocks on the device.",
          status->total_units * BB_UNIT_SIZE);
    gauge(sheet, "space_used_bytes", "Bytes of extents in use, padding included.",
          status->used_units * BB_UNIT_SIZE);
    gauge(sheet, "space_padding_bytes", "Bytes in use behind the end of blocks.",
          status->padding_bytes);
    gauge(sheet, "space_free_bytes", "Free bytes.", status->free_units * BB_UNIT_SIZE);
    gauge(sheet, "space_quarantined_bytes", "Bytes that a failed write or discard took out of use.",
          status->quarantined_units * BB_UNIT_SIZE);
    gauge(sheet, "space_largest_free_bytes", "Largest free extent, at most 1 MiB.", largest);
    family(sheet, "space_free_extents", "gauge",
           "Free extents that are not part of a larger one, in open zones.");
    for (unsigned order = 0; order < BB_ORDER_COUNT; order++)
        bb_sheet_add(sheet, "bb_space_free_extents{size=\"%u\"} %" PRIu64 "\n",
                     BB_UNIT_SIZE << order, status->free_by_order[order]);
    gauge(sheet, "zones", "Zones of the device.", status->zone_count);
    gauge(sheet, "zones_open", "Zones in use.", status->open_zone_count);
}

static void add_engine(struct bb_sheet *sheet, const struct bb_store_status *status)
{
    gauge(sheet, "journal_bytes", "Length of the journal ring.",
          status->journal_units * BB_UNIT_SIZE);
    gauge(sheet, "journal_used_bytes", "Bytes of the ring that recovery would read.",
          status->journal_used_units * BB_UNIT_SIZE);
    gauge(sheet, "delta_operations", "Operations not yet folded into the index.",
          status->delta_items);
    gauge(sheet, "delta_operations_max", "Operations that may wait for that.", status->delta_max);
    gauge(sheet, "index_room_blocks", "Blocks that the index can still take.", status->index_room);
    gauge(sheet, "epoch", "Starts of the store, counted.", status->epoch);
    gauge(sheet, "writable", "1 when the engine takes writes.", status->writable ? 1 : 0);
    counter(sheet, "windows", "Commit windows written.", status->windows);
    counter(sheet, "flushes", "Flushes of the data device.", status->flushes);
    counter(sheet, "checkpoints", "Checkpoints completed.", status->checkpoints);
    gauge(sheet, "checkpoint_running", "1 while one runs.", status->checkpoint_running ? 1 : 0);
    seconds(sheet, "checkpoint_age_seconds", "Time since the newest one ended.",
            status->checkpoint_age_ms);
    seconds(sheet, "checkpoint_duration_seconds", "What the newest one took.",
            status->checkpoint_last_ms);
    counter(sheet, "heals", "Corrupt blocks stored anew.", status->heals);
    counter(sheet, "corrupt_blocks_marked", "Blocks found corrupt and marked.", status->marks);
    gauge(sheet, "trim_running", "1 while a pass is under way.",
          status->trim.state != BB_TRIM_OFF ? 1 : 0);
    counter(sheet, "trim_discarded_bytes", "Bytes of free extents discarded.", status->trim.bytes);
    counter(sheet, "trim_discards", "Discards sent to the data device.", status->trim.discards);
    counter(sheet, "trim_failed_discards", "Discards that failed.", status->trim.failed);
}

static void add_scrub(struct bb_sheet *sheet, const struct bb_scrub_status *scrub)
{
    static const char *const outcomes[BB_SCRUB_OUTCOME_COUNT] = {
        [BB_SCRUB_REPAIRED] = "repaired", [BB_SCRUB_MARKED] = "marked", [BB_SCRUB_LEFT] = "left"};
    gauge(sheet, "scrub_running", "1 while the scrub reads.", scrub->rate > 0 ? 1 : 0);
    gauge(sheet, "scrub_page", "Descriptor page that the scrub has come to.", scrub->page);
    gauge(sheet, "scrub_pages", "Descriptor pages of the zones in use.", scrub->page_count);
    gauge(sheet, "scrub_rate_bytes", "Bytes per second that it aims at.", scrub->rate);
    counter(sheet, "scrub_blocks", "Blocks that it hashed and found sound.", scrub->blocks);
    counter(sheet, "scrub_bytes", "Bytes of them.", scrub->bytes);
    gauge(sheet, "scrub_passes", "Passes completed in the life of the index.", scrub->row.passes);
    gauge(sheet, "scrub_pass_findings", "What it found in this pass.", scrub->row.pass_findings);
    gauge(sheet, "scrub_last_pass_timestamp_seconds", "End of its newest pass; 0: none yet.",
          scrub->row.last_ended_s);
    gauge(sheet, "scrub_last_clean_pass_timestamp_seconds",
          "End of its newest pass without findings; 0: none yet.", scrub->row.last_clean_s);
    family(sheet, "scrub_findings_total", "counter", "What it found, by kind.");
    for (unsigned i = 0; i < BB_SCRUB_KIND_COUNT; i++)
        bb_sheet_add(sheet, "bb_scrub_findings_total{kind=\"%s\"} %" PRIu64 "\n",
                     bb_scrub_kind_name((enum bb_scrub_kind)i), scrub->findings[i]);
    family(sheet, "scrub_outcomes_total", "counter", "What became of it.");
    for (unsigned i = 0; i < BB_SCRUB_OUTCOME_COUNT; i++)
        bb_sheet_add(sheet, "bb_scrub_outcomes_total{outcome=\"%s\"} %" PRIu64 "\n", outcomes[i],
                     scrub->outcomes[i]);
}

static void add_recovery(struct bb_sheet *sheet, const struct bb_shared *shared)
{
    const struct bb_recovered *recovered =
        atomic_load_explicit(&shared->recovered, memory_order_acquire);
    if (recovered == NULL)
        return;
    const struct bb_recover_report *report = &recovered->report;
    gauge(sheet, "recovery_clean", "1 when the stop before this start was clean.",
          report->was_clean ? 1 : 0);
    gauge(sheet, "recovery_records", "Journal records that the start read.", report->records);
    gauge(sheet, "recovery_operations", "Operations in them.", report->items);
    gauge(sheet, "recovery_rehashed_blocks", "Blocks hashed again.", report->rehashed);
    gauge(sheet, "recovery_dropped_blocks", "Blocks never acknowledged and dropped.",
          report->dropped);
    gauge(sheet, "recovery_unreadable_blocks", "Blocks that could not be read and were marked.",
          report->unreadable);
    gauge(sheet, "recovery_damaged_pages", "Descriptor slots found damaged.",
          report->slots_damaged);
    seconds(sheet, "recovery_seconds", "What recovery took.",
            atomic_load_explicit(&shared->recovery_ms, memory_order_relaxed));
    seconds(sheet, "fill_seconds", "What filling the map of free space took.",
            atomic_load_explicit(&shared->fill_ms, memory_order_relaxed));
}

/* All of it, whether something listens with TLS or not: an expression that asks finds an answer. */
static void add_tls(struct bb_sheet *sheet, const struct bb_shared *shared)
{
    const struct ssl_ctx_st *context = atomic_load_explicit(&shared->tls, memory_order_acquire);
    gauge(sheet, "tls_connections_max", "Connections with TLS at a time; 0: nothing speaks it.",
          shared->budget.tls_connections);
    gauge(sheet, "tls_certificate_expiry_timestamp_seconds",
          "When the certificate ends, in seconds since 1970; 0: there is none.",
          context != NULL ? (uint64_t)bb_tls_context_expires(context) : 0);
}

void bb_metrics_write(struct bb_sheet *sheet, const struct bb_shared *shared,
                      const struct bb_store_status *status)
{
    struct bb_totals totals;
    bb_totals_sum(shared, &totals);
    family(sheet, "build_info", "gauge", "Version of the daemon.");
    bb_sheet_add(sheet, "bb_build_info{version=\"%s\"} 1\n", BB_VERSION);
    gauge(sheet, "ready", "1 when all is served that it was started for.",
          bb_board_ready(&shared->board) ? 1 : 0);
    gauge(sheet, "read_only", "1 when it was started to write nothing.",
          shared->gate.read_only ? 1 : 0);
    seconds(sheet, "uptime_seconds", "Since the start.", bb_clock_ms() - shared->board.started_ms);
    gauge(sheet, "workers", "Threads that serve connections.", shared->worker_count);
    gauge(sheet, "memory_limit_bytes", "Memory that the daemon plans with.", shared->budget.memory);
    gauge(sheet, "connections", "Open connections.", totals.open);
#define ADD_METRIC(name, metric, label, help) labelled(sheet, metric, label, help, totals.name);
    BB_COUNTERS(ADD_METRIC)
#undef ADD_METRIC
    add_connections(sheet, shared);
    add_tls(sheet, shared);
    if (status != NULL) {
        add_space(sheet, status);
        add_engine(sheet, status);
        add_scrub(sheet, &status->scrub);
    }
    add_recovery(sheet, shared);
    add_requests(sheet, shared);
    add_stages(sheet, shared);
    bb_metrics_process(sheet);
}
