/* SPDX-License-Identifier: Apache-2.0
 * Growing a store, without its devices. Owner: the calling thread.
 *
 *   superblocks -> is there room? -> check of the whole store -> heal -> bb_super_grow
 */
#include "bb/grow.h"

#include "bb/err.h"
#include "bb/recovery.h"

struct grow {
    const struct bb_recover_config *config;
    const struct bb_grow_options *options;
    struct bb_grow_report *report;
    struct bb_explain *explain;
    struct bb_super_copies copies;
};

/* Superblocks in recovery's words. */
static int read_supers(struct grow *grow)
{
    struct bb_recovery recovery;
    int error = bb_recovery_open(&recovery, grow->config, grow->explain);
    if (error == 0)
        error = bb_recovery_super(&recovery);
    if (error != 0)
        return error;
    grow->copies = recovery.copies;
    grow->report->before = recovery.super.layout;
    grow->report->after = recovery.super.layout;
    for (unsigned i = 0; i < BB_SUPER_COPY_COUNT; i++)
        grow->report->healed += recovery.copies.differs[i] ? 1 : 0;
    return 0;
}

static int lay_out(struct grow *grow)
{
    const struct bb_super *super = &grow->copies.super;
    struct bb_grow_report *report = grow->report;
    int error =
        bb_layout_grow(&super->layout, super->open_zone_count, report->device_size, &report->after);
    if (error == 0)
        return 0;
    if (super->layout.short_count == BB_SHORT_ZONES_MAX)
        return bb_explain(grow->explain, error,
                          "data device: it has %u short zones from growing and cannot have more, "
                          "copy the blocks to a new store",
                          BB_SHORT_ZONES_MAX);
    return bb_explain(grow->explain, error,
                      "data device: a store cannot have that many descriptor pages, make the "
                      "device smaller");
}

/* Notes that do not ask for a recovery: a start heals superblock copies, and so does this. */
static uint64_t harmless_notes(const struct bb_crosscheck_report *check)
{
    return check->count[BB_FINDING_SUPER_DAMAGED] + check->count[BB_FINDING_SUPER_OLDER];
}

static int check_store(struct grow *grow)
{
    struct bb_crosscheck_report *check = &grow->report->check;
    const struct bb_crosscheck_options options = {.found = grow->options->found,
                                                  .index_error = grow->options->index_error};
    int error = bb_crosscheck_run(grow->config, &options, check, grow->explain);
    if (error != 0)
        return error;
    if (check->errors > 0)
        return bb_explain(grow->explain, BB_ERR_REFUSED,
                          "%llu errors, nothing was changed: run bbfsck --repair first",
                          (unsigned long long)check->errors);
    if (check->notes > harmless_notes(check))
        return bb_explain(grow->explain, BB_ERR_REFUSED,
                          "the store was not stopped cleanly, nothing was changed: start bbd and "
                          "stop it, then run this again");
    return 0;
}

static int write_supers(struct grow *grow)
{
    struct bb_grow_report *report = grow->report;
    struct bb_io *io = grow->config->io;
    bool grows = report->after.device_size != report->before.device_size;
    int error = bb_super_heal(io, &grow->copies);
    if (error == 0 && grows)
        error = bb_super_grow(io, &grow->copies.super, &report->after);
    if (error != 0)
        return bb_explain(grow->explain, error,
                          "data device: writing superblocks: %s, run it again; the store is as it "
                          "was or has grown",
                          bb_err_text(error));
    report->grown = grows;
    return 0;
}

static int run(struct grow *grow)
{
    int error = read_supers(grow);
    if (error == 0)
        error = lay_out(grow);
    if (error != 0)
        return error;
    const struct bb_grow_report *report = grow->report;
    bool grows = report->after.device_size != report->before.device_size;
    if (!grows && report->healed == 0)
        return 0;
    error = check_store(grow);
    if (error == 0 && !grow->options->dry_run)
        error = write_supers(grow);
    return error;
}

int bb_grow_run(const struct bb_recover_config *config, const struct bb_grow_options *options,
                struct bb_grow_report *ret_report, struct bb_explain *ret_explain)
{
    struct bb_grow_report report = {.device_size = config->io->device_size};
    struct grow grow = {
        .config = config, .options = options, .report = &report, .explain = ret_explain};
    ret_explain->text[0] = '\0';
    int error = run(&grow);
    if (error == 0)
        *ret_report = report;
    return error;
}
