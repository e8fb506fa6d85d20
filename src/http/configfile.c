/* SPDX-License-Identifier: Apache-2.0
 * The file of settings. libinih splits lines into names and values; sections and line numbers are
 * kept here, because its version in Debian 12 hands out neither a section without keys nor numbers,
 * and silently cuts lines longer than its buffer. It is fed line by line.
 */
#include "configfile.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

#define LINE_MAX_SIZE 200 /* of libinih, with newline and terminator */
#define UUID_LEN 36

enum place {
    PLACE_NONE,    /* before the first section */
    PLACE_GENERAL, /* [store], [server], ... */
    PLACE_MINE,    /* [store UUID] of --store */
    PLACE_OTHER,   /* [store UUID] of another */
};

struct reading {
    struct bb_config *config;
    const char *store; /* of --store, or NULL */
    FILE *file;
    char *sentence;
    bool failed;
    unsigned line;
    bool indented;
    enum place place;
    char section[16];
    enum bb_option_id previous; /* whose value an indented line continues */
    unsigned general_seen[BB_OPTION_END], store_seen[BB_OPTION_END]; /* lines */
    char stores[BB_CONFIG_STORE_MAX][UUID_LEN + 1];
    unsigned store_count;
    bool mine_found;
};

static void refuse(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void refuse(struct reading *reading, const char *format, ...)
{
    if (reading->failed) /* the first one counts */
        return;
    reading->failed = true;
    va_list arguments;
    va_start(arguments, format);
    int len = snprintf(reading->sentence, BB_CONFIG_SENTENCE_MAX, "%s:%u: ", reading->config->path,
                       reading->line);
    BB_ASSERT(len > 0 && (size_t)len < BB_CONFIG_SENTENCE_MAX);
    (void)vsnprintf(reading->sentence + len, BB_CONFIG_SENTENCE_MAX - (size_t)len, format,
                    arguments);
    va_end(arguments);
}

/* ---- sections ---- */

static bool uuid_ok(const char *text)
{
    if (strlen(text) != UUID_LEN)
        return false;
    for (int i = 0; i < UUID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : strchr("0123456789abcdef", text[i]) == NULL)
            return false;
    }
    return true;
}

static void begin_store(struct reading *reading, const char *uuid)
{
    if (!uuid_ok(uuid)) {
        refuse(reading,
               "section [store %s]; allowed: the UUID of a store, 36 characters in lower "
               "case, as bbformat prints it",
               uuid);
        return;
    }
    for (unsigned i = 0; i < reading->store_count; i++) {
        if (strcmp(reading->stores[i], uuid) == 0) {
            refuse(reading, "section [store %s] for the second time; allowed: once", uuid);
            return;
        }
    }
    if (reading->store_count == BB_CONFIG_STORE_MAX) {
        refuse(reading, "one more [store UUID]; allowed: %d", BB_CONFIG_STORE_MAX);
        return;
    }
    memcpy(reading->stores[reading->store_count++], uuid, UUID_LEN + 1);
    bool mine = reading->store != NULL && strcmp(reading->store, uuid) == 0;
    reading->place = mine ? PLACE_MINE : PLACE_OTHER;
    reading->mine_found = reading->mine_found || mine;
    memset(reading->store_seen, 0, sizeof(reading->store_seen));
}

/* `line` begins with '['. */
static void begin_section(struct reading *reading, char *line)
{
    char *end = strchr(line, ']');
    reading->previous = BB_OPTION_END;
    if (end == NULL) {
        refuse(reading, "\"%s\"; allowed: [SECTION]", line);
        return;
    }
    *end = '\0';
    const char *name = line + 1;
    const char *behind = end + 1 + strspn(end + 1, " \t");
    if (*behind != '\0' && *behind != ';' && *behind != '#') {
        refuse(reading, "\"%s\" behind a section; allowed: nothing", behind);
        return;
    }
    if (strncmp(name, "store ", 6) == 0) {
        begin_store(reading, name + 6 + strspn(name + 6, " \t"));
        return;
    }
    for (int i = 0; i < BB_OPTION_END; i++) {
        if (strcmp(bb_options[i].section, name) == 0) {
            (void)snprintf(reading->section, sizeof(reading->section), "%s", bb_options[i].section);
            reading->place = PLACE_GENERAL;
            return;
        }
    }
    refuse(reading, "unknown section [%s]; allowed: store, server, limits, log, store UUID", name);
}

/* ---- keys ---- */

static bool place_ok(struct reading *reading, const struct bb_option *option)
{
    if (reading->place == PLACE_NONE) {
        refuse(reading, "key %s before any section; allowed: under [%s]", option->name,
               option->section);
        return false;
    }
    if (reading->place == PLACE_GENERAL && strcmp(option->section, reading->section) != 0) {
        refuse(reading, "key %s under [%s]; allowed: under [%s]", option->name, reading->section,
               option->section);
        return false;
    }
    return true;
}

static void unknown_key(struct reading *reading, const char *name)
{
    char keys[300] = "";
    size_t len = 0;
    for (int i = 0; i < BB_OPTION_END && len < sizeof(keys); i++) {
        if (reading->place == PLACE_GENERAL && strcmp(bb_options[i].section, reading->section) == 0)
            len += (size_t)snprintf(keys + len, sizeof(keys) - len, "%s%s", len > 0 ? ", " : "",
                                    bb_options[i].name);
    }
    if (len > 0)
        refuse(reading, "unknown key %s; allowed under [%s]: %s", name, reading->section, keys);
    else
        refuse(reading, "unknown key %s; allowed: those of bbd --help", name);
}

/* The line of an earlier value of this key in this section, else 0; notes this one. */
static unsigned seen_before(struct reading *reading, enum bb_option_id id)
{
    unsigned *seen = reading->place == PLACE_GENERAL ? reading->general_seen : reading->store_seen;
    unsigned before = seen[id];
    seen[id] = reading->line;
    return before;
}

static void take_value(struct reading *reading, enum bb_option_id id, const char *value, bool more)
{
    char sentence[BB_CONFIG_SENTENCE_MAX];
    if (!bb_config_value_ok(id, value, true, sentence)) {
        refuse(reading, "%s", sentence);
        return;
    }
    if (reading->place == PLACE_OTHER)
        return;
    const struct bb_setting setting = {
        .source = reading->place == PLACE_MINE ? BB_CONFIG_STORE : BB_CONFIG_FILE,
        .line = reading->line,
    };
    if (!bb_config_put(reading->config, id, value, &setting, more))
        refuse(reading, "the settings are longer than %u bytes; shorten the lists",
               BB_CONFIG_TEXT_MAX);
}

static int on_pair(void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;
    (void)section; /* ours knows more */
    if (reading->failed)
        return 1;
    bool more = reading->indented && reading->previous != BB_OPTION_END;
    if (more && bb_options[reading->previous].kind != BB_OPTION_LIST) {
        refuse(reading,
               "an indented line goes on with %s, which is no list; allowed: a line "
               "without blanks before it",
               name);
        return 1;
    }
    enum bb_option_id id = bb_option_find(name);
    if (id == BB_OPTION_END) {
        unknown_key(reading, name);
        return 1;
    }
    if (!place_ok(reading, &bb_options[id]))
        return 1;
    unsigned before = more ? 0 : seen_before(reading, id);
    if (before != 0) {
        refuse(reading, "key %s for the second time, first in line %u; allowed: once", name,
               before);
        return 1;
    }
    reading->previous = id;
    take_value(reading, id, value, more);
    return 1;
}

/* ---- lines ---- */

/* Reader of libinih: one line with its newline, or NULL. */
static char *next_line(char *line, int size, void *context)
{
    struct reading *reading = context;
    BB_ASSERT(size >= LINE_MAX_SIZE);
    if (reading->failed || fgets(line, size, reading->file) == NULL)
        return NULL;
    reading->line++;
    size_t len = strlen(line);
    bool whole = len > 0 && line[len - 1] == '\n';
    if (!whole && !feof(reading->file)) {
        refuse(reading,
               "a line of more than %d bytes; allowed: fewer, lists go on in indented "
               "lines",
               LINE_MAX_SIZE - 2);
        return NULL;
    }
    for (size_t i = 0; i + whole < len; i++) {
        if (((unsigned char)line[i] < ' ' && line[i] != '\t' && line[i] != '\r') ||
            line[i] == 0x7f) {
            refuse(reading, "a control byte; allowed: text");
            return NULL;
        }
    }
    const char *start = line + strspn(line, " \t");
    reading->indented = start != line;
    if (*start == '[') {
        char copy[LINE_MAX_SIZE];
        (void)snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(start, "\r\n"), start);
        begin_section(reading, copy);
        (void)snprintf(line, (size_t)size, "[section]\n"); /* ours has read it */
    }
    return line;
}

static bool read_lines(struct reading *reading)
{
    int wrong = ini_parse_stream(next_line, reading, on_pair, reading);
    if (reading->failed)
        return false;
    if (wrong != 0) {
        reading->line = wrong > 0 ? (unsigned)wrong : reading->line;
        refuse(reading, "neither [SECTION] nor KEY = VALUE nor a comment; allowed: those");
        return false;
    }
    if (reading->store != NULL && !reading->mine_found) {
        (void)snprintf(reading->sentence, BB_CONFIG_SENTENCE_MAX,
                       "%s: no section [store %s]; add that line to serve this store",
                       reading->config->path, reading->store);
        return false;
    }
    return true;
}

static void name_devices(struct bb_config *config, const char *store)
{
    static const struct {
        enum bb_option_id id;
        const char *suffix;
    } halves[] = {{BB_OPTION_DATA, "data"}, {BB_OPTION_INDEX, "index"}};
    for (int i = 0; i < 2; i++) {
        const struct bb_setting setting = {.source = BB_CONFIG_FILE};
        char path[100];
        /* a device under [store] is that of the store without a name */
        if (config->settings[halves[i].id].source >= BB_CONFIG_STORE)
            continue;
        (void)snprintf(path, sizeof(path), "/dev/disk/by-buddyblocks/%s-%s", store,
                       halves[i].suffix);
        bool put = bb_config_put(config, halves[i].id, path, &setting, false);
        BB_ASSERT(put);
    }
}

bool bb_config_read(struct bb_config *config, const char *path, const char *store,
                    char *ret_sentence)
{
    struct reading reading = {
        .config = config, .store = store, .sentence = ret_sentence, .previous = BB_OPTION_END};
    if (strlen(path) >= sizeof(config->path) || (store != NULL && !uuid_ok(store))) {
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX, "\"%.200s\"; allowed: %s",
                       store != NULL ? store : path,
                       store != NULL ? "the UUID of a store, 36 characters in lower case"
                                     : "a path of at most 255 bytes");
        return false;
    }
    (void)snprintf(config->path, sizeof(config->path), "%s", path);
    (void)snprintf(config->store, sizeof(config->store), "%s", store != NULL ? store : "");
    reading.file = fopen(path, "re");
    if (reading.file == NULL) {
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX, "%s: %s", path, strerror(errno));
        return false;
    }
    bool ok = read_lines(&reading);
    if (ok && ferror(reading.file)) { /* a directory, say */
        (void)snprintf(ret_sentence, BB_CONFIG_SENTENCE_MAX, "%s: cannot be read", path);
        ok = false;
    }
    (void)fclose(reading.file);
    if (ok && store != NULL)
        name_devices(config, store);
    return ok;
}
