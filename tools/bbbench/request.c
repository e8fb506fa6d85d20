/* SPDX-License-Identifier: Apache-2.0
 * Building requests and judging replies. A DELETE takes its block out of the acknowledged set when
 * it is sent: whatever happens to it, the block is no longer promised. */
#include "bbbench/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHECK_EVERY 16
#define REPORTED_MAX 10 /* faults printed per thread */
#define PUT_REPLY_SIZE (BB_HASH_HEX_SIZE + 1)
#define LINE_SIZE (BB_HASH_HEX_SIZE + 1)
#define PICK_TRIES 8

static uint64_t *reading_of(struct bb_load *load, const struct bb_conn *conn)
{
    return &load->reading[conn - load->conns];
}

static enum bb_op mixed_op(struct bb_load *load)
{
    uint64_t percent = bb_random_below(&load->random, 100);
    if (load->acked.count == 0 || (percent >= 70 && percent < 95))
        return BB_OP_PUT;
    return percent < 70 ? BB_OP_GET : BB_OP_DELETE;
}

static bool is_read(const struct bb_load *load, const struct bb_hash *hash)
{
    uint64_t prefix = bb_hash_prefix(hash);
    for (uint32_t i = 0; i < load->conn_count; i++)
        if (load->reading[i] == prefix)
            return true;
    return false;
}

/* Chooses an acknowledged block; one for DELETE is taken out of the set. */
static bool pick_block(struct bb_load *load, struct bb_conn *conn)
{
    struct bb_acked *acked = &load->acked;
    bool mixed = load->phase.op == BB_OP_MIX;
    for (int i = 0; i < PICK_TRIES && acked->count > 0; i++) {
        size_t index = (size_t)bb_random_below(&load->random, acked->count);
        conn->block = acked->blocks[index];
        if (conn->op != BB_OP_DELETE) {
            *reading_of(load, conn) = mixed ? bb_hash_prefix(&conn->block.hash) : 0;
            return true;
        }
        if (!mixed || !is_read(load, &conn->block.hash)) {
            bb_acked_remove(acked, index);
            return true;
        }
    }
    return false;
}

static size_t append(struct bb_conn *conn, size_t at, const char *text, size_t len)
{
    BB_ASSERT(at + len <= BB_LOAD_HEAD_MAX);
    memcpy(conn->head + at, text, len);
    return at + len;
}

static void set_request(struct bb_conn *conn, size_t head_len, const void *body, size_t body_len)
{
    conn->iov[0] = (struct iovec){conn->head, head_len};
    conn->iov[1] = (struct iovec){(void *)body, body_len};
    conn->iov_at = 0;
    conn->iov_count = body_len > 0 ? 2 : 1;
}

/* Method and path "/block/<hash>". */
static void build_named(struct bb_load *load, struct bb_conn *conn, const char *start, size_t len)
{
    char hex[BB_HASH_HEX_SIZE];
    bb_hash_to_hex(&conn->block.hash, hex);
    size_t at = append(conn, 0, start, len);
    at = append(conn, at, hex, sizeof(hex));
    at = append(conn, at, load->suffix, (size_t)load->suffix_len);
    at = append(conn, at, "\r\n", 2);
    set_request(conn, at, NULL, 0);
}

static size_t append_length(struct bb_conn *conn, size_t at, uint32_t length)
{
    char digits[10];
    size_t start = sizeof(digits);
    do {
        digits[--start] = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    at = append(conn, at, "Content-Length: ", 16);
    at = append(conn, at, digits + start, sizeof(digits) - start);
    return append(conn, at, "\r\n\r\n", 4);
}

/* The body of conn->block goes out as its stamp, right behind the head, and its slice of the base.
 */
static void build_put(struct bb_load *load, struct bb_conn *conn)
{
    struct bb_body_parts parts;
    bb_body_parts(&load->config->body, conn->block.counter, conn->block.size, &parts);
    size_t at = append(conn, 0, "PUT /block", 10);
    at = append(conn, at, load->suffix, (size_t)load->suffix_len);
    at = append_length(conn, at, conn->block.size);
    at = append(conn, at, (const char *)parts.stamp, parts.stamp_size);
    set_request(conn, at, parts.slice, parts.slice_size);
}

static bool has_body_to_check(enum bb_op op)
{
    return op == BB_OP_GET || op == BB_OP_PLAIN;
}

static void build_plain(struct bb_load *load, struct bb_conn *conn)
{
    size_t at = append(conn, 0, "GET ", 4);
    at = append(conn, at, load->config->path, strlen(load->config->path));
    at = append(conn, at, load->suffix, (size_t)load->suffix_len);
    at = append(conn, at, "\r\n", 2);
    set_request(conn, at, NULL, 0);
}

/* As build_put, to "<path><16 hex digits>": seed and counter, so that no name comes twice. */
static void build_upload(struct bb_load *load, struct bb_conn *conn)
{
    const struct bb_body *body = &load->config->body;
    struct bb_body_parts parts;
    char name[17];
    (void)snprintf(name, sizeof(name), "%016" PRIx64, conn->block.counter ^ body->seed << 24);
    bb_body_parts(body, conn->block.counter, conn->block.size, &parts);
    size_t at = append(conn, 0, "PUT ", 4);
    at = append(conn, at, load->config->path, strlen(load->config->path));
    at = append(conn, at, name, sizeof(name) - 1);
    at = append(conn, at, load->suffix, (size_t)load->suffix_len);
    at = append_length(conn, at, conn->block.size);
    at = append(conn, at, (const char *)parts.stamp, parts.stamp_size);
    set_request(conn, at, parts.slice, parts.slice_size);
}

static void new_block(struct bb_load *load, struct bb_conn *conn)
{
    uint32_t span = load->config->size_max - load->config->size_min;
    uint32_t more = span > 0 ? (uint32_t)bb_random_below(&load->random, (uint64_t)span + 1) : 0;
    conn->block.size = load->config->size_min + more;
    conn->block.counter = load->counter++;
}

static void random_hash(struct bb_load *load, struct bb_hash *ret_hash)
{
    bb_random_fill(&load->random, ret_hash->bytes, sizeof(ret_hash->bytes));
}

/* Half of the hashes are acknowledged ones, in random places; the answer must be the others. */
static bool build_missing(struct bb_load *load, struct bb_conn *conn)
{
    uint32_t batch = load->config->batch;
    char *expect = conn->expect;
    for (uint32_t i = 0; i < batch; i++) {
        char *line = conn->list + (size_t)i * LINE_SIZE;
        bool stored = (bb_random_next(&load->random) >> 63) != 0;
        if (stored && !pick_block(load, conn))
            return false;
        if (!stored)
            random_hash(load, &conn->block.hash);
        bb_hash_to_hex(&conn->block.hash, line);
        line[BB_HASH_HEX_SIZE] = '\n';
        if (!stored) {
            memcpy(expect, line, LINE_SIZE);
            expect += LINE_SIZE;
        }
    }
    conn->expect_len = (uint32_t)(expect - conn->expect);
    size_t at = append(conn, 0, "POST /blocks/missing", 20);
    at = append(conn, at, load->suffix, (size_t)load->suffix_len);
    at = append_length(conn, at, batch * LINE_SIZE);
    set_request(conn, at, conn->list, (size_t)batch * LINE_SIZE);
    return true;
}

bool bb_request_build(struct bb_load *load, struct bb_conn *conn)
{
    conn->op = load->phase.op == BB_OP_MIX ? mixed_op(load) : load->phase.op;
    if (conn->op == BB_OP_MISSING) {
        if (load->acked.count == 0 || !build_missing(load, conn))
            return false;
    } else if (conn->op == BB_OP_PUT) {
        new_block(load, conn);
        build_put(load, conn);
    } else if (conn->op == BB_OP_ABSENT) {
        random_hash(load, &conn->block.hash);
        build_named(load, conn, "GET /block/", 11);
    } else if (conn->op == BB_OP_PLAIN) {
        build_plain(load, conn);
    } else if (conn->op == BB_OP_UPLOAD) {
        new_block(load, conn);
        build_upload(load, conn);
    } else if (!pick_block(load, conn)) {
        if (load->phase.op != BB_OP_MIX)
            return false;
        conn->op = BB_OP_PUT; /* every block is being read: store another one instead */
        new_block(load, conn);
        build_put(load, conn);
    } else if (conn->op == BB_OP_GET) {
        build_named(load, conn, "GET /block/", 11);
    } else if (conn->op == BB_OP_HEAD) {
        build_named(load, conn, "HEAD /block/", 12);
    } else if (conn->op == BB_OP_DELETE) {
        build_named(load, conn, "DELETE /block/", 14);
    } else {
        BB_ASSERT(conn->op == BB_OP_DUP);
        build_put(load, conn);
    }
    conn->checked = (has_body_to_check(conn->op) || conn->op == BB_OP_PUT) &&
                    (load->config->verify || load->issued % CHECK_EVERY == 0);
    conn->mismatch = false;
    conn->text_len = 0;
    conn->body_seen = 0;
    if (conn->checked && has_body_to_check(conn->op))
        bb_hasher_begin(&conn->hasher);
    bb_reply_begin(&conn->reply, conn->op == BB_OP_HEAD);
    return true;
}

void bb_request_take(struct bb_conn *conn, const char *data, size_t len)
{
    if (conn->op == BB_OP_MISSING && conn->reply.status == 200 && !conn->mismatch)
        conn->mismatch = len > conn->expect_len - conn->body_seen ||
                         memcmp(data, conn->expect + conn->body_seen, len) != 0;
    if (conn->checked && has_body_to_check(conn->op) && conn->reply.status == 200)
        bb_hasher_update(&conn->hasher, data, len);
    if (conn->text_len < sizeof(conn->text)) {
        uint32_t room = (uint32_t)sizeof(conn->text) - conn->text_len;
        uint32_t take = len < room ? (uint32_t)len : room;
        memcpy(conn->text + conn->text_len, data, take);
        conn->text_len += take;
    }
    conn->body_seen += len;
}

bool bb_request_may_skip(const struct bb_conn *conn)
{
    return has_body_to_check(conn->op) && !conn->checked && conn->reply.status == 200 &&
           conn->text_len >= BB_BODY_STAMP_SIZE;
}

static void report_fault(struct bb_load *load, const struct bb_conn *conn, enum bb_fault fault)
{
    if (load->reported++ >= REPORTED_MAX)
        return;
    const char *kind = bb_fault_is_violation(fault) ? "violation" : "error";
    char hex[BB_HASH_HEX_SIZE + 1] = "-";
    if (conn->op != BB_OP_PUT && conn->op != BB_OP_PLAIN && conn->op != BB_OP_UPLOAD) {
        bb_hash_to_hex(&conn->block.hash, hex);
        hex[BB_HASH_HEX_SIZE] = '\0';
    }
    char text[BB_LOAD_TEXT_MAX + 1];
    uint32_t len = 0;
    bool block = has_body_to_check(conn->op) && conn->reply.status == 200; /* no text */
    while (!block && len < conn->text_len && conn->text[len] >= ' ' && conn->text[len] <= '~') {
        text[len] = conn->text[len];
        len++;
    }
    text[len] = '\0';
    fprintf(stderr, "bbbench: %s %s: %s %s (counter %" PRIx64 ", size %" PRIu32 "): status %u %s\n",
            kind, bb_fault_name(fault), bb_op_name(conn->op), hex, conn->block.counter,
            conn->block.size, (unsigned)conn->reply.status, text);
}

static enum bb_fault unexpected_status(struct bb_load *load, const struct bb_conn *conn)
{
    unsigned status = conn->reply.status;
    load->tally.statuses[status < BB_TALLY_STATUS_MAX ? status : 0]++;
    bool promised = bb_op_needs_blocks(conn->op) && conn->op != BB_OP_MISSING;
    if ((status == 404 && promised) || (status == 201 && conn->op == BB_OP_DUP))
        return BB_FAULT_NOT_FOUND;
    return status == 200 && conn->op == BB_OP_ABSENT ? BB_FAULT_FOUND_ABSENT : BB_FAULT_STATUS;
}

/* BB_FAULT_COUNT when the status is the expected one. */
static enum bb_fault judge_status(struct bb_load *load, const struct bb_conn *conn)
{
    static const uint16_t expected[BB_OP_COUNT] = {
        [BB_OP_PUT] = 201,    [BB_OP_GET] = 200,     [BB_OP_DELETE] = 204,
        [BB_OP_HEAD] = 200,   [BB_OP_MISSING] = 200, [BB_OP_DUP] = 200,
        [BB_OP_ABSENT] = 404, [BB_OP_PLAIN] = 200,   [BB_OP_UPLOAD] = 201,
    };
    unsigned status = conn->reply.status;
    if (status == expected[conn->op] || (conn->op == BB_OP_PUT && status == 200))
        return BB_FAULT_COUNT;
    if (status == 204 && (conn->op == BB_OP_PLAIN || conn->op == BB_OP_UPLOAD))
        return BB_FAULT_COUNT;
    return unexpected_status(load, conn);
}

static enum bb_fault judge_put(struct bb_load *load, struct bb_conn *conn)
{
    struct bb_hash hash;
    if (conn->reply.content_length != PUT_REPLY_SIZE || conn->text[BB_HASH_HEX_SIZE] != '\n' ||
        !bb_hash_from_hex(conn->text, BB_HASH_HEX_SIZE, &hash))
        return BB_FAULT_BAD_REPLY;
    if (conn->op == BB_OP_DUP)
        return bb_hash_equal(&hash, &conn->block.hash) ? BB_FAULT_COUNT : BB_FAULT_WRONG_HASH;
    conn->block.hash = hash;
    if (conn->checked) {
        struct bb_body_parts parts;
        bb_body_parts(&load->config->body, conn->block.counter, conn->block.size, &parts);
        bb_body_hash(&parts, &conn->hasher, &hash);
        load->tally.hashed++;
        if (!bb_hash_equal(&hash, &conn->block.hash))
            return BB_FAULT_WRONG_HASH;
    }
    /* A short body repeats: an earlier PUT of it may have been acknowledged and be remembered. */
    if (conn->reply.status == 201 || conn->block.size >= BB_BODY_UNIQUE_SIZE)
        if (bb_acked_add(&load->acked, &conn->block) != 0)
            load->stopping = true;
    return BB_FAULT_COUNT;
}

static enum bb_fault judge_get(struct bb_load *load, struct bb_conn *conn)
{
    struct bb_body_parts parts;
    if (conn->reply.content_length != conn->block.size)
        return BB_FAULT_WRONG_LENGTH;
    bb_body_parts(&load->config->body, conn->block.counter, conn->block.size, &parts);
    if (memcmp(conn->text, parts.stamp, parts.stamp_size) != 0)
        return BB_FAULT_WRONG_HASH;
    if (conn->checked) {
        struct bb_hash hash;
        bb_hasher_end(&conn->hasher, &hash);
        load->tally.hashed++;
        if (!bb_hash_equal(&hash, &conn->block.hash))
            return BB_FAULT_WRONG_HASH;
    }
    return BB_FAULT_COUNT;
}

/* The bytes must be those of the first reply that was hashed. */
static enum bb_fault judge_plain(struct bb_load *load, struct bb_conn *conn)
{
    struct bb_hash hash;
    if (!conn->checked || conn->reply.status != 200)
        return BB_FAULT_COUNT;
    bb_hasher_end(&conn->hasher, &hash);
    load->tally.hashed++;
    if (!load->plain_known)
        load->plain_hash = hash;
    load->plain_known = true;
    return bb_hash_equal(&hash, &load->plain_hash) ? BB_FAULT_COUNT : BB_FAULT_WRONG_HASH;
}

static enum bb_fault judge_body(struct bb_load *load, struct bb_conn *conn)
{
    switch (conn->op) {
    case BB_OP_PUT:
    case BB_OP_DUP:
        return judge_put(load, conn);
    case BB_OP_GET:
        return judge_get(load, conn);
    case BB_OP_PLAIN:
        return judge_plain(load, conn);
    case BB_OP_HEAD:
        return conn->reply.content_length == conn->block.size ? BB_FAULT_COUNT
                                                              : BB_FAULT_WRONG_LENGTH;
    case BB_OP_MISSING:
        return conn->mismatch || conn->reply.content_length != conn->expect_len
                   ? BB_FAULT_WRONG_LIST
                   : BB_FAULT_COUNT;
    default:
        return BB_FAULT_COUNT;
    }
}

void bb_request_judge(struct bb_load *load, struct bb_conn *conn, uint64_t now_ns)
{
    BB_ASSERT(conn->reply.state == BB_REPLY_DONE);
    struct bb_tally *tally = &load->tally;
    *reading_of(load, conn) = 0;
    tally->ended_ns = now_ns;
    enum bb_fault fault = judge_status(load, conn);
    if (fault == BB_FAULT_COUNT)
        fault = judge_body(load, conn);
    if (fault != BB_FAULT_COUNT) {
        tally->faults[fault]++;
        report_fault(load, conn, fault);
        return;
    }
    bb_histogram_record(&tally->latency[conn->op], now_ns - conn->since_ns);
    if (conn->op == BB_OP_PLAIN)
        tally->bytes[conn->op] += conn->reply.content_length;
    else if (conn->op == BB_OP_PUT || conn->op == BB_OP_GET || conn->op == BB_OP_DUP ||
             conn->op == BB_OP_UPLOAD)
        tally->bytes[conn->op] += conn->block.size;
}

void bb_request_fail(struct bb_load *load, struct bb_conn *conn, enum bb_fault fault)
{
    *reading_of(load, conn) = 0;
    load->tally.faults[fault]++;
    report_fault(load, conn, fault);
}
