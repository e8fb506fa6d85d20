/* SPDX-License-Identifier: Apache-2.0
 * Text and JSON. All numbers are formatted here, and all names in the JSON are plain words, so
 * nothing needs escaping. */
#include "bbbench/report.h"

#include "bb/bits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S 1e9
#define NS_PER_US 1e3

static double seconds_of(const struct bb_tally *tally)
{
    BB_ASSERT(tally->ended_ns >= tally->started_ns);
    return (double)(tally->ended_ns - tally->started_ns) / NS_PER_S;
}

static double share_of(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static double us_at(const struct bb_histogram *histogram, double share)
{
    return (double)bb_histogram_quantile(histogram, share) / NS_PER_US;
}

static double mean_us(const struct bb_histogram *histogram)
{
    return share_of((double)histogram->sum, (double)histogram->count) / NS_PER_US;
}

/* Latencies of all operations of a phase in one histogram; one report at a time (main thread). */
static const struct bb_histogram *all_latencies(const struct bb_tally *tally)
{
    static struct bb_histogram all;
    bb_histogram_init(&all);
    for (int i = 0; i < BB_OP_COUNT; i++)
        bb_histogram_merge(&all, &tally->latency[i]);
    return &all;
}

static void print_sizes(const struct bb_load_config *config)
{
    if (config->size_min == config->size_max)
        printf("%" PRIu32 " bytes", config->size_min);
    else
        printf("%" PRIu32 " to %" PRIu32 " bytes", config->size_min, config->size_max);
}

static void print_latency(const char *name, const struct bb_histogram *histogram)
{
    printf("%9s latency us: mean %.0f, p50 %.0f, p99 %.0f, p99.9 %.0f, max %.0f (%" PRIu64 ")\n",
           name, mean_us(histogram), us_at(histogram, 0.5), us_at(histogram, 0.99),
           us_at(histogram, 0.999), us_at(histogram, 1), histogram->count);
}

static void print_faults(const struct bb_tally *tally)
{
    if (bb_tally_faults(tally) == 0)
        return;
    printf("          faults:");
    for (int i = 0; i < BB_FAULT_COUNT; i++)
        if (tally->faults[i] > 0)
            printf(" %s %" PRIu64, bb_fault_name((enum bb_fault)i), tally->faults[i]);
    for (unsigned i = 0; i < BB_TALLY_STATUS_MAX; i++)
        if (tally->statuses[i] > 0)
            printf(", status %u %" PRIu64, i, tally->statuses[i]);
    printf("\n");
}

void bb_report_text(const struct bb_result *result)
{
    const struct bb_tally *tally = &result->tally;
    double operations = (double)bb_tally_operations(tally);
    double seconds = seconds_of(tally);
    printf("%-9s %.0f op/s, %.1f MiB/s in %.2f s; %" PRIu32 " connections, ",
           bb_op_name(result->op), share_of(operations, seconds),
           share_of((double)bb_tally_bytes(tally) / (double)BB_MIB, seconds), seconds,
           result->connections);
    print_sizes(result->config);
    printf(", %" PRIu32 " client thread%s", result->threads, result->threads == 1 ? "" : "s");
    if (result->rate > 0)
        printf(", %" PRIu64 " per s intended", result->rate);
    printf("\n");
    print_latency("", all_latencies(tally));
    if (result->op == BB_OP_MIX)
        for (int i = 0; i < BB_OP_COUNT; i++)
            if (tally->latency[i].count > 0)
                print_latency(bb_op_name((enum bb_op)i), &tally->latency[i]);
    printf("          CPU us/op: machine %.2f, client %.2f",
           share_of((double)result->machine_us, operations),
           share_of((double)(result->client.user_us + result->client.system_us), operations));
    if (result->has_server)
        printf(", server %.2f (user %.2f, system %.2f); server RssAnon %.1f MiB",
               share_of((double)(result->server.user_us + result->server.system_us), operations),
               share_of((double)result->server.user_us, operations),
               share_of((double)result->server.system_us, operations),
               (double)result->server_rss_anon / (double)BB_MIB);
    printf("\n");
    print_faults(tally);
    fflush(stdout);
}

static void json_latency(const struct bb_histogram *histogram)
{
    printf("{\"mean\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
           mean_us(histogram), us_at(histogram, 0.5), us_at(histogram, 0.99),
           us_at(histogram, 0.999), us_at(histogram, 1));
}

static void json_kinds(const struct bb_tally *tally)
{
    const char *comma = "";
    printf(",\"kinds\":{");
    for (int i = 0; i < BB_OP_COUNT; i++) {
        if (tally->latency[i].count == 0)
            continue;
        printf("%s\"%s\":{\"operations\":%" PRIu64 ",\"latency_us\":", comma,
               bb_op_name((enum bb_op)i), tally->latency[i].count);
        json_latency(&tally->latency[i]);
        printf("}");
        comma = ",";
    }
    printf("}");
}

static void json_faults(const struct bb_tally *tally)
{
    const char *comma = "";
    printf(",\"errors\":%" PRIu64 ",\"violations\":%" PRIu64 ",\"faults\":{",
           bb_tally_faults(tally), bb_tally_violations(tally));
    for (int i = 0; i < BB_FAULT_COUNT; i++)
        printf("%s\"%s\":%" PRIu64, i == 0 ? "" : ",", bb_fault_name((enum bb_fault)i),
               tally->faults[i]);
    printf("},\"statuses\":{");
    for (unsigned i = 0; i < BB_TALLY_STATUS_MAX; i++) {
        if (tally->statuses[i] == 0)
            continue;
        printf("%s\"%u\":%" PRIu64, comma, i, tally->statuses[i]);
        comma = ",";
    }
    printf("}");
}

static void json_server(const struct bb_result *result, double operations)
{
    if (!result->has_server) {
        printf(",\"server_cpu_us_per_op\":null,\"server_user_us_per_op\":null,"
               "\"server_system_us_per_op\":null,\"server_rss_anon\":null");
        return;
    }
    double user = share_of((double)result->server.user_us, operations);
    double system = share_of((double)result->server.system_us, operations);
    printf(",\"server_cpu_us_per_op\":%.3f,\"server_user_us_per_op\":%.3f,"
           "\"server_system_us_per_op\":%.3f,\"server_rss_anon\":%" PRIu64,
           user + system, user, system, result->server_rss_anon);
}

void bb_report_json(const struct bb_result *result)
{
    const struct bb_tally *tally = &result->tally;
    uint64_t operations = bb_tally_operations(tally);
    double seconds = seconds_of(tally);
    printf("{\"phase\":\"%s\",\"connections\":%" PRIu32 ",\"threads\":%" PRIu32 ",\"rate\":%" PRIu64
           ",\"size_min\":%" PRIu32 ",\"size_max\":%" PRIu32 ",\"seconds\":%.6f",
           bb_op_name(result->op), result->connections, result->threads, result->rate,
           result->config->size_min, result->config->size_max, seconds);
    printf(",\"operations\":%" PRIu64 ",\"operations_per_s\":%.1f,\"bytes\":%" PRIu64
           ",\"mib_per_s\":%.3f,\"latency_us\":",
           operations, share_of((double)operations, seconds), bb_tally_bytes(tally),
           share_of((double)bb_tally_bytes(tally) / (double)BB_MIB, seconds));
    json_latency(all_latencies(tally));
    if (result->op == BB_OP_MIX)
        json_kinds(tally);
    printf(
        ",\"client_cpu_us_per_op\":%.3f,\"machine_cpu_us_per_op\":%.3f",
        share_of((double)(result->client.user_us + result->client.system_us), (double)operations),
        share_of((double)result->machine_us, (double)operations));
    json_server(result, (double)operations);
    printf(",\"hashed\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"reconnects\":%" PRIu64, tally->hashed,
           result->acked, tally->reconnects);
    json_faults(tally);
    printf("}\n");
    fflush(stdout);
}

void bb_report_totals(const struct bb_totals *totals, bool json)
{
    const char *format = json ? "{\"phase\":\"total\",\"operations\":%" PRIu64
                                ",\"hashed\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"errors\":%" PRIu64
                                ",\"violations\":%" PRIu64 ",\"seed\":%" PRIu64 "}\n"
                              : "total     %" PRIu64 " operations, %" PRIu64
                                " bodies hashed, %" PRIu64 " blocks acknowledged and not deleted, "
                                "%" PRIu64 " faults, of them %" PRIu64 " violations; seed %" PRIu64
                                "\n";
    printf(format, totals->operations, totals->hashed, totals->acked, totals->faults,
           totals->violations, totals->seed);
    fflush(stdout);
}
