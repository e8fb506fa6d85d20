/* SPDX-License-Identifier: Apache-2.0
 * Items of the journal in memory, in ranges of keys, sorted in place (introsort: quicksort that
 * gives up to heapsort when it degenerates; Musser 1997). Owner: the caller's thread.
 *
 * Memory is one array. When it is full it is condensed: of each run only the first item, the last
 * two and those above the watermark decide anything. Where that gains less than a quarter, the
 * upper half of the key range is dropped. The scan goes on: what is loaded decides everything in
 * [low, high].
 */
#include "bb/mentions.h"

#include "bb/bits.h"
#include "bb/err.h"

#define ORDER_INDEX_BITS 11
#define SMALL_RUN 16

BB_STATIC_ASSERT(BB_RECORD_ITEMS_MAX < 1u << ORDER_INDEX_BITS);

uint64_t bb_mentions_hash_key(const struct bb_hash *hash)
{
    return __builtin_bswap64(bb_hash_prefix(hash));
}

static uint64_t key_of(const struct bb_mentions *mentions, const struct bb_mention *mention)
{
    uint32_t entry;
    if (mentions->by == BB_BY_HASH)
        return bb_mentions_hash_key(&mention->hash);
    return bb_layout_page_of(mentions->layout, mention->unit, &entry);
}

static bool before_by_hash(const struct bb_mention *a, const struct bb_mention *b)
{
    int order = bb_hash_compare(&a->hash, &b->hash);
    return order != 0 ? order < 0 : a->order < b->order;
}

static bool before_by_unit(const struct bb_mention *a, const struct bb_mention *b)
{
    return a->unit != b->unit ? a->unit < b->unit : a->order < b->order;
}

static bool before(enum bb_mentions_by by, const struct bb_mention *a, const struct bb_mention *b)
{
    return by == BB_BY_HASH ? before_by_hash(a, b) : before_by_unit(a, b);
}

static void swap(struct bb_mention *a, struct bb_mention *b)
{
    struct bb_mention copy = *a;
    *a = *b;
    *b = copy;
}

static void sort_insertion(enum bb_mentions_by by, struct bb_mention *array, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct bb_mention item = array[i];
        size_t at = i;
        for (; at > 0 && before(by, &item, &array[at - 1]); at--)
            array[at] = array[at - 1];
        array[at] = item;
    }
}

static void sift_down(enum bb_mentions_by by, struct bb_mention *array, size_t root, size_t count)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= count)
            return;
        if (child + 1 < count && before(by, &array[child], &array[child + 1]))
            child++;
        if (!before(by, &array[root], &array[child]))
            return;
        swap(&array[root], &array[child]);
        root = child;
    }
}

static void sort_heap(enum bb_mentions_by by, struct bb_mention *array, size_t count)
{
    for (size_t root = count / 2; root-- > 0;)
        sift_down(by, array, root, count);
    for (size_t end = count - 1; end > 0; end--) {
        swap(&array[0], &array[end]);
        sift_down(by, array, 0, end);
    }
}

/* Puts the median of three in front, then splits around it; returns the pivot's place. */
static size_t split(enum bb_mentions_by by, struct bb_mention *array, size_t count)
{
    struct bb_mention *low = &array[1], *middle = &array[count / 2], *high = &array[count - 1];
    if (before(by, middle, low))
        swap(middle, low);
    if (before(by, high, middle))
        swap(high, middle);
    if (before(by, middle, low))
        swap(middle, low);
    swap(&array[0], middle);
    size_t i = 0, j = count;
    for (;;) {
        do
            i++;
        while (i < count && before(by, &array[i], &array[0]));
        do
            j--;
        while (before(by, &array[0], &array[j]));
        if (i >= j)
            break;
        swap(&array[i], &array[j]);
    }
    swap(&array[0], &array[j]);
    return j;
}

/* Recursion goes into the smaller half only: its depth is at most the logarithm of count. */
static void sort_range(enum bb_mentions_by by, struct bb_mention *array, size_t count,
                       unsigned depth)
{
    while (count > SMALL_RUN) {
        if (depth == 0) {
            sort_heap(by, array, count);
            return;
        }
        depth--;
        size_t pivot = split(by, array, count);
        size_t left = pivot, right = count - pivot - 1;
        if (left < right) {
            sort_range(by, array, left, depth);
            array += pivot + 1;
            count = right;
        } else {
            sort_range(by, array + pivot + 1, right, depth);
            count = left;
        }
    }
    sort_insertion(by, array, count);
}

void bb_mentions_sort(struct bb_mentions *mentions)
{
    if (mentions->count > 1)
        sort_range(mentions->by, mentions->array, mentions->count,
                   2 * bb_log2_floor(mentions->count));
}

void bb_mentions_init(struct bb_mentions *mentions, void *memory, size_t size,
                      const struct bb_layout *layout)
{
    *mentions = (struct bb_mentions){
        .array = memory, .capacity = size / sizeof(struct bb_mention), .layout = layout};
    BB_ASSERT(mentions->capacity > 0);
    BB_ASSERT(((uintptr_t)memory & 7) == 0);
}

void bb_mentions_begin(struct bb_mentions *mentions, enum bb_mentions_by by, uint64_t low,
                       uint64_t high)
{
    BB_ASSERT(low <= high);
    mentions->by = by;
    mentions->low = low;
    mentions->high = high;
    mentions->count = 0;
    mentions->loaded = false;
    mentions->condense = false;
}

/* Drops the upper half of the keys; false when there is only one left. */
static bool narrow(struct bb_mentions *mentions)
{
    if (mentions->low == mentions->high)
        return false;
    mentions->high = mentions->low + (mentions->high - mentions->low) / 2;
    size_t kept = 0;
    for (size_t i = 0; i < mentions->count; i++) {
        if (key_of(mentions, &mentions->array[i]) <= mentions->high)
            mentions->array[kept++] = mentions->array[i];
    }
    mentions->count = kept;
    return true;
}

size_t bb_mentions_run(const struct bb_mentions *mentions, size_t first)
{
    const struct bb_mention *array = mentions->array;
    BB_ASSERT(first < mentions->count);
    size_t end = first + 1;
    if (mentions->by == BB_BY_HASH) {
        while (end < mentions->count && bb_hash_equal(&array[end].hash, &array[first].hash))
            end++;
    } else {
        while (end < mentions->count && array[end].unit == array[first].unit)
            end++;
    }
    return end;
}

/* Whether `next` may follow `last` on the same hash, or unit. */
static int follows(const struct bb_mention *last, const struct bb_mention *next)
{
    bool present = bb_mention_op(last) != BB_ITEM_DELETE;
    if ((next->op & BB_MENTION_AFTER_GAP) != 0)
        return 0;
    if (bb_mention_op(next) == BB_ITEM_PUT)
        return present ? BB_ERR_OVERLAP : 0;
    bool same = last->unit == next->unit && last->size == next->size &&
                bb_hash_equal(&last->hash, &next->hash);
    return present && same ? 0 : BB_ERR_DAMAGED;
}

/* End of the part of a run [first, end) that is free of contradictions. */
static size_t sound_end(const struct bb_mentions *mentions, size_t first, size_t end)
{
    size_t i = first + 1;
    while (i < end && follows(&mentions->array[i - 1], &mentions->array[i]) == 0)
        i++;
    return i;
}

/* Keeps of each run what decides; a run that contradicts itself stays whole, to be found. */
static void condense(struct bb_mentions *mentions)
{
    struct bb_mention *array = mentions->array;
    size_t kept = 0;
    bb_mentions_sort(mentions);
    for (size_t first = 0, end; first < mentions->count; first = end) {
        end = bb_mentions_run(mentions, first);
        bool sound = sound_end(mentions, first, end) == end;
        bool gap = false;
        for (size_t i = first; i < end; i++) {
            if (sound && i > first && i + 2 < end &&
                bb_mention_sequence(&array[i]) <= mentions->keep_above) {
                gap = true;
                continue;
            }
            struct bb_mention item = array[i];
            if (gap)
                item.op |= BB_MENTION_AFTER_GAP;
            gap = false;
            array[kept++] = item;
        }
    }
    mentions->count = kept;
}

/* Room for one more; false when there is none for this range of keys. */
static bool make_room(struct bb_mentions *mentions)
{
    if (mentions->condense)
        condense(mentions);
    bool gained = mentions->count <= mentions->capacity - mentions->capacity / 4;
    if (!gained && !narrow(mentions))
        return mentions->count < mentions->capacity;
    return true;
}

int bb_mentions_add(struct bb_mentions *mentions, const struct bb_mention *mention)
{
    uint64_t key = key_of(mentions, mention);
    for (;;) {
        if (key < mentions->low || key > mentions->high)
            return 0;
        if (mentions->count < mentions->capacity)
            break;
        if (!make_room(mentions))
            return BB_ERR_MEMORY;
    }
    mentions->array[mentions->count++] = *mention;
    return 0;
}

static int take(void *context, uint64_t sequence, uint32_t index, const struct bb_item *item)
{
    struct bb_mention mention = {.hash = item->hash,
                                 .unit = item->unit,
                                 .order = sequence << ORDER_INDEX_BITS | index,
                                 .size = item->size,
                                 .op = (uint32_t)item->op};
    return bb_mentions_add(context, &mention);
}

int bb_mentions_load(struct bb_mentions *mentions, const struct bb_scan *scan,
                     const struct bb_anchor *anchor, enum bb_mentions_by by, uint64_t low,
                     uint64_t high, uint64_t *ret_high)
{
    struct bb_scan_result result;
    if (!mentions->loaded || mentions->by != by || mentions->low != low || mentions->high != high) {
        bb_mentions_begin(mentions, by, low, high);
        mentions->condense = true;
        int error = bb_scan_journal(scan, NULL, anchor, take, mentions, &result);
        if (error != 0)
            return error;
        bb_mentions_sort(mentions);
        mentions->loaded = true;
    }
    *ret_high = mentions->high;
    return 0;
}

int bb_mentions_fold(const struct bb_mentions *mentions, size_t first, size_t end,
                     struct bb_final *ret_final, struct bb_contradiction *ret_contradiction)
{
    const struct bb_mention *array = mentions->array;
    BB_ASSERT(first < end && end <= mentions->count);
    for (size_t i = first + 1; i < end; i++) {
        int error = follows(&array[i - 1], &array[i]);
        if (error != 0) {
            *ret_contradiction =
                (struct bb_contradiction){.first = array[i - 1], .second = array[i]};
            return error;
        }
    }
    const struct bb_mention *last = &array[end - 1];
    struct bb_final final = {.last = *last,
                             .present = bb_mention_op(last) != BB_ITEM_DELETE,
                             .corrupt = bb_mention_op(last) == BB_ITEM_MARK,
                             .first_put = bb_mention_op(&array[first]) == BB_ITEM_PUT};
    final.last.op = bb_mention_op(last);
    if (mentions->by == BB_BY_HASH && bb_mention_op(last) == BB_ITEM_PUT && end - first >= 2) {
        const struct bb_mention *freed = last - 1;
        BB_ASSERT(bb_mention_op(freed) == BB_ITEM_DELETE);
        final.has_pair = bb_mention_sequence(freed) == bb_mention_sequence(last);
        final.pair_unit = freed->unit;
        final.pair_size = freed->size;
    }
    *ret_final = final;
    return 0;
}
