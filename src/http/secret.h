/* SPDX-License-Identifier: Apache-2.0
 * Files that nobody else may read: tokens, keys. Internal to the server.
 */
#ifndef BB_HTTP_SECRET_H
#define BB_HTTP_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define BB_SECRET_SENTENCE_MAX 400u

/* Opens a regular file that belongs to root or to the daemon's user and that others can neither
 * read nor write. False with what was found and the cure, without the path. */
bool bb_secret_open(const char *path, int *ret_fd, char *ret_sentence, size_t size);

#endif
