/* SPDX-License-Identifier: Apache-2.0
 * The status page, as bytes made from share/page when the program is built. Internal to the server.
 */
#ifndef BB_HTTP_PAGE_H
#define BB_HTTP_PAGE_H

#include <stddef.h>

extern const unsigned char bb_page_bytes[];
extern const size_t bb_page_size;
/* Value of Content-Security-Policy: the page's own style and script by their hashes, requests to
 * this server, nothing else. */
extern const char bb_page_policy[];

#endif
