/* SPDX-License-Identifier: Apache-2.0
 * Settings and what sets them. See config.h; the file is read in configfile.c.
 */
#include "bb/config.h"

#include "bb/listen.h"
#include "bb/text.h"
#include "configfile.h"

#include <string.h>

#define WORD_MAX 128

/* ---- single values ---- */

static bool host_ok(const char *word)
{
    for (const char *at = word; *at != '\0'; at++) {
        bool ok = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                  (*at >= '0' && *at <= '9') || *at == '-' || *at == '.' || *at == '_';
        if (!ok)
            return false;
    }
    return true;
}

bool bb_config_next(const char **cursor, char *ret_word, size_t size)
{
    const char *at = *cursor;
    if (at == NULL)
        return false;
    at += strspn(at, " \t,");
    size_t len = strcspn(at, " \t,");
    if (len == 0)
        return false;
    (void)snprintf(ret_word, size, "%.*s", (int)len, at);
    *cursor = at + len;
    return true;
}

/* Whether each word of a list is allowed; the first that is not goes to ret_word. */
static bool list_ok(enum bb_option_id id, const char *text, char *ret_word, size_t size)
{
    struct bb_listener listener;
    uint64_t count = 0;
    while (bb_config_next(&text, ret_word, size)) {
        bool ok = id == BB_OPTION_HOST ? host_ok(ret_word) : bb_listener_parse(ret_word, &listener);
        if (id == BB_OPTION_LISTEN_TLS && ok && listener.local)
            ok = false; /* who is there knows its peer already */
        if (!ok || ++count > bb_options[id].max)
            return false;
    }
    return true;
}

bool bb_config_value_ok(enum bb_option_id id, const char *text, bool in_file, char *ret_sentence)
{
    const struct bb_option *option = &bb_options[id];
    char allowed[160];
    char word[WORD_MAX];
    uint64_t number;
    bool ok;
    (void)snprintf(word, sizeof(word), "%s", text);
    if (option->kind == BB_OPTION_PATH)
        ok = text[0] == '/' || (!in_file && text[0] != '\0');
    else if (option->kind == BB_OPTION_LIST)
        ok = text[strspn(text, " \t,")] != '\0' && list_ok(id, text, word, sizeof(word));
    else
        ok = bb_option_number(option, text, &number);
    if (!ok)
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX, "%s: \"%s\"; allowed: %s%s",
                       option->name, word, bb_option_allowed(option, allowed, sizeof(allowed)),
                       id == BB_OPTION_LISTEN || id == BB_OPTION_LISTEN_TLS ? " with a numeric ADDR"
                                                                            : "");
    return ok;
}

/* ---- storing ---- */

bool bb_config_put(struct bb_config *config, enum bb_option_id id, const char *text,
                   const struct bb_setting *setting, bool append)
{
    struct bb_setting *slot = &config->settings[id];
    const char *old = append ? config->texts + slot->text : "";
    size_t room = sizeof(config->texts) - config->texts_len;
    if (slot->source > setting->source)
        return true;
    int len = snprintf(config->texts + config->texts_len, room, "%s%s%s", old,
                       old[0] != '\0' ? " " : "", text);
    if (len < 0 || (size_t)len >= room)
        return false;
    *slot = *setting;
    slot->text = config->texts_len;
    config->texts_len += (uint32_t)len + 1;
    slot->number = 0;
    const struct bb_option *option = &bb_options[id];
    if (option->kind != BB_OPTION_PATH && option->kind != BB_OPTION_LIST)
        BB_ASSERT(bb_option_number(option, text, &slot->number));
    return true;
}

void bb_config_init(struct bb_config *config)
{
    memset(config, 0, sizeof(*config));
    for (int id = 0; id < BB_OPTION_END; id++) {
        const struct bb_setting setting = {.source = BB_CONFIG_DEFAULT};
        bool put = bb_config_put(config, (enum bb_option_id)id, bb_options[id].by_default, &setting,
                                 false);
        BB_ASSERT(put);
    }
}

bool bb_config_flag(struct bb_config *config, enum bb_option_id id, const char *value,
                    char *ret_sentence)
{
    BB_ASSERT(id < BB_OPTION_END);
    const struct bb_setting setting = {.source = BB_CONFIG_FLAG};
    char sentence[BB_CONFIG_SENTENCE_MAX];
    if (!bb_config_value_ok(id, value, false, sentence)) {
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX, "--%.500s", sentence);
        return false;
    }
    bool append =
        bb_options[id].kind == BB_OPTION_LIST && config->settings[id].source == BB_CONFIG_FLAG;
    if (bb_config_put(config, id, value, &setting, append))
        return true;
    (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX,
                   "--%s: the settings are longer than %u "
                   "bytes; shorten the lists",
                   bb_options[id].name, BB_CONFIG_TEXT_MAX);
    return false;
}

/* ---- looking ---- */

uint64_t bb_config_number(const struct bb_config *config, enum bb_option_id id)
{
    BB_ASSERT(id < BB_OPTION_END);
    return config->settings[id].number;
}

const char *bb_config_text(const struct bb_config *config, enum bb_option_id id)
{
    BB_ASSERT(id < BB_OPTION_END);
    const char *text = config->texts + config->settings[id].text;
    return text[0] != '\0' ? text : NULL;
}

bool bb_config_same(const struct bb_config *a, const struct bb_config *b, enum bb_option_id id)
{
    return strcmp(a->texts + a->settings[id].text, b->texts + b->settings[id].text) == 0;
}

void bb_config_keep(struct bb_config *config, const struct bb_config *running, enum bb_option_id id)
{
    const struct bb_setting setting = running->settings[id];
    config->settings[id].source = BB_CONFIG_DEFAULT;
    bool put = bb_config_put(config, id, running->texts + setting.text, &setting, false);
    BB_ASSERT(put);
}

char *bb_config_origin(const struct bb_config *config, enum bb_option_id id, char *ret, size_t size)
{
    const struct bb_setting *setting = &config->settings[id];
    if (setting->source == BB_CONFIG_DEFAULT)
        (void)snprintf(ret, size, "default");
    else if (setting->source == BB_CONFIG_FLAG)
        (void)snprintf(ret, size, "--%s", bb_options[id].name);
    else
        (void)snprintf(ret, size, "%s:%u", config->path, setting->line);
    return ret;
}

/* ---- as a whole ---- */

static bool refuse_devices(const struct bb_config *config, char *ret_sentence)
{
    if (config->path[0] != '\0')
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX,
                       "%s: no data or no index device; name both under [store], with --data and "
                       "--index, or a [store UUID] of the file with --store UUID",
                       config->path);
    else
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX, "--data and --index are needed");
    return false;
}

static bool check_listeners(const struct bb_config *config, enum bb_option_id id,
                            char *ret_sentence)
{
    const char *cursor = bb_config_text(config, id);
    char word[WORD_MAX];
    char origin[320];
    struct bb_listener listener;
    while (bb_config_next(&cursor, word, sizeof(word))) {
        bool parsed = bb_listener_parse(word, &listener);
        BB_ASSERT(parsed);
        if (listener.loopback)
            continue;
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX,
                       "%s: %s: %s is not loopback and there are no tokens; make some "
                       "(--tokens FILE), or say --auth none if everybody who reaches it may read, "
                       "write and delete",
                       bb_config_origin(config, id, origin, sizeof(origin)), bb_options[id].name,
                       word);
        return false;
    }
    return true;
}

static bool check_tls(const struct bb_config *config, char *ret_sentence)
{
    static const enum bb_option_id needed[] = {BB_OPTION_TLS_CERTIFICATE, BB_OPTION_TLS_KEY};
    char origin[320];
    if (bb_config_text(config, BB_OPTION_LISTEN_TLS) == NULL)
        return true;
    for (int i = 0; i < 2; i++) {
        if (bb_config_text(config, needed[i]) != NULL)
            continue;
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX,
                       "%s: listen-tls needs a certificate and its key; name %s",
                       bb_config_origin(config, BB_OPTION_LISTEN_TLS, origin, sizeof(origin)),
                       bb_options[needed[i]].name);
        return false;
    }
    return true;
}

bool bb_config_check(const struct bb_config *config, char *ret_sentence)
{
    bool tokens = bb_config_text(config, BB_OPTION_TOKENS) != NULL;
    bool none = bb_config_number(config, BB_OPTION_AUTH) == 1;
    char origin[320];
    if (bb_config_text(config, BB_OPTION_DATA) == NULL ||
        bb_config_text(config, BB_OPTION_INDEX) == NULL)
        return refuse_devices(config, ret_sentence);
    if (tokens && none) {
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX,
                       "%s: auth: none, but there is a file of tokens; leave one of the two away",
                       bb_config_origin(config, BB_OPTION_AUTH, origin, sizeof(origin)));
        return false;
    }
    return check_tls(config, ret_sentence) &&
           (tokens || none ||
            (check_listeners(config, BB_OPTION_LISTEN, ret_sentence) &&
             check_listeners(config, BB_OPTION_LISTEN_TLS, ret_sentence)));
}

/* ---- showing ---- */

void bb_config_print(const struct bb_config *config, FILE *file)
{
    const char *section = "";
    char origin[320];
    for (int i = 0; i < BB_OPTION_END; i++) {
        enum bb_option_id id = (enum bb_option_id)i;
        const struct bb_option *option = &bb_options[id];
        const char *text = bb_config_text(config, id);
        if (strcmp(section, option->section) != 0)
            (void)fprintf(file, "%s[%s]\n", section[0] != '\0' ? "\n" : "", option->section);
        section = option->section;
        if (text == NULL)
            (void)fprintf(file, "# %s is not set\n", option->name);
        else
            (void)fprintf(file, "%s = %s ; %s\n", option->name, text,
                          bb_config_origin(config, id, origin, sizeof(origin)));
    }
}

char *bb_config_line(const struct bb_config *config, const char *section, char *ret, size_t size)
{
    size_t len = 0;
    ret[0] = '\0';
    for (int i = 0; i < BB_OPTION_END; i++) {
        const char *text = bb_config_text(config, (enum bb_option_id)i);
        if (strcmp(bb_options[i].section, section) != 0 || text == NULL)
            continue;
        bool quote = strpbrk(text, " \t") != NULL;
        int more = snprintf(ret + len, size - len, "%s%s=%s%s%s", len > 0 ? " " : "",
                            bb_options[i].name, quote ? "\"" : "", text, quote ? "\"" : "");
        BB_ASSERT(more > 0);
        len += (size_t)more;
        if (len >= size)
            break;
    }
    return ret;
}

struct page {
    char *at;
    size_t len;
};

static void add(struct page *page, const char *text)
{
    size_t len = strlen(text);
    if (page->len + len < BB_CONFIG_PAGE_MAX)
        memcpy(page->at + page->len, text, len + 1);
    page->len += len;
}

/* A JSON string; what JSON would need escaped comes in as itself or not at all: settings have no
 * control bytes. */
static void add_string(struct page *page, const char *before, const char *text)
{
    char byte[2] = {0};
    add(page, before);
    add(page, "\"");
    for (; text != NULL && *text != '\0'; text++) {
        byte[0] = *text;
        if (*text == '"' || *text == '\\')
            add(page, "\\");
        add(page, (unsigned char)*text < 0x20 ? "?" : byte);
    }
    add(page, "\"");
}

size_t bb_config_json(const struct bb_config *config, char *ret)
{
    struct page page = {.at = ret};
    char origin[320];
    add_string(&page, "{\"file\":", config->path);
    add_string(&page, ",\"store\":", config->store);
    add(&page, ",\"settings\":[");
    for (int i = 0; i < BB_OPTION_END; i++) {
        enum bb_option_id id = (enum bb_option_id)i;
        const struct bb_option *option = &bb_options[id];
        add_string(&page, i == 0 ? "{\"section\":" : ",{\"section\":", option->section);
        add_string(&page, ",\"name\":", option->name);
        add_string(&page, ",\"value\":", bb_config_text(config, id));
        add_string(&page, ",\"origin\":", bb_config_origin(config, id, origin, sizeof(origin)));
        add_string(&page, ",\"reload\":", option->reload == BB_OPTION_LIVE ? "live" : "restart");
        add(&page, "}");
    }
    add(&page, "]}\n");
    BB_ASSERT(page.len < BB_CONFIG_PAGE_MAX);
    return page.len;
}
