/* SPDX-License-Identifier: Apache-2.0
 * Text of a refusal. What a client sent is never repeated unescaped: it ends in logs and terminals.
 */
#include "refuse.h"

#include <stdio.h>

#define FOUND_MAX 40

int bb_http_refuse(struct bb_http_refusal *ret_refusal, int status, const char *what,
                   struct bb_http_span found, const char *cure)
{
    char shown[FOUND_MAX + 4];
    size_t len = 0;
    BB_ASSERT(status >= 400 && status <= 599);

    for (; len < found.len && len < FOUND_MAX; len++) {
        char byte = found.at[len];
        shown[len] = (char)(byte < ' ' || byte > '~' || byte == '"' ? '?' : byte);
    }
    shown[len] = '\0';
    if (found.len > FOUND_MAX)
        memcpy(shown + len, "...", sizeof("..."));

    ret_refusal->status = status;
    int size = found.at == NULL
                   ? snprintf(ret_refusal->text, sizeof(ret_refusal->text), "%s, %s", what, cure)
                   : snprintf(ret_refusal->text, sizeof(ret_refusal->text), "%s: \"%s\", %s", what,
                              shown, cure);
    BB_ASSERT(size > 0);
    BB_ASSERT((size_t)size < sizeof(ret_refusal->text));
    return -1;
}
