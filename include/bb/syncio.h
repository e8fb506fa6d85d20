/* SPDX-License-Identifier: Apache-2.0
 * The blocking back end of io.h: pread, pwrite, fdatasync. For the offline tools, for recovery and
 * for sanitizers. Requests run in submission order inside bb_io_poll.
 */
#ifndef BB_SYNCIO_H
#define BB_SYNCIO_H

#include "bb/device.h"
#include "bb/io.h"

struct bb_syncio {
    struct bb_io io;
    const struct bb_device *device;
    struct bb_io_request *head, *tail;
};

void bb_syncio_init(struct bb_syncio *sync, const struct bb_device *device);

#endif
