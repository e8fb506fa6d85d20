/* SPDX-License-Identifier: Apache-2.0
 * The line that moves and the sum; copyreport.h says what for.
 */
#include "bbctl/copyreport.h"

#include "bb/clock.h"
#include "bb/text.h"
#include "bbctl/command.h"

#include <inttypes.h>
#include <jansson.h>

#define DRAW_EVERY_US 200000
#define SMOOTHING 0.2
#define INDENT 2

static const char *const finding_names[BB_COPY_FINDING_COUNT] = {
    [BB_COPY_SOURCE_CORRUPT] = "corrupt at the source",
    [BB_COPY_TARGET_CORRUPT] = "corrupt at the target",
    [BB_COPY_TARGET_MENDED] = "mended at the target",
};
static const char *const finding_keys[BB_COPY_FINDING_COUNT] = {
    [BB_COPY_SOURCE_CORRUPT] = "corrupt_at_source",
    [BB_COPY_TARGET_CORRUPT] = "corrupt_at_target",
    [BB_COPY_TARGET_MENDED] = "mended_at_target",
};

/* ---- progress ---- */

void bb_copy_progress_begin(struct bb_copy_progress *progress, bool shown,
                            const struct bb_hash *begin)
{
    *progress = (struct bb_copy_progress){.shown = shown, .begin_us = bb_clock_us()};
    progress->last_us = progress->begin_us;
    if (begin != NULL)
        progress->begin_part = bb_copy_part(begin);
}

void bb_copy_progress_draw(struct bb_copy_progress *progress, const char *what,
                           const struct bb_copy_tally *tally, const struct bb_hash *at)
{
    char size[32], rate[32], rest[48] = "";
    uint64_t now = bb_clock_us();
    uint64_t bytes = tally->copied_bytes + tally->verified_bytes;
    if (!progress->shown || now - progress->last_us < DRAW_EVERY_US)
        return;
    double lately =
        (double)(bytes - progress->last_bytes) * 1e6 / (double)(now - progress->last_us);
    progress->rate += SMOOTHING * (lately - progress->rate);
    progress->last_us = now;
    progress->last_bytes = bytes;
    double part = at != NULL ? bb_copy_part(at) : progress->begin_part;
    double done = part - progress->begin_part;
    if (done > 0.0001) {
        double left = (double)(now - progress->begin_us) / 1e6 * (1 - part) / done;
        unsigned long seconds = (unsigned long)left;
        (void)snprintf(rest, sizeof(rest), ", %lu:%02lu:%02lu to go", seconds / 3600,
                       seconds / 60 % 60, seconds % 60);
    }
    fprintf(stderr, "\r\033[K%s: %.1f %%, %" PRIu64 " blocks, %s, %s/s%s", what, 100 * part,
            tally->copied + tally->verified + tally->deleted,
            bb_text_of_size(bytes, size, sizeof(size)),
            bb_text_of_size((uint64_t)progress->rate, rate, sizeof(rate)), rest);
    (void)fflush(stderr);
    progress->drawn = true;
}

void bb_copy_progress_wipe(struct bb_copy_progress *progress)
{
    if (progress->drawn)
        fprintf(stderr, "\r\033[K");
    progress->drawn = false;
}

/* ---- sum ---- */

static void row(const char *name, uint64_t blocks)
{
    printf("%-22s %" PRIu64 "\n", name, blocks);
}

static void row_sized(const char *name, uint64_t blocks, uint64_t bytes)
{
    char size[32];
    printf("%-22s %" PRIu64 ", %s\n", name, blocks, bb_text_of_size(bytes, size, sizeof(size)));
}

static void print_table(const struct bb_copy_sum *sum)
{
    const struct bb_copy_tally *tally = &sum->tally;
    row("blocks at the source", sum->listed);
    if (sum->dry_run) {
        row_sized("would be copied", sum->missing, sum->missing_bytes);
        if (sum->remove)
            row("would be deleted", sum->surplus);
        return;
    }
    row("there already", sum->listed - sum->missing + tally->present);
    row_sized("copied", tally->copied, tally->copied_bytes);
    if (tally->vanished > 0)
        row("deleted meanwhile", tally->vanished);
    if (sum->verify)
        row_sized("verified at the target", tally->verified, tally->verified_bytes);
    if (sum->remove)
        row("deleted at the target", tally->deleted);
    for (int i = 0; i < BB_COPY_FINDING_COUNT; i++)
        if (tally->findings[i] > 0)
            row(finding_names[i], tally->findings[i]);
    printf("%-22s %.1f\n", "seconds", sum->seconds);
}

static void print_findings(const struct bb_copy_sum *sum)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < sum->found_count; i++) {
        char hex[BB_HASH_HEX_SIZE + 1] = "";
        bb_hash_to_hex(&sum->found[i].hash, hex);
        bb_ctl_complain("%s: %s", hex, finding_names[sum->found[i].finding]);
    }
    for (int i = 0; i < BB_COPY_FINDING_COUNT; i++)
        all += sum->tally.findings[i];
    if (all > sum->found_count)
        bb_ctl_complain("%" PRIu64 " more are not named here", all - sum->found_count);
}

static void set(json_t *object, const char *key, uint64_t value)
{
    (void)json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_text(json_t *object, const char *key, const char *text)
{
    (void)json_object_set_new(object, key, text != NULL ? json_string(text) : json_null());
}

static void print_object(const struct bb_copy_sum *sum)
{
    const struct bb_copy_tally *tally = &sum->tally;
    json_t *object = json_object();
    set_text(object, "source", sum->source->uuid);
    set_text(object, "target", sum->target->uuid);
    (void)json_object_set_new(object, "complete", json_boolean(sum->complete));
    (void)json_object_set_new(object, "dry_run", json_boolean(sum->dry_run));
    set(object, "listed", sum->listed);
    set(object, "missing", sum->missing);
    set(object, "missing_bytes", sum->missing_bytes);
    set(object, "copied", tally->copied);
    set(object, "copied_bytes", tally->copied_bytes);
    set(object, "deleted_meanwhile", tally->vanished);
    set(object, "verified", tally->verified);
    set(object, "verified_bytes", tally->verified_bytes);
    set(object, "surplus", sum->surplus);
    set(object, "deleted", tally->deleted);
    for (int finding = 0; finding < BB_COPY_FINDING_COUNT; finding++) {
        char key[32], hex[BB_HASH_HEX_SIZE];
        json_t *names = json_array();
        for (uint32_t i = 0; i < sum->found_count; i++) {
            if ((int)sum->found[i].finding != finding)
                continue;
            bb_hash_to_hex(&sum->found[i].hash, hex);
            (void)json_array_append_new(names, json_stringn(hex, sizeof(hex)));
        }
        (void)snprintf(key, sizeof(key), "%s_names", finding_keys[finding]);
        set(object, finding_keys[finding], tally->findings[finding]);
        (void)json_object_set_new(object, key, names);
    }
    (void)json_object_set_new(object, "seconds", json_real(sum->seconds));
    set_text(object, "after", sum->after);
    set_text(object, "error", sum->error);
    (void)json_dumpf(object, stdout, JSON_INDENT(INDENT) | JSON_REAL_PRECISION(6));
    (void)fputc('\n', stdout);
    json_decref(object);
}

void bb_copy_sum_print(const struct bb_copy_sum *sum, bool json)
{
    if (json) {
        print_object(sum);
        return;
    }
    print_table(sum);
    (void)fflush(stdout);
    print_findings(sum);
}
