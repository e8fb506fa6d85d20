/* SPDX-License-Identifier: Apache-2.0
 * Looking for acknowledged records after the cut: check.h.
 */
#include "bbpowertest/check.h"

#define CHUNK (256u * 1024)
#define CHUNK_RECORDS (CHUNK / BB_POWER_RECORD)

struct check {
    const struct bb_device *device;
    const struct bb_power_plan *plan;
    uint64_t acknowledged;
    uint64_t written; /* records that the run may have begun to write */
    struct bb_power_findings *findings;
};

typedef void look_function(struct check *check, uint64_t slot, bool whole, uint64_t number);

static int each_slot(struct check *check, look_function *look)
{
    static _Alignas(BB_POWER_RECORD) uint8_t chunk[CHUNK];
    const struct bb_power_plan *plan = check->plan;
    for (uint64_t first = 0; first < plan->slots; first += CHUNK_RECORDS) {
        uint64_t count = plan->slots - first < CHUNK_RECORDS ? plan->slots - first : CHUNK_RECORDS;
        int error =
            bb_device_read(check->device, first * BB_POWER_RECORD, chunk, count * BB_POWER_RECORD);
        if (error != 0)
            return error;
        for (uint64_t i = 0; i < count; i++) {
            uint64_t number = 0;
            bool whole =
                bb_power_record_read(plan, first + i, chunk + i * BB_POWER_RECORD, &number);
            look(check, first + i, whole, number);
        }
    }
    return 0;
}

static void look_for_newest(struct check *check, uint64_t slot, bool whole, uint64_t number)
{
    (void)slot;
    if (whole && number >= check->written)
        check->written = number + 1;
}

static void lose(struct check *check, const struct bb_power_loss *loss)
{
    struct bb_power_findings *findings = check->findings;
    uint64_t flushes = (check->acknowledged - 1 - loss->expected) / check->plan->depth;
    if (findings->lost < BB_POWER_LOSSES_SHOWN)
        findings->first[findings->lost] = *loss;
    findings->lost++;
    if (flushes > findings->oldest_flush)
        findings->oldest_flush = flushes;
}

static void judge(struct check *check, uint64_t slot, bool whole, uint64_t number)
{
    const struct bb_power_plan *plan = check->plan;
    uint64_t first = bb_power_first(plan, slot);
    if (first >= check->acknowledged)
        return; /* no record of it was acknowledged */
    uint64_t expected = first + (check->acknowledged - 1 - first) / plan->slots * plan->slots;
    BB_ASSERT(expected < check->acknowledged);
    check->findings->checked++;
    if (whole && number >= expected)
        check->findings->unflushed += number > expected;
    else if (!whole && expected + plan->slots < check->written)
        check->findings->torn++;
    else
        lose(check, &(struct bb_power_loss){.offset = slot * BB_POWER_RECORD,
                                            .expected = expected,
                                            .older = whole,
                                            .found = number});
}

int bb_power_check(const struct bb_device *device, const struct bb_power_plan *plan,
                   uint64_t acknowledged, struct bb_power_findings *ret_findings)
{
    struct check check = {.device = device,
                          .plan = plan,
                          .acknowledged = acknowledged,
                          .written = acknowledged,
                          .findings = ret_findings};
    *ret_findings = (struct bb_power_findings){0};
    int error = each_slot(&check, look_for_newest);
    check.written += plan->depth;
    if (error == 0)
        error = each_slot(&check, judge);
    return error;
}
