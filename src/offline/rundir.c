/* SPDX-License-Identifier: Apache-2.0
 * Temporary directory of a tool. Owner: the calling thread.
 */
#include "bb/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "bb-offline-"

/* The directory below `parent` with the files in it; no directories are expected there. */
static void remove_below(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        (void)unlinkat(dirfd(directory), entry->d_name, 0); /* refuses . and .. */
    if (directory != NULL)
        closedir(directory);
    else if (fd >= 0)
        close(fd);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* Of processes that are gone. */
static void remove_stale(const char *parent)
{
    DIR *directory = opendir(parent);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        struct stat status;
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        long owner = strtol(entry->d_name + strlen(PREFIX), NULL, 10);
        if (owner > 0 && kill((pid_t)owner, 0) != 0 && errno == ESRCH &&
            fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode) && status.st_uid == geteuid())
            remove_below(dirfd(directory), entry->d_name);
    }
    if (directory != NULL)
        closedir(directory);
}

static int make_below(const char *parent, struct bb_rundir *rundir)
{
    int len = snprintf(rundir->path, sizeof(rundir->path), "%s/%s%d-XXXXXX", parent, PREFIX,
                       (int)getpid());
    if (len < 0 || (size_t)len >= sizeof(rundir->path))
        return -ENAMETOOLONG;
    remove_stale(parent);
    if (mkdtemp(rundir->path) != NULL)
        return 0;
    int error = -errno;
    rundir->path[0] = '\0';
    return error;
}

int bb_rundir_make(struct bb_rundir *rundir)
{
    const char *other = getenv("TMPDIR");
    if (make_below("/run", rundir) == 0)
        return 0;
    return make_below(other != NULL && other[0] == '/' ? other : "/tmp", rundir);
}

void bb_rundir_remove(struct bb_rundir *rundir)
{
    if (rundir->path[0] == '\0')
        return;
    remove_below(AT_FDCWD, rundir->path);
    rundir->path[0] = '\0';
}
