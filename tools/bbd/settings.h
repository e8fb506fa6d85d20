/* SPDX-License-Identifier: Apache-2.0
 * From the command line to checked settings and tokens, at the start and again at each SIGHUP.
 * Owner: the main thread.
 */
#ifndef BBD_SETTINGS_H
#define BBD_SETTINGS_H

#include "bb/config.h"
#include "bb/log.h"
#include "bb/token.h"

struct bbd_settings {
    struct bb_config config;
    struct bb_tokens tokens;
    bool with_tokens;
    struct ssl_ctx_st *tls; /* of listen-tls, else NULL; for the server to keep, or to be closed */
    bool only_6_1;
    bool check_only; /* --check-config */
};

/* Reads flags, file and tokens; prints and ends the program for --help, --version and
 * --dump-options. False with a sentence of BB_CONFIG_SENTENCE_MAX bytes when anything is wrong. */
BB_MUST_USE bool bbd_settings_make(int argc, char **argv, struct bbd_settings *ret_settings,
                                   char *ret_sentence);
/* Reads the certificates, if something listens with TLS. False as above. One that has expired is
 * refused by a reload, which has another; a start logs a warning and serves: who trusts it no more
 * has the plain addresses. */
BB_MUST_USE bool bbd_settings_open_tls(struct bbd_settings *settings, bool start,
                                       char *ret_sentence);
/* What SIGHUP does not change stays as `running` has it, and is named in a warning. */
void bbd_settings_keep(struct bbd_settings *settings, const struct bbd_settings *running);
enum bb_log_level bbd_settings_log_level(const struct bbd_settings *settings);
/* One line for each section. */
void bbd_settings_log(const struct bbd_settings *settings);

#endif
