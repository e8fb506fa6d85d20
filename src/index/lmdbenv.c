/* SPDX-License-Identifier: Apache-2.0
 * Format, open and close the environment. Owner: the starting thread.
 *
 * LMDB opens the device by a symlink in the runtime directory, without O_EXCL: the claim is held by
 * struct bb_device in this process. That both lead to the same device is checked after the open.
 */
#include "lmdbenv.h"

#include "bb/err.h"
#include "bb/indexcodec.h"
#include "lmdbpage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENV_FLAGS (MDB_NOSUBDIR | MDB_NORDAHEAD | MDB_NOTLS)
#define DATABASE_COUNT 2
#define SEED_SIZE_MAX (1u << 20) /* of an environment with two empty databases */

int bb_lmdb_error(int rc)
{
    if (rc == 0)
        return 0;
    if (rc > 0)
        return -rc;
    switch (rc) {
    case MDB_NOTFOUND:
        return -ENOENT;
    case MDB_KEYEXIST:
        return -EEXIST;
    case MDB_MAP_FULL:
        return BB_ERR_INDEX_FULL;
    case MDB_VERSION_MISMATCH:
        return BB_ERR_VERSION;
    case MDB_READERS_FULL:
        return BB_ERR_BUSY;
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_MAP_RESIZED:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE:
        return BB_ERR_INDEX_DAMAGED;
    default:
        return BB_ERR_FATAL;
    }
}

/* runtime_dir/bb-index-PID-N SUFFIX; N tells the environments of one process apart. */
static int make_path(const char *runtime_dir, unsigned number, const char *suffix, char *ret_path,
                     size_t path_size)
{
    int len = snprintf(ret_path, path_size, "%s/bb-index-%d-%u%s", runtime_dir, (int)getpid(),
                       number, suffix);
    return len < 0 || (size_t)len >= path_size ? -ENAMETOOLONG : 0;
}

static unsigned next_number(void)
{
    static _Atomic unsigned count;
    return atomic_fetch_add(&count, 1);
}

static uint64_t map_size_of(const struct bb_device *device, uint32_t page_size)
{
    return device->size / page_size * page_size;
}

/* The two meta pages of an environment that nothing was ever written to. LMDB would make pages of
 * the size of this machine's, up to 32 KiB; it takes those that it finds, of 4 KiB on any machine:
 * so a store can be carried to any other, and a transaction dirties as much memory as the budget
 * has for it. */
static int make_blank(const char *path, uint64_t map_size)
{
    uint8_t pages[2 * LMDB_PAGE_SIZE] = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    for (unsigned at = 0; at < 2; at++) {
        struct lmdb_disk_meta meta = {
            .header = {.page = bb_le64_make(at), .flags = bb_le16_make(LMDB_P_META)},
            .magic = bb_le32_make(LMDB_MAGIC),
            .version = bb_le32_make(LMDB_VERSION),
            .map_size = bb_le64_make(map_size),
            .free = {.pad = bb_le32_make(LMDB_PAGE_SIZE),
                     .flags = bb_le16_make(LMDB_DB_INTEGERKEY | LMDB_DB_NOSUBDIR),
                     .root = bb_le64_make(LMDB_NO_PAGE)},
            .main = {.root = bb_le64_make(LMDB_NO_PAGE)},
            .last_page = bb_le64_make(1),
        };
        memcpy(pages + (size_t)at * LMDB_PAGE_SIZE, &meta, sizeof(meta));
    }
    ssize_t written = write(fd, pages, sizeof(pages));
    int rc = written < 0 ? -errno : written == (ssize_t)sizeof(pages) ? 0 : -ENOSPC;
    close(fd);
    return rc;
}

/* An environment with our two empty databases, in an ordinary file. */
static int make_seed(const char *path, uint64_t map_size)
{
    MDB_env *env;
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    int rc = make_blank(path, map_size);
    if (rc < 0)
        return rc;
    rc = mdb_env_create(&env);
    if (rc != 0)
        return bb_lmdb_error(rc);
    rc = mdb_env_set_mapsize(env, map_size);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(env, DATABASE_COUNT);
    if (rc == 0)
        rc = mdb_env_open(env, path, ENV_FLAGS | MDB_NOLOCK, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, BB_INDEX_BLOCK_NAME, MDB_CREATE, &dbi);
    if (rc == 0)
        rc = mdb_dbi_open(txn, BB_INDEX_STATE_NAME, MDB_CREATE, &dbi);
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
        txn = NULL;
    }
    if (txn != NULL)
        mdb_txn_abort(txn);
    mdb_env_close(env);
    return bb_lmdb_error(rc);
}

/* The file's bytes, zero padded to whole units. */
static int read_seed(const char *path, uint8_t *buf, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t size = 0;
    ssize_t got = 0;
    while (size < SEED_SIZE_MAX && (got = read(fd, buf + size, SEED_SIZE_MAX - size)) > 0)
        size += (size_t)got;
    int rc = got < 0 ? -errno : 0;
    close(fd);
    if (rc < 0)
        return rc;
    if (size == SEED_SIZE_MAX)
        return BB_ERR_FATAL;
    *ret_size = (size + BB_UNIT_SIZE - 1) / BB_UNIT_SIZE * BB_UNIT_SIZE;
    return 0;
}

int bb_lmdb_invalidate(const struct bb_device *device)
{
    uint64_t size =
        device->size < LMDB_HEAD_SIZE ? device->size / BB_UNIT_SIZE * BB_UNIT_SIZE : LMDB_HEAD_SIZE;
    int rc = bb_device_zero(device, 0, size);
    return rc < 0 ? rc : bb_device_sync(device);
}

/* Pages first, metas last: cut short, the device stays invalid. */
static int write_seed(const struct bb_device *device, const uint8_t *seed, size_t size)
{
    struct bb_lmdb_meta meta;
    int rc = bb_lmdb_check_metas(seed, LMDB_HEAD_SIZE, device->size, &meta);
    if (rc < 0)
        return rc;
    size_t metas_size = 2 * (size_t)meta.page_size;
    BB_ASSERT(meta.page_size == LMDB_PAGE_SIZE);
    BB_ASSERT(size > metas_size);
    rc = bb_lmdb_invalidate(device);
    if (rc == 0)
        rc = bb_device_write(device, metas_size, seed + metas_size, size - metas_size);
    if (rc == 0)
        rc = bb_device_sync(device);
    if (rc == 0)
        rc = bb_device_write(device, 0, seed, metas_size);
    return rc < 0 ? rc : bb_device_sync(device);
}

int bb_lmdb_format(const struct bb_device *device, const char *runtime_dir)
{
    char path[256];
    struct bb_arena arena;
    size_t size = 0;
    BB_ASSERT(!device->read_only);
    if (device->size < BB_LMDB_SIZE_MIN)
        return BB_ERR_GEOMETRY;
    int rc = make_path(runtime_dir, next_number(), "-seed", path, sizeof(path));
    if (rc == 0)
        rc = bb_arena_open(SEED_SIZE_MAX, false, false, &arena);
    if (rc < 0)
        return rc;
    uint8_t *seed = bb_arena_alloc(&arena, SEED_SIZE_MAX, BB_UNIT_SIZE);
    BB_ASSERT(seed != NULL);
    (void)unlink(path); /* left by a process that had our pid */
    rc = make_seed(path, map_size_of(device, LMDB_PAGE_SIZE_MAX));
    if (rc == 0)
        rc = read_seed(path, seed, &size);
    if (rc == 0)
        rc = write_seed(device, seed, size);
    (void)unlink(path);
    bb_arena_close(&arena);
    return rc;
}

static bool same_device(int fd, const struct bb_device *device)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    return device->is_block ? S_ISBLK(st.st_mode) && st.st_rdev == device->number
                            : st.st_dev == device->number && st.st_ino == device->inode;
}

/* Through the kernel's cache, where LMDB will look for the same pages. */
static int check_pages(const struct bb_device *device, const void *head,
                       const struct bb_lmdb_meta *meta)
{
    struct bb_device cached = *device;
    cached.fd = open(device->path, O_RDONLY | O_CLOEXEC);
    cached.direct = false;
    if (cached.fd < 0)
        return -errno;
    int rc = same_device(cached.fd, device) ? 0 : BB_ERR_REFUSED;
    if (rc == 0) {
        bb_lmdbreadin_ask(cached.fd, (meta->last_page + 1) * meta->page_size);
        rc = bb_lmdbtree_check(&cached, head, meta);
    }
    close(cached.fd);
    return rc;
}

static int check_device(const struct bb_device *device, struct bb_lmdb_meta *ret_meta)
{
    struct bb_arena arena;
    if (device->size < BB_LMDB_SIZE_MIN)
        return BB_ERR_NOT_FORMATTED;
    int rc = bb_arena_open(LMDB_HEAD_SIZE, false, false, &arena);
    if (rc < 0)
        return rc;
    void *head = bb_arena_alloc(&arena, LMDB_HEAD_SIZE, BB_UNIT_SIZE);
    BB_ASSERT(head != NULL);
    rc = bb_device_read(device, 0, head, LMDB_HEAD_SIZE);
    if (rc == 0)
        rc = bb_lmdb_check_metas(head, LMDB_HEAD_SIZE, device->size, ret_meta);
    if (rc == 0)
        rc = check_pages(device, head, ret_meta);
    bb_arena_close(&arena);
    return rc;
}

/* Removes links and lock files of processes that were killed: they could not do it themselves. */
static void sweep(const char *runtime_dir)
{
    DIR *dir = opendir(runtime_dir);
    if (dir == NULL)
        return;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        int pid;
        unsigned number;
        if (sscanf(entry->d_name, "bb-index-%d-%u", &pid, &number) == 2 && pid > 0 &&
            kill(pid, 0) != 0 && errno == ESRCH)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    (void)closedir(dir);
}

static int make_link(struct bb_lmdb *lmdb, const struct bb_device *device, const char *runtime_dir)
{
    char target[PATH_MAX];
    unsigned number = next_number();
    int rc = make_path(runtime_dir, number, "", lmdb->link_path, sizeof(lmdb->link_path));
    if (rc == 0)
        rc = make_path(runtime_dir, number, "-lock", lmdb->lock_path, sizeof(lmdb->lock_path));
    if (rc < 0)
        return rc;
    if (realpath(device->path, target) == NULL)
        return -errno;
    sweep(runtime_dir);
    (void)unlink(lmdb->link_path); /* left by a process that had our pid */
    (void)unlink(lmdb->lock_path);
    return symlink(target, lmdb->link_path) == 0 ? 0 : -errno;
}

static int check_identity(struct bb_lmdb *lmdb, const struct bb_device *device)
{
    mdb_filehandle_t fd;
    int rc = mdb_env_get_fd(lmdb->env, &fd);
    if (rc != 0)
        return bb_lmdb_error(rc);
    return same_device(fd, device) ? 0 : BB_ERR_REFUSED;
}

static int open_databases(struct bb_lmdb *lmdb)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return bb_lmdb_error(rc);
    rc = mdb_dbi_open(txn, BB_INDEX_BLOCK_NAME, 0, &lmdb->block);
    if (rc == 0)
        rc = mdb_dbi_open(txn, BB_INDEX_STATE_NAME, 0, &lmdb->state);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc == MDB_NOTFOUND ? BB_ERR_INDEX_DAMAGED : bb_lmdb_error(rc);
    }
    return bb_lmdb_error(mdb_txn_commit(txn)); /* keeps the handles */
}

static int open_env(struct bb_lmdb *lmdb, const struct bb_device *device)
{
    unsigned flags = ENV_FLAGS | (lmdb->read_only ? MDB_RDONLY : 0);
    int rc = mdb_env_create(&lmdb->env);
    if (rc != 0)
        return bb_lmdb_error(rc);
    rc = mdb_env_set_mapsize(lmdb->env, lmdb->map_pages * lmdb->page_size);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(lmdb->env, DATABASE_COUNT);
    if (rc == 0)
        rc = mdb_env_open(lmdb->env, lmdb->link_path, flags, 0600);
    rc = bb_lmdb_error(rc);
    if (rc == 0)
        rc = check_identity(lmdb, device);
    if (rc == 0)
        rc = open_databases(lmdb);
    if (rc == 0)
        rc = bb_lmdbreader_begin(lmdb, &lmdb->lookup);
    if (rc == 0)
        rc = bb_lmdbreader_begin(lmdb, &lmdb->account);
    if (rc == 0)
        bb_lmdb_rest(lmdb);
    return rc == 0 ? bb_lmdbroom_reset(lmdb) : rc;
}

int bb_lmdb_open(const struct bb_device *device, const char *runtime_dir, bool read_only,
                 struct bb_lmdb **ret_lmdb)
{
    struct bb_lmdb_meta meta;
    struct bb_arena arena;
    BB_ASSERT(read_only || !device->read_only);
    int rc = check_device(device, &meta);
    if (rc == 0)
        rc = bb_arena_open(sizeof(struct bb_lmdb), false, false, &arena);
    if (rc < 0)
        return rc;
    struct bb_lmdb *lmdb = bb_arena_alloc(&arena, sizeof(*lmdb), _Alignof(struct bb_lmdb));
    BB_ASSERT(lmdb != NULL);
    lmdb->arena = arena;
    lmdb->read_only = read_only;
    lmdb->page_size = meta.page_size;
    lmdb->map_pages = map_size_of(device, meta.page_size) / meta.page_size;
    lmdb->slice_max = bb_lmdb_slice_max(lmdb->map_pages);
    rc = make_link(lmdb, device, runtime_dir);
    if (rc == 0)
        rc = open_env(lmdb, device);
    if (rc < 0) {
        bb_lmdb_close(lmdb);
        return rc;
    }
    *ret_lmdb = lmdb;
    return 0;
}

void bb_lmdb_close(struct bb_lmdb *lmdb)
{
    struct bb_arena arena = lmdb->arena;
    for (unsigned i = 0; i < BB_LMDB_READERS_MAX; i++)
        BB_ASSERT(!lmdb->readers[i].taken);
    bb_lmdbreader_end(&lmdb->lookup);
    bb_lmdbreader_end(&lmdb->account);
    if (lmdb->env != NULL)
        mdb_env_close(lmdb->env);
    (void)unlink(lmdb->link_path);
    (void)unlink(lmdb->lock_path);
    bb_arena_close(&arena);
}
