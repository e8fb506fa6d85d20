/* SPDX-License-Identifier: Apache-2.0
 * The settings of the daemon: defaults, then the file, then the section of one store in it, then
 * flags; whatever comes later wins. A value that is not allowed never gets in: it is refused with
 * where it stood, what was found and what is allowed.
 *
 *   [server]
 *   listen = 127.0.0.1:10001 unix:/run/buddy-blocks/bbd.sock
 *   [store 0f0e0d0c-0b0a-4908-8706-050403020100]     ; for --store, any key, none is needed
 *   memory = 64M
 *
 * The file: `key = value`, comments behind '#' or ';' at the start of a line or " ;" in it, lists
 * may go on in indented lines, lines of at most 198 bytes. A struct bb_config holds its texts
 * itself and may be copied. Owner: the main thread; constant for others.
 */
#ifndef BB_CONFIG_H
#define BB_CONFIG_H

#include "bb/option.h"

#define BB_CONFIG_PATH "/etc/buddy-blocks/buddy-blocks.conf"
#define BB_CONFIG_TEXT_MAX 16384u
#define BB_CONFIG_STORE_MAX 64 /* sections [store UUID] in a file */
#define BB_CONFIG_SENTENCE_MAX 640u
#define BB_CONFIG_PAGE_MAX 24576u /* what bb_config_json writes at most */

enum bb_config_source {
    BB_CONFIG_DEFAULT,
    BB_CONFIG_FILE,
    BB_CONFIG_STORE, /* section [store UUID] */
    BB_CONFIG_FLAG,
};

struct bb_setting {
    uint64_t number; /* not for lists and paths; 0 for "auto" */
    uint32_t text;   /* offset in texts: the value as it was written */
    enum bb_config_source source;
    unsigned line; /* in the file */
};

struct bb_config {
    struct bb_setting settings[BB_OPTION_END];
    char store[37]; /* of --store, else empty */
    char path[256]; /* of the file that was read, else empty */
    uint32_t texts_len;
    char texts[BB_CONFIG_TEXT_MAX];
};

/* All defaults. */
void bb_config_init(struct bb_config *config);
/* A flag; a list grows with each. False with a sentence, and nothing changed, for what is not
 * allowed. ret_sentence has BB_CONFIG_SENTENCE_MAX bytes everywhere here. */
BB_MUST_USE bool bb_config_flag(struct bb_config *config, enum bb_option_id id, const char *value,
                                char *ret_sentence);
/* Reads a file. With `store` (36 characters, lower case) its section is needed, and names of the
 * devices that the file does not give are those under /dev/disk/by-buddyblocks. Flags given before
 * stay on top. After false the settings are undefined. */
BB_MUST_USE bool bb_config_read(struct bb_config *config, const char *path, const char *store,
                                char *ret_sentence);
/* What no single value shows: both devices, and who may reach what without a token. */
BB_MUST_USE bool bb_config_check(const struct bb_config *config, char *ret_sentence);

uint64_t bb_config_number(const struct bb_config *config, enum bb_option_id id);
/* NULL when unset. */
const char *bb_config_text(const struct bb_config *config, enum bb_option_id id);
/* Next word of a list into ret_word[size]; *cursor is bb_config_text at first. False at the end. */
BB_MUST_USE bool bb_config_next(const char **cursor, char *ret_word, size_t size);
/* Whether the text of an option is the same in both. */
bool bb_config_same(const struct bb_config *a, const struct bb_config *b, enum bb_option_id id);
/* Puts an option back to what `running` has. */
void bb_config_keep(struct bb_config *config, const struct bb_config *running,
                    enum bb_option_id id);
/* "default", "--NAME", "FILE:LINE". Returns ret. */
char *bb_config_origin(const struct bb_config *config, enum bb_option_id id, char *ret,
                       size_t size);

/* The settings as a file that would give them, with where each comes from. */
void bb_config_print(const struct bb_config *config, FILE *file);
/* "data=/dev/x index=/dev/y append-only=no": one section in a line. Returns ret. */
char *bb_config_line(const struct bb_config *config, const char *section, char *ret, size_t size);
/* {"file":..,"store":..,"settings":[{"section":..,"name":..,"value":..,"origin":..,"reload":..}]}
 * and a newline. Bytes written; the buffer has BB_CONFIG_PAGE_MAX. */
size_t bb_config_json(const struct bb_config *config, char *ret);

#endif
