/* SPDX-License-Identifier: Apache-2.0
 * Temporary directory of a tool. Owner: the calling thread.
 */
#include "bb/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int make_below(const char *parent, struct bb_rundir *rundir)
{
    int len = snprintf(rundir->path, sizeof(rundir->path), "%s/bb-offline-XXXXXX", parent);
    if (len < 0 || (size_t)len >= sizeof(rundir->path))
        return -ENAMETOOLONG;
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
    DIR *directory = opendir(rundir->path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        (void)unlinkat(dirfd(directory), entry->d_name, 0); /* refuses the directories . and .. */
    if (directory != NULL)
        closedir(directory);
    (void)rmdir(rundir->path);
    rundir->path[0] = '\0';
}
