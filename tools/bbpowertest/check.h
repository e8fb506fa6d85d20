/* SPDX-License-Identifier: Apache-2.0
 * What a device still has of the records whose flush it had completed before the cut.
 */
#ifndef BB_POWER_CHECK_H
#define BB_POWER_CHECK_H

#include "bb/device.h"
#include "bbpowertest/plan.h"

#define BB_POWER_LOSSES_SHOWN 8u

struct bb_power_loss {
    uint64_t offset;   /* bytes, on the device */
    uint64_t expected; /* the record that was acknowledged last there */
    bool older;        /* an older record of the run stands there; else bytes that are none */
    uint64_t found;    /* older: its number */
};

struct bb_power_findings {
    uint64_t checked;      /* slots in which an acknowledged record must be, or a later one */
    uint64_t lost;         /* slots where it is not */
    uint64_t unflushed;    /* slots with a record that came after the last acknowledgement */
    uint64_t torn;         /* slots damaged by a write that was under way: no loss by itself */
    uint64_t oldest_flush; /* of a lost record: so many flushes before the last acknowledged one */
    struct bb_power_loss first[BB_POWER_LOSSES_SHOWN];
};

/* Reads the slots twice. A slot without a whole record is torn, not lost, only if a write to it can
 * have been under way: within `depth` records after the newest that was acknowledged or found. */
BB_MUST_USE int bb_power_check(const struct bb_device *device, const struct bb_power_plan *plan,
                               uint64_t acknowledged, struct bb_power_findings *ret_findings);

#endif
