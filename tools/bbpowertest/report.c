/* SPDX-License-Identifier: Apache-2.0
 * Writing and reading the report: report.h.
 */
#include "bbpowertest/report.h"

#include "bb/err.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error != 0) {
        fprintf(stderr, "bbpowertest: %s:%s: %s\n", host, port, gai_strerror(error));
        return BB_ERR_USAGE;
    }
    int fd = -1, on = 1;
    error = -EHOSTUNREACH;
    for (struct addrinfo *each = found; each != NULL && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, each->ai_socktype | SOCK_CLOEXEC, each->ai_protocol);
        if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen) != 0) {
            error = -errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0) {
        fprintf(stderr, "bbpowertest: %s:%s: %s\n", host, port, bb_err_text(error));
        return error;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* a delay at worst */
    return fd;
}

int bb_power_report_open(struct bb_power_report *report, const char *to)
{
    char host[256];
    const char *colon = to != NULL ? strrchr(to, ':') : NULL;
    if (to == NULL) {
        report->fd = STDOUT_FILENO;
    } else if (colon != NULL && strchr(to, '/') == NULL) {
        size_t length = (size_t)(colon - to);
        bool bracketed = length >= 2 && to[0] == '[' && colon[-1] == ']';
        if (length >= sizeof(host))
            return BB_ERR_USAGE;
        memcpy(host, to + bracketed, length - 2 * bracketed);
        host[length - 2 * bracketed] = '\0';
        report->fd = connect_to(host, colon + 1);
    } else {
        report->fd = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (report->fd < 0) {
            report->fd = -errno;
            fprintf(stderr, "bbpowertest: %s: %s\n", to, bb_err_text(report->fd));
        }
    }
    return report->fd < 0 ? report->fd : 0;
}

void bb_power_report_close(struct bb_power_report *report)
{
    if (report->fd > STDERR_FILENO)
        close(report->fd);
}

static int put_line(const struct bb_power_report *report, const char *line, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(report->fd, line, size);
        if (wrote < 0 && errno != EINTR)
            return -errno;
        if (wrote > 0) {
            line += wrote;
            size -= (size_t)wrote;
        }
    }
    return 0;
}

int bb_power_report_begin(struct bb_power_report *report, const struct bb_power_plan *plan)
{
    char line[160], run[33];
    for (size_t i = 0; i < sizeof(plan->run.bytes); i++)
        snprintf(run + 2 * i, 3, "%02x", plan->run.bytes[i]);
    int size = snprintf(line, sizeof(line), "bbpowertest run=%s slots=%llu depth=%u\n", run,
                        (unsigned long long)plan->slots, plan->depth);
    return put_line(report, line, (size_t)size);
}

int bb_power_report_acknowledge(struct bb_power_report *report, uint64_t records)
{
    char line[48];
    int size = snprintf(line, sizeof(line), "acknowledged=%llu\n", (unsigned long long)records);
    return put_line(report, line, (size_t)size);
}

/* The head line of a run; false if it is none. */
static bool read_head(const char *line, struct bb_power_plan *ret_plan)
{
    struct bb_uuid run;
    unsigned long long slots;
    unsigned depth;
    char digits[33];
    if (sscanf(line, "bbpowertest run=%32[0-9a-f] slots=%llu depth=%u\n", digits, &slots, &depth) !=
            3 ||
        strlen(digits) != 32 || slots < BB_POWER_SLOTS_MIN || slots > BB_POWER_SLOTS_MAX ||
        depth < 1 || depth > BB_POWER_DEPTH_MAX)
        return false;
    for (size_t i = 0; i < sizeof(run.bytes); i++)
        if (sscanf(digits + 2 * i, "%2hhx", &run.bytes[i]) != 1)
            return false;
    bb_power_plan_make(&run, slots, depth, ret_plan);
    return true;
}

int bb_power_report_read(const char *path, struct bb_power_plan *ret_plan,
                         uint64_t *ret_acknowledged)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (in == NULL)
        return -errno;
    char line[256];
    unsigned long long records;
    bool found = false;
    while (fgets(line, sizeof(line), in) != NULL && strchr(line, '\n') != NULL) {
        if (read_head(line, ret_plan)) {
            found = true;
            *ret_acknowledged = 0;
        } else if (found && sscanf(line, "acknowledged=%llu\n", &records) == 1) {
            *ret_acknowledged = records;
        }
    }
    bool failed = ferror(in) != 0;
    if (in != stdin)
        (void)fclose(in);
    if (failed)
        return -EIO;
    return found ? 0 : BB_ERR_USAGE;
}
