/* SPDX-License-Identifier: Apache-2.0
 * bbctl trim: asks the daemon to discard what is free, and looks how far it is. Without a word it
 * waits for the end of the pass, with a bar on a terminal.
 */
#include "bb/progress.h"
#include "bb/text.h"
#include "bbctl/command.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_NS 100000000L
#define WAITING_STEP "waiting for what was freed just now"

static uint64_t number(json_t *trim, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(trim, name));
}

static const char *text(json_t *trim, const char *name)
{
    const char *found = json_string_value(json_object_get(trim, name));
    return found != NULL ? found : "";
}

static void print_size(const char *name, uint64_t size)
{
    char line[32];
    printf("%-22s %s\n", name, bb_text_of_size(size, line, sizeof(line)));
}

static void print(const struct bb_ctl_options *options, json_t *trim)
{
    if (options->json) {
        (void)json_dumpf(trim, stdout, JSON_INDENT(2));
        (void)fputc('\n', stdout);
        return;
    }
    bool possible = json_is_true(json_object_get(trim, "possible"));
    printf("%-22s %s\n", "trim",
           possible ? text(trim, "state") : "not possible: the data device has no discard");
    if (number(trim, "all") > 0)
        printf("%-22s %.1f %%\n", "of the device",
               100.0 * (double)number(trim, "done") / (double)number(trim, "all"));
    print_size("discarded, this pass", number(trim, "pass_bytes"));
    print_size("since the start", number(trim, "bytes"));
    if (number(trim, "idle_ms") > 0)
        printf("%-22s %llu s\n", "by itself after",
               (unsigned long long)number(trim, "idle_ms") / 1000);
    if (text(trim, "error")[0] != '\0')
        printf("%-22s %s\n", "error", text(trim, "error"));
}

/* Until the pass is over; its last look. */
static int follow(const struct bb_ctl_options *options, json_t **ret_trim)
{
    struct bb_progress progress;
    bb_progress_init(&progress);
    for (;;) {
        int code = bb_ctl_section(options, "trim", ret_trim);
        if (code != BB_CTL_OK || !json_is_true(json_object_get(*ret_trim, "asked"))) {
            bb_progress_clear(&progress);
            return code;
        }
        bool passing = strcmp(text(*ret_trim, "state"), "passing") == 0;
        bb_progress_show(&progress, passing ? "discarding free space" : WAITING_STEP,
                         passing ? number(*ret_trim, "done") : 0, number(*ret_trim, "all"));
        json_decref(*ret_trim);
        const struct timespec time = {.tv_nsec = LOOK_NS};
        (void)nanosleep(&time, NULL);
    }
}

int bb_ctl_trim(const struct bb_ctl_options *options, char **words)
{
    const char *word = words[0];
    json_t *trim;
    int code = BB_CTL_OK;
    if (word != NULL && strcmp(word, "start") != 0 && strcmp(word, "stop") != 0 &&
        strcmp(word, "status") != 0) {
        bb_ctl_complain("trim %s: say start, stop, status or nothing", word);
        return BB_CTL_USAGE;
    }
    if (word == NULL || strcmp(word, "start") == 0)
        code = bb_ctl_post(options, "/trim/start");
    else if (strcmp(word, "stop") == 0)
        code = bb_ctl_post(options, "/trim/stop");
    if (code != BB_CTL_OK)
        return code;
    code = word == NULL ? follow(options, &trim) : bb_ctl_section(options, "trim", &trim);
    if (code != BB_CTL_OK)
        return code;
    print(options, trim);
    if (word == NULL && text(trim, "error")[0] != '\0')
        code = BB_CTL_FAILED;
    json_decref(trim);
    return code;
}
