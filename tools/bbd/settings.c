/* SPDX-License-Identifier: Apache-2.0
 * The command line. Options come from the table of settings, so that none can be forgotten here.
 */
#include "bbd/settings.h"

#include "bb/err.h"
#include "bb/tls.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FLAG_FIRST 1000 /* values of getopt_long: settings are 0 and up, other flags from here */

enum flag {
    FLAG_CONFIG,
    FLAG_STORE,
    FLAG_CHECK,
    FLAG_DUMP,
    FLAG_ONLY_6_1,
    FLAG_VERSION,
    FLAG_HELP
};
#define FLAG_COUNT 7

struct line {
    const char *config, *store;
};

static void make_table(struct option *table)
{
    int at = 0;
    for (int id = 0; id < BB_OPTION_END; id++) {
        int argument =
            bb_options[id].kind == BB_OPTION_YESNO ? optional_argument : required_argument;
        table[at++] = (struct option){bb_options[id].name, argument, NULL, id};
    }
    for (int i = 0; bb_flags[i].name != NULL; i++)
        table[at++] = (struct option){
            bb_flags[i].name, bb_flags[i].argument != NULL ? required_argument : no_argument, NULL,
            FLAG_FIRST + i};
    BB_ASSERT(at == BB_OPTION_END + FLAG_COUNT);
    table[at] = (struct option){NULL, 0, NULL, 0};
}

static void take_flag(struct bbd_settings *settings, struct line *line, enum flag flag)
{
    switch (flag) {
    case FLAG_CONFIG:
        line->config = optarg;
        break;
    case FLAG_STORE:
        line->store = optarg;
        break;
    case FLAG_CHECK:
        settings->check_only = true;
        break;
    case FLAG_DUMP:
        bb_option_print_table(stdout);
        exit(BB_EXIT_OK);
    case FLAG_ONLY_6_1:
        settings->only_6_1 = true;
        break;
    case FLAG_VERSION:
        (void)puts("bbd " BB_VERSION);
        exit(BB_EXIT_OK);
    case FLAG_HELP:
        bb_option_print_help(stdout);
        exit(BB_EXIT_OK);
    }
}

static bool read_line(int argc, char **argv, struct bbd_settings *settings, struct line *line,
                      char *ret_sentence)
{
    struct option table[BB_OPTION_END + FLAG_COUNT + 1];
    make_table(table);
    opterr = 0;
    optind = 0; /* from the start again */
    for (int option; (option = getopt_long(argc, argv, ":", table, NULL)) != -1;) {
        if (option == '?' || option == ':') {
            (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX,
                           "%.300s: not an option, or its value is missing or not wanted",
                           argv[optind - 1]);
            return false;
        }
        if (option >= FLAG_FIRST)
            take_flag(settings, line, (enum flag)(option - FLAG_FIRST));
        else if (!bb_config_flag(&settings->config, (enum bb_option_id)option,
                                 optarg != NULL ? optarg : "yes", ret_sentence))
            return false;
    }
    if (optind == argc)
        return true;
    (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX, "%.300s: nothing is expected there",
                   argv[optind]);
    return false;
}

static bool read_tokens(struct bbd_settings *settings, char *ret_sentence)
{
    const char *path = bb_config_text(&settings->config, BB_OPTION_TOKENS);
    settings->with_tokens = path != NULL;
    return path == NULL ||
           bb_tokens_read(path, &settings->tokens, ret_sentence, BB_CONFIG_SENTENCE_MAX);
}

bool bbd_settings_open_tls(struct bbd_settings *settings, bool start, char *ret_sentence)
{
    const struct bb_tls_files files = {
        .certificate = bb_config_text(&settings->config, BB_OPTION_TLS_CERTIFICATE),
        .key = bb_config_text(&settings->config, BB_OPTION_TLS_KEY),
        .client_ca = bb_config_text(&settings->config, BB_OPTION_TLS_CLIENT_CA),
        .expired_too = start,
    };
    if (bb_config_text(&settings->config, BB_OPTION_LISTEN_TLS) == NULL)
        return true;
    if (!bb_tls_context_open(&files, &settings->tls, ret_sentence, BB_CONFIG_SENTENCE_MAX))
        return false;
    if (bb_tls_context_expires(settings->tls) <= time(NULL))
        bb_log(BB_LOG_WARNING, "%s: the certificate has expired, get a new one and reload",
               files.certificate);
    return true;
}

bool bbd_settings_make(int argc, char **argv, struct bbd_settings *ret_settings, char *ret_sentence)
{
    struct line line = {.config = NULL};
    memset(ret_settings, 0, sizeof(*ret_settings));
    bb_config_init(&ret_settings->config);
    if (!read_line(argc, argv, ret_settings, &line, ret_sentence))
        return false;
    bool devices = bb_config_text(&ret_settings->config, BB_OPTION_DATA) != NULL ||
                   bb_config_text(&ret_settings->config, BB_OPTION_INDEX) != NULL;
    /* a bare `bbd --data A --index B` is the same on every machine */
    bool needed = line.store != NULL || ret_settings->check_only;
    if (line.config == NULL && !devices && (needed || access(BB_CONFIG_PATH, F_OK) == 0))
        line.config = BB_CONFIG_PATH;
    if (line.config == NULL && line.store != NULL) {
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX,
                       "--store: %.100s is looked up in a file; name it with --config", line.store);
        return false;
    }
    if (line.config != NULL &&
        !bb_config_read(&ret_settings->config, line.config, line.store, ret_sentence))
        return false;
    return bb_config_check(&ret_settings->config, ret_sentence) &&
           read_tokens(ret_settings, ret_sentence);
}

void bbd_settings_keep(struct bbd_settings *settings, const struct bbd_settings *running)
{
    for (int i = 0; i < BB_OPTION_END; i++) {
        enum bb_option_id id = (enum bb_option_id)i;
        if (bb_options[id].reload == BB_OPTION_LIVE ||
            bb_config_same(&settings->config, &running->config, id))
            continue;
        bb_log(BB_LOG_WARNING, "reload: %s needs a restart to change, it stays as it was",
               bb_options[id].name);
        bb_config_keep(&settings->config, &running->config, id);
    }
}

enum bb_log_level bbd_settings_log_level(const struct bbd_settings *settings)
{
    static const enum bb_log_level levels[] = {BB_LOG_ERROR, BB_LOG_WARNING, BB_LOG_INFO,
                                               BB_LOG_DEBUG};
    uint64_t place = bb_config_number(&settings->config, BB_OPTION_LOG_LEVEL);
    BB_ASSERT(place < sizeof(levels) / sizeof(levels[0]));
    return levels[place];
}

void bbd_settings_log(const struct bbd_settings *settings)
{
    const char *section = "";
    char line[800];
    for (int id = 0; id < BB_OPTION_END; id++) {
        if (strcmp(section, bb_options[id].section) == 0)
            continue;
        section = bb_options[id].section;
        bb_log(BB_LOG_INFO, "config section=%s %s", section,
               bb_config_line(&settings->config, section, line, sizeof(line)));
    }
    if (settings->with_tokens)
        bb_log(BB_LOG_INFO, "access tokens=%u", settings->tokens.count);
}
