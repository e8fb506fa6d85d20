/* SPDX-License-Identifier: Apache-2.0
 * /proc/self/cgroup has a line for each hierarchy, "number:controllers:path". In a container the
 * path may be one of the host that is not to be seen from here; its last prefix, the mount itself,
 * is then the container's own group.
 */
#include "bb/memlimit.h"

#include "bb/bits.h"
#include "bb/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX 4096
#define NO_LIMIT_V1 ((uint64_t)1 << 62) /* version 1 says "none" with a number near 2^63 */

/* UINT64_MAX when the file is not there or says "max". */
static uint64_t read_limit(const char *path)
{
    char text[32];
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return limit;
    if (fgets(text, sizeof(text), file) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        if (!bb_text_to_u64(text, &limit) || limit >= NO_LIMIT_V1)
            limit = UINT64_MAX;
    }
    (void)fclose(file);
    return limit;
}

/* The least limit of the group `path` and of all above it. */
static uint64_t walk_up(const char *root, const char *mount, char *path, const char *name)
{
    char file[LINE_MAX + 256];
    uint64_t least = UINT64_MAX;
    for (;;) {
        int len = snprintf(file, sizeof(file), "%s%s%s/%s", root, mount, path, name);
        if (len > 0 && (size_t)len < sizeof(file))
            least = bb_min_u64(least, read_limit(file));
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

static bool has_memory(const char *controllers)
{
    for (const char *at = controllers; (at = strstr(at, "memory")) != NULL; at += 6) {
        bool begins = at == controllers || at[-1] == ',';
        if (begins && (at[6] == ',' || at[6] == '\0'))
            return true;
    }
    return false;
}

static uint64_t of_line(const char *root, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (path == NULL)
        return UINT64_MAX;
    *controllers++ = '\0';
    *path++ = '\0';
    if (has_memory(controllers))
        return walk_up(root, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
    if (controllers[0] == '\0')
        return walk_up(root, "/sys/fs/cgroup", path, "memory.max");
    return UINT64_MAX;
}

uint64_t bb_memlimit_find(const char *root)
{
    char line[LINE_MAX];
    uint64_t least = UINT64_MAX;
    (void)snprintf(line, sizeof(line), "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    if (file == NULL)
        return least;
    while (fgets(line, sizeof(line), file) != NULL)
        least = bb_min_u64(least, of_line(root, line));
    (void)fclose(file);
    return least;
}
