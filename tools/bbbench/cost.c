/* SPDX-License-Identifier: Apache-2.0
 * getrusage(2) for ourselves, proc(5) for the server. */
#include "bbbench/cost.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t us_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec;
}

void bb_cost_of_self(struct bb_cost *ret_cost)
{
    struct rusage usage = {0};
    int failed = getrusage(RUSAGE_SELF, &usage);
    BB_ASSERT(failed == 0);
    ret_cost->user_us = us_of(usage.ru_utime);
    ret_cost->system_us = us_of(usage.ru_stime);
}

static bool read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, buf, size - 1);
    close(fd);
    if (len <= 0)
        return false;
    buf[len] = '\0';
    return true;
}

static bool read_proc(pid_t pid, const char *name, char *buf, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    return read_file(path, buf, size);
}

static uint64_t tick_us(void)
{
    return 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
}

bool bb_cost_parse_stat(const char *text, uint64_t *ret_user, uint64_t *ret_system)
{
    /* The program's name may hold anything, blanks and brackets too, so count from its end: the
     * state is field 3, utime 14, stime 15. */
    const char *at = strrchr(text, ')');
    if (at == NULL)
        return false;
    for (int field = 2; field < 14; field++) {
        at = strchr(at + 1, ' ');
        if (at == NULL)
            return false;
    }
    return sscanf(at, " %" SCNu64 " %" SCNu64, ret_user, ret_system) == 2;
}

bool bb_cost_of_process(pid_t pid, struct bb_cost *ret_cost)
{
    char text[1024];
    uint64_t user;
    uint64_t system;
    if (!read_proc(pid, "stat", text, sizeof(text)) || !bb_cost_parse_stat(text, &user, &system))
        return false;
    ret_cost->user_us = user * tick_us();
    ret_cost->system_us = system * tick_us();
    return true;
}

bool bb_cost_parse_machine(const char *text, uint64_t *ret_ticks)
{
    uint64_t user;
    uint64_t nice;
    uint64_t system;
    uint64_t irq;
    uint64_t softirq;
    if (sscanf(text, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %" SCNu64 " %" SCNu64, &user,
               &nice, &system, &irq, &softirq) != 5)
        return false;
    *ret_ticks = user + nice + system + irq + softirq;
    return true;
}

bool bb_cost_of_machine(uint64_t *ret_us)
{
    char text[512]; /* the first line is all that is wanted */
    uint64_t ticks;
    if (!read_file("/proc/stat", text, sizeof(text)) || !bb_cost_parse_machine(text, &ticks))
        return false;
    *ret_us = ticks * tick_us();
    return true;
}

bool bb_cost_rss_anon(pid_t pid, uint64_t *ret_size)
{
    char text[4096];
    uint64_t kib;
    if (!read_proc(pid, "status", text, sizeof(text)))
        return false;
    const char *line = strstr(text, "\nRssAnon:");
    if (line == NULL || sscanf(line, "\nRssAnon: %" SCNu64 " kB", &kib) != 1)
        return false;
    *ret_size = kib * 1024;
    return true;
}
