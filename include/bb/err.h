/* SPDX-License-Identifier: Apache-2.0
 * One table of errors for the whole system.
 *
 * A function returns 0 or a negative number. Between -1 and -4095 it is -errno, unchanged from what
 * the kernel said (a CQE carries the same). Below that it is one of ours, from the table, which
 * also gives the text, the HTTP status and the exit code of a program that ends because of it.
 */
#ifndef BB_ERR_H
#define BB_ERR_H

/* x(NAME, HTTP status, exit code, text) */
/* clang-format off */
#define BB_ERRORS(x)                                                                               \
    x(NOT_FORMATTED, 500, BB_EXIT_REFUSED, "not a formatted store")                                \
    x(FOREIGN, 500, BB_EXIT_REFUSED, "data and index device do not belong together")               \
    x(STALE_INDEX, 500, BB_EXIT_REFUSED, "the index device is the older half")                     \
    x(STALE_DATA, 500, BB_EXIT_REFUSED, "the data device is the older half")                       \
    x(LOST_RECORD, 500, BB_EXIT_REFUSED, "an acknowledged journal record is corrupt")              \
    x(DAMAGED, 500, BB_EXIT_REFUSED, "metadata on the device is damaged")                          \
    x(OVERLAP, 500, BB_EXIT_REFUSED, "two blocks claim the same unit")                             \
    x(SET_MISMATCH, 500, BB_EXIT_REFUSED, "count or set hash of the index is wrong")               \
    x(INDEX_DAMAGED, 500, BB_EXIT_REFUSED, "the index is damaged")                                 \
    x(VERSION, 500, BB_EXIT_REFUSED, "format version or feature not understood")                   \
    x(GEOMETRY, 500, BB_EXIT_REFUSED, "device size or sector size differs from the format")        \
    x(REFUSED, 500, BB_EXIT_REFUSED, "refused")                                                    \
    x(HELD, 500, BB_EXIT_HELD, "device is held by another program")                                \
    x(KERNEL, 500, BB_EXIT_RESOURCE, "the kernel refuses what the program needs")                  \
    x(MEMORY, 500, BB_EXIT_RESOURCE, "not enough memory allowed")                                  \
    x(IO, 500, BB_EXIT_IO, "input/output error")                                                   \
    x(SHORT_IO, 500, BB_EXIT_IO, "device took or gave fewer bytes than asked")                     \
    x(FATAL, 503, BB_EXIT_IO, "store stopped after an I/O error, restart it")                      \
    x(CORRUPT, 500, BB_EXIT_IO, "stored bytes do not match their name")                            \
    x(NO_SPACE, 507, BB_EXIT_FAILURE, "device is full")                                            \
    x(INDEX_FULL, 507, BB_EXIT_FAILURE, "index is full")                                           \
    x(BUSY, 503, BB_EXIT_FAILURE, "busy")                                                          \
    x(NOT_READY, 503, BB_EXIT_FAILURE, "not ready for writes")                                     \
    x(EXISTS, 412, BB_EXIT_FAILURE, "block is already stored")                                     \
    x(WOULD_FAULT, 500, BB_EXIT_FAILURE, "answer is not in memory")                                \
    x(USAGE, 400, BB_EXIT_USAGE, "wrong usage")                                                    \
    x(CANCELLED, 503, BB_EXIT_FAILURE, "cancelled")
/* clang-format on */

/* Exit codes of our programs (bbfsck uses those of fsck(8) instead). */
enum bb_exit {
    BB_EXIT_OK = 0,
    BB_EXIT_FAILURE = 1,
    BB_EXIT_USAGE = 2,
    BB_EXIT_REFUSED = 10,  /* a person must look: wrong device, damage, foreign half */
    BB_EXIT_HELD = 11,     /* another program holds a device */
    BB_EXIT_RESOURCE = 12, /* io_uring, memlock, memory, files, threads: the sentence says more */
    BB_EXIT_IO = 13,       /* fatal I/O error while running: a restart re-verifies */
};

#define BB_ERR_FIRST 5000

enum bb_err {
    BB_ERR_BASE = -BB_ERR_FIRST,
#define BB_ERR_ENUM(name, http, exit, text) BB_ERR_##name,
    /* each one is one above the last, so all stay negative and below -4095 */
    BB_ERRORS(BB_ERR_ENUM)
#undef BB_ERR_ENUM
        BB_ERR_END
};

/* Text of an error, ours or errno's. Never NULL; static storage. */
const char *bb_err_text(int error);

/* HTTP status for an error; 500 for errno values except ENOSPC (507) and ENOENT (404). */
int bb_err_http(int error);

/* Exit code for an error; BB_EXIT_IO for EIO, BB_EXIT_HELD for EBUSY, BB_EXIT_RESOURCE for what
 * bb_err_cure knows, else BB_EXIT_FAILURE. */
int bb_err_exit(int error);

/* What to do when the machine gave too little memory, too few descriptors or threads, and nothing
 * is wrong with the devices. NULL for every other error; static storage. */
const char *bb_err_cure(int error);

#endif
