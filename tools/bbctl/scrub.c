/* SPDX-License-Identifier: Apache-2.0
 * bbctl scrub: lets the daemon read everything again, or rest, and says where it stands.
 */
#include "bb/text.h"
#include "bbctl/command.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t number(json_t *scrub, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(scrub, name));
}

static void print_time(const char *name, uint64_t unix_s)
{
    char text[32] = "never";
    struct tm utc;
    time_t at = (time_t)unix_s;
    if (unix_s != 0 && gmtime_r(&at, &utc) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc);
    printf("%-22s %s\n", name, text);
}

static void print_count(json_t *scrub, const char *name, const char *field)
{
    printf("%-22s %llu\n", name, (unsigned long long)number(scrub, field));
}

static void print(json_t *scrub)
{
    char size[32];
    const char *state = json_string_value(json_object_get(scrub, "state"));
    printf("%-22s %s\n", "scrub", state != NULL ? state : "");
    if (number(scrub, "pages") > 0)
        printf("%-22s %llu of %llu pages (%.1f %%)\n", "position",
               (unsigned long long)number(scrub, "page"),
               (unsigned long long)number(scrub, "pages"),
               100.0 * (double)number(scrub, "page") / (double)number(scrub, "pages"));
    printf("%-22s %s/s\n", "pace", bb_text_of_size(number(scrub, "rate"), size, sizeof(size)));
    print_time("this pass began", number(scrub, "pass_began"));
    print_count(scrub, "blocks read in it", "pass_blocks");
    print_count(scrub, "findings in it", "pass_findings");
    print_count(scrub, "passes so far", "passes");
    print_time("last pass", number(scrub, "last_ended"));
    print_time("last clean pass", number(scrub, "last_clean"));
    print_count(scrub, "repaired since start", "repaired");
    print_count(scrub, "marked since start", "marked");
    print_count(scrub, "left since start", "left");
}

int bb_ctl_scrub(const struct bb_ctl_options *options, char **words)
{
    json_t *scrub;
    const char *word = words[0];
    int code = BB_CTL_OK;
    if (strcmp(word, "start") == 0) {
        code = bb_ctl_post(options, "/scrub/start");
    } else if (strcmp(word, "pause") == 0) {
        code = bb_ctl_post(options, "/scrub/pause");
    } else if (strcmp(word, "status") != 0) {
        bb_ctl_complain("scrub %s: say start, pause or status", word);
        return BB_CTL_USAGE;
    }
    if (code == BB_CTL_OK)
        code = bb_ctl_section(options, "scrub", &scrub);
    if (code != BB_CTL_OK)
        return code;
    if (options->json) {
        (void)json_dumpf(scrub, stdout, JSON_INDENT(2));
        (void)fputc('\n', stdout);
    } else {
        print(scrub);
    }
    json_decref(scrub);
    return BB_CTL_OK;
}
