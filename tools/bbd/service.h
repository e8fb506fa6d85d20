/* SPDX-License-Identifier: Apache-2.0
 * What systemd is told while the daemon runs. Without systemd all of it does nothing. Owner: the
 * main thread.
 */
#ifndef BBD_SERVICE_H
#define BBD_SERVICE_H

#include "bb/server.h"

/* The settings are being read again; bbd_notify_ready ends it. */
void bbd_notify_reloading(void);
void bbd_notify_ready(struct bb_server *server);

/* systemd is told that we are alive when every loop has turned, and only then. */
struct bbd_watchdog {
    int interval_ms; /* between two looks; -1: nobody watches */
    uint64_t next_ms;
};

/* From WATCHDOG_USEC and WATCHDOG_PID. */
void bbd_watchdog_init(struct bbd_watchdog *ret_watchdog);
/* Looks, if it is time; milliseconds until the next look, -1 for never. */
int bbd_watchdog_turn(struct bbd_watchdog *watchdog, struct bb_server *server);

#endif
