/* SPDX-License-Identifier: Apache-2.0
 * Settings are written by bb_log_init before there are threads and only read afterwards, but for
 * the level, which may change. A line is built on the stack and leaves in one write(2), so that
 * lines of several threads do not mix. Errors and warnings are also kept in a ring under a lock
 * that nobody else waits for long: they are rare. */
#include "bb/log.h"

#include "bb/assert.h"
#include "bb/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_SIZE 1024

static struct {
    char program[32]; /* with ": " behind it, or empty */
    _Atomic int level;
    bool to_journal;
} settings = {.level = BB_LOG_INFO};

static struct {
    pthread_mutex_t lock;
    uint64_t count; /* ever kept; number n is in lines[n % BB_LOG_KEPT_MAX] */
    struct bb_log_kept lines[BB_LOG_KEPT_MAX];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void keep(enum bb_log_level level, const char *text, size_t len)
{
    BB_ASSERT(level <= BB_LOG_WARNING);
    if (len >= BB_LOG_KEPT_TEXT)
        len = BB_LOG_KEPT_TEXT - 1;
    (void)pthread_mutex_lock(&kept.lock);
    kept.count++;
    struct bb_log_kept *line = &kept.lines[kept.count % BB_LOG_KEPT_MAX];
    line->number = kept.count;
    line->at_ms = bb_clock_ms();
    line->level = level;
    memcpy(line->text, text, len);
    line->text[len] = '\0';
    (void)pthread_mutex_unlock(&kept.lock);
}

unsigned bb_log_kept(uint64_t after, struct bb_log_kept ret_kept[BB_LOG_KEPT_MAX])
{
    unsigned found = 0;
    (void)pthread_mutex_lock(&kept.lock);
    uint64_t oldest = kept.count > BB_LOG_KEPT_MAX ? kept.count - BB_LOG_KEPT_MAX : 0;
    for (uint64_t i = after > oldest ? after : oldest; i < kept.count; i++)
        ret_kept[found++] = kept.lines[(i + 1) % BB_LOG_KEPT_MAX];
    (void)pthread_mutex_unlock(&kept.lock);
    BB_ASSERT(found <= BB_LOG_KEPT_MAX);
    return found;
}

/* JOURNAL_STREAM is DEVICE:INODE of what systemd has connected to the journal; stderr may have been
 * redirected since (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    char ours[64];
    if (stream == NULL || fstat(STDERR_FILENO, &status) != 0)
        return false;
    (void)snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)status.st_dev,
                   (uintmax_t)status.st_ino);
    return strcmp(stream, ours) == 0;
}

void bb_log_init(const char *program, enum bb_log_level level)
{
    BB_ASSERT(program != NULL);
    BB_ASSERT(level >= BB_LOG_ERROR && level <= BB_LOG_DEBUG);
    (void)snprintf(settings.program, sizeof(settings.program), "%.28s: ", program);
    bb_log_set_level(level);
    settings.to_journal = stderr_is_journal();
}

/* Bytes that a snprintf of `result` left in a buffer of `size`. */
static size_t written(int result, size_t size)
{
    if (result < 0)
        return 0;
    return (size_t)result < size ? (size_t)result : size - 1;
}

void bb_log_set_level(enum bb_log_level level)
{
    BB_ASSERT(level >= BB_LOG_ERROR && level <= BB_LOG_DEBUG);
    atomic_store_explicit(&settings.level, level, memory_order_relaxed);
}

void bb_log(unsigned flags, const char *format, ...)
{
    enum bb_log_level level = (enum bb_log_level)(flags & ~BB_LOG_PRIVATE);
    if ((int)level > atomic_load_explicit(&settings.level, memory_order_relaxed))
        return;
    int saved_errno = errno;
    char line[LINE_SIZE];
    size_t room = sizeof(line) - 1; /* for the newline */
    size_t len = 0;
    if (settings.to_journal)
        len = written(snprintf(line, room, "<%d>", (int)level), room);
    len += written(snprintf(line + len, room - len, "%s", settings.program), room - len);

    va_list arguments;
    va_start(arguments, format);
    int result = vsnprintf(line + len, room - len, format, arguments);
    va_end(arguments);
    size_t end = len + written(result, room - len);
    BB_ASSERT(end < sizeof(line));
    /* One event, one line: a name with a line break in it must not forge a second one. */
    for (size_t i = len; i < end; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    if (level <= BB_LOG_WARNING && (flags & BB_LOG_PRIVATE) == 0)
        keep(level, line + len, end - len);
    line[end] = '\n';
    (void)!write(STDERR_FILENO, line, end + 1); /* nobody to tell */
    errno = saved_errno;
}
