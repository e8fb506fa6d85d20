/* SPDX-License-Identifier: Apache-2.0
 * Re-hashing what was never acknowledged. Owner: the caller's thread.
 *
 * What a verdict does:        hash                  unit of the PUT     unit of the pair's DELETE
 *   DROPPED                   absent                free                -
 *   UNDONE                    at the pair's unit,   free                the block, marked
 *                             marked
 *   UNREADABLE                marked                marked              free
 */
#include "bb/verdicts.h"

#include "bb/bits.h"
#include "bb/err.h"
#include "bb/plant.h"

void bb_verdicts_init(struct bb_verdicts *verdicts, void *memory, size_t size)
{
    *verdicts = (struct bb_verdicts){.array = memory, .capacity = size / sizeof(struct bb_verdict)};
    BB_ASSERT(verdicts->capacity > 0);
    BB_ASSERT(((uintptr_t)memory & 7) == 0);
}

/* 1: the bytes are those of the name, 0: they are not. */
static int block_matches(struct bb_io *io, const struct bb_mention *put, void *buf)
{
    uint32_t read_size = bb_units_of(put->size) * BB_UNIT_SIZE;
    BB_ASSERT(put->size <= BB_BLOCK_SIZE_MAX);
    int error = bb_io_read(io, BB_IO_DATA, put->unit * BB_UNIT_SIZE, buf, read_size);
    if (error != 0)
        return error;
    struct bb_hash hash;
    bb_hash_of(buf, put->size, &hash);
    return bb_hash_equal(&hash, &put->hash) ? 1 : 0;
}

int bb_verdicts_judge(struct bb_verdicts *verdicts, struct bb_io *io, const struct bb_final *final,
                      void *buf)
{
    const struct bb_mention *put = &final->last;
    BB_ASSERT(put->op == BB_ITEM_PUT);
    BB_ASSERT(verdicts->count == 0 ||
              bb_hash_compare(&verdicts->array[verdicts->count - 1].hash, &put->hash) < 0);
    verdicts->rehashed++;
    int matches = block_matches(io, put, buf);
    if (matches == 1)
        return 0;
    if (matches < 0 && !bb_scan_is_medium_error(matches))
        return matches;
    if (verdicts->count == verdicts->capacity)
        return BB_ERR_MEMORY;
    struct bb_verdict *verdict = &verdicts->array[verdicts->count++];
    *verdict = (struct bb_verdict){.hash = put->hash,
                                   .unit = put->unit,
                                   .size = put->size,
                                   .sequence = bb_mention_sequence(put),
                                   .kind = BB_VERDICT_DROPPED};
    if (matches < 0) {
        verdict->kind = BB_VERDICT_UNREADABLE;
        verdicts->unreadable++;
        return 0;
    }
    verdicts->dropped++;
    if (final->has_pair && !bb_planted(HEAL_DROPPED)) {
        verdict->kind = BB_VERDICT_UNDONE;
        verdict->pair_unit = final->pair_unit;
        verdict->pair_size = final->pair_size;
        verdicts->undone_count++;
    }
    return 0;
}

const struct bb_verdict *bb_verdicts_find(const struct bb_verdicts *verdicts,
                                          const struct bb_hash *hash)
{
    size_t low = 0, high = verdicts->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = bb_hash_compare(&verdicts->array[middle].hash, hash);
        if (order == 0)
            return &verdicts->array[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool is_put_of(const struct bb_mention *mention, const struct bb_verdict *verdict)
{
    return (bb_mention_op(mention) == BB_ITEM_PUT || bb_planted(MARK_REHASHED)) &&
           mention->unit == verdict->unit && bb_mention_sequence(mention) == verdict->sequence;
}

static bool is_undone_delete(const struct bb_mention *mention, const struct bb_verdict *verdict)
{
    return verdict->kind == BB_VERDICT_UNDONE && bb_mention_op(mention) == BB_ITEM_DELETE &&
           mention->unit == verdict->pair_unit && bb_mention_sequence(mention) == verdict->sequence;
}

void bb_verdicts_apply_to_hash(const struct bb_verdicts *verdicts, struct bb_final *final)
{
    const struct bb_verdict *verdict = bb_verdicts_find(verdicts, &final->last.hash);
    if (verdict == NULL)
        return;
    BB_ASSERT(is_put_of(&final->last, verdict));
    switch ((enum bb_verdict_kind)verdict->kind) {
    case BB_VERDICT_DROPPED:
        final->present = false;
        break;
    case BB_VERDICT_UNDONE:
        final->last.unit = verdict->pair_unit;
        final->last.size = verdict->pair_size;
        final->corrupt = true;
        break;
    case BB_VERDICT_UNREADABLE:
        final->corrupt = true;
        break;
    default:
        BB_ASSERT(false);
    }
}

/* Units that a heal frees are taken again only when the heal is acknowledged, and then its data is
 * on the device. */
static int undone_is_free(const struct bb_verdicts *verdicts, const struct bb_mentions *mentions,
                          size_t first, size_t end, struct bb_contradiction *ret_contradiction)
{
    for (size_t i = first; i + 1 < end; i++) {
        const struct bb_mention *mention = &mentions->array[i];
        const struct bb_verdict *verdict = bb_verdicts_find(verdicts, &mention->hash);
        if (verdict != NULL && is_undone_delete(mention, verdict)) {
            *ret_contradiction =
                (struct bb_contradiction){.first = *mention, .second = mentions->array[i + 1]};
            return BB_ERR_OVERLAP;
        }
    }
    return 0;
}

int bb_verdicts_apply_to_unit(const struct bb_verdicts *verdicts,
                              const struct bb_mentions *mentions, size_t first, size_t end,
                              struct bb_final *final, struct bb_contradiction *ret_contradiction)
{
    BB_ASSERT(mentions->by == BB_BY_UNIT);
    if (verdicts->count == 0)
        return 0;
    if (verdicts->undone_count > 0) {
        int error = undone_is_free(verdicts, mentions, first, end, ret_contradiction);
        if (error != 0)
            return error;
    }
    const struct bb_verdict *verdict = bb_verdicts_find(verdicts, &final->last.hash);
    if (verdict == NULL)
        return 0;
    if (is_put_of(&final->last, verdict)) {
        if (verdict->kind == BB_VERDICT_UNREADABLE)
            final->corrupt = true;
        else
            final->present = false;
    } else if (is_undone_delete(&final->last, verdict)) {
        final->present = true;
        final->corrupt = true;
    }
    return 0;
}

int bb_verdicts_apply_to_set(const struct bb_verdicts *verdicts, struct bb_set *set)
{
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct bb_verdict *verdict = &verdicts->array[i];
        if (verdict->kind == BB_VERDICT_UNREADABLE)
            continue;
        if (set->count == 0)
            return BB_ERR_DAMAGED;
        bb_set_remove(set, &verdict->hash, verdict->unit, verdict->size);
        if (verdict->kind == BB_VERDICT_UNDONE)
            bb_set_add(set, &verdict->hash, verdict->pair_unit, verdict->pair_size);
    }
    return 0;
}
