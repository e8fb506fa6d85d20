/* SPDX-License-Identifier: Apache-2.0
 * What the kernel says about this process. Small reads of /proc, which never wait for a device;
 * without /proc what it would say is left out. Any thread.
 */
#include "metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Reads the start of a file; terminated. False when there is none. */
static bool read_start(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, buf, size - 1);
    (void)close(fd);
    if (len <= 0)
        return false;
    buf[len] = '\0';
    return true;
}

struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

/* Open descriptors; by the system call, because opendir allocates. */
static unsigned count_descriptors(void)
{
    _Alignas(struct entry) char buf[4096];
    unsigned count = 0;
    int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long len;
    while (fd >= 0 && (len = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
        for (long at = 0; at < len;) {
            const struct entry *entry = (const struct entry *)(const void *)(buf + at);
            count += entry->name[0] != '.';
            at += entry->size;
        }
    if (fd >= 0)
        (void)close(fd);
    return count > 0 ? count - 1 : 0; /* the folder itself */
}

static void one(struct bb_sheet *sheet, const char *name, const char *type, const char *help,
                double value)
{
    bb_sheet_add(sheet, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.10g\n", name,
                 help, name, type, name, value);
}

void bb_metrics_process(struct bb_sheet *sheet)
{
    struct rusage usage;
    struct rlimit limit;
    char text[256];
    unsigned long total, resident;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        one(sheet, "cpu_seconds_total", "counter", "Processor time spent.",
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
    if (read_start("/proc/self/statm", text, sizeof(text)) &&
        sscanf(text, "%lu %lu", &total, &resident) == 2) {
        double page = (double)sysconf(_SC_PAGESIZE);
        one(sheet, "virtual_memory_bytes", "gauge", "Address space.", (double)total * page);
        one(sheet, "resident_memory_bytes", "gauge", "Memory in RAM.", (double)resident * page);
    }
    unsigned descriptors = count_descriptors();
    if (descriptors > 0)
        one(sheet, "open_fds", "gauge", "Open descriptors.", descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        one(sheet, "max_fds", "gauge", "Descriptors allowed.", (double)limit.rlim_cur);
}
