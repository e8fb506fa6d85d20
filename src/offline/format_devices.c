/* SPDX-License-Identifier: Apache-2.0
 * bbformat without its arguments. Owner: the calling thread.
 *
 *   open, look, refuse -> wipe superblocks, signatures, head and tail, flush -> ring, record 0,
 * flush
 *   -> index -> superblocks in pairs
 */
#include "bb/format_devices.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/lmdbindex.h"
#include "bb/plant.h"
#include "bb/random.h"
#include "bb/recovery.h"
#include "bb/rundir.h"
#include "bb/signature.h"
#include "bb/superblock.h"
#include "bb/syncio.h"
#include "bb/text.h"
#include "target.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define INDEX_SHARE 40u /* a new index file is a 40th of the data */
#define INDEX_FILE_SIZE_MIN (16 * BB_MIB)

struct format {
    const struct bb_format_options *options;
    struct bb_explain *explain;
    struct target data, index;
    struct bb_super super;
    struct bb_ring_position record; /* record 0 */
};

static void say(const struct format *format, const char *text, ...)
    __attribute__((format(printf, 2, 3)));

static void say(const struct format *format, const char *text, ...)
{
    char line[400];
    va_list arguments;
    if (format->options->say == NULL)
        return;
    va_start(arguments, text);
    vsnprintf(line, sizeof(line), text, arguments);
    va_end(arguments);
    format->options->say(format->options->context, line);
}

/* ---- looking ---- */

static void say_target(const struct format *format, const struct target *target)
{
    char size[16];
    const struct bb_device *device = &target->device;
    say(format, "%s device %s: %s, %s, sectors %u/%u%s%s%s%s", target->role, target->path,
        target->absent     ? "new file"
        : device->is_block ? "block device"
                           : "file",
        bb_text_of_size(device->size, size, sizeof(size)), device->logical_sector,
        device->physical_sector, device->model[0] != '\0' ? ", model " : "", device->model,
        device->serial[0] != '\0' ? ", serial " : "", device->serial);
    if (target->sparse)
        say(format,
            "%s device %s: warning: the file has holes, writes fail when its filesystem is "
            "full",
            target->role, target->path);
    for (unsigned i = 0; i < target->signatures.count; i++)
        say(format, "%s device %s: found %s at byte %llu", target->role, target->path,
            target->signatures.found[i].name,
            (unsigned long long)target->signatures.found[i].offset);
}

static int check_target(struct format *format, const struct target *target)
{
    if (target->device.whole_disk && !format->options->whole_disk)
        return bb_explain(format->explain, BB_ERR_REFUSED,
                          "%s: it is a whole disk, name a partition or say --whole-disk",
                          target->path);
    if (format->options->force)
        return 0;
    if (target->signatures.count > 0)
        return bb_explain(format->explain, BB_ERR_REFUSED, "%s: found %s, --force destroys it",
                          target->path, target->signatures.found[0].name);
    if (target->signatures.nonzero_head)
        return bb_explain(format->explain, BB_ERR_REFUSED,
                          "%s: its first 8 MiB are not zero, --force overwrites them",
                          target->path);
    return 0;
}

static int refuse_same(struct format *format)
{
    return bb_explain(format->explain, BB_ERR_REFUSED,
                      "%s and %s: the same device, or one is part of the other, name two",
                      format->options->data_path, format->options->index_path);
}

static int open_targets(struct format *format)
{
    const struct bb_format_options *options = format->options;
    uint64_t index_size = options->index_size;
    if (target_same(options->data_path, options->index_path))
        return refuse_same(format); /* before the claim on the one holds up the other */
    int error = target_open(&format->data, "data", options->data_path, options->data_size, options,
                            format->explain);
    if (error != 0)
        return error;
    if (index_size == 0 && !target_exists(options->index_path))
        index_size = bb_max_u64(INDEX_FILE_SIZE_MIN,
                                bb_align_up(format->data.device.size / INDEX_SHARE, BB_MIB));
    error = target_open(&format->index, "index", options->index_path, index_size, options,
                        format->explain);
    if (error != 0)
        return error;
    if (!format->data.absent && !format->index.absent &&
        bb_device_overlap(&format->data.device, &format->index.device))
        return refuse_same(format);
    return 0;
}

static int make_super(struct format *format)
{
    const struct bb_format_options *options = format->options;
    struct bb_super *super = &format->super;
    uint64_t size = format->data.device.size;
    uint64_t journal_size =
        options->journal_size != 0 ? options->journal_size : bb_layout_journal_size(size);
    uint64_t zone_size = options->zone_size != 0 ? options->zone_size : BB_ZONE_SIZE_DEFAULT;
    if (!bb_is_aligned(journal_size, BB_MIB) || journal_size > BB_JOURNAL_SIZE_MAX)
        return bb_explain(format->explain, BB_ERR_USAGE,
                          "journal size: %llu bytes, take a multiple of 1 MiB up to 512 MiB",
                          (unsigned long long)journal_size);
    if (!bb_is_power_of_two(zone_size) || zone_size < BB_ZONE_SIZE_MIN)
        return bb_explain(format->explain, BB_ERR_USAGE,
                          "zone size: %llu bytes, take a power of two from 4 MiB on",
                          (unsigned long long)zone_size);
    if (options->label != NULL) {
        size_t len = strlen(options->label);
        if (len >= sizeof(super->label))
            return bb_explain(format->explain, BB_ERR_USAGE, "label: %zu bytes, take at most %zu",
                              len, sizeof(super->label) - 1);
        memcpy(super->label, options->label, len + 1);
    }
    int error = bb_layout_make(size, journal_size, zone_size, &super->layout);
    if (error != 0)
        return bb_explain(format->explain, error,
                          "%s: %llu bytes are too few (head and tail take 16 MiB, the journal %llu "
                          "MiB, a zone 4 MiB), take a larger one",
                          options->data_path, (unsigned long long)size,
                          (unsigned long long)(journal_size / BB_MIB));
    if (format->index.device.size < BB_LMDB_SIZE_MIN)
        return bb_explain(format->explain, BB_ERR_GEOMETRY,
                          "%s: %llu bytes are too few for an index, take at least 8 MiB",
                          options->index_path, (unsigned long long)format->index.device.size);
    super->logical_sector = format->data.device.logical_sector;
    super->physical_sector = format->data.device.physical_sector;
    super->epoch = 1;
    super->epoch_first_sequence = 1;
    super->clean = true; /* nothing is open behind record 0 */
    bb_random_from_kernel(&super->store, sizeof(super->store));
    bb_random_from_kernel(&super->index, sizeof(super->index));
    return 0;
}

static void say_plan(const struct format *format, const struct bb_format_result *result)
{
    char data[16], journal[16], average[16], uuid[37];
    const struct bb_layout *layout = &format->super.layout;
    say(format,
        "store %s: %s (%llu units) for blocks in %u zones, journal %s, index room for about %llu "
        "blocks",
        bb_text_of_uuid(&format->super.store, uuid),
        bb_text_of_size(result->unit_count * BB_UNIT_SIZE, data, sizeof(data)),
        (unsigned long long)result->unit_count, layout->zone_count,
        bb_text_of_size(layout->journal_units * BB_UNIT_SIZE, journal, sizeof(journal)),
        (unsigned long long)result->index_records);
    if (result->index_records < result->unit_count)
        say(format, "note: the index fills up before the device if blocks average less than %s",
            bb_text_of_size(result->unit_count / bb_max_u64(result->index_records, 1) *
                                BB_UNIT_SIZE,
                            average, sizeof(average)));
}

/* ---- writing ---- */

enum step { ERASE_DATA, ERASE_INDEX, WRITE_JOURNAL, WRITE_INDEX, WRITE_SUPERBLOCKS, STEP_COUNT };

static void begin_step(const struct format *format, enum step step)
{
    static const char *const names[STEP_COUNT] = {
        [ERASE_DATA] = "erasing the data device",        [ERASE_INDEX] = "erasing the index device",
        [WRITE_JOURNAL] = "writing the journal",         [WRITE_INDEX] = "writing the index",
        [WRITE_SUPERBLOCKS] = "writing the superblocks",
    };
    if (format->options->progress != NULL)
        format->options->progress(format->options->context, names[step], step, STEP_COUNT);
}

static int refuse_write(struct format *format, const struct target *target, const char *what,
                        int error)
{
    return bb_explain(format->explain, error,
                      "%s: %s: %s, it is not formatted now, try again or take another device",
                      target->path, what, bb_err_text(error));
}

static int wipe(struct format *format)
{
    struct target *targets[2] = {&format->data, &format->index};
    for (unsigned i = 0; i < 2; i++) {
        begin_step(format, i == 0 ? ERASE_DATA : ERASE_INDEX);
        int error = target_create(targets[i], format->explain);
        if (error != 0)
            return error;
        error = bb_signature_wipe(&targets[i]->device);
        if (error == 0 && format->options->discard) {
            error = bb_device_discard(&targets[i]->device, 0,
                                      bb_align_down(targets[i]->device.size, BB_UNIT_SIZE));
            if (error == -EOPNOTSUPP) {
                say(format, "%s device %s: discard is not possible, left out", targets[i]->role,
                    targets[i]->path);
                error = 0;
            }
            /* what is read after a discard is up to the device */
            if (error == 0)
                error = bb_signature_wipe(&targets[i]->device);
        }
        if (error != 0)
            return refuse_write(format, targets[i], "erasing what stood there", error);
    }
    return 0;
}

/* Record 0 carries a zero anchor and is itself the first one. */
static int write_ring(struct format *format, struct bb_io *io)
{
    _Alignas(BB_UNIT_SIZE) uint8_t unit[BB_UNIT_SIZE];
    const struct bb_layout *layout = &format->super.layout;
    int error = 0;
    if (bb_device_zero_is_cheap(&format->data.device))
        error = bb_device_zero(&format->data.device, layout->journal_offset,
                               layout->journal_units * BB_UNIT_SIZE);
    struct bb_record record = {.store = format->super.store, .epoch = format->super.epoch};
    bb_record_encode(&record, 0, unit);
    if (error == 0)
        error = bb_io_write(io, BB_IO_JOURNAL, layout->journal_offset, unit, sizeof(unit));
    if (error == 0)
        error = bb_io_flush(io);
    if (error != 0)
        return refuse_write(format, &format->data, "writing the journal", error);
    format->super.anchor = bb_scan_anchor_of(&record);
    return 0;
}

static int write_index(struct format *format)
{
    const struct bb_device *device = &format->index.device;
    struct bb_rundir rundir;
    struct bb_lmdb *lmdb;
    struct bb_index_state state = {.store = format->super.store,
                                   .index = format->super.index,
                                   .anchor = format->super.anchor,
                                   .epoch = format->super.epoch};
    int error = bb_rundir_make(&rundir);
    if (error != 0)
        return bb_explain(format->explain, error, "no temporary directory: %s, set TMPDIR",
                          bb_err_text(error));
    error = bb_lmdb_format(device, rundir.path);
    if (error == 0)
        error = bb_lmdb_open(device, rundir.path, false, &lmdb);
    if (error == 0) {
        error = bb_lmdb_put_state(lmdb, &state);
        bb_lmdb_close(lmdb);
    }
    bb_rundir_remove(&rundir);
    if (error == 0)
        error = bb_device_sync(device);
    return error == 0 ? 0 : refuse_write(format, &format->index, "writing the index", error);
}

static int write_all(struct format *format)
{
    struct bb_syncio sync;
    int error = wipe(format);
    if (error != 0)
        return error;
    bb_syncio_init(&sync, &format->data.device);
    begin_step(format, WRITE_JOURNAL);
    error = write_ring(format, &sync.io);
    begin_step(format, WRITE_INDEX);
    if (error == 0 && bb_planted(FORMAT_SUPER_EARLY))
        error = bb_super_write(&sync.io, &format->super);
    if (error == 0)
        error = write_index(format);
    if (error != 0)
        return error;
    begin_step(format, WRITE_SUPERBLOCKS);
    error = bb_super_write(&sync.io, &format->super);
    if (error == 0)
        error = bb_device_sync(&format->data.device);
    return error == 0 ? 0 : refuse_write(format, &format->data, "writing the superblocks", error);
}

static int run(struct format *format, struct bb_format_result *result)
{
    int error = open_targets(format);
    if (error != 0)
        return error;
    say_target(format, &format->data);
    say_target(format, &format->index);
    error = make_super(format);
    if (error == 0)
        error = check_target(format, &format->data);
    if (error == 0)
        error = check_target(format, &format->index);
    if (error != 0)
        return error;
    result->unit_count = bb_layout_units(&format->super.layout, format->super.layout.zone_count);
    result->index_records = format->index.device.size / BB_INDEX_BYTES_PER_BLOCK;
    say_plan(format, result);
    if (!format->options->dry_run)
        error = write_all(format);
    result->super = format->super;
    return error;
}

int bb_format_devices(const struct bb_format_options *options, struct bb_format_result *ret_result,
                      struct bb_explain *ret_explain)
{
    struct format format = {.options = options, .explain = ret_explain};
    struct bb_format_result result;
    ret_explain->text[0] = '\0';
    target_init(&format.data);
    target_init(&format.index);
    int error = run(&format, &result);
    target_close(&format.index, error != 0);
    target_close(&format.data, error != 0);
    if (error == 0)
        *ret_result = result;
    return error;
}
