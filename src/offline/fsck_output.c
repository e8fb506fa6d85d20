/* SPDX-License-Identifier: Apache-2.0
 * Lines and JSON of bbfsck. Owner: the calling thread. The JSON object is printed at the end, whole
 * or not at all.
 */
#include "bb/fsck_output.h"

#include "bb/err.h"
#include "bb/text.h"

#include <jansson.h>

void bb_fsck_output_init(struct bb_fsck_output *output, FILE *out, bool json)
{
    *output = (struct bb_fsck_output){.out = out, .json = json};
    bb_progress_init(&output->progress);
    if (json) {
        output->findings = json_array();
        output->left = json_array();
    }
}

static void clear_progress(struct bb_fsck_output *output)
{
    bb_progress_clear(&output->progress);
}

void bb_fsck_output_progress(void *context, const char *step, uint64_t done, uint64_t total)
{
    struct bb_fsck_output *output = context;
    bb_progress_show(&output->progress, step, done, total);
}

static void print_finding(struct bb_fsck_output *output, void *array, const char *word,
                          const struct bb_finding *finding)
{
    if (output->printed == BB_FSCK_FINDINGS_MAX) {
        output->left_off++;
        return;
    }
    const struct bb_finding_info *info = bb_finding_info(finding->kind);
    bool is_error = info->severity == BB_ERROR;
    output->printed++;
    if (output->json) {
        json_array_append_new(array,
                              json_pack("{s:i, s:s, s:b, s:s, s:s}", "number", (int)info->number,
                                        "kind", info->name, "error", (int)is_error, "text",
                                        finding->text, "repair", info->repair));
        return;
    }
    clear_progress(output);
    fprintf(output->out, "%s%s %u: %s\n", word, is_error ? "error" : "note", info->number,
            finding->text);
}

void bb_fsck_output_finding(void *context, const struct bb_finding *finding)
{
    struct bb_fsck_output *output = context;
    print_finding(output, output->findings, "", finding);
}

void bb_fsck_output_left(void *context, const struct bb_finding *finding)
{
    struct bb_fsck_output *output = context;
    print_finding(output, output->left, "left: ", finding);
}

static void print_json(struct bb_fsck_output *output, json_t *object)
{
    json_object_set_new(object, "findings", output->findings);
    json_object_set_new(object, "findings_left_off", json_integer((json_int_t)output->left_off));
    if (json_array_size(output->left) > 0)
        json_object_set(object, "left", output->left);
    json_decref(output->left);
    output->findings = NULL;
    output->left = NULL;
    json_dumpf(object, output->out, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    fputc('\n', output->out);
    json_decref(object);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *journal_json(const struct bb_recover_report *report)
{
    json_t *object = json_object();
    json_object_set_new(object, "records", number(report->records));
    json_object_set_new(object, "items", number(report->items));
    json_object_set_new(object, "rehashed", number(report->rehashed));
    json_object_set_new(object, "dropped", number(report->dropped));
    json_object_set_new(object, "last_sequence", number(report->last_sequence));
    json_object_set_new(object, "epoch", number(report->epoch));
    json_object_set_new(object, "clean_stop", json_boolean(report->was_clean));
    return object;
}

static void checked_json(struct bb_fsck_output *output, const struct bb_crosscheck_report *report)
{
    char uuid[37];
    json_t *object = json_object();
    json_object_set_new(object, "store", json_string(bb_text_of_uuid(&report->super.store, uuid)));
    json_object_set_new(object, "label", json_string(report->super.label));
    json_object_set_new(object, "clean", json_boolean(report->errors == 0));
    json_object_set_new(object, "errors", number(report->errors));
    json_object_set_new(object, "notes", number(report->notes));
    json_object_set_new(object, "blocks", number(report->blocks));
    json_object_set_new(object, "bytes", number(report->bytes));
    json_object_set_new(object, "marked_blocks", number(report->marked_blocks));
    json_object_set_new(object, "hashed_blocks", number(report->hashed_blocks));
    json_object_set_new(object, "used_units", number(report->used_units));
    json_object_set_new(object, "open_units", number(report->open_units));
    json_object_set_new(object, "journal", journal_json(&report->recover));
    print_json(output, object);
}

int bb_fsck_output_checked(struct bb_fsck_output *output, const struct bb_crosscheck_report *report)
{
    char bytes[16];
    clear_progress(output);
    if (output->json) {
        checked_json(output, report);
        return report->errors == 0 ? BB_FSCK_CLEAN : BB_FSCK_ERRORS;
    }
    if (output->left_off > 0)
        fprintf(output->out, "and %llu more\n", (unsigned long long)output->left_off);
    if (report->errors > 0) {
        fprintf(output->out, "%llu errors, nothing was changed\n",
                (unsigned long long)report->errors);
        return BB_FSCK_ERRORS;
    }
    fprintf(output->out,
            "clean: %llu blocks (%llu marked corrupt), %s in %llu of %llu open units\n",
            (unsigned long long)report->blocks, (unsigned long long)report->marked_blocks,
            bb_text_of_size(report->bytes, bytes, sizeof(bytes)),
            (unsigned long long)report->used_units, (unsigned long long)report->open_units);
    return BB_FSCK_CLEAN;
}

static void rebuilt_json(struct bb_fsck_output *output, const struct bb_recovered *recovered)
{
    char uuid[37];
    const struct bb_recover_report *report = &recovered->report;
    json_t *object = json_object(), *ranges = json_array();
    json_object_set_new(object, "store",
                        json_string(bb_text_of_uuid(&recovered->super.store, uuid)));
    json_object_set_new(object, "index",
                        json_string(bb_text_of_uuid(&recovered->super.index, uuid)));
    json_object_set_new(object, "rebuilt", json_true());
    json_object_set_new(object, "blocks", number(report->blocks));
    json_object_set_new(object, "lost_pages", number(report->pages_lost));
    json_object_set_new(object, "lost_units", number(report->units_lost));
    for (uint64_t i = 0; i < report->pages_lost && i < BB_RECOVER_NAMED_MAX; i++)
        json_array_append_new(ranges, json_pack("{s:I, s:I}", "first_unit",
                                                (json_int_t)report->lost_first[i].first, "count",
                                                (json_int_t)report->lost_first[i].count));
    json_object_set_new(object, "lost_ranges", ranges);
    json_object_set_new(object, "set_proven", json_boolean(!report->set_unproven));
    json_object_set_new(object, "journal", journal_json(report));
    print_json(output, object);
}

int bb_fsck_output_rebuilt(struct bb_fsck_output *output, const struct bb_recovered *recovered)
{
    const struct bb_recover_report *report = &recovered->report;
    clear_progress(output);
    if (output->json) {
        rebuilt_json(output, recovered);
        return BB_FSCK_CORRECTED;
    }
    for (uint64_t i = 0; i < report->pages_lost && i < BB_RECOVER_NAMED_MAX; i++)
        fprintf(output->out,
                "lost: the names of the blocks that start in units %llu to %llu (bytes %llu on); "
                "the units stay unused\n",
                (unsigned long long)report->lost_first[i].first,
                (unsigned long long)(report->lost_first[i].first + report->lost_first[i].count - 1),
                (unsigned long long)(report->lost_first[i].first * BB_UNIT_SIZE));
    if (report->pages_lost > BB_RECOVER_NAMED_MAX)
        fprintf(output->out, "lost: %llu pages more\n",
                (unsigned long long)(report->pages_lost - BB_RECOVER_NAMED_MAX));
    if (report->pages_lost > 0)
        fprintf(output->out,
                "note: a block that was deleted shortly before may be back among those units: an "
                "older list names it, its bytes are whole, and what said that it is deleted is "
                "lost\n");
    fprintf(output->out,
            "rebuilt: index of %llu blocks, %llu journal items rolled forward, %llu never "
            "acknowledged dropped, count and set hash %s\n",
            (unsigned long long)report->blocks, (unsigned long long)report->items,
            (unsigned long long)report->dropped,
            report->set_unproven ? "cannot be compared" : "right");
    return BB_FSCK_CORRECTED;
}

static int repaired_code(const struct bb_repair_report *report)
{
    uint64_t steps = report->supers + report->recoveries + report->rebuilds;
    if (report->after.errors > 0)
        return BB_FSCK_ERRORS;
    return steps > 0 ? BB_FSCK_CORRECTED : BB_FSCK_CLEAN;
}

static void repaired_json(struct bb_fsck_output *output, const struct bb_repair_report *report,
                          const char *why)
{
    const struct bb_recover_report *rebuilt = &report->rebuilt.report;
    char uuid[37];
    json_t *object = json_object();
    json_object_set_new(object, "store",
                        json_string(bb_text_of_uuid(&report->after.super.store, uuid)));
    json_object_set_new(object, "clean", json_boolean(report->after.errors == 0));
    json_object_set_new(object, "errors", number(report->before.errors));
    json_object_set_new(object, "notes", number(report->before.notes));
    json_object_set_new(object, "errors_left", number(report->after.errors));
    json_object_set_new(object, "blocks", number(report->after.blocks));
    json_object_set_new(object, "superblocks_adopted", number(report->supers));
    json_object_set_new(object, "recoveries", number(report->recoveries));
    json_object_set_new(object, "rebuilds", number(report->rebuilds));
    json_object_set_new(object, "marked", number(report->marked));
    if (rebuilt->given_up)
        json_object_set_new(object, "given_up",
                            json_pack("{s:I, s:I, s:I, s:I}", "first_record",
                                      (json_int_t)rebuilt->gap_first, "last_record",
                                      (json_int_t)rebuilt->gap_last, "items_applied",
                                      (json_int_t)rebuilt->salvaged, "items_not_applied",
                                      (json_int_t)rebuilt->not_salvaged));
    if (report->stuck)
        json_object_set_new(object, "stuck", json_string(why));
    print_json(output, object);
}

int bb_fsck_output_repaired(struct bb_fsck_output *output, const struct bb_repair_report *report,
                            const char *why)
{
    const struct bb_recover_report *rebuilt = &report->rebuilt.report;
    clear_progress(output);
    if (output->json) {
        repaired_json(output, report, why);
        return repaired_code(report);
    }
    if (output->left_off > 0)
        fprintf(output->out, "and %llu more\n", (unsigned long long)output->left_off);
    if (rebuilt->given_up)
        fprintf(output->out,
                "given up: journal records %llu to %llu; of the records behind them %llu items "
                "were applied, %llu name what is not there\n",
                (unsigned long long)rebuilt->gap_first, (unsigned long long)rebuilt->gap_last,
                (unsigned long long)rebuilt->salvaged, (unsigned long long)rebuilt->not_salvaged);
    if (report->marked > 0)
        fprintf(output->out, "marked corrupt: %llu blocks, store them again\n",
                (unsigned long long)report->marked);
    if (report->stuck)
        fprintf(output->out, "not repaired: %s\n", why);
    int code = repaired_code(report);
    if (code == BB_FSCK_ERRORS)
        fprintf(output->out, "%llu errors are left\n", (unsigned long long)report->after.errors);
    else
        fprintf(output->out, "%s: %llu blocks (%llu marked corrupt)\n",
                code == BB_FSCK_CLEAN ? "clean" : "repaired",
                (unsigned long long)report->after.blocks,
                (unsigned long long)report->after.marked_blocks);
    return code;
}

static uint64_t room_of(const struct bb_layout *layout)
{
    return bb_layout_units(layout, layout->zone_count) * BB_UNIT_SIZE;
}

static json_t *layout_json(const struct bb_layout *layout)
{
    json_t *object = json_object();
    json_object_set_new(object, "device_size", number(layout->device_size));
    json_object_set_new(object, "block_bytes", number(room_of(layout)));
    json_object_set_new(object, "zones", number(layout->zone_count));
    return object;
}

int bb_fsck_output_grown(struct bb_fsck_output *output, const struct bb_grow_report *report,
                         bool dry_run)
{
    char old_room[16], room[16], size[16];
    bool more = report->after.device_size != report->before.device_size;
    bool wrote = !dry_run && (more || report->healed > 0);
    clear_progress(output);
    if (output->json) {
        json_t *object = json_object();
        json_object_set_new(object, "grown", json_boolean(report->grown));
        json_object_set_new(object, "can_grow", json_boolean(more));
        json_object_set_new(object, "before", layout_json(&report->before));
        json_object_set_new(object, "after", layout_json(&report->after));
        json_object_set_new(object, "superblocks_healed", number(dry_run ? 0 : report->healed));
        print_json(output, object);
        return wrote ? BB_FSCK_CORRECTED : BB_FSCK_CLEAN;
    }
    (void)bb_text_of_size(report->device_size, size, sizeof(size));
    (void)bb_text_of_size(room_of(&report->before), old_room, sizeof(old_room));
    (void)bb_text_of_size(room_of(&report->after), room, sizeof(room));
    if (wrote && report->healed > 0)
        fprintf(output->out, "superblocks: %u copies written again\n", report->healed);
    if (more)
        fprintf(output->out, "%s: the device has %s; from %s in %u zones to %s in %u zones\n",
                dry_run ? "would grow" : "grown", size, old_room, report->before.zone_count, room,
                report->after.zone_count);
    else
        fprintf(output->out,
                "nothing to grow: the device has %s, %s in %u zones are all that fits\n", size,
                room, report->after.zone_count);
    return wrote ? BB_FSCK_CORRECTED : BB_FSCK_CLEAN;
}

/* A refusal is an error that is left, everything else is a failure of this run. */
int bb_fsck_output_failed(struct bb_fsck_output *output, int error, const char *text)
{
    bool refused = false;
    switch (error) {
    case BB_ERR_FOREIGN:
    case BB_ERR_STALE_INDEX:
    case BB_ERR_STALE_DATA:
    case BB_ERR_LOST_RECORD:
    case BB_ERR_OVERLAP:
    case BB_ERR_SET_MISMATCH:
    case BB_ERR_DAMAGED:
    case BB_ERR_INDEX_DAMAGED:
        refused = true;
        break;
    default:
        break;
    }
    clear_progress(output);
    if (output->json)
        print_json(output, json_pack("{s:b, s:s}", "clean", 0, "failure", text));
    else
        fprintf(stderr, "bbfsck: %s\n", text);
    return refused ? BB_FSCK_ERRORS : BB_FSCK_FAILED;
}
