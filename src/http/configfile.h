/* SPDX-License-Identifier: Apache-2.0
 * Between the settings and the file they are read from. Internal.
 */
#ifndef BB_CONFIGFILE_H
#define BB_CONFIGFILE_H

#include "bb/config.h"

/* "name: "found"; allowed: ..." when false. Paths in a file begin with '/'. */
bool bb_config_value_ok(enum bb_option_id id, const char *text, bool in_file, char *ret_sentence);
/* Sets what bb_config_value_ok has allowed, unless something stronger has set it; `append`: behind
 * what is there. False when the texts are full. */
bool bb_config_put(struct bb_config *config, enum bb_option_id id, const char *text,
                   const struct bb_setting *setting, bool append);

#endif
