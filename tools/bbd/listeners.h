/* SPDX-License-Identifier: Apache-2.0
 * All sockets of the daemon: those systemd passed on, those of the settings, the one for bbctl.
 * Start-up only; owner: the main thread.
 */
#ifndef BBD_LISTENERS_H
#define BBD_LISTENERS_H

#include "bb/config.h"
#include "bb/listen.h"

struct bbd_listeners {
    struct bb_listener at[BB_LISTENER_MAX];
    unsigned count;
};

/* Opens them and logs each, or says in the log why not. Where systemd passed some on, the default
 * addresses are not opened as well. 0 or an error. */
BB_MUST_USE int bbd_listeners_open(const struct bb_config *config, const char *run_dir,
                                   struct bbd_listeners *ret_listeners);
void bbd_listeners_close(struct bbd_listeners *listeners);

#endif
