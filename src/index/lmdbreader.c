/* SPDX-License-Identifier: Apache-2.0
 * Read transactions that are kept: renewing one takes no lock and allocates nothing. Opened and
 * closed by the starting thread, used by one thread each (MDB_NOTLS lets them move between).
 */
#include "bb/err.h"
#include "bb/indexcodec.h"
#include "lmdbenv.h"

#include <errno.h>

int bb_lmdbreader_begin(struct bb_lmdb *lmdb, struct bb_lmdb_reader *reader)
{
    BB_ASSERT(reader->txn == NULL);
    int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &reader->txn);
    if (rc != 0) {
        reader->txn = NULL;
        return bb_lmdb_error(rc);
    }
    reader->lmdb = lmdb;
    reader->resting = false;
    return 0;
}

void bb_lmdbreader_end(struct bb_lmdb_reader *reader)
{
    if (reader->txn != NULL)
        mdb_txn_abort(reader->txn);
    reader->txn = NULL;
}

int bb_lmdb_reader_open(struct bb_lmdb *lmdb, struct bb_lmdb_reader **ret_reader)
{
    for (unsigned i = 0; i < BB_LMDB_READERS_MAX; i++) {
        struct bb_lmdb_reader *reader = &lmdb->readers[i];
        if (reader->taken)
            continue;
        int rc = bb_lmdbreader_begin(lmdb, reader);
        if (rc < 0)
            return rc;
        reader->taken = true;
        *ret_reader = reader;
        return 0;
    }
    return BB_ERR_BUSY;
}

void bb_lmdb_reader_close(struct bb_lmdb_reader *reader)
{
    BB_ASSERT(reader->taken);
    bb_lmdbreader_end(reader);
    reader->taken = false;
}

int bb_lmdb_reader_refresh(struct bb_lmdb_reader *reader)
{
    bb_lmdb_reader_rest(reader);
    int rc = mdb_txn_renew(reader->txn);
    if (rc == 0)
        reader->resting = false;
    return bb_lmdb_error(rc);
}

void bb_lmdb_reader_rest(struct bb_lmdb_reader *reader)
{
    BB_ASSERT(reader->txn != NULL);
    if (!reader->resting)
        mdb_txn_reset(reader->txn);
    reader->resting = true;
}

int bb_lmdb_reader_lookup(struct bb_lmdb_reader *reader, const struct bb_hash *hash,
                          struct bb_index_entry *ret_entry)
{
    MDB_val key = {.mv_size = sizeof(hash->bytes), .mv_data = (void *)hash->bytes};
    MDB_val value;
    BB_ASSERT(!reader->resting);
    int rc = mdb_get(reader->txn, reader->lmdb->block, &key, &value);
    if (rc != 0)
        return bb_lmdb_error(rc);
    return bb_index_value_decode(value.mv_data, value.mv_size, ret_entry);
}
