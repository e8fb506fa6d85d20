/* SPDX-License-Identifier: Apache-2.0
 * Reading the pages of an index in, in the order of the device. Any thread.
 *
 * The kernel forgets a block device's pages when its last user closes it, so every start finds the
 * index cold, and a scan in key order would fault it in page by page in random order. Asked for in
 * sequence it comes at the speed of the device.
 */
#include "bb/bits.h"
#include "bb/memlimit.h"
#include "lmdbenv.h"

#include <fcntl.h>
#include <stdio.h>

#define STEP (128u << 10) /* the kernel cuts a request to what the device reads ahead */

/* Half of what the kernel would give without swapping, 0 when it does not say. The pages are
 * charged to our control group: what it does not hold would push out its own beginning. */
static uint64_t memory_to_use(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long kib = 0;
    char line[128];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (file != NULL)
        (void)fclose(file);
    return bb_min_u64(kib * BB_KIB, bb_memlimit_find("")) / 2;
}

void bb_lmdbreadin_ask(int fd, uint64_t size)
{
    if (size > memory_to_use())
        return; /* it would only push out what was read first */
    for (uint64_t offset = 0; offset < size; offset += STEP)
        (void)posix_fadvise(fd, (off_t)offset, STEP, POSIX_FADV_WILLNEED);
}

void bb_lmdb_read_in(struct bb_lmdb *lmdb)
{
    MDB_envinfo info;
    mdb_filehandle_t fd;
    if (mdb_env_info(lmdb->env, &info) == 0 && mdb_env_get_fd(lmdb->env, &fd) == 0)
        bb_lmdbreadin_ask(fd, ((uint64_t)info.me_last_pgno + 1) * lmdb->page_size);
}
