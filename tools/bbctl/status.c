/* SPDX-License-Identifier: Apache-2.0
 * bbctl status, space and config: what the daemon says about itself, as tables. With --json its
 * object goes out as it came (status, config) or the part that was asked for (space).
 *
 * The daemon leaves out what it does not know yet, while it recovers; so does the table.
 */
#include "bb/text.h"
#include "bbctl/command.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDENT 2

int bb_ctl_object(const struct bb_ctl_options *options, const char *target, json_t **ret_object)
{
    struct bb_ctl_client client;
    struct bb_ctl_reply reply;
    json_error_t where;
    int code = bb_ctl_connect(options, &client);
    if (code != BB_CTL_OK)
        return code;
    int error = bb_ctl_client_get(&client, target, &reply);
    bb_ctl_client_close(&client);
    if (error != 0) {
        bb_ctl_complain("no answer: %s", strerror(-error));
        return BB_CTL_FAILED;
    }
    if (reply.status != 200) {
        code = bb_ctl_refused(&reply);
        free(reply.body);
        return code;
    }
    json_t *object = json_loadb(reply.body, reply.len, 0, &where);
    free(reply.body);
    if (!json_is_object(object)) {
        bb_ctl_complain("%s is no JSON object: %s", target, where.text);
        json_decref(object);
        return BB_CTL_FAILED;
    }
    *ret_object = object;
    return BB_CTL_OK;
}

static void print_json(json_t *object)
{
    (void)json_dumpf(object, stdout, JSON_INDENT(INDENT));
    (void)fputc('\n', stdout);
}

/* ---- rows ---- */

/* The value at "a.b"; NULL when it is not there. */
static json_t *find(json_t *object, const char *path)
{
    char name[64];
    while (object != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");
        (void)snprintf(name, sizeof(name), "%.*s", (int)len, path);
        object = json_object_get(object, name);
        path += path[len] == '.' ? len + 1 : len;
    }
    return object;
}

static uint64_t number(json_t *object, const char *path)
{
    return (uint64_t)json_integer_value(find(object, path));
}

static void row(const char *name, const char *value)
{
    printf("%-22s %s\n", name, value);
}

static void row_text(json_t *object, const char *name, const char *path)
{
    const char *text = json_string_value(find(object, path));
    if (text != NULL && text[0] != '\0')
        row(name, text);
}

static void row_number(json_t *object, const char *name, const char *path)
{
    if (json_is_integer(find(object, path)))
        printf("%-22s %llu\n", name, (unsigned long long)number(object, path));
}

static void row_size(json_t *object, const char *name, const char *path)
{
    char size[32];
    if (json_is_integer(find(object, path)))
        row(name, bb_text_of_size(number(object, path), size, sizeof(size)));
}

static void row_share(json_t *object, const char *name, const char *path, uint64_t all)
{
    char size[32];
    if (json_is_integer(find(object, path)) && all > 0)
        printf("%-22s %s (%.1f %%)\n", name,
               bb_text_of_size(number(object, path), size, sizeof(size)),
               100.0 * (double)number(object, path) / (double)all);
}

static void row_part(json_t *object, const char *name, const char *part, const char *whole)
{
    if (json_is_integer(find(object, part)) && number(object, whole) > 0)
        printf("%-22s %llu of %llu (%.1f %%)\n", name, (unsigned long long)number(object, part),
               (unsigned long long)number(object, whole),
               100.0 * (double)number(object, part) / (double)number(object, whole));
}

static void row_uptime(json_t *object)
{
    uint64_t seconds = number(object, "uptime_ms") / 1000;
    printf("%-22s %llu d %02llu:%02llu:%02llu\n", "uptime", (unsigned long long)(seconds / 86400),
           (unsigned long long)(seconds / 3600 % 24), (unsigned long long)(seconds / 60 % 60),
           (unsigned long long)(seconds % 60));
}

/* ---- status ---- */

static void print_status(json_t *object)
{
    row_text(object, "state", "state");
    row_text(object, "detail", "detail");
    row_text(object, "version", "version");
    row_uptime(object);
    row_text(object, "store", "store.uuid");
    row_text(object, "label", "store.label");
    row_text(object, "data device", "data");
    row_text(object, "index device", "index");
    row_number(object, "blocks", "blocks");
    row_share(object, "space used", "space.used", number(object, "space.total"));
    row_part(object, "journal units", "journal.used_units", "journal.units");
    row_part(object, "not yet in the index", "delta.items", "delta.max");
    row_number(object, "room in the index", "delta.index_room");
    row_number(object, "marked corrupt", "engine.marks");
    row_part(object, "connections", "connections.open", "connections.max");
    row_number(object, "workers", "workers");
    row_size(object, "memory", "memory.limit");
    json_t *clean = find(object, "recovery.clean");
    if (clean != NULL) {
        row("last stop", json_is_true(clean) ? "clean" : "not clean, recovered");
        row_number(object, "dropped at recovery", "recovery.dropped");
    }
}

int bb_ctl_status(const struct bb_ctl_options *options, char **words)
{
    json_t *object;
    (void)words;
    int code = bb_ctl_object(options, "/status", &object);
    if (code != BB_CTL_OK)
        return code;
    if (options->json)
        print_json(object);
    else
        print_status(object);
    const char *state = json_string_value(find(object, "state"));
    code = state != NULL && strcmp(state, "ready") == 0 ? BB_CTL_OK : BB_CTL_DEGRADED;
    json_decref(object);
    return code;
}

/* ---- space ---- */

static void print_space(json_t *object)
{
    uint64_t all = number(object, "space.total");
    row_size(object, "data space, open zones", "space.total");
    row_share(object, "used", "space.used", all);
    row_share(object, "free", "space.free", all);
    row_share(object, "quarantined", "space.quarantined", all);
    row_size(object, "largest free extent", "space.largest_free");
    row_part(object, "zones open", "space.zones_open", "space.zones");
    row_number(object, "blocks", "blocks");
    row_number(object, "room in the index", "delta.index_room");
    json_t *orders = find(object, "space.free_by_order");
    size_t index;
    json_t *count;
    json_array_foreach(orders, index, count)
    {
        char size[32], name[64];
        (void)snprintf(name, sizeof(name), "free extents of %s",
                       bb_text_of_size((uint64_t)4096 << index, size, sizeof(size)));
        printf("%-22s %llu\n", name, (unsigned long long)json_integer_value(count));
    }
}

int bb_ctl_space(const struct bb_ctl_options *options, char **words)
{
    json_t *object;
    (void)words;
    int code = bb_ctl_object(options, "/status", &object);
    if (code != BB_CTL_OK)
        return code;
    json_t *space = find(object, "space");
    if (space == NULL) {
        const char *detail = json_string_value(find(object, "detail"));
        bb_ctl_complain("the store is not open yet: %s", detail != NULL ? detail : "starting");
        code = BB_CTL_DEGRADED;
    } else if (options->json) {
        json_object_set(space, "blocks", find(object, "blocks"));
        json_object_set(space, "index_room", find(object, "delta.index_room"));
        print_json(space);
    } else {
        print_space(object);
    }
    json_decref(object);
    return code;
}

/* ---- config ---- */

static void print_config(json_t *object)
{
    const char *section = "";
    size_t index;
    json_t *setting;
    row_text(object, "# file", "file");
    row_text(object, "# store", "store");
    json_array_foreach(find(object, "settings"), index, setting)
    {
        const char *here = json_string_value(find(setting, "section"));
        const char *name = json_string_value(find(setting, "name"));
        const char *value = json_string_value(find(setting, "value"));
        const char *origin = json_string_value(find(setting, "origin"));
        if (here == NULL || name == NULL)
            continue;
        if (strcmp(here, section) != 0)
            printf("\n[%s]\n", section = here);
        if (value == NULL || value[0] == '\0')
            printf("# %s is not set\n", name);
        else
            printf("%s = %s  ; %s\n", name, value, origin != NULL ? origin : "");
    }
}

int bb_ctl_config(const struct bb_ctl_options *options, char **words)
{
    json_t *object;
    (void)words;
    int code = bb_ctl_object(options, "/config", &object);
    if (code != BB_CTL_OK)
        return code;
    if (options->json)
        print_json(object);
    else
        print_config(object);
    json_decref(object);
    return BB_CTL_OK;
}
