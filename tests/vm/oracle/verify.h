/* SPDX-License-Identifier: Apache-2.0
 * The store against the ledger, after a restart.
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "ledger.h"

/* Reads every block back and walks the list. What was in doubt is settled by what is seen and must
 * stay so. Prints each loss and a summary; returns the number of losses. */
unsigned verify_run(struct ledger *ledger);

#endif
