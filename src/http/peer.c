/* SPDX-License-Identifier: Apache-2.0
 * TCP_INFO and SO_PEERCRED. In a file of its own: <linux/tcp.h> has the newer fields and cannot be
 * included together with <netinet/tcp.h>.
 */
#include "peer.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

uint64_t bb_peer_acked(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return 0;
    return info.tcpi_bytes_acked;
}

bool bb_peer_trusted(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || len != sizeof(peer))
        return false;
    return peer.uid == 0 || peer.uid == geteuid();
}
