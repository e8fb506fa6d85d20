/* SPDX-License-Identifier: Apache-2.0
 * The server as a whole: its threads from start to stop. It answers from the start; what it answers
 * depends on the board (phase.h), which start-up moves on as the store comes up.
 *
 * Owner: the main thread.
 */
#ifndef BB_SERVER_H
#define BB_SERVER_H

#include "bb/worker.h"

struct bb_server_config {
    const struct bb_device *data;  /* claimed; outlives the server */
    const struct bb_device *index; /* likewise */
    struct bb_budget budget;
    bool controller_inline;
    bool only_6_1;
    const struct bb_config *settings; /* NULL: all defaults */
    const struct bb_tokens *tokens;   /* NULL: none are needed; both are copied */
    struct ssl_ctx_st *tls;           /* the server's from then on; NULL: no listener needs it */
    bool auth_none;
    const char *const *hosts;
    size_t host_count;
    struct bb_listener *listeners; /* open */
    unsigned listener_count;
    /* Any thread, once: the process must end soon with BB_EXIT_IO. */
    void (*on_fatal)(void *context);
    void *context;
};

struct bb_server;

/* Starts all threads; requests are answered from here on. *ret_reason is a static text that names
 * cause and cure, or NULL. A failure leaves threads behind: the caller exits. */
BB_MUST_USE int bb_server_start(const struct bb_server_config *config,
                                struct bb_server **ret_server, const char **ret_reason);
struct bb_shared *bb_server_shared(struct bb_server *server);
/* Moves the board on and lets every thread see it. */
void bb_server_set_phase(struct bb_server *server, enum bb_phase phase);

/* Limits, append-only, tokens and what TLS begins with from now on; each request sees the old ones
 * or the new ones. False when a loop has not turned since the last time and may still use what
 * would be overwritten; the TLS context is the caller's then, else the server's. */
BB_MUST_USE bool bb_server_reload(struct bb_server *server, const struct bb_config *settings,
                                  const struct bb_tokens *tokens, struct ssl_ctx_st *tls);

/* Asks every loop to turn. */
void bb_server_beat(struct bb_server *server);
/* Whether every loop, the workers' and the controller's, has turned since the last bb_server_beat.
 */
bool bb_server_beating(const struct bb_server *server);

/* No new writes; returns when the running requests have ended or the time for it is up. */
void bb_server_drain(struct bb_server *server);
/* Ends all connections; returns when they are gone. */
void bb_server_hang_up(struct bb_server *server);
/* After the engine has stopped: ends the threads and frees everything. */
void bb_server_close(struct bb_server *server);
/* Something is fatal: lets the answers go out for a moment, at most a second. */
void bb_server_last_words(struct bb_server *server);

#endif
