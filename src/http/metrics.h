/* SPDX-License-Identifier: Apache-2.0
 * Text under construction, and /metrics. Internal to src/http.
 */
#ifndef BB_METRICS_H
#define BB_METRICS_H

#include "bb/worker.h"

/* A text that is put together in a buffer which is large enough for it. */
struct bb_sheet {
    char *at;
    size_t len, size;
};

void bb_sheet_add(struct bb_sheet *sheet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The counters of all workers, as they stand. */
struct bb_totals {
#define BB_TOTAL_FIELD(name, ...) uint64_t name;
    BB_COUNTERS(BB_TOTAL_FIELD)
#undef BB_TOTAL_FIELD
    unsigned open; /* connections */
};
void bb_totals_sum(const struct bb_shared *shared, struct bb_totals *ret_totals);

/* Prometheus text format 0.0.4; status is NULL while the store is not open. */
void bb_metrics_write(struct bb_sheet *sheet, const struct bb_shared *shared,
                      const struct bb_store_status *status);
/* The figures of the process, by the names of Prometheus' own libraries. */
void bb_metrics_process(struct bb_sheet *sheet);

#endif
