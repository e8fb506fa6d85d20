/* SPDX-License-Identifier: Apache-2.0
 * What bbctl copy has to do, a page of the source's list at a time: the names of the page, which of
 * them the target lacks, how far the work on it has come, and where to go on after a stop. Pure,
 * not thread-safe.
 *
 * A page is worked on in any order by several connections; the mark is the last name up to which
 * everything is done, so that a run that starts behind it leaves nothing out.
 */
#ifndef BB_CTL_COPYPLAN_H
#define BB_CTL_COPYPLAN_H

#include "bb/hash.h"

#define BB_COPY_PAGE_MAX 10000u /* as many as the daemon lists, and is asked about, at once */

struct bb_copy_entry {
    struct bb_hash hash;
    uint32_t size;
    bool missing; /* at the target */
    bool done;
};

struct bb_copy_page {
    bool from_start;      /* nothing is before it: after is meaningless */
    struct bb_hash after; /* the name it begins behind */
    uint32_t count;
    uint32_t missing_count;
    uint64_t missing_bytes;
    uint32_t next; /* first entry that nobody has taken */
    struct bb_copy_entry entries[BB_COPY_PAGE_MAX];
};

/* Empties the page; after NULL: it begins at the start of the list. */
void bb_copy_page_begin(struct bb_copy_page *page, const struct bb_hash *after);

/* Takes the body of GET /blocks: whole lines, "HASH SIZE", in strictly ascending order behind
 * `after`. Nothing is missing then. False when it is anything else; the page is of no use then. */
BB_MUST_USE bool bb_copy_page_take_list(struct bb_copy_page *page, const char *text);

/* Writes the names of the page as the lines that POST /blocks/missing wants. */
#define BB_COPY_LINES_MAX (BB_COPY_PAGE_MAX * (BB_HASH_HEX_SIZE + 1u))
size_t bb_copy_page_lines(const struct bb_copy_page *page, char ret_text[static BB_COPY_LINES_MAX]);

/* Takes the answer to that: some of the names in the same order. False when it is anything else. */
BB_MUST_USE bool bb_copy_page_take_missing(struct bb_copy_page *page, const char *text);

/* The next entry to work on, NULL when there is none: with all those that are missing, or, when
 * `all`, every one. The others become done. */
struct bb_copy_entry *bb_copy_page_take(struct bb_copy_page *page, bool all);

/* Everything up to this name is done; false when not even the first entry of the list is. */
BB_MUST_USE bool bb_copy_page_mark(const struct bb_copy_page *page, struct bb_hash *ret_mark);

/* The last name of the page, or what it begins behind when it is empty; NULL: neither. */
const struct bb_hash *bb_copy_page_last(const struct bb_copy_page *page);

/* How much of all names lies before this one, from 0 to 1: hashes are evenly distributed. */
double bb_copy_part(const struct bb_hash *hash);

#endif
