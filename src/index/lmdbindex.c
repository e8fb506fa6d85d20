/* SPDX-License-Identifier: Apache-2.0
 * struct bb_index over LMDB. A fold is one write transaction: each change takes the old value out
 * of the set and the new one in, the state row goes last. Owner of fold, append and put_state: the
 * checkpointer; lookup and refresh: the controller; scan makes its own transaction.
 */
#include "bb/lmdbindex.h"

#include "bb/err.h"
#include "bb/indexcodec.h"
#include "lmdbenv.h"

#include <errno.h>

static MDB_val hash_key(const struct bb_hash *hash)
{
    return (MDB_val){.mv_size = sizeof(hash->bytes), .mv_data = (void *)hash->bytes};
}

static MDB_val state_key(void)
{
    return (MDB_val){.mv_size = strlen(BB_INDEX_STATE_KEY), .mv_data = BB_INDEX_STATE_KEY};
}

static int get_state(struct bb_lmdb *lmdb, MDB_txn *txn, struct bb_index_state *ret_state)
{
    MDB_val key = state_key(), value;
    int rc = mdb_get(txn, lmdb->state, &key, &value);
    if (rc == MDB_NOTFOUND)
        return BB_ERR_NOT_FORMATTED;
    if (rc != 0)
        return bb_lmdb_error(rc);
    return bb_index_state_decode(value.mv_data, value.mv_size, ret_state);
}

static int put_state(struct bb_lmdb *lmdb, MDB_txn *txn, const struct bb_index_state *state)
{
    struct bb_disk_index_state row;
    bb_index_state_encode(state, &row);
    MDB_val key = state_key();
    MDB_val value = {.mv_size = sizeof(row), .mv_data = &row};
    return bb_lmdb_error(mdb_put(txn, lmdb->state, &key, &value, 0));
}

static int begin(struct bb_lmdb *lmdb, MDB_txn **ret_txn)
{
    BB_ASSERT(!lmdb->read_only);
    return bb_lmdb_error(mdb_txn_begin(lmdb->env, NULL, 0, ret_txn));
}

/* Commits when rc is 0, else aborts. */
static int end(MDB_txn *txn, int rc)
{
    if (rc == 0)
        return bb_lmdb_error(mdb_txn_commit(txn));
    mdb_txn_abort(txn);
    return rc;
}

static struct bb_index_entry wanted(const struct bb_change *change)
{
    return (struct bb_index_entry){.unit = change->unit,
                                   .size = change->size,
                                   .flags = change->corrupt ? BB_INDEX_CORRUPT : 0};
}

/* What a transaction did to the map. */
struct tally {
    struct bb_set *set;
    uint32_t added, removed; /* hashes that were not there before, that are gone */
    bool beyond;             /* all hashes are above those of the map: leaves get packed */
};

/* Stores the entry; the set follows. One descent of the tree for a new key, none more for an old
 * one. */
static int put_entry(MDB_cursor *cursor, const struct bb_change *change, struct tally *tally)
{
    struct bb_index_entry entry = wanted(change), old;
    struct bb_disk_index_value disk;
    bb_index_value_encode(&entry, &disk);
    MDB_val key = hash_key(&change->hash);
    MDB_val value = {.mv_size = sizeof(disk), .mv_data = &disk};
    int rc = mdb_cursor_put(cursor, &key, &value, MDB_NOOVERWRITE);
    if (rc == 0)
        tally->added++;
    if (rc == MDB_KEYEXIST) {
        rc = bb_index_value_decode(value.mv_data, value.mv_size, &old);
        if (rc < 0)
            return rc;
        if (memcmp(value.mv_data, &disk, sizeof(disk)) == 0)
            return 0;
        if (tally->set->count == 0)
            return BB_ERR_INDEX_DAMAGED; /* the row counted less than there is */
        bb_set_remove(tally->set, &change->hash, old.unit, old.size);
        value = (MDB_val){.mv_size = sizeof(disk), .mv_data = &disk};
        rc = mdb_cursor_put(cursor, &key, &value, MDB_CURRENT);
    }
    if (rc != 0)
        return bb_lmdb_error(rc);
    bb_set_add(tally->set, &change->hash, change->unit, change->size);
    return 0;
}

static int remove_entry(MDB_cursor *cursor, const struct bb_change *change, struct tally *tally)
{
    struct bb_index_entry old;
    MDB_val key = hash_key(&change->hash), value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return bb_lmdb_error(rc);
    rc = bb_index_value_decode(value.mv_data, value.mv_size, &old);
    if (rc < 0)
        return rc;
    if (tally->set->count == 0)
        return BB_ERR_INDEX_DAMAGED;
    bb_set_remove(tally->set, &change->hash, old.unit, old.size);
    tally->removed++;
    return bb_lmdb_error(mdb_cursor_del(cursor, 0));
}

static int find_beyond(MDB_cursor *cursor, const struct bb_index_fold *fold, struct tally *tally)
{
    MDB_val last, value;
    int rc = mdb_cursor_get(cursor, &last, &value, MDB_LAST);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return bb_lmdb_error(rc);
    const struct bb_hash *first = &fold->changes[0].hash;
    tally->beyond =
        rc == MDB_NOTFOUND || (last.mv_size == sizeof(first->bytes) &&
                               memcmp(last.mv_data, first->bytes, sizeof(first->bytes)) < 0);
    return 0;
}

/* Visits 0 to count - 1 once each, from 0 on, in no order that keys have: a congruential generator
 * of the full period (Hull and Dobell 1962), without what lies beyond. Dense runs of ascending keys
 * leave all leaves equally full, so that later all split at about the same time: 60 to 92 bytes per
 * record, by the number of records. In disorder it is 86 at any time. */
static uint32_t next_in_disorder(uint32_t at, uint32_t count)
{
    uint32_t period = 1u << (32 - (unsigned)__builtin_clz(count));
    do
        at = (at * 1664525u + 1013904223u) & (period - 1);
    while (at >= count);
    return at;
}

static int apply(struct bb_lmdb *lmdb, MDB_txn *txn, const struct bb_index_fold *fold,
                 struct tally *tally)
{
    MDB_cursor *cursor;
    int rc = bb_lmdb_error(mdb_cursor_open(txn, lmdb->block, &cursor));
    if (rc < 0)
        return rc;
    if (fold->count > 0)
        rc = find_beyond(cursor, fold, tally);
    for (uint32_t i = 1; i < fold->count; i++)
        BB_ASSERT(bb_hash_compare(&fold->changes[i - 1].hash, &fold->changes[i].hash) < 0);
    uint32_t at = 0;
    for (uint32_t i = 0; i < fold->count && rc == 0; i++) {
        const struct bb_change *change = &fold->changes[at];
        rc = change->present ? put_entry(cursor, change, tally)
                             : remove_entry(cursor, change, tally);
        at = next_in_disorder(at, fold->count);
    }
    mdb_cursor_close(cursor);
    return rc;
}

static int op_fold(void *index, const struct bb_index_fold *fold, struct bb_set *ret_set,
                   uint64_t *ret_room)
{
    struct bb_lmdb *lmdb = index;
    struct bb_index_state state;
    struct tally tally = {.set = &state.set};
    MDB_txn *txn;
    BB_ASSERT(fold->count <= lmdb->slice_max);
    int rc = begin(lmdb, &txn);
    if (rc < 0)
        return rc;
    rc = get_state(lmdb, txn, &state);
    if (rc == 0)
        rc = apply(lmdb, txn, fold, &tally);
    if (rc == 0 && fold->anchor != NULL)
        state.anchor = *fold->anchor;
    if (fold->epoch != 0)
        state.epoch = fold->epoch;
    if (fold->scrub != NULL)
        state.scrub = *fold->scrub;
    if (rc == 0)
        rc = put_state(lmdb, txn, &state);
    rc = end(txn, rc);
    if (rc == 0)
        rc = tally.beyond ? bb_lmdbroom_reset(lmdb)
                          : bb_lmdbroom_update(lmdb, tally.added, tally.removed);
    if (rc < 0)
        return rc;
    *ret_set = state.set;
    *ret_room = atomic_load_explicit(&lmdb->room, memory_order_relaxed);
    return 0;
}

int bb_lmdb_put_state(struct bb_lmdb *lmdb, const struct bb_index_state *state)
{
    MDB_txn *txn;
    int rc = begin(lmdb, &txn);
    return rc < 0 ? rc : end(txn, put_state(lmdb, txn, state));
}

static int append_all(MDB_cursor *cursor, const struct bb_change *changes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bb_index_entry entry = wanted(&changes[i]);
        struct bb_disk_index_value disk;
        BB_ASSERT(changes[i].present);
        bb_index_value_encode(&entry, &disk);
        MDB_val key = hash_key(&changes[i].hash);
        MDB_val value = {.mv_size = sizeof(disk), .mv_data = &disk};
        int rc = mdb_cursor_put(cursor, &key, &value, MDB_APPEND);
        if (rc != 0)
            return bb_lmdb_error(rc);
    }
    return 0;
}

int bb_lmdb_append(struct bb_lmdb *lmdb, const struct bb_change *changes, uint32_t count)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    BB_ASSERT(count <= lmdb->slice_max);
    int rc = begin(lmdb, &txn);
    if (rc < 0)
        return rc;
    rc = bb_lmdb_error(mdb_cursor_open(txn, lmdb->block, &cursor));
    if (rc == 0) {
        rc = append_all(cursor, changes, count);
        mdb_cursor_close(cursor);
    }
    rc = end(txn, rc);
    bb_lmdb_reader_rest(&lmdb->lookup); /* else the pages of the whole load stay pinned */
    return rc == 0 ? bb_lmdbroom_reset(lmdb) : rc;
}

static int op_state(void *index, struct bb_index_state *ret_state)
{
    struct bb_lmdb *lmdb = index;
    MDB_txn *txn;
    int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return bb_lmdb_error(rc);
    rc = get_state(lmdb, txn, ret_state);
    mdb_txn_abort(txn);
    return rc;
}

static int op_lookup(void *index, const struct bb_hash *hash, struct bb_index_entry *ret_entry)
{
    struct bb_lmdb *lmdb = index;
    int rc = lmdb->lookup.resting ? bb_lmdb_reader_refresh(&lmdb->lookup) : 0;
    return rc < 0 ? rc : bb_lmdb_reader_lookup(&lmdb->lookup, hash, ret_entry);
}

void bb_lmdb_rest(struct bb_lmdb *lmdb)
{
    bb_lmdb_reader_rest(&lmdb->lookup);
}

/* LMDB renews a transaction of an open environment always. */
static void op_refresh(void *index)
{
    struct bb_lmdb *lmdb = index;
    int rc = bb_lmdb_reader_refresh(&lmdb->lookup);
    BB_ASSERT(rc == 0);
}

static uint64_t op_room(void *index)
{
    struct bb_lmdb *lmdb = index;
    return atomic_load_explicit(&lmdb->room, memory_order_relaxed);
}

static int visit_all(MDB_cursor *cursor, const struct bb_hash *after, const struct bb_hash *below,
                     bb_index_visit_fn *visit, void *context)
{
    MDB_val key = {0}, value;
    int rc;
    if (after != NULL) {
        key = hash_key(after);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        if (rc == 0 && key.mv_size == sizeof(after->bytes) &&
            memcmp(key.mv_data, after->bytes, sizeof(after->bytes)) == 0)
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    } else {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    }
    for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        struct bb_index_entry entry;
        struct bb_hash hash;
        if (key.mv_size != sizeof(hash.bytes))
            return BB_ERR_INDEX_DAMAGED;
        memcpy(hash.bytes, key.mv_data, sizeof(hash.bytes));
        if (below != NULL && bb_hash_compare(&hash, below) >= 0)
            return 0;
        int result = bb_index_value_decode(value.mv_data, value.mv_size, &entry);
        if (result == 0)
            result = visit(context, &hash, &entry);
        if (result != 0)
            return result;
    }
    return rc == MDB_NOTFOUND ? 0 : bb_lmdb_error(rc);
}

static int op_scan(void *index, const struct bb_hash *after, const struct bb_hash *below,
                   bb_index_visit_fn *visit, void *context)
{
    struct bb_lmdb *lmdb = index;
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return bb_lmdb_error(rc);
    rc = bb_lmdb_error(mdb_cursor_open(txn, lmdb->block, &cursor));
    if (rc == 0) {
        rc = visit_all(cursor, after, below, visit, context);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc;
}

static const struct bb_index_ops lmdb_ops = {
    .state = op_state,
    .lookup = op_lookup,
    .fold = op_fold,
    .scan = op_scan,
    .refresh = op_refresh,
    .room = op_room,
};

void bb_lmdb_index(struct bb_lmdb *lmdb, struct bb_index *ret_index)
{
    ret_index->ops = &lmdb_ops;
    ret_index->context = lmdb;
    ret_index->slice_max = lmdb->slice_max;
}
