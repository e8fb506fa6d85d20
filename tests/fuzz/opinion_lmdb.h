/* SPDX-License-Identifier: Apache-2.0
 * Second opinions of an index device for fuzz_lmdbmeta: whether src/index must take it. Written
 * from the format alone, with the whole device in memory, and sharing no code with the reader. */
#ifndef BB_FUZZ_OPINION_LMDB_H
#define BB_FUZZ_OPINION_LMDB_H

#include "bb/lmdbindex.h"

/* What bb_lmdb_check_metas must return for these bytes; *ret_meta is valid at 0. */
int opinion_metas(const uint8_t *head, size_t size, uint64_t device_size,
                  struct bb_lmdb_meta *ret_meta);

/* Whether bb_lmdbtree_check must find the pages behind good metas good. */
bool opinion_trees(const uint8_t *image, const struct bb_lmdb_meta *meta);

#endif
