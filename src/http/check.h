/* SPDX-License-Identifier: Apache-2.0
 * The strict checker of raw request heads, the first of two judges. Internal to the protocol files.
 */
#ifndef BB_HTTP_CHECK_H
#define BB_HTTP_CHECK_H

#include "bb/http.h"

struct bb_http_frame {
    size_t start;       /* offset of the request line: 0, or 2 behind an empty line */
    size_t size;        /* bytes of the whole head, the empty line before it included */
    size_t field_count; /* at most BB_HTTP_FIELDS_MAX */
};

/* Arguments and results as bb_http_parse_head. After 1 every line of the frame is well-formed by
 * the grammar of RFC 9112, ends in CR LF, and the request line has a method and a version that we
 * know and a target in a form that fits the method. */
BB_MUST_USE int bb_http_check_head(const char *buf, size_t len, size_t *scanned,
                                   struct bb_http_frame *ret_frame,
                                   struct bb_http_refusal *ret_refusal);

/* Length of the scheme and "//" of an absolute-form target, 0 for other forms and schemes. */
size_t bb_http_scheme_len(struct bb_http_span target);
/* Length of the authority that `rest`, a target behind its scheme, begins with. */
size_t bb_http_authority_len(struct bb_http_span rest);

#endif
