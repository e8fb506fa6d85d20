/* SPDX-License-Identifier: Apache-2.0
 * A disk with a slow flush, like the memory card of a board, as an nbdkit plugin: reads and writes
 * are those of memory, a flush takes as long as it is told, one after the other.
 *
 *   nbdkit card.so size=BYTES flush=MILLISECONDS
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static int64_t size;
static long flush_ms;
static uint8_t *bytes;
static pthread_mutex_t flushing = PTHREAD_MUTEX_INITIALIZER;

static int card_config(const char *key, const char *value)
{
    if (strcmp(key, "size") == 0)
        size = nbdkit_parse_size(value);
    else if (strcmp(key, "flush") == 0)
        flush_ms = strtol(value, NULL, 10);
    else {
        nbdkit_error("unknown parameter %s", key);
        return -1;
    }
    return size < 0 ? -1 : 0;
}

static int card_get_ready(void)
{
    bytes = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return bytes == MAP_FAILED ? -1 : 0;
}

static void *card_open(int readonly)
{
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t card_get_size(void *handle)
{
    (void)handle;
    return size;
}

static int card_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)flags;
    memcpy(buf, bytes + offset, count);
    return 0;
}

static int card_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
                       uint32_t flags)
{
    (void)handle;
    (void)flags;
    memcpy(bytes + offset, buf, count);
    return 0;
}

static int card_flush(void *handle, uint32_t flags)
{
    struct timespec pause = {.tv_sec = flush_ms / 1000, .tv_nsec = flush_ms % 1000 * 1000000};
    (void)handle;
    (void)flags;
    pthread_mutex_lock(&flushing);
    (void)nanosleep(&pause, NULL);
    pthread_mutex_unlock(&flushing);
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "card",
    .config = card_config,
    .get_ready = card_get_ready,
    .open = card_open,
    .get_size = card_get_size,
    .pread = card_pread,
    .pwrite = card_pwrite,
    .flush = card_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
