/* SPDX-License-Identifier: Apache-2.0
 * The table of settings as data, and what can be said about one value. Pure; any thread. */
#include "bb/option.h"

#include "bb/text.h"

#include <string.h>

#define HELP_COLUMN 28
#define HELP_WIDTH 100

/* clang-format off */
#define OPTION(id, section, name, kind, argument, by_default, min, max, reload, help)              \
    [BB_OPTION_##id] = {section, name, BB_OPTION_##kind, argument, by_default, min, max,           \
                        BB_OPTION_##reload, help},
#define FLAG(name, argument, help) {name, argument, help},
/* clang-format on */
const struct bb_option bb_options[] = {BB_OPTIONS(OPTION)};
const struct bb_flag bb_flags[] = {BB_FLAGS(FLAG){NULL, NULL, NULL}};
#undef OPTION
#undef FLAG

static const char *const kind_names[] = {
    [BB_OPTION_PATH] = "path",     [BB_OPTION_LIST] = "list", [BB_OPTION_COUNT] = "count",
    [BB_OPTION_SIZE] = "size",     [BB_OPTION_TIME] = "time", [BB_OPTION_YESNO] = "yesno",
    [BB_OPTION_CHOICE] = "choice",
};

enum bb_option_id bb_option_find(const char *name)
{
    int id = 0;
    while (id < BB_OPTION_END && strcmp(bb_options[id].name, name) != 0)
        id++;
    return (enum bb_option_id)id;
}

static bool is_auto(const struct bb_option *option)
{
    return strcmp(option->by_default, "auto") == 0 && option->kind != BB_OPTION_CHOICE;
}

/* Place of `text` in a list that is split at '|', -1: not in it. */
static int place_of(const char *list, const char *text)
{
    size_t len = strlen(text);
    for (int place = 0;; place++) {
        size_t word = strcspn(list, "|");
        if (word == len && memcmp(list, text, len) == 0)
            return place;
        if (list[word] == '\0')
            return -1;
        list += word + 1;
    }
}

bool bb_option_number(const struct bb_option *option, const char *text, uint64_t *ret_number)
{
    BB_ASSERT(option->kind != BB_OPTION_PATH && option->kind != BB_OPTION_LIST);
    uint64_t number = 0;
    bool ok = false;
    if (is_auto(option) && strcmp(text, "auto") == 0) {
        *ret_number = 0;
        return true;
    }
    switch (option->kind) {
    case BB_OPTION_COUNT:
        ok = bb_text_to_u64(text, &number);
        break;
    case BB_OPTION_SIZE:
        ok = bb_text_to_size(text, &number);
        break;
    case BB_OPTION_TIME:
        ok = bb_text_to_ms(text, &number);
        break;
    case BB_OPTION_YESNO:
        number = strcmp(text, "yes") == 0;
        ok = number == 1 || strcmp(text, "no") == 0;
        break;
    default:
        number = (uint64_t)place_of(option->argument, text);
        ok = number != (uint64_t)-1;
    }
    if (!ok || number < option->min || number > option->max)
        return false;
    *ret_number = number;
    return true;
}

/* "from 1 to 64", with the units of the kind; "of at least 24 MiB" without an upper end. */
static int print_bounds(const struct bb_option *option, char *ret, size_t size)
{
    char min[32];
    char max[32];
    if (option->kind == BB_OPTION_SIZE) {
        (void)bb_text_of_size(option->min, min, sizeof(min));
        (void)bb_text_of_size(option->max, max, sizeof(max));
    } else if (option->kind == BB_OPTION_TIME) {
        (void)bb_text_of_ms(option->min, min, sizeof(min));
        (void)bb_text_of_ms(option->max, max, sizeof(max));
    } else {
        (void)snprintf(min, sizeof(min), "%llu", (unsigned long long)option->min);
        (void)snprintf(max, sizeof(max), "%llu", (unsigned long long)option->max);
    }
    if (option->max == UINT64_MAX)
        return snprintf(ret, size, "of at least %s", min);
    return snprintf(ret, size, "from %s to %s", min, max);
}

char *bb_option_allowed(const struct bb_option *option, char *ret, size_t size)
{
    static const char *const forms[] = {
        [BB_OPTION_PATH] = "a path",
        [BB_OPTION_COUNT] = "a number",
        [BB_OPTION_SIZE] = "a size (4096, 8K, 1M)",
        [BB_OPTION_TIME] = "a time (500ms, 10s, 2min)",
    };
    char bounds[80];
    BB_ASSERT(size >= 16);
    switch (option->kind) {
    case BB_OPTION_COUNT:
    case BB_OPTION_SIZE:
    case BB_OPTION_TIME:
        (void)print_bounds(option, bounds, sizeof(bounds));
        (void)snprintf(ret, size, "%s %s%s", forms[option->kind], bounds,
                       is_auto(option) ? ", or auto" : "");
        break;
    case BB_OPTION_PATH:
        (void)snprintf(ret, size, "%s that begins with /", forms[option->kind]);
        break;
    case BB_OPTION_LIST:
        (void)snprintf(ret, size, "up to %llu of %s", (unsigned long long)option->max,
                       option->argument);
        break;
    default:
        (void)snprintf(ret, size, "%s", option->argument);
        for (char *at = strchr(ret, '|'); at != NULL; at = strchr(at, '|'))
            *at = '/';
    }
    return ret;
}

/* Two columns; the right one is folded. */
static void print_row(FILE *file, const char *name, const char *argument, const char *help,
                      const char *by_default)
{
    char right[400];
    int used = fprintf(file, "  --%s%s%s", name, argument != NULL ? " " : "",
                       argument != NULL ? argument : "");
    (void)snprintf(right, sizeof(right), by_default[0] != '\0' ? "%s (%s)" : "%s", help,
                   by_default);
    if (used >= HELP_COLUMN) {
        (void)fputc('\n', file);
        used = 0;
    }
    for (const char *at = right; *at != '\0';) {
        size_t len = strlen(at);
        if (len > HELP_WIDTH - HELP_COLUMN) {
            len = HELP_WIDTH - HELP_COLUMN;
            while (at[len] != ' ')
                len--;
        }
        (void)fprintf(file, "%*s%.*s\n", HELP_COLUMN - used, "", (int)len, at);
        used = 0;
        at += len;
        at += *at == ' ';
    }
}

void bb_option_print_help(FILE *file)
{
    const char *section = "";
    (void)fputs("usage: bbd [--config FILE] [--store UUID] [options]\n"
                "       bbd --data DEVICE --index DEVICE [options]\n\n",
                file);
    for (const struct bb_flag *flag = bb_flags; flag->name != NULL; flag++)
        if (flag->help != NULL)
            print_row(file, flag->name, flag->argument, flag->help, "");
    (void)fputs("\nEach of these is a key of the file too; a flag comes over the file:\n", file);
    for (int i = 0; i < BB_OPTION_END; i++) {
        const struct bb_option *option = &bb_options[i];
        if (strcmp(section, option->section) != 0)
            (void)fprintf(file, "\n[%s]\n", option->section);
        section = option->section;
        print_row(file, option->name, option->argument, option->help,
                  is_auto(option) ? "" : option->by_default);
    }
}

void bb_option_print_table(FILE *file)
{
    for (int i = 0; i < BB_OPTION_END; i++) {
        const struct bb_option *option = &bb_options[i];
        (void)fprintf(file, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", option->section, option->name,
                      kind_names[option->kind], option->argument, option->by_default,
                      option->reload == BB_OPTION_LIVE ? "live" : "restart", option->help);
    }
    for (const struct bb_flag *flag = bb_flags; flag->name != NULL; flag++)
        (void)fprintf(file, "-\t%s\tflag\t%s\t\trestart\t%s\n", flag->name,
                      flag->argument != NULL ? flag->argument : "",
                      flag->help != NULL ? flag->help : "-");
}
