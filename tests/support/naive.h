/* SPDX-License-Identifier: Apache-2.0
 * What two indexes hold, compared without the code under test. */
#ifndef NAIVE_H
#define NAIVE_H

#include "memindex.h"

/* Digest of all blocks: hash, unit, size, flags. Not of the state row. */
void naive_content(struct memindex *mem, struct bb_hash *ret_content);
void naive_content_of(const struct bb_index *index, struct bb_hash *ret_content);

#endif
