/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the ring share. Included once per test program.
 */
#ifndef IO_RINGS_H
#define IO_RINGS_H

#include "../base/unit.h"

#include "../../../src/io/ring_internal.h"

#include "bb/bits.h"
#include "bb/err.h"

struct world {
    struct bb_ring *ring;
    struct bb_device device;
    uint8_t *arena;
};

static struct world world;

static inline struct bb_ring *open_ring(const struct bb_ring_config *config)
{
    struct bb_ring *ring = NULL;
    const char *reason = NULL;
    int error = bb_ring_open(config, &ring, &reason);
    if (error != 0)
        fail_msg("no ring: %s (%s)", bb_err_text(error), reason);
    return ring;
}

#endif
