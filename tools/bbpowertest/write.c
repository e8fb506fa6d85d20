/* SPDX-License-Identifier: Apache-2.0
 * The run that the power cut interrupts: write.h.
 */
#include "bbpowertest/write.h"

#include "bb/clock.h"
#include "bb/err.h"

#include <stdio.h>

static int write_batch(const struct bb_device *device, const struct bb_power_plan *plan,
                       uint64_t first)
{
    static _Alignas(BB_POWER_RECORD) uint8_t record[BB_POWER_RECORD];
    for (uint64_t number = first; number < first + plan->depth; number++) {
        bb_power_record_make(plan, number, record);
        int error = bb_device_write(device, bb_power_slot(plan, number) * BB_POWER_RECORD, record,
                                    sizeof(record));
        if (error != 0)
            return error;
    }
    return bb_device_sync(device);
}

int bb_power_write(const struct bb_device *device, const struct bb_power_plan *plan,
                   struct bb_power_report *report, uint64_t seconds,
                   const volatile sig_atomic_t *stop)
{
    uint64_t begin_ms = bb_clock_ms(), number = 0;
    int error = bb_power_report_begin(report, plan);
    while (error == 0 && !*stop && (seconds == 0 || bb_clock_ms() - begin_ms < seconds * 1000)) {
        error = write_batch(device, plan, number);
        if (error != 0) {
            fprintf(stderr, "bbpowertest: %s: %s\n", device->path, bb_err_text(error));
            break;
        }
        number += plan->depth;
        error = bb_power_report_acknowledge(report, number);
        if (error != 0)
            fprintf(stderr, "bbpowertest: the report: %s\n", bb_err_text(error));
    }
    fprintf(stderr, "bbpowertest: %llu records and %llu flushes in %llu s\n",
            (unsigned long long)number, (unsigned long long)(number / plan->depth),
            (unsigned long long)((bb_clock_ms() - begin_ms) / 1000));
    return error;
}
