/* SPDX-License-Identifier: Apache-2.0
 * The table of errors as text, HTTP status and exit code. Pure; any thread. */
#include "bb/err.h"

#include "bb/assert.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct entry {
    const char *text;
    int http;
    int exit;
};

static const struct entry table[] = {
#define ENTRY(name, http, exit, text) [BB_ERR_##name - BB_ERR_BASE - 1] = {text, http, exit},
    BB_ERRORS(ENTRY)
#undef ENTRY
};

#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

BB_STATIC_ASSERT(TABLE_COUNT == BB_ERR_END - BB_ERR_BASE - 1);
BB_STATIC_ASSERT(BB_ERR_END < -4095);

/* NULL for errno values and for numbers that are nobody's. */
static const struct entry *entry_of(int error)
{
    if (error <= BB_ERR_BASE || error >= BB_ERR_END)
        return NULL;
    return &table[error - BB_ERR_BASE - 1];
}

const char *bb_err_text(int error)
{
    const struct entry *entry = entry_of(error);
    if (entry != NULL)
        return entry->text;
    if (error > 0 || error < -4095)
        return "unknown error";
    const char *text = strerrordesc_np(-error); /* static, unlike strerror's */
    return text != NULL ? text : "unknown error";
}

int bb_err_http(int error)
{
    BB_ASSERT(error < 0);
    const struct entry *entry = entry_of(error);
    if (entry != NULL)
        return entry->http;
    switch (error) {
    case -ENOSPC:
        return 507;
    case -ENOENT:
        return 404;
    default:
        return 500;
    }
}

int bb_err_exit(int error)
{
    BB_ASSERT(error <= 0);
    const struct entry *entry = entry_of(error);
    if (entry != NULL)
        return entry->exit;
    switch (error) {
    case 0:
        return BB_EXIT_OK;
    case -EIO: /* and what a device that fails or has gone answers instead */
    case -ENODATA:
    case -EREMOTEIO:
    case -EILSEQ:
    case -ETIMEDOUT:
    case -ENOLINK:
    case -ENXIO:
    case -ENODEV:
    case -ENOSPC:
        return BB_EXIT_IO;
    case -EBUSY:
        return BB_EXIT_HELD;
    default:
        return bb_err_cure(error) != NULL ? BB_EXIT_RESOURCE : BB_EXIT_FAILURE;
    }
}

const char *bb_err_cure(int error)
{
    switch (error) {
    case -ENOMEM:
    case BB_ERR_MEMORY:
        return "free memory or allow more of it, then start again";
    case -EMFILE:
        return "raise LimitNOFILE in the unit or `ulimit -n`, then start again";
    case -ENFILE:
        return "the machine has too many files open, close some, then start again";
    case -EAGAIN:
        return "raise TasksMax in the unit or `ulimit -u`, then start again";
    default:
        return NULL;
    }
}
