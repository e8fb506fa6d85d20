/* SPDX-License-Identifier: Apache-2.0
 * Load on the store from several connections, each with slots of its own in the ledger.
 */
#ifndef LOAD_H
#define LOAD_H

#include "ledger.h"

enum load_result {
    LOAD_OK = 0,
    LOAD_FAULTS = 1,   /* a reply contradicted the ledger; said on stdout */
    LOAD_SURVIVED = 3, /* the store still listens long after it should have ended */
    LOAD_EARLY = 4     /* it was gone before the moment came */
};

/* Sends until `operations` were acknowledged, then fires what is armed (fire.h) and goes on until
 * nobody listens. With nothing armed it only stops there; with 0 it goes on until the store ends by
 * itself. */
enum load_result load_run(struct ledger *ledger, uint64_t operations);

#endif
