/* SPDX-License-Identifier: Apache-2.0
 * Reload and watchdog (sd_notify(3), sd_watchdog_enabled(3)). A look at the watchdog asks all loops
 * to turn and is followed by the next one, which sees whether they have: one that hangs is not
 * covered up by the others, and this thread alone cannot feed it.
 */
#include "bbd/service.h"

#include "bb/clock.h"
#include "bb/notify.h"
#include "bb/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOKS 4u /* in the time after which systemd loses patience */

void bbd_notify_reloading(void)
{
    char state[80];
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                   (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    bb_notify(state);
}

void bbd_notify_ready(struct bb_server *server)
{
    char text[BB_BOARD_TEXT_MAX];
    char state[BB_BOARD_TEXT_MAX + 32];
    (void)bb_board_text(&bb_server_shared(server)->board, text);
    (void)snprintf(state, sizeof(state), "READY=1\nSTATUS=%s", text);
    bb_notify(state);
}

void bbd_watchdog_init(struct bbd_watchdog *ret_watchdog)
{
    const char *usec_text = getenv("WATCHDOG_USEC");
    const char *pid_text = getenv("WATCHDOG_PID");
    uint64_t usec = 0;
    uint64_t pid = (uint64_t)getpid();
    *ret_watchdog = (struct bbd_watchdog){.interval_ms = -1};
    if (usec_text == NULL || !bb_text_to_u64(usec_text, &usec) || usec < LOOKS * 1000)
        return;
    if (pid_text != NULL && (!bb_text_to_u64(pid_text, &pid) || pid != (uint64_t)getpid()))
        return;
    uint64_t interval_ms = usec / 1000 / LOOKS;
    ret_watchdog->interval_ms = interval_ms < INT32_MAX ? (int)interval_ms : INT32_MAX;
}

int bbd_watchdog_turn(struct bbd_watchdog *watchdog, struct bb_server *server)
{
    if (watchdog->interval_ms < 0)
        return -1;
    uint64_t now_ms = bb_clock_ms();
    if (now_ms >= watchdog->next_ms) {
        if (bb_server_beating(server)) {
            bb_notify("WATCHDOG=1");
            bb_server_beat(server);
        }
        watchdog->next_ms = now_ms + (uint64_t)watchdog->interval_ms;
    }
    return (int)(watchdog->next_ms - now_ms);
}
