/* SPDX-License-Identifier: Apache-2.0
 * A disk with a volatile write cache, as an nbdkit plugin: killing nbdkit with SIGKILL is a power
 * cut.
 *
 * The medium is a folder of files, one for each export, so that one process is the power supply of
 * several disks. A written sector of 512 bytes stays in memory until a flush comes, except that
 * with `chance` in 1000 it goes to the medium at once, as caches write back when they like: what a
 * cut leaves is then any subset of what was not flushed, torn within a write. lie=1 ignores
 * flushes. Requests come one at a time.
 *
 *   nbdkit volatile.so folder=DIR seed=N chance=0..1000 lie=0|1
 */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <fcntl.h>
#include <nbdkit-plugin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#define SECTOR 512u

struct disk {
    int fd;
    uint64_t sectors;
    uint8_t **cached; /* a sector that the medium does not have, or NULL */
    uint64_t *order;  /* sectors that were cached since the last flush, once each */
    uint64_t ordered;
};

static const char *folder;
static uint64_t chance, state = 1;
static bool lie;

/* xorshift64* (Vigna) */
static uint64_t next_random(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

static int volatile_config(const char *key, const char *value)
{
    if (strcmp(key, "folder") == 0)
        folder = value;
    else if (strcmp(key, "chance") == 0)
        chance = strtoull(value, NULL, 10);
    else if (strcmp(key, "seed") == 0)
        state = strtoull(value, NULL, 10) * 2 + 1;
    else if (strcmp(key, "lie") == 0)
        lie = strcmp(value, "1") == 0;
    else {
        nbdkit_error("unknown parameter %s", key);
        return -1;
    }
    return 0;
}

static int volatile_config_complete(void)
{
    if (folder != NULL)
        return 0;
    nbdkit_error("folder= is missing");
    return -1;
}

static void *volatile_open(int readonly)
{
    (void)readonly;
    char path[4096];
    struct stat status;
    const char *name = nbdkit_export_name();
    struct disk *disk = calloc(1, sizeof(*disk));
    if (disk == NULL || name == NULL || *name == '\0' || strchr(name, '/') != NULL) {
        nbdkit_error("name an export");
        free(disk);
        return NULL;
    }
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    disk->fd = open(path, O_RDWR | O_CLOEXEC);
    if (disk->fd < 0 || fstat(disk->fd, &status) != 0) {
        nbdkit_error("%s: %m", path);
        free(disk);
        return NULL;
    }
    disk->sectors = (uint64_t)status.st_size / SECTOR;
    disk->cached = calloc(disk->sectors, sizeof(*disk->cached));
    disk->order = calloc(disk->sectors, sizeof(*disk->order));
    if (disk->cached == NULL || disk->order == NULL) {
        nbdkit_error("no memory");
        return NULL; /* nbdkit ends here: nothing is worth keeping */
    }
    return disk;
}

static int64_t volatile_get_size(void *handle)
{
    const struct disk *disk = handle;
    return (int64_t)(disk->sectors * SECTOR);
}

static int volatile_yes(void *handle)
{
    (void)handle;
    return 1;
}

/* nbdkit turns a write with FUA into a write and a flush. */
static int volatile_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_EMULATE;
}

static int volatile_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)flags;
    const struct disk *disk = handle;
    if (pread(disk->fd, buf, count, (off_t)offset) != (ssize_t)count) {
        nbdkit_error("read: %m");
        return -1;
    }
    for (uint32_t done = 0; done < count; done += SECTOR) {
        const uint8_t *sector = disk->cached[(offset + done) / SECTOR];
        if (sector != NULL)
            memcpy((uint8_t *)buf + done, sector, SECTOR);
    }
    return 0;
}

static int to_medium(const struct disk *disk, uint64_t number, const void *sector)
{
    if (pwrite(disk->fd, sector, SECTOR, (off_t)(number * SECTOR)) == SECTOR)
        return 0;
    nbdkit_error("write: %m");
    return -1;
}

static int write_sector(struct disk *disk, uint64_t number, const void *sector)
{
    if (next_random() % 1000 < chance) {
        free(disk->cached[number]);
        disk->cached[number] = NULL; /* its place in `order` may stay: flush skips it */
        return to_medium(disk, number, sector);
    }
    if (disk->cached[number] == NULL) {
        disk->cached[number] = malloc(SECTOR);
        if (disk->cached[number] == NULL) {
            nbdkit_error("no memory");
            return -1;
        }
        if (disk->ordered < disk->sectors)
            disk->order[disk->ordered++] = number;
        else
            disk->ordered = UINT64_MAX; /* more than all: the next flush looks at each */
    }
    memcpy(disk->cached[number], sector, SECTOR);
    return 0;
}

static int volatile_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
                           uint32_t flags)
{
    (void)flags;
    struct disk *disk = handle;
    for (uint32_t done = 0; done < count; done += SECTOR)
        if (write_sector(disk, (offset + done) / SECTOR, (const uint8_t *)buf + done) != 0)
            return -1;
    return 0;
}

static int volatile_flush(void *handle, uint32_t flags)
{
    (void)flags;
    struct disk *disk = handle;
    bool all = disk->ordered > disk->sectors;
    uint64_t count = all ? disk->sectors : disk->ordered;
    if (lie)
        return 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = all ? i : disk->order[i];
        uint8_t *sector = disk->cached[number];
        if (sector == NULL)
            continue;
        if (to_medium(disk, number, sector) != 0)
            return -1;
        free(sector);
        disk->cached[number] = NULL;
    }
    disk->ordered = 0;
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "volatile",
    .longname = "disk with a volatile write cache",
    .config = volatile_config,
    .config_complete = volatile_config_complete,
    .open = volatile_open,
    .get_size = volatile_get_size,
    .can_write = volatile_yes,
    .can_flush = volatile_yes,
    .can_fua = volatile_can_fua,
    .pread = volatile_pread,
    .pwrite = volatile_pwrite,
    .flush = volatile_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
