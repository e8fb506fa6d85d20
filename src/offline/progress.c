/* SPDX-License-Identifier: Apache-2.0
 * The bar of progress.h. Owner: the calling thread.
 */
#include "bb/progress.h"

#include "bb/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 30u

void bb_progress_init(struct bb_progress *progress)
{
    *progress =
        (struct bb_progress){.terminal = isatty(STDERR_FILENO) == 1, .began_ms = bb_clock_ms()};
}

char *bb_progress_line(const char *step, uint64_t done, uint64_t total, uint64_t seconds, char *ret,
                       size_t ret_size)
{
    char bar[BAR_WIDTH + 1];
    if (total == 0) {
        (void)snprintf(ret, ret_size, "%s, %llu s", step, (unsigned long long)seconds);
        return ret;
    }
    double share = done < total ? (double)done / (double)total : 1;
    unsigned filled = (unsigned)(share * BAR_WIDTH);
    BB_ASSERT(filled <= BAR_WIDTH);
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '=', filled);
    if (filled < BAR_WIDTH)
        bar[filled] = '>';
    bar[BAR_WIDTH] = '\0';
    (void)snprintf(ret, ret_size, "[%s] %3u %% %s, %llu s", bar, (unsigned)(share * 100), step,
                   (unsigned long long)seconds);
    return ret;
}

void bb_progress_show(struct bb_progress *progress, const char *step, uint64_t done, uint64_t total)
{
    char line[BB_PROGRESS_LINE_MAX];
    if (!progress->terminal)
        return;
    uint64_t now_ms = bb_clock_ms();
    if (now_ms < progress->began_ms + BB_PROGRESS_AFTER_MS ||
        now_ms < progress->drawn_ms + BB_PROGRESS_EVERY_MS)
        return;
    progress->drawn_ms = now_ms;
    progress->drawn = true;
    fprintf(stderr, "\r%s\033[K",
            bb_progress_line(step, done, total, (now_ms - progress->began_ms) / 1000, line,
                             sizeof(line)));
    fflush(stderr);
}

void bb_progress_clear(struct bb_progress *progress)
{
    if (!progress->drawn)
        return;
    fprintf(stderr, "\r\033[K");
    fflush(stderr);
    progress->drawn = false;
}
