/* SPDX-License-Identifier: Apache-2.0
 * Conditions, ranges and query parameters. A condition that cannot be read never holds and a range
 * that cannot be read is none: both lead to the whole block, which is always a right answer. */
#include "bytes.h"

/* Takes one entity tag off `list`. False when there is none or it is malformed. */
static bool tag_take(struct bb_http_span *list, bool *ret_weak, struct bb_http_span *ret_opaque)
{
    struct bb_http_span rest = *list;
    bool weak = rest.len >= 2 && memcmp(rest.at, "W/", 2) == 0;
    if (weak)
        rest = bb_http_span_after(rest, 2);
    if (rest.len == 0 || rest.at[0] != '"')
        return false;
    rest = bb_http_span_after(rest, 1);
    const char *quote = rest.len == 0 ? NULL : memchr(rest.at, '"', rest.len);
    if (quote == NULL)
        return false;
    *ret_opaque = (struct bb_http_span){rest.at, (size_t)(quote - rest.at)};
    *ret_weak = weak;
    *list = bb_http_span_after(rest, ret_opaque->len + 1);
    return true;
}

static bool opaque_is(struct bb_http_span opaque, const struct bb_hash *hash)
{
    struct bb_hash named;
    return bb_hash_from_hex(opaque.at, opaque.len, &named) && bb_hash_equal(&named, hash);
}

/* Blanks and commas between the elements of a list; `ret_comma` says whether one was a comma. */
static struct bb_http_span separators_skip(struct bb_http_span list, bool *ret_comma)
{
    bool comma = false;
    while (list.len > 0 && (bb_http_is_blank(list.at[0]) || list.at[0] == ',')) {
        comma = comma || list.at[0] == ',';
        list = bb_http_span_after(list, 1);
    }
    *ret_comma = comma;
    return list;
}

bool bb_http_etag_matches(struct bb_http_span list, const struct bb_hash *hash)
{
    struct bb_http_span opaque;
    bool comma, weak;
    if (list.at == NULL)
        return false;
    list = bb_http_span_trim(list);
    if (bb_http_span_equal(list, "*"))
        return true;
    list = separators_skip(list, &comma);
    while (tag_take(&list, &weak, &opaque)) {
        if (opaque_is(opaque, hash))
            return true;
        list = separators_skip(list, &comma);
        if (!comma)
            return false;
    }
    return false;
}

bool bb_http_if_range_matches(struct bb_http_span if_range, const struct bb_hash *hash)
{
    struct bb_http_span opaque;
    bool weak;
    if (if_range.at == NULL)
        return true;
    if_range = bb_http_span_trim(if_range);
    return tag_take(&if_range, &weak, &opaque) && if_range.len == 0 && !weak &&
           opaque_is(opaque, hash);
}

/* A number that may be absent or too large for 64 bits, then it counts as the largest. */
static bool position_read(struct bb_http_span text, uint64_t *ret_value)
{
    int result = bb_http_span_number(text, ret_value);
    if (result == 1)
        *ret_value = UINT64_MAX;
    return result >= 0;
}

static enum bb_http_range suffix_range(uint64_t suffix_size, uint64_t size, uint64_t *ret_first,
                                       uint64_t *ret_last)
{
    if (suffix_size == 0)
        return BB_HTTP_RANGE_UNSATISFIABLE;
    if (size == 0) /* satisfiable by RFC 9110 14.1.2, but Content-Range cannot say "no bytes" */
        return BB_HTTP_RANGE_NONE;
    *ret_first = suffix_size < size ? size - suffix_size : 0;
    *ret_last = size - 1;
    return BB_HTTP_RANGE_ONE;
}

enum bb_http_range bb_http_parse_range(struct bb_http_span range, uint64_t size,
                                       uint64_t *ret_first, uint64_t *ret_last)
{
    static const char unit[] = "bytes=";
    const size_t unit_len = sizeof(unit) - 1;
    uint64_t first = 0, last = 0;
    if (range.at == NULL || range.len < unit_len ||
        !bb_http_span_is((struct bb_http_span){range.at, unit_len}, unit))
        return BB_HTTP_RANGE_NONE;

    range = bb_http_span_after(range, unit_len);
    const char *dash = range.len == 0 ? NULL : memchr(range.at, '-', range.len);
    if (dash == NULL)
        return BB_HTTP_RANGE_NONE;
    struct bb_http_span first_text = {range.at, (size_t)(dash - range.at)};
    struct bb_http_span last_text = bb_http_span_after(range, first_text.len + 1);

    if (last_text.len == 0)
        last = UINT64_MAX;
    else if (!position_read(last_text, &last))
        return BB_HTTP_RANGE_NONE;
    if (first_text.len == 0)
        return last_text.len == 0 ? BB_HTTP_RANGE_NONE
                                  : suffix_range(last, size, ret_first, ret_last);
    if (!position_read(first_text, &first) || first > last)
        return BB_HTTP_RANGE_NONE;
    if (first >= size)
        return BB_HTTP_RANGE_UNSATISFIABLE;
    *ret_first = first;
    *ret_last = last < size ? last : size - 1;
    return BB_HTTP_RANGE_ONE;
}

bool bb_http_query(struct bb_http_span query, const char *name, struct bb_http_span *ret_value)
{
    size_t name_len = strlen(name);
    BB_ASSERT(name_len > 0);
    while (query.at != NULL) {
        const char *mark = query.len == 0 ? NULL : memchr(query.at, '&', query.len);
        struct bb_http_span pair = query;
        query = (struct bb_http_span){NULL, 0};
        if (mark != NULL) {
            query = bb_http_span_after(pair, (size_t)(mark - pair.at) + 1);
            pair.len = (size_t)(mark - pair.at);
        }
        if (pair.len < name_len || memcmp(pair.at, name, name_len) != 0)
            continue;
        if (pair.len > name_len && pair.at[name_len] != '=')
            continue;
        *ret_value = bb_http_span_after(pair, pair.len > name_len ? name_len + 1 : name_len);
        return true;
    }
    return false;
}
