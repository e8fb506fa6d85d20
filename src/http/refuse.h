/* SPDX-License-Identifier: Apache-2.0
 * One line for a refused request: what, what was found, the cure. Internal to the protocol files.
 */
#ifndef BB_HTTP_REFUSE_H
#define BB_HTTP_REFUSE_H

#include "bb/http.h"

/* Fills ret_refusal with `<what>: "<found>", <cure>`, or without the found part when its `at` is
 * NULL. Bytes that are not printable are shown as '?', long ones are cut. Returns -1. */
int bb_http_refuse(struct bb_http_refusal *ret_refusal, int status, const char *what,
                   struct bb_http_span found, const char *cure);

#endif
