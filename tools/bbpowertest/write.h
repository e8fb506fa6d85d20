/* SPDX-License-Identifier: Apache-2.0
 * The run that the power cut interrupts: records, a flush, a line of the report, again.
 */
#ifndef BB_POWER_WRITE_H
#define BB_POWER_WRITE_H

#include "bb/device.h"
#include "bbpowertest/report.h"

#include <signal.h>

/* Writes until *stop, `seconds` (0: no end) or an error: BB_ERR_IO or -errno, said on stderr. */
BB_MUST_USE int bb_power_write(const struct bb_device *device, const struct bb_power_plan *plan,
                               struct bb_power_report *report, uint64_t seconds,
                               const volatile sig_atomic_t *stop);

#endif
