/* SPDX-License-Identifier: Apache-2.0
 * Host and authority. Internal to the protocol files.
 */
#ifndef BB_HTTP_HOST_H
#define BB_HTTP_HOST_H

#include "bb/http.h"

/* Splits `host [":" port]`. ret_name is the name, which may be empty, or the IPv6 literal with its
 * brackets. False, ret_name untouched, when malformed: user information, a list, percent encoding,
 * a port above 65535. */
BB_MUST_USE bool bb_http_host_split(struct bb_http_span host, struct bb_http_span *ret_name);

#endif
