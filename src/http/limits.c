/* SPDX-License-Identifier: Apache-2.0
 * From settings to what is looked at. The table of settings bounds each of them.
 */
#include "bb/limits.h"

static unsigned number(const struct bb_config *config, enum bb_option_id id)
{
    uint64_t value = bb_config_number(config, id);
    BB_ASSERT(value <= UINT32_MAX);
    return (unsigned)value;
}

void bb_limits_set(struct bb_limits *limits, const struct bb_config *config)
{
    unsigned slow_ms = number(config, BB_OPTION_SLOW_TIME);
    uint64_t slow_rate = bb_config_number(config, BB_OPTION_SLOW_RATE);
    atomic_store(&limits->head_ms, number(config, BB_OPTION_HEAD_TIME));
    atomic_store(&limits->idle_ms, number(config, BB_OPTION_IDLE_TIME));
    atomic_store(&limits->slow_ms, slow_ms);
    atomic_store(&limits->slow_bytes, slow_rate * slow_ms / 1000);
    atomic_store(&limits->linger_ms, number(config, BB_OPTION_LINGER_TIME));
    atomic_store(&limits->linger_size, bb_config_number(config, BB_OPTION_LINGER_SIZE));
    atomic_store(&limits->buffer_ms, number(config, BB_OPTION_BUFFER_TIME));
    atomic_store(&limits->drain_ms, number(config, BB_OPTION_DRAIN_TIME));
    atomic_store(&limits->head_size, number(config, BB_OPTION_HEAD_SIZE));
    atomic_store(&limits->head_fields, number(config, BB_OPTION_HEAD_FIELDS));
    atomic_store(&limits->log_every, number(config, BB_OPTION_LOG_REQUESTS));
    atomic_store(&limits->log_slow_ms, number(config, BB_OPTION_LOG_SLOW));
}
