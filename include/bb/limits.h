/* SPDX-License-Identifier: Apache-2.0
 * The settings that a running server looks at again and again, and that a reload changes under it.
 * Written by the main thread, read by all; each stands for itself.
 */
#ifndef BB_LIMITS_H
#define BB_LIMITS_H

#include "bb/config.h"

#include <stdatomic.h>

struct bb_limits {
    _Atomic unsigned head_ms;     /* for a whole head */
    _Atomic unsigned idle_ms;     /* between requests */
    _Atomic unsigned slow_ms;     /* bodies and replies move at least ... */
    _Atomic uint64_t slow_bytes;  /* ... so much in that time */
    _Atomic unsigned linger_ms;   /* reading what was sent in vain */
    _Atomic uint64_t linger_size; /* bytes of that */
    _Atomic unsigned buffer_ms;   /* for a buffer */
    _Atomic unsigned drain_ms;    /* for running requests at a stop */
    _Atomic unsigned head_size;   /* bytes */
    _Atomic unsigned head_fields; /* of a request */
    _Atomic unsigned log_every;   /* one request in so many is logged, 0: none */
    _Atomic unsigned log_slow_ms; /* requests that took longer are logged, 0: none */
};

void bb_limits_set(struct bb_limits *limits, const struct bb_config *config);

#define BB_LIMIT(limits, name) atomic_load_explicit(&(limits)->name, memory_order_relaxed)

#endif
