/* SPDX-License-Identifier: Apache-2.0
 * GET /status/zones and /status/zones/<n>: how full the device is, zone by zone and inside one, as
 * arrays side by side. ?first=<n> says where to begin; a reply has so much as the controller looks
 * at in one turn, and a large device is asked for piece by piece.
 */
#include "metrics.h"
#include "question.h"
#include "verbs.h"

#include <inttypes.h>

#define TEXT_OFFSET 8192u

BB_STATIC_ASSERT(sizeof(struct bb_status_request) <= TEXT_OFFSET);
/* four numbers of at most 21 bytes with their comma, and a head */
BB_STATIC_ASSERT(BB_MAP_ZONES_MAX * 4 * 21 + 1024 <= BB_QUESTION_BUFFER - TEXT_OFFSET);
BB_STATIC_ASSERT(BB_MAP_CHUNKS_MAX * 3 * 6 + 1024 <= BB_QUESTION_BUFFER - TEXT_OFFSET);

/* The parameter `first`, 0 without it; false when it is no number of at most nine digits. */
static bool find_first(const struct bb_conn *conn, uint32_t *ret_first)
{
    struct bb_http_span text;
    uint32_t first = 0;
    if (bb_http_query(conn->http.query, "first", &text)) {
        if (text.len == 0 || text.len > 9)
            return false;
        for (size_t i = 0; i < text.len; i++) {
            if (text.at[i] < '0' || text.at[i] > '9')
                return false;
            first = first * 10 + (uint32_t)(text.at[i] - '0');
        }
    }
    *ret_first = first;
    return true;
}

/* One array of the reply; `value` is evaluated for each i below the count found. */
#define ADD_ARRAY(sheet, name, request, value)                                                     \
    do {                                                                                           \
        bb_sheet_add(sheet, ",\"" name "\":[");                                                    \
        for (uint32_t i = 0; i < (request)->count; i++)                                            \
            bb_sheet_add(sheet, "%s%" PRId64, i > 0 ? "," : "", (int64_t)(value));                 \
        bb_sheet_add(sheet, "]");                                                                  \
    } while (0)

static void write_zones(struct bb_sheet *sheet, const struct bb_status_request *request)
{
    bb_sheet_add(sheet, "{\"zones\":%u,\"zones_open\":%u,\"unit_size\":%u,\"first\":%u",
                 request->status.zone_count, request->status.open_zone_count, BB_UNIT_SIZE,
                 request->first);
    ADD_ARRAY(sheet, "units", request, request->zones[i].units);
    ADD_ARRAY(sheet, "free_units", request, request->zones[i].free_units);
    ADD_ARRAY(sheet, "chunks", request, request->zones[i].chunk_count);
    ADD_ARRAY(sheet, "free_chunks", request, request->zones[i].free_chunks);
    bb_sheet_add(sheet, "}\n");
}

static void write_chunks(struct bb_sheet *sheet, const struct bb_status_request *request)
{
    bb_sheet_add(sheet, "{\"zone\":%u,\"chunks\":%u,\"unit_size\":%u,\"first\":%u", request->zone,
                 request->chunk_count, BB_UNIT_SIZE, request->first);
    ADD_ARRAY(sheet, "units", request, request->chunks[i].units);
    ADD_ARRAY(sheet, "free_units", request, request->chunks[i].free_units);
    ADD_ARRAY(sheet, "largest_order", request, request->chunks[i].largest_order);
    bb_sheet_add(sheet, "}\n");
}

static void send_map(struct bb_conn *conn)
{
    const struct bb_status_request *request = bb_question_of(conn);
    struct bb_sheet sheet = {.at = (char *)conn->buf + TEXT_OFFSET,
                             .size = BB_QUESTION_BUFFER - TEXT_OFFSET};
    struct bb_http_reply reply = {.status = 200, .content_type = "application/json"};
    if (request->question == BB_QUESTION_CHUNKS && request->chunk_count == 0) {
        bb_conn_line(conn, 404, "zone: %u is not in use, zones_open of /status/zones counts them",
                     request->zone);
        return;
    }
    if (request->question == BB_QUESTION_CHUNKS)
        write_chunks(&sheet, request);
    else
        write_zones(&sheet, request);
    bb_conn_send(conn, &reply, sheet.at, sheet.len);
}

static void ask(struct bb_conn *conn)
{
    struct bb_status_request *request = bb_question_of(conn);
    bool zones = conn->route.op == BB_ROUTE_ZONES;
    request->question = zones ? BB_QUESTION_ZONES : BB_QUESTION_CHUNKS;
    request->zone = conn->route.zone;
    request->count = zones ? BB_MAP_ZONES_MAX : BB_MAP_CHUNKS_MAX;
    request->chunk_count = 0;
    bool checked = find_first(conn, &request->first);
    BB_ASSERT(checked);
    bb_question_send(conn);
}

void bb_map_begin(struct bb_conn *conn)
{
    uint32_t first;
    BB_ASSERT(conn->route.op == BB_ROUTE_ZONES || conn->route.op == BB_ROUTE_CHUNKS);
    if (!find_first(conn, &first)) {
        bb_conn_line(conn, 400, "first: not a number, send where to begin in decimal");
        return;
    }
    bb_question_begin(conn, ask); /* until all is served nobody has counted what is free */
}

void bb_map_step(struct bb_conn *conn, int result)
{
    bb_question_go_on(conn, result, ask, send_map);
}
