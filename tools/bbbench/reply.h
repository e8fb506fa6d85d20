/* SPDX-License-Identifier: Apache-2.0
 * Parser of HTTP/1.x replies on a connection that is kept alive: status, Content-Length and whether
 * the server will close. It takes the bytes in pieces split anywhere and hands the body on without
 * a copy.
 *
 * It refuses what our server never sends (Transfer-Encoding, a final reply without Content-Length,
 * a repeated Content-Length, bare LF): for a verifier that is a finding. Interim replies (1xx) are
 * skipped. Pure; owned by one connection.
 */
#ifndef BB_BENCH_REPLY_H
#define BB_BENCH_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BB_REPLY_HEAD_MAX 2048

enum bb_reply_state {
    BB_REPLY_HEAD, /* head not complete; head_len bytes of it kept */
    BB_REPLY_BODY, /* body_left bytes to come */
    BB_REPLY_DONE,
    BB_REPLY_BAD, /* not a reply we accept: the connection is of no more use */
};

struct bb_reply {
    enum bb_reply_state state;
    uint16_t status;
    bool bodiless; /* asked for with HEAD: the length is announced, no body follows */
    bool close;    /* the server closes after this reply */
    uint32_t head_len;
    uint64_t content_length;
    uint64_t body_left;
    char head[BB_REPLY_HEAD_MAX]; /* used only when a head arrives in pieces */
};

/* Prepares for the reply to the next request. */
void bb_reply_begin(struct bb_reply *reply, bool bodiless);

/* Takes up to len bytes; returns how many belong to this reply (fewer than len only when it is done
 * or bad). *ret_body and *ret_body_len name the part of `data` that is body; NULL and 0 when none
 * is. */
size_t bb_reply_feed(struct bb_reply *reply, const char *data, size_t len, const char **ret_body,
                     size_t *ret_body_len);

/* Accounts for body bytes that were dropped unseen; in the BODY state, len <= body_left. */
void bb_reply_skip(struct bb_reply *reply, size_t len);

#endif
