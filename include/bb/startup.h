/* SPDX-License-Identifier: Apache-2.0
 * From two claimed devices to a store that takes writes: storage.md's recovery as the daemon runs
 * it, while the server already answers with its progress.
 *
 *   sync both devices -> open LMDB -> recover -> engine opens, reads are served -> fill -> writes
 *
 * Owner: the start-up thread while it runs, then the main thread.
 */
#ifndef BB_STARTUP_H
#define BB_STARTUP_H

#include "bb/server.h"

struct bb_startup;

struct bb_startup_config {
    struct bb_server *server;
    const struct bb_device *data;
    const struct bb_device *index;
    const char *runtime_dir;
    struct bb_budget budget;
    uint64_t trim_idle_ms;
    const char *store;            /* UUID that the store must have, or NULL */
    struct bb_scrub_config scrub; /* days, rate and share; the rest is set here */
    bool read_only;               /* nothing is written: the journal is replayed in memory */
};

/* Takes the memory only. */
BB_MUST_USE int bb_startup_open(const struct bb_startup_config *config,
                                struct bb_startup **ret_startup);
/* Runs it all, logs what was found and what went wrong. 0: writes are accepted, or reads only when
 * the index does not match (the board says so); else an error for bb_err_exit. */
BB_MUST_USE int bb_startup_run(struct bb_startup *startup);
/* Asks bb_startup_run to end at its next step, with BB_ERR_CANCELLED; any thread. */
void bb_startup_cancel(struct bb_startup *startup);
/* After the threads of the server that use the store are quiet and the engine has stopped. */
void bb_startup_close(struct bb_startup *startup);

#endif
