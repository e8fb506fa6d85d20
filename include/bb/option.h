/* SPDX-License-Identifier: Apache-2.0
 * Every setting of bbd, once: this table is the flags (--NAME), the keys of buddy-blocks.conf
 * (NAME under [SECTION]), --help, `bbd --dump-options`, and what the manual and the completion are
 * compared with. Names are unique over all sections. Pure.
 */
#ifndef BB_OPTION_H
#define BB_OPTION_H

#include "bb/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum bb_option_kind {
    BB_OPTION_PATH,   /* a path that begins with '/' in a file; anything in a flag */
    BB_OPTION_LIST,   /* words; a file has them on one line, a flag may be repeated */
    BB_OPTION_COUNT,  /* a number, or "auto" where that is the default */
    BB_OPTION_SIZE,   /* bytes with K, M, G; or "auto" */
    BB_OPTION_TIME,   /* ms, s (also without unit), min; in milliseconds */
    BB_OPTION_YESNO,  /* yes or no; a flag may leave the value out */
    BB_OPTION_CHOICE, /* one of `argument`, split at '|'; the number is its place */
};

/* What SIGHUP does to it: nothing (a restart is needed), or it takes effect at once. */
enum bb_option_reload { BB_OPTION_RESTART, BB_OPTION_LIVE };

/* x(ID, section, name, kind, argument, default, min, max, reload, help). The default is written as
 * a user writes it; "" is unset. min and max are for numbers, in the unit of the kind. */
/* clang-format off */
#define BB_OPTIONS(x)                                                                              \
    x(DATA, "store", "data", PATH, "DEVICE", "", 0, 0, RESTART,                                    \
      "data device, formatted by bbformat")                                                        \
    x(INDEX, "store", "index", PATH, "DEVICE", "", 0, 0, RESTART,                                  \
      "index device")                                                                              \
    x(APPEND_ONLY, "store", "append-only", YESNO, "yes|no", "no", 0, 1, LIVE,                      \
      "DELETE is for admin only")                                                                  \
    x(READ_ONLY, "store", "read-only", YESNO, "yes|no", "no", 0, 1, RESTART,                       \
      "rescue: serve reads from devices that nothing is written to")                               \
    x(TRIM_IDLE, "store", "trim-idle", TIME, "TIME", "0", 0, 604800000, RESTART,                   \
      "discard what was free for so long; 0: only when bbctl trim says so")                        \
    x(SCRUB_DAYS, "store", "scrub-days", COUNT, "DAYS", "30", 0, 3650, RESTART,                    \
      "in which all blocks are read again and compared; 0: when bbctl scrub says so")              \
    x(SCRUB_RATE, "store", "scrub-rate", SIZE, "SIZE", "8M", 0, 1073741824, RESTART,               \
      "bytes per second that this may read; 0: never")                                             \
    x(SCRUB_SHARE, "store", "scrub-share", COUNT, "PERCENT", "10", 1, 100, RESTART,                \
      "of the time that this may wait for the device")                                             \
    x(LISTEN, "server", "listen", LIST, "ADDR:PORT|unix:PATH", "127.0.0.1:10001 [::1]:10001",      \
      0, 16, RESTART, "addresses and unix sockets to serve")                                       \
    x(LISTEN_TLS, "server", "listen-tls", LIST, "ADDR:PORT", "", 0, 16, RESTART,                   \
      "addresses to serve with TLS")                                                               \
    x(TLS_CERTIFICATE, "server", "tls-certificate", PATH, "FILE", "", 0, 0, LIVE,                  \
      "certificate of listen-tls and those between it and its root, PEM")                          \
    x(TLS_KEY, "server", "tls-key", PATH, "FILE", "", 0, 0, LIVE,                                  \
      "key of that certificate, PEM, for the daemon's eyes only")                                  \
    x(TLS_CLIENT_CA, "server", "tls-client-ca", PATH, "FILE", "", 0, 0, LIVE,                      \
      "clients of listen-tls need a certificate by one of these, PEM")                             \
    x(ADMIN_SOCKET, "server", "admin-socket", PATH, "PATH", "", 0, 0, RESTART,                     \
      "unix socket for bbctl; bbd.sock in the run-dir")                                            \
    x(HOST, "server", "host", LIST, "NAME", "", 0, 32, RESTART,                                    \
      "further names that this server is reached by")                                              \
    x(TOKENS, "server", "tokens", PATH, "FILE", "", 0, 0, LIVE,                                    \
      "tokens that give access, made by bbctl token new; without it there are none")               \
    x(AUTH, "server", "auth", CHOICE, "auto|none", "auto", 0, 1, RESTART,                          \
      "none: everybody who reaches the port may read, write and delete; needed without tokens "    \
      "for any address that is not loopback")                                                      \
    x(WORKERS, "server", "workers", COUNT, "N", "auto", 1, 64, RESTART,                            \
      "threads that serve connections; auto: one per CPU, at most 8")                              \
    x(MEMORY, "server", "memory", SIZE, "SIZE", "auto", (uint64_t)24 << 20, UINT64_MAX, RESTART,   \
      "memory in all; auto: 1/32 of the machine's, 24M to 256M")                                   \
    x(RUN_DIR, "server", "run-dir", PATH, "DIR", "", 0, 0, RESTART,                                \
      "for the index's lock file; $RUNTIME_DIRECTORY, else /run/buddy-blocks")                     \
    x(CONNECTIONS, "limits", "connections", COUNT, "N", "1024", 1, 1000000, RESTART,               \
      "connections at a time; beyond, the slowest is ended")                                       \
    x(TLS_CONNECTIONS, "limits", "tls-connections", COUNT, "N", "auto", 1, 1000000, RESTART,       \
      "of these, with TLS; auto: as many as an eighth of the memory holds, at least 16")           \
    x(HEAD_SIZE, "limits", "head-size", SIZE, "SIZE", "8K", 256, 8192, LIVE,                       \
      "bytes of a request's head")                                                                 \
    x(HEAD_FIELDS, "limits", "head-fields", COUNT, "N", "64", 8, 64, LIVE,                         \
      "fields of a request's head")                                                                \
    x(HEAD_TIME, "limits", "head-time", TIME, "TIME", "10s", 100, 3600000, LIVE,                   \
      "for a whole head to arrive")                                                                \
    x(IDLE_TIME, "limits", "idle-time", TIME, "TIME", "75s", 100, 3600000, LIVE,                   \
      "between two requests on a connection")                                                      \
    x(SLOW_TIME, "limits", "slow-time", TIME, "TIME", "5s", 100, 3600000, LIVE,                    \
      "after which a body or reply must have moved at the slow rate")                              \
    x(SLOW_RATE, "limits", "slow-rate", SIZE, "SIZE", "8K", 1, 1073741824, LIVE,                   \
      "bytes per second that a body or reply moves at least")                                      \
    x(LINGER_TIME, "limits", "linger-time", TIME, "TIME", "2s", 100, 60000, LIVE,                  \
      "for reading what was sent in vain before a connection is closed")                           \
    x(LINGER_SIZE, "limits", "linger-size", SIZE, "SIZE", "1M", 1, 67108864, LIVE,                 \
      "bytes that are read in vain at most")                                                       \
    x(BUFFER_TIME, "limits", "buffer-time", TIME, "TIME", "10s", 100, 3600000, LIVE,               \
      "for a free buffer, before a request is answered with 503")                                  \
    x(DRAIN_TIME, "limits", "drain-time", TIME, "TIME", "10s", 100, 3600000, LIVE,                 \
      "for running requests at a stop")                                                            \
    x(LOG_LEVEL, "log", "log-level", CHOICE, "error|warning|info|debug", "info", 0, 3, LIVE,       \
      "least important kind of line that is logged")                                               \
    x(LOG_REQUESTS, "log", "log-requests", COUNT, "N", "0", 0, 1000000000, LIVE,                   \
      "one request in N is logged; 0: none")                                                       \
    x(LOG_SLOW, "log", "log-slow", TIME, "TIME", "1s", 0, 3600000, LIVE,                           \
      "requests that took longer are logged with their stages; 0: none")

/* What is a flag only. y(name, argument or NULL, help); help NULL: not shown in --help. */
#define BB_FLAGS(y)                                                                                \
    y("config", "FILE", "settings; /etc/buddy-blocks/buddy-blocks.conf when --data and --index "   \
      "are not given")                                                                             \
    y("store", "UUID", "the settings in section [store UUID] of the file come over the others, "   \
      "and the devices are those of that store")                                                   \
    y("check-config", NULL, "check file and flags, print the settings, and end")                   \
    y("dump-options", NULL, NULL)                                                                  \
    y("only-6-1", NULL, NULL)                                                                      \
    y("version", NULL, "print the version")                                                        \
    y("help", NULL, "print this")
/* clang-format on */

enum bb_option_id {
#define BB_OPTION_ENUM(id, ...) BB_OPTION_##id,
    BB_OPTIONS(BB_OPTION_ENUM)
#undef BB_OPTION_ENUM
        BB_OPTION_END
};

struct bb_option {
    const char *section, *name;
    enum bb_option_kind kind;
    const char *argument, *by_default;
    uint64_t min, max;
    enum bb_option_reload reload;
    const char *help;
};
struct bb_flag {
    const char *name, *argument, *help;
};

/* Indexed by enum bb_option_id; BB_OPTION_END entries. */
extern const struct bb_option bb_options[];
/* Ends with a name of NULL. */
extern const struct bb_flag bb_flags[];

/* BB_OPTION_END when there is none of that name. */
enum bb_option_id bb_option_find(const char *name);
/* "a number from 1 to 64 or auto": what is allowed, for a refusal. Terminated; returns ret. */
char *bb_option_allowed(const struct bb_option *option, char *ret, size_t size);
/* The value of one option (not a list or path) as number. False when it is not allowed. */
BB_MUST_USE bool bb_option_number(const struct bb_option *option, const char *text,
                                  uint64_t *ret_number);

/* The text of --help. */
void bb_option_print_help(FILE *file);
/* One line per option and flag, tab separated: section ("-" for a flag only), name, kind, argument,
 * default, "restart" or "live", help. Hidden flags have "-" for help. */
void bb_option_print_table(FILE *file);

#endif
