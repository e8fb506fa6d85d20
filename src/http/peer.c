/* SPDX-License-Identifier: Apache-2.0
 * TCP_INFO. In a file of its own: <linux/tcp.h> has the newer fields and cannot be included
 * together with <netinet/tcp.h>.
 */
#include "peer.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

uint64_t bb_peer_acked(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return 0;
    return info.tcpi_bytes_acked;
}
