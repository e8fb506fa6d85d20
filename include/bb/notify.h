/* SPDX-License-Identifier: Apache-2.0
 * sd_notify by hand: one datagram to the socket that systemd names in NOTIFY_SOCKET. Without that
 * variable nothing happens; a failure is not an error of the daemon. Any thread.
 */
#ifndef BB_NOTIFY_H
#define BB_NOTIFY_H

/* `state` is one or several lines, e.g. "READY=1\nSTATUS=ready". */
void bb_notify(const char *state);

#endif
