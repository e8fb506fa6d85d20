/* SPDX-License-Identifier: Apache-2.0
 * The journal read back, in pieces of 256 KiB. Owner: the caller's thread.
 *
 *   anchor's record -> successor at its end, or at ring unit 0 -> ... -> no valid successor: gap
 *
 * A valid record of the epoch whose watermark reaches the gap proves that the missing one was
 * acknowledged. The survey keeps the highest watermark of all, so one reading of the ring is enough
 * for every later look ahead.
 */
#include "bb/scan.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"

#include <errno.h>

#define BUFFER_UNITS (BB_SCAN_BUFFER_SIZE / BB_UNIT_SIZE)

BB_STATIC_ASSERT(BUFFER_UNITS >= 2 * BB_RECORD_UNITS_MAX);
BB_STATIC_ASSERT(BUFFER_UNITS == 64); /* bits of `bad` */

/* A window of the ring in the scan's buffer. */
struct window {
    const struct bb_scan *scan;
    uint64_t first; /* ring unit */
    uint64_t count;
    uint64_t bad; /* bit i: unit first + i could not be read */
};

bool bb_scan_is_medium_error(int error)
{
    return error == -EIO || error == -EILSEQ || error == -ENODATA || error == -EREMOTEIO ||
           error == BB_ERR_IO || error == BB_ERR_SHORT_IO;
}

struct bb_anchor bb_scan_anchor_of(const struct bb_record *record)
{
    if (record->sequence != 0)
        return record->anchor;
    return (struct bb_anchor){
        .sequence = 0, .position = record->position, .digest = record->digest};
}

static uint64_t ring_units(const struct bb_scan *scan)
{
    return scan->super->layout.journal_units;
}

static int read_units(const struct bb_scan *scan, uint64_t first, uint64_t count, void *buf)
{
    BB_ASSERT(first + count <= ring_units(scan));
    return bb_io_read(scan->io, BB_IO_JOURNAL,
                      scan->super->layout.journal_offset + first * BB_UNIT_SIZE, buf,
                      (uint32_t)(count * BB_UNIT_SIZE));
}

/* Fills the window from ring unit `first`; what cannot be read is zero and marked. */
static int window_load(struct window *window, uint64_t first)
{
    uint8_t *buf = window->scan->buf;
    window->first = first;
    window->count = bb_min_u64(BUFFER_UNITS, ring_units(window->scan) - first);
    window->bad = 0;
    int error = read_units(window->scan, first, window->count, buf);
    if (error == 0 || !bb_scan_is_medium_error(error))
        return error;
    for (uint64_t i = 0; i < window->count; i++) {
        error = read_units(window->scan, first + i, 1, buf + i * BB_UNIT_SIZE);
        if (error == 0)
            continue;
        if (!bb_scan_is_medium_error(error))
            return error;
        memset(buf + i * BB_UNIT_SIZE, 0, BB_UNIT_SIZE);
        window->bad |= 1ull << i;
    }
    return 0;
}

/* Units [position, position + count) in memory; *ret_bad says whether one of them is unreadable. */
static int window_at(struct window *window, uint64_t position, uint64_t count, const void **ret_buf,
                     bool *ret_bad)
{
    BB_ASSERT(count >= 1 && count <= BB_RECORD_UNITS_MAX);
    BB_ASSERT(position + count <= ring_units(window->scan));
    if (position < window->first || position + count > window->first + window->count) {
        int error = window_load(window, position);
        if (error != 0)
            return error;
    }
    uint64_t at = position - window->first;
    *ret_buf = (const uint8_t *)window->scan->buf + at * BB_UNIT_SIZE;
    *ret_bad = (window->bad >> at & ((1ull << count) - 1)) != 0;
    return 0;
}

/* First unit of a record of this store that may stand at `position`: 1, 0, or an error. */
static int peek_at(struct window *window, uint64_t position, struct bb_record *ret_record,
                   bool *ret_bad)
{
    const struct bb_super *super = window->scan->super;
    const void *buf;
    int error = window_at(window, position, 1, &buf, ret_bad);
    if (error != 0)
        return error;
    if (bb_record_peek(buf, ret_record) != 0 ||
        (ret_record->position != position && !bb_planted(POSITION_UNCHECKED)))
        return 0;
    if (memcmp(&ret_record->store, &super->store, sizeof(super->store)) != 0 &&
        !bb_planted(UUID_UNCHECKED))
        return 0;
    return position + ret_record->units <= ring_units(window->scan) ? 1 : 0;
}

/* The whole record, its bytes in *ret_buf: 1, 0, or an error. */
static int record_at(struct window *window, uint64_t position, uint32_t units,
                     struct bb_record *ret_record, const void **ret_buf, bool *ret_bad)
{
    int error = window_at(window, position, units, ret_buf, ret_bad);
    if (error != 0)
        return error;
    if (*ret_bad)
        return 0;
    error = bb_record_decode(*ret_buf, units, &window->scan->super->store, position, ret_record);
    return error == 0 ? 1 : 0;
}

static void survey_count(struct bb_survey *survey, const struct bb_record *record, uint64_t epoch)
{
    if (record->sequence > survey->last_sequence)
        survey->last_sequence = record->sequence;
    survey->newest_epoch = bb_max_u64(survey->newest_epoch, record->epoch);
    if (record->epoch != epoch)
        return;
    if (!survey->found || record->sequence > survey->newest_sequence)
        survey->newest_sequence = record->sequence;
    struct bb_anchor carried = bb_scan_anchor_of(record);
    if (!survey->found || carried.sequence > survey->carried.sequence)
        survey->carried = carried;
    if (!survey->found || record->durable > survey->durable) {
        survey->durable = record->durable;
        survey->durable_sequence = record->sequence;
    }
    survey->found = true;
}

int bb_scan_survey(const struct bb_scan *scan, struct bb_survey *ret_survey)
{
    struct window window = {.scan = scan};
    struct bb_survey survey = {.found = false};
    uint64_t epoch = scan->super->epoch;
    for (uint64_t position = 0; position < ring_units(scan);) {
        struct bb_record record;
        const void *buf;
        bool bad;
        int found = peek_at(&window, position, &record, &bad);
        /* records of other epochs matter by their sequence only */
        if (found == 1 && record.epoch != epoch && record.sequence <= survey.last_sequence)
            found = 0;
        if (found == 1)
            found = record_at(&window, position, record.units, &record, &buf, &bad);
        if (found < 0)
            return found;
        if (found == 1)
            survey_count(&survey, &record, epoch);
        else if (bad)
            survey.unreadable_units++;
        position += found == 1 ? record.units : 1;
    }
    *ret_survey = survey;
    return 0;
}

static int find_anchor(struct window *window, const struct bb_anchor *anchor,
                       struct bb_ring_position *ret_last)
{
    struct bb_record record;
    const void *buf;
    bool bad = false;
    if (anchor->position >= ring_units(window->scan))
        return BB_ERR_FOREIGN;
    int found = peek_at(window, anchor->position, &record, &bad);
    if (found == 1)
        found = record_at(window, anchor->position, record.units, &record, &buf, &bad);
    if (found < 0)
        return found;
    if (bad)
        return -EIO;
    if (found == 0 || record.sequence != anchor->sequence ||
        !bb_digest_equal(&record.digest, &anchor->digest))
        return BB_ERR_FOREIGN;
    *ret_last = (struct bb_ring_position){.sequence = record.sequence,
                                          .position = record.position,
                                          .units = record.units,
                                          .digest = record.digest};
    return 0;
}

/* Whether the record at `position` continues the chain: 1, 0, or an error. */
static int successor_at(struct window *window, const struct bb_ring_position *last,
                        uint64_t position, struct bb_record *ret_record, const void **ret_buf,
                        bool *ret_bad)
{
    int found = peek_at(window, position, ret_record, ret_bad);
    if (found != 1)
        return found;
    bool older = bb_planted(OLD_EPOCH_ACCEPTED) && ret_record->epoch < window->scan->super->epoch &&
                 ret_record->sequence < window->scan->super->epoch_first_sequence;
    if (ret_record->sequence != last->sequence + 1 ||
        (ret_record->epoch != window->scan->super->epoch && !older) ||
        (!bb_digest_equal(&ret_record->previous, &last->digest) && !bb_planted(CHAIN_UNCHECKED)))
        return 0;
    return record_at(window, position, ret_record->units, ret_record, ret_buf, ret_bad);
}

static int find_successor(struct window *window, const struct bb_ring_position *last,
                          struct bb_record *ret_record, const void **ret_buf)
{
    uint64_t end = last->position + last->units, size = ring_units(window->scan);
    bool bad_end = false, bad_start = false;
    BB_ASSERT(end <= size);
    if (end < size) {
        int found = successor_at(window, last, end, ret_record, ret_buf, &bad_end);
        if (found != 0)
            return found;
    }
    int found = successor_at(window, last, 0, ret_record, ret_buf, &bad_start);
    if (found != 0)
        return found;
    /* the successor stands at 0 only if it did not fit at the end */
    bool may_wrap = size - end < BB_RECORD_UNITS_MAX;
    return bad_end || (bad_start && may_wrap) ? -EIO : 0;
}

/* The anchor's record is missing: goes on from the one that follows it, whatever its length was. */
static int find_bridge(struct window *window, struct bb_scan_result *result)
{
    const struct bb_anchor *anchor = &result->anchor;
    uint64_t size = ring_units(window->scan);
    struct bb_record record;
    const void *buf;
    bool bad;
    if (anchor->position >= size)
        return BB_ERR_FOREIGN;
    result->anchor_missing = true;
    result->last = (struct bb_ring_position){
        .sequence = anchor->sequence, .position = anchor->position, .digest = anchor->digest};
    for (uint32_t units = 0; units <= BB_RECORD_UNITS_MAX; units++) {
        uint64_t position = anchor->position + units;
        int found = successor_at(window, &result->last, position < size ? position : 0, &record,
                                 &buf, &bad);
        if (found < 0)
            return found;
        if (found == 0)
            continue;
        result->last.units = (uint32_t)bb_min_u64(units, size - anchor->position);
        return 0;
    }
    int found = successor_at(window, &result->last, 0, &record, &buf, &bad);
    result->bridge_missing = found == 0;
    return found < 0 ? found : 0;
}

/* Counts the item into the set; false when it cannot be. */
static bool count_item(const struct bb_super *super, const struct bb_item *item, struct bb_set *set)
{
    if (!bb_layout_extent_ok(&super->layout, super->open_zone_count, item->unit,
                             bb_units_of(item->size)))
        return false;
    if (item->op == BB_ITEM_PUT) {
        bb_set_add(set, &item->hash, item->unit, item->size);
    } else if (item->op == BB_ITEM_DELETE) {
        if (set->count == 0)
            return false;
        bb_set_remove(set, &item->hash, item->unit, item->size);
    }
    return true;
}

/* The items of an accepted record: to the visitor, or into the set. */
static int take_items(const struct bb_super *super, const void *buf, const struct bb_record *record,
                      bb_scan_item_fn *visit, void *context, struct bb_scan_result *result)
{
    for (uint32_t i = 0; i < record->item_count; i++) {
        struct bb_item item;
        int error = bb_item_decode(buf, i, &item);
        if (error == 0 && visit != NULL)
            error = visit(context, record->sequence, i, &item);
        if (error != 0)
            return error;
        if (visit == NULL && !count_item(super, &item, &result->set)) {
            result->bad_found = true;
            result->bad = item;
            result->bad_sequence = record->sequence;
            return BB_ERR_DAMAGED;
        }
    }
    return 0;
}

/* Whether the record behind the last accepted one is known to have been acknowledged. */
static int check_gap(const struct bb_super *super, const struct bb_survey *survey,
                     struct bb_scan_result *result)
{
    uint64_t gap = result->last.sequence + 1;
    if (survey->found && survey->durable >= gap && !bb_planted(NO_LOOK_AHEAD)) {
        result->lost_sequence = gap;
        result->proof_sequence = survey->durable_sequence;
        return BB_ERR_LOST_RECORD;
    }
    if (super->clean && result->last.sequence < super->clean_sequence &&
        !bb_planted(CLEAN_IGNORED)) {
        result->lost_sequence = gap;
        result->proof_sequence = super->clean_sequence;
        return BB_ERR_LOST_RECORD;
    }
    return 0;
}

/* Follows the chain behind result->last and takes the items. 0 at its end. */
static int follow(struct window *window, bb_scan_item_fn *visit, void *context,
                  struct bb_scan_result *result)
{
    for (;;) {
        struct bb_record record;
        const void *buf;
        result->stop_position = result->last.position + result->last.units;
        int found = find_successor(window, &result->last, &record, &buf);
        if (found <= 0)
            return found;
        int error = take_items(window->scan->super, buf, &record, visit, context, result);
        if (error != 0)
            return error;
        result->last = (struct bb_ring_position){.sequence = record.sequence,
                                                 .position = record.position,
                                                 .units = record.units,
                                                 .digest = record.digest};
        result->durable = bb_max_u64(result->durable, record.durable);
        result->record_count++;
        result->item_count += record.item_count;
    }
}

int bb_scan_journal(const struct bb_scan *scan, const struct bb_survey *survey,
                    const struct bb_anchor *anchor, bb_scan_item_fn *visit, void *context,
                    struct bb_scan_result *ret_result)
{
    struct window window = {.scan = scan};
    struct bb_scan_result *result = ret_result;
    BB_ASSERT(visit != NULL || survey != NULL);
    *result =
        (struct bb_scan_result){.anchor = *anchor, .durable = anchor->sequence, .set = anchor->set};
    if (anchor->set.count > scan->super->layout.device_size / BB_UNIT_SIZE)
        return BB_ERR_DAMAGED; /* a set is counted on from here: no block is smaller than a unit */
    int error = find_anchor(&window, anchor, &result->last);
    if (scan->bridge && (error == BB_ERR_FOREIGN || bb_scan_is_medium_error(error)))
        error = find_bridge(&window, result);
    if (error == 0)
        error = follow(&window, visit, context, result);
    if (error == 0 && visit == NULL)
        error = check_gap(scan->super, survey, result);
    if (!scan->accept_loss || !(error == BB_ERR_LOST_RECORD || bb_scan_is_medium_error(error)))
        return error;
    result->given_up = true;
    result->lost_sequence = result->last.sequence + 1;
    return 0;
}

/* First unit of the valid record of the epoch with the lowest sequence above `above`; 0 and
 * *ret_found false when there is none. */
static int find_behind(struct window *window, uint64_t above, struct bb_record *ret_record,
                       bool *ret_found)
{
    uint64_t epoch = window->scan->super->epoch;
    *ret_found = false;
    for (uint64_t position = 0; position < ring_units(window->scan);) {
        struct bb_record record;
        const void *buf;
        bool bad;
        int found = peek_at(window, position, &record, &bad);
        if (found == 1)
            found = record_at(window, position, record.units, &record, &buf, &bad);
        if (found < 0)
            return found;
        if (found == 1 && record.epoch == epoch && record.sequence > above &&
            (!*ret_found || record.sequence < ret_record->sequence)) {
            *ret_record = record;
            *ret_found = true;
        }
        position += found == 1 ? record.units : 1;
    }
    return 0;
}

int bb_scan_behind(const struct bb_scan *scan, uint64_t above, bb_scan_item_fn *visit,
                   void *context, uint64_t *ret_first)
{
    struct window window = {.scan = scan};
    BB_ASSERT(visit != NULL);
    *ret_first = 0;
    for (;;) {
        struct bb_record record;
        const void *buf;
        bool found, bad;
        int error = find_behind(&window, above, &record, &found);
        if (error != 0 || !found)
            return error;
        if (*ret_first == 0)
            *ret_first = record.sequence;
        error = record_at(&window, record.position, record.units, &record, &buf, &bad);
        if (error != 1)
            return error < 0 ? error : 0;
        struct bb_scan_result result = {.last = {.sequence = record.sequence,
                                                 .position = record.position,
                                                 .units = record.units,
                                                 .digest = record.digest}};
        error = take_items(scan->super, buf, &record, visit, context, &result);
        if (error == 0)
            error = follow(&window, visit, context, &result);
        if (error != 0 && !bb_scan_is_medium_error(error))
            return error;
        above = result.last.sequence;
    }
}
