/* SPDX-License-Identifier: Apache-2.0
 * Who may read a secret. systemd hands credentials (LoadCredential=) to the service by an access
 * list, whose mask looks like rights of the group: below its directory that is no fault.
 */
#include "secret.h"

#include "bb/token.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Root looks at the file for the daemon, whose user it belongs to. */
static bool owner_ok(uid_t owner)
{
    if (owner == 0 || owner == geteuid())
        return true;
    const struct passwd *daemon = geteuid() == 0 ? getpwnam(BB_TOKEN_USER) : NULL;
    return daemon != NULL && owner == daemon->pw_uid;
}

static bool is_credential(const char *path)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    size_t len = folder != NULL ? strlen(folder) : 0;
    return len > 0 && strncmp(path, folder, len) == 0 && path[len] == '/' &&
           strstr(path + len, "/..") == NULL;
}

static bool file_ok(const char *path, int fd, char *ret_sentence, size_t size)
{
    struct stat status;
    unsigned forbidden = is_credential(path) ? 037 : 077;
    if (fstat(fd, &status) != 0) {
        (void)snprintf(ret_sentence, size, "%s", strerror(errno));
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        (void)snprintf(ret_sentence, size, "not a file");
        return false;
    }
    if (!owner_ok(status.st_uid)) {
        (void)snprintf(ret_sentence, size,
                       "belongs to user %u; allowed: root or user %u, who runs the daemon",
                       (unsigned)status.st_uid, (unsigned)geteuid());
        return false;
    }
    if ((status.st_mode & forbidden) != 0) {
        (void)snprintf(ret_sentence, size,
                       "mode %04o lets others at it; allowed: 0600, type chmod 600 %s",
                       (unsigned)status.st_mode & 07777, path);
        return false;
    }
    return true;
}

bool bb_secret_open(const char *path, int *ret_fd, char *ret_sentence, size_t size)
{
    /* a FIFO must not hold up a reload: opened without waiting, then refused as no file */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        (void)snprintf(ret_sentence, size, "%s", strerror(errno));
        return false;
    }
    if (!file_ok(path, fd, ret_sentence, size)) {
        (void)close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}
